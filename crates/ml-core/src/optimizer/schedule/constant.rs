//! The learning rate stays as it is.

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `constant`.
    ConstantConfig {}
}

impl Curve for ConstantConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, _: &mut Problems) {}

    fn lr(&self, base_lr: f64, _: Time<'_>) -> f64 {
        base_lr
    }
}
