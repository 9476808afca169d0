//! EXIF and XMP metadata → how the camera was held, read as Pillow's `ImageOps.exif_transpose`
//! reads them.
//!
//! In: the metadata of a JPEG, PNG or WebP file, or a TIFF file as a whole. Out: an
//! [`Orientation`]; metadata that are damaged, or say something else than 1 to 8, leave the image
//! as it is stored.
//!
//! - The orientation may be of any numeric TIFF type, also a fraction or a floating-point number;
//!   as bytes or text it does not count. Of an array, the first element counts.
//! - If a tag occurs twice, the first that can be read counts.
//! - XMP counts only if there is no EXIF, or it has no such tag at all.

use std::collections::BTreeSet;

use image::metadata::Orientation;
use memchr::memmem;

/// What an EXIF block begins with in a JPEG; elsewhere too, and twice, if programs copied it.
pub(super) const HEADER: &[u8] = b"Exif\0\0";

/// Tags of the first directory (TIFF 6.0; XMP specification, part 3).
const ORIENTATION: u16 = 274;
const XMP: u16 = 700;

/// What the metadata say: an EXIF block with none, one or two [`HEADER`]s, and an XMP packet.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let mut exif = exif.unwrap_or_default();
    for _ in 0..2 {
        exif = exif.strip_prefix(HEADER).unwrap_or(exif);
    }
    if exif.is_empty() {
        return chosen(None, xmp);
    }
    match Directory::classic(exif) {
        Some(directory) => chosen(directory.fields().orientation, xmp),
        None => Orientation::NoTransforms,
    }
}

/// What a TIFF file's first directory says.
pub(super) fn orientation_of_tiff(file: &[u8]) -> Orientation {
    let directory = Directory::big_tiff(file).or_else(|| Directory::classic(file));
    let fields = directory.map(Directory::fields).unwrap_or_default();
    chosen(fields.orientation, fields.xmp)
}

/// What the `EXIF` and `XMP ` chunks of a WebP file say, if its header announces them.
pub(super) fn orientation_of_webp(file: &[u8]) -> Orientation {
    const HAS_EXIF: u8 = 0x08;
    const HAS_XMP: u8 = 0x04;
    let mut chunks = riff_chunks(file);
    let Some((b"VP8X", [flags, ..])) = chunks.next() else { return Orientation::NoTransforms };
    let (mut exif, mut xmp) = (None, None);
    for (name, content) in chunks {
        match name {
            b"EXIF" if flags & HAS_EXIF != 0 => exif = exif.or(Some(content)),
            b"XMP " if flags & HAS_XMP != 0 => xmp = xmp.or(Some(content)),
            _ => {}
        }
    }
    orientation(exif, xmp)
}

/// Names and contents of the complete chunks in a RIFF file.
fn riff_chunks(file: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = file.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let content = after.get(..length)?;
        // Contents of odd length are padded.
        rest = after.get(length.checked_add(length & 1)?..).unwrap_or_default();
        Some((name, content))
    })
}

fn chosen(field: Option<Field<'_>>, xmp: Option<&[u8]>) -> Orientation {
    let value = match field {
        Some(field) => field.value(),
        None => xmp.and_then(orientation_in_xmp),
    };
    value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// The first `tiff:Orientation="N"` or `<tiff:Orientation>N` of an XMP packet.
fn orientation_in_xmp(packet: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    memmem::find_iter(packet, NAME).find_map(|at| {
        let after = &packet[at + NAME.len()..];
        let value = after.strip_prefix(b"=\"").or_else(|| after.strip_prefix(b">"))?;
        value.first().filter(|digit| digit.is_ascii_digit()).map(|digit| digit - b'0')
    })
}

/// The first directory of a TIFF structure. Offsets count from the start of `bytes`.
#[derive(Clone, Copy)]
struct Directory<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
    is_big_tiff: bool,
}

/// The fields of a directory that are of interest.
#[derive(Default)]
struct Fields<'a> {
    orientation: Option<Field<'a>>,
    xmp: Option<&'a [u8]>,
}

