//! Searches whose trials are computed rather than trained: a trial of learning rate x reaches
//! `x * (epoch + 1)` after each epoch, and lives as long as it is looked at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::settings::Settings;

use super::*;

/// Epochs done by each trial: what run folders are to the real one.
type Done = Rc<RefCell<BTreeMap<usize, u64>>>;

struct Computed {
    done: Done,
    epochs: u64,
    starts: Rc<RefCell<Vec<usize>>>,
}

struct Trained {
    number: usize,
    done: Done,
    epochs: u64,
    is_stopped: bool,
    fails: bool,
}

impl Launcher for Computed {
    type Process = Trained;

    fn start(&mut self, trial: &Trial, _: usize) -> io::Result<Trained> {
        self.starts.borrow_mut().push(trial.number);
        let fails = trial.parameter("x").and_then(serde_json::Value::as_f64) == Some(-1.0);
        let (number, done) = (trial.number, Rc::clone(&self.done));
        Ok(Trained { number, done, epochs: self.epochs, is_stopped: false, fails })
    }

    fn values(&self, trial: &Trial) -> io::Result<Vec<Option<f64>>> {
        let epochs = self.done.borrow().get(&trial.number).copied().unwrap_or(0);
        let x = trial.parameter("x").and_then(serde_json::Value::as_f64).unwrap_or_default();
        Ok((1..=epochs).map(|epoch| Some(x * epoch as f64)).collect())
    }
}

impl Process for Trained {
    fn poll(&mut self) -> io::Result<Option<Ended>> {
        if self.fails {
            return Ok(Some(Ended::Failed("no".to_owned())));
        }
        if self.is_stopped {
            return Ok(Some(Ended::Stopped));
        }
        let mut done = self.done.borrow_mut();
        let epochs = done.entry(self.number).or_default();
        if *epochs == self.epochs {
            return Ok(Some(Ended::Completed));
        }
        *epochs += 1;
        Ok(None)
    }

    fn stop(&mut self) {
        self.is_stopped = true;
    }
}

struct Search {
    folder: tempfile::TempDir,
    done: Done,
    starts: Rc<RefCell<Vec<usize>>>,
}

impl Search {
    fn new(text: &str) -> Search {
        let folder = tempfile::tempdir().unwrap();
        let state = State::new(Settings::parse(text).unwrap(), 9, ".".into(), None);
        state.write(folder.path()).unwrap();
        Search { folder, done: Done::default(), starts: Rc::default() }
    }

    /// Runs from the state on the disk, until `is_interrupted`.
    fn run(&self, is_interrupted: &dyn Fn() -> bool) -> Result<Outcome, DriveError> {
        let state = State::read(self.folder.path()).unwrap();
        let launcher = Computed { done: Rc::clone(&self.done), epochs: 9, starts: Rc::clone(&self.starts) };
        let mut driver = Driver::new(self.folder.path(), state, launcher);
        driver.poll = Duration::ZERO;
        driver.run(is_interrupted)
    }

    /// The trials on the disk, without their times.
    fn trials(&self) -> Vec<Trial> {
        let trials = State::read(self.folder.path()).unwrap().trials;
        trials.into_iter().map(|trial| Trial { seconds: 0.0, ..trial }).collect()
    }
}

const TPE: &str = "{space: {x: {uniform: [0, 1]}}, budget: {trials: 14}, pruner: median, seed: 4}";
const HALVING: &str = "{space: {x: {choice: [0.1, 0.9, 0.2, 0.3, 0.8, 0.4, 0.5, 0.6, 0.7]}}, sampler: grid, \
                       pruner: successive_halving}";

fn statuses(trials: &[Trial]) -> Vec<(&'static str, u64)> {
    trials.iter().map(|trial| (trial.status.name(), trial.epochs())).collect()
}

