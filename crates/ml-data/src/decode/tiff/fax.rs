//! CCITT fax compression of bilevel images (ITU-T T.4 and T.6): runs of white and black pixels, by
//! themselves (one-dimensional) or relative to the line above (two-dimensional).

use std::convert::Infallible;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, ByteReader};

/// How lines are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Modified Huffman (TIFF 6.0, section 10): each line begins at a byte.
    Huffman,
    /// Group 3; with two dimensions, a bit after each end-of-line code says which the line has.
    Group3 { two_dimensional: bool },
    /// Group 4: all lines relative to the one above.
    Group4,
}

/// Columns at which the colour changes; a line begins white.
type Changes = Vec<u32>;

/// `rows` lines of `width` pixels, each from a byte on, black as 1. `None` if the codes are damaged
/// or end too early.
pub(super) fn decode(coded: &[u8], coding: Coding, width: u32, rows: u32) -> Option<Vec<u8>> {
    // Codes are looked up by more bits than they have.
    let padded = coded.iter().copied().chain([0; 4]).map(Ok::<u8, Infallible>);
    let mut reader = ByteReader::new(padded).ok()?;
    let mut above = Changes::new();
    let row_bytes = width.div_ceil(8) as usize;
    let mut lines = vec![0; row_bytes * rows as usize];
    for line in lines.chunks_exact_mut(row_bytes) {
        let two_dimensional = match coding {
            Coding::Huffman => false,
            Coding::Group4 => true,
            Coding::Group3 { two_dimensional } => {
                let ended = skip_line_ends(&mut reader);
                two_dimensional && {
                    let tag = reader.peek(1)?;
                    reader.consume(1).ok()?;
                    ended? && tag == 0
                }
            }
        };
        above = if two_dimensional {
            relative_line(&mut reader, &above, width)?
        } else {
            plain_line(&mut reader, width)?
        };
        if coding == Coding::Huffman {
            let rest = reader.bits_to_byte_boundary();
            reader.consume(rest).ok()?;
        }
        for black in above.chunks(2) {
            let end = black.get(1).copied().unwrap_or(width).min(width);
            (black[0]..end).for_each(|x| line[x as usize / 8] |= 0x80 >> (x % 8));
        }
    }
    Some(lines)
}

/// Passes an end-of-line code (eleven zeros or more, and a one), if there is one.
fn skip_line_ends(reader: &mut impl BitReader) -> Option<bool> {
    if reader.peek(11)? != 0 {
        return Some(false);
    }
    while reader.peek(1)? == 0 {
        reader.consume(1).ok()?;
    }
    reader.consume(1).ok()?;
    Some(true)
}

fn run(reader: &mut impl BitReader, is_black: bool) -> Option<u32> {
    let mut sum = 0_u32;
    loop {
        let part = if is_black { black::decode(reader)? } else { white::decode(reader)? };
        sum = sum.checked_add(part.into())?;
        if part < 64 {
            return Some(sum);
        }
    }
}

fn plain_line(reader: &mut impl BitReader, width: u32) -> Option<Changes> {
    let mut changes = Changes::new();
    let mut at = 0_u32;
    let mut is_black = false;
    while at < width {
        at = at.checked_add(run(reader, is_black)?)?;
        changes.push(at.min(width));
        is_black = !is_black;
    }
    Some(changes)
}

fn relative_line(reader: &mut impl BitReader, above: &[u32], width: u32) -> Option<Changes> {
    let mut changes = Changes::new();
    // The first pixel may itself be a change: the line begins before it.
    let mut at: Option<u32> = None;
    let mut is_black = false;
    let mut next = 0;
    while at.is_none_or(|at| at < width) {
        // The first change above, right of here, to the other colour than the current one.
        while next > 0 && at.is_none_or(|at| above[next - 1] > at) {
            next -= 1;
        }
        let is_passed = |next: usize| at.is_some_and(|at| above[next] <= at) || (next % 2 == 1) != is_black;
        while next < above.len() && is_passed(next) {
            next += 1;
        }
        let change = |index: usize| above.get(index).copied().unwrap_or(width);
        match mode::decode(reader)? {
            Mode::Pass => at = Some(change(next + 1)),
            Mode::Vertical(by) => {
                let to = change(next).checked_add_signed(by.into())?.min(width);
                if at.is_some_and(|at| to < at) {
                    return None;
                }
                changes.push(to);
                at = Some(to);
                is_black = !is_black;
            }
            Mode::Horizontal => {
                let first = at.unwrap_or(0).checked_add(run(reader, is_black)?)?.min(width);
                let second = first.checked_add(run(reader, !is_black)?)?.min(width);
                changes.extend([first, second]);
                at = Some(second);
            }
            Mode::Extension | Mode::EOF => return None,
        }
    }
    Some(changes)
}
