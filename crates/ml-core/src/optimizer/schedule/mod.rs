//! The learning rate as a pure function of the step.
//!
//! The formulas are the closed forms of PyTorch's `torch.optim.lr_scheduler`; warm-up is
//! `LinearLR`, joined by `SequentialLR`, as torchvision's references do it. Each schedule has a
//! file with its settings and its formula; a new one is its file, a variant of [`SchedulerConfig`],
//! an arm of its `curve`, and a row of tests/reference/schedules.py.

mod constant;
mod cosine;
mod multistep;
mod one_cycle;
mod settings;
mod step;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use torch_file::Value;

pub use constant::ConstantConfig;
pub use cosine::CosineConfig;
pub use multistep::MultistepConfig;
pub use one_cycle::{Anneal, OneCycleConfig};
pub use step::StepConfig;

/// How the learning rate changes. Times are in epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum SchedulerConfig {
    /// It stays as it is.
    Constant(ConstantConfig),
    /// It is multiplied by gamma every `step_size` epochs (`StepLR`).
    Step(StepConfig),
    /// It is multiplied by gamma at each milestone (`MultiStepLR`).
    Multistep(MultistepConfig),
    /// It follows half a cosine from its value to `min_lr` (`CosineAnnealingLR`; Loshchilov and
    /// Hutter 2017).
    Cosine(CosineConfig),
    /// It grows to the optimizer's value and falls, over the whole run (`OneCycleLR`; Smith and
    /// Topin 2018).
    OneCycle(OneCycleConfig),
}

/// When the learning rate is computed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// Once an epoch, as PyTorch's schedulers are commonly used.
    #[default]
    Epoch,
    /// At every step, with fractions of epochs.
    Step,
}

/// Linear growth before a schedule over epochs, and how often both are computed.
#[derive(Clone, Copy, Debug)]
struct Warmup {
    epochs: u32,
    start_factor: f64,
    interval: Interval,
}

/// A point of a run.
#[derive(Clone, Copy, Debug)]
struct Time {
    /// Epochs since the warm-up.
    epochs: f64,
    /// Epochs that follow the warm-up in the whole run, at least 1.
    num_epochs: usize,
    /// Steps since the start of the run.
    step: u64,
    /// Steps of the whole run.
    total_steps: u64,
}

/// (key, message) of everything out of range.
#[derive(Default)]
struct Problems(Vec<(String, String)>);

impl Problems {
    fn check(&mut self, key: &str, is_right: bool, message: String) {
        if !is_right {
            self.0.push((key.to_owned(), message));
        }
    }

    fn positive(&mut self, key: &str, value: f64) {
        self.check(key, value.is_finite() && value > 0.0, format!("must be positive, got {value}"));
    }
}

/// A schedule's settings, with its formula.
trait Curve {
    /// `None` of a schedule that goes by steps and has no warm-up.
    fn warmup(&self) -> Option<Warmup>;

    /// Adds what is out of range, the warm-up excepted.
    fn check(&self, found: &mut Problems);

    /// The learning rate after the warm-up.
    fn lr(&self, base_lr: f64, time: Time) -> f64;
}

impl Default for SchedulerConfig {
    fn default() -> SchedulerConfig {
        SchedulerConfig::Step(StepConfig::default())
    }
}

impl SchedulerConfig {
    fn curve(&self) -> &dyn Curve {
        match self {
            SchedulerConfig::Constant(config) => config,
            SchedulerConfig::Step(config) => config,
            SchedulerConfig::Multistep(config) => config,
            SchedulerConfig::Cosine(config) => config,
            SchedulerConfig::OneCycle(config) => config,
        }
    }

    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Problems::default();
        let curve = self.curve();
        if let Some(Warmup { start_factor: factor, .. }) = curve.warmup() {
            let is_right = factor > 0.0 && factor <= 1.0;
            let message = format!("must be above 0 and at most 1, got {factor}");
            found.check("warmup_start_factor", is_right, message);
        }
        curve.check(&mut found);
        found.0
    }
}

/// A schedule made ready for a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    config: SchedulerConfig,
    base_lr: f64,
    steps_per_epoch: u64,
    num_epochs: usize,
}

