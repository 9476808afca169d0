//! What is asked of a JPEG file's markers before it is decoded: whether the file is all there (the
//! decoder fills what is missing with grey), and how the camera was held.

use image::metadata::Orientation;

const END_OF_IMAGE: u8 = 0xD9;
const APPLICATION_1: u8 = 0xE1;
/// What an EXIF segment begins with.
const EXIF: &[u8] = b"Exif\0\0";

/// What a file's markers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Markers {
    /// The marker structure (ITU-T T.81, annex B) reaches the end-of-image marker. What follows it
    /// (some cameras append data) does not matter, nor do the markers of a thumbnail inside a
    /// segment.
    pub is_complete: bool,
    /// Damaged EXIF data is no reason to lose the image: Pillow shows it as it is stored.
    pub orientation: Orientation,
}

/// Walks through all markers.
pub(super) fn markers(bytes: &[u8]) -> Markers {
    let mut found = Markers { is_complete: false, orientation: Orientation::NoTransforms };
    let mut has_exif = false;
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
                    let exif = bytes[after..end].get(2..).and_then(|content| content.strip_prefix(EXIF));
                    if let (APPLICATION_1, false, Some(exif)) = (marker, has_exif, exif) {
                        has_exif = true;
                        found.orientation = Orientation::from_exif_chunk(exif).unwrap_or(found.orientation);
                    }
                    end
                }
                None => break,
            },
        };
    }
    found
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
