//! Configuration + overrides → a claimed run folder and its files.
//!
//! A folder is claimed by creating it, which only one process can do; nothing in an existing one is
//! ever written by a new run. Every file is written beside and renamed, so a reader sees all of it
//! or none.

mod group;
mod lock;
mod machine;
mod model;
mod name;
mod notes;
mod summary;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ml_data::files::read_text;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use group::{GroupKind, GroupMember, GroupSummary, MemberSummary, RunGroup, SpreadSummary};
pub use lock::RunLock;
pub(crate) use machine::machine;
pub use model::{StoredModel, StoredModelError};
pub use name::{INCIDENTAL, run_name};
pub use notes::Note;
pub use summary::{CheckpointSummary, DatasetSizes, FEW_IMAGES, Status, Summary, SwaSummary, TimeSummary};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::network::ScriptFile;

/// The folder of the best epochs' checkpoints.
const KEPT: &str = "checkpoints";

/// What a rewound run held before.
const REWOUND: &str = "rewound";

/// The copy of the TorchScript file that a run trains.
const SCRIPT: &str = "model.torchscript.pt";

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct Run {
    folder: PathBuf,
}

/// A run folder could not be made, written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder cannot be made.
    #[error("{}: cannot make the run folder: {source}; choose another place with --runs_dir", path.display())]
    Claim {
        /// The folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// `--run_name` names a folder that is there.
    #[error("{}: this run exists and is never written into; choose another --run_name, or resume it with --resume", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A name that would leave the runs folder.
    #[error("--run_name {name}: must be one folder name without `/`, not empty and not starting with a dot")]
    BadName {
        /// What was given.
        name: String,
    },
    /// A file cannot be written.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("{}: cannot read: {message}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        message: String,
    },
    /// Another process trains in it.
    #[error("{}: this run is being trained by another process ({holder}); wait for it, or stop it first", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who that is.
        holder: String,
    },
    /// Something was saved, and nothing of it can be read.
    #[error("{}: no state to resume from: {failures}; give one of its checkpoints by name, or begin a new run", path.display())]
    NoState {
        /// The folder.
        path: PathBuf,
        /// Why not.
        failures: String,
    },
    /// A state that is there cannot be read or named.
    #[error(transparent)]
    State(Box<CheckpointError>),
    /// What should be resumed is not a run.
    #[error("{}: not a run folder (it has no config.yaml); give the folder that ml-train made, or a .pt file in it", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
}

impl RunError {
    /// Whether what was requested is wrong, rather than the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, RunError::Exists { .. } | RunError::BadName { .. } | RunError::NotARun { .. })
    }
}

/// Gives the file `path` the name `name` too.
fn name_also(path: &Path, name: &Path) -> Result<(), RunError> {
    atomic_file::also_name(path, name).map_err(|source| RunError::Write { path: name.to_owned(), source })
}

