//! A file over HTTP(S), whole and verified or not at all.
//!
//! The bytes go to `<name>.partial` beside the file, which one process at a time writes. A transfer
//! that is cut off continues where it ended, at once or in a later run. What has arrived is compared
//! with the hash that the published name holds, and only then gets its name, so that a file of that
//! name is whole at any instant.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;

use super::download::{Download, Event, FetchError, FetchOptions, Listener, Reason, pause, tell};
use super::partial::Partial;
use super::request::{Answer, Client};

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
