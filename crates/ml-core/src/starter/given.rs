//! What a user has set already, which a preset takes as it is.

use crate::config::{Resolved, Source};
use crate::network::Architecture;
use crate::policy::TimeLimit;

/// Settings that were given and that a preset's choices depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// `model.architecture`.
    pub architecture: Option<Architecture>,
    /// `model.weights`, which may be given as null.
    pub weights: Option<Option<String>>,
    /// `training.batch_size`.
    pub batch_size: Option<usize>,
    /// `training.num_epochs`.
    pub num_epochs: Option<usize>,
    /// `training.max_steps`.
    pub max_steps: Option<u64>,
    /// `training.max_time`, in seconds.
    pub max_time: Option<f64>,
}

impl Given {
    /// From a configuration without a preset.
    pub fn of(resolved: &Resolved) -> Given {
        let is_given = |path: &str| {
            let source = resolved.sources.get(path);
            source.is_some_and(|source| {
                !matches!(source, Source::Default | Source::Weights | Source::Preset(_))
            })
        };
        let (training, base) = (&resolved.config.training, resolved.config.model.base());
        Given {
            architecture: base.filter(|_| is_given("model.architecture")).map(|base| base.architecture),
            weights: base.filter(|_| is_given("model.weights")).map(|base| base.weights.clone()),
            batch_size: is_given("training.batch_size").then_some(training.batch_size),
            num_epochs: is_given("training.num_epochs").then_some(training.num_epochs),
            max_steps: training.max_steps,
            max_time: training.max_time.map(TimeLimit::seconds),
        }
    }

    /// Epochs over so many training images, if their number follows.
    pub(super) fn epochs(&self, train: usize) -> Option<f64> {
        let of_steps =
            |steps: u64| (steps * self.batch_size.unwrap_or(32) as u64) as f64 / train.max(1) as f64;
        self.max_steps.map(of_steps).or(self.num_epochs.map(|epochs| epochs as f64))
    }
}
