//! A data folder → [`Dataset`]: ordered classes and one [`Index`] a split; and a folder of class
//! folders → its splits ([`Source`], [`Plan`]).
//!
//! Labels may come from a CSV instead of folders, and an image may have several ([`Task`]).
//! [`Dataset::audit`] looks at the files of an opened data folder.
//!
//! A data folder is an ImageFolder tree (`train/`, `val/`, perhaps `test/`, each with one folder a
//! class), or images beside a `splits/` folder of index files that [`Plan::write_index`] made.
//! Files are known by their names: opening a data folder reads no image and asks for no file's
//! status, so a missing or damaged image is reported by whoever reads it.
//!
//! Everything is sorted bytewise by name, so nothing depends on the order in which a file system
//! lists.

mod audit;
mod class_names;
mod corrections;
mod divide;
pub mod duplicates;
mod error;
mod groups;
pub(crate) mod hidden;
mod hold_out;
mod images;
mod iterative;
mod label_sets;
mod labelled;
mod labels;
pub(crate) mod manifest;
mod missing;
mod multi_label;
mod names;
mod open;
mod plan;
pub(crate) mod scan;
mod source;
mod split_error;
pub(crate) mod split_folders;
mod stratify;
mod suffix;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

pub use audit::{Audit, Changes, Checks, Leaks};
pub use corrections::{read_labels, read_paths};
pub use divide::{DEFAULT_RATIO, DEFAULT_SEED, DEFAULT_TEST_RATIO, Division, Ratio};
pub use error::DatasetError;
pub use groups::Grouping;
pub use hold_out::DEFAULT_VAL_FRACTION;
pub use images::IMAGES_FILE;
pub use label_sets::{LabelSets, Task};
pub use labelled::{ALL, Labelled, ModelClasses};
pub use labels::CsvOptions;
pub use manifest::{CsvLabels, GroupsEntry, Layout, Manifest, Method, Policy, SplitEntry};
pub use missing::Missing;
pub(crate) use names::REPORT_FILES;
pub use names::{CACHE_FOLDER, MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER};
pub use plan::Plan;
pub use source::Source;
pub use split_error::{GivenLeak, SplitError};
pub use suffix::{SUFFIXES, is_image, unread_format};
pub use write::{Link, Written};

pub use crate::files::LeftOut;
pub use crate::text::shell_quoted;

/// Which part of a data set.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What chooses the best epoch.
    Val,
    /// What the final metrics are measured on.
    Test,
}

impl Split {
    /// All, in the order in which they are reported.
    pub const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    /// `train`, `val`, `test`: also the name of the split's folder or index file.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }
}

/// One image and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Relative to [`Index::root`]; valid UTF-8, never leaves the root by `..`.
    pub path: Box<Path>,
    /// In `0..classes.len()`. Where an image may have several labels it means nothing (it is the
    /// first of them, or 0): see [`Index::label_sets`].
    pub class: u32,
}

/// The samples of one split, in a fixed order: bytewise by path.
#[derive(Clone, Debug)]
pub struct Index {
    /// What the samples' paths are relative to.
    pub root: PathBuf,
    /// Which split this is.
    pub split: Split,
    /// Never empty, no path twice.
    pub samples: Vec<Sample>,
    /// The labels of each sample, in their order, where an image may have several ([`Index::task`]).
    pub label_sets: Option<Arc<LabelSets>>,
}

impl Index {
    /// How many labels a sample has.
    pub fn task(&self) -> Task {
        if self.label_sets.is_some() { Task::MultiLabel } else { Task::SingleLabel }
    }

    /// Class numbers of a sample, ascending: one, or any number where it may have several labels.
    pub fn labels(&self, sample: usize) -> &[u32] {
        match &self.label_sets {
            Some(sets) => sets.of(sample),
            None => std::slice::from_ref(&self.samples[sample].class),
        }
    }
}

/// An opened data folder.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The folder that was opened.
    pub root: PathBuf,
    /// Class names in order: a class's number is its place. The same for every split. Each has at
    /// least one training image.
    pub classes: Vec<String>,
    /// The training split.
    pub train: Arc<Index>,
    /// The validation split; it may lack classes.
    pub val: Arc<Index>,
    /// Absent if the folder has no test split; it may lack classes.
    pub test: Option<Arc<Index>>,
    /// What the user should know about how the folder was understood, a line each.
    pub notes: Vec<String>,
    /// What lies in the folder and is passed over; nothing where index files say what is used.
    pub left_out: LeftOut,
    /// The fold that was opened, if the folder has folds.
    pub fold: Option<u32>,
    /// What `splits/manifest.yaml` says; absent for an ImageFolder tree.
    pub manifest: Option<Box<Manifest>>,
    /// See [`Dataset::fingerprint`].
    fingerprint: OnceLock<String>,
}

