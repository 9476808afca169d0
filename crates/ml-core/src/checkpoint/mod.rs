//! A training state ↔ a `.pt` file that Python's `torch.load(weights_only=True)` opens.
//!
//! In: the typed [`Checkpoint`]. Out: a file of [`torch_file`], in the layout that this module alone
//! knows; written off the training thread by [`AsyncWriter`], and replaced as a whole.

mod async_writer;
mod error;
mod snapshot;
#[cfg(test)]
mod tests;

use std::path::Path;

use torch_file::Value;

pub use async_writer::{AsyncWriter, CheckpointPaths, WriteStats, not_finite};
pub use error::CheckpointError;
pub use snapshot::{Checkpoint, FORMAT_VERSION, is_checkpoint, model_state_from};

/// Reads a file as [`torch_file::read`] does.
///
/// # Errors
/// As there, with what to do about it.
pub fn read(path: &Path) -> Result<Value, CheckpointError> {
    Ok(torch_file::read(path)?)
}

/// Writes a file as [`torch_file::write`] does.
///
/// # Errors
/// As there, with what to do about it.
pub fn write(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    Ok(torch_file::write(path, value)?)
}
