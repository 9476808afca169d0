//! Memory that the processes of one machine share.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::fs::MemfdFlags;

use super::{DistributedError, World};

/// A file in memory, which all processes of a machine have opened, each for itself. It is gone once the
/// last of them has closed it.
#[derive(Debug)]
pub struct SharedMemory {
    /// At the beginning, empty.
    pub file: File,
    /// Whether this process is the machine's first.
    pub is_first: bool,
}

impl World {
    /// Whether this is the first process of its machine, or of its container there.
    ///
    /// # Errors
    /// As for [`World::sum`].
    pub fn is_first_of_machine(&self) -> Result<bool, DistributedError> {
        let own = machine().unwrap_or_else(|| format!("rank {}", self.rank()));
        let all = self.gather(own.as_bytes())?;
        Ok(all.iter().position(|machine| machine == own.as_bytes()) == Some(self.rank()))
    }

    /// Memory for the processes of each machine; none of a process that is alone, or where a process
    /// cannot reach the others' (in other containers, say). All ranks get it, or none.
    ///
    /// # Errors
    /// As for [`World::sum`].
    pub fn shared_memory(&self) -> Result<Option<SharedMemory>, DistributedError> {
        if self.is_alone() {
            return Ok(None);
        }
        let (machine, own) = (machine(), create());
        let path =
            own.as_ref().ok().map(|file| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        let told = format!("{}\n{}", machine.as_deref().unwrap_or_default(), path.unwrap_or_default());
        let all = self.gather(told.as_bytes())?;
        let place = |told: &Vec<u8>| {
            let (machine, path) = std::str::from_utf8(told).ok()?.split_once('\n')?;
            (!machine.is_empty() && !path.is_empty()).then(|| (machine.to_owned(), path.to_owned()))
        };
        let mut places = all.iter().map(place);
        let first = places.position(|place| place.is_some_and(|(its, _)| Some(its) == machine));
        let is_first = first == Some(self.rank());
        let file = match first.and_then(|rank| place(&all[rank])) {
            Some(_) if is_first => own.ok(),
            Some((_, path)) => File::options().read(true).write(true).open(path).ok(),
            None => None,
        };
        // Until all have opened it, the first keeps it.
        let some_have_not = self.any(file.is_none())?;
        Ok(file.filter(|_| !some_have_not).map(|file| SharedMemory { file, is_first }))
    }
}

/// What processes that can open each other's files have in common: the machine since it was started, and
/// the numbers by which processes are known.
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.display()))
}

fn create() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("ml-train", MemfdFlags::CLOEXEC)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_alone_shares_nothing() {
        assert!(World::alone().shared_memory().unwrap().is_none());
    }

    #[test]
    fn a_file_in_memory_can_be_opened_by_its_path() {
        use std::os::unix::fs::FileExt as _;
        let own = create().unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), own.as_raw_fd());
        let other = File::options().read(true).write(true).open(path).unwrap();
        other.write_all_at(b"features", 0).unwrap();
        drop(other);
        let mut bytes = [0; 8];
        own.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"features");
        assert!(machine().is_some());
    }
}
