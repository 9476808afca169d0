//! What can be wrong with an image file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use image::{ImageError, ImageFormat};

use super::foreign::{self, Foreign};
use super::{MAX_FILE_BYTES, MAX_PIXELS, reason};
use crate::geometry::Size;

/// An image that cannot be decoded: the path and what is wrong with it, in one line.
#[derive(Debug, thiserror::Error)]
#[error("cannot use image {}: {problem}", path.display())]
pub struct DecodeError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: DecodeProblem,
}

impl DecodeError {
    /// The file that cannot be decoded.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Why an image cannot be decoded, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeProblem {
    /// The file is missing or may not be read.
    #[error("{}", read_failure(.0))]
    Read(io::Error),
    /// The path leads to a directory, a pipe or a device.
    #[error("{} stands where an image file should; remove it", if *.directory { "a directory" } else { "a pipe or device" })]
    NotAFile {
        /// Whether it is a directory.
        directory: bool,
    },
    /// The file has no content.
    #[error("the file is empty (0 bytes); remove it or copy it again")]
    Empty,
    /// The content is of no known format.
    #[error(
        "not an image in a known format: it starts with {start}; convert it to PNG or JPEG if it is one, or leave it out"
    )]
    UnknownFormat {
        /// The first bytes, printable.
        start: String,
    },
    /// The content is something else than an image.
    #[error("this is {name}, not an image; {advice}")]
    NotAnImage {
        /// What it is, with its article.
        name: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The content is an image in a format that is not read.
    #[error("unsupported format: this is {name}; {advice}")]
    UnsupportedFormat {
        /// What it is, with its article.
        name: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The file ends before the image does.
    #[error("the {format} file is cut short; copy or download it again")]
    CutShort {
        /// Name of the format.
        format: &'static str,
    },
    /// The content breaks the rules of its format.
    #[error("the {format} file is damaged: {reason}; copy or download it again")]
    Damaged {
        /// Name of the format.
        format: &'static str,
        /// The decoder's own words.
        reason: String,
    },
    /// The content is an image of a kind that is not read.
    #[error("unsupported {format} file: {reason}; convert it to PNG or JPEG{}", how(format))]
    Unsupported {
        /// Name of the format.
        format: &'static str,
        /// What is not supported.
        reason: String,
    },
    /// The content is an array that is no image.
    #[error("unsupported NumPy file: {reason}")]
    UnsupportedArray {
        /// What is not supported, and what to do.
        reason: String,
    },
    /// The image has another number of channels than the transforms say.
    #[error(
        "it has {found} channels, and transforms.<split>.channels is {wanted}; set that to {found} for all splits, or \
         leave the image out"
    )]
    Channels {
        /// Of the file.
        found: usize,
        /// By the transforms.
        wanted: usize,
    },
    /// The image has more bits a channel than the transforms say.
    #[error(
        "it has {found} bits a channel, and transforms.<split>.bits is {wanted}; set that to {found} for all splits"
    )]
    Depth {
        /// Of the file.
        found: u8,
        /// By the transforms.
        wanted: u8,
    },
    /// The header announces more pixels than [`MAX_PIXELS`], or more memory than is allowed.
    #[error(
        "its header announces {width} x {height} pixels; at most {MAX_PIXELS} pixels are decoded; make it smaller"
    )]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Its shorter side is so short that `resize` would make an enormous image of it.
    #[error(
        "it has {} x {} pixels, and `resize` would make {} x {} of it, more than are allowed; crop it, or remove it",
        from.width, from.height, to.width, to.height
    )]
    ResizedTooLarge {
        /// The image's size.
        from: Size,
        /// What `resize` would make of it.
        to: Size,
    },
    /// Decoding would need more memory than is allowed.
    #[error(
        "decoding this {format} file needs more memory than the 2 GiB allowed for an image; make it smaller"
    )]
    TooMuchMemory {
        /// Name of the format.
        format: &'static str,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("the file has {bytes} bytes; at most {MAX_FILE_BYTES} are read; make it smaller")]
    FileTooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The decoder itself failed.
    #[error("the {format} decoder failed on it: {reason}; convert it to PNG or JPEG")]
    Crashed {
        /// Name of the format.
        format: &'static str,
        /// The decoder's own words.
        reason: String,
    },
}

