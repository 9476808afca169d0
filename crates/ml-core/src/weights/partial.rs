//! `<name>.partial`: what has arrived of a file, written by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::download::{Download, Event, FetchError, Listener, pause, tell};

/// Between two looks at a lock that another process has.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// The open file, locked.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Partial {
    /// Opens the file beside the download's, with what an earlier transfer left in it. Waits while
    /// another process has it; none if that one finishes the download.
    pub(super) fn open(
        download: &Download<'_>,
        listener: Listener<'_>,
    ) -> Result<Option<Partial>, FetchError> {
        let mut name = download.to.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = download.to.with_file_name(name);
        let file = lock(&path, listener)?;
        let write = |source| FetchError::write(&path, source);
        let len = file.metadata().map_err(write)?.len();
        let mut partial = Partial { path, file, len };
        if download.to.exists() {
            partial.remove();
            return Ok(None);
        }
        if len > *download.sizes.end() {
            partial.restart()?;
        }
        let at_end = partial.file.seek(SeekFrom::End(0));
        at_end.map_err(|source| FetchError::write(&partial.path, source))?;
        Ok(Some(partial))
    }

    /// Bytes that have arrived.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|source| FetchError::write(&self.path, source))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Begins anew.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|source| FetchError::write(&self.path, source))?;
        self.len = 0;
        Ok(())
    }

    /// Compares the hash of all bytes with the published one.
    pub(super) fn verify(&mut self, download: &Download<'_>) -> Result<(), FetchError> {
        let found = self.sha256().map_err(|source| FetchError::write(&self.path, source))?;
        if found.starts_with(download.sha256) {
            return Ok(());
        }
        let (url, to) = (download.url.to_owned(), download.to.to_owned());
        Err(FetchError::WrongHash { url, expected: download.sha256.to_owned(), found, to })
    }

    fn sha256(&mut self) -> io::Result<String> {
        self.file.rewind()?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 17];
        loop {
            match self.file.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        Ok(hex::encode(hasher.finalize()))
    }

    /// Gives the file its final name, durably.
    pub(super) fn finish(self, to: &Path) -> Result<(), FetchError> {
        atomic_file::publish(&self.file, &self.path, to).map_err(|source| FetchError::write(to, source))
    }

    /// Deletes it. That it cannot be deleted is no reason to say so: there is another error to
    /// tell, and the next transfer verifies what it finds.
    pub(super) fn remove(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The file of this name, opened and locked as soon as no other process has it.
fn lock(path: &Path, listener: Listener<'_>) -> Result<File, FetchError> {
    let write = |source| FetchError::write(path, source);
    let mut told = false;
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(write)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                if !told {
                    tell(listener, Event::OtherProcess)?;
                    told = true;
                }
                pause(LOCK_INTERVAL, listener)?;
                continue;
            }
            // The hash finds what two processes would write over each other.
            Err(TryLockError::Error(error)) => {
                tracing::debug!("{}: no locks here: {error}", path.display());
            }
            Ok(()) => {}
        }
        // Who had the lock may have given the file its final name, or removed it.
        if is_at(&file, path).map_err(write)? {
            return Ok(file);
        }
    }
}

/// Whether the open file is still the one of this name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
