//! The learning rate as a pure function of the step.
//!
//! The formulas are the closed forms of PyTorch's `torch.optim.lr_scheduler`; warm-up is
//! `LinearLR`, joined by `SequentialLR`, as torchvision's references do it.

use ml_data::setting::Auto;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use torch_file::Value;

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

macro_rules! scheduler_struct {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// Epochs over which the learning rate first grows linearly from `warmup_start_factor`
            /// times its value, before the schedule begins.
            pub warmup_epochs: u32,
            /// In (0, 1].
            pub warmup_start_factor: f64,
            /// `epoch` or `step`.
            pub interval: Interval,
        }

        impl Default for $name {
            fn default() -> $name {
                $name {
                    $($field: $default,)*
                    warmup_epochs: 0,
                    warmup_start_factor: 0.01,
                    interval: Interval::Epoch,
                }
            }
        }
    };
}

scheduler_struct! {
    /// Settings of `constant`.
    ConstantConfig {}
}

scheduler_struct! {
    /// Settings of `step`.
    StepConfig {
        /// Epochs between drops, at least 1.
        step_size: u32 = 7,
        /// Factor of each drop, positive.
        gamma: f64 = 0.1,
    }
}

scheduler_struct! {
    /// Settings of `multistep`.
    MultistepConfig {
        /// Epochs of the drops, increasing; counted after the warm-up.
        milestones: Vec<u32> = vec![15, 20],
        /// Factor of each drop, positive.
        gamma: f64 = 0.1,
    }
}

scheduler_struct! {
    /// Settings of `cosine`.
    CosineConfig {
        /// Epochs from the highest to the lowest; `auto` takes all that follow the warm-up. After
        /// it the learning rate stays at `min_lr`.
        t_max: Auto<usize> = Auto::Auto,
        /// Lowest learning rate, not negative.
        min_lr: f64 = 0.0,
    }
}

impl Default for SchedulerConfig {
    fn default() -> SchedulerConfig {
        SchedulerConfig::Step(StepConfig::default())
    }
}

/// What all schedules have.
struct Common {
    warmup_epochs: u32,
    warmup_start_factor: f64,
    interval: Interval,
}

impl SchedulerConfig {
    fn common(&self) -> Common {
        macro_rules! of {
            ($config:expr) => {
                Common {
                    warmup_epochs: $config.warmup_epochs,
                    warmup_start_factor: $config.warmup_start_factor,
                    interval: $config.interval,
                }
            };
        }
        match self {
            SchedulerConfig::Constant(config) => of!(config),
            SchedulerConfig::Step(config) => of!(config),
            SchedulerConfig::Multistep(config) => of!(config),
            SchedulerConfig::Cosine(config) => of!(config),
        }
    }

    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut check = |key: &str, right: bool, message: String| {
            if !right {
                found.push((key.to_owned(), message));
            }
        };
        let factor = self.common().warmup_start_factor;
        check(
            "warmup_start_factor",
            factor > 0.0 && factor <= 1.0,
            format!("must be above 0 and at most 1, got {factor}"),
        );
        let positive = |gamma: f64| gamma.is_finite() && gamma > 0.0;
        match self {
            SchedulerConfig::Constant(_) => {}
            SchedulerConfig::Step(config) => {
                check("step_size", config.step_size > 0, "must be at least 1, got 0".to_owned());
                check("gamma", positive(config.gamma), format!("must be positive, got {}", config.gamma));
            }
            SchedulerConfig::Multistep(config) => {
                let rising = config.milestones.windows(2).all(|pair| pair[0] < pair[1]);
                check("milestones", rising, format!("must increase, got {:?}", config.milestones));
                check("gamma", positive(config.gamma), format!("must be positive, got {}", config.gamma));
            }
            SchedulerConfig::Cosine(config) => {
                let right = config.min_lr.is_finite() && config.min_lr >= 0.0;
                check("min_lr", right, format!("must not be negative, got {}", config.min_lr));
                check(
                    "t_max",
                    config.t_max != Auto::Value(0),
                    "must be `auto` or at least 1, got 0".to_owned(),
                );
            }
        }
        found
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
    /// `base_lr` is the optimizer's; `num_epochs` is what `t_max: auto` looks at.
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
        let time = match self.config.common().interval {
            Interval::Epoch => (step / self.steps_per_epoch) as f64,
            Interval::Step => step as f64 / self.steps_per_epoch as f64,
        };
        self.at(time)
    }

    /// The learning rate `time` epochs after the start.
    fn at(&self, time: f64) -> f64 {
        let Common { warmup_epochs, warmup_start_factor: start, .. } = self.config.common();
        let warmup = f64::from(warmup_epochs);
        if time < warmup {
            return self.base_lr * (start + (1.0 - start) * time / warmup);
        }
        let time = time - warmup;
        match &self.config {
            SchedulerConfig::Constant(_) => self.base_lr,
            SchedulerConfig::Step(config) => {
                self.base_lr * config.gamma.powf((time / f64::from(config.step_size)).floor())
            }
            SchedulerConfig::Multistep(config) => {
                let passed =
                    config.milestones.iter().filter(|&&milestone| f64::from(milestone) <= time).count();
                self.base_lr * config.gamma.powi(passed as i32)
            }
            SchedulerConfig::Cosine(config) => {
                let rest = self.num_epochs.saturating_sub(warmup_epochs as usize).max(1);
                let length = config.t_max.unwrap_or_else(|| rest) as f64;
                let phase = (time / length).min(1.0) * std::f64::consts::PI;
                config.min_lr + (self.base_lr - config.min_lr) * (1.0 + phase.cos()) / 2.0
            }
        }
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
        assert!(cases.len() >= 8);
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
        assert_eq!(keys("{name: cosine, t_max: 0, min_lr: .nan}"), ["min_lr", "t_max"]);
        assert!(serde_yaml::from_str::<SchedulerConfig>("{name: cosine, step_size: 3}").is_err());
    }
}
