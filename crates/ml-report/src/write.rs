//! Bytes → a file of a report, whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file of a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file system refused.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The plotting library refused.
    #[error("cannot draw {}: {reason}", path.display())]
    Draw {
        /// The file that it was for.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Makes the folder `dir` and those above it.
///
/// # Errors
/// [`ReportError::Write`].
pub fn make_folder(dir: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })
}

/// Puts `bytes` into the file `path`: written beside it, synced, renamed. What was there before
/// stays until then.
///
/// # Errors
/// [`ReportError::Write`]; nothing is left beside then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    atomic_file::replace(path, bytes).map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.txt");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("folder");
        fs::create_dir(&blocked).unwrap();
        fs::write(blocked.join("file"), "").unwrap();
        let error = replace(&blocked, b"text").unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("folder"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("missing/report.txt"), b"").is_err());
        assert!(make_folder(&blocked.join("file/below")).unwrap_err().to_string().contains("below"));
    }
}
