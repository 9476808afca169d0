//! Files → those with identical content. Cheap first: files of different sizes differ; of those
//! that share a size the first bytes are compared, and only those that still agree are read as a
//! whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::pool;
use sha2::{Digest, Sha256};

/// Bytes of a file that are looked at before it is read as a whole; smaller files are read once.
const HEAD: usize = 4096;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What [`exact`] found. Files are known by their numbers.
#[derive(Debug, Default)]
pub struct Duplicates {
    /// Files with one content, at least two, in ascending order; the sets by their first file.
    pub sets: Vec<Vec<u32>>,
    /// SHA-256 of each file that had to be read as a whole, in ascending order of files.
    pub hashes: Vec<(u32, Hash)>,
    /// Files that could not be read; they are in no set.
    pub unreadable: Vec<(u32, io::Error)>,
}

impl Duplicates {
    /// The SHA-256 of a file that was read as a whole.
    pub fn hash(&self, file: u32) -> Option<&Hash> {
        let place = self.hashes.binary_search_by_key(&file, |(file, _)| *file).ok()?;
        Some(&self.hashes[place].1)
    }
}

/// The caller asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// What is known of one file that shares its size with others.
struct Look {
    file: u32,
    /// SHA-256 of the first [`HEAD`] bytes, which may be all.
    head: Hash,
    error: Option<io::Error>,
}

/// Finds identical files among `sizes.len()` files of `sizes` bytes, which lie at `path` of their
/// numbers (fewer than 2³²). Empty files are not duplicates of each other. Reads in threads; `stop`
/// is asked before each file.
///
/// # Errors
/// `stop` said so.
pub fn exact(
    sizes: &[u64],
    path: impl Fn(u32) -> PathBuf + Sync,
    stop: impl Fn() -> bool + Sync,
) -> Result<Duplicates, Stopped> {
    let mut found = Duplicates::default();
    let mut candidates: Vec<u32> = (0..sizes.len() as u32).filter(|file| sizes[*file as usize] > 0).collect();
    let size = |file: u32| sizes[file as usize];
    candidates.sort_unstable_by_key(|file| (size(*file), *file));
    let candidates = in_company(candidates, |a, b| size(*a) == size(*b));

    let heads = look(&candidates, &path, &stop, |file| size(file).min(HEAD as u64))?;
    let mut heads = readable(heads, &mut found.unreadable);
    heads.sort_unstable_by_key(|look| (size(look.file), look.head, look.file));
    let (small, large): (Vec<_>, Vec<_>) = heads.into_iter().partition(|look| size(look.file) <= HEAD as u64);
    let large = in_company(large, |a, b| size(a.file) == size(b.file) && a.head == b.head);
    let large: Vec<u32> = large.into_iter().map(|look| look.file).collect();

    let wholes = look(&large, &path, &stop, size)?;
    let mut wholes = readable(wholes, &mut found.unreadable);
    wholes.extend(small);
    found.hashes = wholes.iter().map(|look| (look.file, look.head)).collect();
    found.hashes.sort_unstable_by_key(|(file, _)| *file);
    wholes.sort_unstable_by_key(|look| (look.head, look.file));
    let same = wholes.chunk_by(|a, b| a.head == b.head).filter(|set| set.len() > 1);
    found.sets = same.map(|set| set.iter().map(|look| look.file).collect()).collect();
    found.sets.sort_unstable();
    found.unreadable.sort_by_key(|(file, _)| *file);
    Ok(found)
}

/// Those of sorted `items` that are like a neighbour.
fn in_company<T>(items: Vec<T>, alike: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let place = |i: usize| {
        i > 0 && alike(&items[i - 1], &items[i]) || i + 1 < items.len() && alike(&items[i], &items[i + 1])
    };
    let mut keep = (0..items.len()).map(place).collect::<Vec<_>>().into_iter();
    items.into_iter().filter(|_| keep.next().unwrap_or(false)).collect()
}

/// Hashes of the first `length` bytes of each file.
fn look(
    files: &[u32],
    path: &(impl Fn(u32) -> PathBuf + Sync),
    stop: &(impl Fn() -> bool + Sync),
    length: impl Fn(u32) -> u64 + Sync,
) -> Result<Vec<Look>, Stopped> {
    pool::map_small(files.len(), |i| {
        if stop() {
            return Err(Stopped);
        }
        let file = files[i];
        let (head, error) = match hash(path(file), length(file)) {
            Ok(hash) => (hash, None),
            Err(error) => (Hash::default(), Some(error)),
        };
        Ok(Look { file, head, error })
    })
}

/// Of as many bytes, or fewer if the file has become shorter.
fn hash(path: PathBuf, length: u64) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = [0; 4 * HEAD];
    let mut left = length;
    while left > 0 {
        let wanted = left.min(buffer.len() as u64) as usize;
        match file.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Ok(bytes) => {
                hash.update(&buffer[..bytes]);
                left -= bytes as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash.finalize().into())
}

fn readable(looks: Vec<Look>, unreadable: &mut Vec<(u32, io::Error)>) -> Vec<Look> {
    let mut fine = Vec::with_capacity(looks.len());
    for mut look in looks {
        match look.error.take() {
            None => fine.push(look),
            Some(error) => unreadable.push((look.file, error)),
        }
    }
    fine
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files with these contents, and what is found among them.
    fn found(contents: &[Vec<u8>]) -> Duplicates {
        let folder = tempfile::tempdir().unwrap();
        let path = |i: u32| folder.path().join(i.to_string());
        for (i, content) in contents.iter().enumerate() {
            fs::write(path(i as u32), content).unwrap();
        }
        let sizes: Vec<u64> = contents.iter().map(|content| content.len() as u64).collect();
        exact(&sizes, path, || false).unwrap()
    }

    #[test]
    fn files_are_told_apart_by_size_by_head_and_by_what_follows() {
        let long = |last: u8| [vec![7; 3 * HEAD], vec![last]].concat();
        let found = found(&[
            b"one".to_vec(),
            long(1),
            b"two".to_vec(),
            long(2),
            b"one".to_vec(),
            b"three".to_vec(),
            long(1),
            b"one".to_vec(),
            vec![],
            vec![],
            vec![7; HEAD],
            vec![7; HEAD],
        ]);
        assert_eq!(found.sets, [vec![0, 4, 7], vec![1, 6], vec![10, 11]]);
        // `three` has a size of its own and empty files are alike anyhow: neither was read.
        assert_eq!(
            found.hashes.iter().map(|(file, _)| *file).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 6, 7, 10, 11]
        );
        assert_eq!(*found.hash(3).unwrap(), <Hash>::from(Sha256::digest(long(2))));
        assert!(found.hash(5).is_none() && found.unreadable.is_empty());
    }

    #[test]
    fn large_files_with_different_heads_are_not_read_as_a_whole() {
        let found = found(&[vec![1; 2 * HEAD], vec![2; 2 * HEAD]]);
        assert!(found.sets.is_empty() && found.hashes.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_who_is_asked_to_stop_stops() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0"), "same").unwrap();
        fs::write(folder.path().join("2"), "same").unwrap();
        let path = |i: u32| folder.path().join(i.to_string());
        let found = exact(&[4, 4, 4], path, || false).unwrap();
        assert_eq!(found.sets, [[0, 2]]);
        assert!(matches!(&found.unreadable[..], [(1, error)] if error.kind() == io::ErrorKind::NotFound));
        assert_eq!(exact(&[4, 4, 4], path, || true).unwrap_err(), Stopped);
    }
}