impl Run {
    /// Claims `runs_dir/name`, or the first free of `name_2`, `name_3`, … if it is taken.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn claim(runs_dir: &Path, name: &str) -> Result<Run, RunError> {
        make_parents(runs_dir)?;
        let mut number = 1u32;
        loop {
            let folder =
                runs_dir.join(if number == 1 { name.to_owned() } else { format!("{name}_{number}") });
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Run { folder }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(RunError::Claim { path: folder, source }),
            }
        }
    }

    /// Claims exactly `runs_dir/name`.
    ///
    /// # Errors
    /// The name is no folder name, the folder exists, or it cannot be made.
    pub fn claim_exactly(runs_dir: &Path, name: &str) -> Result<Run, RunError> {
        check_name(name)?;
        make_parents(runs_dir)?;
        let folder = runs_dir.join(name);
        match fs::create_dir(&folder) {
            Ok(()) => Ok(Run { folder }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(RunError::Exists { path: folder })
            }
            Err(source) => Err(RunError::Claim { path: folder, source }),
        }
    }

    /// As [`Run::claim_exactly`], but takes a folder that a process left which was killed before it
    /// wrote its configuration: it holds no run yet. Take the [`RunLock`] next; another process may
    /// have done the same.
    ///
    /// # Errors
    /// As [`Run::claim_exactly`].
    pub fn claim_or_take_over(runs_dir: &Path, name: &str) -> Result<Run, RunError> {
        match Run::claim_exactly(runs_dir, name) {
            Err(RunError::Exists { path }) if is_unused(&path) => Ok(Run { folder: path }),
            claimed => claimed,
        }
    }

    /// The run `runs_dir/name`, if there is one.
    ///
    /// # Errors
    /// The name is no folder name.
    pub fn named(runs_dir: &Path, name: &str) -> Result<Option<Run>, RunError> {
        check_name(name)?;
        Ok(Run::open(&runs_dir.join(name)).ok())
    }

    /// An existing run: its folder, or a file in it or in its `checkpoints/`.
    ///
    /// # Errors
    /// There is no run there.
    pub fn open(path: &Path) -> Result<Run, RunError> {
        let mut folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        if folder.file_name().is_some_and(|name| name == KEPT) && !path.is_dir() {
            folder = folder.parent().unwrap_or(folder);
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let run = Run { folder: folder.to_path_buf() };
        if run.config_path().is_file() {
            Ok(run)
        } else {
            Err(RunError::NotARun { path: path.to_path_buf() })
        }
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `config.yaml`: the resolved configuration.
    pub fn config_path(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// `summary.yaml`.
    pub fn summary_path(&self) -> PathBuf {
        self.folder.join("summary.yaml")
    }

    /// `metrics.csv`: a row an epoch.
    pub fn metrics_path(&self) -> PathBuf {
        self.folder.join("metrics.csv")
    }

    /// `best.pt`: the highest validation accuracy.
    pub fn best_path(&self) -> PathBuf {
        self.folder.join("best.pt")
    }

    /// `last.pt`: the newest state.
    pub fn last_path(&self) -> PathBuf {
        self.folder.join("last.pt")
    }

    /// `previous.pt`: the state before the newest, for the case that `last.pt` is damaged.
    pub fn previous_path(&self) -> PathBuf {
        self.folder.join("previous.pt")
    }

    /// `rollback.pt`: where a diverging run goes back to.
    pub fn rollback_path(&self) -> PathBuf {
        self.folder.join("rollback.pt")
    }

    /// `swa.pt`: the average of the last epochs.
    pub fn swa_path(&self) -> PathBuf {
        self.folder.join("swa.pt")
    }

    /// `best_epoch.pt`: the best epoch, where `best.pt` is the average of several.
    pub fn best_epoch_path(&self) -> PathBuf {
        self.folder.join("best_epoch.pt")
    }

    /// Makes `swa.pt` the run's `best.pt`; that of the best epoch becomes `best_epoch.pt`. May be
    /// repeated.
    ///
    /// # Errors
    /// A file cannot be named.
    pub fn take_average(&self) -> Result<(), RunError> {
        let (best, epoch) = (self.best_path(), self.best_epoch_path());
        if best.exists() && !epoch.exists() {
            name_also(&best, &epoch)?;
        }
        name_also(&self.swa_path(), &best)
    }

    /// Undoes [`Run::take_average`], if `best.pt` is an average.
    ///
    /// # Errors
    /// A file cannot be named or removed.
    pub fn take_best_epoch(&self) -> Result<(), RunError> {
        let epoch = self.best_epoch_path();
        if !epoch.exists() {
            return Ok(());
        }
        name_also(&epoch, &self.best_path())?;
        fs::remove_file(&epoch).map_err(|source| RunError::Write { path: epoch, source })
    }

    /// `model.torchscript.pt`: the program of a run with `model.type: torchscript`, which its
    /// checkpoints lack.
    pub fn script_path(&self) -> PathBuf {
        self.folder.join(SCRIPT)
    }

    /// Writes `model.torchscript.pt`, unless `file` is it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_script(&self, file: &ScriptFile) -> Result<(), RunError> {
        let path = self.script_path();
        if file.path() == path { Ok(()) } else { write_atomically(&path, file.bytes()) }
    }

    /// `checkpoints/epoch_<n>.pt`, its folder made.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn make_kept_path(&self, epoch: u64) -> Result<PathBuf, RunError> {
        let folder = self.folder.join(KEPT);
        fs::create_dir_all(&folder).map_err(|source| RunError::Write { path: folder.clone(), source })?;
        Ok(folder.join(format!("epoch_{epoch}.pt")))
    }

    /// The epochs kept in `checkpoints/`, and their files.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn kept_epochs(&self) -> Result<Vec<(u64, PathBuf)>, RunError> {
        let folder = self.folder.join(KEPT);
        let read = |error: io::Error| RunError::Read { path: folder.clone(), message: error.to_string() };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(read)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(read)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix("epoch_").and_then(|rest| rest.strip_suffix(".pt"));
            if let Some(epoch) = number.and_then(|number| number.parse().ok()) {
                found.push((epoch, path));
            }
        }
        Ok(found)
    }

    /// The newest state that can be read, if anything was saved: `last.pt`, or if that is damaged
    /// or gone the one before, or else the best, with a warning. With `repair` the state found
    /// becomes `last.pt`, and a damaged file is put aside; hold the [`RunLock`] for that.
    ///
    /// # Errors
    /// None of them can be read, or the folder cannot be written.
    pub fn newest_state(&self, repair: bool) -> Result<Option<Checkpoint>, RunError> {
        let last = self.last_path();
        let mut failures = Vec::new();
        for path in [&last, &self.previous_path(), &self.best_epoch_path(), &self.best_path()] {
            match Checkpoint::load(path) {
                // A model, and no state of a training.
                Ok(checkpoint) if checkpoint.average.is_some() => {}
                Ok(checkpoint) => {
                    if *path != last {
                        self.fall_back(path, &checkpoint, &failures, repair)?;
                    }
                    return Ok(Some(checkpoint));
                }
                Err(error) if error.is_damage() => failures.push(error),
                Err(error) if error.is_not_found() => {}
                // A file of a newer version, or one that cannot be read just now, is no reason to
                // go back.
                Err(error) => return Err(RunError::State(Box::new(error))),
            }
        }
        if failures.is_empty() && self.kept_epochs()?.is_empty() {
            return Ok(None);
        }
        let failures = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let failures = if failures.is_empty() { "there is no last.pt".to_owned() } else { failures };
        Err(RunError::NoState { path: self.folder.clone(), failures })
    }

    fn fall_back(
        &self,
        path: &Path,
        checkpoint: &Checkpoint,
        failures: &[CheckpointError],
        repair: bool,
    ) -> Result<(), RunError> {
        failures.iter().for_each(|failure| tracing::warn!("{failure}"));
        let last = self.last_path();
        let write = |source| RunError::Write { path: last.clone(), source };
        let mut kept = String::new();
        if repair && !failures.is_empty() {
            let names =
                std::iter::once("damaged.pt".to_owned()).chain((2..).map(|n| format!("damaged_{n}.pt")));
            let aside = names.map(|name| self.folder.join(name)).find(|path| !path.exists());
            if let Some(aside) = aside.filter(|_| last.exists()) {
                fs::rename(&last, &aside).map_err(write)?;
                kept = format!("; the damaged file is kept as {}", aside.display());
            }
        }
        if repair {
            atomic_file::also_name(path, &last)
                .map_err(|source| RunError::Write { path: last.clone(), source })?;
        }
        tracing::warn!(
            "last.pt cannot be used: resuming from the state in {} (epoch {}, step {}){kept}",
            path.display(),
            checkpoint.epoch + 1,
            checkpoint.step
        );
        Ok(())
    }

    /// Deletes what killed processes left beside files that they had not finished. Hold the
    /// [`RunLock`].
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn remove_leftovers(&self) -> Result<(), RunError> {
        let logs = [self.logs_dir(), self.report_dir(), self.tensorboard_dir()];
        for folder in [self.folder.clone(), self.folder.join(KEPT)].into_iter().chain(logs) {
            match atomic_file::remove_leftovers(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RunError::Write { path: folder, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives everything of the run that resuming from an older state replaces a second name in
    /// `rewound/`, or the first free of `rewound_2`, `rewound_3`, …: checkpoints, metrics,
    /// TensorBoard events and reports. Returns that folder.
    ///
    /// # Errors
    /// A file cannot be named there.
    pub fn put_aside(&self) -> Result<PathBuf, RunError> {
        let aside = Run::claim(&self.folder, REWOUND)?.folder;
        for part in ["", KEPT, "report", "tensorboard", "tensorboard/steps"].map(Path::new) {
            let (from, to) = (self.folder.join(part), aside.join(part));
            let read = |error: io::Error| RunError::Read { path: from.clone(), message: error.to_string() };
            let entries = match fs::read_dir(&from) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(read)?,
            };
            fs::create_dir_all(&to).map_err(|source| RunError::Write { path: to.clone(), source })?;
            for entry in entries {
                let entry = entry.map_err(read)?;
                let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
                if is_hidden || !entry.file_type().map_err(read)?.is_file() {
                    continue;
                }
                let to = to.join(entry.file_name());
                atomic_file::also_name(&entry.path(), &to)
                    .map_err(|source| RunError::Write { path: to.clone(), source })?;
            }
        }
        Ok(aside)
    }

    /// `logs/`.
    pub fn logs_dir(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// `tensorboard/`.
    pub fn tensorboard_dir(&self) -> PathBuf {
        self.folder.join("tensorboard")
    }

    /// `report/`.
    pub fn report_dir(&self) -> PathBuf {
        self.folder.join("report")
    }

    /// Writes `config.yaml`. Notes that it has already stay above the keys whose values stay.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_config(&self, config: &crate::config::Config) -> Result<(), RunError> {
        self.write_config_with(config, &[])
    }

    /// As [`Run::write_config`], with notes on its keys.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_config_with(&self, config: &crate::config::Config, notes: &[Note]) -> Result<(), RunError> {
        let path = self.config_path();
        let text = to_yaml(&path, config)?;
        let mut notes = notes.to_vec();
        if let Ok(old) = read_text(&path) {
            notes.extend(notes::kept(&old, &text));
        }
        write_atomically(&path, notes::annotated(&text, &notes).as_bytes())
    }

    /// Reads `config.yaml` as text.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_config(&self) -> Result<String, RunError> {
        let path = self.config_path();
        read_text(&path).map_err(|error| RunError::Read { path, message: error.to_string() })
    }

    /// Writes `summary.yaml`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_summary(&self, summary: &Summary) -> Result<(), RunError> {
        write_yaml(&self.summary_path(), summary)
    }

    /// Reads `summary.yaml`.
    ///
    /// # Errors
    /// It cannot be read or is no summary.
    pub fn read_summary(&self) -> Result<Summary, RunError> {
        read_yaml(&self.summary_path())
    }
}