impl Schedule {
    /// `base_lr` is the optimizer's; `num_epochs` is what `t_max: auto` and `one_cycle` look at.
    pub fn new(
        config: &SchedulerConfig,
        base_lr: f64,
        steps_per_epoch: usize,
        num_epochs: usize,
    ) -> Schedule {
        Schedule {
            config: config.clone(),
            base_lr,
            steps_per_epoch: steps_per_epoch.max(1) as u64,
            num_epochs,
        }
    }

    /// The learning rate of optimizer step `step` (0-based, over the whole run).
    pub fn lr(&self, step: u64) -> f64 {
        let curve = self.config.curve();
        let warmup = curve.warmup();
        let epochs = match warmup.map_or(Interval::Step, |warmup| warmup.interval) {
            Interval::Epoch => (step / self.steps_per_epoch) as f64,
            Interval::Step => step as f64 / self.steps_per_epoch as f64,
        };
        let (length, start) = warmup.map_or((0, 1.0), |warmup| (warmup.epochs, warmup.start_factor));
        if epochs < f64::from(length) {
            return self.base_lr * (start + (1.0 - start) * epochs / f64::from(length));
        }
        let time = Time {
            epochs: epochs - f64::from(length),
            num_epochs: self.num_epochs.saturating_sub(length as usize).max(1),
            step,
            total_steps: self.steps_per_epoch * self.num_epochs as u64,
        };
        curve.lr(self.base_lr, time)
    }

    /// For the checkpoint: `last_epoch` and `_last_lr` as PyTorch's schedulers have them. Nothing
    /// is read back: the step says it all.
    pub fn state(&self, step: u64) -> Value {
        Value::dict([
            ("last_epoch", Value::Int((step / self.steps_per_epoch) as i64)),
            ("_last_lr", Value::list([Value::Float(self.lr(step))])),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_steps_of_each_schedule_equal_pytorchs() {
        let reference: serde_json::Value = serde_json::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/reference/schedules.json"
        )))
        .unwrap();
        let cases = reference.as_array().unwrap();
        assert!(cases.len() >= 12);
        for case in cases {
            let config: SchedulerConfig = serde_json::from_value(case["config"].clone()).unwrap();
            let schedule = Schedule::new(&config, 0.1, 1, 100);
            let expected: Vec<f64> = serde_json::from_value(case["lr"].clone()).unwrap();
            assert_eq!(expected.len(), 100);
            for (step, expected) in expected.into_iter().enumerate() {
                let got = schedule.lr(step as u64);
                // PyTorch multiplies its way from step to step; a hundred roundings of float64.
                assert!(
                    (got - expected).abs() <= 1e-12 + 1e-9 * expected,
                    "{} at {step}: {got}, {expected}",
                    case["config"]
                );
            }
        }
    }

    #[test]
    fn interval_epoch_holds_still_within_an_epoch_and_interval_step_does_not() {
        let config = |interval| SchedulerConfig::Cosine(CosineConfig { interval, ..CosineConfig::default() });
        let by_epoch = Schedule::new(&config(Interval::Epoch), 1.0, 10, 5);
        assert_eq!(by_epoch.lr(10), by_epoch.lr(19));
        let by_step = Schedule::new(&config(Interval::Step), 1.0, 10, 5);
        assert!(by_step.lr(10) > by_step.lr(19));
        assert_eq!(by_epoch.lr(20), by_step.lr(20));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let keys = |yaml: &str| -> Vec<String> {
            let config: SchedulerConfig = serde_yaml::from_str(yaml).unwrap();
            config.problems().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(
            keys("{name: step, step_size: 0, gamma: -1, warmup_start_factor: 0}"),
            ["warmup_start_factor", "step_size", "gamma"]
        );
        assert_eq!(keys("{name: multistep, milestones: [5, 5]}"), ["milestones"]);
        assert_eq!(
            keys("{name: one_cycle, pct_start: 1.5, div_factor: 0, final_div_factor: .inf}"),
            ["pct_start", "div_factor", "final_div_factor"]
        );
        assert_eq!(keys("{name: one_cycle, pct_start: 0.6, three_phase: true}"), ["pct_start"]);
        assert!(serde_yaml::from_str::<SchedulerConfig>("{name: one_cycle, warmup_epochs: 3}").is_err());
        assert_eq!(keys("{name: cosine, t_max: 0, min_lr: .nan}"), ["min_lr", "t_max"]);
        assert!(serde_yaml::from_str::<SchedulerConfig>("{name: cosine, step_size: 3}").is_err());
    }
}
