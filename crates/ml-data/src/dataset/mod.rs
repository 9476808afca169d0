//! A data folder → [`Dataset`]: ordered classes and one [`Index`] a split.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use std::path::{Path, PathBuf};

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Val,
    Test,
}

impl Split {
    /// `train`, `val`, `test`: also the name of the split's folder or index file.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }
}

/// One picture and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Relative to [`Index::root`].
    pub path: Box<Path>,
    /// In `0..classes.len()`.
    pub class: u32,
}

/// The samples of one split, in a fixed order (by path).
#[derive(Clone, Debug)]
pub struct Index {
    pub root: PathBuf,
    pub split: Split,
    pub samples: Vec<Sample>,
}

/// A data folder as CONTRACT describes it.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub root: PathBuf,
    /// Class names in order: a class's number is its place. The same for every split.
    pub classes: Vec<String>,
    pub train: Index,
    pub val: Index,
    /// Absent if the folder has no test split.
    pub test: Option<Index>,
}

/// One message that names the path and what to do; see the variants.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("{0}")]
    Draft(String),
}

impl Dataset {
    /// Opens `data_dir`; `fold` chooses `fold_<k>_{train,val}.txt` of a data folder split with `--folds`.
    ///
    /// # Errors
    /// See [`DatasetError`].
    pub fn open(data_dir: &Path, fold: Option<u32>) -> Result<Dataset, DatasetError> {
        let _ = (data_dir, fold);
        todo!()
    }
    /// Number of samples of each class in a split, `classes.len()` long.
    pub fn class_counts(&self, split: Split) -> Vec<usize> {
        let _ = split;
        todo!()
    }
    /// Samples of `split`, if the data set has it.
    pub fn index(&self, split: Split) -> Option<&Index> {
        let _ = split;
        todo!()
    }
    /// Hex SHA-256 over classes and samples (names, not contents): equal for equal indices.
    pub fn fingerprint(&self) -> String {
        todo!()
    }
}
