//! What is fetched and how patiently, what happens meanwhile, and why it fails.

use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that names another server: the base URL in place of PyTorch's.
pub const MIRROR: &str = "ML_WEIGHTS_MIRROR";

/// What is fetched.
#[derive(Clone, Debug)]
pub struct Download<'a> {
    /// Where from.
    pub url: &'a str,
    /// Where to.
    pub to: &'a Path,
    /// The first hexadecimal digits of its SHA-256.
    pub sha256: &'a str,
    /// Bytes that it may have; no more are written.
    pub sizes: RangeInclusive<u64>,
}

/// How patient a transfer is.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// For finding the host, and for connecting to it.
    pub connect_timeout: Duration,
    /// For each part of the answer; a transfer that continues may take any time.
    pub read_timeout: Duration,
    /// Tries in a row that bring nothing new.
    pub attempts: u32,
    /// Before the second try; twice as long before each further one.
    pub first_wait: Duration,
    /// Whether proxies (`HTTPS_PROXY`, `NO_PROXY`, …) and certificates (`SSL_CERT_FILE`) are taken
    /// from the environment.
    pub environment: bool,
}

impl Default for FetchOptions {
    fn default() -> FetchOptions {
        FetchOptions {
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(30),
            attempts: 4,
            first_wait: Duration::from_secs(1),
            environment: true,
        }
    }
}

/// What happens during a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// So many bytes are there, of so many where the server said.
    Progress {
        /// From the file's beginning.
        done: u64,
        /// Of the file.
        total: Option<u64>,
    },
    /// A try has failed and another will follow.
    Retry {
        /// Why it failed.
        reason: &'a str,
        /// Until the next.
        wait: Duration,
    },
    /// Another process is fetching the same file; this comes once.
    OtherProcess,
    /// Nothing has happened for a moment.
    Idle,
}

/// Is told what happens, several times a second; breaking ends the transfer, and what has arrived
/// stays for the next.
pub type Listener<'a> = &'a mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The listener broke off.
    #[error("interrupted while weights were fetched; what has arrived is kept")]
    Interrupted,
    /// No server, no network, or one that ends too early, again and again.
    #[error("cannot fetch {url}: {reason}. {}", remedy(.to))]
    Unreachable {
        /// Where from.
        url: String,
        /// What went wrong at last.
        reason: String,
        /// Where the file would be looked for.
        to: PathBuf,
    },
    /// More bytes than the file has.
    #[error("{url} is larger than the published file, which has at most {limit} bytes; nothing was kept. {}", remedy(.to))]
    TooLarge {
        /// Where from.
        url: String,
        /// The most that is accepted.
        limit: u64,
        /// Where the file would be looked for.
        to: PathBuf,
    },
    /// Other bytes than the published ones.
    #[error(
        "{url} is not the published file: its SHA-256 should begin with {expected} and is {found}; nothing was kept. {}",
        remedy(.to)
    )]
    WrongHash {
        /// Where from.
        url: String,
        /// The published beginning.
        expected: String,
        /// All of what arrived.
        found: String,
        /// Where the file would be looked for.
        to: PathBuf,
    },
    /// No room.
    #[error("cannot write {}: the disk is full ({source}): free some space, or set TORCH_HOME to another place", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The cache cannot be written.
    #[error("cannot write {}: {source}: set TORCH_HOME to a folder that can be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn remedy(to: &Path) -> String {
    format!(
        "Try again, set {} to a server that has it, or get the file elsewhere and put it at {}",
        MIRROR,
        to.display()
    )
}

impl FetchError {
    pub(super) fn write(path: &Path, source: io::Error) -> FetchError {
        let path = path.to_owned();
        if atomic_file::is_disk_full(&source) {
            FetchError::DiskFull { path, source }
        } else {
            FetchError::Write { path, source }
        }
    }
}

/// Why a try failed.
pub(super) struct Reason {
    pub text: String,
    /// Whether another try may go better.
    pub passes: bool,
}

/// Tells the listener, whose break is an interruption.
pub(super) fn tell(listener: Listener<'_>, event: Event<'_>) -> Result<(), FetchError> {
    if listener(event).is_break() { Err(FetchError::Interrupted) } else { Ok(()) }
}

/// Sleeps in short pieces, so that the listener can break off.
pub(super) fn pause(wait: Duration, listener: Listener<'_>) -> Result<(), FetchError> {
    const PIECE: Duration = Duration::from_millis(100);
    let mut left = wait;
    while !left.is_zero() {
        let piece = left.min(PIECE);
        std::thread::sleep(piece);
        left -= piece;
        tell(listener, Event::Idle)?;
    }
    Ok(())
}
