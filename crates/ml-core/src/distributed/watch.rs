//! Where each rank stands, told to the others every few seconds: so that one that is waited for can be
//! named, with what it does. A rank that does not notice that another has failed, since it waits for an
//! image that never comes, say, is told so.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use torch_ext::Store;

/// Whoever serves the store.
pub(super) const STORE_GONE: &str = "rank 0, or the launcher on its machine, no longer answers";
/// Between two tellings.
const INTERVAL: Duration = Duration::from_secs(1);
/// A rank that others wait for, and which has been at one place for so long, is named.
const STILL: Duration = Duration::from_secs(5);
/// So long a rank has to find out by itself that another has failed.
const GRACE: Duration = Duration::from_secs(15);
/// In this time every rank that lives tells something.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// What a rank does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Everything before the first step.
    Preparing,
    /// Waiting for images of a training step.
    Loading {
        /// Epochs that are done.
        epoch: u64,
        /// Steps that are done.
        step: u64,
    },
    /// A training step.
    Computing {
        /// Epochs that are done.
        epoch: u64,
        /// Steps that are done.
        step: u64,
    },
    /// Validation after an epoch.
    Validating {
        /// Epochs that are done before it.
        epoch: u64,
    },
    /// A checkpoint is being handed over.
    Saving,
    /// The evaluation after training.
    Evaluating,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Preparing => f.write_str("preparing"),
            Place::Loading { epoch, step } => {
                write!(f, "waiting for images (epoch {}, after step {step})", epoch + 1)
            }
            Place::Computing { epoch, step } => {
                write!(f, "computing (epoch {}, after step {step})", epoch + 1)
            }
            Place::Validating { epoch } => write!(f, "validating epoch {}", epoch + 1),
            Place::Saving => f.write_str("saving a checkpoint"),
            Place::Evaluating => f.write_str("evaluating"),
        }
    }
}

/// Tells the store where this rank stands, from a thread of its own.
#[derive(Debug)]
pub(super) struct Watch {
    now: Arc<Mutex<(Place, Instant)>>,
    on_end: OnEnd,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is called with the reason where the others have ended and this rank has not noticed.
type Call = Box<dyn FnOnce(&str) + Send>;

#[derive(Clone, Default)]
struct OnEnd(Arc<Mutex<Option<Call>>>);

impl OnEnd {
    fn take(&self) -> Option<Call> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnEnd")
    }
}

