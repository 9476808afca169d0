//! One signal at one instant.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::random::SplitMix;
use crate::shell;

/// Between two looks at the process and its files.
const LOOK: Duration = Duration::from_micros(100);
/// A file that is being written lives about so long.
const WRITING: Duration = Duration::from_millis(4);

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Ends it at once.
    Kill,
    /// Asks it to save and end.
    Term,
    /// Likewise.
    Int,
}

impl Signal {
    pub fn name(self) -> &'static str {
        match self {
            Signal::Kill => "KILL",
            Signal::Term => "TERM",
            Signal::Int => "INT",
        }
    }
}

/// What a process was doing when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// There was no run folder yet.
    Starting,
    /// It left a file that it had not finished.
    Writing,
    /// Anything else.
    Between,
    /// It saved its state and ended as it was asked to.
    Saved,
}

/// A signal that is to come.
#[derive(Debug)]
pub struct Killer {
    signal: Signal,
    /// From the start of the process.
    after: Duration,
    /// Wait for a file being written, and then so long.
    while_writing: Option<Duration>,
}

/// How a process ended.
pub enum Ended {
    ByItself(ExitStatus),
    Killed((Signal, Moment)),
}

impl Killer {
    /// Two of three kill while a file is being written; most are SIGKILL. `whole`: how long an undisturbed run takes.
    pub fn random(whole: Duration, random: &mut SplitMix) -> Killer {
        let signal = match random.fraction() {
            f if f < 0.8 => Signal::Kill,
            f if f < 0.9 => Signal::Term,
            _ => Signal::Int,
        };
        let while_writing = (random.fraction() < 0.67).then(|| WRITING.mul_f64(random.fraction()));
        let latest = if while_writing.is_some() { 0.3 } else { 0.6 };
        Killer { signal, after: whole.mul_f64(latest * random.fraction()), while_writing }
    }
}

/// Waits for the process to end, and sees to it if there is a `killer`.
pub fn watch(mut child: Child, killer: Option<&Killer>, run: &Path) -> Result<Ended> {
    let Some(killer) = killer else {
        return Ok(Ended::ByItself(child.wait().context("cannot wait for ml-train")?));
    };
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for ml-train")? {
            return Ok(Ended::ByItself(status));
        }
        if started.elapsed() >= killer.after {
            match killer.while_writing {
                None => break,
                Some(pause) if unfinished(run, child.id()) => {
                    std::thread::sleep(pause);
                    break;
                }
                Some(_) => {}
            }
        }
        std::thread::sleep(LOOK);
    }
    let id = child.id();
    if let Some(status) = child.try_wait().context("cannot wait for ml-train")? {
        return Ok(Ended::ByItself(status));
    }
    let name = format!("-{}", killer.signal.name());
    shell::check(Command::new("kill").args([name.as_str(), &id.to_string()]), "kill")?;
    let status = child.wait().context("cannot wait for ml-train")?;
    // It may have been about to end.
    if status.success() {
        return Ok(Ended::ByItself(status));
    }
    let moment = match status.code() {
        Some(130 | 143) => Moment::Saved,
        Some(_) => return Ok(Ended::ByItself(status)),
        None if !run.exists() => Moment::Starting,
        None if unfinished(run, id) => Moment::Writing,
        None => Moment::Between,
    };
    Ok(Ended::Killed((killer.signal, moment)))
}

/// Whether a file of the run is being written beside the one it will replace.
fn unfinished(run: &Path, id: u32) -> bool {
    let ending = format!(".tmp-{id}");
    [run.to_owned(), run.join("checkpoints")].iter().any(|folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(&ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_killed_at_its_instant_and_one_that_ends_before_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let sleep = |seconds: &str| Command::new("sleep").arg(seconds).spawn().unwrap();
        let killer = |millis| Killer { signal: Signal::Kill, after: Duration::from_millis(millis), while_writing: None };
        let ended = watch(sleep("60"), Some(&killer(5)), &folder.path().join("none")).unwrap();
        assert!(matches!(ended, Ended::Killed((Signal::Kill, Moment::Starting))));
        let ended = watch(sleep("0"), Some(&killer(60_000)), folder.path()).unwrap();
        assert!(matches!(ended, Ended::ByItself(status) if status.success()));
    }

    #[test]
    fn a_file_that_is_not_finished_is_seen() {
        let run = tempfile::tempdir().unwrap();
        assert!(!unfinished(run.path(), 7));
        std::fs::write(run.path().join(".last.pt.tmp-7"), "").unwrap();
        assert!(unfinished(run.path(), 7) && !unfinished(run.path(), 17));
    }
}
