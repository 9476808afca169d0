//! A zip file → its entries, trusting none of its numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{CENTRAL, END, END64, END64_LOCATOR, LOCAL};
use crate::error::Problem;

/// Bytes that can be read at any place: a file, or a slice in tests.
pub(crate) trait Source {
    fn length(&self) -> io::Result<u64>;
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }
}

impl Source for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let part = rest.and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The entries of a zip file.
pub(crate) struct Archive<S> {
    source: S,
    /// What every entry's name begins with, up to the first `/`.
    name: String,
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u64,
    /// In the file.
    size: u64,
    crc: u32,
    /// Neither compressed nor encrypted.
    plain: bool,
}

impl<S: Source> Archive<S> {
    /// Reads the directory and checks that each entry lies in the file and none overlap in sum.
    pub(crate) fn open(source: S) -> Result<Self, Problem> {
        let length = source.length().map_err(Problem::Io)?;
        let (start, size, count, end) = find_directory(&source, length)?;
        let inside = start.checked_add(size).is_some_and(|stop| stop <= end);
        if !inside {
            return Err(Problem::damaged("its directory lies outside of it"));
        }
        let directory = read_vec(&source, start, size)?;

        let mut entries = HashMap::new();
        let mut name = None;
        let mut bytes = Bytes(&directory);
        let mut total = 0_u64;
        for _ in 0..count {
            let (path, offset, mut entry) = central_entry(&mut bytes)?;
            name.get_or_insert_with(|| path.split('/').next().unwrap_or_default().to_owned());
            entry.start = local_entry(&source, offset, &path, start)?;
            let inside = entry.start.checked_add(entry.size).is_some_and(|stop| stop <= start);
            total = total.saturating_add(entry.size);
            // Stored entries that do not overlap cannot add up to more than the file.
            if !inside || total > length {
                return Err(Problem::damaged(format!("entry {path:?} lies outside of it")));
            }
            if let Some(_twin) = entries.insert(path.clone(), entry) {
                return Err(Problem::damaged(format!("two entries are called {path:?}")));
            }
        }
        Ok(Self { source, name: name.unwrap_or_default(), entries })
    }

