//! What a preset has planned: a network, how many epochs, and how long that will take.

use ml_data::transform::Normalize;

use super::candidates::Candidate;
use super::preset::Level;
use crate::weights::Published;

/// What a preset has planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub candidate: Candidate,
    pub is_pretrained: bool,
    /// `model.weights`.
    pub weights: Option<String>,
    pub weights_why: String,
    /// Why this network.
    pub why: String,
    /// Those of the weights that were given are taken.
    pub leaves_transforms: bool,
    /// That was given.
    pub batch_size: Option<usize>,
    pub processes: usize,
    /// Expected, or as given.
    pub epochs: f64,
    pub level: Level,
    /// `training.max_time`, in seconds.
    pub max_time: Option<f64>,
    /// Of all epochs, if the speed is known.
    pub seconds: Option<f64>,
    /// Images a second of all processes, if that was measured.
    pub speed: Option<f64>,
    /// Training images.
    pub train: usize,
}

impl Plan {
    /// How long the training is, in words.
    pub fn length(&self) -> String {
        let speed = self.speed.map_or_else(
            || "the speed could not be measured".to_owned(),
            |speed| format!("{speed:.0} images a second, measured here"),
        );
        let each = self.seconds.map(|seconds| seconds / self.epochs.max(f64::MIN_POSITIVE));
        match (self.max_time, self.seconds, each) {
            (Some(limit), _, Some(each)) => format!(
                "training.max_time ends it after {}: about {:.1} epochs of {} ({speed}). num_epochs plays no part.",
                duration(limit),
                self.epochs,
                duration(each)
            ),
            (None, Some(seconds), _) => format!(
                "Expected to take {}: {:.0} epochs of {} images ({speed}). --time_limit 20m says how long it may take.",
                duration(seconds),
                self.epochs,
                self.train
            ),
            _ => format!("How long it will take is not known: {speed}."),
        }
    }

    /// The decay of the average of the weights, in a training of so many steps.
    pub fn ema(&self, steps: usize) -> Option<f64> {
        (self.level == Level::Best && steps >= 5_000).then_some(0.999)
    }

    /// The smallest share of a photograph that a random crop shows.
    pub fn least_area(&self, train: usize) -> f64 {
        match (self.is_pretrained, train >= 10_000 && self.epochs >= 30.0) {
            (true, _) => 0.35,
            (false, true) => 0.08,
            (false, false) => 0.25,
        }
    }

    /// Of the published weights to start from.
    pub fn normalize(&self) -> Option<Normalize> {
        let published = Published::of(self.candidate.architecture.name()).find(|known| known.is_default)?;
        self.is_pretrained.then(|| published.normalize.clone())
    }
}

/// `12 s`, `3 min`, `2.5 h`
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        seconds if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}
