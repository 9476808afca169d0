//! An image file → RGB pixels, as Pillow's `ImageOps.exif_transpose(im).convert("RGB")` gives them.
//!
//! In: a path to a JPEG, PNG, WebP, BMP, GIF, TIFF, PNM or QOI file, or to a NumPy array; the format
//! is read from the content, never from the suffix. Out: [`Pixels`], or a [`DecodeError`] that names the path and
//! what is wrong; of a file in no such format, what it is and what to do about it.
//!
//! - The orientation that EXIF or XMP metadata say is applied.
//! - Grey becomes three equal channels; palettes are looked up; of an animation the first frame is
//!   taken.
//! - Alpha is dropped, not blended, as Pillow does it.
//! - 16-bit channels keep their high byte. For colour that is what Pillow does; its 16-bit *grey*
//!   (`I;16`) instead clips everything above 255 to white, which destroys the image, so here the
//!   two differ on purpose.
//! - Floating-point images are refused: they have no agreed range.
//! - A file that is cut short is an error; it never becomes an image with grey or black where data
//!   is missing.
//!
//! JPEG is decoded by libjpeg-turbo, as Pillow does, and can be decoded in part or scaled down
//! ([`Encoded`]); PNG by the `png` crate, TIFF by a reader of its own, the other formats by the `image` crate.
//!
//! [`Encoded::decode_raster`] gives all channels and 16 bits of TIFF, PNG and NumPy files as they are
//! stored ([`Raster`]).
//!
//! [`Encoded::noting`] tells of images that show nothing once they are 8-bit RGB, at no cost for
//! others.
//!
//! What a file can make the program allocate is bounded by [`MAX_PIXELS`] and [`MAX_FILE_BYTES`],
//! both checked before the allocation.

mod convert;
mod encoded;
mod error;
mod exif;
pub(crate) mod foreign;
mod jpeg;
mod npy;
mod oddity;
mod png;
mod raster;
mod reason;
#[cfg(test)]
mod tests;
pub(crate) mod tiff;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use image::ImageFormat;

use crate::geometry::Size;

pub use encoded::Encoded;
pub use error::{DecodeError, DecodeProblem, Format};
use oddity::Observer;
pub use oddity::Oddity;
pub use raster::{Depth, MAX_CHANNELS, Raster};

/// Images of more pixels than this are refused: 178,956,970, where Pillow too refuses what it calls
/// a decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Files larger than this are refused: 2 GiB, enough for [`MAX_PIXELS`] of uncompressed 16-bit
/// colour.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// What a decoder may allocate beside its output, and the output itself: 2 GiB.
const MAX_ALLOCATION: u64 = 2 << 30;

/// An image: interleaved RGB, 8 bits a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// In pixels, at least 1.
    pub width: u32,
    /// In pixels, at least 1.
    pub height: u32,
    /// `[height, width, 3]`: `data[(y * width + x) * 3 + c]`, `c` = red, green, blue, each
    /// `0..=255`.
    pub data: Vec<u8>,
}

impl Size {
    /// The size of an image.
    pub fn of(pixels: &Pixels) -> Size {
        Size { height: pixels.height, width: pixels.width }
    }
}

/// The format of an image's first bytes, if it is one that is read.
pub(crate) fn recognize(bytes: &[u8]) -> Option<Format> {
    if tiff::is_tiff(bytes) {
        return Some(Format::Image(ImageFormat::Tiff));
    }
    if npy::is_npy(bytes) {
        return Some(Format::Npy);
    }
    image::guess_format(bytes).ok().filter(ImageFormat::reading_enabled).map(Format::Image)
}

/// Decodes the image file at `path`.
///
/// # Errors
/// The file cannot be read, is no image, is cut short or damaged, is of an unsupported kind, or
/// exceeds [`MAX_PIXELS`] or [`MAX_FILE_BYTES`]; see [`DecodeProblem`].
pub fn decode(path: &Path) -> Result<Pixels, DecodeError> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "it would not be general enough")]
    read(path, &mut Vec::new(), |encoded| encoded.decode())
}

/// Reads the image file at `path` into `bytes`, whose memory is used again, and its header, and
/// hands it to `use_it`.
///
/// # Errors
/// Those of [`read_into`], of [`Encoded::read`] and of `use_it`, with the path.
pub fn read<T>(
    path: &Path,
    bytes: &mut Vec<u8>,
    use_it: impl FnOnce(Encoded<'_>) -> Result<T, DecodeProblem>,
) -> Result<T, DecodeError> {
    read_into(path, bytes)
        .and_then(|()| Encoded::read(bytes))
        .and_then(use_it)
        .map_err(|problem| DecodeError { path: path.to_path_buf(), problem })
}

/// Decodes an image file that is already in memory.
///
/// # Errors
/// As [`decode`], without those of reading the file.
pub fn decode_bytes(bytes: &[u8]) -> Result<Pixels, DecodeProblem> {
    Encoded::read(bytes)?.decode()
}

/// The bytes of the file at `path`, at most [`MAX_FILE_BYTES`], into `bytes`, whose memory is used
/// again.
///
/// # Errors
/// It is missing, may not be read, is no file, or is too large.
pub fn read_into(path: &Path, bytes: &mut Vec<u8>) -> Result<(), DecodeProblem> {
    bytes.clear();
    // Opening a pipe could wait for ever.
    let metadata = fs::metadata(path).map_err(DecodeProblem::Read)?;
    if !metadata.is_file() {
        return Err(DecodeProblem::NotAFile { directory: metadata.is_dir() });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(DecodeProblem::FileTooLarge { bytes: metadata.len() });
    }
    let mut file = fs::File::open(path).map_err(DecodeProblem::Read)?.take(MAX_FILE_BYTES);
    let room = usize::try_from(metadata.len()).unwrap_or(usize::MAX).saturating_add(1);
    bytes.try_reserve(room).map_err(|_| DecodeProblem::FileTooLarge { bytes: metadata.len() })?;
    file.read_to_end(bytes).map_err(DecodeProblem::Read)?;
    Ok(())
}