#[test]
fn of_nine_trials_three_get_three_epochs_and_one_all() {
    let search = Search::new(HALVING);
    assert_eq!(search.run(&|| false).unwrap(), Outcome::Completed);
    let trials = search.trials();
    let completed: Vec<usize> =
        trials.iter().filter(|trial| trial.status == Status::Completed).map(|trial| trial.number).collect();
    assert_eq!(completed, [1], "{:?}", statuses(&trials));
    assert_eq!(trials[1].epochs(), 9);
    assert_eq!(trials.iter().filter(|trial| trial.epochs() == 3).count(), 2, "{:?}", statuses(&trials));
    assert!(trials[0].status == Status::Paused && trials[0].epochs() == 1);
    assert_eq!(State::read(search.folder.path()).unwrap().best().unwrap().number, 1);
}

/// Stopped after every so many looks, with the state read from the disk again, a search takes the
/// same course to the same end.
#[test]
fn an_interrupted_search_ends_as_one_that_was_not() {
    for text in [TPE, HALVING] {
        let whole = Search::new(text);
        assert_eq!(whole.run(&|| false).unwrap(), Outcome::Completed);
        for looks in [2, 3, 7] {
            let parts = Search::new(text);
            for attempt in 0.. {
                assert!(attempt < 500, "no end");
                let left = RefCell::new(looks);
                let interrupted = || {
                    *left.borrow_mut() -= 1;
                    *left.borrow() < 0
                };
                if parts.run(&interrupted).unwrap() == Outcome::Completed {
                    break;
                }
            }
            assert_eq!(parts.trials(), whole.trials(), "{looks} looks");
            assert!(parts.starts.borrow().len() > whole.starts.borrow().len());
        }
    }
}

/// A kill leaves some state that was written before; trials are further than it says.
#[test]
fn a_killed_search_goes_on_from_what_it_had_written() {
    let whole = Search::new(TPE);
    whole.run(&|| false).unwrap();
    let killed = Search::new(TPE);
    let left = RefCell::new(16);
    let interrupted = || {
        *left.borrow_mut() -= 1;
        *left.borrow() < 0
    };
    assert_eq!(killed.run(&interrupted).unwrap(), Outcome::Interrupted);
    let mut state = State::read(killed.folder.path()).unwrap();
    let last = state.trials.last_mut().unwrap();
    last.status = Status::Running;
    last.values.truncate(1);
    state.write(killed.folder.path()).unwrap();
    assert_eq!(killed.run(&|| false).unwrap(), Outcome::Completed);
    assert_eq!(killed.trials(), whole.trials());
}

#[test]
fn a_search_whose_first_trials_all_fail_ends_with_their_reason() {
    let search = Search::new("{space: {x: {choice: [-1]}}, sampler: random}");
    let error = search.run(&|| false).unwrap_err().to_string();
    assert_eq!(error, "the first trials have all failed; the last: no");
    assert_eq!(search.trials().len(), 3);
}

#[test]
fn a_search_ends_when_its_time_is_used_up_and_goes_on_with_more() {
    let search = Search::new("{space: {x: {uniform: [0, 1]}}, budget: {trials: 2, time: 1s}}");
    let mut state = State::read(search.folder.path()).unwrap();
    state.seconds = 2.0;
    state.write(search.folder.path()).unwrap();
    assert_eq!(search.run(&|| false).unwrap(), Outcome::OutOfTime);
    assert_eq!(search.trials().len(), 0);
    state.settings.budget.seconds = None;
    state.write(search.folder.path()).unwrap();
    assert_eq!(search.run(&|| false).unwrap(), Outcome::Completed);
    assert_eq!(statuses(&search.trials()), [("completed", 9), ("completed", 9)]);
}

#[test]
fn several_trials_are_trained_at_a_time() {
    let search = Search::new("{space: {x: {uniform: [0, 1]}}, budget: {trials: 5}, parallel: 3}");
    assert_eq!(search.run(&|| false).unwrap(), Outcome::Completed);
    assert_eq!(*search.starts.borrow(), [0, 1, 2, 3, 4]);
    assert_eq!(statuses(&search.trials()), [("completed", 9); 5]);
}
