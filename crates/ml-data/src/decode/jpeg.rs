//! What is asked of a JPEG file's markers before it is decoded: whether the file is all there (the
//! decoder fills what is missing with grey), and how the camera was held.

use std::borrow::Cow;

use image::metadata::Orientation;

use super::exif;

const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;
const APPLICATION_1: u8 = 0xE1;
/// What an XMP segment begins with.
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// What a file's markers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Markers {
    /// The marker structure (ITU-T T.81, annex B) reaches the end-of-image marker. What follows it
    /// (some cameras append data or further images) does not matter, nor do the markers of a
    /// thumbnail inside a segment.
    pub is_complete: bool,
    /// From the EXIF and XMP segments before the first scan.
    pub orientation: Orientation,
}

/// Walks through all markers.
pub(super) fn markers(bytes: &[u8]) -> Markers {
    let mut found = Markers { is_complete: false, orientation: Orientation::NoTransforms };
    let mut metadata = Metadata::default();
    let mut is_header = true;
    let mut at = 2; // past the start-of-image marker, by which the format was recognised
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = match marker {
            END_OF_IMAGE => {
                found.is_complete = true;
                break;
            }
            // Markers without a segment: restarts, TEM, start of image.
            0x01 | 0xD0..=0xD8 => after,
            // Of a scan this is the header; the search for a marker then passes over its coded
            // data.
            _ => match segment_end(bytes, after) {
                Some(end) => {
                    is_header &= marker != START_OF_SCAN;
                    if marker == APPLICATION_1 && is_header {
                        metadata.add(bytes[after..end].get(2..).unwrap_or_default());
                    }
                    end
                }
                None => break,
            },
        };
    }
    found.orientation = exif::orientation(metadata.exif.as_deref(), metadata.xmp);
    found
}

/// What the application segments hold.
#[derive(Default)]
struct Metadata<'a> {
    exif: Option<Cow<'a, [u8]>>,
    xmp: Option<&'a [u8]>,
}

impl<'a> Metadata<'a> {
    fn add(&mut self, content: &'a [u8]) {
        if let Some(block) = content.strip_prefix(exif::HEADER) {
            match &mut self.exif {
                // A block that does not fit into one segment continues in the next.
                Some(exif) => exif.to_mut().extend_from_slice(block),
                None => self.exif = Some(Cow::Borrowed(content)),
            }
        } else if let Some(packet) = content.strip_prefix(XMP) {
            self.xmp = Some(packet);
        }
    }
}

/// The next marker at or after `at`, and the place behind it. `FF 00` is a coded byte and `FF FF`
/// padding.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += memchr::memchr(0xFF, bytes.get(at..)?)? + 1;
        match *bytes.get(at)? {
            0x00 => at += 1,
            0xFF => {}
            marker => return Some((marker, at + 1)),
        }
    }
}

/// The end of the segment whose two length bytes (which count themselves) stand at `at`.
fn segment_end(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..at + 2)?;
    let end = at + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
    (end <= bytes.len()).then_some(end)
}
