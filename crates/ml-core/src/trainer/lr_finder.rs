//! The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural
//! Networks"): a training whose learning rate grows from step to step → its loss, and the learning
//! rates that this suggests.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::ranks::Wish;
use super::step::Stepped;
use super::{Stop, TrainError, Trainer};
use crate::features::Batches;
use crate::metrics::MetricAccumulator;
use crate::torch_error::catch_torch_panic;

/// Learning rate of the first step.
const FIRST: f64 = 1e-7;
/// Learning rate of the last step.
const LAST: f64 = 10.0;
/// Steps of a sweep, in as many epochs as that takes.
const STEPS: usize = 100;
/// Weight of what was before in the running mean of the loss.
const SMOOTHING: f64 = 0.98;
/// The sweep ends where the smoothed loss is so many times its minimum.
const DIVERGED: f64 = 4.0;
/// Points at the beginning from which nothing is suggested.
const SKIPPED_FIRST: usize = 10;
/// Points at the end from which nothing is suggested.
const SKIPPED_LAST: usize = 5;

/// A step of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LrPoint {
    /// Learning rate of its update.
    pub lr: f64,
    /// Loss of its batches, before the update.
    pub loss: f64,
    /// Exponential mean of the losses so far, with bias correction.
    pub smoothed_loss: f64,
}

/// What a sweep has shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LrSweep {
    /// Step by step.
    pub points: Vec<LrPoint>,
    /// Whether it ended early, since the loss had grown too large or was not finite.
    pub has_diverged: bool,
}

impl LrSweep {
    /// The learning rate at which the smoothed loss falls most for a change of the logarithm of the
    /// learning rate; none where it falls nowhere, or there are too few points.
    pub fn steepest(&self) -> Option<f64> {
        let points = self.considered();
        let last = points.len().checked_sub(1).filter(|last| *last > 0)?;
        // Differences to both sides, at the ends to one.
        let slope = |index: usize| {
            let (before, after) = (&points[index.saturating_sub(1)], &points[(index + 1).min(last)]);
            (after.smoothed_loss - before.smoothed_loss) / (after.lr / before.lr).ln()
        };
        let least = (0..=last).min_by(|&a, &b| slope(a).total_cmp(&slope(b)))?;
        (slope(least) < 0.0).then_some(points[least].lr)
    }

    /// The lower of [`Self::steepest`] and [`Self::minimum_tenth`], where the loss falls at all: the mean
    /// lags behind the loss, so that its steepest fall may be where the loss has turned.
    pub fn suggested(&self) -> Option<f64> {
        let steepest = self.steepest()?;
        Some(self.minimum_tenth().map_or(steepest, |other| steepest.min(other)))
    }

    /// A tenth of the learning rate at which the smoothed loss is least; none where there are too few
    /// points.
    pub fn minimum_tenth(&self) -> Option<f64> {
        let points = self.considered().iter();
        let least = points.min_by(|a, b| a.smoothed_loss.total_cmp(&b.smoothed_loss))?;
        Some(least.lr / 10.0)
    }

    /// Without the beginning, where the mean is of few losses, and the end, where it explodes.
    fn considered(&self) -> &[LrPoint] {
        let end = self.points.len().saturating_sub(SKIPPED_LAST);
        self.points.get(SKIPPED_FIRST..end).unwrap_or_default()
    }
}

/// Makes a sweep of the losses of its steps.
#[derive(Default)]
struct Recorder {
    sweep: LrSweep,
    mean: f64,
    least: Option<f64>,
}

impl Recorder {
    /// Adds a step; whether the sweep is to go on.
    fn add(&mut self, lr: f64, loss: f64) -> bool {
        if !loss.is_finite() {
            self.sweep.has_diverged = true;
            return false;
        }
        self.mean = SMOOTHING * self.mean + (1.0 - SMOOTHING) * loss;
        let smoothed_loss = self.mean / (1.0 - SMOOTHING.powf((self.sweep.points.len() + 1) as f64));
        self.sweep.points.push(LrPoint { lr, loss, smoothed_loss });
        let least = self.least.map_or(smoothed_loss, |least| least.min(smoothed_loss));
        self.least = Some(least);
        self.sweep.has_diverged = smoothed_loss > DIVERGED * least;
        !self.sweep.has_diverged
    }
}

/// Of `count` steps, at least two: their logarithms are equally far apart.
fn learning_rates(count: usize) -> impl Iterator<Item = f64> {
    let last = count.saturating_sub(1).max(1) as f64;
    (0..count).map(move |step| FIRST * (LAST / FIRST).powf(step as f64 / last))
}

