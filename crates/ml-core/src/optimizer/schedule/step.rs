//! Drops at regular times, PyTorch's `StepLR`.

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `step`.
    StepConfig {
        /// Epochs between drops, at least 1.
        step_size: u32 = 7,
        /// Learning-rate decay factor of each drop, positive.
        gamma: f64 = 0.1,
    }
}

impl Curve for StepConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        found.check("step_size", self.step_size > 0, "must be at least 1, got 0".to_owned());
        found.positive("gamma", self.gamma);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        base_lr * self.gamma.powf((time.epochs / f64::from(self.step_size)).floor())
    }
}