impl DecodeProblem {
    /// Of a file that is in no format that is read.
    pub(super) fn of_other(bytes: &[u8]) -> DecodeProblem {
        match foreign::recognize(bytes) {
            Some(Foreign { name, advice, kind: foreign::Kind::Image }) => {
                DecodeProblem::UnsupportedFormat { name, advice }
            }
            Some(Foreign { name, advice, kind: foreign::Kind::Other }) => {
                DecodeProblem::NotAnImage { name, advice }
            }
            None => {
                let start = &bytes[..bytes.len().min(16)];
                DecodeProblem::UnknownFormat { start: format!("\"{}\"", start.escape_ascii()) }
            }
        }
    }

    pub(super) fn crashed(format: Format, reason: &str) -> DecodeProblem {
        DecodeProblem::Crashed { format: format.name(), reason: reason::plain(&reason) }
    }

    pub(super) fn from_jpeg(error: jpeg_ext::Error) -> DecodeProblem {
        DecodeProblem::from_jpeg_in(name(ImageFormat::Jpeg), error)
    }

    /// Of a JPEG stream inside a file of `format`.
    pub(super) fn from_jpeg_in(format: &'static str, error: jpeg_ext::Error) -> DecodeProblem {
        match error {
            jpeg_ext::Error::CutShort => DecodeProblem::CutShort { format },
            jpeg_ext::Error::Memory => DecodeProblem::TooMuchMemory { format },
            jpeg_ext::Error::Unsupported(reason) => DecodeProblem::Unsupported { format, reason },
            jpeg_ext::Error::TooManyScans(reason) | jpeg_ext::Error::Damaged(reason) => {
                DecodeProblem::Damaged { format, reason: reason::plain(&reason) }
            }
        }
    }

    pub(super) fn from_image(format: ImageFormat, bytes: &[u8], error: ImageError) -> DecodeProblem {
        let short_webp = format == ImageFormat::WebP && is_short_webp(bytes);
        let format = name(format);
        let reason = reason::plain(&error);
        match error {
            ImageError::Limits(_) => DecodeProblem::TooMuchMemory { format },
            ImageError::Unsupported(_) => DecodeProblem::Unsupported { format, reason },
            error if short_webp || is_cut_short(&error) => DecodeProblem::CutShort { format },
            _ => DecodeProblem::Damaged { format, reason },
        }
    }
}

/// Whether the decoder ran out of bytes. Decoders say so in their own ways: mostly by
/// `UnexpectedEof` somewhere down the chain of causes, some in words only.
fn is_cut_short(error: &ImageError) -> bool {
    let is_eof = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match error {
        ImageError::IoError(error) if is_eof(error) => return true,
        error => Some(error),
    };
    while let Some(error) = cause {
        let words = error.to_string().to_lowercase();
        if error.downcast_ref().is_some_and(is_eof) || SIGNS.iter().any(|sign| words.contains(sign)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What decoders say when they run out of bytes.
const SIGNS: [&str; 5] =
    ["unexpected end", "unexpected eof", "end of file", "failed to fill", "not have enough data"];

/// Whether a WebP file is shorter than its header says. Its decoder calls that corrupt.
fn is_short_webp(bytes: &[u8]) -> bool {
    // "RIFF", then the length of what follows, little-endian.
    bytes
        .get(4..8)
        .and_then(|length| <[u8; 4]>::try_from(length).ok())
        .is_none_or(|length| (bytes.len() as u64) < u64::from(u32::from_le_bytes(length)) + 8)
}

/// A command that converts a file.
fn how(format: &str) -> &'static str {
    if format == "TIFF" { ", for example with ImageMagick: magick in.tif out.png" } else { "" }
}

fn read_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; bring it back or leave it out".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied; make it readable".to_owned(),
        _ => format!("it cannot be read: {}", first_line(error)),
    }
}

fn first_line(text: &impl fmt::Display) -> String {
    text.to_string().lines().next().unwrap_or_default().trim_end().trim_end_matches('.').to_owned()
}

/// The format of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One of the `image` crate's.
    Image(ImageFormat),
    /// A NumPy array.
    Npy,
}

impl Format {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Image(format) => name(format),
            Format::Npy => "NumPy",
        }
    }
}

/// A format's usual name.
pub(super) fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Pnm => "PNM",
        ImageFormat::Qoi => "QOI",
        ImageFormat::Avif => "AVIF",
        ImageFormat::Ico => "ICO",
        ImageFormat::Hdr => "Radiance HDR",
        ImageFormat::OpenExr => "OpenEXR",
        ImageFormat::Dds => "DDS",
        ImageFormat::Farbfeld => "farbfeld",
        ImageFormat::Tga => "TGA",
        _ => "image",
    }
}
