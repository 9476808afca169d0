//! A data folder that was opened → what is wrong with its images before any is decoded: missing
//! ones, changes since they were split ([`Changes`]), and images that are in two splits
//! ([`Leaks`]).
//!
//! Every image's status is looked up, in threads. Contents are read only where two images may be
//! alike, and not again as long as nothing changes: either `ml-split` kept duplicates together and
//! no image is younger than its manifest, or an earlier verdict is found in [`CACHE_FOLDER`].

mod cache;
mod changes;
mod files;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::duplicates;
use super::error::DatasetError;
use super::label_sets::Task;
use super::manifest::{Method, Policy};
use super::{DEFAULT_SEED, Dataset, Index, MANIFEST_FILE, SPLITS_FOLDER, Split, images, shell_quoted};

pub use super::missing::Missing;
use crate::files::real;
pub use changes::Changes;
use files::{Images, Stat};

/// Examples that are named.
const SHOWN: usize = 3;

/// What is to be looked at, and what is to be done about missing images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Whether missing images become part of the [`Audit`] instead of an error.
    pub tolerate_missing: bool,
    /// Changes since the images were split.
    pub changes: bool,
    /// Images in two splits.
    pub leaks: bool,
    /// Whether a verdict may be written to [`CACHE_FOLDER`](super::CACHE_FOLDER).
    pub remember: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Images that are not there, if that is tolerated.
    pub missing: Option<Missing>,
    /// How the folder differs from what was split; none for ImageFolder trees.
    pub changes: Option<Changes>,
    /// What is in two splits.
    pub leaks: Option<Leaks>,
}

/// Images in two splits that belong into one. The metrics on one of them would be too good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaks {
    /// Contents that are in more than one split.
    pub contents: usize,
    /// Examples: two paths of one content.
    pub same: Vec<[String; 2]>,
    /// Groups that are in more than one split.
    pub groups: usize,
    /// Examples: a group's name and two paths.
    pub divided: Vec<[String; 3]>,
    /// What to do, from where the data folder is now.
    #[serde(skip)]
    pub remedy: String,
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |shown: usize, all: usize| if all > shown { ", …" } else { "" };
        let mut parts = Vec::new();
        if self.contents > 0 {
            let pairs: Vec<_> = self.same.iter().map(|[a, b]| format!("{a} = {b}")).collect();
            let more = more(pairs.len(), self.contents);
            parts.push(format!(
                "{} image(s) are in more than one split with the same content ({}{more})",
                self.contents,
                pairs.join(", ")
            ));
        }
        if self.groups > 0 {
            let named = self.divided.iter().map(|[name, a, b]| format!("`{name}`: {a} and {b}"));
            let named: Vec<_> = named.collect();
            let more = more(named.len(), self.groups);
            parts.push(format!(
                "{} group(s) are in more than one split ({}{more})",
                self.groups,
                named.join(", ")
            ));
        }
        write!(f, "{}, so metrics on unseen images would be too good; {}", parts.join("; "), self.remedy)
    }
}

/// Hex SHA-256 over names, sizes and times of the images of `indices`.
pub(super) fn state(
    indices: Vec<&Arc<Index>>,
    stop: &(impl Fn() -> bool + Sync),
) -> Result<String, DatasetError> {
    use sha2::Digest;
    let images = Images { indices };
    let mut hash = sha2::Sha256::new();
    // Whether missing ones are tolerated is decided by the audit.
    let (stats, _) = images.stats(stop)?;
    for (image, stat) in (0..).zip(stats) {
        let path = images.sample(image).path.as_os_str().as_encoded_bytes();
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path);
        hash.update(stat.bytes.to_le_bytes());
        hash.update(stat.modified.to_le_bytes());
    }
    Ok(hex::encode(hash.finalize()))
}

impl Dataset {
    /// Looks at all images of all splits; see the module. `stop` is asked before each.
    ///
    /// # Errors
    /// An image is missing and that is not tolerated, what `ml-split` wrote cannot be read, or
    /// `stop` said so.
    pub fn audit(&self, checks: Checks, stop: impl Fn() -> bool + Sync) -> Result<Audit, DatasetError> {
        let images = Images { indices: Split::ALL.iter().filter_map(|s| self.index(*s)).collect() };
        let (stats, missing) = images.stats(&stop)?;
        let missing = match missing {
            Some(missing) if !checks.tolerate_missing => return Err(DatasetError::MissingImages(missing)),
            missing => missing,
        };
        let mut audit = Audit { missing, ..Audit::default() };
        let looked_for = checks.changes || checks.leaks;
        let untouched = if looked_for { self.sizes_are_those_divided(&images, &stats) } else { None };
        if checks.changes {
            audit.changes = changes::find(self, &images, &stats, untouched)?;
        }
        if checks.leaks {
            audit.leaks = self.leaks(&images, &stats, untouched == Some(true), checks.remember, &stop)?;
        }
        Ok(audit)
    }

    /// Whether names and sizes are those of the manifest; none if it does not say.
    fn sizes_are_those_divided(&self, images: &Images<'_>, stats: &[Stat]) -> Option<bool> {
        use sha2::Digest;
        use std::io::Write;
        let manifest = self.manifest.as_ref()?;
        let mut next = stats.iter();
        let mut same = true;
        for index in &images.indices {
            let expected = manifest.split(&self.entry_name(index.split))?.pictures_sha256.as_ref()?;
            let mut hash = sha2::Sha256::new();
            let mut line = Vec::new();
            for (sample, stat) in index.samples.iter().zip(next.by_ref()) {
                line.clear();
                // Writing to memory cannot fail.
                let _ = write!(line, "{} ", stat.bytes);
                line.extend_from_slice(sample.path.as_os_str().as_encoded_bytes());
                line.push(b'\n');
                hash.update(&line);
            }
            same &= hex::encode(hash.finalize()).eq_ignore_ascii_case(expected);
        }
        Some(same)
    }

