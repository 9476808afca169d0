//! A picture file → RGB pixels, as Pillow's `ImageOps.exif_transpose(im).convert("RGB")` gives them.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use std::path::Path;

/// Interleaved RGB, 8 bits a channel: `data[(y * width + x) * 3 + c]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("{0}")]
    Draft(String),
}

/// # Errors
/// The file cannot be read, is no picture, is cut short, or is larger than the documented limit.
pub fn decode(path: &Path) -> Result<Pixels, DecodeError> {
    let _ = path;
    todo!()
}
