//! What can go wrong with a checkpoint, in words for its user.

use std::io;
use std::path::{Path, PathBuf};

use crate::value::ValueError;

/// Why a checkpoint cannot be written or read. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is no such file.
    #[error("no checkpoint at `{}`: check the path, or train to make one", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// Some other file.
    #[error("`{}` is not a checkpoint that can be read: {reason}", path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// The end of the file is missing.
    #[error("`{}` is cut short ({detail}): copy it again, or use another checkpoint of the run", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The file's bytes are not those that were written, or contradict each other.
    #[error("`{}` is damaged ({detail}): copy it again, or use another checkpoint of the run", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        detail: String,
    },
    /// The file holds something that is not a tensor or a plain value.
    #[error("`{}` contains {what}: only tensors and plain values are read, as torch.save(model.state_dict(), path) in Python writes them", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The file is sound, but an entry is missing or of another type.
    #[error("{}: {source}: it was made by another program, or is a bare model; give a checkpoint of ml-train", named(path.as_ref()))]
    Content {
        /// The file, where known.
        path: Option<PathBuf>,
        /// Which entry.
        source: ValueError,
    },
    /// The file was written by a newer version of this program.
    #[error("{}: `format_version` is {found}, and this program reads up to {newest}: update it", named(path.as_ref()))]
    Version {
        /// The file, where known.
        path: Option<PathBuf>,
        /// The file's version.
        found: u64,
        /// The newest version that is understood.
        newest: u64,
    },
    /// The system could not read the file.
    #[error("cannot read `{}`: {source}: check that it is a file that you may read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system could not write the file; what was there before is untouched.
    #[error("cannot write `{}`: {source}: check that its folder exists and may be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// No room for the file; what was there before is untouched.
    #[error("cannot write `{}`: the disk is full ({source}): free some space, then resume", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The system's answer: no space, or a quota that is used up.
        source: io::Error,
    },
    /// The state holds something that has no place in a checkpoint.
    #[error("cannot write `{}`: the state contains {what}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
}

impl CheckpointError {
    /// The same error, with the file named where it was not known.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        let file = Some(file.to_owned());
        match self {
            CheckpointError::Content { path, source } => {
                CheckpointError::Content { path: path.or(file), source }
            }
            CheckpointError::Version { path, found, newest } => {
                CheckpointError::Version { path: path.or(file), found, newest }
            }
            other => other,
        }
    }

    /// Whether the file's bytes are wrong, so that another checkpoint of the run may do instead.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            CheckpointError::CutShort { .. }
                | CheckpointError::Damaged { .. }
                | CheckpointError::NotACheckpoint { .. }
        )
    }

    /// Whether another file should have been named, rather than that this one cannot be read.
    pub fn is_usage(&self) -> bool {
        self.is_damage()
            || matches!(self, CheckpointError::Unsupported { .. } | CheckpointError::Content { .. })
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                CheckpointError::DiskFull { path, source }
            }
            _ => CheckpointError::Write { path, source },
        }
    }
}

impl From<ValueError> for CheckpointError {
    fn from(source: ValueError) -> Self {
        CheckpointError::Content { path: None, source }
    }
}

fn named(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| "the checkpoint".into(), |path| format!("`{}`", path.display()))
}

/// What is wrong with the bytes of a file, before it is known which file.
#[derive(Debug)]
pub(super) enum Problem {
    NotACheckpoint(String),
    CutShort(String),
    Damaged(String),
    Unsupported(String),
    Io(io::Error),
}

impl Problem {
    pub(super) fn damaged(detail: impl Into<String>) -> Self {
        Problem::Damaged(detail.into())
    }

    pub(super) fn at(self, path: &Path) -> CheckpointError {
        let path = path.to_owned();
        match self {
            Problem::NotACheckpoint(reason) => CheckpointError::NotACheckpoint { path, reason },
            Problem::CutShort(detail) => CheckpointError::CutShort { path, detail },
            Problem::Damaged(detail) => CheckpointError::Damaged { path, detail },
            Problem::Unsupported(what) => CheckpointError::Unsupported { path, what },
            Problem::Io(source) => match source.kind() {
                io::ErrorKind::NotFound => CheckpointError::NotFound { path },
                _ => CheckpointError::Read { path, source },
            },
        }
    }
}

/// The first line of a libtorch error; what follows it is a C++ stack.
pub(super) fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