/// Where the copy of a TorchScript file may lie that belongs to `state`, a run folder or a
/// checkpoint in it.
pub fn script_copies(state: &Path) -> Vec<PathBuf> {
    let folder = if state.is_dir() { state } else { state.parent().unwrap_or(state) };
    let above = folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == KEPT));
    std::iter::once(folder).chain(above).map(|folder| folder.join(SCRIPT)).collect()
}

fn check_name(name: &str) -> Result<(), RunError> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(RunError::BadName { name: name.to_owned() });
    }
    Ok(())
}

/// Whether a folder holds nothing of a run but what is written before its configuration: hidden
/// files (a lock, a file that was never finished), a program.
fn is_unused(folder: &Path) -> bool {
    let is_early = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            entry.file_name() == SCRIPT || entry.file_name().to_string_lossy().starts_with('.')
        })
    };
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_early))
}

fn make_parents(runs_dir: &Path) -> Result<(), RunError> {
    fs::create_dir_all(runs_dir).map_err(|source| RunError::Claim { path: runs_dir.to_path_buf(), source })
}

fn write_yaml(path: &Path, value: &impl Serialize) -> Result<(), RunError> {
    write_atomically(path, to_yaml(path, value)?.as_bytes())
}

/// What the file `path` is to hold.
fn to_yaml(path: &Path, value: &impl Serialize) -> Result<String, RunError> {
    ml_data::yaml::to_string(value)
        .map_err(|error| RunError::Write { path: path.to_path_buf(), source: io::Error::other(error) })
}

