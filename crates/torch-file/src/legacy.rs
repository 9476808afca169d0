//! The format of `torch.save` before PyTorch 1.6: four pickles (a magic number, the format's
//! version, the machine, the tree), the list of its storages' keys, and then the storages, each its
//! number of elements and their bytes.
//!
//! It has no checksums: that it is whole shows in its length alone. `_legacy_save` of
//! `torch/serialization.py` writes it.

use std::collections::HashMap;

use super::archive::Source;
use super::error::Problem;
use super::pickle::machine::{self, Parsed};
use super::pickle::{self, Storage};
use super::{MAX_PICKLE, tensors};
use crate::value::Value;

/// 0x1950a86a20f9469cfc6c as a pickle, little-endian, without the protocol before it.
const MAGIC: [u8; 13] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// The version that PyTorch has always written.
const VERSION: i64 = 1001;

/// How much of a file is read first; the tree of most networks is smaller.
const FIRST_LOOK: u64 = 1 << 18;

/// Whether a file that begins so is one.
pub(super) fn is_legacy(head: &[u8]) -> bool {
    magic_end(head).is_some()
}

/// Where the magic number's pickle ends: after its protocol, from 4 on a frame, and the number.
fn magic_end(head: &[u8]) -> Option<usize> {
    let rest = head.strip_prefix(b"\x80")?.get(1..)?;
    let rest = if rest.first() == Some(&0x95) { rest.get(9..)? } else { rest };
    rest.starts_with(&MAGIC).then(|| head.len() - rest.len() + MAGIC.len())
}

/// What comes before the storages.
struct Head {
    tree: Parsed,
    /// In the order of the storages.
    keys: Vec<String>,
    /// Where the first storage begins.
    end: u64,
}

/// Reads a whole file; memory is bounded by its size.
pub(super) fn read(source: &impl Source) -> Result<Value, Problem> {
    let length = source.length().map_err(Problem::Io)?;
    let head = read_head(source, length)?;
    let places = places(source, length, &head)?;
    let mut buffer = Vec::new();
    pickle::build::build(head.tree, |storage| {
        let missing = || Problem::damaged(format!("storage {:?} is missing", storage.key));
        let (place, size) = *places.get(&storage.key).ok_or_else(missing)?;
        tensors::fill(storage, size, &mut buffer, |buffer, take| {
            read_chunks(source, place, size, buffer, take)
        })
    })
}

/// The pickles, of which nothing tells the length: more and more of the file is looked at until
/// they end.
fn read_head(source: &impl Source, length: u64) -> Result<Head, Problem> {
    let limit = length.min(MAX_PICKLE);
    let mut look = limit.min(FIRST_LOOK);
    loop {
        let mut bytes = vec![0; look as usize];
        source.read_at(&mut bytes, 0).map_err(Problem::Io)?;
        match parse_head(&bytes) {
            Err(Problem::CutShort(_)) if look < limit => look = limit.min(8 * look),
            Err(Problem::CutShort(_)) if limit < length => {
                return Err(Problem::Unsupported(format!("a pickle above {MAX_PICKLE} bytes")));
            }
            head => return head,
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, Problem> {
    let mut at = magic_end(bytes).ok_or_else(|| Problem::CutShort("it ends in its first bytes".into()))?;
    let mut next = || {
        let (parsed, length) = machine::parse(&bytes[at..])?;
        at += length;
        Ok::<_, Problem>(parsed)
    };
    let version = plain(next()?)?;
    if version.field().as_i64().ok() != Some(VERSION) {
        return Err(Problem::Unsupported(format!("version {version:?} of PyTorch's old format")));
    }
    let machine = plain(next()?)?;
    if !machine.get("little_endian").and_then(|field| field.as_bool()).unwrap_or(true) {
        return Err(Problem::Unsupported("big-endian numbers".into()));
    }
    let tree = next()?;
    let keys = plain(next()?)?.field().as_strings();
    let keys = keys.map_err(|_| Problem::damaged("its list of storages is not in order"))?;
    Ok(Head { tree, keys, end: at as u64 })
}

/// A pickle without tensors.
fn plain(parsed: Parsed) -> Result<Value, Problem> {
    pickle::build::build(parsed, |_| Err(Problem::damaged("a tensor stands where none should be")))
}

/// Key → where the bytes begin and how many they are, all of them within the file.
fn places(source: &impl Source, length: u64, head: &Head) -> Result<HashMap<String, (u64, u64)>, Problem> {
    let known: HashMap<&str, &Storage> =
        head.tree.storages().iter().map(|storage| (storage.key.as_str(), storage)).collect();
    let mut places = HashMap::new();
    let mut at = head.end;
    for key in &head.keys {
        let cut_short = || Problem::CutShort(format!("it ends before storage {key:?} does"));
        let storage = known.get(key.as_str());
        let storage = storage.ok_or_else(|| Problem::damaged(format!("nothing has storage {key:?}")))?;
        let mut count = [0; 8];
        if length - at < 8 {
            return Err(cut_short());
        }
        source.read_at(&mut count, at).map_err(Problem::Io)?;
        at += 8;
        if u64::from_le_bytes(count) != storage.len {
            let (found, wanted) = (u64::from_le_bytes(count), storage.len);
            return Err(Problem::damaged(format!(
                "storage {key:?} has {found} elements instead of {wanted}"
            )));
        }
        let size = storage.size().filter(|size| *size <= length - at).ok_or_else(cut_short)?;
        if places.insert(key.clone(), (at, size)).is_some() {
            return Err(Problem::damaged(format!("two storages are called {key:?}")));
        }
        at += size;
    }
    Ok(places)
}

fn read_chunks(
    source: &impl Source,
    place: u64,
    size: u64,
    buffer: &mut [u8],
    take: tensors::Take<'_>,
) -> Result<(), Problem> {
    let mut done = 0;
    while done < size {
        let part = (size - done).min(buffer.len() as u64);
        let chunk = &mut buffer[..part as usize];
        source.read_at(chunk, place + done).map_err(Problem::Io)?;
        take(chunk)?;
        done += part;
    }
    Ok(())
}
