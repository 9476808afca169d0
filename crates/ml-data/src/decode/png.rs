//! A PNG file → RGB pixels. What follows the pixels does not matter: a file without its end, or
//! with something else behind it, is read if all pixels are there, as Pillow does it.
//!
//! Checksums: that of a chunk which the pixels depend on must be right. Another chunk in front of
//! the pixels whose checksum is wrong is passed over (Pillow refuses the file); behind them
//! checksums do not matter.

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind, Read as _};

use ::png::{BitDepth, ColorType, DecodingError, Transformations};
use image::metadata::Orientation;
use image::{ImageFormat, RgbImage};
use memchr::memmem;

use super::oddity::Observer;
use super::raster::{Depth, Raster, Stored};
use super::{DecodeProblem, MAX_ALLOCATION, error, exif, reason};
use crate::geometry::Size;

const SIGNATURE_BYTES: usize = 8;
/// A compressed text of more than these bytes is not metadata but an attack; Pillow's limit.
const MAX_TEXT: u64 = 1 << 20;

/// A PNG file whose header has been read.
pub(super) struct Png<'a> {
    bytes: &'a [u8],
    reader: ::png::Reader<Cursor<&'a [u8]>>,
}

impl<'a> Png<'a> {
    /// Reads what stands in front of the pixels.
    ///
    /// # Errors
    /// It is damaged, cut short, or needs too much memory.
    pub fn read(bytes: &'a [u8]) -> Result<Png<'a>, DecodeProblem> {
        // What a damaged header announces is not worth reporting.
        check(chunks(bytes).take(1))?;
        let limits = ::png::Limits { bytes: usize::try_from(MAX_ALLOCATION).unwrap_or(usize::MAX) };
        let mut decoder = ::png::Decoder::new_with_limits(Cursor::new(bytes), limits);
        decoder.set_transformations(Transformations::EXPAND);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        // `check` verifies those that matter.
        decoder.ignore_checksums(true);
        let reader = decoder.read_info().map_err(problem)?;
        Ok(Png { bytes, reader })
    }

    /// The size that the header announces.
    pub fn size(&self) -> Size {
        let (width, height) = self.reader.info().size();
        Size { height, width }
    }

    /// How the camera was held.
    pub fn orientation(&self) -> Orientation {
        orientation(self.bytes)
    }

    /// The pixels; `observer`, if there is one, sees them before they are 8-bit RGB.
    ///
    /// # Errors
    /// They are damaged or not all there.
    pub fn decode(mut self, observer: Option<&mut Observer>) -> Result<RgbImage, DecodeProblem> {
        let Size { width, height } = self.size();
        let (color, depth) = self.reader.output_color_type();
        let is_deep = match depth {
            BitDepth::Eight => false,
            BitDepth::Sixteen => true,
            _ => return Err(damaged("its pixels are of a kind that PNG does not have")),
        };
        if color == ColorType::Indexed {
            return Err(damaged("its pixels are of a kind that PNG does not have"));
        }
        let mut rows = Rows { channels: color.samples(), is_deep, observer };
        let info = self.reader.info();
        if info.frame_control.is_some_and(|frame| (frame.width, frame.height) != (width, height)) {
            return Err(damaged("its first frame does not fill the image"));
        }
        let is_interlaced = info.interlaced;
        let mut image = RgbImage::new(width, height);
        if is_interlaced {
            self.read_passes(&mut rows, &mut image)?;
        } else {
            self.read_rows(&mut rows, &mut image)?;
        }
        check(chunks(self.bytes))?;
        Ok(image)
    }

    /// Channels and bits.
    pub fn stored(&self) -> Stored {
        let (color, depth) = self.reader.output_color_type();
        let samples = color.samples();
        let colors = if matches!(samples, 2 | 4) { samples - 1 } else { samples };
        let depth = if depth == BitDepth::Sixteen { Depth::Sixteen } else { Depth::Eight };
        Stored { samples, colors, depth }
    }

    /// The first `channels` samples of each pixel; `stored` is what [`Png::stored`] says.
    ///
    /// # Errors
    /// As [`Png::decode`].
    pub fn raster(mut self, channels: usize, stored: Stored) -> Result<Raster, DecodeProblem> {
        let size = self.size();
        let info = self.reader.info();
        if info.frame_control.is_some_and(|frame| (frame.width, frame.height) != (size.width, size.height)) {
            return Err(damaged("its first frame does not fill the image"));
        }
        let is_interlaced = info.interlaced;
        let Stored { samples, depth, .. } = stored;
        let mut raster = Raster::zeros(size, channels, depth, error::name(ImageFormat::Png))?;
        let (width, area) = (size.width as usize, raster.area());
        let mut write = |row: &[u8], y: u32, columns: std::iter::StepBy<std::ops::Range<u32>>| {
            for (at, x) in columns.enumerate() {
                for channel in 0..channels {
                    let sample = at * samples + channel;
                    let value = match depth {
                        Depth::Eight => row.get(sample).map(|byte| f32::from(*byte)),
                        Depth::Sixteen => {
                            let bytes = row.get(2 * sample..).and_then(|rest| rest.first_chunk::<2>());
                            bytes.map(|bytes| f32::from(u16::from_be_bytes(*bytes)))
                        }
                    };
                    let place = channel * area + y as usize * width + x as usize;
                    raster.data[place] = value.unwrap_or_default();
                }
            }
        };
        if is_interlaced {
            for pass in Pass::ALL.iter().filter(|pass| pass.left < size.width) {
                for y in (pass.top..size.height).step_by(pass.row_step) {
                    let row = self.reader.next_interlaced_row().map_err(problem)?;
                    let columns = (pass.left..size.width).step_by(pass.column_step);
                    write(row.map(|row| row.data()).unwrap_or_default(), y, columns);
                }
            }
        } else {
            for y in 0..size.height {
                let row = self.reader.next_row().map_err(problem)?;
                write(row.map(|row| row.data()).unwrap_or_default(), y, (0..size.width).step_by(1));
            }
        }
        check(chunks(self.bytes))?;
        Ok(raster)
    }

    fn read_rows(&mut self, rows: &mut Rows<'_>, image: &mut RgbImage) -> Result<(), DecodeProblem> {
        let row_bytes = image.width() as usize * 3;
        for out in image.chunks_exact_mut(row_bytes) {
            if rows.channels == 3 && !rows.is_deep {
                self.reader.read_row(out).map_err(problem)?;
                continue;
            }
            let row = self.reader.next_row().map_err(problem)?;
            rows.convert(row.map(|row| row.data()).unwrap_or_default(), out);
        }
        Ok(())
    }

    fn read_passes(&mut self, rows: &mut Rows<'_>, image: &mut RgbImage) -> Result<(), DecodeProblem> {
        let (width, height) = image.dimensions();
        let mut rgb = vec![0; width as usize * 3];
        for pass in Pass::ALL.iter().filter(|pass| pass.left < width) {
            for y in (pass.top..height).step_by(pass.row_step) {
                let row = self.reader.next_interlaced_row().map_err(problem)?;
                let columns = (pass.left..width).step_by(pass.column_step);
                let rgb = &mut rgb[..columns.len() * 3];
                rows.convert(row.map(|row| row.data()).unwrap_or_default(), rgb);
                for (x, pixel) in columns.zip(rgb.as_chunks::<3>().0) {
                    image.put_pixel(x, y, image::Rgb(*pixel));
                }
            }
        }
        Ok(())
    }
}

/// A pass of Adam7 interlacing.
struct Pass {
    left: u32,
    top: u32,
    column_step: usize,
    row_step: usize,
}

impl Pass {
    const ALL: [Pass; 7] = [
        Pass { left: 0, top: 0, column_step: 8, row_step: 8 },
        Pass { left: 4, top: 0, column_step: 8, row_step: 8 },
        Pass { left: 0, top: 4, column_step: 4, row_step: 8 },
        Pass { left: 2, top: 0, column_step: 4, row_step: 4 },
        Pass { left: 0, top: 2, column_step: 2, row_step: 4 },
        Pass { left: 1, top: 0, column_step: 2, row_step: 2 },
        Pass { left: 0, top: 1, column_step: 1, row_step: 2 },
    ];
}

/// What rows of pixels are made of.
struct Rows<'a> {
    /// Grey or colour, with or without alpha.
    channels: usize,
    /// 16 bits a channel, the high byte first, rather than 8.
    is_deep: bool,
    observer: Option<&'a mut Observer>,
}

