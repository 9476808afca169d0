//! What several rooms do with files: replace one whole or not at all, and tell where a path really leads.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Puts `bytes` into the file `path`: written beside it, synced, renamed. What was there before stays until then.
///
/// # Errors
/// The file system refuses; nothing is left beside then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.inspect_err(|_| {
        // The first error is the one to tell; there may be nothing to remove.
        let _ = fs::remove_file(&beside);
    })
}

/// Gives a file that was written at `beside` its name `path`, for good: its bytes and the folder's entry are on the disk when
/// this returns.
///
/// # Errors
/// The file system refuses.
pub fn publish(file: &File, beside: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(beside, path)?;
    sync_folder(folder_of(path))
}

/// The folder's entries are on the disk when this returns.
///
/// # Errors
/// The file system refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems do not sync folders; their renames are as durable as they get.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        result => result,
    }
}

/// The folder of a file; a bare file name has an empty parent.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

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
