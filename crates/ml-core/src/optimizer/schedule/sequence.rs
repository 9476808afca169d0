//! Schedules one after another, PyTorch's `SequentialLR`. Each begins at the optimizer's learning
//! rate, as if the training began with it.

use ml_data::setting::Auto;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConstantConfig, CosineConfig, CosineRestartsConfig, Curve, ExponentialConfig, LinearConfig,
    MultistepConfig, OneCycleConfig, PolynomialConfig, Position, Problems, StepConfig, Time, Warmup,
    WsdConfig, lr_at, problems,
};

/// Settings of `sequence`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SequenceConfig {
    /// In order, at least one.
    pub schedules: Vec<SequencePart>,
}

/// A schedule for some epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequencePart {
    /// Its settings. What it takes for the length of the training (`t_max: auto` and the like) is
    /// `epochs`.
    pub schedule: PartSchedule,
    /// How many, at least 1; `auto`, of the last one only, takes all that are left. The last
    /// schedule goes on where the training is longer.
    #[serde(default)]
    pub epochs: Auto<usize>,
}

/// The schedules that may be part of a sequence: those that do not depend on metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum PartSchedule {
    /// As `scheduler.name: constant`.
    Constant(ConstantConfig),
    /// As `scheduler.name: step`.
    Step(StepConfig),
    /// As `scheduler.name: multistep`.
    Multistep(MultistepConfig),
    /// As `scheduler.name: cosine`.
    Cosine(CosineConfig),
    /// As `scheduler.name: cosine_restarts`.
    CosineRestarts(CosineRestartsConfig),
    /// As `scheduler.name: polynomial`.
    Polynomial(PolynomialConfig),
    /// As `scheduler.name: linear`.
    Linear(LinearConfig),
    /// As `scheduler.name: exponential`.
    Exponential(ExponentialConfig),
    /// As `scheduler.name: wsd`.
    Wsd(WsdConfig),
    /// As `scheduler.name: one_cycle`.
    OneCycle(OneCycleConfig),
}

impl PartSchedule {
    fn curve(&self) -> &dyn Curve {
        match self {
            PartSchedule::Constant(config) => config,
            PartSchedule::Step(config) => config,
            PartSchedule::Multistep(config) => config,
            PartSchedule::Cosine(config) => config,
            PartSchedule::CosineRestarts(config) => config,
            PartSchedule::Polynomial(config) => config,
            PartSchedule::Linear(config) => config,
            PartSchedule::Exponential(config) => config,
            PartSchedule::Wsd(config) => config,
            PartSchedule::OneCycle(config) => config,
        }
    }
}

impl Curve for SequenceConfig {
    fn warmup(&self) -> Option<Warmup> {
        None
    }

    fn check(&self, found: &mut Problems) {
        let has_some = !self.schedules.is_empty();
        found.check("schedules", has_some, "must name at least one schedule, got none".to_owned());
        for (index, part) in self.schedules.iter().enumerate() {
            let is_last = index + 1 == self.schedules.len();
            let key = format!("schedules[{index}].epochs");
            found.length(&key, part.epochs);
            let is_right = is_last || part.epochs != Auto::Auto;
            let message = "must be given: only the last schedule may take all epochs that are left";
            found.check(&key, is_right, message.to_owned());
            let inner = problems(part.schedule.curve()).into_iter();
            found
                .0
                .extend(inner.map(|(key, message)| (format!("schedules[{index}].schedule.{key}"), message)));
        }
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let (mut start, mut first_epoch) = (0_u64, 0_u64);
        for (index, part) in self.schedules.iter().enumerate() {
            let steps = time.steps.since(first_epoch);
            let length = match part.epochs {
                Auto::Value(epochs) => steps.before(epochs as u64),
                Auto::Auto if time.total_steps > start => time.total_steps - start,
                Auto::Auto => steps.of(0),
            };
            let end = start.saturating_add(length);
            if time.step < end || index + 1 == self.schedules.len() {
                let position = Position {
                    step: time.step - start,
                    steps: &steps,
                    total_steps: length,
                    num_reductions: 0,
                };
                return lr_at(part.schedule.curve(), base_lr, position);
            }
            start = end;
            first_epoch = first_epoch.saturating_add(part.epochs.given().unwrap_or(0) as u64);
        }
        base_lr
    }
}

#[cfg(test)]
mod tests {
    use crate::optimizer::schedule::{Schedule, SchedulerConfig};

    fn sequence(yaml: &str) -> SchedulerConfig {
        serde_yaml::from_str(&format!("{{name: sequence, schedules: {yaml}}}")).unwrap()
    }

    #[test]
    fn each_schedule_takes_its_epochs_for_the_whole_training() {
        let config = sequence(
            "[{schedule: {name: one_cycle}, epochs: 4}, \
             {schedule: {name: cosine, warmup_epochs: 1, interval: step}, epochs: 5}, {schedule: {name: constant}}]",
        );
        assert!(config.problems().is_empty());
        let schedule = Schedule::new(&config, 0.1, 10, 20);
        let alone = |yaml: &str, epochs| Schedule::new(&serde_yaml::from_str(yaml).unwrap(), 0.1, 10, epochs);
        let first = alone("{name: one_cycle}", 4);
        let second = alone("{name: cosine, warmup_epochs: 1, interval: step}", 5);
        assert!((0..40).all(|step| schedule.lr(step) == first.lr(step)));
        assert!((40..90).all(|step| schedule.lr(step) == second.lr(step - 40)));
        assert!((90..300).all(|step| schedule.lr(step) == 0.1));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let keys = |yaml: &str| -> Vec<String> {
            sequence(yaml).problems().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys("[]"), ["schedules"]);
        assert_eq!(
            keys(
                "[{schedule: {name: constant}}, \
                 {schedule: {name: step, gamma: -1, warmup_start_factor: 2}, epochs: 0}]"
            ),
            [
                "schedules[0].epochs",
                "schedules[1].epochs",
                "schedules[1].schedule.warmup_start_factor",
                "schedules[1].schedule.gamma"
            ]
        );
        for part in ["{name: plateau}", "{name: sequence}"] {
            let yaml = format!("{{name: sequence, schedules: [{{schedule: {part}}}]}}");
            assert!(serde_yaml::from_str::<SchedulerConfig>(&yaml).is_err());
        }
    }
}