impl Rows<'_> {
    /// A row without alpha; of 16 bits, the high byte.
    fn convert(&mut self, row: &[u8], out: &mut [u8]) {
        let has_alpha = matches!(self.channels, 2 | 4);
        let colors = self.channels - usize::from(has_alpha);
        if self.is_deep
            && let Some(observer) = &mut self.observer
        {
            let samples = row.as_chunks::<2>().0.iter().map(|bytes| u16::from_be_bytes(*bytes));
            observer.see_16_bits(samples, |place| place % self.channels < colors);
        }
        let high: Vec<u8>;
        let row = if self.is_deep {
            high = row.iter().step_by(2).copied().collect();
            &high
        } else {
            row
        };
        if has_alpha && let Some(observer) = &mut self.observer {
            for pixel in row.chunks_exact(self.channels) {
                let color = if colors == 1 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
                observer.see_alpha(color, pixel[colors]);
            }
        }
        to_rgb(row, self.channels, out);
    }
}

/// A row of grey or colour, with or without alpha.
fn to_rgb(row: &[u8], channels: usize, out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<3>();
    match channels {
        1 => out.iter_mut().zip(row).for_each(|(out, grey)| *out = [*grey; 3]),
        2 => out.iter_mut().zip(row.as_chunks::<2>().0).for_each(|(out, [grey, _])| *out = [*grey; 3]),
        3 => out.iter_mut().zip(row.as_chunks::<3>().0).for_each(|(out, pixel)| *out = *pixel),
        _ => out.iter_mut().zip(row.as_chunks::<4>().0).for_each(|(out, [r, g, b, _])| *out = [*r, *g, *b]),
    }
}

