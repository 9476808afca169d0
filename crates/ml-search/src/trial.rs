//! A trial: values of the keys, and what came of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metric::Metric;

/// Dotted keys and their values, in the order of the space.
pub type Parameters = Vec<(String, Value)>;

/// Where a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Training, or interrupted; it is resumed with the search.
    Running,
    /// Stopped at a rung of successive halving; it is resumed if it is among the best.
    Paused,
    /// Stopped for good by the pruner.
    Pruned,
    /// Trained to its end.
    Completed,
    /// Ended by an error.
    Failed,
}

impl Status {
    /// As the tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Pruned => "pruned",
            Status::Completed => "completed",
            Status::Failed => "failed",
        }
    }
}

/// One configuration of the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// From 0.
    pub number: usize,
    /// What it varies.
    pub parameters: Parameters,
    /// Where it stands.
    pub status: Status,
    /// The metric after each epoch; none where it was NaN or Inf.
    pub values: Vec<Option<f64>>,
    /// Rung of successive halving at which it pauses next.
    pub rung: u32,
    /// Seconds of its processes.
    pub seconds: f64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Trial {
    /// A trial that begins.
    pub fn new(number: usize, parameters: Parameters) -> Trial {
        let values = Vec::new();
        Trial { number, parameters, status: Status::Running, values, rung: 0, seconds: 0.0, error: None }
    }

    /// Its folder: `0007`.
    pub fn name(&self) -> String {
        format!("{:04}", self.number)
    }

    /// The value of a key.
    pub fn parameter(&self, key: &str) -> Option<&Value> {
        self.parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Epochs that were seen.
    pub fn epochs(&self) -> u64 {
        self.values.len() as u64
    }

    /// The best value of its epochs.
    pub fn best(&self, metric: &Metric) -> Option<f64> {
        metric.best(&self.values)
    }

    /// The best value of the first `epochs`; none before that many are done.
    pub fn best_until(&self, metric: &Metric, epochs: u64) -> Option<f64> {
        metric.best(self.values.get(..usize::try_from(epochs).ok()?)?)
    }
}