impl Watch {
    /// By `store`, a connection of its own. Without a thread nothing is told.
    pub(super) fn start(store: Store, rank: usize) -> Watch {
        let now = Arc::new(Mutex::new((Place::Preparing, Instant::now())));
        let (stop, stopped) = channel();
        let (shared, on_end) = (Arc::clone(&now), OnEnd::default());
        let call = on_end.clone();
        let tell = move || {
            for count in 0u64.. {
                let (place, since) = *shared.lock().unwrap_or_else(PoisonError::into_inner);
                let text = format!("{count} {} {place}", since.elapsed().as_secs());
                let told = store.set(&key(rank), text.as_bytes());
                let reason = match told.and_then(|()| reason_to_end(&store, rank)) {
                    Ok(Reason::None) => None,
                    Ok(Reason::Own) => return,
                    Ok(Reason::Other(reason)) => Some(reason),
                    Err(_) => Some(STORE_GONE.to_owned()),
                };
                let wait = if reason.is_some() { GRACE } else { INTERVAL };
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if let Some(reason) = reason {
                    let (place, since) = *shared.lock().unwrap_or_else(PoisonError::into_inner);
                    let since = since.elapsed().as_secs();
                    if let Some(call) = call.take() {
                        call(&format!("{reason}; this rank, {rank}, has been {place} for {since} s"));
                    }
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(tell).ok();
        Watch { now, on_end, stop: Some(stop), thread }
    }

    /// Calls `call`, from another thread, should this rank not notice that the others have ended.
    pub(super) fn when_others_end(&self, call: Call) {
        *self.on_end.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }

    pub(super) fn set(&self, place: Place) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (place, Instant::now());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread sees that nobody is left to tell it.
        self.stop = None;
        let Some(thread) = self.thread.take() else { return };
        // It may wait for ever for a store that does not answer.
        let until = Instant::now() + INTERVAL;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Why this rank has to end.
enum Reason {
    None,
    /// It has failed itself.
    Own,
    Other(String),
}

fn reason_to_end(store: &Store, rank: usize) -> Result<Reason, torch_ext::Error> {
    if !store.has("failed")? {
        return Ok(Reason::None);
    }
    let text = String::from_utf8_lossy(&store.get("failed", SILENCE)?).into_owned();
    Ok(match text.split_once(' ') {
        Some((other, _)) if other == rank.to_string() => Reason::Own,
        Some((other, message)) => Reason::Other(format!("rank {other} has failed: {message}")),
        None => Reason::Other(text),
    })
}

fn key(rank: usize) -> String {
    format!("where/{rank}")
}

/// What a rank told last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    /// How often it has told something.
    count: u64,
    /// Seconds that it had been there.
    since: u64,
    place: String,
}

/// What all ranks told last; none of those that have told nothing.
pub(super) struct Places(Vec<Option<Told>>);

impl Places {
    /// Of `size` ranks, as far as the store answers.
    pub fn read(store: &Store, size: usize) -> Places {
        let read = |rank: usize| -> Option<Told> {
            let key = key(rank);
            let bytes = store.has(&key).ok()?.then(|| store.get(&key, INTERVAL).ok())??;
            let text = String::from_utf8(bytes).ok()?;
            let mut words = text.splitn(3, ' ');
            let (count, since) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(Told { count, since, place: words.next()?.to_owned() })
        };
        Places((0..size).map(read).collect())
    }

    /// Those of the others that have told nothing since `before`, or have stood still for a while, in
    /// words.
    pub fn stragglers(&self, before: &Places, own: usize) -> Vec<String> {
        let mut found = Vec::new();
        for (rank, (now, before)) in self.0.iter().zip(&before.0).enumerate() {
            match (now, before) {
                _ if rank == own => {}
                (None, _) => found.push(format!("rank {rank} has not come")),
                (Some(now), Some(before)) if now.count == before.count => {
                    found.push(format!("rank {rank} no longer answers; it was {}", now.place));
                }
                (Some(now), _) if now.since >= STILL.as_secs() => {
                    found.push(format!("rank {rank} has been {} for {} s", now.place, now.since));
                }
                (Some(_), _) => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_that_are_silent_or_stand_still_are_named() {
        let told = |count, since| {
            Some(Told { count, since, place: Place::Loading { epoch: 1, step: 120 }.to_string() })
        };
        let before = Places(vec![told(5, 0), told(5, 0), told(5, 90), told(5, 0), None]);
        let now = Places(vec![told(5, 0), told(5, 0), told(8, 93), told(8, 1), None]);
        assert_eq!(
            now.stragglers(&before, 0),
            [
                "rank 1 no longer answers; it was waiting for images (epoch 2, after step 120)",
                "rank 2 has been waiting for images (epoch 2, after step 120) for 93 s",
                "rank 4 has not come",
            ]
        );
    }

    #[test]
    fn a_rank_tells_where_it_is() {
        let timeout = Duration::from_secs(20);
        let (server, port) = Store::tcp("127.0.0.1", 0, true, timeout).unwrap();
        let client = || Store::tcp("127.0.0.1", port, false, timeout).unwrap().0;
        let watch = Watch::start(client(), 1);
        watch.set(Place::Evaluating);
        let until = Instant::now() + timeout;
        loop {
            let Places(found) = Places::read(&server, 2);
            if found[1].as_ref().is_some_and(|told| told.place == "evaluating" && told.count > 1) {
                assert_eq!(found[0], None);
                return;
            }
            assert!(Instant::now() < until, "{found:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
