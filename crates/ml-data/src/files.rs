//! What lies in a folder, and where a path really leads.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::left_out::LeftOut;

/// A path that need not exist, absolute, with links resolved as far as it does.
///
/// # Errors
/// The current folder is not known.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        if let Ok(real) = there.canonicalize() {
            let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
            return Ok(if rest == Path::new("") { real } else { real.join(rest) });
        }
    }
    Ok(path)
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its path.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What a name in a folder stands for, as far as the folder itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link, to whatever it leads.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// What lies in `folder`, sorted bytewise by name, without what is hidden and what systems leave
/// behind. No file's status is read, so that folders of a million images are listed at once.
///
/// # Errors
/// The folder cannot be listed.
pub fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    list(folder, &mut LeftOut::default())
}

/// As [`entries`]; what is passed over is counted in `left_out`.
///
/// # Errors
/// The folder cannot be listed.
pub fn list(folder: &Path, left_out: &mut LeftOut) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if left_out.passes_over(&name) {
            continue;
        }
        let file_type = entry.file_type()?;
        let kind = if file_type.is_dir() {
            EntryKind::Folder
        } else if file_type.is_file() {
            EntryKind::File
        } else if file_type.is_symlink() {
            EntryKind::Link
        } else {
            EntryKind::Other
        };
        found.push(Entry { name, kind });
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_without_hidden_names_and_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a.png", ".hidden"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("A")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let found = entries(dir.path()).unwrap();
        let found: Vec<_> = found.iter().map(|entry| (entry.name.to_str().unwrap(), entry.kind)).collect();
        let expected = [
            ("A", EntryKind::Folder),
            ("a.png", EntryKind::File),
            ("b", EntryKind::File),
            ("link", EntryKind::Link),
        ];
        assert_eq!(found, expected);
        assert!(entries(&dir.path().join("missing")).is_err());
    }
}
