//! Half a cosine, PyTorch's `CosineAnnealingLR` (Loshchilov and Hutter 2017, without restarts).

use ml_data::setting::Auto;

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

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

impl Curve for CosineConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        let is_right = self.min_lr.is_finite() && self.min_lr >= 0.0;
        found.check("min_lr", is_right, format!("must not be negative, got {}", self.min_lr));
        let is_right = self.t_max != Auto::Value(0);
        found.check("t_max", is_right, "must be `auto` or at least 1, got 0".to_owned());
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let length = self.t_max.given().map_or(time.num_epochs, |epochs| epochs as f64);
        let phase = (time.epochs / length).min(1.0) * std::f64::consts::PI;
        self.min_lr + (base_lr - self.min_lr) * (1.0 + phase.cos()) / 2.0
    }
}
