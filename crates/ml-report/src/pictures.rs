//! Image files → pixels, and pixels → PNG files.

use std::path::Path;

use image::codecs::png::PngEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder, ImageError, RgbImage};
use ml_data::dataset::Index;
use ml_data::decode::{self, Pixels};

/// The image in a file, whose bytes are put into `bytes`; none if it can no longer be read.
#[expect(clippy::redundant_closure_for_method_calls, reason = "it would not be general enough")]
pub(crate) fn read(path: &Path, bytes: &mut Vec<u8>) -> Option<Pixels> {
    decode::read(path, bytes, |encoded| encoded.decode()).ok()
}

/// An image of a split, squeezed into a square; none if it can no longer be read.
pub(crate) fn square(index: &Index, sample: usize, side: u32) -> Option<RgbImage> {
    let path = index.root.join(&index.samples.get(sample)?.path);
    let pixels = read(&path, &mut Vec::new())?;
    let image = RgbImage::from_raw(pixels.width, pixels.height, pixels.data)?;
    Some(resize(&image, side, side, FilterType::Triangle))
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
