//! Image files → pixels, and pixels → PNG files.

use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use ml_data::decode::{self, Pixels};

/// The image in a file, whose bytes are put into `bytes`; none if it can no longer be read.
#[expect(clippy::redundant_closure_for_method_calls, reason = "it would not be general enough")]
pub(crate) fn read(path: &Path, bytes: &mut Vec<u8>) -> Option<Pixels> {
    decode::read(path, bytes, |encoded| encoded.decode()).ok()
}

/// RGB pixels, `3 * width * height` bytes, as a PNG file.
///
/// # Errors
/// The bytes are not as many.
pub(crate) fn encode_png(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, ImageError> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, width, height, ExtendedColorType::Rgb8)?;
    Ok(png)
}
