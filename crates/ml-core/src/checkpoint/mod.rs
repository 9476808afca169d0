//! A training state ↔ a `.pt` file that Python's `torch.load(weights_only=True)` opens. The only code that knows the format.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use std::path::Path;

use crate::value::Value;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{0}")]
    Draft(String),
}

/// Writes `value` (usually a dict) as PyTorch would: beside, synced, renamed.
///
/// # Errors
/// Anything that keeps the file from being complete; the file that was there before is untouched then.
pub fn write(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    let _ = (path, value);
    todo!()
}

/// Reads what [`write`] or Python's `torch.save` wrote. Executes nothing; memory is bounded by the file's size.
///
/// # Errors
/// Not a checkpoint, cut short, damaged, or with anything but tensors and plain values in it.
pub fn read(path: &Path) -> Result<Value, CheckpointError> {
    let _ = path;
    todo!()
}
