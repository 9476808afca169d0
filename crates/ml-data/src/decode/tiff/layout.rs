//! The first directory's tags → a [`Header`]: what is where, and whether it is of a kind that is
//! read. The kinds follow TIFF 6.0, its supplements, and what libtiff registers.

use super::chunk::Compression;
use super::color::{Color, YCbCr};
use super::directory::Directory;
use super::fax::Coding;
use super::{Alpha, FORMAT, Header, damaged, unsupported};
use crate::decode::{DecodeProblem, MAX_ALLOCATION, MAX_FILE_BYTES, MAX_PIXELS};
use crate::geometry::Size;

/// Numbers of tags.
mod tag {
    pub const SUBFILE_TYPE: u16 = 254;
    pub const WIDTH: u16 = 256;
    pub const HEIGHT: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const SAMPLES: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_LENGTHS: u16 = 279;
    pub const PLANAR: u16 = 284;
    pub const FAX3_OPTIONS: u16 = 292;
    pub const FAX4_OPTIONS: u16 = 293;
    pub const PREDICTOR: u16 = 317;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_HEIGHT: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_LENGTHS: u16 = 325;
    pub const SUB_DIRECTORIES: u16 = 330;
    pub const INK_SET: u16 = 332;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const YCC_LUMA: u16 = 529;
    pub const YCC_SUBSAMPLING: u16 = 530;
    pub const YCC_RANGE: u16 = 532;
    pub const DNG_VERSION: u16 = 50706;
}

const GREY_INVERTED: u64 = 0;
const GREY: u64 = 1;
const RGB: u64 = 2;
const PALETTE: u64 = 3;
const CMYK: u64 = 5;
const YCC: u64 = 6;
const COLOR_FILTER: u64 = 32803;
const LINEAR_RAW: u64 = 34892;

pub(super) fn read(bytes: &[u8]) -> Result<Header, DecodeProblem> {
    header(bytes, &Directory::first(bytes)?)
}

/// The headers of all pages, `most` of them at most; smaller copies and masks are none.
pub(super) fn pages(bytes: &[u8], most: usize) -> Result<Vec<Header>, DecodeProblem> {
    let mut tags = Directory::first(bytes)?;
    let mut found = vec![header(bytes, &tags)?];
    // A file may announce its pages in a circle.
    for _ in 0..4 * most {
        if tags.next == 0 || found.len() == most {
            break;
        }
        tags = tags.at(tags.next)?;
        if tags.first_of(tag::SUBFILE_TYPE)?.unwrap_or(0) & 0b101 == 0 {
            found.push(header(bytes, &tags)?);
        }
    }
    Ok(found)
}

fn header(bytes: &[u8], tags: &Directory<'_>) -> Result<Header, DecodeProblem> {
    let photometric = tags.first_of(tag::PHOTOMETRIC)?.unwrap_or(GREY_INVERTED);
    if let Some(raw) = camera_raw(bytes, tags, photometric)? {
        return Err(unsupported(format!(
            "{raw}, the raw data of a camera's sensor, which has to be developed"
        )));
    }
    let size = Size { height: side(tags, tag::HEIGHT)?, width: side(tags, tag::WIDTH)? };
    check_size(size)?;
    let samples = small(tags, tag::SAMPLES, 1)?;
    let bits = bits(tags, samples)?;
    check_sample_format(tags, bits, photometric, samples)?;
    let is_planar = small(tags, tag::PLANAR, 1)? == 2 && samples > 1;
    let compression = compression(tags, photometric, is_planar)?;
    let (is_tiled, chunk) = geometry(tags, size)?;
    let [offsets, lengths] = if is_tiled {
        [tag::TILE_OFFSETS, tag::TILE_LENGTHS]
    } else {
        [tag::STRIP_OFFSETS, tag::STRIP_LENGTHS]
    };
    let offsets = tags.all_of(offsets)?.or(tags.all_of(tag::STRIP_OFFSETS)?);
    let offsets = offsets.ok_or_else(|| damaged("it does not say where its pixels are"))?;
    let lengths = tags.all_of(lengths)?.or(tags.all_of(tag::STRIP_LENGTHS)?);
    let tables = tags.bytes_of(tag::JPEG_TABLES)?;
    let tables_at = if tables.is_empty() { 0 } else { tables.as_ptr().addr() - bytes.as_ptr().addr() };
    let mut header = Header {
        size,
        has_pages: has_pages(tags),
        bits,
        samples,
        color: Color::Rgb,
        alpha: Alpha::None,
        compression,
        jpeg_tables: tables_at..tables_at + tables.len(),
        is_planar,
        has_predictor: false,
        is_bit_reversed: small(tags, tag::FILL_ORDER, 1)? == 2
            && !matches!(compression, Compression::Jpeg { .. }),
        is_big_endian: tags.is_big_endian,
        chunk,
        is_tiled,
        offsets,
        lengths,
    };
    header.color = color(tags, photometric, &header)?;
    header.alpha = alpha(tags, &header)?;
    header.has_predictor = has_predictor(tags, &header)?;
    check_kind(&header)?;
    check_amount(&header)?;
    Ok(header)
}

