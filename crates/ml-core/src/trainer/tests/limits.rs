//! Trainings that a number of steps or a time ends: where they are cut, what schedules span, and that
//! they resume.

use std::f64::consts::PI;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{data, tensors, trainer};
use crate::checkpoint::Checkpoint;
use crate::metrics::MetricSums;
use crate::policy::TimeBudget;
use crate::run::Run;
use crate::trainer::{NoReporter, Outcome, ReportError, Reporter, ResumeMode, Stop, TrainError, Trainer};
use test_support::generator;

const COSINE: &str = "scheduler={name: cosine, interval: step}";
/// The learning rate of these trainers.
const LR: f64 = 0.01;

/// Raises the signal after so many batches, those of validation included.
struct StopAfter<'a> {
    stop: &'a Stop,
    left: usize,
}

impl Reporter for StopAfter<'_> {
    fn batches_done(&mut self, count: usize, _: Option<&MetricSums>) -> Result<(), ReportError> {
        self.left = self.left.saturating_sub(count);
        if self.left == 0 {
            self.stop.store(2, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Three steps an epoch.
fn limited(data: &Path, limit: &str) -> Trainer {
    trainer(data, &[COSINE, limit])
}

fn claimed(place: &Path, name: &str) -> Run {
    Run::claim(&place.join("runs"), name).unwrap()
}

#[test]
fn a_training_cut_within_an_epoch_validates_it_and_resumes_to_the_bit() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let stop = Stop::new(0);
    let run = claimed(place.path(), "whole");
    let mut whole = limited(&data, "training.max_steps=5");
    assert_eq!((whole.steps_per_epoch(), whole.num_epochs()), (3, 2));
    let (outcome, _) = whole.fit(&run, &mut NoReporter, &stop).unwrap();
    assert_eq!(outcome, Outcome::Completed);
    let state = whole.state();
    assert_eq!((state.epoch, state.step, state.batch_in_epoch, state.missing_steps), (2, 5, 0, 1));
    assert_eq!(state.history.iter().map(|epoch| epoch.step).collect::<Vec<_>>(), [3, 5]);
    // The schedule is as long as the training, whatever num_epochs is.
    for step in 0..5 {
        let expected = LR * (1.0 + (PI * step as f64 / 5.0).cos()) / 2.0;
        assert!((whole.lr(step) - expected).abs() < 1e-15, "{step}");
    }
    assert!(run.best_path().exists() && run.last_path().exists());

    // Stopped in the first validation, before the last step, and before the cut epoch's validation.
    for batches in [4, 5, 6] {
        let run = claimed(place.path(), &format!("after_{batches}"));
        let stop = Stop::new(0);
        let mut first = limited(&data, "training.max_steps=5");
        let (outcome, _) = first.fit(&run, &mut StopAfter { stop: &stop, left: batches }, &stop).unwrap();
        assert_eq!(outcome, Outcome::Interrupted, "{batches}");
        let mut resumed = limited(&data, "training.max_steps=5");
        resumed.restore(&Checkpoint::load(&run.last_path()).unwrap(), ResumeMode::Exact).unwrap();
        assert_eq!(resumed.state(), first.state());
        let (outcome, _) = resumed.fit(&run, &mut NoReporter, &Stop::new(0)).unwrap();
        assert_eq!(outcome, Outcome::Completed);
        assert_eq!(tensors(&resumed), tensors(&whole), "{batches}");
        let losses = |trainer: &Trainer| -> Vec<(f64, f64, f64)> {
            trainer.state().history.iter().map(|m| (m.lr, m.train_loss, m.val_loss)).collect()
        };
        assert_eq!(losses(&resumed), losses(&whole));
    }
}

#[test]
fn a_training_that_was_cut_goes_on_with_a_new_epoch() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let (run, stop) = (claimed(place.path(), "base"), Stop::new(0));
    limited(&data, "training.max_steps=5").fit(&run, &mut NoReporter, &stop).unwrap();
    let last = || Checkpoint::load(&run.last_path()).unwrap();
    let mut done = limited(&data, "training.max_steps=5");
    done.restore(&last(), ResumeMode::Exact).unwrap();
    assert_eq!(done.outcome(), Some(Outcome::Completed));

    let mut longer = limited(&data, "training.max_steps=9");
    longer.restore(&last(), ResumeMode::Exact).unwrap();
    assert_eq!((longer.outcome(), longer.num_epochs()), (None, 4));
    longer.fit(&run, &mut NoReporter, &stop).unwrap();
    let state = longer.state();
    assert_eq!((state.epoch, state.step, state.missing_steps), (4, 9, 3));
    assert_eq!(state.history.iter().map(|epoch| epoch.step).collect::<Vec<_>>(), [3, 5, 8, 9]);
    // And in whole epochs again.
    let mut whole = limited(&data, "training.num_epochs=5");
    whole.restore(&last(), ResumeMode::Exact).unwrap();
    whole.fit(&run, &mut NoReporter, &stop).unwrap();
    assert_eq!((whole.state().epoch, whole.state().step), (5, 12));
}

#[test]
fn what_a_time_limit_has_decided_is_in_the_checkpoint_and_gives_the_learning_rate() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let mut first = limited(&data, "training.max_time=1h");
    assert_eq!((first.num_epochs(), first.lr(0), first.lr(100)), (0, LR, LR), "not known yet");
    let measured = TimeBudget { step_seconds: 1.0, epoch_end_seconds: 2.0, ..TimeBudget::default() };
    first.state.time = Some(measured);
    first.set_total_steps(20).unwrap();
    assert_eq!((first.num_epochs(), first.lr(10)), (7, LR / 2.0));
    let checkpoint = first.snapshot().unwrap();
    let restored = |limit: &str| {
        let mut trainer = limited(&data, limit);
        trainer.restore(&checkpoint, ResumeMode::Exact).unwrap();
        trainer
    };
    let second = restored("training.max_time=1h");
    assert_eq!(second.state(), first.state());
    assert!((0..20).all(|step| second.lr(step) == first.lr(step)));
    // Epochs of five seconds: another limit is another number of them, by what was measured.
    let shorter = restored("training.max_time=30s");
    assert_eq!(shorter.state().time.unwrap().total_steps, Some(18));
    assert_eq!(shorter.num_epochs(), 6);
    // The earlier of two limits counts, and none does where none is set.
    let mut both = trainer(&data, &[COSINE, "training.max_time=30s", "training.max_steps=4"]);
    both.restore(&checkpoint, ResumeMode::Exact).unwrap();
    assert_eq!(both.num_epochs(), 2);
    assert_eq!(restored("training.num_epochs=9").state().time, None);
}

