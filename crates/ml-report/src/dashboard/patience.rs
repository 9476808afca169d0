//! Locks and a terminal that may never be free → waiting that ends.

use std::io;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long restoring waits for what another thread is doing.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a terminal may take nothing before what is left for it is given up.
const STALLED: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// Bytes that a terminal takes at once if it takes any.
const CHUNK: usize = 256;

/// To stderr, without the lock of Rust's handle to it: another thread may hold that while the
/// terminal does not take anything.
pub(super) fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(io::stderr(), bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            // Whoever shares the terminal may have made it non-blocking.
            Err(rustix::io::Errno::AGAIN) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// As [`write_all`], but gives up where the terminal takes nothing (a connection that hangs), so
/// that the program can end.
pub(super) fn write_unless_stalled(bytes: &[u8]) -> io::Result<()> {
    let stderr = io::stderr();
    for chunk in bytes.chunks(CHUNK) {
        match poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&STALLED)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            // A signal does not matter: the chunk is written all the same.
            Ok(_) | Err(rustix::io::Errno::INTR) => write_all(chunk)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits a moment for a lock, not for ever: the thread that holds it may be the one that panics, or
/// be kept by a terminal that takes nothing.
pub(super) fn lock_within_patience<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let end = Instant::now() + PATIENCE;
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_free_does_not_keep_its_caller() {
        let mutex = Mutex::new(1);
        let held = mutex.lock().unwrap();
        assert!(lock_within_patience(&mutex).is_none());
        drop(held);
        assert_eq!(lock_within_patience(&mutex).map(|guard| *guard), Some(1));
    }
}
