//! Whether training has stopped getting anywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Monitor;

/// Stops training when the monitored metric (`training.checkpoint.monitor`) no longer gets better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStoppingConfig {
    /// Epochs in a row without an improvement after which training stops, at least 1.
    #[schemars(range(min = 1))]
    pub patience: u32,
    /// What counts as an improvement: better by more than this.
    pub min_delta: f64,
}

impl Default for EarlyStoppingConfig {
    fn default() -> EarlyStoppingConfig {
        EarlyStoppingConfig { patience: 10, min_delta: 0.0 }
    }
}

/// What early stopping remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EarlyStoppingState {
    /// The best metric that counted as an improvement.
    pub best: Option<f64>,
    /// Epochs since.
    pub epochs_without_improvement: u64,
}

impl EarlyStoppingConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.patience == 0 {
            found.push(("patience".to_owned(), "must be at least 1, got 0".to_owned()));
        }
        if !(self.min_delta.is_finite() && self.min_delta >= 0.0) {
            found.push(("min_delta".to_owned(), format!("must not be negative, got {}", self.min_delta)));
        }
        found
    }

    /// Whether training is to stop in this state.
    pub fn is_over(&self, state: &EarlyStoppingState) -> bool {
        state.epochs_without_improvement >= u64::from(self.patience)
    }

    /// Takes in the metric of one more epoch.
    pub fn observe(&self, state: &mut EarlyStoppingState, monitor: Monitor, value: f64) {
        if state.best.is_none_or(|best| monitor.is_better(value, best, self.min_delta)) {
            *state = EarlyStoppingState { best: Some(value), epochs_without_improvement: 0 };
        } else {
            state.epochs_without_improvement += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Metric, Mode};

    #[test]
    fn training_stops_after_as_many_epochs_without_improvement_as_patience_allows() {
        let config = EarlyStoppingConfig { patience: 2, min_delta: 0.01 };
        let monitor = Monitor::new(Metric::ValAccuracy, Mode::Auto, false);
        let mut state = EarlyStoppingState::default();
        let mut over = Vec::new();
        for value in [0.5, 0.505, 0.6, 0.6, f64::NAN] {
            config.observe(&mut state, monitor, value);
            over.push(config.is_over(&state));
        }
        assert_eq!(over, [false, false, false, false, true]);
        assert_eq!(state.best, Some(0.6));
    }
}
