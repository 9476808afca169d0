//! Up and down once over the whole run, PyTorch's `OneCycleLR` (Smith and Topin 2018). The momentum
//! stays as it is.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Curve, Problems, Time, Warmup};

/// Settings of `one_cycle`. The optimizer's learning rate is the highest; it changes at every step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycleConfig {
    /// Share of the run's steps in which the learning rate grows, in 0 to 1.
    pub pct_start: f64,
    /// `cos` or `linear`.
    pub anneal_strategy: Anneal,
    /// The first learning rate is the highest divided by this, positive.
    pub div_factor: f64,
    /// The last learning rate is the first divided by this, positive.
    pub final_div_factor: f64,
    /// Fall to the first learning rate as fast as it grew, then to the last; instead of to the last
    /// at once. Needs a `pct_start` of at most 0.5.
    pub three_phase: bool,
}

/// The form of growth and fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

impl Default for OneCycleConfig {
    fn default() -> OneCycleConfig {
        OneCycleConfig {
            pct_start: 0.3,
            anneal_strategy: Anneal::Cos,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }
}

impl Curve for OneCycleConfig {
    fn warmup(&self) -> Option<Warmup> {
        None
    }

    fn check(&self, found: &mut Problems) {
        let highest = if self.three_phase { 0.5 } else { 1.0 };
        let is_right = (0.0..=highest).contains(&self.pct_start);
        let when = if self.three_phase { " with three_phase" } else { "" };
        found.check(
            "pct_start",
            is_right,
            format!("must be in 0 to {highest}{when}, got {}", self.pct_start),
        );
        found.positive("div_factor", self.div_factor);
        found.positive("final_div_factor", self.final_div_factor);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let (step, total) = (time.step as f64, time.total_steps as f64);
        let first = base_lr / self.div_factor;
        let last = first / self.final_div_factor;
        // Each phase by the step that it ends at and the learning rates of its ends.
        let grows = (self.pct_start * total - 1.0, first, base_lr);
        let phases = if self.three_phase {
            vec![grows, (2.0 * self.pct_start * total - 2.0, base_lr, first), (total - 1.0, first, last)]
        } else {
            vec![grows, (total - 1.0, base_lr, last)]
        };
        let mut start = 0.0;
        for (end, from, to) in phases {
            if step <= end {
                // A phase that ends where it starts has no steps between.
                let share = if end > start { (step - start) / (end - start) } else { 1.0 };
                return self.anneal(from, to, share);
            }
            start = end;
        }
        last
    }
}

impl OneCycleConfig {
    fn anneal(&self, from: f64, to: f64, share: f64) -> f64 {
        match self.anneal_strategy {
            Anneal::Cos => to + (from - to) / 2.0 * ((PI * share).cos() + 1.0),
            Anneal::Linear => (to - from) * share + from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::schedule::{Schedule, SchedulerConfig};

    #[test]
    fn it_goes_by_steps_and_even_one_step_has_a_learning_rate() {
        let schedule = |config: OneCycleConfig, steps_per_epoch, num_epochs| {
            Schedule::new(&SchedulerConfig::OneCycle(config), 1.0, steps_per_epoch, num_epochs)
        };
        let by_epoch = schedule(OneCycleConfig::default(), 10, 5);
        let at_once = schedule(OneCycleConfig::default(), 50, 1);
        assert!((0..50).all(|step| by_epoch.lr(step) == at_once.lr(step)));
        assert!((0..14).all(|step| by_epoch.lr(step) < by_epoch.lr(step + 1)));
        assert_eq!(by_epoch.lr(14), 1.0);
        for three_phase in [false, true] {
            for pct_start in [0.0, 0.2, 0.5] {
                for total in [1, 2, 3] {
                    let config = OneCycleConfig { pct_start, three_phase, ..OneCycleConfig::default() };
                    let short = schedule(config, total, 1);
                    assert!((0..=total as u64).all(|step| short.lr(step).is_finite()));
                }
            }
        }
    }
}
