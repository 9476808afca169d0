//! What can go wrong with a checkpoint, in words for its user.

use std::path::{Path, PathBuf};

use torch_file::ValueError;

use crate::torch_error::TorchError;

/// Why a checkpoint cannot be written or read. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("{}", with_advice(.0))]
    File(#[source] torch_file::Error),
    /// The file is sound, but an entry is missing or of another type.
    #[error(
        "{}: {source}: it was made by another program, or is a bare model; give a checkpoint of \
         ml-train",
        named(path.as_ref())
    )]
    Content {
        /// The file, where known.
        path: Option<PathBuf>,
        /// Which entry.
        source: ValueError,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "{}: `format_version` is {found}, and this program reads up to {newest}: update it",
        named(path.as_ref())
    )]
    Version {
        /// The file, where known.
        path: Option<PathBuf>,
        /// The file's version.
        found: u64,
        /// The newest version that is understood.
        newest: u64,
    },
    /// The state cannot be brought to the host.
    #[error(transparent)]
    Torch(#[from] TorchError),
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
            error @ (CheckpointError::File(_) | CheckpointError::Torch(_)) => error,
        }
    }

    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, CheckpointError::File(torch_file::Error::NotFound { .. }))
    }

    /// Whether the file's bytes are wrong, so that another checkpoint of the run may do instead.
    pub fn is_damage(&self) -> bool {
        matches!(self, CheckpointError::File(error) if error.is_damage())
    }

    /// Whether another file should have been named, rather than that this one cannot be read.
    pub fn is_usage(&self) -> bool {
        self.is_damage()
            || matches!(
                self,
                CheckpointError::File(torch_file::Error::Unsupported { .. })
                    | CheckpointError::Content { .. }
            )
    }
}

impl From<torch_file::Error> for CheckpointError {
    fn from(error: torch_file::Error) -> Self {
        CheckpointError::File(error)
    }
}

impl From<ValueError> for CheckpointError {
    fn from(source: ValueError) -> Self {
        CheckpointError::Content { path: None, source }
    }
}

fn with_advice(error: &torch_file::Error) -> String {
    use torch_file::Error;
    match error {
        Error::NotFound { path } => {
            format!("no checkpoint at `{}`: check the path, or train to make one", path.display())
        }
        Error::CutShort { .. } | Error::Damaged { .. } => {
            format!("{error}: copy it again, or use another checkpoint of the run")
        }
        Error::TorchScript { .. } => {
            format!("{error}. To train the program itself: model.type: torchscript")
        }
        Error::Read { .. } => format!("{error}: check that it is a file that you may read"),
        Error::Write { .. } => format!("{error}: check that its folder exists and may be written"),
        Error::DiskFull { .. } => format!("{error}: free some space, then resume"),
        _ => error.to_string(),
    }
}

fn named(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| "the checkpoint".into(), |path| format!("`{}`", path.display()))
}
