//! Entries → a zip file, in one pass.

use std::io::{self, Write};

use super::{ALIGNMENT, CENTRAL, DESCRIPTOR, END, END64, END64_LOCATOR, LOCAL};

/// Sizes follow the data (bit 3), names are UTF-8 (bit 11): as torch writes them.
const FLAGS: u16 = 0x0808;
/// 1980-01-01, the first date that zip has: the bytes depend on the content alone.
const DATE: u16 = 0x0021;

/// Writes a zip file front to back.
pub(crate) struct ArchiveWriter<W: Write> {
    out: W,
    position: u64,
    entries: Vec<Entry>,
    /// Numbers from here on are written in the 64-bit form; lower in tests only.
    pub(crate) large: u64,
}

struct Entry {
    name: String,
    offset: u64,
    size: u64,
    crc: u32,
}

/// Takes the data of one entry.
pub(crate) struct EntryWriter<'a, W: Write> {
    out: &'a mut W,
    size: u64,
    crc: crc32fast::Hasher,
}

impl<W: Write> Write for EntryWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.size += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, position: 0, entries: Vec::new(), large: u32::MAX.into() }
    }

    /// Adds the entry `name`; `fill` writes its data, exactly `size` bytes.
    pub(crate) fn entry(
        &mut self,
        name: &str,
        size: u64,
        fill: impl FnOnce(&mut EntryWriter<'_, W>) -> io::Result<()>,
    ) -> io::Result<()> {
        let offset = self.position;
        let large = size >= self.large;
        let header = local_header(name, offset, large);
        self.out.write_all(&header)?;

        let mut data = EntryWriter { out: &mut self.out, size: 0, crc: crc32fast::Hasher::new() };
        fill(&mut data)?;
        let (written, crc) = (data.size, data.crc.finalize());
        if written != size {
            return Err(io::Error::other(format!("entry `{name}` got {written} bytes instead of {size}")));
        }

        let mut descriptor = Vec::with_capacity(24);
        descriptor.extend(DESCRIPTOR.to_le_bytes());
        descriptor.extend(crc.to_le_bytes());
        for _ in 0..2 {
            if large {
                descriptor.extend(size.to_le_bytes());
            } else {
                descriptor.extend((size as u32).to_le_bytes());
            }
        }
        self.out.write_all(&descriptor)?;
        self.position += header.len() as u64 + size + descriptor.len() as u64;
        self.entries.push(Entry { name: name.into(), offset, size, crc });
        Ok(())
    }

    /// Adds a small entry.
    pub(crate) fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(name, bytes.len() as u64, |out| out.write_all(bytes))
    }

    /// Lists an entry that was not written, as a hostile file may.
    #[cfg(test)]
    pub(crate) fn list(&mut self, name: &str, offset: u64, size: u64, crc: u32) {
        self.entries.push(Entry { name: name.into(), offset, size, crc });
    }

    /// A CRC-32 over those of the entries so far, which tells one content from another.
    pub(crate) fn fingerprint(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for entry in &self.entries {
            crc.update(&entry.crc.to_le_bytes());
        }
        crc.finalize()
    }

    /// Writes the directory that ends the file.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let mut directory = Vec::new();
        for entry in &self.entries {
            central_header(&mut directory, entry, self.large);
        }
        let (start, length, count) = (self.position, directory.len() as u64, self.entries.len() as u64);
        if start >= self.large || length >= self.large || count >= u16::MAX.into() {
            let end64 = start + length;
            directory.extend(END64.to_le_bytes());
            directory.extend(44_u64.to_le_bytes());
            directory.extend([45, 0, 45, 0]);
            directory.extend([0; 8]);
            for number in [count, count, length, start] {
                directory.extend(number.to_le_bytes());
            }
            directory.extend(END64_LOCATOR.to_le_bytes());
            directory.extend([0; 4]);
            directory.extend(end64.to_le_bytes());
            directory.extend(1_u32.to_le_bytes());
        }
        directory.extend(END.to_le_bytes());
        directory.extend([0; 4]);
        let short = u16::try_from(count).unwrap_or(u16::MAX);
        directory.extend(short.to_le_bytes());
        directory.extend(short.to_le_bytes());
        directory.extend(clamp(length, self.large).to_le_bytes());
        directory.extend(clamp(start, self.large).to_le_bytes());
        directory.extend([0; 2]);
        self.out.write_all(&directory)?;
        self.out.flush()
    }
}

/// The 32-bit form of a number, or the mark that the 64-bit form stands elsewhere.
fn clamp(number: u64, large: u64) -> u32 {
    if number >= large { u32::MAX } else { number as u32 }
}

fn local_header(name: &str, offset: u64, large: bool) -> Vec<u8> {
    let mut extra = Vec::new();
    if large {
        // Says that the sizes after the data have 64 bits.
        extra.extend([0x01, 0, 16, 0]);
        extra.extend([0; 16]);
    }
    // Padding of torch's own kind: a field `FB` filled with `Z`.
    let before = offset + 30 + name.len() as u64 + extra.len() as u64 + 4;
    let padding = (ALIGNMENT - before % ALIGNMENT) % ALIGNMENT;
    extra.extend(*b"FB");
    extra.extend((padding as u16).to_le_bytes());
    extra.resize(extra.len() + padding as usize, b'Z');

    let size = if large { u32::MAX } else { 0 };
    let mut header = Vec::with_capacity(30 + name.len() + extra.len());
    header.extend(LOCAL.to_le_bytes());
    header.extend(version(large).to_le_bytes());
    header.extend(FLAGS.to_le_bytes());
    header.extend([0; 4]);
    header.extend(DATE.to_le_bytes());
    header.extend([0; 4]);
    header.extend(size.to_le_bytes());
    header.extend(size.to_le_bytes());
    header.extend((name.len() as u16).to_le_bytes());
    header.extend((extra.len() as u16).to_le_bytes());
    header.extend(name.as_bytes());
    header.extend(extra);
    header
}

fn central_header(out: &mut Vec<u8>, entry: &Entry, large: u64) {
    let mut extra = Vec::new();
    for number in [entry.size, entry.size, entry.offset] {
        if number >= large {
            extra.extend(number.to_le_bytes());
        }
    }
    if !extra.is_empty() {
        let mut head = vec![0x01, 0];
        head.extend((extra.len() as u16).to_le_bytes());
        extra.splice(0..0, head);
    }
    out.extend(CENTRAL.to_le_bytes());
    out.extend(version(!extra.is_empty()).to_le_bytes());
    out.extend(version(!extra.is_empty()).to_le_bytes());
    out.extend(FLAGS.to_le_bytes());
    out.extend([0; 4]);
    out.extend(DATE.to_le_bytes());
    out.extend(entry.crc.to_le_bytes());
    out.extend(clamp(entry.size, large).to_le_bytes());
    out.extend(clamp(entry.size, large).to_le_bytes());
    out.extend((entry.name.len() as u16).to_le_bytes());
    out.extend((extra.len() as u16).to_le_bytes());
    out.extend([0; 10]);
    out.extend(clamp(entry.offset, large).to_le_bytes());
    out.extend(entry.name.as_bytes());
    out.extend(extra);
}

/// The version of the format that a reader needs: 4.5 for 64-bit numbers, else 2.0.
fn version(large: bool) -> u16 {
    if large { 45 } else { 20 }
}
