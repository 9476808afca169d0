//! A strip or tile: its coded bytes → its samples.

use std::borrow::Cow;
use std::io::Read;

use image::ImageFormat;
use jpeg_ext::Wanted;

use super::fax::{self, Coding};
use super::{FORMAT, cut_short, damaged, unsupported};
use crate::decode::{DecodeProblem, MAX_ALLOCATION};

/// How strips and tiles are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Fax(Coding),
    Lzw,
    /// New-style: each a JPEG stream of its own, but for tables that they share.
    Jpeg {
        /// Colours are stored as YCbCr, and come out as RGB.
        is_ycc: bool,
    },
    Deflate,
    PackBits,
    Zstd,
    WebP,
}

/// What a strip or tile holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub width: u32,
    pub rows: u32,
    /// Samples of a pixel in it.
    pub samples: usize,
    /// Bytes when decoded.
    pub bytes: usize,
}

impl Compression {
    /// The samples, each row from a byte on; exactly `shape.bytes`.
    pub fn decode(self, coded: &[u8], shape: Shape, tables: &[u8]) -> Result<Vec<u8>, DecodeProblem> {
        let found = match self {
            Compression::None => read(coded, shape.bytes),
            Compression::Fax(coding) => {
                fax::decode(coded, coding, shape.width, shape.rows).ok_or_else(broken)?
            }
            Compression::Lzw => unpack_lzw(coded, shape.bytes)?,
            Compression::Jpeg { is_ycc } => decode_jpeg(coded, shape, tables, is_ycc)?,
            Compression::Deflate => read(flate2::read::ZlibDecoder::new(coded), shape.bytes),
            Compression::PackBits => unpack_bits(coded, shape.bytes),
            Compression::Zstd => {
                let reader = ruzstd::decoding::StreamingDecoder::new(coded).map_err(|_| broken())?;
                read(reader, shape.bytes)
            }
            Compression::WebP => decode_webp(coded, shape)?,
        };
        if found.len() == shape.bytes { Ok(found) } else { Err(broken()) }
    }
}

fn from_jpeg(error: jpeg_ext::Error) -> DecodeProblem {
    DecodeProblem::from_jpeg_in(FORMAT, error)
}

fn broken() -> DecodeProblem {
    damaged("the data of a strip or tile cannot be decompressed")
}

/// At most `length` bytes; fewer if there is an error, which the length then tells.
fn read(reader: impl Read, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = reader.take(length as u64).read_to_end(&mut bytes);
    bytes
}

