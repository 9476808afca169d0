//! Trials as processes of `ml-train`: one command starts and resumes each.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ml_core::run::Run;
use ml_data::yaml::inline;
use ml_report::search_report::trials_dir;
use ml_search::{Ended, Launcher, Metric, Process, State, Trial, read_values};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How long a process gets to save its state.
const SAVED_WITHIN: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(100);
/// Signals that `ml-train` answers by saving its state: INT, TERM, HUP, USR1, USR2.
const SAVED: [i32; 5] = [2, 15, 1, 10, 12];

/// Starts `ml-train`.
pub struct TrainLauncher {
    program: PathBuf,
    /// Of the search, absolute.
    folder: PathBuf,
    directory: Option<PathBuf>,
    metric: Metric,
    devices: Vec<String>,
    threads: Option<usize>,
}

/// The configuration of a search in its folder.
pub fn config_path(folder: &Path) -> PathBuf {
    folder.join("config.yaml")
}

impl TrainLauncher {
    /// For the trials of the search in `folder`.
    ///
    /// # Errors
    /// This program does not find itself, or the folder.
    pub fn new(folder: &Path, state: &State) -> io::Result<TrainLauncher> {
        let program = std::env::current_exe()?.with_file_name("ml-train");
        if !program.exists() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{}: there is no such program; ml-search needs it beside itself", program.display()),
            ));
        }
        let folder = std::path::absolute(folder)?;
        fs::create_dir_all(folder.join("logs"))?;
        Ok(TrainLauncher {
            program,
            folder,
            directory: Some(state.directory.clone()).filter(|directory| directory.is_dir()),
            metric: state.settings.metric.clone(),
            devices: state.settings.devices.clone(),
            threads: state.threads,
        })
    }

    fn run_folder(&self, trial: &Trial) -> PathBuf {
        trials_dir(&self.folder).join(trial.name())
    }

    fn log_path(&self, trial: &Trial) -> PathBuf {
        self.folder.join("logs").join(format!("{}.log", trial.name()))
    }

    /// What starts a trial, or resumes it in its run folder.
    fn args(&self, trial: &Trial, slot: usize) -> io::Result<Vec<OsString>> {
        let mut args: Vec<OsString> = vec!["--config".into(), config_path(&self.folder).into()];
        for (key, value) in &trial.parameters {
            let value = serde_yaml::to_value(value).map_err(io::Error::other)?;
            args.extend([OsString::from("--set"), format!("{key}={}", inline(&value)).into()]);
        }
        if !self.devices.is_empty() {
            let device = &self.devices[slot % self.devices.len()];
            args.extend([OsString::from("--device"), device.into()]);
        }
        if let Some(threads) = self.threads {
            let threads = OsString::from(threads.to_string());
            args.extend([OsString::from("--threads"), threads.clone(), "--num_workers".into(), threads]);
        }
        args.extend([OsString::from("--runs_dir"), trials_dir(&self.folder).into()]);
        args.extend([OsString::from("--run_name"), trial.name().into(), "--resume".into(), "auto".into()]);
        args.extend([OsString::from("--color"), "never".into()]);
        Ok(args)
    }
}

impl Launcher for TrainLauncher {
    type Process = Training;

    fn start(&mut self, trial: &Trial, slot: usize) -> io::Result<Training> {
        let folder = self.run_folder(trial);
        end_orphan(&folder)?;
        // It has ended before the search knew of it.
        if is_final(&folder) {
            return Ok(Training::new(None, self.log_path(trial)));
        }
        let log = self.log_path(trial);
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(&self.program);
        command.args(self.args(trial, slot)?).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        // A group of its own: signals from the terminal reach it through the search only.
        let child = command.process_group(0).spawn()?;
        Ok(Training::new(Some(child), log))
    }

    fn values(&self, trial: &Trial) -> io::Result<Vec<Option<f64>>> {
        read_values(&self.run_folder(trial).join("metrics.csv"), &self.metric)
    }
}

/// Whether nothing of a run is left to be done.
fn is_final(folder: &Path) -> bool {
    let summary = Run::open(folder).ok().and_then(|run| run.read_summary().ok());
    summary.is_some_and(|summary| summary.status.is_final())
}

/// One `ml-train`; none if the run was complete before.
pub struct Training {
    child: Option<Child>,
    has_ended: bool,
    /// When it was first asked to end.
    asked: Option<Instant>,
    log: PathBuf,
}

impl Training {
    fn new(child: Option<Child>, log: PathBuf) -> Training {
        Training { has_ended: child.is_none(), child, asked: None, log }
    }
}

