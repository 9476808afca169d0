//! A file is replaced as a whole or not at all: written beside, synced, renamed.
//!
//! The operations stand behind [`FileOps`] so that tests can make any one of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ml_data::files::folder_of;

/// What replacing a file asks of the system.
pub(super) trait FileOps {
    type File: Write;
    /// A new file; one that a killed process of the same id left there is emptied.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// The file's bytes are on the disk when this returns.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A second name for a file, or a copy on file systems that have one name a file.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The folder's entries are on the disk when this returns.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's files.
pub(super) struct System;

impl FileOps for System {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(to)?;
                fs::hard_link(from, to)
            }
            // What file systems without hard links answer, and those at their limit.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::TooManyLinks
                        | io::ErrorKind::CrossesDevices
                ) =>
            {
                fs::copy(from, to)?;
                File::open(to)?.sync_all()
            }
            result => result,
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        ml_data::files::sync_folder(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Writes `path` anew through `fill`. Until the rename the old file is there, whole; after it the new one.
///
/// # Errors
/// Whatever fails first; the file beside is removed then.
pub(super) fn replace<O: FileOps, E: From<io::Error>>(
    ops: &O,
    path: &Path,
    fill: impl FnOnce(&mut O::File) -> Result<(), E>,
) -> Result<(), E> {
    let beside = beside(path)?;
    let written = (|| {
        let mut file = ops.create(&beside)?;
        fill(&mut file)?;
        ops.sync(&mut file)?;
        drop(file);
        ops.rename(&beside, path)?;
        Ok(())
    })();
    if written.is_err() {
        // The first error is the one to tell; a file that was never created cannot be removed either.
        let _ = ops.remove(&beside);
        return written;
    }
    Ok(ops.sync_folder(folder_of(path))?)
}

/// Gives the file `from` the name `to` as well; what had that name loses it. At any instant one of the two has it.
///
/// # Errors
/// Whatever fails first; `to` is what it was then.
pub(super) fn also_name(ops: &impl FileOps, from: &Path, to: &Path) -> io::Result<()> {
    let beside = beside(to)?;
    let named = ops.link(from, &beside).and_then(|()| ops.rename(&beside, to));
    // Also where it went well: if `to` was this very file already, the system leaves both names as they are.
    let _ = ops.remove(&beside);
    named?;
    ops.sync_folder(folder_of(to))
}

/// Deletes what killed processes left beside files in `folder`: files that were not finished. Only for
/// who knows that no other process writes there.
///
/// # Errors
/// The folder cannot be read, or a file in it not be deleted.
pub fn remove_leftovers(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_leftover = name.starts_with('.')
            && name.rsplit_once(".tmp-").is_some_and(|(_, pid)| pid.parse::<u32>().is_ok());
        if is_leftover && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// `.<name>.tmp-<pid>` in the same folder, since a rename does not cross file systems.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".tmp-{}", std::process::id()));
    Ok(path.with_file_name(beside))
}
