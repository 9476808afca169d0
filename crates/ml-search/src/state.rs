//! The state of a search ↔ `search.json` in its folder, which is replaced as a whole: a search that
//! is killed at any instant resumes from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::trial::{Status, Trial};

const FILE: &str = "search.json";
const FORMAT: u32 = 1;

/// All that a search knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    format_version: u32,
    /// What is searched, and how.
    pub settings: Settings,
    /// Epochs of a trial, unless `training.num_epochs` is searched.
    pub num_epochs: u64,
    /// Where the search was started, to which paths in the configuration are relative.
    pub directory: PathBuf,
    /// Computing threads and loading threads of each of several trials at a time.
    pub threads: Option<usize>,
    /// Seconds of searching, summed over resumptions.
    pub seconds: f64,
    /// In the order in which they began.
    pub trials: Vec<Trial>,
}

/// The state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is none.
    #[error("{}: not the folder of a search (it has no search.json)", .0.display())]
    NotASearch(PathBuf),
    /// It cannot be read.
    #[error("{}: cannot read the search: {message}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// It cannot be written.
    #[error("{}: cannot write the search: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl State {
    /// A search that begins.
    pub fn new(settings: Settings, num_epochs: u64, directory: PathBuf, threads: Option<usize>) -> State {
        let trials = Vec::new();
        State { format_version: FORMAT, settings, num_epochs, directory, threads, seconds: 0.0, trials }
    }

    /// Reads that of the search in `folder`.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(folder: &Path) -> Result<State, StateError> {
        let path = folder.join(FILE);
        let failed = |message: String| StateError::Read { path: path.clone(), message };
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::NotASearch(folder.to_owned()));
            }
            bytes => bytes.map_err(|error| failed(error.to_string()))?,
        };
        let state: State = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        if state.format_version != FORMAT {
            return Err(failed(format!("version {} of the file is not known", state.format_version)));
        }
        Ok(state)
    }

    /// Writes it into `folder`.
    ///
    /// # Errors
    /// The file cannot be written; the old one is as it was.
    pub fn write(&self, folder: &Path) -> Result<(), StateError> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = text.and_then(|mut text| {
            text.push(b'\n');
            atomic_file::replace(&path, &text)
        });
        written.map_err(|source| StateError::Write { path, source })
    }

    /// Epochs of a trial.
    pub fn epochs_of(&self, trial: &Trial) -> u64 {
        let own = trial.parameter("training.num_epochs").and_then(serde_json::Value::as_u64);
        own.unwrap_or(self.num_epochs)
    }

    /// The best trial: of those that were completed, or of all that have a value if none was.
    pub fn best(&self) -> Option<&Trial> {
        let metric = &self.settings.metric;
        let best = |is_one: &dyn Fn(&Trial) -> bool| {
            let of = self.trials.iter().filter(|trial| is_one(trial));
            let losses = of.filter_map(|trial| Some((metric.loss(trial.best(metric)?), trial)));
            losses.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, trial)| trial)
        };
        best(&|trial| trial.status == Status::Completed)
            .or_else(|| best(&|trial| trial.status != Status::Failed))
    }

    /// How many trials have a status.
    pub fn count(&self, status: Status) -> usize {
        self.trials.iter().filter(|trial| trial.status == status).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let settings = Settings::parse("space: {optimizer.lr: {log_uniform: [0.001, 0.1]}}").unwrap();
        let mut state = State::new(settings, 3, PathBuf::from("/data"), Some(2));
        for (number, status, value) in
            [(0, Status::Pruned, 0.9), (1, Status::Completed, 0.7), (2, Status::Completed, 0.8)]
        {
            let parameters = vec![("optimizer.lr".to_owned(), (0.1 / 3.0).into())];
            let values = vec![Some(value), None];
            state.trials.push(Trial { status, values, ..Trial::new(number, parameters) });
        }
        state
    }

    #[test]
    fn what_is_written_is_read_again_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(State::read(folder.path()), Err(StateError::NotASearch(_))));
        let state = state();
        state.write(folder.path()).unwrap();
        assert_eq!(State::read(folder.path()).unwrap(), state);
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(matches!(State::read(folder.path()), Err(StateError::Read { .. })));
    }

    #[test]
    fn the_best_trial_is_one_that_was_completed() {
        let mut state = state();
        assert_eq!(state.best().unwrap().number, 2);
        state.trials.truncate(1);
        assert_eq!(state.best().unwrap().number, 0);
        state.trials.clear();
        assert!(state.best().is_none());
    }
}