/// A number that has to be small; `default` without the tag.
fn small(tags: &Directory<'_>, tag: u16, default: usize) -> Result<usize, DecodeProblem> {
    let value = tags.first_of(tag)?;
    value.map_or(Ok(default), |value| {
        u16::try_from(value).map(usize::from).map_err(|_| damaged(format!("its tag {tag} is {value}")))
    })
}

/// More than 32 bits are too many all the same.
fn side(tags: &Directory<'_>, tag: u16) -> Result<u32, DecodeProblem> {
    let side = tags.first_of(tag)?.ok_or_else(|| damaged("it does not say how large the image is"))?;
    Ok(u32::try_from(side).unwrap_or(u32::MAX))
}

fn check_size(Size { height, width }: Size) -> Result<(), DecodeProblem> {
    match u64::from(width) * u64::from(height) {
        0 => Err(damaged("it has no pixels")),
        pixels if pixels > MAX_PIXELS => Err(DecodeProblem::TooLarge { width, height }),
        _ => Ok(()),
    }
}

fn bits(tags: &Directory<'_>, samples: usize) -> Result<u8, DecodeProblem> {
    let bits = tags.all_of(tag::BITS)?.unwrap_or_else(|| vec![1]);
    if samples == 0 || bits.is_empty() || bits.len() != 1 && bits.len() < samples {
        return Err(damaged(format!("it has {samples} channels and {} depths", bits.len())));
    }
    let used = &bits[..bits.len().min(samples)];
    if used.iter().any(|depth| *depth != used[0]) {
        return Err(unsupported("its channels have different depths"));
    }
    match used[0] {
        depth @ 1..=64 => Ok(depth as u8),
        depth => Err(damaged(format!("its channels have {depth} bits"))),
    }
}

/// Whole numbers without a sign. Of bytes of grey, Pillow ignores the sign.
fn check_sample_format(
    tags: &Directory<'_>,
    bits: u8,
    photometric: u64,
    samples: usize,
) -> Result<(), DecodeProblem> {
    let formats = tags.all_of(tag::SAMPLE_FORMAT)?.unwrap_or_default();
    let used = &formats[..formats.len().min(samples)];
    if used.iter().any(|format| *format != used[0]) {
        return Err(unsupported("its channels hold different kinds of numbers"));
    }
    let kind = match used.first().unwrap_or(&1) {
        2 if bits == 8 && photometric == GREY => return Ok(()),
        1 | 4 if bits <= 16 => return Ok(()),
        1 | 4 => "whole numbers",
        2 => "whole numbers with a sign",
        3 => "floating-point numbers",
        _ => "complex numbers",
    };
    Err(unsupported(format!("its pixels are {bits}-bit {kind}, whose range is not known")))
}

