//! The course of a search: starts trials, watches their metric, stops and resumes them, and keeps
//! the state on the disk equal to what has happened.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::pruner::Decision;
use crate::sampler;
use crate::state::{State, StateError};
use crate::trial::{Status, Trial};

/// How often the trials are looked at.
const POLL: Duration = Duration::from_millis(200);
/// If the first trials that end all fail, the search does.
const FAILURES: usize = 3;

/// Trains trials in processes of their own.
pub trait Launcher {
    /// A trial that is trained.
    type Process: Process;

    /// Starts or resumes a trial, on the device of the slot.
    ///
    /// # Errors
    /// It cannot be started.
    fn start(&mut self, trial: &Trial, slot: usize) -> std::io::Result<Self::Process>;

    /// The metric of each epoch so far.
    ///
    /// # Errors
    /// It cannot be read.
    fn values(&self, trial: &Trial) -> std::io::Result<Vec<Option<f64>>>;
}

/// A trial that is trained.
pub trait Process {
    /// How it has ended; none as long as it has not.
    ///
    /// # Errors
    /// The system's.
    fn poll(&mut self) -> std::io::Result<Option<Ended>>;

    /// Asks it to save its state and end.
    fn stop(&mut self);
}

/// How a process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is trained.
    Completed,
    /// By a signal, with its state saved.
    Stopped,
    /// By an error.
    Failed(String),
}

/// How a search has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All trials are done.
    Completed,
    /// The time is used up.
    OutOfTime,
    /// It was asked to stop.
    Interrupted,
}

/// Why a search cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The state cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A trial cannot be started or watched.
    #[error("trial {trial}: {source}")]
    Trial {
        /// Its name.
        trial: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nothing works.
    #[error("the first trials have all failed; the last: {0}")]
    AllFail(String),
}

/// Drives one search.
pub struct Driver<'a, L: Launcher> {
    folder: &'a Path,
    state: State,
    launcher: L,
    slots: Vec<Option<Slot<L::Process>>>,
    /// Of the search, before this process.
    seconds_before: f64,
    started: Instant,
    poll: Duration,
}

/// A trial that is trained here.
struct Slot<P> {
    trial: usize,
    process: P,
    /// What was decided; nothing is taken from the trial after it.
    decision: Decision,
    started: Instant,
    seconds_before: f64,
}