    /// The manifest's name for a split: that of the opened fold.
    fn entry_name(&self, split: Split) -> String {
        match self.fold {
            Some(fold) if split != Split::Test => format!("fold_{fold}_{}", split.name()),
            _ => split.name().to_owned(),
        }
    }

    fn leaks(
        &self,
        images: &Images<'_>,
        stats: &[Stat],
        untouched: bool,
        remember: bool,
        stop: &(impl Fn() -> bool + Sync),
    ) -> Result<Option<Leaks>, DatasetError> {
        let by_ml_split = self.kept_together(untouched);
        if by_ml_split && self.is_as_ml_split_left_it(stats) {
            return Ok(None);
        }
        let key = cache::key(self, stats);
        let advised = |leaks: Leaks| Leaks { remedy: self.remedy(), ..leaks };
        if let Some(known) = cache::read(self, &key) {
            return Ok(known.leaks.map(advised));
        }
        let sizes: Vec<u64> = stats.iter().map(|stat| stat.bytes).collect();
        let found =
            duplicates::exact(&sizes, |i| images.path(i), stop).map_err(|_| DatasetError::Interrupted)?;
        let mut leaks = Leaks::default();
        for set in &found.sets {
            if let Some(other) = set.iter().find(|i| images.split(**i) != images.split(set[0])) {
                leaks.contents += 1;
                if leaks.same.len() < SHOWN {
                    leaks.same.push([set[0], *other].map(|i| images.name(i)));
                }
            }
        }
        if !by_ml_split {
            self.divided_groups(images, &mut leaks)?;
        }
        let leaks = (leaks.contents + leaks.groups > 0).then_some(leaks);
        // Whoever makes an image readable changes neither its size nor its time.
        if remember && found.unreadable.is_empty() {
            cache::write(self, &key, leaks.as_ref());
        }
        Ok(leaks.map(advised))
    }

    /// Whether `ml-split` split these images, and its index files are as it wrote them.
    fn kept_together(&self, untouched: bool) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| {
            let sealed = |split: Split| {
                self.index(split).is_none()
                    || manifest
                        .split(&self.entry_name(split))
                        .is_some_and(|entry| entry.index_sha256.is_some())
            };
            untouched
                && Split::ALL.into_iter().all(sealed)
                && !matches!(manifest.method, Method::Given { .. })
        })
    }

    /// Whether duplicates were looked for then, and no image has been touched since.
    fn is_as_ml_split_left_it(&self, stats: &[Stat]) -> bool {
        let searched =
            self.manifest.as_ref().is_some_and(|manifest| manifest.duplicates == Some(Policy::KeepTogether));
        let written = Stat::of(&self.root.join(SPLITS_FOLDER).join(MANIFEST_FILE));
        searched && written.is_ok_and(|written| stats.iter().all(|stat| stat.changed < written.changed))
    }

    /// Groups of `pictures.csv` that are in two splits.
    fn divided_groups(&self, images: &Images<'_>, leaks: &mut Leaks) -> Result<(), DatasetError> {
        let Some(group_of) = images::groups(&self.root, self.manifest.as_deref())? else { return Ok(()) };
        let mut first: HashMap<&str, (u32, bool)> = HashMap::new();
        for image in 0..images.len() as u32 {
            let sample = images.sample(image);
            let group = sample.path.to_str().and_then(|path| group_of.get(path));
            let Some(group) = group.map(String::as_str) else { continue };
            let (earlier, told) = first.entry(group).or_insert((image, false));
            if !*told && images.split(*earlier) != images.split(image) {
                *told = true;
                leaks.groups += 1;
                if leaks.divided.len() < SHOWN {
                    let [a, b] = [*earlier, image].map(|i| images.name(i));
                    leaks.divided.push([group.to_owned(), a, b]);
                }
            }
        }
        Ok(())
    }

    fn remedy(&self) -> String {
        let root = shell_quoted(&self.root);
        match self.divided_again() {
            Some(again) => format!("split again with `{again}`"),
            None => format!(
                "remove the copies from one of the splits, or put all images into {root}/raw/<class>/ and run \
                 `ml-split {root}`"
            ),
        }
    }

    /// The command that splits the images again, as they were.
    fn divided_again(&self) -> Option<String> {
        let manifest = self.manifest.as_ref()?;
        let images = manifest.root.as_ref().map_or_else(|| self.root.clone(), PathBuf::from);
        let from = match &manifest.labels {
            Some(labels) => self.root.join(&labels.csv),
            None => super::source::join(&images, &manifest.images),
        };
        let mut words = vec![format!("ml-split {} --force", shell_quoted(&from))];
        let mut folder = |flag: &str, folder: &Path, usual: &Path| {
            if real(folder).ok() != real(usual).ok() {
                words.push(format!("{flag} {}", shell_quoted(folder)));
            }
        };
        match (&manifest.labels, from.parent()) {
            (Some(_), Some(beside)) => {
                folder("--root", &images, beside);
                folder("--output", &self.root, beside);
            }
            _ => folder("--output", &self.root, &images),
        }
        if manifest.task == Task::MultiLabel {
            words.push("--task multi_label".to_owned());
        }
        words.extend(manifest.method.flags());
        if manifest.seed != DEFAULT_SEED && !matches!(manifest.method, Method::Given { .. }) {
            words.push(format!("--seed {}", manifest.seed));
        }
        if let Some(by) = manifest.groups.as_ref().and_then(|groups| groups.by.as_ref()) {
            words.push(format!("--group_by {}", shell_quoted(Path::new(by))));
        }
        Some(words.join(" "))
    }
}

#[cfg(test)]
mod tests;