fn damaged(reason: &str) -> DecodeProblem {
    DecodeProblem::Damaged { format: error::name(ImageFormat::Png), reason: reason.to_owned() }
}

fn problem(error: DecodingError) -> DecodeProblem {
    let format = error::name(ImageFormat::Png);
    let words = error.to_string();
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeProblem::CutShort { format }
        }
        DecodingError::LimitsExceeded => DecodeProblem::TooMuchMemory { format },
        // The data are sound as far as they go.
        _ if words.contains("not have enough data") || words.contains("InsufficientInput") => {
            DecodeProblem::CutShort { format }
        }
        _ if words.starts_with("Corrupt deflate stream") => damaged("its compressed data are corrupt"),
        _ if words.contains("combination in header") => {
            damaged("PNG does not have its combination of color type and bit depth")
        }
        _ => DecodeProblem::Damaged { format, reason: reason::plain(&words) },
    }
}

/// A chunk; of the last, parts may be missing.
struct Chunk<'a> {
    name: [u8; 4],
    content: &'a [u8],
    /// Whether content and checksum are there.
    is_complete: bool,
    /// As stored.
    checksum: u32,
}

impl Chunk<'_> {
    fn is_right(&self) -> bool {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.name);
        crc.update(self.content);
        self.is_complete && crc.finalize() == self.checksum
    }
}

