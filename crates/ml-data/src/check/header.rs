//! The first bytes of an image file → what it is: format, colours, animation. Decodes
//! nothing.

use std::io::Cursor;

use image::{ExtendedColorType, ImageDecoder, ImageFormat, ImageReader};

use crate::decode::tiff;

/// How an image stores its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Mode {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    Cmyk,
    Grey16,
    GreyAlpha16,
    Rgb16,
    Rgba16,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Grey => "grey",
            Mode::GreyAlpha => "grey with alpha",
            Mode::Rgb => "RGB",
            Mode::Rgba => "RGB with alpha",
            Mode::Cmyk => "CMYK",
            Mode::Grey16 => "16-bit grey",
            Mode::GreyAlpha16 => "16-bit grey with alpha",
            Mode::Rgb16 => "16-bit RGB",
            Mode::Rgba16 => "16-bit RGB with alpha",
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub mode: Mode,
    /// Whether there is more than one frame, or page.
    pub animated: bool,
}

/// `None` if the header cannot be read: decoding says why.
pub(super) fn read(format: ImageFormat, bytes: &[u8]) -> Option<Header> {
    if format == ImageFormat::Tiff {
        return tiff(bytes);
    }
    let decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().ok()?;
    let mode = match format {
        ImageFormat::Jpeg if jpeg_components(bytes) == Some(4) => Mode::Cmyk,
        _ => mode(decoder.original_color_type())?,
    };
    let animated = match format {
        ImageFormat::Gif => gif_frames(bytes) > 1,
        ImageFormat::Png => is_animated_png(bytes),
        // The second bit of an extended file's flags (RIFF header 12, chunk header 8).
        ImageFormat::WebP => {
            bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0)
        }
        _ => false,
    };
    Some(Header { mode, animated })
}

fn tiff(bytes: &[u8]) -> Option<Header> {
    let header = tiff::Header::read(bytes).ok()?;
    let (is_deep, has_alpha) = (header.bits > 8, header.alpha != tiff::Alpha::None);
    let mode = match (&header.color, is_deep, has_alpha) {
        (tiff::Color::Cmyk, ..) => Mode::Cmyk,
        (tiff::Color::Grey { .. }, false, false) => Mode::Grey,
        (tiff::Color::Grey { .. }, false, true) => Mode::GreyAlpha,
        (tiff::Color::Grey { .. }, true, false) => Mode::Grey16,
        (tiff::Color::Grey { .. }, true, true) => Mode::GreyAlpha16,
        (_, false, false) => Mode::Rgb,
        (_, false, true) => Mode::Rgba,
        (_, true, false) => Mode::Rgb16,
        (_, true, true) => Mode::Rgba16,
    };
    Some(Header { mode, animated: header.has_pages })
}

fn mode(color: ExtendedColorType) -> Option<Mode> {
    use ExtendedColorType as C;
    Some(match color {
        C::L1 | C::L2 | C::L4 | C::L8 => Mode::Grey,
        C::La1 | C::La2 | C::La4 | C::La8 => Mode::GreyAlpha,
        C::Rgb1 | C::Rgb2 | C::Rgb4 | C::Rgb8 | C::Bgr8 => Mode::Rgb,
        C::Rgba1 | C::Rgba2 | C::Rgba4 | C::Rgba8 | C::Bgra8 => Mode::Rgba,
        C::Cmyk8 | C::Cmyk16 => Mode::Cmyk,
        C::L16 => Mode::Grey16,
        C::La16 => Mode::GreyAlpha16,
        C::Rgb16 => Mode::Rgb16,
        C::Rgba16 => Mode::Rgba16,
        _ => return None,
    })
}

/// The number of components in a JPEG's frame header (ITU-T T.81, B.2.2).
fn jpeg_components(bytes: &[u8]) -> Option<u8> {
    let mut at = 2;
    loop {
        while bytes.get(at..at + 2)? == [0xFF, 0xFF] {
            at += 1;
        }
        let [0xFF, marker] = *bytes.get(at..at + 2)? else { return None };
        match marker {
            0x01 | 0xD0..=0xD8 => at += 2,
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => return bytes.get(at + 9).copied(),
            _ => at += 2 + usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?])),
        }
    }
}

/// Frames of a GIF, counted no further than two.
fn gif_frames(bytes: &[u8]) -> usize {
    let count = || {
        // Header 6, screen descriptor 7, and its colour table.
        let mut at = 13 + color_table(*bytes.get(10)?);
        let mut frames = 0;
        loop {
            match *bytes.get(at)? {
                0x2C => {
                    frames += 1;
                    if frames == 2 {
                        return Some(2);
                    }
                    at = sub_blocks(bytes, at + 11 + color_table(*bytes.get(at + 9)?))?;
                }
                0x21 => at = sub_blocks(bytes, at + 2)?,
                _ => return Some(frames),
            }
        }
    };
    count().unwrap_or(0)
}

/// Bytes of the colour table that a descriptor's flags announce.
fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// The place behind a GIF's chain of sub-blocks.
fn sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

/// Whether an `acTL` chunk stands before the pixels.
fn is_animated_png(bytes: &[u8]) -> bool {
    let mut at = 8;
    while let Some(&[a, b, c, d, ref kind @ ..]) = bytes.get(at..at + 8) {
        match kind {
            b"acTL" => return true,
            b"IDAT" => return false,
            _ => at = at.saturating_add(12).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize),
        }
    }
    false
}