/// What decides which images of a data folder are in which split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenOptions {
    /// Of a folder split into folds, the one whose `fold_<k>_{train,val}.txt` are opened, from 0.
    pub fold: Option<u32>,
    /// Of a folder without validation images: the share of the training images that validate, above
    /// 0 and below 1.
    pub val_fraction: f64,
    /// Which of the training images those are.
    pub seed: u64,
    /// Whether the caller can use several labels an image. Without, a data folder that has them is
    /// refused.
    pub multi_label: bool,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions { fold: None, val_fraction: DEFAULT_VAL_FRACTION, seed: DEFAULT_SEED, multi_label: false }
    }
}

impl Dataset {
    /// Opens `data_dir`. Where it has no validation images, some of the training images become
    /// those: the same share of each class, images with the same content together.
    ///
    /// # Errors
    /// The folder is missing, not split, or damaged, or the fold does not suit it; see
    /// [`DatasetError`].
    pub fn open(data_dir: &Path, options: &OpenOptions) -> Result<Dataset, DatasetError> {
        open::open(data_dir, options)
    }

    /// How many labels an image has: whether [`Sample::class`] or [`Index::label_sets`] says them.
    pub fn task(&self) -> Task {
        self.train.task()
    }

    /// Number of samples of each class in a split, `classes.len()` long; zeros if there is no such
    /// split. A sample with several labels counts for each of them.
    pub fn class_counts(&self, split: Split) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        let Some(index) = self.index(split) else { return counts };
        for class in (0..index.samples.len()).flat_map(|sample| index.labels(sample)) {
            counts[*class as usize] += 1;
        }
        counts
    }

    /// The group of each sample of a split, in order, as they were when the images were divided
    /// (`ml-split --group_by`); empty of an image that stands alone. None without groups.
    ///
    /// # Errors
    /// What was known of the images then cannot be read.
    pub fn groups(&self, split: Split) -> Result<Option<Vec<String>>, DatasetError> {
        let (Some(mut group_of), Some(index)) =
            (images::groups(&self.root, self.manifest.as_deref())?, self.index(split))
        else {
            return Ok(None);
        };
        let group = |sample: &Sample| sample.path.to_str().and_then(|path| group_of.remove(path));
        Ok(Some(index.samples.iter().map(group).map(Option::unwrap_or_default).collect()))
    }

    /// Samples of `split`, if the data set has it. They are shared, never copied.
    pub fn index(&self, split: Split) -> Option<&Arc<Index>> {
        match split {
            Split::Train => Some(&self.train),
            Split::Val => Some(&self.val),
            Split::Test => self.test.as_ref(),
        }
    }

    /// Of the files of a split's images, what changes when one of them does: hex SHA-256 over their
    /// names, sizes and times. `stop` is asked before each.
    ///
    /// # Errors
    /// An image is missing or may not be looked up, or `stop` said so.
    pub(crate) fn state_of(
        &self,
        split: Split,
        stop: &(impl Fn() -> bool + Sync),
    ) -> Result<String, DatasetError> {
        audit::state(self.index(split).into_iter().collect(), stop)
    }

    /// Hex SHA-256 over classes and samples of all splits (names, not contents; the root does not
    /// count): equal for equal indices. Computed at the first call and kept.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| self.compute_fingerprint())
    }

    fn compute_fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            // The length keeps `ab`, `c` apart from `a`, `bc`.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        text("classes");
        for class in &self.classes {
            text(class);
        }
        for index in Split::ALL.iter().filter_map(|split| self.index(*split)) {
            text(index.split.name());
            text(&index.samples.len().to_string());
            if let Some(sets) = &index.label_sets {
                text(Task::MultiLabel.name());
                for (sample, labels) in index.samples.iter().zip(sets.iter()) {
                    text(&sample.path.to_string_lossy());
                    text(&labels.len().to_string());
                    labels.iter().for_each(|label| text(&label.to_string()));
                }
                continue;
            }
            for sample in &index.samples {
                text(&sample.path.to_string_lossy());
                text(&sample.class.to_string());
            }
        }
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests;