/// The chunks up to the end, or up to what is none.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(SIGNATURE_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (name, after) = after.split_first_chunk::<4>()?;
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') || name == b"IEND" {
            return None;
        }
        let length = u32::from_be_bytes(*length) as usize;
        let (content, after) = after.split_at(length.min(after.len()));
        let checksum = after.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
        rest = after.get(4..).unwrap_or_default();
        let is_complete = checksum.is_some();
        Some(Chunk { name: *name, content, is_complete, checksum: checksum.unwrap_or(0) })
    })
}

/// That the checksums of header, palette and pixels are right, as far as they are there.
fn check<'a>(chunks: impl Iterator<Item = Chunk<'a>>) -> Result<(), DecodeProblem> {
    let mut needed = chunks.filter(|chunk| matches!(&chunk.name, b"IHDR" | b"PLTE" | b"IDAT"));
    match needed.find(|chunk| chunk.is_complete && !chunk.is_right()) {
        None => Ok(()),
        Some(chunk) => {
            let name = String::from_utf8_lossy(&chunk.name).into_owned();
            Err(damaged(&format!("the checksum of its {name} chunk is wrong")))
        }
    }
}

/// What the chunks say in which programs store EXIF and XMP; of several, the last.
fn orientation(bytes: &[u8]) -> Orientation {
    let (mut exif, mut raw_profile, mut xmp) = (None, None, None);
    let mut is_header = true;
    for chunk in chunks(bytes) {
        is_header &= &chunk.name != b"IDAT";
        let is_metadata = matches!(&chunk.name, b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt");
        if !is_metadata || (is_header && !chunk.is_right()) {
            continue;
        }
        if &chunk.name == b"eXIf" {
            // A program may have put the header in front that JPEG has there.
            exif = Some(Cow::Borrowed(chunk.content));
            continue;
        }
        let Some(end) = memchr::memchr(0, chunk.content) else { continue };
        let (key, after) = (&chunk.content[..end], &chunk.content[end + 1..]);
        let slot = match (key, &chunk.name) {
            (b"exif", b"tEXt") => &mut exif,
            (b"Raw profile type exif", _) => &mut raw_profile,
            (b"XML:com.adobe.xmp", _) => &mut xmp,
            _ => continue,
        };
        if let Some(text) = text(chunk.name, after) {
            *slot = Some(text);
        }
    }
    let exif = exif.or_else(|| raw_profile.and_then(|profile| unhex(&profile)).map(Cow::Owned));
    exif::orientation(exif.as_deref(), xmp.as_deref())
}

/// The text of a chunk, from behind its keyword.
fn text(name: [u8; 4], after: &[u8]) -> Option<Cow<'_, [u8]>> {
    match &name {
        b"tEXt" => Some(Cow::Borrowed(after)),
        b"zTXt" => match after.split_first()? {
            (0, packed) => inflate(packed).map(Cow::Owned),
            _ => None,
        },
        // Whether it is compressed and how, then the language and the translated keyword.
        _ => {
            let ([is_compressed, method], after) = after.split_first_chunk::<2>()?;
            let mut ends = memmem::find_iter(after, b"\0");
            let text = &after[ends.nth(1)? + 1..];
            match (is_compressed, method) {
                (0, _) => Some(Cow::Borrowed(text)),
                (_, 0) => inflate(text).map(Cow::Owned),
                _ => None,
            }
        }
    }
}

fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    match flate2::read::ZlibDecoder::new(packed).take(MAX_TEXT + 1).read_to_end(&mut text) {
        Ok(_) => {}
        // What is there counts.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(_) => return None,
    }
    (text.len() as u64 <= MAX_TEXT).then_some(text)
}

/// The bytes of a "raw profile": its name and length in the first lines, then hexadecimal digits.
fn unhex(profile: &[u8]) -> Option<Vec<u8>> {
    let lines = profile.split(|byte| *byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    hex::decode(digits).ok()
}
