//! Drops when the monitored metric no longer gets better, PyTorch's `ReduceLROnPlateau`.
//!
//! The only schedule that is no function of the step: its [`PlateauState`] is in the checkpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use torch_file::{Value, ValueError};

use super::settings::scheduler_struct;
use super::{Curve, Interval, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `plateau`. The metric is `training.checkpoint.monitor`, as of early stopping;
    /// the epochs of the warm-up do not count.
    PlateauConfig {
        /// Learning-rate decay factor of each drop, above 0 and below 1.
        #[schemars(range(min = 0, max = 1))]
        factor: f64 = 0.1,
        /// Epochs in a row without an improvement that are allowed; the next one is followed by a
        /// drop.
        patience: u32 = 10,
        /// What counts as an improvement: better by more than this, not negative.
        #[schemars(range(min = 0))]
        threshold: f64 = 1e-4,
        /// `rel` or `abs`: whether `threshold` is a share of the best metric.
        threshold_mode: ThresholdMode = ThresholdMode::Rel,
        /// Epochs after a drop in which none without an improvement is counted.
        cooldown: u32 = 0,
        /// Lowest learning rate, not negative.
        #[schemars(range(min = 0))]
        min_lr: f64 = 0.0,
        /// A drop by no more than this is left out, not negative.
        #[schemars(range(min = 0))]
        eps: f64 = 1e-8,
    }
}

/// What a threshold is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThresholdMode {
    /// The relative improvement.
    #[default]
    Rel,
    /// The absolute improvement.
    Abs,
}

/// What `plateau` remembers; names are PyTorch's, except for the drops.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlateauState {
    /// The best metric that counted as an improvement.
    pub best: Option<f64>,
    /// Epochs since, those of the cooldown excepted.
    pub num_bad_epochs: u64,
    /// Epochs that the cooldown still takes.
    pub cooldown_counter: u64,
    /// Drops so far.
    pub num_reductions: u64,
}

impl PlateauState {
    pub(super) fn entries(self) -> [(&'static str, Value); 4] {
        [
            ("best", Value::from(self.best)),
            ("num_bad_epochs", Value::Int(self.num_bad_epochs as i64)),
            ("cooldown_counter", Value::Int(self.cooldown_counter as i64)),
            ("num_reductions", Value::Int(self.num_reductions as i64)),
        ]
    }

    /// From a checkpoint's `scheduler_state_dict`; one of another schedule begins anew.
    ///
    /// # Errors
    /// A value is of another type.
    pub fn from_value(value: &Value) -> Result<PlateauState, ValueError> {
        if matches!(value, Value::None) {
            return Ok(PlateauState::default());
        }
        let field = value.field();
        let count = |key: &str| {
            let count = field.optional(key)?.map(|count| count.as_u64()).transpose()?;
            Ok::<u64, ValueError>(count.unwrap_or(0))
        };
        Ok(PlateauState {
            best: field.optional("best")?.map(|best| best.as_f64()).transpose()?,
            num_bad_epochs: count("num_bad_epochs")?,
            cooldown_counter: count("cooldown_counter")?,
            num_reductions: count("num_reductions")?,
        })
    }
}

impl PlateauConfig {
    /// Takes in the metric of the epoch that is done, counted from 1; `higher` metrics are better,
    /// or lower ones.
    pub(super) fn observe(&self, state: &mut PlateauState, epoch: u64, value: f64, higher: bool) {
        if epoch <= u64::from(self.warmup_epochs) {
            return;
        }
        if self.is_better(value, state.best, higher) {
            state.best = Some(value);
            state.num_bad_epochs = 0;
        } else {
            state.num_bad_epochs = state.num_bad_epochs.saturating_add(1);
        }
        if state.cooldown_counter > 0 {
            state.cooldown_counter -= 1;
            state.num_bad_epochs = 0;
        }
        if state.num_bad_epochs > u64::from(self.patience) {
            state.num_reductions = state.num_reductions.saturating_add(1);
            state.cooldown_counter = u64::from(self.cooldown);
            state.num_bad_epochs = 0;
        }
    }