fn unpack_lzw(coded: &[u8], length: usize) -> Result<Vec<u8>, DecodeProblem> {
    // Written before TIFF 6.0: the bits the other way round.
    let is_old = matches!(coded, [0, second, ..] if second & 1 == 1);
    let mut decoder = if is_old {
        weezl::decode::Decoder::new(weezl::BitOrder::Lsb, 8)
    } else {
        weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
    };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| broken())?;
    bytes.resize(length, 0);
    let (mut input, mut done) = (coded, 0);
    while done < length {
        let step = decoder.decode_bytes(input, &mut bytes[done..]);
        input = &input[step.consumed_in..];
        done += step.consumed_out;
        let is_stuck = step.consumed_in == 0 && step.consumed_out == 0;
        if is_stuck || matches!(step.status, Err(_) | Ok(weezl::LzwStatus::Done)) {
            break;
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// TIFF 6.0, section 9.
fn unpack_bits(mut coded: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let ([head, rest @ ..], true) = (coded, bytes.len() < length) {
        let room = length - bytes.len();
        coded = match *head {
            copied @ 0..=127 => {
                let (literal, rest) = rest.split_at(rest.len().min(usize::from(copied) + 1));
                bytes.extend_from_slice(&literal[..literal.len().min(room)]);
                rest
            }
            128 => rest,
            repeated => {
                let Some((value, rest)) = rest.split_first() else { break };
                bytes.resize(bytes.len() + room.min(257 - usize::from(repeated)), *value);
                rest
            }
        };
    }
    bytes
}

/// Without end and start, between which the two join.
fn decode_jpeg(coded: &[u8], shape: Shape, tables: &[u8], is_ycc: bool) -> Result<Vec<u8>, DecodeProblem> {
    const START: &[u8] = &[0xFF, 0xD8];
    const END: &[u8] = &[0xFF, 0xD9];
    let Some(coded) = coded.strip_prefix(START) else { return Err(broken()) };
    // The marker segment by which Adobe says whether colours are YCbCr; TIFF says it in a tag.
    let adobe = [0xFF, 0xEE, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, u8::from(is_ycc)];
    let tables = tables.strip_prefix(START).unwrap_or(tables);
    let tables = tables.strip_suffix(END).unwrap_or(tables);
    let stream = [START, &adobe, tables, coded].concat();
    let header = jpeg_ext::Header::read(&stream).map_err(from_jpeg)?;
    if header.width != shape.width || header.height < shape.rows {
        return Err(damaged("a JPEG strip or tile has another size than the file says"));
    }
    let pixels = u64::from(header.width) * u64::from(header.height);
    if pixels * 4 > MAX_ALLOCATION {
        return Err(damaged("a JPEG strip or tile is too large"));
    }
    // Decoding fills missing rows with grey.
    if !stream.ends_with(END) && memchr::memmem::rfind(&stream, END).is_none() {
        return Err(cut_short());
    }
    let memory = usize::try_from(MAX_ALLOCATION).unwrap_or(usize::MAX);
    let decoded = header.decode(&stream, Wanted::Scaled(1), memory).map_err(from_jpeg)?;
    let channels = if header.is_cmyk { 4 } else { 3 };
    let mut data = match shape.samples {
        // Grey comes as three equal channels.
        1 => decoded.data.into_iter().step_by(channels).collect(),
        samples if samples == channels => decoded.data,
        samples => return Err(unsupported(format!("JPEG compression of {samples} channels"))),
    };
    data.truncate(shape.bytes);
    Ok(data)
}

fn decode_webp(coded: &[u8], shape: Shape) -> Result<Vec<u8>, DecodeProblem> {
    let mut reader = image::ImageReader::with_format(std::io::Cursor::new(coded), ImageFormat::WebP);
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOCATION);
    limits.max_image_width = Some(shape.width);
    limits.max_image_height = Some(shape.rows);
    reader.limits(limits);
    let image = reader.decode().map_err(|_| broken())?;
    if (image.width(), image.height()) != (shape.width, shape.rows) {
        return Err(damaged("a WebP strip or tile has another size than the file says"));
    }
    match shape.samples {
        3 => Ok(image.into_rgb8().into_raw()),
        4 => Ok(image.into_rgba8().into_raw()),
        samples => Err(unsupported(format!("WebP compression of {samples} channels"))),
    }
}

/// Undoes horizontal differencing (TIFF 6.0, section 14) of rows of `row_bytes`.
pub(super) fn add_up(data: &mut [u8], row_bytes: usize, samples: usize, bits: u8, is_big_endian: bool) {
    for row in data.chunks_exact_mut(row_bytes) {
        if bits == 8 {
            for at in samples..row.len() {
                row[at] = row[at].wrapping_add(row[at - samples]);
            }
            continue;
        }
        let read = if is_big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
        let write = if is_big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
        let (values, _) = row.as_chunks_mut::<2>();
        for at in samples..values.len() {
            values[at] = write(read(values[at]).wrapping_add(read(values[at - samples])));
        }
    }
}

/// Bytes whose bits stand in the other order (`FillOrder` 2), set right.
pub(super) fn in_order(coded: &[u8], is_reversed: bool) -> Cow<'_, [u8]> {
    if is_reversed {
        Cow::Owned(coded.iter().map(|byte| byte.reverse_bits()).collect())
    } else {
        Cow::Borrowed(coded)
    }
}
