//! The learning rate as a function of the step, and with `plateau` also of the metrics so far.
//!
//! The formulas are the closed forms of PyTorch's `torch.optim.lr_scheduler`; warm-up is
//! `LinearLR`, joined by `SequentialLR`, as torchvision's references do it. Each schedule has a
//! file with its settings and its formula; a new one is its file, a variant of [`SchedulerConfig`],
//! an arm of its `curve` (and of [`PartSchedule`]), and a row of tests/reference/schedules.py.

mod constant;
mod cosine;
mod cosine_restarts;
mod epochs;
mod exponential;
mod linear;
mod multistep;
mod one_cycle;
mod plateau;
mod polynomial;
mod sequence;
mod settings;
mod step;
mod swa_lr;
mod wsd;

use ml_data::setting::Auto;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use torch_file::Value;

pub use constant::ConstantConfig;
pub use cosine::CosineConfig;
pub use cosine_restarts::CosineRestartsConfig;
pub use epochs::EpochSteps;
pub use exponential::ExponentialConfig;
pub use linear::LinearConfig;
pub use multistep::MultistepConfig;
pub use one_cycle::{Anneal, OneCycleConfig};
pub use plateau::{PlateauConfig, PlateauState, ThresholdMode};
pub use polynomial::PolynomialConfig;
pub use sequence::{PartSchedule, SequenceConfig, SequencePart};
pub use step::StepConfig;
pub use swa_lr::SwaLr;
pub use wsd::{DecayShape, WsdConfig};

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
    /// It follows half cosines, each of which begins at the highest again
    /// (`CosineAnnealingWarmRestarts`; Loshchilov and Hutter 2017).
    CosineRestarts(CosineRestartsConfig),
    /// It falls to `min_lr` by a power of the epochs that are left (`PolynomialLR`).
    Polynomial(PolynomialConfig),
    /// It follows a straight line between two factors (`LinearLR`).
    Linear(LinearConfig),
    /// It is multiplied by gamma after each epoch (`ExponentialLR`).
    Exponential(ExponentialConfig),
    /// It is multiplied by a factor when the monitored metric no longer gets better
    /// (`ReduceLROnPlateau`).
    Plateau(PlateauConfig),
    /// It stays as it is, and falls at the end (warm-up–stable–decay; Hägele et al. 2024).
    Wsd(WsdConfig),
    /// Schedules one after another (`SequentialLR`).
    Sequence(SequenceConfig),
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
struct Time<'a> {
    /// Epochs since the warm-up.
    epochs: f64,
    /// Epochs that follow the warm-up in the whole run, positive. One that is cut counts in part, or
    /// as a whole where the learning rate is computed once an epoch.
    num_epochs: f64,
    /// Steps since the start of the run.
    step: u64,
    /// Steps of the whole run.
    total_steps: u64,
    /// Steps of each epoch.
    steps: &'a EpochSteps,
    /// Drops that `plateau` has made.
    num_reductions: u64,
}

impl Time<'_> {
    /// How much of `length` epochs is over, in 0 to 1; `auto` is all that follow the warm-up.
    fn share_of(self, length: Auto<usize>) -> f64 {
        (self.epochs / length.given().map_or(self.num_epochs, |length| length as f64)).min(1.0)
    }
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

    fn not_negative(&mut self, key: &str, value: f64) {
        self.check(key, value.is_finite() && value >= 0.0, format!("must not be negative, got {value}"));
    }

    fn at_least_one(&mut self, key: &str, value: u32) {
        self.check(key, value > 0, format!("must be at least 1, got {value}"));
    }

    /// In (0, 1].
    fn factor(&mut self, key: &str, value: f64) {
        let is_right = value > 0.0 && value <= 1.0;
        self.check(key, is_right, format!("must be above 0 and at most 1, got {value}"));
    }

    /// A number of epochs.
    fn length(&mut self, key: &str, value: Auto<usize>) {
        let is_right = value != Auto::Value(0);
        self.check(key, is_right, "must be `auto` or at least 1, got 0".to_owned());
    }
}