fn read_yaml<T: DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let read = |message: String| RunError::Read { path: path.to_path_buf(), message };
    let text = read_text(path).map_err(|error| read(error.to_string()))?;
    serde_yaml::from_str(&text).map_err(|error| read(error.to_string()))
}

/// Writes a small file beside and renames it into place.
///
/// # Errors
/// It cannot be written; what was there before is untouched then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    atomic_file::replace(path, bytes).map_err(|source| RunError::Write { path: path.to_path_buf(), source })
}

/// The most memory that this process has held at once, in bytes, as Linux counts it; none elsewhere.
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// The time: seconds since 1970.
pub fn unix_seconds() -> f64 {
    jiff::Timestamp::now().as_microsecond() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_never_written_into_and_the_next_free_one_is_claimed() {
        let runs = tempfile::tempdir().unwrap();
        let names: Vec<PathBuf> = (0..3)
            .map(|_| {
                Run::claim(runs.path(), "base").unwrap().folder().strip_prefix(runs.path()).unwrap().into()
            })
            .collect();
        assert_eq!(names, [PathBuf::from("base"), "base_2".into(), "base_3".into()]);
        let error = Run::claim_exactly(runs.path(), "base").unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
    }

    #[test]
    fn a_folder_that_a_killed_process_left_without_a_run_is_taken_over() {
        let runs = tempfile::tempdir().unwrap();
        fs::create_dir(runs.path().join("x")).unwrap();
        fs::write(runs.path().join("x/.lock"), "process 1").unwrap();
        fs::write(runs.path().join("x/model.torchscript.pt"), "a program").unwrap();
        assert!(Run::claim_or_take_over(runs.path(), "x").is_ok());
        fs::write(runs.path().join("x/config.yaml"), "").unwrap();
        assert!(matches!(Run::claim_or_take_over(runs.path(), "x"), Err(RunError::Exists { .. })));
    }

    #[test]
    fn many_processes_claiming_at_once_get_different_folders() {
        let runs = tempfile::tempdir().unwrap();
        let folders: std::collections::HashSet<PathBuf> = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| Run::claim(runs.path(), "x").unwrap().folder().to_path_buf()))
                .collect();
            claims.into_iter().map(|claim| claim.join().unwrap()).collect()
        });
        assert_eq!(folders.len(), 16);
    }

    #[test]
    fn a_run_name_cannot_leave_the_runs_folder() {
        let runs = tempfile::tempdir().unwrap();
        for name in ["", "..", "../x", "a/b", ".hidden"] {
            assert!(matches!(Run::claim_exactly(runs.path(), name), Err(RunError::BadName { .. })), "{name}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Run::claim(&file, "base").unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("--runs_dir"), "{error}");
    }
}
