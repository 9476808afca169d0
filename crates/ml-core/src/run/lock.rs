//! One process at a time in a run folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::RunError;

/// Held as long as a process trains in a run folder. The system takes it back when the process
/// ends, however it ends; the file stays. File systems without locks (some network ones) let
/// everyone in.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of the run folder `folder`.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be written.
    pub fn take(folder: &Path) -> Result<RunLock, RunError> {
        let path = folder.join(".lock");
        let write = |source| RunError::Write { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(write)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whose it is would be good to know, but is not needed.
                let _ = file.read_to_string(&mut holder);
                return Err(RunError::Locked {
                    path: PathBuf::from(folder),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => tracing::warn!(
                "{}: this file system has no locks ({error}): nothing keeps a second process from training in this \
                 run folder; do not resume the run while it is being trained",
                path.display()
            ),
            Ok(()) => {}
        }
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(write)?;
        writeln!(file, "process {}", std::process::id()).map_err(write)?;
        Ok(RunLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_whose_it_is_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path()).unwrap();
        let error = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        RunLock::take(folder.path()).unwrap();
    }
}
