//! Half cosines one after another, PyTorch's `CosineAnnealingWarmRestarts` (Loshchilov and Hutter
//! 2017, SGDR). The lower peaks of `cycle_decay` are those of timm's `CosineLRScheduler`.

use std::f64::consts::PI;

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `cosine_restarts`.
    CosineRestartsConfig {
        /// Epochs until the first restart, at least 1.
        #[schemars(range(min = 1))]
        t_0: u32 = 10,
        /// Each cycle is this many times as long as the one before, at least 1.
        #[schemars(range(min = 1))]
        t_mult: u32 = 1,
        /// Lowest learning rate (PyTorch's `eta_min`), not negative.
        #[schemars(range(min = 0))]
        min_lr: f64 = 0.0,
        /// What the highest learning rate is multiplied by at each restart, in (0, 1].
        #[schemars(range(min = 0, max = 1))]
        cycle_decay: f64 = 1.0,
    }
}

impl Curve for CosineRestartsConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        found.at_least_one("t_0", self.t_0);
        found.at_least_one("t_mult", self.t_mult);
        found.not_negative("min_lr", self.min_lr);
        found.factor("cycle_decay", self.cycle_decay);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let (cycle, share) = self.cycle(time.epochs);
        let highest = base_lr * self.cycle_decay.powf(cycle);
        self.min_lr + (highest - self.min_lr) * (1.0 + (PI * share).cos()) / 2.0
    }
}

impl CosineRestartsConfig {
    /// The number of the cycle, counted from 0, and how much of it is over, in [0, 1).
    fn cycle(&self, epochs: f64) -> (f64, f64) {
        let mut length = f64::from(self.t_0);
        if self.t_mult <= 1 {
            let cycle = (epochs / length).floor();
            return (cycle, (epochs - cycle * length) / length);
        }
        let (mut cycle, mut left) = (0.0, epochs);
        while left >= length {
            left -= length;
            length *= f64::from(self.t_mult);
            cycle += 1.0;
        }
        (cycle, left / length)
    }
}