    /// Whether there is an entry `path` (without the archive's name).
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(&format!("{}/{path}", self.name))
    }

    /// The size of an entry in bytes.
    pub(crate) fn size(&self, path: &str) -> Result<u64, Problem> {
        self.entry(path).map(|entry| entry.size)
    }

    /// Whether an entry's path begins with `path`.
    pub(crate) fn has_folder(&self, path: &str) -> bool {
        let prefix = format!("{}/{path}", self.name);
        self.entries.keys().any(|name| name.starts_with(&prefix))
    }

    /// The whole of a small entry, its checksum verified.
    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Problem> {
        let size = self.size(path)?;
        if size > limit {
            return Err(Problem::Unsupported(format!("an entry {path:?} of {size} bytes, above {limit}")));
        }
        let mut all = Vec::with_capacity(size as usize);
        self.read_chunks(path, &mut vec![0; (size as usize).clamp(1, 1 << 16)], |chunk| {
            all.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(all)
    }

    /// Hands the entry's data to `take`, a `buffer` full at a time, and verifies the checksum at
    /// the end.
    pub(crate) fn read_chunks(
        &self,
        path: &str,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let entry = self.entry(path)?;
        let mut crc = crc32fast::Hasher::new();
        let mut done = 0;
        while done < entry.size {
            let part = buffer.len().min(usize::try_from(entry.size - done).unwrap_or(usize::MAX));
            let chunk = &mut buffer[..part];
            self.source.read_at(chunk, entry.start + done).map_err(unexpected_end)?;
            crc.update(chunk);
            take(chunk)?;
            done += part as u64;
        }
        if crc.finalize() != entry.crc {
            return Err(Problem::damaged(format!("the checksum of entry {path:?} does not match")));
        }
        Ok(())
    }

    fn entry(&self, path: &str) -> Result<Entry, Problem> {
        let entry = self.entries.get(&format!("{}/{path}", self.name));
        let entry = entry.ok_or_else(|| Problem::damaged(format!("entry {path:?} is missing")))?;
        if !entry.plain {
            return Err(Problem::Unsupported(format!(
                "the entry {path:?}, which is compressed or encrypted"
            )));
        }
        Ok(*entry)
    }
}

/// Start, size and number of entries of the directory, and where what ends the file begins.
fn find_directory(source: &impl Source, length: u64) -> Result<(u64, u64, u64, u64), Problem> {
    const END_SIZE: u64 = 22;
    let tail_size = length.min(END_SIZE + u64::from(u16::MAX));
    let tail = read_vec(source, length - tail_size, tail_size)?;
    let comment_fits = |at: usize| {
        let record = &tail[at..];
        record.len() >= END_SIZE as usize
            && record[..4] == END.to_le_bytes()
            && usize::from(u16::from_le_bytes([record[20], record[21]])) == record.len() - END_SIZE as usize
    };
    let Some(at) = (0..tail.len()).rev().find(|at| comment_fits(*at)) else {
        return Err(Problem::CutShort("the directory at its end is missing".into()));
    };
    let end = length - tail_size + at as u64;
    let mut record = Bytes(&tail[at + 10..]);
    let (count, size, start) = (record.u16()?, record.u32()?, record.u32()?);
    let large = count == u16::MAX || size == u32::MAX || start == u32::MAX;
    match end.checked_sub(20) {
        Some(locator) if large => find_directory64(source, locator),
        _ => Ok((start.into(), size.into(), count.into(), end)),
    }
}

fn find_directory64(source: &impl Source, locator_at: u64) -> Result<(u64, u64, u64, u64), Problem> {
    let bytes = read_vec(source, locator_at, 20)?;
    let mut locator = Bytes(&bytes);
    let signature = locator.u32()?;
    locator.skip(4)?;
    let end64 = locator.u64()?;
    if signature != END64_LOCATOR || end64.checked_add(56).is_none_or(|stop| stop > locator_at) {
        return Err(Problem::damaged("its 64-bit directory is not where it should be"));
    }
    let bytes = read_vec(source, end64, 56)?;
    let mut record = Bytes(&bytes);
    if record.u32()? != END64 {
        return Err(Problem::damaged("its 64-bit directory is not where it should be"));
    }
    record.skip(28)?;
    let (count, size, start) = (record.u64()?, record.u64()?, record.u64()?);
    Ok((start, size, count, end64))
}

/// Path, offset of the local header, and the entry without its start.
fn central_entry(bytes: &mut Bytes<'_>) -> Result<(String, u64, Entry), Problem> {
    if bytes.u32()? != CENTRAL {
        return Err(Problem::damaged("its directory is not in order"));
    }
    bytes.skip(4)?;
    let (flags, method) = (bytes.u16()?, bytes.u16()?);
    bytes.skip(4)?;
    let crc = bytes.u32()?;
    let (packed, size) = (bytes.u32()?, bytes.u32()?);
    let (name_size, extra_size, comment_size) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
    bytes.skip(8)?;
    let offset = bytes.u32()?;
    let name = bytes.take(name_size.into())?;
    let extra = Bytes(bytes.take(extra_size.into())?);
    bytes.skip(comment_size.into())?;

    let path =
        std::str::from_utf8(name).map_err(|_| Problem::damaged("an entry's name is not UTF-8"))?.to_owned();
    let [size, packed, offset] = widen(extra, [size, packed, offset])?;
    let plain = flags & 1 == 0 && method == 0 && packed == size;
    Ok((path, offset, Entry { start: 0, size: packed, crc, plain }))
}

/// Numbers that do not fit 32 bits stand in the extra field 1, in this order.
fn widen(mut extra: Bytes<'_>, numbers: [u32; 3]) -> Result<[u64; 3], Problem> {
    let mut wide = numbers.map(u64::from);
    if !numbers.contains(&u32::MAX) {
        return Ok(wide);
    }
    while extra.0.len() >= 4 {
        let (id, size) = (extra.u16()?, extra.u16()?);
        let mut field = Bytes(extra.take(size.into())?);
        if id == 1 {
            for number in wide.iter_mut().filter(|number| **number == u64::from(u32::MAX)) {
                *number = field.u64()?;
            }
            break;
        }
    }
    Ok(wide)
}

/// Where the data of the entry begin, from its header at `offset`, which must name the same entry.
fn local_entry(source: &impl Source, offset: u64, path: &str, directory: u64) -> Result<u64, Problem> {
    let wrong = || Problem::damaged(format!("entry {path:?} is not where it should be"));
    let size = 30 + path.len() as u64;
    let stop = offset.checked_add(size).filter(|stop| *stop <= directory).ok_or_else(wrong)?;
    let header = read_vec(source, offset, size)?;
    let mut bytes = Bytes(&header);
    let signature = bytes.u32()?;
    bytes.skip(22)?;
    let (name_size, extra_size) = (bytes.u16()?, bytes.u16()?);
    if signature != LOCAL || usize::from(name_size) != path.len() || bytes.0 != path.as_bytes() {
        return Err(wrong());
    }
    Ok(stop + u64::from(extra_size))
}

/// Callers have checked `size` against the file's length.
fn read_vec(source: &impl Source, offset: u64, size: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![0; size as usize];
    source.read_at(&mut bytes, offset).map_err(unexpected_end)?;
    Ok(bytes)
}

fn unexpected_end(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Problem::CutShort("it ended while it was read".into()),
        _ => Problem::Io(error),
    }
}

/// Little-endian numbers off the front of a slice.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| Problem::damaged("its directory is not in order"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn skip(&mut self, count: usize) -> Result<(), Problem> {
        self.take(count).map(drop)
    }

    fn u16(&mut self) -> Result<u16, Problem> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Problem> {
        self.array().map(u64::from_le_bytes)
    }
}