/// A schedule's settings, with its formula.
trait Curve {
    /// `None` of a schedule that goes by steps and has no warm-up.
    fn warmup(&self) -> Option<Warmup>;

    /// Adds what is out of range, the warm-up excepted.
    fn check(&self, found: &mut Problems);

    /// The learning rate after the warm-up.
    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64;
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
            SchedulerConfig::CosineRestarts(config) => config,
            SchedulerConfig::Polynomial(config) => config,
            SchedulerConfig::Linear(config) => config,
            SchedulerConfig::Exponential(config) => config,
            SchedulerConfig::Plateau(config) => config,
            SchedulerConfig::Wsd(config) => config,
            SchedulerConfig::Sequence(config) => config,
            SchedulerConfig::OneCycle(config) => config,
        }
    }

    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        problems(self.curve())
    }

    /// Whether the learning rate follows the length of the training, and that once an epoch.
    pub fn moves_once_an_epoch(&self) -> bool {
        let is_by_epoch = self.curve().warmup().is_some_and(|warmup| warmup.interval == Interval::Epoch);
        let has_length = match self {
            SchedulerConfig::Cosine(config) => config.t_max == Auto::Auto,
            SchedulerConfig::Polynomial(config) => config.total_iters == Auto::Auto,
            SchedulerConfig::Linear(config) => config.total_iters == Auto::Auto,
            SchedulerConfig::Wsd(_) => true,
            SchedulerConfig::Constant(_)
            | SchedulerConfig::Step(_)
            | SchedulerConfig::Multistep(_)
            | SchedulerConfig::CosineRestarts(_)
            | SchedulerConfig::Exponential(_)
            | SchedulerConfig::Plateau(_)
            | SchedulerConfig::Sequence(_)
            | SchedulerConfig::OneCycle(_) => false,
        };
        is_by_epoch && has_length
    }

    /// Whether the learning rate depends on metrics, and so is not known before the training.
    pub fn depends_on_metrics(&self) -> bool {
        matches!(self, SchedulerConfig::Plateau(_))
    }
}

fn problems(curve: &dyn Curve) -> Vec<(String, String)> {
    let mut found = Problems::default();
    if let Some(Warmup { start_factor, .. }) = curve.warmup() {
        found.factor("warmup_start_factor", start_factor);
    }
    curve.check(&mut found);
    found.0
}

/// Where a run stands, and how long it is.
#[derive(Clone, Copy, Debug)]
struct Position<'a> {
    /// Steps since the start of the run.
    step: u64,
    /// Steps of each epoch.
    steps: &'a EpochSteps,
    /// Of the whole run.
    total_steps: u64,
    /// Drops that `plateau` has made.
    num_reductions: u64,
}

/// The learning rate, that of the warm-up included.
fn lr_at(curve: &dyn Curve, base_lr: f64, position: Position<'_>) -> f64 {
    let Position { step, steps, total_steps, num_reductions } = position;
    let warmup = curve.warmup();
    let (epochs, num_epochs) = match warmup.map_or(Interval::Step, |warmup| warmup.interval) {
        Interval::Epoch => (steps.whole_epochs(step) as f64, steps.begun_epochs(total_steps) as f64),
        Interval::Step => (steps.epochs(step), steps.epochs(total_steps)),
    };
    let (length, start) = warmup.map_or((0, 1.0), |warmup| (warmup.epochs, warmup.start_factor));
    if epochs < f64::from(length) {
        return base_lr * (start + (1.0 - start) * epochs / f64::from(length));
    }
    let after_warmup = num_epochs - f64::from(length);
    let time = Time {
        epochs: epochs - f64::from(length),
        num_epochs: if after_warmup > 0.0 { after_warmup } else { 1.0 },
        step,
        total_steps,
        steps,
        num_reductions,
    };
    curve.lr(base_lr, time)
}

/// A schedule made ready for a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    config: SchedulerConfig,
    base_lr: f64,
    steps: EpochSteps,
    total_steps: u64,
    swa: Option<SwaLr>,
}