impl Process for Training {
    fn poll(&mut self) -> io::Result<Option<Ended>> {
        let Some(child) = &mut self.child else { return Ok(Some(Ended::Completed)) };
        let is_late = self.asked.is_some_and(|asked| asked.elapsed() > SAVED_WITHIN);
        let Some(status) = child.try_wait()? else {
            if is_late {
                tracing::warn!("process {} was asked to end and does not; it is killed", child.id());
                child.kill()?;
            }
            return Ok(None);
        };
        self.has_ended = true;
        // It goes on from its last checkpoint like one that has saved its state.
        let was_killed = is_late && status.signal() == Some(Signal::KILL.as_raw());
        Ok(Some(if was_killed { Ended::Stopped } else { ended(status, &self.log) }))
    }

    fn stop(&mut self) {
        // After its end another process may have the number.
        let child = self.child.as_ref().filter(|_| !self.has_ended);
        if let Some(pid) = child.and_then(|child| Pid::from_raw(child.id() as i32)) {
            // It may have ended by itself; then there is nothing to do.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.asked.get_or_insert_with(Instant::now);
    }
}

fn ended(status: ExitStatus, log: &Path) -> Ended {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ended::Completed,
        (Some(code), _) if SAVED.contains(&(code - 128)) => Ended::Stopped,
        // Before it could catch signals: it has done nothing yet.
        (None, Some(signal)) if SAVED.contains(&signal) => Ended::Stopped,
        (None, Some(signal)) => Ended::Failed(format!("ml-train was killed by signal {signal}")),
        (code, _) => {
            let code = code.unwrap_or(1);
            let reason = last_error(log).unwrap_or_else(|| format!("ml-train ended with exit code {code}"));
            Ended::Failed(format!("{reason} (see logs/{})", file_name(log)))
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The last error in a log.
fn last_error(log: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&fs::read(log).ok()?).into_owned();
    let at = text.rfind("error: ")?;
    // Several problems stand in lines of their own.
    let lines: Vec<&str> = text[at + "error: ".len()..].lines().map(str::trim).take(4).collect();
    Some(lines.join(" ").trim().to_owned())
}

/// Ends the `ml-train` that a killed search has left in a run folder, and waits until its state is
/// saved.
fn end_orphan(folder: &Path) -> io::Result<()> {
    let Some(pid) = orphan(folder) else { return Ok(()) };
    tracing::info!("{}: is still trained by process {}; stopping it", folder.display(), pid.as_raw_nonzero());
    let _ = kill_process(pid, Signal::TERM);
    let asked = Instant::now();
    while orphan(folder).is_some() && test_kill_process(pid).is_ok() {
        if asked.elapsed() > SAVED_WITHIN {
            return Err(io::Error::other(format!(
                "{}: is still trained by process {}, which does not end",
                folder.display(),
                pid.as_raw_nonzero()
            )));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// The process that the lock of a run folder names, if it is an `ml-train` of this folder.
fn orphan(folder: &Path) -> Option<Pid> {
    let holder = fs::read_to_string(folder.join(".lock")).ok()?;
    let number: i32 = holder.trim().strip_prefix("process ")?.parse().ok()?;
    let command = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    let (runs_dir, name) = (folder.parent()?.as_os_str(), folder.file_name()?);
    let is_there = |word: &std::ffi::OsStr| words.contains(&word.as_encoded_bytes());
    (is_there(runs_dir) && is_there(name)).then(|| Pid::from_raw(number)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_says_whether_the_state_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0000.log");
        fs::write(&log, "… | INFO | x\nerror: first\nerror: the configuration has a problem:\n  lr: no\n")
            .unwrap();
        let exit = |code: i32| ended(ExitStatus::from_raw(code << 8), &log);
        assert_eq!(exit(0), Ended::Completed);
        assert_eq!([exit(143), exit(130)], [Ended::Stopped, Ended::Stopped]);
        let failed = Ended::Failed("the configuration has a problem: lr: no (see logs/0000.log)".to_owned());
        assert_eq!(exit(2), failed);
        assert_eq!(ended(ExitStatus::from_raw(15), &log), Ended::Stopped);
        let killed = Ended::Failed("ml-train was killed by signal 9".to_owned());
        assert_eq!(ended(ExitStatus::from_raw(9), &log), killed);
    }

    #[test]
    fn a_lock_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(orphan(folder.path()), None);
        fs::write(folder.path().join(".lock"), format!("process {}\n", std::process::id())).unwrap();
        assert_eq!(orphan(folder.path()), None);
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_and_goes_on_later() {
        let mut command = Command::new("sh");
        let child = command.args(["-c", "trap '' TERM; echo; exec sleep 60"]).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // The signal is ignored from here on.
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let mut training = Training::new(Some(child), PathBuf::new());
        training.stop();
        assert_eq!(training.poll().unwrap(), None);
        training.asked = Instant::now().checked_sub(SAVED_WITHIN + Duration::from_secs(1));
        let ended = loop {
            if let Some(ended) = training.poll().unwrap() {
                break ended;
            }
            std::thread::sleep(POLL);
        };
        assert_eq!(ended, Ended::Stopped);
    }
}
