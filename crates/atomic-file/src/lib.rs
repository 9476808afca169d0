//! A file is replaced as a whole or not at all: written beside, synced, renamed.
//!
//! Until the rename the old file is there, whole; after it the new one. What a killed process left
//! beside is called `.<name>.tmp-<pid>`, and [`remove_leftovers`] deletes it. The operations stand
//! behind [`FileOps`] so that tests can make any one of them fail.
//!
//! Some file systems (FUSE, SMB, exFAT, NFS) lack an operation: hard links become copies, and what
//! cannot be synced is as durable as it gets. Where a file cannot be renamed over another, the other
//! is renamed away first: for a moment no file has the name, but both are there, whole. Where
//! nothing can be renamed the content is copied; a process that is killed then leaves half a file,
//! and the whole one beside. Each is warned of once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

/// How long an unfinished file must have been left alone to count as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// What replacing a file asks of the system.
pub trait FileOps {
    /// An open file.
    type File: Write;

    /// A new file; one that a killed process of the same id left there is emptied.
    ///
    /// # Errors
    /// The system's, as all of these.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// The file's bytes are on the disk when this returns.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;

    /// Gives a file another name, which another file may have.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// A second name for a file, or a copy on file systems that have one name a file.
    ///
    /// # Errors
    /// The system's.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The folder's entries are on the disk when this returns.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Deletes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl FileOps for System {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        sync_file(file)
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
                if is_refused(&error)
                    || matches!(
                        error.kind(),
                        io::ErrorKind::TooManyLinks | io::ErrorKind::CrossesDevices
                    ) =>
            {
                copy_synced(from, to)
            }
            result => result,
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Their renames are as durable as they get.
            Err(error) if is_refused(&error) || error.raw_os_error() == Some(EBADF) => {
                warn_once(
                    &UNSYNCED,
                    folder,
                    &error,
                    "cannot be synced; a power loss may undo its last changes",
                );
                Ok(())
            }
            result => result,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Bad file descriptor: what some file systems answer for a folder.
const EBADF: i32 = 9;

static UNSYNCED: Once = Once::new();
static NOT_REPLACED: Once = Once::new();
static NOT_RENAMED: Once = Once::new();

fn warn_once(once: &Once, path: &Path, error: &io::Error, what: &str) {
    once.call_once(|| tracing::warn!("{}: {what} ({error})", path.display()));
}

/// Whether the file system does not have an operation, or not for this file; a disk that fails says
/// something else.
fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
    )
}

/// The file's bytes are on the disk when this returns, as far as the file system can tell.
///
/// # Errors
/// The system's.
pub fn sync_file(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if is_refused(&error) => {
            let what = "this file system cannot sync files; a power loss may undo the last writes";
            UNSYNCED.call_once(|| tracing::warn!("{what} ({error})"));
            Ok(())
        }
        result => result,
    }
}

/// Copies the content alone: not every file system has permissions to set.
///
/// # Errors
/// The system's.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut File::create(to)?).map(|_| ())
}

fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    copy(from, to)?;
    sync_file(&File::open(to)?)
}

/// Gives the file `from` the name `to`, in place of what has that name; see the [module](self) for
/// file systems that do not replace files.
fn rename_over(ops: &impl FileOps, from: &Path, to: &Path) -> io::Result<()> {
    let refusal = match ops.rename(from, to) {
        Err(error)
            if (is_refused(&error) || error.kind() == io::ErrorKind::AlreadyExists) && from.is_file() =>
        {
            error
        }
        result => return result,
    };
    if !to.is_file() {
        return copy_over(ops, from, to, refusal);
    }
    let aside = old_beside(to)?;
    if ops.rename(to, &aside).is_err() {
        return copy_over(ops, from, to, refusal);
    }
    match ops.rename(from, to) {
        Ok(()) => {
            let what = "cannot be replaced in one step here; for a moment no file has its name";
            warn_once(&NOT_REPLACED, to, &refusal, what);
            // It is in nobody's way; `remove_leftovers` tries again.
            let _ = ops.remove(&aside);
            Ok(())
        }
        Err(error) => {
            // The first error is the one to report.
            let _ = ops.rename(&aside, to);
            Err(error)
        }
    }
}

/// Where nothing can be renamed: `from` stays until all of it is in `to`.
fn copy_over(ops: &impl FileOps, from: &Path, to: &Path, refusal: io::Error) -> io::Result<()> {
    // A folder or a file that cannot be written to refuses all the same.
    if copy_synced(from, to).is_err() {
        return Err(refusal);
    }
    let what = "files cannot be renamed here; a process that is killed leaves half a file";
    warn_once(&NOT_RENAMED, to, &refusal, what);
    ops.remove(from)
}

/// `.<name>.old-<pid>` in the same folder: what a file is called while another takes its name.
fn old_beside(path: &Path) -> io::Result<PathBuf> {
    let name = beside(path)?.file_name().unwrap_or_default().to_string_lossy().replace(".tmp-", ".old-");
    Ok(path.with_file_name(name))
}

