//! A straight line between two factors, PyTorch's `LinearLR`.

use ml_data::setting::Auto;

use super::settings::scheduler_struct;
use super::{Curve, Problems, Time, Warmup};

scheduler_struct! {
    /// Settings of `linear`.
    LinearConfig {
        /// What the learning rate is multiplied by at the beginning, in (0, 1].
        #[schemars(range(min = 0, max = 1))]
        start_factor: f64 = 1.0 / 3.0,
        /// What it is multiplied by at the end, in [0, 1].
        #[schemars(range(min = 0, max = 1))]
        end_factor: f64 = 1.0,
        /// Epochs from the beginning to the end; `auto` takes all that follow the warm-up. After it
        /// the learning rate stays as it is.
        total_iters: Auto<usize> = Auto::Value(5),
    }
}

impl Curve for LinearConfig {
    fn warmup(&self) -> Option<Warmup> {
        Some(self.own_warmup())
    }

    fn check(&self, found: &mut Problems) {
        found.factor("start_factor", self.start_factor);
        let is_right = (0.0..=1.0).contains(&self.end_factor);
        found.check("end_factor", is_right, format!("must be in 0 to 1, got {}", self.end_factor));
        found.length("total_iters", self.total_iters);
    }

    fn lr(&self, base_lr: f64, time: Time<'_>) -> f64 {
        let share = time.share_of(self.total_iters);
        base_lr * (self.start_factor + (self.end_factor - self.start_factor) * share)
    }
}
