//! What can go wrong with a file of PyTorch's.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be written or read. Each message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such file.
    #[error("there is no file `{}`", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// Some other file.
    #[error("`{}` is not a checkpoint that can be read: {reason}", path.display())]
    NotTorch {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// A program of `torch.jit.save`, not a tree of tensors.
    #[error(
        "`{}` is a TorchScript program; for its weights alone, in Python: \
         torch.save(torch.jit.load(path).state_dict(), new_path)",
        path.display()
    )]
    TorchScript {
        /// The file.
        path: PathBuf,
    },
    /// The end of the file is missing.
    #[error("`{}` is cut short ({detail})", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The file's bytes are not those that were written, or contradict each other.
    #[error("`{}` is damaged ({detail})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        detail: String,
    },
    /// The file holds something that is not a tensor or a plain value.
    #[error(
        "`{}` contains {what}: only tensors and plain values are read, as \
         torch.save(model.state_dict(), path) in Python writes them",
        path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The system could not read the file.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system could not write the file; what was there before is untouched.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// No room for the file; what was there before is untouched.
    #[error("cannot write `{}`: the disk is full ({source})", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The system's answer: no space, or a quota that is used up.
        source: io::Error,
    },
    /// The tree holds something that PyTorch's format has no place for.
    #[error("cannot write `{}`: the state contains {what}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
}

impl Error {
    /// Whether the file's bytes are wrong, so that another copy of it may do instead.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Error::CutShort { .. }
                | Error::Damaged { .. }
                | Error::NotTorch { .. }
                | Error::TorchScript { .. }
        )
    }

    /// What the system answered to writing `path`.
    pub fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if atomic_file::is_disk_full(&source) {
            Error::DiskFull { path, source }
        } else {
            Error::Write { path, source }
        }
    }
}

/// What is wrong with the bytes of a file, before it is known which file.
#[derive(Debug)]
pub(crate) enum Problem {
    NotTorch(String),
    TorchScript,
    CutShort(String),
    Damaged(String),
    Unsupported(String),
    Io(io::Error),
}

impl Problem {
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Problem::Damaged(detail.into())
    }

    pub(crate) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Problem::NotTorch(reason) => Error::NotTorch { path, reason },
            Problem::TorchScript => Error::TorchScript { path },
            Problem::CutShort(detail) => Error::CutShort { path, detail },
            Problem::Damaged(detail) => Error::Damaged { path, detail },
            Problem::Unsupported(what) => Error::Unsupported { path, what },
            Problem::Io(source) => match source.kind() {
                io::ErrorKind::NotFound => Error::NotFound { path },
                _ => Error::Read { path, source },
            },
        }
    }
}

/// The first line of a libtorch error; what follows it is a C++ stack.
pub(crate) fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