impl<'a, L: Launcher> Driver<'a, L> {
    /// Over a search whose state lies in `folder`.
    pub fn new(folder: &'a Path, state: State, launcher: L) -> Driver<'a, L> {
        let slots = (0..state.settings.parallel).map(|_| None).collect();
        let seconds_before = state.seconds;
        Driver { folder, state, launcher, slots, seconds_before, started: Instant::now(), poll: POLL }
    }

    /// The state as it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Trains until nothing is left, the time is used up, or `is_interrupted`. All processes have
    /// ended when this returns, also with an error.
    ///
    /// # Errors
    /// The state cannot be written, a trial cannot be started, or all trials fail.
    pub fn run(&mut self, is_interrupted: &dyn Fn() -> bool) -> Result<Outcome, DriveError> {
        let outcome = self.drive(is_interrupted);
        let halted = self.halt();
        let outcome = outcome?;
        halted?;
        Ok(outcome)
    }

    fn drive(&mut self, is_interrupted: &dyn Fn() -> bool) -> Result<Outcome, DriveError> {
        loop {
            if is_interrupted() {
                return Ok(Outcome::Interrupted);
            }
            self.state.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
            if self.state.settings.budget.seconds.is_some_and(|most| self.state.seconds >= most) {
                return Ok(Outcome::OutOfTime);
            }
            let changed = self.watch()?;
            if changed {
                self.state.write(self.folder)?;
                self.check_failures()?;
            }
            let filled = self.fill()?;
            if self.slots.iter().all(Option::is_none) && !filled {
                return Ok(Outcome::Completed);
            }
            std::thread::sleep(self.poll);
        }
    }

    /// Looks at each trial. Returns whether anything is new.
    fn watch(&mut self) -> Result<bool, DriveError> {
        let mut changed = false;
        for place in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[place] else { continue };
            let name = self.state.trials[slot.trial].name();
            let failed = |source| DriveError::Trial { trial: name.clone(), source };
            // In this order: what it wrote before its end is there.
            let ended = slot.process.poll().map_err(failed)?;
            let values = self.launcher.values(&self.state.trials[slot.trial]).map_err(failed)?;
            changed |= observe(&mut self.state, slot, &values);
            if let Some(ended) = ended {
                settle(&mut self.state.trials[slot.trial], slot, ended);
                self.slots[place] = None;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Gives free slots something to train. Returns whether any got it.
    fn fill(&mut self) -> Result<bool, DriveError> {
        let mut filled = false;
        for place in 0..self.slots.len() {
            if self.slots[place].is_some() {
                continue;
            }
            let Some(number) = self.next_trial() else { break };
            // What is begun is known before its process is there.
            self.state.write(self.folder)?;
            let trial = &self.state.trials[number];
            let failed = |source| DriveError::Trial { trial: trial.name(), source };
            let process = self.launcher.start(trial, place).map_err(failed)?;
            tell_start(trial);
            let (started, seconds_before) = (Instant::now(), trial.seconds);
            let decision = Decision::Continue;
            self.slots[place] = Some(Slot { trial: number, process, decision, started, seconds_before });
            filled = true;
        }
        Ok(filled)
    }

    /// The number of a trial to train: one that was interrupted, one that goes on to the next rung, a
    /// new one, or the one that is trained to its end after all.
    fn next_trial(&mut self) -> Option<usize> {
        if let Some(number) = self.interrupted() {
            return Some(number);
        }
        let State { settings, trials, .. } = &self.state;
        if let Some(number) = settings.pruner.promoted(trials, &settings.metric) {
            let trial = &mut self.state.trials[number];
            trial.status = Status::Running;
            trial.rung += 1;
            return Some(number);
        }
        let number = trials.len();
        if number < settings.budget.trials {
            let seed = (settings.seed, number);
            let parameters =
                sampler::propose(settings.sampler, &settings.space, &settings.metric, trials, seed);
            if let Some(parameters) = parameters {
                self.state.trials.push(Trial::new(number, parameters));
                return Some(number);
            }
        }
        if self.slots.iter().any(Option::is_some) {
            return None;
        }
        let number = settings.pruner.finalist(trials, &settings.metric)?;
        let trial = &mut self.state.trials[number];
        trial.status = Status::Running;
        trial.rung += 1;
        Some(number)
    }

    /// The number of a trial that was interrupted. One that was to end after its last epoch ends
    /// first: a search that was killed may have had no time for it.
    fn interrupted(&mut self) -> Option<usize> {
        loop {
            let is_here = |number: usize| self.slots.iter().flatten().any(|slot| slot.trial == number);
            let State { settings, trials, .. } = &self.state;
            let trial =
                trials.iter().find(|trial| trial.status == Status::Running && !is_here(trial.number))?;
            let number = trial.number;
            if trial.values.is_empty() || trial.epochs() >= self.state.epochs_of(trial) {
                return Some(number);
            }
            self.state.trials[number].status = match settings.pruner.decide(trial, trials, &settings.metric) {
                Decision::Continue => return Some(number),
                Decision::Prune => Status::Pruned,
                Decision::Pause => Status::Paused,
            };
        }
    }

    fn check_failures(&self) -> Result<(), DriveError> {
        let trials = &self.state.trials;
        let failed = || trials.iter().filter(|trial| trial.status == Status::Failed);
        let others = trials.iter().any(|trial| !matches!(trial.status, Status::Failed | Status::Running));
        match failed().next_back() {
            Some(last) if !others && failed().count() >= FAILURES => {
                Err(DriveError::AllFail(last.error.clone().unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }

    /// Stops what is still trained, waits for it, and writes the state.
    fn halt(&mut self) -> Result<(), DriveError> {
        for slot in self.slots.iter_mut().flatten() {
            // Of a trial that was to end anyway, this is known already.
            if slot.decision == Decision::Continue {
                slot.process.stop();
            }
        }
        for slot in &mut self.slots {
            let Some(mut slot) = slot.take() else { continue };
            let was_to_end = slot.decision != Decision::Continue;
            let ended = loop {
                match slot.process.poll() {
                    Ok(None) => std::thread::sleep(self.poll),
                    Ok(ended) => break ended,
                    // Nothing more can be known of it; it is resumed with the search.
                    Err(_) => break None,
                }
            };
            let trial = &mut self.state.trials[slot.trial];
            trial.seconds = slot.seconds();
            let ended = ended.filter(|ended| was_to_end || *ended != Ended::Stopped);
            // What cannot be read now is read again when the search is resumed.
            if let (Some(ended), Ok(values)) = (ended, self.launcher.values(trial)) {
                observe(&mut self.state, &mut slot, &values);
                settle(&mut self.state.trials[slot.trial], &slot, ended);
            }
        }
        self.state.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        Ok(self.state.write(self.folder)?)
    }
}

impl<P> Slot<P> {
    /// Seconds of all processes of the trial.
    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }
}

/// Takes the epochs that are new, one after the other, and decides after each. Returns whether there
/// were any.
fn observe<P: Process>(state: &mut State, slot: &mut Slot<P>, values: &[Option<f64>]) -> bool {
    let mut changed = false;
    while slot.decision == Decision::Continue {
        let trial = &mut state.trials[slot.trial];
        let Some(value) = values.get(trial.values.len()) else { break };
        trial.values.push(*value);
        trial.seconds = slot.seconds();
        changed = true;
        let trial = &state.trials[slot.trial];
        if trial.epochs() >= state.epochs_of(trial) {
            continue;
        }
        let metric = &state.settings.metric;
        slot.decision = state.settings.pruner.decide(trial, &state.trials, metric);
        if slot.decision != Decision::Continue {
            slot.process.stop();
        }
    }
    changed
}

/// What a trial is after its process. A decision holds also if the trial came to its end before the
/// signal: how fast it is must make no difference.
fn settle<P>(trial: &mut Trial, slot: &Slot<P>, ended: Ended) {
    trial.seconds = slot.seconds();
    trial.status = match (slot.decision, ended) {
        (Decision::Prune, _) => Status::Pruned,
        (_, Ended::Failed(reason)) => {
            trial.error = Some(reason);
            Status::Failed
        }
        (Decision::Pause, _) => Status::Paused,
        (Decision::Continue, Ended::Completed) => Status::Completed,
        (Decision::Continue, Ended::Stopped) => {
            trial.error = Some("was stopped by a signal from outside".to_owned());
            Status::Failed
        }
    };
    let name = trial.name();
    match &trial.error {
        Some(reason) => tracing::warn!("trial {name} failed: {reason}"),
        None => tracing::info!("trial {name} {} after {} epochs", trial.status.name(), trial.epochs()),
    }
}

fn tell_start(trial: &Trial) {
    let shown = |(key, value): &(String, serde_json::Value)| format!("{key}={value}");
    let parameters = trial.parameters.iter().map(shown).collect::<Vec<_>>().join(" ");
    let doing = if trial.values.is_empty() { "starts" } else { "is resumed" };
    tracing::info!("trial {} {doing}: {parameters}", trial.name());
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
