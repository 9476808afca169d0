//! How often TensorBoard gets to see something while a run trains.

use ml_data::setting::Auto;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often curves and histograms over the steps are written for TensorBoard. Never changes
/// results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TensorBoardConfig {
    /// Seconds between two points of the curves by step, 0 or more; there are at most ten points a
    /// second.
    #[schemars(range(min = 0))]
    pub scalars_every_seconds: f64,
    /// Optimizer steps between two histograms of weights and gradients, counted from the start of
    /// the run: `auto` writes as many as take 0.4 % of the time, 0 none.
    pub histograms_every_steps: Auto<usize>,
}

impl Default for TensorBoardConfig {
    fn default() -> TensorBoardConfig {
        TensorBoardConfig { scalars_every_seconds: 1.0, histograms_every_steps: Auto::Auto }
    }
}

impl TensorBoardConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let seconds = self.scalars_every_seconds;
        let is_wrong = !(seconds.is_finite() && seconds >= 0.0);
        let message = || ("scalars_every_seconds".to_owned(), format!("must be 0 or more, got {seconds}"));
        is_wrong.then(message).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let parsed = |text: &str| serde_yaml::from_str::<TensorBoardConfig>(text);
        assert_eq!(parsed("{}").unwrap(), TensorBoardConfig::default());
        assert!(TensorBoardConfig::default().problems().is_empty());
        let steps = parsed("{scalars_every_seconds: 0, histograms_every_steps: 100}").unwrap();
        assert_eq!(steps.histograms_every_steps, Auto::Value(100));
        assert!(steps.problems().is_empty());
        for wrong in ["-1", ".nan", ".inf"] {
            let problems = parsed(&format!("scalars_every_seconds: {wrong}")).unwrap().problems();
            assert_eq!(problems[0].0, "scalars_every_seconds", "{wrong}");
        }
        assert!(parsed("histograms: auto").is_err());
    }
}