/// TIFF files that are raw files of cameras; the image in their first directory is a thumbnail.
fn camera_raw(
    bytes: &[u8],
    tags: &Directory<'_>,
    photometric: u64,
) -> Result<Option<&'static str>, DecodeProblem> {
    if bytes.get(8..10) == Some(b"CR") {
        return Ok(Some("Canon CR2"));
    }
    if tags.contains(tag::DNG_VERSION) {
        return Ok(Some("Adobe DNG"));
    }
    let is_raw = |photometric: u64| [COLOR_FILTER, LINEAR_RAW].contains(&photometric);
    let is_thumbnail = tags.first_of(tag::SUBFILE_TYPE)?.is_some_and(|kind| kind & 1 == 1);
    let has_raw = |offset: &u64| {
        let photometric = tags.at(*offset).ok()?.first_of(tag::PHOTOMETRIC).ok()??;
        is_raw(photometric).then_some(())
    };
    let below =
        if is_thumbnail { tags.all_of(tag::SUB_DIRECTORIES)?.unwrap_or_default() } else { Vec::new() };
    let found = is_raw(photometric) || below.iter().take(8).any(|offset| has_raw(offset).is_some());
    Ok(found.then_some("a camera raw file (such as NEF or ARW)"))
}

/// Whether the next image is one of its own, not a smaller copy or a mask.
fn has_pages(tags: &Directory<'_>) -> bool {
    let next = || tags.at(tags.next).ok()?.first_of(tag::SUBFILE_TYPE).ok();
    tags.next != 0 && next().is_some_and(|kind| kind.unwrap_or(0) & 0b101 == 0)
}

fn compression(
    tags: &Directory<'_>,
    photometric: u64,
    is_planar: bool,
) -> Result<Compression, DecodeProblem> {
    let number = tags.first_of(tag::COMPRESSION)?.unwrap_or(1);
    let options = |tag: u16| tags.first_of(tag).map(|options| options.unwrap_or(0));
    let name = match number {
        1 => return Ok(Compression::None),
        2 => return Ok(Compression::Fax(Coding::Huffman)),
        3 if options(tag::FAX3_OPTIONS)? & 2 == 0 => {
            let two_dimensional = options(tag::FAX3_OPTIONS)? & 1 == 1;
            return Ok(Compression::Fax(Coding::Group3 { two_dimensional }));
        }
        4 if options(tag::FAX4_OPTIONS)? & 2 == 0 => return Ok(Compression::Fax(Coding::Group4)),
        5 => return Ok(Compression::Lzw),
        7 => return Ok(Compression::Jpeg { is_ycc: photometric == YCC && !is_planar }),
        8 | 32946 => return Ok(Compression::Deflate),
        32773 => return Ok(Compression::PackBits),
        50000 => return Ok(Compression::Zstd),
        50001 => return Ok(Compression::WebP),
        3 | 4 => "CCITT fax with uncompressed parts",
        6 => "old-style JPEG",
        9 | 10 | 34661 => "JBIG",
        32766 => "NeXT",
        32767 => "Sony ARW",
        32771 => "CCITT RLE by words",
        32809 => "ThunderScan",
        32908 | 32909 => "Pixar",
        33003..=33005 | 34712 => "JPEG 2000",
        34676 | 34677 => "SGI LogLuv",
        34713 => "Nikon NEF",
        34887 => "LERC",
        34925 => "LZMA",
        34933 => "PNG",
        22610 | 34934 => "JPEG XR",
        50002 | 52546 => "JPEG XL",
        number => return Err(unsupported(format!("its compression has the unknown number {number}"))),
    };
    Err(unsupported(format!("its compression is {name}")))
}

