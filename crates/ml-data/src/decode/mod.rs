//! A picture file → RGB pixels, as Pillow's `ImageOps.exif_transpose(im).convert("RGB")` gives them.
//!
//! In: a path to a JPEG, PNG, WebP, BMP, GIF, TIFF, PNM or QOI file; the format is read from the content,
//! never from the suffix. Out: [`Pixels`], or a [`DecodeError`] that names the path and what is wrong.
//!
//! - EXIF orientation is applied.
//! - Grey becomes three equal channels; palettes are looked up; of an animation the first frame is taken.
//! - Alpha is dropped, not blended, as Pillow does it.
//! - 16-bit channels keep their high byte. For colour that is what Pillow does; its 16-bit *grey*
//!   (`I;16`) instead clips everything above 255 to white, which destroys the picture, so here the two
//!   differ on purpose.
//! - Floating-point pictures are refused: they have no agreed range.
//! - A file that is cut short is an error; it never becomes a picture with grey or black where data is
//!   missing.
//!
//! What a file can make the program allocate is bounded by [`MAX_PIXELS`] and [`MAX_FILE_BYTES`], both
//! checked before the allocation.

mod convert;
mod error;
mod jpeg;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

pub(crate) use error::name as format_name;
pub use error::{DecodeError, DecodeProblem};

/// Pictures of more pixels than this are refused: 178,956,970, where Pillow too refuses what it calls a
/// decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Files larger than this are refused: 2 GiB, enough for [`MAX_PIXELS`] of uncompressed 16-bit colour.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// What a decoder may allocate beside its output, and the output itself: 2 GiB.
const MAX_ALLOCATION: u64 = 2 << 30;

/// A picture: interleaved RGB, 8 bits a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// In pixels, at least 1.
    pub width: u32,
    /// In pixels, at least 1.
    pub height: u32,
    /// `[height, width, 3]`: `data[(y * width + x) * 3 + c]`, `c` = red, green, blue, each `0..=255`.
    pub data: Vec<u8>,
}

/// Decodes the picture file at `path`.
///
/// # Errors
/// The file cannot be read, is no picture, is cut short or damaged, is of an unsupported kind, or exceeds
/// [`MAX_PIXELS`] or [`MAX_FILE_BYTES`]; see [`DecodeProblem`].
pub fn decode(path: &Path) -> Result<Pixels, DecodeError> {
    read(path)
        .and_then(|bytes| decode_bytes(&bytes))
        .map_err(|problem| DecodeError { path: path.to_path_buf(), problem })
}

/// Decodes a picture file that is already in memory.
///
/// # Errors
/// As [`decode`], without those of reading the file.
pub fn decode_bytes(bytes: &[u8]) -> Result<Pixels, DecodeProblem> {
    if bytes.is_empty() {
        return Err(DecodeProblem::Empty);
    }
    let format = image::guess_format(bytes).map_err(|_| DecodeProblem::not_a_picture(bytes))?;
    // Decoders are other people's code fed with other people's files: a bug in one must cost one picture,
    // not the run.
    catch_unwind(AssertUnwindSafe(|| decode_as(format, bytes)))
        .unwrap_or_else(|panic| Err(DecodeProblem::crashed(format, panic.as_ref())))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DecodeProblem> {
    let metadata = fs::metadata(path).map_err(DecodeProblem::Read)?;
    if !metadata.is_file() {
        // Opening a pipe or a device could wait for ever.
        return Err(DecodeProblem::NotAFile { directory: metadata.is_dir() });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(DecodeProblem::FileTooLarge { bytes: metadata.len() });
    }
    fs::read(path).map_err(DecodeProblem::Read)
}

fn decode_as(format: ImageFormat, bytes: &[u8]) -> Result<Pixels, DecodeProblem> {
    if !format.reading_enabled() {
        return Err(DecodeProblem::Unsupported {
            format: error::name(format),
            reason: "this format is not read".to_owned(),
        });
    }
    if format == ImageFormat::Jpeg && !jpeg::is_complete(bytes) {
        return Err(DecodeProblem::CutShort { format: error::name(format) });
    }
    let broken = |error| DecodeProblem::from_image(format, bytes, error);

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(DecodeProblem::Damaged {
            format: error::name(format),
            reason: "it has no pixels".into(),
        });
    }
    if pixels > MAX_PIXELS || decoder.total_bytes() > MAX_ALLOCATION {
        return Err(DecodeProblem::TooLarge { width, height });
    }
    // Damaged EXIF data is no reason to lose the picture: Pillow shows it as it is stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    let mut rgb = convert::to_rgb8(format, picture)?;
    if orientation != Orientation::NoTransforms {
        let mut turned = DynamicImage::ImageRgb8(rgb);
        turned.apply_orientation(orientation);
        rgb = turned.into_rgb8();
    }
    Ok(Pixels { width: rgb.width(), height: rgb.height(), data: rgb.into_raw() })
}
