//! File operations of which any one can be made to fail.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use atomic_file::{FileOps, System};

/// No space left on the device.
pub const ENOSPC: i32 = 28;
/// Input or output error.
pub const EIO: i32 = 5;

/// The system's files, but the operation after `countdown` others fails, after a part of it was
/// done.
#[derive(Clone, Copy, Debug)]
pub struct FailingFiles<'a> {
    /// Operations that still succeed.
    pub countdown: &'a Cell<usize>,
    /// What the system answers.
    pub error: i32,
    /// Whether everything after the first failure fails too, as if the machine had gone.
    pub dies: bool,
    /// Set once it has.
    pub dead: &'a Cell<bool>,
}

impl FailingFiles<'_> {
    fn failed(&self) -> io::Error {
        io::Error::from_raw_os_error(self.error)
    }

    fn tick(&self) -> io::Result<()> {
        let left = self.countdown.get();
        self.countdown.set(left.wrapping_sub(1));
        if left == 0 && self.dies {
            self.dead.set(true);
        }
        if left == 0 || self.dead.get() { Err(self.failed()) } else { Ok(()) }
    }
}

/// A file of [`FailingFiles`].
#[derive(Debug)]
pub struct FailingFile<'a>(File, FailingFiles<'a>);

impl Write for FailingFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.1.tick() {
            self.0.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        // In small parts, so that there are many places to fail at.
        self.0.write(&bytes[..bytes.len().min(1000)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> FileOps for FailingFiles<'a> {
    type File = FailingFile<'a>;

    fn create(&self, path: &Path) -> io::Result<Self::File> {
        self.tick()?;
        Ok(FailingFile(System.create(path)?, *self))
    }

    fn sync(&self, file: &mut Self::File) -> io::Result<()> {
        self.tick()?;
        System.sync(&mut file.0)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tick()?;
        System.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tick()?;
        System.link(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.tick()?;
        System.sync_folder(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // After a power loss nothing is tidied up.
        if self.dead.get() { Err(self.failed()) } else { System.remove(path) }
    }
}
