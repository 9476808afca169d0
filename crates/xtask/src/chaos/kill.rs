//! One signal at one instant.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use super::random::SplitMix;
use crate::shell;

/// Between two looks at the process and its files.
const LOOK: Duration = Duration::from_micros(100);
/// A file that is being written lives about so long.
const WRITING: Duration = Duration::from_millis(4);
/// From one checkpoint to the next it takes about so long.
const BETWEEN: Duration = Duration::from_millis(60);
/// A process that is not killed while it starts is killed before it has written more files than
/// this.
const FILES: f64 = 25.0;
/// Starting takes about so long.
const STARTING: Duration = Duration::from_millis(400);

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
    /// It had not written a file yet, or hardly one.
    Starting,
    /// It left a file that it had not finished.
    Writing,
    /// Anything else.
    Between,
    /// It saved its state and ended as it was asked to.
    Saved,
}

/// A signal that is to come. It depends on what the process has done, not on how long that took:
/// the machine may be doing other things.
#[derive(Debug)]
pub struct Killer {
    signal: Signal,
    /// Files that the process begins to write before.
    files: u32,
    /// From then on, or from the start.
    pause: Duration,
}

/// How a process ended.
pub enum Ended {
    ByItself(ExitStatus),
    Killed((Signal, Moment)),
}

impl Killer {
    /// Two of three kill while a file is being written, one of twenty at the start; most are
    /// SIGKILL.
    pub fn random(random: &mut SplitMix) -> Killer {
        let signal = match random.fraction() {
            f if f < 0.7 => Signal::Kill,
            f if f < 0.85 => Signal::Term,
            _ => Signal::Int,
        };
        let (files, longest) = match random.fraction() {
            f if f < 0.05 => (0.0, STARTING),
            f if f < 0.7 => (1.0 + FILES * random.fraction(), WRITING),
            _ => (1.0 + FILES * random.fraction(), BETWEEN),
        };
        Killer { signal, files: files as u32, pause: longest.mul_f64(random.fraction()) }
    }
}

/// Waits for the process to end, and sees to it if there is a `killer`; process `writer` writes the
/// files of the run.
pub fn watch(child: &mut Child, writer: u32, killer: Option<&Killer>, run: &Path) -> Result<Ended> {
    let Some(killer) = killer else {
        return Ok(Ended::ByItself(child.wait().context("cannot wait for ml-train")?));
    };
    let (mut files, mut writing) = (0, false);
    while files < killer.files {
        if let Some(status) = child.try_wait().context("cannot wait for ml-train")? {
            return Ok(Ended::ByItself(status));
        }
        let now = unfinished(run, writer);
        files += u32::from(now && !writing);
        writing = now;
        std::thread::sleep(LOOK);
    }
    std::thread::sleep(killer.pause);
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
        None if killer.files == 0 => Moment::Starting,
        None if unfinished(run, writer) => Moment::Writing,
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
        let killer = |files| Killer { signal: Signal::Kill, files, pause: Duration::from_millis(5) };
        let mut long = sleep("60");
        let ended = watch(&mut long, 0, Some(&killer(0)), &folder.path().join("none")).unwrap();
        assert!(matches!(ended, Ended::Killed((Signal::Kill, Moment::Starting))));
        let ended = watch(&mut sleep("0"), 0, Some(&killer(1)), folder.path()).unwrap();
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