/// Whether there are tiles, and the size of a tile or strip.
fn geometry(tags: &Directory<'_>, size: Size) -> Result<(bool, Size), DecodeProblem> {
    let is_tiled = tags.contains(tag::TILE_WIDTH);
    let chunk = if is_tiled {
        Size { height: side(tags, tag::TILE_HEIGHT)?, width: side(tags, tag::TILE_WIDTH)? }
    } else {
        let rows = tags.first_of(tag::ROWS_PER_STRIP)?.unwrap_or(u64::MAX);
        Size { height: rows.min(size.height.into()) as u32, width: size.width }
    };
    if chunk.width == 0 || chunk.height == 0 {
        return Err(damaged("its strips or tiles have no pixels"));
    }
    Ok((is_tiled, chunk))
}

fn color(tags: &Directory<'_>, photometric: u64, header: &Header) -> Result<Color, DecodeProblem> {
    let name = match photometric {
        GREY_INVERTED | GREY => return Ok(Color::Grey { white_is_zero: photometric == GREY_INVERTED }),
        RGB => return Ok(Color::Rgb),
        PALETTE => return palette(tags, header.bits),
        CMYK if small(tags, tag::INK_SET, 1)? == 2 => "of other inks than CMYK",
        CMYK => return Ok(Color::Cmyk),
        YCC if header.samples < 3 => return Ok(Color::Grey { white_is_zero: false }),
        // The decoder of JPEG converts them.
        YCC if matches!(header.compression, Compression::Jpeg { is_ycc: true }) => return Ok(Color::Rgb),
        YCC => return ycc(tags, header).map(|ycc| Color::YCbCr(Box::new(ycc))),
        4 => "a transparency mask's",
        8 => "CIE L*a*b*",
        9 => "ICC L*a*b*",
        10 => "ITU L*a*b*",
        32844 | 32845 => "LogLuv, of high dynamic range",
        number => return Err(unsupported(format!("its color space has the unknown number {number}"))),
    };
    Err(unsupported(format!("its colors are {name}")))
}

fn palette(tags: &Directory<'_>, bits: u8) -> Result<Color, DecodeProblem> {
    if bits > 8 {
        return Err(unsupported(format!("its palette has {bits} bits")));
    }
    let map = tags.all_of(tag::COLOR_MAP)?.unwrap_or_default();
    let length = 1 << bits;
    if map.len() < 3 * length {
        return Err(damaged("its color map is too short"));
    }
    // 16 bits by the standard; some writers give 8, with which all would be black.
    let shift = if map.iter().all(|value| *value < 256) { 0 } else { 8 };
    let mut palette = Box::new([[0; 3]; 256]);
    for (i, color) in palette.iter_mut().take(length).enumerate() {
        *color = std::array::from_fn(|channel| (map[channel * length + i] >> shift) as u8);
    }
    Ok(Color::Palette(palette))
}

fn ycc(tags: &Directory<'_>, header: &Header) -> Result<YCbCr, DecodeProblem> {
    let subsampling = tags.all_of(tag::YCC_SUBSAMPLING)?;
    let (across, down) = match subsampling.as_deref() {
        None => (2, 2),
        Some(&[across, down]) if [across, down].iter().all(|factor| [1, 2, 4].contains(factor)) => {
            (across as u32, down as u32)
        }
        Some(_) => return Err(damaged("its colors are stored for blocks of an unknown size")),
    };
    let pixels = u64::from(header.chunk.width) * u64::from(header.chunk.height);
    let first = header.lengths.as_ref().and_then(|lengths| lengths.first());
    // Pillow takes uncompressed data as not subsampled, and some writers forget to say so.
    if header.compression == Compression::None && (first == Some(&(3 * pixels)) || (across, down) == (1, 1)) {
        return Ok(YCbCr::jfif(1, 1));
    }
    if header.is_planar && (across, down) != (1, 1) {
        return Err(unsupported("its colors are subsampled and stored in planes"));
    }
    let luma = tags.fractions(tag::YCC_LUMA)?.and_then(|luma| luma.try_into().ok());
    let range = tags.fractions(tag::YCC_RANGE)?.and_then(|range| range.try_into().ok());
    let full = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
    Ok(YCbCr::with(across, down, luma.unwrap_or([0.299, 0.587, 0.114]), range.unwrap_or(full)))
}