/// Puts `bytes` into the file `path`. What was there before stays until all of them are on the
/// disk.
///
/// # Errors
/// The system's; what was there before is untouched then, and nothing is left beside it.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_through(&System, path, |file| file.write_all(bytes))
}

/// As [`replace`], with what `fill` writes, over any file operations.
///
/// # Errors
/// Whatever fails first; the file beside is removed then.
pub fn replace_through<O: FileOps, E: From<io::Error>>(
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
        rename_over(ops, &beside, path)?;
        Ok(())
    })();
    if written.is_err() {
        // The first error is the one to report; a file that was never created cannot be removed
        // either.
        let _ = ops.remove(&beside);
        return written;
    }
    Ok(ops.sync_folder(folder_of(path))?)
}

/// A file that gets its name once it is complete, for output that is written bit by bit. Dropped
/// before [`AtomicFile::commit`], nothing of it is left.
#[derive(Debug)]
pub struct AtomicFile {
    /// None once it is committed.
    file: Option<File>,
    beside: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins a file that is to be called `path`.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create(path: &Path) -> io::Result<AtomicFile> {
        let beside = beside(path)?;
        Ok(AtomicFile { file: Some(System.create(&beside)?), beside, path: path.to_owned() })
    }

    /// Gives it its name; its bytes and the folder's entry are on the disk when this returns.
    ///
    /// # Errors
    /// The system's; what was there before is untouched then.
    pub fn commit(mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            publish(file, &self.beside, &self.path)?;
        }
        self.file = None;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Whoever drops it has an error of its own to report.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Fails if no file can be made in `folder`, and leaves nothing there: for who is about to work for
/// long on what is to lie there.
///
/// # Errors
/// The folder is missing or cannot be written to.
pub fn probe(folder: &Path) -> io::Result<()> {
    AtomicFile::create(&folder.join("probe")).map(drop)
}

/// Gives a file that was written at `beside` its name `path`: its bytes and the folder's entry are
/// on the disk when this returns.
///
/// # Errors
/// The system's.
pub fn publish(file: &File, beside: &Path, path: &Path) -> io::Result<()> {
    sync_file(file)?;
    rename_over(&System, beside, path)?;
    System.sync_folder(folder_of(path))
}

/// Gives the file `from` the name `to` as well, in place of what has that name: without writing it
/// again where the file system can. At any instant one of the two has the name.
///
/// # Errors
/// The system's; `to` is what it was then.
pub fn also_name(from: &Path, to: &Path) -> io::Result<()> {
    also_name_through(&System, from, to)
}

/// As [`also_name`], over any file operations.
///
/// # Errors
/// Whatever fails first; `to` is what it was then.
pub fn also_name_through(ops: &impl FileOps, from: &Path, to: &Path) -> io::Result<()> {
    let beside = beside(to)?;
    let named = ops.link(from, &beside).and_then(|()| rename_over(ops, &beside, to));
    // Also where it went well: if `to` was this very file already, the system leaves both names as
    // they are.
    let _ = ops.remove(&beside);
    named?;
    ops.sync_folder(folder_of(to))
}

/// Deletes what killed processes left beside files in `folder`: files that were not finished. One
/// that was renamed away for its successor gets its name back if it has none. Only for who knows
/// that no other process writes there. Returns how many were deleted.
///
/// # Errors
/// The folder cannot be read, or a file in it cannot be deleted.
pub fn remove_leftovers(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(place) = name_before(&name, ".old-").filter(|_| entry.path().is_file()) {
            let place = folder.join(place);
            if place.exists() { fs::remove_file(entry.path()) } else { fs::rename(entry.path(), place) }?;
            continue;
        }
        if is_leftover(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Deletes what killed processes left while they wrote the file or folder `path`. Whoever may still
/// be writing it is left alone: a process that runs here, and anyone who began within the last hour
/// (on another machine, perhaps). Returns how many there were.
///
/// # Errors
/// The folder cannot be read, or something in it cannot be deleted.
pub fn remove_abandoned(path: &Path) -> io::Result<usize> {
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".tmp-");
    let mut removed = 0;
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let pid = pid.and_then(|pid| str::from_utf8(pid).ok()?.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        let status = entry.metadata()?;
        let is_old = status.modified()?.elapsed().is_ok_and(|age| age > ABANDONED_AFTER);
        if !is_old || Path::new(&format!("/proc/{pid}")).exists() {
            continue;
        }
        if status.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
        removed += 1;
    }
    Ok(removed)
}

/// Whether a file is called as one that was not finished.
pub fn is_leftover(name: &str) -> bool {
    name_before(name, ".tmp-").is_some()
}

/// `last.pt` of `.last.pt.tmp-123`, if `mark` is `.tmp-`.
fn name_before<'a>(name: &'a str, mark: &str) -> Option<&'a str> {
    let (before, pid) = name.strip_prefix('.')?.rsplit_once(mark)?;
    pid.parse::<u32>().is_ok().then_some(before)
}

