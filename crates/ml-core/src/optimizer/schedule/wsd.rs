//! Warm-up, a constant learning rate, and a decay at the end: warm-up–stable–decay. The forms of
//! the decay and the defaults are those of Hägele et al. 2024, Scaling Laws and Compute-Optimal
//! Training Beyond Fixed Training Durations.

use std::f64::consts::PI;

use ml_data::setting::Auto;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `wsd`.
    WsdConfig {
        /// Share of all epochs, the warm-up included, in which the learning rate falls; in [0, 1].
        #[schemars(range(min = 0, max = 1))]
        decay_fraction: f64 = 0.2,
        /// Epochs in which it falls, at least 1; `auto` takes `decay_fraction`.
        decay_epochs: Auto<usize> = Auto::Auto,
        /// `linear`, `cosine` or `sqrt`.
        shape: DecayShape = DecayShape::Sqrt,
        /// Learning rate at the end, not negative.
        #[schemars(range(min = 0))]
        min_lr: f64 = 0.0,
    }
}

/// The form of the decay; `x` is the share of it that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecayShape {
    /// 1 − x.
    Linear,
    /// (1 + cos πx) / 2.
    Cosine,
    /// 1 − √x.
    #[default]
    Sqrt,
}

impl DecayShape {
    fn factor(self, share: f64) -> f64 {
        match self {
            DecayShape::Linear => 1.0 - share,
            DecayShape::Cosine => f64::midpoint(1.0, (PI * share).cos()),
            DecayShape::Sqrt => 1.0 - share.sqrt(),
        }
    }
}

impl Curve for WsdConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        let is_right = (0.0..=1.0).contains(&self.decay_fraction);
        found.check("decay_fraction", is_right, format!("must be in 0 to 1, got {}", self.decay_fraction));
        found.length("decay_epochs", self.decay_epochs);
        found.not_negative("min_lr", self.min_lr);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let after_warmup = time.num_epochs;
        let all = after_warmup + f64::from(self.warmup_epochs);
        let length = self.decay_epochs.given().map_or(self.decay_fraction * all, |epochs| epochs as f64);
        // A decay that is longer than what follows the warm-up takes all of that.
        let length = length.min(after_warmup);
        let over = time.epochs - (after_warmup - length);
        if over <= 0.0 {
            return base_lr;
        }
        // Without a decay, and after the last epoch, `over` is no share.
        let share = if length > 0.0 { (over / length).min(1.0) } else { 1.0 };
        self.min_lr + (base_lr - self.min_lr) * self.shape.factor(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::schedule::{Interval, Schedule, SchedulerConfig};

    #[test]
    fn it_is_constant_between_the_warmup_and_the_decay() {
        for (shape, halfway) in
            [(DecayShape::Linear, 0.5), (DecayShape::Cosine, 0.5), (DecayShape::Sqrt, 1.0 - 0.5_f64.sqrt())]
        {
            let config =
                WsdConfig { shape, warmup_epochs: 2, interval: Interval::Step, ..WsdConfig::default() };
            let schedule = Schedule::new(&SchedulerConfig::Wsd(config), 1.0, 10, 20);
            assert!((0..20).all(|step| schedule.lr(step) < 1.0));
            assert!((20..=160).all(|step| schedule.lr(step) == 1.0));
            assert!((schedule.lr(180) - halfway).abs() < 1e-12, "{shape:?}: {}", schedule.lr(180));
            assert!(schedule.lr(200).abs() < 1e-12);
            assert!((160..200).all(|step| schedule.lr(step) > schedule.lr(step + 1)));
        }
    }

    #[test]
    fn any_length_of_the_decay_has_a_learning_rate() {
        for decay_fraction in [0.0, 1.0] {
            for decay_epochs in [Auto::Auto, Auto::Value(1), Auto::Value(1000)] {
                let config =
                    WsdConfig { decay_fraction, decay_epochs, warmup_epochs: 3, ..WsdConfig::default() };
                for num_epochs in [1, 3, 5] {
                    let schedule = Schedule::new(&SchedulerConfig::Wsd(config.clone()), 1.0, 2, num_epochs);
                    assert!((0..20).all(|step| (0.0..=1.0).contains(&schedule.lr(step))));
                }
            }
        }
    }
}