    /// NaN never is.
    fn is_better(&self, value: f64, best: Option<f64>, higher: bool) -> bool {
        let best = best.unwrap_or(if higher { f64::NEG_INFINITY } else { f64::INFINITY });
        match (self.threshold_mode, higher) {
            (ThresholdMode::Rel, false) => value < best * (1.0 - self.threshold),
            (ThresholdMode::Rel, true) => value > best * (1.0 + self.threshold),
            (ThresholdMode::Abs, false) => value < best - self.threshold,
            (ThresholdMode::Abs, true) => value > best + self.threshold,
        }
    }
}

impl Curve for PlateauConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        let is_right = self.factor > 0.0 && self.factor < 1.0;
        found.check("factor", is_right, format!("must be above 0 and below 1, got {}", self.factor));
        found.not_negative("threshold", self.threshold);
        found.not_negative("min_lr", self.min_lr);
        found.not_negative("eps", self.eps);
        let message = "must be `epoch` with plateau: the metric that it looks at is known once an epoch";
        found.check("interval", self.interval == Interval::Epoch, message.to_owned());
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let mut lr = base_lr;
        for _ in 0..time.num_reductions {
            let reduced = (lr * self.factor).max(self.min_lr);
            // Nor would any of the later ones be more.
            if lr - reduced <= self.eps {
                break;
            }
            lr = reduced;
        }
        lr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::schedule::{Schedule, SchedulerConfig};

    #[derive(Deserialize)]
    struct Case {
        config: SchedulerConfig,
        higher: bool,
        metrics: Vec<f64>,
        lr: Vec<f64>,
    }

    fn cases() -> Vec<Case> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/plateau.json"));
        serde_json::from_str(text).unwrap()
    }

    /// The learning rate of each epoch; the state goes through a checkpoint after each of them if
    /// `is_resumed`.
    fn rates(case: &Case, is_resumed: bool) -> Vec<f64> {
        let schedule = Schedule::new(&case.config, 0.1, 3, case.metrics.len());
        let mut state = PlateauState::default();
        let rate = |(epoch, value): (u64, &f64)| {
            let step = epoch * 3;
            let lr = schedule.lr_after(step + 2, &state);
            assert_eq!(lr, schedule.lr_after(step, &state));
            schedule.observe(&mut state, epoch + 1, *value, case.higher);
            if is_resumed {
                state = PlateauState::from_value(&schedule.state(step + 3, &state)).unwrap();
            }
            lr
        };
        (0..).zip(&case.metrics).map(rate).collect()
    }

    #[test]
    fn a_hundred_epochs_equal_pytorchs_also_when_resumed_after_each() {
        let cases = cases();
        assert!(cases.len() >= 8);
        for case in &cases {
            assert_eq!((case.metrics.len(), case.lr.len()), (100, 100));
            let got = rates(case, false);
            for (epoch, (got, expected)) in got.iter().zip(&case.lr).enumerate() {
                assert!(
                    (got - expected).abs() <= 1e-9 * expected,
                    "{:?} in epoch {epoch}: {got}, {expected}",
                    case.config
                );
            }
            assert_eq!(got, rates(case, true), "{:?}", case.config);
        }
    }

    #[test]
    fn a_metric_that_is_nan_is_no_improvement() {
        let config = PlateauConfig { patience: 1, ..PlateauConfig::default() };
        let mut state = PlateauState::default();
        for epoch in 1..=2 {
            config.observe(&mut state, epoch, f64::NAN, true);
        }
        assert_eq!(state, PlateauState { num_reductions: 1, ..PlateauState::default() });
    }

    #[test]
    fn a_state_of_another_schedule_begins_anew() {
        let other = Schedule::new(&SchedulerConfig::default(), 0.1, 1, 10);
        let state = PlateauState { num_reductions: 3, ..PlateauState::default() };
        let found = PlateauState::from_value(&other.state(5, &state)).unwrap();
        assert_eq!(found, PlateauState::default());
        assert_eq!(PlateauState::from_value(&Value::None).unwrap(), PlateauState::default());
    }

    #[test]
    fn any_number_of_reductions_ends_at_the_lowest_learning_rate() {
        for (min_lr, eps) in [(0.0, 0.0), (1e-3, 0.0), (1.0, 1e-8)] {
            let config = SchedulerConfig::Plateau(PlateauConfig { min_lr, eps, ..PlateauConfig::default() });
            let state = PlateauState { num_reductions: u64::MAX, ..PlateauState::default() };
            let lr = Schedule::new(&config, 0.1, 1, 1).lr_after(0, &state);
            assert_eq!(lr, min_lr.min(0.1), "{min_lr}, {eps}");
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let keys = |yaml: &str| -> Vec<String> {
            let config: SchedulerConfig = serde_yaml::from_str(yaml).unwrap();
            config.problems().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys("{name: plateau, interval: step}"), ["interval"]);
        assert_eq!(
            keys("{name: plateau, factor: 1, threshold: -1, min_lr: .nan, eps: -1}"),
            ["factor", "threshold", "min_lr", "eps"]
        );
    }
}
