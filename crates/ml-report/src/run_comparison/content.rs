//! Image files → SHA-256 of their bytes, each file's once. Files are read in small pieces.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ml_data::decode::MAX_FILE_BYTES;
use sha2::{Digest, Sha256};

/// Of the bytes of a file.
pub(super) type ContentHash = [u8; 32];

/// Hashes of files that were read.
#[derive(Default)]
pub(super) struct Contents(HashMap<PathBuf, Option<ContentHash>>);

impl Contents {
    /// The hash of the file at `path`; none if it cannot be read or is larger than images may be.
    pub fn get(&mut self, path: PathBuf) -> Option<ContentHash> {
        if let Some(known) = self.0.get(&path) {
            return *known;
        }
        let hash = hash(&path).ok().flatten();
        self.0.insert(path, hash);
        hash
    }
}

fn hash(path: &Path) -> io::Result<Option<ContentHash>> {
    // Opening a pipe could wait for ever.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?.take(MAX_FILE_BYTES), &mut hash)?;
    Ok(Some(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_hashed_and_what_is_no_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        fs::write(&path, "abc").unwrap();
        let mut contents = Contents::default();
        // FIPS 180-2, appendix B.1.
        let expected = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!(contents.get(path).unwrap()[..8], expected);
        assert_eq!([contents.get(dir.path().to_owned()), contents.get(dir.path().join("b"))], [None, None]);
    }
}