/// Whether the system had no room: no space, a quota that is used up, or a file too large for the
/// file system.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The folder of a file; a bare file name has an empty parent.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `.<name>.tmp-<pid>` in the same folder, since a rename does not cross file systems: what a file
/// is called until it is finished.
///
/// # Errors
/// The path does not end in a file name.
pub fn beside(path: &Path) -> io::Result<PathBuf> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".tmp-{}", std::process::id()));
    Ok(path.with_file_name(beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary.yaml");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["summary.yaml"]);
    }

    #[test]
    fn a_file_that_is_not_committed_leaves_the_old_one_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        replace(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(
            (fs::read(&path).unwrap(), names(dir.path())),
            (b"old".to_vec(), vec!["out.csv".to_owned()])
        );
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.commit().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(dir.path())),
            (b"whole".to_vec(), vec!["out.csv".to_owned()])
        );
    }

    #[test]
    fn what_was_left_of_one_file_is_removed_once_nobody_can_be_writing_it() {
        let dir = tempfile::tempdir().unwrap();
        let long_ago = std::time::SystemTime::now() - Duration::from_hours(2);
        let age = |name: &str| File::open(dir.path().join(name)).unwrap().set_modified(long_ago).unwrap();
        // Above the largest number that Linux gives a process.
        let dead = u32::MAX;
        let ours = format!(".a.tmp-{}", std::process::id());
        for name in
            [&format!(".a.tmp-{dead}"), &ours, &format!(".b.tmp-{dead}"), ".a.tmp-x", ".a.tmp-9999999"]
        {
            fs::write(dir.path().join(name), "x").unwrap();
            if !name.ends_with("9999999") {
                age(name);
            }
        }
        let folder = format!(".a.tmp-{}", dead - 1);
        fs::create_dir(dir.path().join(&folder)).unwrap();
        fs::write(dir.path().join(&folder).join("file"), "x").unwrap();
        age(&folder);
        assert_eq!(remove_abandoned(&dir.path().join("a")).unwrap(), 2);
        let mut left = [".a.tmp-9999999", ".a.tmp-x", &ours, &format!(".b.tmp-{dead}")];
        left.sort_unstable();
        assert_eq!(names(dir.path()), left);
    }

    #[test]
    fn a_probe_leaves_nothing_and_fails_where_no_file_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        probe(dir.path()).unwrap();
        assert!(names(dir.path()).is_empty());
        assert!(probe(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn what_a_killed_process_left_beside_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            [".last.pt.tmp-123", ".summary.yaml.tmp-9", ".hidden", "last.pt", "x.tmp-1", ".a.tmp-mine"]
        {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 2);
        assert_eq!(names(folder.path()), [".a.tmp-mine", ".hidden", "last.pt", "x.tmp-1"]);
    }

    /// A file system without hard links that refuses renames.
    struct Limited {
        /// What it answers, and whether to all of them or only to those onto files.
        rename: (i32, bool),
    }

    impl FileOps for Limited {
        type File = File;

        fn create(&self, path: &Path) -> io::Result<File> {
            System.create(path)
        }

        fn sync(&self, file: &mut File) -> io::Result<()> {
            System.sync(file)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            let (error, always) = self.rename;
            if always || to.exists() {
                return Err(io::Error::from_raw_os_error(error));
            }
            System.rename(from, to)
        }

        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            copy(from, to)
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            System.sync_folder(folder)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            System.remove(path)
        }
    }

    const EPERM: i32 = 1;
    const EEXIST: i32 = 17;
    const ENOSYS: i32 = 38;

    #[test]
    fn files_are_replaced_where_renaming_over_a_file_is_refused() {
        for (error, always) in [(EEXIST, false), (EPERM, false), (EPERM, true), (ENOSYS, true)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("last.pt");
            let ops = Limited { rename: (error, always) };
            for content in ["one", "two", "three"] {
                replace_through(&ops, &path, |file| file.write_all(content.as_bytes())).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), content);
                also_name_through(&ops, &path, &dir.path().join("best.pt")).unwrap();
                assert_eq!(fs::read_to_string(dir.path().join("best.pt")).unwrap(), content);
                assert_eq!(names(dir.path()), ["best.pt", "last.pt"]);
            }
        }
    }

    #[test]
    fn a_file_that_was_renamed_away_gets_its_name_back() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".last.pt.old-7"), "old").unwrap();
        fs::write(dir.path().join(".best.pt.old-7"), "old").unwrap();
        fs::write(dir.path().join("best.pt"), "new").unwrap();
        remove_leftovers(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["best.pt", "last.pt"]);
        assert_eq!(fs::read_to_string(dir.path().join("best.pt")).unwrap(), "new");
    }
}