impl Schedule {
    /// `base_lr` is the optimizer's; `num_epochs` is the length of those schedules that take the
    /// whole run.
    pub fn new(
        config: &SchedulerConfig,
        base_lr: f64,
        steps_per_epoch: usize,
        num_epochs: usize,
    ) -> Schedule {
        Schedule::over_epochs(config, base_lr, EpochSteps::constant(steps_per_epoch), num_epochs)
    }

    /// The same where epochs may be of different lengths.
    pub fn over_epochs(
        config: &SchedulerConfig,
        base_lr: f64,
        steps: EpochSteps,
        num_epochs: usize,
    ) -> Schedule {
        let total_steps = steps.before(num_epochs as u64);
        Schedule { config: config.clone(), base_lr, steps, total_steps, swa: None }
    }

    /// The same over a run of `total_steps` optimizer steps, which may end within an epoch.
    #[must_use]
    pub fn over(self, total_steps: u64) -> Schedule {
        Schedule { total_steps, ..self }
    }

    /// Has the run be of `total_steps` optimizer steps from here on.
    pub fn set_total_steps(&mut self, total_steps: u64) {
        self.total_steps = total_steps;
    }

    /// The same with another learning rate while weights are averaged, if there is one.
    #[must_use]
    pub fn with_swa(self, swa: Option<SwaLr>) -> Schedule {
        Schedule { swa, ..self }
    }

    /// The learning rate of optimizer step `step` (0-based, over the whole run); of `plateau` as if
    /// it never dropped.
    pub fn lr(&self, step: u64) -> f64 {
        self.lr_after(step, &PlateauState::default())
    }

    /// The same where `plateau` is in `state`.
    pub fn lr_after(&self, step: u64, state: &PlateauState) -> f64 {
        let at = |step| {
            let position = Position {
                step,
                steps: &self.steps,
                total_steps: self.total_steps,
                num_reductions: state.num_reductions,
            };
            lr_at(self.config.curve(), self.base_lr, position)
        };
        let epochs = self.steps.whole_epochs(step);
        match &self.swa {
            Some(swa) if epochs >= swa.start => swa.at(at(self.steps.before(swa.start)), epochs),
            _ => at(step),
        }
    }

    /// Takes in the monitored metric of the epoch that is done, counted from 1; `higher` metrics
    /// are better, or lower ones. Only `plateau` looks at it, until weights are averaged with a
    /// learning rate of their own.
    pub fn observe(&self, state: &mut PlateauState, epoch: u64, value: f64, higher: bool) {
        if self.swa.is_some_and(|swa| epoch > swa.start) {
            return;
        }
        if let SchedulerConfig::Plateau(config) = &self.config {
            config.observe(state, epoch, value, higher);
        }
    }

