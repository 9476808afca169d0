//! Whether a JPEG file is all there. The decoder fills what is missing with grey and says nothing, so this
//! is asked first.

const END_OF_IMAGE: u8 = 0xD9;

/// Whether the marker structure (ITU-T T.81, annex B) reaches the end-of-image marker. What follows it
/// (some cameras append data) does not matter, nor do the markers of a thumbnail inside a segment.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2; // past the start-of-image marker, by which the format was recognised
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = match marker {
            END_OF_IMAGE => return true,
            // Markers without a segment: restarts, TEM, start of image.
            0x01 | 0xD0..=0xD8 => after,
            // Of a scan this is the header; the search for a marker then passes over its coded data.
            _ => match segment_end(bytes, after) {
                Some(end) => end,
                None => return false,
            },
        };
    }
    false
}

/// The next marker at or after `at`, and the place behind it. `FF 00` is a coded byte and `FF FF` padding.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)? + 1;
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
    let end = at + usize::from(u16::from_be_bytes([length[0], length[1]]));
    (end <= bytes.len()).then_some(end)
}
