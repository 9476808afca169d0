//! A constant factor for each epoch, PyTorch's `ExponentialLR`.

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `exponential`.
    ExponentialConfig {
        /// Learning-rate decay factor of each epoch, positive.
        gamma: f64 = 0.9,
    }
}

impl Curve for ExponentialConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        found.positive("gamma", self.gamma);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        base_lr * self.gamma.powf(time.epochs)
    }
}