impl<'a> Directory<'a> {
    fn classic(bytes: &'a [u8]) -> Option<Directory<'a>> {
        // Pillow also takes the number 42 in the other byte order, and "MM\0+" for classic.
        let order = match bytes.get(..4)? {
            b"II\x2a\0" | b"II\0\x2a" => ByteOrder::Little,
            b"MM\0\x2a" | b"MM\x2a\0" | b"MM\0\x2b" => ByteOrder::Big,
            _ => return None,
        };
        bytes.get(..8)?;
        Some(Directory { bytes, order, is_big_tiff: false })
    }

    fn big_tiff(bytes: &'a [u8]) -> Option<Directory<'a>> {
        let order = match bytes.get(..4)? {
            b"II\x2b\0" => ByteOrder::Little,
            b"MM\0\x2b" => ByteOrder::Big,
            _ => return None,
        };
        bytes.get(..16)?;
        Some(Directory { bytes, order, is_big_tiff: true })
    }

    /// Reads the fields up to the first that is not all there; one whose type is unknown, or that
    /// has no content, is passed over.
    fn fields(self) -> Fields<'a> {
        let mut found = Fields::default();
        let mut seen = BTreeSet::new();
        // The contents that stand elsewhere would not fit into the structure otherwise.
        let mut room = self.bytes.len() as u64;
        let (count_bytes, entry_bytes) = if self.is_big_tiff { (8, 20) } else { (2, 12) };
        let start = self.order.uint(&self.bytes[if self.is_big_tiff { 8..16 } else { 4..8 }]);
        let Some(entries) = usize::try_from(start).ok().and_then(|start| self.bytes.get(start..)) else {
            return found;
        };
        let Some((count, entries)) = entries.split_at_checked(count_bytes) else { return found };
        let entries = entries.chunks_exact(entry_bytes).zip(0..self.order.uint(count));
        for (entry, _) in entries {
            let (tag, kind) = (self.order.u16(&entry[..2]), self.order.u16(&entry[2..4]));
            if seen.contains(&tag) {
                continue;
            }
            let content = match self.content(kind, &entry[4..], &mut room) {
                Content::Here(content) => content,
                Content::Skipped => continue,
                Content::Missing => break,
            };
            seen.insert(tag);
            match tag {
                ORIENTATION => {
                    found.orientation = Some(Field { kind, content, order: self.order });
                }
                XMP => found.xmp = Some(content),
                _ => {}
            }
        }
        found
    }

    /// The content of an entry, of which `rest` is what follows its type: in place if it is small,
    /// elsewhere otherwise.
    fn content(self, kind: u16, rest: &'a [u8], room: &mut u64) -> Content<'a> {
        let (count, in_place) = rest.split_at(rest.len() / 2);
        let Some(size) = size_of_type(kind) else { return Content::Skipped };
        let Some(size) = self.order.uint(count).checked_mul(size).filter(|size| *size > 0) else {
            return Content::Skipped;
        };
        if size <= in_place.len() as u64 {
            return Content::Here(&in_place[..size as usize]);
        }
        let offset = self.order.uint(in_place);
        if offset >= 1 << 63 || size > *room {
            return Content::Skipped;
        }
        *room -= size;
        let end = offset.checked_add(size);
        let range = usize::try_from(offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
        match range.and_then(|(start, end)| self.bytes.get(start..end)) {
            Some(content) => Content::Here(content),
            None => Content::Missing,
        }
    }
}

enum Content<'a> {
    Here(&'a [u8]),
    /// The entry is passed over.
    Skipped,
    /// It lies outside the structure: reading ends here.
    Missing,
}

/// Bytes of a value of this TIFF type.
fn size_of_type(kind: u16) -> Option<u64> {
    match kind {
        BYTE | ASCII | SIGNED_BYTE | UNDEFINED => Some(1),
        SHORT | SIGNED_SHORT => Some(2),
        LONG | SIGNED_LONG | FLOAT | IFD => Some(4),
        RATIONAL | SIGNED_RATIONAL | DOUBLE | LONG8 => Some(8),
        _ => None,
    }
}

const BYTE: u16 = 1;
const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
const SIGNED_BYTE: u16 = 6;
const UNDEFINED: u16 = 7;
const SIGNED_SHORT: u16 = 8;
const SIGNED_LONG: u16 = 9;
const SIGNED_RATIONAL: u16 = 10;
const FLOAT: u16 = 11;
const DOUBLE: u16 = 12;
const IFD: u16 = 13;
const LONG8: u16 = 16;

/// A field's type and content, which holds at least one value of the type.
struct Field<'a> {
    kind: u16,
    content: &'a [u8],
    order: ByteOrder,
}

impl Field<'_> {
    /// Its first value, if it is a whole number from 0 to 255.
    fn value(&self) -> Option<u8> {
        let first = &self.content[..usize::try_from(size_of_type(self.kind)?).ok()?];
        let value = self.order.uint(first);
        let half = |number: u64| (number >> 32, number & 0xFFFF_FFFF);
        // The first of the two numbers of a fraction is its numerator.
        let (numerator, denominator) = match self.order {
            ByteOrder::Little => (half(value).1, half(value).0),
            ByteOrder::Big => half(value),
        };
        match self.kind {
            SHORT | LONG | IFD | LONG8 => u8::try_from(value).ok(),
            // What is negative does not fit.
            SIGNED_BYTE => u8::try_from(value as u8 as i8).ok(),
            SIGNED_SHORT => u8::try_from(value as u16 as i16).ok(),
            SIGNED_LONG => u8::try_from(value as u32 as i32).ok(),
            RATIONAL => quotient(numerator as i64, denominator as i64),
            SIGNED_RATIONAL => {
                quotient(i64::from(numerator as u32 as i32), i64::from(denominator as u32 as i32))
            }
            FLOAT => whole(f64::from(f32::from_bits(value as u32))),
            DOUBLE => whole(f64::from_bits(value)),
            _ => None,
        }
    }
}

fn quotient(numerator: i64, denominator: i64) -> Option<u8> {
    let is_whole = numerator.checked_rem(denominator)? == 0;
    u8::try_from(numerator.checked_div(denominator)?).ok().filter(|_| is_whole)
}

fn whole(value: f64) -> Option<u8> {
    (value.fract() == 0.0 && (0.0..256.0).contains(&value)).then_some(value as u8)
}

#[derive(Clone, Copy)]
enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// A number of at most eight bytes.
    fn uint(self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        match self {
            ByteOrder::Little => bytes.iter().rev().fold(0, add),
            ByteOrder::Big => bytes.iter().fold(0, add),
        }
    }

    fn u16(self, bytes: &[u8]) -> u16 {
        self.uint(bytes) as u16
    }
}
