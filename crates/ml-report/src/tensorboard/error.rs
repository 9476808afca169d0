//! What went wrong with events → a message that names the file or the tag.

use std::io;
use std::path::PathBuf;

/// Why events cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The folder or a file in it cannot be made.
    #[error("cannot write TensorBoard events in `{}`: {source}: check that the folder may be written", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file cannot be written on.
    #[error("cannot write `{}`: {source}: check that its folder still exists and may be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// No room for the file.
    #[error("cannot write `{}`: the disk is full ({source}): free some space, then resume", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The system's answer: no space, or a quota that is used up.
        source: io::Error,
    },
    /// The bytes given are not the image they should be.
    #[error("the image for TensorBoard's tag `{tag}` cannot be shown: {reason}")]
    Image {
        /// Where it was to be shown.
        tag: String,
        /// What is wrong with it.
        reason: String,
    },
}
