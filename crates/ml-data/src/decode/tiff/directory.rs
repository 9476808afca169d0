//! A directory of a TIFF file, with offsets of 32 or (`BigTIFF`) 64 bits: its tags and their values
//! (TIFF 6.0, section 2). Nothing larger than the file allows is allocated.

use std::collections::BTreeMap;

use super::{cut_short, damaged};
use crate::decode::DecodeProblem;

/// More values than this are of no tag that is read: offsets of 16,777,216 strips.
const MAX_VALUES: u64 = 1 << 24;
/// More entries than this are of no real file.
const MAX_ENTRIES: u64 = 1 << 12;

/// The tags of one image of the file.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    pub is_big_endian: bool,
    is_big: bool,
    entries: BTreeMap<u16, Entry>,
    /// Where the next image's directory begins; 0 behind the last.
    pub next: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    kind: u16,
    count: u64,
    /// Where the value or its offset stands.
    at: usize,
}

impl<'a> Directory<'a> {
    /// The directory of the first image.
    pub fn first(bytes: &'a [u8]) -> Result<Directory<'a>, DecodeProblem> {
        let is_big_endian = bytes.starts_with(b"MM");
        // Either byte of the version: some writers have it in the wrong order.
        let is_big = bytes.get(2..4).is_some_and(|version| version.contains(&43));
        let empty = Directory { bytes, is_big_endian, is_big, entries: BTreeMap::new(), next: 0 };
        let offset = if is_big { empty.number(8, 8) } else { empty.number(4, 4) };
        empty.at(offset.ok_or_else(cut_short)?)
    }

    /// The directory that begins at `offset`.
    pub fn at(&self, offset: u64) -> Result<Directory<'a>, DecodeProblem> {
        let &Directory { bytes, is_big_endian, is_big, .. } = self;
        let mut found = Directory { bytes, is_big_endian, is_big, entries: BTreeMap::new(), next: 0 };
        let start = usize::try_from(offset).map_err(|_| cut_short())?;
        let (count_size, entry_size, offset_size) = if is_big { (8, 20, 8) } else { (2, 12, 4) };
        let count = found.number(start, count_size).ok_or_else(cut_short)?;
        if count == 0 || count > MAX_ENTRIES {
            return Err(damaged(format!("its directory has {count} entries")));
        }
        let first = start + count_size;
        for at in (first..).step_by(entry_size).take(count as usize) {
            let entry = || {
                let tag = found.number(at, 2)? as u16;
                let kind = found.number(at + 2, 2)? as u16;
                Some((
                    tag,
                    Entry { kind, count: found.number(at + 4, offset_size)?, at: at + 4 + offset_size },
                ))
            };
            let (tag, entry) = entry().ok_or_else(cut_short)?;
            found.entries.entry(tag).or_insert(entry);
        }
        // Some writers leave it out at the end of the file.
        found.next = found.number(first + entry_size * count as usize, offset_size).unwrap_or(0);
        Ok(found)
    }

    pub fn contains(&self, tag: u16) -> bool {
        self.entries.contains_key(&tag)
    }

    /// The first value of a tag; `None` without the tag.
    pub fn first_of(&self, tag: u16) -> Result<Option<u64>, DecodeProblem> {
        Ok(self.all_of(tag)?.and_then(|values| values.first().copied()))
    }

    /// All whole numbers of a tag; `None` without the tag.
    pub fn all_of(&self, tag: u16) -> Result<Option<Vec<u64>>, DecodeProblem> {
        let Some(entry) = self.entries.get(&tag) else { return Ok(None) };
        let size = match entry.kind {
            1 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 13 => 4,
            16..=18 => 8,
            kind => return Err(damaged(format!("its tag {tag} has values of type {kind}"))),
        };
        let values = self.values(tag, *entry, size)?;
        Ok(Some(values.chunks_exact(size).map(|value| self.whole(value)).collect()))
    }

    /// All fractions of a tag; `None` without the tag or if it holds other values.
    pub fn fractions(&self, tag: u16) -> Result<Option<Vec<f32>>, DecodeProblem> {
        let Some(entry) = self.entries.get(&tag).filter(|entry| entry.kind == 5) else { return Ok(None) };
        let values = self.values(tag, *entry, 8)?;
        let fraction = |value: &[u8]| self.whole(&value[..4]) as f32 / self.whole(&value[4..]) as f32;
        Ok(Some(values.chunks_exact(8).map(fraction).collect()))
    }

    /// A tag's bytes; empty without the tag.
    pub fn bytes_of(&self, tag: u16) -> Result<&'a [u8], DecodeProblem> {
        self.entries.get(&tag).map_or(Ok(&[]), |entry| self.values(tag, *entry, 1))
    }

    fn values(&self, tag: u16, entry: Entry, size: usize) -> Result<&'a [u8], DecodeProblem> {
        if entry.count > MAX_VALUES {
            return Err(damaged(format!("its tag {tag} has {} values", entry.count)));
        }
        let length = entry.count as usize * size;
        let offset_size = if self.is_big { 8 } else { 4 };
        let start = if length <= offset_size {
            entry.at
        } else {
            let offset = self.number(entry.at, offset_size).ok_or_else(cut_short)?;
            usize::try_from(offset).map_err(|_| cut_short())?
        };
        start.checked_add(length).and_then(|end| self.bytes.get(start..end)).ok_or_else(cut_short)
    }

    fn number(&self, at: usize, size: usize) -> Option<u64> {
        Some(self.whole(self.bytes.get(at..at.checked_add(size)?)?))
    }

    fn whole(&self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }
}
