//! A power of the share of the training that is left, PyTorch's `PolynomialLR`.

use ml_data::setting::Auto;

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `polynomial`.
    PolynomialConfig {
        /// Epochs from the highest to the lowest; `auto` takes all that follow the warm-up. After
        /// it the learning rate stays at `min_lr`.
        total_iters: Auto<usize> = Auto::Auto,
        /// Exponent, positive; 1 is a straight line.
        power: f64 = 1.0,
        /// Lowest learning rate, not negative.
        #[schemars(range(min = 0))]
        min_lr: f64 = 0.0,
    }
}

impl Curve for PolynomialConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        found.length("total_iters", self.total_iters);
        found.positive("power", self.power);
        found.not_negative("min_lr", self.min_lr);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let left = 1.0 - time.share_of(self.total_iters);
        self.min_lr + (base_lr - self.min_lr) * left.powf(self.power)
    }
}
