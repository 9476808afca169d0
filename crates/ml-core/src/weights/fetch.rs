//! A file over HTTP(S), whole and verified or not at all.
//!
//! The bytes go to `<name>.partial` beside the file, which one process at a time writes. A transfer
//! that is cut off goes on where it ended, at once or in a later run. What has arrived is compared
//! with the hash that the published name holds, and only then gets its name, so that a file of that
//! name is whole at any instant.

use std::fs;
use std::io::{self, Read};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::partial::Partial;
use super::request::{Answer, Client};

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
    /// For each part of the answer; a transfer that goes on may take any time.
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
        super::MIRROR,
        to.display()
    )
}

impl FetchError {
    pub(super) fn write(path: &Path, source: io::Error) -> FetchError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                FetchError::DiskFull { path, source }
            }
            _ => FetchError::Write { path, source },
        }
    }
}

/// Fetches the file, unless another process has done so meanwhile.
///
/// # Errors
/// It cannot be had, is another file, or cannot be written.
pub fn fetch(
    download: &Download<'_>,
    options: &FetchOptions,
    listener: Listener<'_>,
) -> Result<(), FetchError> {
    if let Some(folder) = download.to.parent() {
        fs::create_dir_all(folder).map_err(|source| FetchError::write(folder, source))?;
    }
    let client = Client::new(options);
    let Some(mut partial) = Partial::open(download, listener)? else { return Ok(()) };
    let was_begun = partial.len() > 0;
    let in_parts = transfer(&client, download, options, &mut partial, listener)?;
    let mut verified = partial.verify(download);
    if matches!(verified, Err(FetchError::WrongHash { .. })) && (was_begun || in_parts) {
        // Parts of different files, perhaps: what was there, and what came now.
        partial.restart()?;
        transfer(&client, download, options, &mut partial, listener)?;
        verified = partial.verify(download);
    }
    match verified {
        Ok(()) => partial.finish(download.to),
        Err(error) => {
            partial.remove();
            Err(error)
        }
    }
}

/// Tries until all bytes are there; whether they came in several parts.
fn transfer(
    client: &Client,
    download: &Download<'_>,
    options: &FetchOptions,
    partial: &mut Partial,
    listener: Listener<'_>,
) -> Result<bool, FetchError> {
    let mut tag = None;
    let (mut failures, mut most, mut parts) = (0, partial.len(), 0);
    loop {
        let reason = match attempt(client, download, partial, &mut tag, listener)? {
            ControlFlow::Break(()) => return Ok(parts > 0),
            ControlFlow::Continue(reason) => reason,
        };
        parts += u32::from(partial.len() > 0);
        failures = if partial.len() > most { 1 } else { failures + 1 };
        most = most.max(partial.len());
        if !reason.passes || failures >= options.attempts {
            if partial.len() == 0 {
                partial.remove();
            }
            let (url, to) = (download.url.to_owned(), download.to.to_owned());
            return Err(FetchError::Unreachable { url, reason: reason.text, to });
        }
        let wait = options.first_wait * 2_u32.saturating_pow(failures - 1);
        tell(listener, Event::Retry { reason: &reason.text, wait })?;
        pause(wait, listener)?;
    }
}

/// Why a try failed.
pub(super) struct Reason {
    pub text: String,
    /// Whether another try may go better.
    pub passes: bool,
}

/// One request from where the file ends. Breaks when the last byte is there.
fn attempt(
    client: &Client,
    download: &Download<'_>,
    partial: &mut Partial,
    tag: &mut Option<String>,
    listener: Listener<'_>,
) -> Result<ControlFlow<(), Reason>, FetchError> {
    let (mut body, total) = match client.get(download.url, partial.len(), tag) {
        Err(reason) => return Ok(ControlFlow::Continue(reason)),
        Ok(Answer::Whole { body, total }) => {
            partial.restart()?;
            (body, total)
        }
        Ok(Answer::Rest { body, total }) => (body, total),
        // Nothing after the end: all is there, unless it is too much or too little.
        Ok(Answer::NothingLeft) if download.sizes.contains(&partial.len()) => {
            return Ok(ControlFlow::Break(()));
        }
        Ok(Answer::NothingLeft) => {
            partial.restart()?;
            let text = "the server has another file than the one begun".to_owned();
            return Ok(ControlFlow::Continue(Reason { text, passes: true }));
        }
    };
    receive(client, download, partial, &mut body, total, listener)
}

/// Adds what comes to the file. Breaks when the last byte is there.
fn receive(
    client: &Client,
    download: &Download<'_>,
    partial: &mut Partial,
    body: &mut dyn Read,
    total: Option<u64>,
    listener: Listener<'_>,
) -> Result<ControlFlow<(), Reason>, FetchError> {
    let limit = *download.sizes.end();
    let mut buffer = vec![0; 1 << 17];
    let mut coming = total.unwrap_or(0);
    while coming <= limit {
        tell(listener, Event::Progress { done: partial.len(), total })?;
        let count = match body.read(&mut buffer) {
            Ok(0) => return Ok(ended(partial.len(), total.unwrap_or(0).max(*download.sizes.start()))),
            Ok(count) => count,
            Err(error) => return Ok(ControlFlow::Continue(client.reason_of_read(error))),
        };
        coming = partial.len() + count as u64;
        if coming <= limit {
            partial.append(&buffer[..count])?;
        }
    }
    partial.remove();
    Err(FetchError::TooLarge { url: download.url.to_owned(), limit, to: download.to.to_owned() })
}

/// An answer has ended; `least` is what it should have made of the file.
fn ended(done: u64, least: u64) -> ControlFlow<(), Reason> {
    if done >= least {
        return ControlFlow::Break(());
    }
    let text = format!("the answer ended after {done} of {least} bytes");
    ControlFlow::Continue(Reason { text, passes: true })
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
