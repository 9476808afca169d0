//! What to do about a loss or a gradient that is not finite.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens when a loss or a gradient is infinite or not a number. The weights are never
/// updated from one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DivergenceConfig {
    /// `stop` (the run fails and names the images), `skip` (the step leaves the weights as they
    /// are), or `rollback` (back to the last checkpoint, with a lower learning rate).
    pub action: Action,
    /// Skips or rollbacks of a run after which it fails all the same.
    pub max_times: u32,
    /// What each rollback multiplies the learning rate by, above 0 and below 1.
    pub lr_factor: f64,
}

/// What happens then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The run fails.
    #[default]
    Stop,
    /// The step is left out.
    Skip,
    /// Back to the last checkpoint that an epoch or `every_steps` made.
    Rollback,
}

impl Default for DivergenceConfig {
    fn default() -> DivergenceConfig {
        DivergenceConfig { action: Action::Stop, max_times: 3, lr_factor: 0.5 }
    }
}

impl DivergenceConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let factor = self.lr_factor;
        if factor > 0.0 && factor < 1.0 {
            return Vec::new();
        }
        vec![("lr_factor".to_owned(), format!("must be above 0 and below 1, got {factor}"))]
    }

    /// What to do this time.
    pub fn action(&self, state: &DivergenceState) -> Action {
        if state.times < u64::from(self.max_times) { self.action } else { Action::Stop }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DivergenceState {
    /// Skips or rollbacks.
    pub times: u64,
    /// What the schedule's learning rate is multiplied by.
    pub lr_scale: f64,
    /// Whether this is a state to roll back to: one whose place depends on the configuration alone,
    /// not on the clock or on signals, so that an interrupted run rolls back to where an
    /// uninterrupted one would.
    pub is_anchor: bool,
}

impl Default for DivergenceState {
    fn default() -> DivergenceState {
        DivergenceState { times: 0, lr_scale: 1.0, is_anchor: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_with_a_diverging_run_ends() {
        let config = DivergenceConfig { action: Action::Skip, max_times: 2, ..DivergenceConfig::default() };
        let action = |times| config.action(&DivergenceState { times, ..DivergenceState::default() });
        assert_eq!([0, 1, 2].map(action), [Action::Skip, Action::Skip, Action::Stop]);
    }
}