impl Trainer {
    /// Trains with a learning rate that grows exponentially from 1e-7 to 10, in 100 steps; it ends early where the loss explodes. Afterwards this
    /// trainer is of no use. `training.divergence.action` should be `stop`. None if `stop` was raised.
    ///
    /// # Errors
    /// An image cannot be read, or memory is lacking.
    pub fn find_lr(&mut self, stop: &Stop) -> Result<Option<LrSweep>, TrainError> {
        catch_torch_panic(|| self.sweep(stop))?
    }

    fn sweep(&mut self, stop: &Stop) -> Result<Option<LrSweep>, TrainError> {
        self.freeze()?;
        let mut recorder = Recorder::default();
        let mut batches = self.train_batches(0)?;
        for lr in learning_rates(STEPS) {
            if stop.load(Ordering::Relaxed) != 0 {
                return Ok(None);
            }
            self.swept_lr = Some(lr);
            let loss = self.swept_step(&mut batches)?;
            if !recorder.add(lr, loss) {
                break;
            }
        }
        Ok(Some(recorder.sweep))
    }

    /// The loss of the next step, of the next epoch where this one is over; NaN where the loss or the
    /// gradient is not finite.
    fn swept_step(&mut self, batches: &mut Batches) -> Result<f64, TrainError> {
        let mut running = MetricAccumulator::new(self.compute.device);
        loop {
            let wish = Wish::default();
            match self.train_step(batches, &mut running, wish) {
                Ok(Some(Stepped::Done(_))) => return Ok(running.sums()?.loss()),
                Ok(Some(Stepped::Diverged)) | Err(TrainError::NotFinite { .. }) => return Ok(f64::NAN),
                Ok(None) => {
                    self.state.epoch += 1;
                    self.state.batch_in_epoch = 0;
                    *batches = self.train_batches(0)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(losses: impl Iterator<Item = f64>, count: usize) -> LrSweep {
        let mut recorder = Recorder::default();
        for (lr, loss) in learning_rates(count).zip(losses) {
            if !recorder.add(lr, loss) {
                break;
            }
        }
        recorder.sweep
    }

    #[test]
    fn smoothing_end_and_suggestions_are_those_of_the_reference() {
        // The program: tests/reference/lr_finder.py.
        let reference =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/lr_finder.json"));
        let cases: Vec<serde_json::Value> = serde_json::from_str(reference).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let numbers = |key: &str| -> Vec<f64> {
                case[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
            };
            let losses = numbers("losses");
            let found = sweep(losses.iter().copied(), losses.len());
            let expected = numbers("smoothed");
            let name = &case["name"];
            assert_eq!(found.points.len(), expected.len(), "{name}");
            assert_eq!(found.has_diverged, case["diverged"].as_bool().unwrap(), "{name}");
            for (point, smoothed) in found.points.iter().zip(expected) {
                assert!((point.smoothed_loss / smoothed - 1.0).abs() < 1e-12, "{name}: {point:?}");
            }
            for (found, key) in [(found.steepest(), "steepest"), (found.minimum_tenth(), "minimum_tenth")] {
                match (found, case[key].as_f64()) {
                    (Some(found), Some(expected)) => {
                        assert!((found / expected - 1.0).abs() < 1e-12, "{name}, {key}: {found}");
                    }
                    (found, expected) => assert_eq!(found, expected, "{name}, {key}"),
                }
            }
        }
    }

    #[test]
    fn learning_rates_go_from_the_first_to_the_last_by_equal_factors() {
        for count in [30, 57, 100] {
            let rates: Vec<f64> = learning_rates(count).collect();
            assert_eq!(rates.len(), count);
            assert!((rates[0] / FIRST - 1.0).abs() < 1e-12 && (rates[count - 1] / LAST - 1.0).abs() < 1e-12);
            let factor = rates[1] / rates[0];
            assert!(rates.windows(2).all(|pair| (pair[1] / pair[0] / factor - 1.0).abs() < 1e-9));
        }
    }

    #[test]
    fn nothing_is_suggested_from_a_sweep_that_ends_at_once_or_a_loss_that_never_falls() {
        let at_once = sweep([2.0, f64::NAN].into_iter(), 100);
        assert!(at_once.has_diverged && at_once.points.len() == 1);
        assert_eq!((at_once.steepest(), at_once.minimum_tenth()), (None, None));
        let rising = sweep((0..100).map(|step| 1.0 + f64::from(step) / 100.0), 100);
        assert_eq!(rising.steepest(), None);
        assert_eq!(LrSweep::default().steepest(), None);
    }
}
