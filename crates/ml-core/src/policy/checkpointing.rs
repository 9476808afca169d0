//! When a checkpoint is written, and which of the best epochs are kept.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Metric, Mode, Monitor};

/// When checkpoints are written and which are kept. One is always written at the end, after an
/// improvement, and when a signal interrupts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Epochs between checkpoints; null writes none for the sake of an epoch.
    #[schemars(range(min = 1))]
    pub every_epochs: Option<u32>,
    /// Optimizer steps between checkpoints, counted from the start of the run; null for none.
    #[schemars(range(min = 1))]
    pub every_steps: Option<u64>,
    /// Minutes between checkpoints (fractions will do); null for none.
    pub every_minutes: Option<f64>,
    /// How many of the best epochs to keep: `best.pt`, and with more than 1 also
    /// `checkpoints/epoch_<n>.pt`.
    #[schemars(range(min = 1))]
    pub keep_top_k: usize,
    /// The metric that tells which epoch is the best: `auto`, `val_accuracy`, `val_top5_accuracy`,
    /// `val_loss`, `train_loss`, `ema_val_accuracy`, `ema_val_loss`; with several labels an image
    /// `val_map`, `val_micro_f1`, `val_macro_f1`, `ema_val_map` or a loss. `auto` is the accuracy on
    /// the validation split, with several labels mean average precision (mAP), of the averaged
    /// weights where `training.ema` keeps them.
    pub monitor: Metric,
    /// Whether a higher metric is better: `auto`, `max`, `min`.
    pub mode: Mode,
}

impl Default for CheckpointConfig {
    fn default() -> CheckpointConfig {
        CheckpointConfig {
            every_epochs: Some(1),
            every_steps: None,
            every_minutes: None,
            keep_top_k: 1,
            monitor: Metric::Auto,
            mode: Mode::Auto,
        }
    }
}

impl CheckpointConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let counts = [
            ("every_epochs", self.every_epochs.map(u64::from)),
            ("every_steps", self.every_steps),
            ("keep_top_k", Some(self.keep_top_k as u64)),
        ];
        for (key, count) in counts {
            if count == Some(0) {
                found.push((key.to_owned(), "must be at least 1, got 0".to_owned()));
            }
        }
        if let Some(minutes) = self.every_minutes.filter(|minutes| !(minutes.is_finite() && *minutes > 0.0)) {
            found.push(("every_minutes".to_owned(), format!("must be positive, got {minutes}")));
        }
        found
    }

    /// Whether the end of `epoch` (counted from 1) calls for a checkpoint.
    pub fn is_due_after_epoch(&self, epoch: u64) -> bool {
        self.every_epochs.is_some_and(|every| epoch.is_multiple_of(u64::from(every.max(1))))
    }
}

/// Whether a step calls for a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    every_steps: Option<u64>,
    interval: Option<Duration>,
    last: Instant,
}

impl Cadence {
    /// Counts the minutes from `now`.
    pub fn new(config: &CheckpointConfig, now: Instant) -> Cadence {
        let interval =
            config.every_minutes.and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
        Cadence { every_steps: config.every_steps, interval, last: now }
    }

    /// Whether `every_steps` says so after `step` optimizer steps: a function of the step alone.
    pub fn is_due_at(&self, step: u64) -> bool {
        self.every_steps.is_some_and(|every| step.is_multiple_of(every.max(1)))
    }

    /// Whether `every_minutes` says so.
    pub fn is_due_by(&self, now: Instant) -> bool {
        self.interval.is_some_and(|interval| now.duration_since(self.last) >= interval)
    }

    /// A checkpoint was written.
    pub fn restart(&mut self, now: Instant) {
        self.last = now;
    }
}

/// An epoch and its monitored metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Counted from 1.
    pub epoch: u64,
    /// Of the monitored metric.
    pub value: f64,
}

/// The best epochs so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// Best first; of equal ones the earlier first.
    pub epochs: Vec<Ranked>,
}

impl Ranking {
    /// The best epoch.
    pub fn best(&self) -> Option<Ranked> {
        self.epochs.first().copied()
    }

    /// Takes in one more epoch and keeps the best `keep`; the place that it got, 0 for the best, if
    /// it is kept.
    pub fn insert(&mut self, new: Ranked, monitor: Monitor, keep: usize) -> Option<usize> {
        let place = self
            .epochs
            .iter()
            .position(|known| monitor.is_better(new.value, known.value, 0.0))
            .unwrap_or(self.epochs.len());
        self.epochs.insert(place, new);
        self.epochs.truncate(keep.max(1));
        (place < self.epochs.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_epochs_are_kept_and_of_equal_ones_the_earlier() {
        let monitor = Monitor::new(Metric::ValLoss, Mode::Auto, false);
        let mut ranking = Ranking::default();
        let places: Vec<Option<usize>> = [3.0, 2.0, 2.0, f64::NAN, 1.0, 4.0]
            .into_iter()
            .zip(1..)
            .map(|(value, epoch)| ranking.insert(Ranked { epoch, value }, monitor, 3))
            .collect();
        assert_eq!(places, [Some(0), Some(0), Some(1), None, Some(0), None]);
        assert_eq!(ranking.epochs.iter().map(|ranked| ranked.epoch).collect::<Vec<_>>(), [5, 2, 3]);
    }

    #[test]
    fn a_checkpoint_is_due_by_epochs_by_steps_and_by_the_clock() {
        let config = CheckpointConfig {
            every_epochs: Some(2),
            every_steps: Some(10),
            every_minutes: Some(0.5),
            ..CheckpointConfig::default()
        };
        assert!(!config.is_due_after_epoch(1) && config.is_due_after_epoch(2));
        let start = Instant::now();
        let mut cadence = Cadence::new(&config, start);
        assert!(!cadence.is_due_at(9) && cadence.is_due_at(20));
        let later = start + Duration::from_secs(30);
        assert!(!cadence.is_due_by(start) && cadence.is_due_by(later));
        cadence.restart(later);
        assert!(!cadence.is_due_by(later));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config: CheckpointConfig =
            serde_yaml::from_str("{every_epochs: 0, every_steps: 0, every_minutes: .nan, keep_top_k: 0}")
                .unwrap();
        let keys: Vec<String> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["every_epochs", "every_steps", "keep_top_k", "every_minutes"]);
    }
}
