//! `manifest.yaml`: what splits were made of and how, strict both ways.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::DatasetError;
use super::label_sets::Task;
use super::labels::CsvOptions;

/// The newest version of the format that is read. Version 1 has no `labels`, `duplicates`, `groups`
/// and no method `given`; it is still written where none of them is there.
/// Version 2 has no `labels.options`, version 3 no `excluded`, and version 4 no `task`.
const NEWEST_VERSION: u32 = 5;

/// The oldest version that can say what `manifest` says.
pub(super) fn version_for(manifest: &Manifest) -> u32 {
    let Manifest { labels, duplicates, groups, method, excluded, task, .. } = manifest;
    let newer = labels.is_some() || duplicates.is_some() || groups.is_some();
    match labels {
        _ if *task == Task::MultiLabel => NEWEST_VERSION,
        _ if !excluded.is_empty() => 4,
        Some(CsvLabels { options: Some(_), .. }) => 3,
        _ if newer || matches!(method, Method::Given { .. }) => 2,
        _ => 1,
    }
}

/// The contents of `manifest.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format_version: u32,
    /// The program and its version.
    pub created_by: String,
    /// Index files or a tree of folders.
    pub layout: Layout,
    /// The splits are a function of this and of the sorted names.
    pub seed: u64,
    /// How the images were split.
    pub method: Method,
    /// How many labels an image has; absent if one. With several, lines of index files are
    /// `<path>`, and `<tab><class>` for each label.
    #[serde(default, skip_serializing_if = "Task::is_single_label")]
    pub task: Task,
    /// What index lines are relative to, as an absolute path; absent if that is the folder that
    /// holds `splits/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The folder of class folders, relative to the root: `raw`, or `.` for the root itself.
    pub images: String,
    /// The CSV that gives the labels; lines of index files are then `<path><tab><class>`. Absent if
    /// the class is the path's first folder in `images`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<CsvLabels>,
    /// What was done about images with the same content; absent if they were not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Policy>,
    /// Groups that were kept together; absent if there are none. `pictures.csv` names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupsEntry>,
    /// Images that were left out on purpose, as index lines name them, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// In order: a class's number is its place.
    pub classes: Vec<String>,
    /// All images; with folds, each is counted once.
    pub total: usize,
    /// What was written: `train`, `val`, `test`, or `test`, `fold_0_train`, `fold_0_val`, …
    pub splits: Vec<SplitEntry>,
}

/// Where labels come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvLabels {
    /// The file, relative to the folder that holds `splits/`, or absolute.
    pub csv: String,
    /// Hex SHA-256 of the file when the images were split.
    pub sha256: String,
    /// How it was read, if otherwise than by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<CsvOptions>,
}

/// What is done about images with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// They are in the same split.
    KeepTogether,
}

/// Images that stay together, for whatever reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsEntry {
    /// `folder`, `csv` or the regular expression that made groups; absent if only duplicates did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Groups of two images or more.
    pub count: usize,
    /// Images in the largest.
    pub largest: usize,
}

/// In which form splits lie on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Text files with one path a line, in `splits/`.
    Index,
    /// A folder a split, with one folder a class.
    Folders,
}

/// How images were split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Method {
    /// Into training, validation and test images by these shares of 1.
    Ratio {
        /// Share of the training split.
        train: f64,
        /// Share of the validation split.
        val: f64,
        /// Share of the test split; 0 if there is none.
        test: f64,
    },
    /// Into folds, each the validation split of one training, after setting a common test split
    /// aside.
    Folds {
        /// How many.
        folds: u32,
        /// Share of 1 of the test split; 0 if there is none.
        test: f64,
    },
    /// As a CSV gave it.
    Given {
        /// Whether there is a test split.
        test: bool,
    },
}

/// One split, or one side of a fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitEntry {
    /// The index file without `.txt`, or the folder.
    pub name: String,
    /// Images in it.
    pub total: usize,
    /// Hex SHA-256 of the index file. Without it, the file may be edited within its counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_sha256: Option<String>,
    /// Hex SHA-256 of the lines `<bytes> <path>` of its images in order: tells whether the images
    /// are still those that were split, without reading them. For information; not checked on
    /// opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures_sha256: Option<String>,
    /// Images of each class; one with several labels counts for each.
    pub counts: BTreeMap<String, usize>,
}

impl Manifest {
    /// Reads and checks a manifest by itself; `path` is for messages.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Manifest, DatasetError> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let bad = |problem: String| DatasetError::Manifest { path: path.to_owned(), problem };
        let unreadable = |error: serde_yaml::Error| bad(format!("is damaged: {error}"));
        // First, so that a newer format is called that, and not a list of unknown keys.
        let Version { format_version } = serde_yaml::from_str(text).map_err(unreadable)?;
        if !(1..=NEWEST_VERSION).contains(&format_version) {
            return Err(bad(format!(
                "has format_version {format_version}, and this program knows 1 to {NEWEST_VERSION}"
            )));
        }
        let manifest: Manifest = serde_yaml::from_str(text).map_err(unreadable)?;
        manifest.check().map_err(bad)?;
        Ok(manifest)
    }

    /// Contradictions within the manifest.
    fn check(&self) -> Result<(), String> {
        if self.classes.is_empty() {
            return Err("classes: is empty".to_owned());
        }
        let mut sorted: Vec<_> = self.classes.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0])) {
            return Err(format!("classes: `{twice}` is listed twice"));
        }
        if let Some(class) = self.classes.iter().find(|class| class.is_empty() || class.contains('/')) {
            return Err(format!("classes: `{class}` is no folder's name"));
        }
        if self.images != "." && !inside(&self.images) {
            return Err(format!("images: `{}` leads out of the root", self.images));
        }
        if let Method::Folds { folds, .. } = self.method
            && folds < 2
        {
            return Err(format!("method.folds: must be at least 2, is {folds}"));
        }
        for (i, split) in self.splits.iter().enumerate() {
            let SplitEntry { name, total, counts, .. } = split;
            if self.splits[..i].iter().any(|earlier| earlier.name == *name) {
                return Err(format!("splits: `{name}` is listed twice"));
            }
            let unknown = counts.keys().find(|class| sorted.binary_search(class).is_err());
            if let Some(class) = unknown {
                return Err(format!(
                    "splits: the counts of `{name}` name `{class}`, which is not in classes"
                ));
            }
            let sum = counts.values().fold(0usize, |sum, count| sum.saturating_add(*count));
            if self.task == Task::MultiLabel {
                if let Some((class, count)) = counts.iter().find(|(_, count)| *count > total) {
                    return Err(format!(
                        "splits: `{name}` has {total} images, and {count} of class `{class}`"
                    ));
                }
            } else if sum != *total {
                return Err(format!(
                    "splits: the counts of `{name}` add up to {sum}, but its total is {total}"
                ));
            }
        }
        Ok(())
    }

    /// The entry called `name`.
    pub(super) fn split(&self, name: &str) -> Option<&SplitEntry> {
        self.splits.iter().find(|split| split.name == name)
    }
}

/// Whether a path with `/` between its parts stays below what it is relative to. Links are followed
/// later, on purpose: images may lie on another disk.
pub(crate) fn inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}