    /// For the checkpoint: `last_epoch` and `_last_lr` as PyTorch's schedulers have them, and the
    /// state of `plateau`, which alone is read back: of all others the step says it all.
    pub fn state(&self, step: u64, plateau: &PlateauState) -> Value {
        let entries = [
            ("last_epoch", Value::Int(self.steps.whole_epochs(step) as i64)),
            ("_last_lr", Value::list([Value::Float(self.lr_after(step, plateau))])),
        ];
        let plateau = self.config.depends_on_metrics().then(|| plateau.entries());
        Value::dict(entries.into_iter().chain(plateau.into_iter().flatten()))
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
        assert!(cases.len() >= 60);
        for case in cases {
            let config: SchedulerConfig = serde_json::from_value(case["config"].clone()).unwrap();
            assert!(config.problems().is_empty(), "{}", case["config"]);
            let steps_per_epoch = case["steps_per_epoch"].as_u64().unwrap() as usize;
            let schedule = Schedule::new(&config, 0.1, steps_per_epoch, 100 / steps_per_epoch);
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
    fn a_run_that_ends_within_an_epoch_has_the_schedule_of_its_steps() {
        let cosine = |interval| {
            let config = CosineConfig { interval, ..CosineConfig::default() };
            Schedule::new(&SchedulerConfig::Cosine(config), 1.0, 10, 100)
        };
        // As if an epoch were one step.
        for total in [4, 25, 30] {
            let cut = cosine(Interval::Step).over(total);
            let config =
                SchedulerConfig::Cosine(CosineConfig { interval: Interval::Step, ..Default::default() });
            let expected = Schedule::new(&config, 1.0, 1, total as usize);
            for step in 0..=total {
                assert!((cut.lr(step) - expected.lr(step)).abs() < 1e-12, "{step} of {total}");
            }
        }
        // Once an epoch: the cut one is the last of three.
        let cut = cosine(Interval::Epoch).over(25);
        let whole = Schedule::new(&SchedulerConfig::Cosine(CosineConfig::default()), 1.0, 10, 3);
        assert!((0..25).all(|step| cut.lr(step) == whole.lr(step)));
        let sequence = "{name: sequence, schedules: [{schedule: {name: constant}, epochs: 1}, \
                        {schedule: {name: cosine, interval: step}}]}";
        let sequence = Schedule::new(&serde_yaml::from_str(sequence).unwrap(), 1.0, 10, 1).over(25);
        let part = cosine(Interval::Step).over(15);
        assert!((0..15).all(|step| sequence.lr(10 + step) == part.lr(step)));
    }

    #[test]
    fn where_epochs_have_other_lengths_schedules_follow_epochs() {
        // As if every epoch had four steps, of which some are left out.
        let steps = EpochSteps::constant(4).then(2, 2).then(5, 1);
        let places: Vec<u64> = (0..8)
            .flat_map(|epoch| {
                let every = 4 / steps.of(epoch);
                (0..steps.of(epoch)).map(move |done| 4 * epoch + done * every)
            })
            .collect();
        assert_eq!(places.len() as u64, steps.before(8));
        for yaml in [
            "{name: cosine}",
            "{name: cosine, interval: step, warmup_epochs: 3}",
            "{name: step, step_size: 2, gamma: 0.5}",
            "{name: wsd, interval: step}",
            "{name: sequence, schedules: [{schedule: {name: linear, interval: step}, epochs: 3}, \
             {schedule: {name: cosine, interval: step}}]}",
        ] {
            let config: SchedulerConfig = serde_yaml::from_str(yaml).unwrap();
            let even = Schedule::new(&config, 1.0, 4, 8);
            let varied = Schedule::over_epochs(&config, 1.0, steps.clone(), 8);
            for (step, place) in places.iter().enumerate() {
                let (got, expected) = (varied.lr(step as u64), even.lr(*place));
                assert!((got - expected).abs() < 1e-12, "{yaml} at {step}: {got}, {expected}");
            }
            assert_eq!(
                varied.state(12, &PlateauState::default()).get("last_epoch").unwrap().as_i64().unwrap(),
                4
            );
        }
    }

    #[test]
    fn a_run_of_a_length_that_is_not_known_begins_as_any() {
        for name in ["cosine", "polynomial", "wsd", "one_cycle"] {
            let interval = if name == "one_cycle" { "" } else { ", interval: step" };
            let config: SchedulerConfig =
                serde_yaml::from_str(&format!("{{name: {name}{interval}}}")).unwrap();
            let unknown = Schedule::new(&config, 1.0, 10, 5).over(u64::MAX);
            let first = Schedule::new(&config, 1.0, 10, 5).lr(0);
            assert!((0..50).all(|step| (unknown.lr(step) - first).abs() < 1e-9), "{name}");
        }
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
        assert_eq!(
            keys("{name: cosine_restarts, t_0: 0, t_mult: 0, min_lr: -1, cycle_decay: 0}"),
            ["t_0", "t_mult", "min_lr", "cycle_decay"]
        );
        assert_eq!(
            keys("{name: polynomial, total_iters: 0, power: 0, min_lr: .inf}"),
            ["total_iters", "power", "min_lr"]
        );
        assert_eq!(
            keys("{name: linear, start_factor: 0, end_factor: 1.5, total_iters: 0}"),
            ["start_factor", "end_factor", "total_iters"]
        );
        assert_eq!(keys("{name: exponential, gamma: .nan}"), ["gamma"]);
        assert_eq!(
            keys("{name: wsd, decay_fraction: 2, decay_epochs: 0, min_lr: -1}"),
            ["decay_fraction", "decay_epochs", "min_lr"]
        );
    }
}