fn alpha(tags: &Directory<'_>, header: &Header) -> Result<Alpha, DecodeProblem> {
    let channels = header.color.channels();
    if header.samples < channels {
        return Err(damaged(format!("it has {} channels instead of {channels}", header.samples)));
    }
    let extra = tags.first_of(tag::EXTRA_SAMPLES)?;
    Ok(match extra {
        _ if header.samples == channels => Alpha::None,
        Some(1) => Alpha::Premultiplied,
        Some(2 | 999) => Alpha::Straight,
        // Many writers leave the tag out.
        None if matches!(header.color, Color::Rgb) && header.samples == 4 => Alpha::Straight,
        _ => Alpha::None,
    })
}

fn has_predictor(tags: &Directory<'_>, header: &Header) -> Result<bool, DecodeProblem> {
    let predictor = small(tags, tag::PREDICTOR, 1)?;
    let applies = matches!(header.compression, Compression::Lzw | Compression::Deflate | Compression::Zstd);
    match predictor {
        2 if applies && ![8, 16].contains(&header.bits) => {
            Err(unsupported(format!("differences of {}-bit samples", header.bits)))
        }
        2 if applies && matches!(&header.color, Color::YCbCr(ycc) if ycc.across * ycc.down > 1) => {
            Err(unsupported("differences of subsampled colors"))
        }
        3 if applies => Err(unsupported("differences of floating-point numbers")),
        predictor => Ok(predictor == 2 && applies),
    }
}

/// What the compressions and colour spaces ask of depths.
fn check_kind(header: &Header) -> Result<(), DecodeProblem> {
    let bits = header.bits;
    let is_fax = matches!(header.compression, Compression::Fax(_));
    if is_fax && (bits != 1 || header.samples > 1 && !header.is_planar) {
        return Err(damaged("fax compression, and not of single bits"));
    }
    let is_lossy = matches!(header.compression, Compression::Jpeg { .. } | Compression::WebP);
    if (is_lossy || matches!(header.color, Color::YCbCr(_))) && bits != 8 {
        return Err(unsupported(format!("{bits}-bit samples in JPEG, WebP or YCbCr")));
    }
    Ok(())
}

/// What decoding takes, in memory and time, whatever the header announces.
fn check_amount(header: &Header) -> Result<(), DecodeProblem> {
    let Header { size, chunk, samples, .. } = header;
    let (across, down) = (size.width.div_ceil(chunk.width), size.height.div_ceil(chunk.height));
    let planes = if header.is_planar { *samples as u64 } else { 1 };
    let chunks = u64::from(across) * u64::from(down) * planes;
    let too_much = || DecodeProblem::TooMuchMemory { format: FORMAT };
    // A last strip is no longer than the image; a tile may be much larger.
    let rows =
        if header.is_tiled { u64::from(chunk.height) * u64::from(down) } else { u64::from(size.height) };
    let row = u64::from(chunk.width) * u64::from(across) * *samples as u64;
    let bits = row.saturating_mul(rows).saturating_mul(header.bits.into());
    if bits / 8 > MAX_ALLOCATION || row > MAX_ALLOCATION {
        return Err(too_much());
    }
    if (header.offsets.len() as u64) < chunks {
        return Err(damaged(format!("it has {} strips or tiles instead of {chunks}", header.offsets.len())));
    }
    if let Some(lengths) = &header.lengths {
        if (lengths.len() as u64) < chunks {
            return Err(damaged("it does not say how long its strips or tiles are"));
        }
        // The same bytes over and over again.
        let all = lengths.iter().take(chunks as usize).fold(0_u64, |sum, length| sum.saturating_add(*length));
        if header.compression != Compression::None && all > MAX_FILE_BYTES {
            return Err(damaged("its strips or tiles are longer than any file"));
        }
    }
    Ok(())
}
