//! Why a folder cannot be examined at all, or its report not be written.

use std::io;
use std::path::PathBuf;

use crate::dataset::DatasetError;
use crate::table::printable_path;

/// What ends an examination. Each message is one line: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It is no folder, or cannot be looked at.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The report would lie among the images.
    #[error(
        "{}: lies among the images or the splits; choose another place for the report with --output",
        printable_path(path)
    )]
    OutputInside {
        /// The place.
        path: PathBuf,
    },
    /// A file that is no report of ours has its name.
    #[error(
        "{}: exists and is no report of ml-split, so it is not replaced; move it away, or give --output for another place",
        printable_path(path)
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses the report.
    #[error(
        "{}: cannot be written: {source}; give --output for another place, or --no_report",
        printable_path(path)
    )]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl CheckError {
    /// Whether what was requested is wrong, rather than what the folders hold: exit code 2, not 1.
    pub fn is_usage(&self) -> bool {
        match self {
            CheckError::Dataset(error) => error.is_usage(),
            CheckError::OutputInside { .. } => true,
            _ => false,
        }
    }
}
