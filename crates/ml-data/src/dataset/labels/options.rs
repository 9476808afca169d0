//! How a CSV of labels is read.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How a CSV of labels is read; by default its columns are found by their names and contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvOptions {
    /// What paths are relative to, instead of the CSV's folder.
    #[serde(skip)]
    pub root: Option<PathBuf>,
    /// The column of paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_column: Option<String>,
    /// The column of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// Of several labels an image: the columns of classes, each of 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_columns: Option<Vec<String>>,
    /// Of several labels an image: what separates them in the column of labels. Default `|`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_separator: Option<String>,
    /// The column of groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_column: Option<String>,
    /// The column of splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_column: Option<String>,
    /// What is added to paths: their ending, with or without its dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
}

impl CsvOptions {
    /// What paths in `csv` are relative to.
    pub(in crate::dataset) fn root_of<'a>(&'a self, csv: &'a Path) -> &'a Path {
        self.root.as_deref().unwrap_or_else(|| folder_of(csv))
    }
}

/// The folder that a file lies in.
pub(in crate::dataset) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
