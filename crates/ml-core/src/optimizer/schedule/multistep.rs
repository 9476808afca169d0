//! Drops at given times, PyTorch's `MultiStepLR`.

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `multistep`.
    MultistepConfig {
        /// Epochs of the drops, increasing; counted after the warm-up.
        milestones: Vec<u32> = vec![15, 20],
        /// Learning-rate decay factor of each drop, positive.
        gamma: f64 = 0.1,
    }
}

impl Curve for MultistepConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        let increasing = self.milestones.windows(2).all(|pair| pair[0] < pair[1]);
        found.check("milestones", increasing, format!("must increase, got {:?}", self.milestones));
        found.positive("gamma", self.gamma);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let is_past = |milestone: &&u32| f64::from(**milestone) <= time.epochs;
        base_lr * self.gamma.powi(self.milestones.iter().filter(is_past).count() as i32)
    }
}