#[test]
fn a_training_ends_annealed_when_its_time_is_over() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let run = claimed(place.path(), "timed");
    let mut timed = limited(&data, "training.max_time=2s");
    let (outcome, _) = timed.fit(&run, &mut NoReporter, &Stop::new(0)).unwrap();
    assert_eq!(outcome, Outcome::Completed);
    let time = timed.state().time.unwrap();
    // Of a machine that does other things, too.
    assert!((1.0..10.0).contains(&time.used_seconds), "{time:?}");
    assert!(timed.lr(timed.state().step - 1) < 0.2 * LR, "{time:?}");
    let stored = Checkpoint::load(&run.last_path()).unwrap();
    let mut again = limited(&data, "training.max_time=2s");
    again.restore(&stored, ResumeMode::Exact).unwrap();
    assert_eq!(again.outcome(), Some(Outcome::Completed));
    let decided = |trainer: &Trainer| trainer.state().time.unwrap().total_steps;
    assert_eq!(decided(&again), decided(&timed));
}

#[test]
fn a_time_shorter_than_an_epoch_is_refused_by_key() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let run = claimed(place.path(), "short");
    let mut short = limited(&data, "training.max_time=0.000001");
    let error = short.fit(&run, &mut NoReporter, &Stop::new(0)).map(|_| ()).unwrap_err();
    assert!(matches!(error, TrainError::TimeLimit { .. }) && error.is_usage(), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("training.max_time: ") && message.contains("one epoch"), "{message}");
}
