//! Lion: evolved sign momentum (Chen et al. 2023, arXiv:2302.06675).
//!
//! θ ← (1 − lr · `weight_decay`) θ − lr sign(β₁ m + (1 − β₁) g); m ← β₂ m + (1 − β₂) g.

use tch::Tensor;
use torch_ext::foreach;
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update, update_mean};

settings! {
    /// Settings of `lion`. Every weight changes by `lr` at each step: it is usually 3 to 10 times
    /// smaller than with `adamw`, and the weight decay as many times larger.
    LionConfig {
        /// Share of the mean in the update, and decay of the mean, each in [0, 1).
        betas: [f64; 2] = [0.9, 0.99],
        /// Decoupled weight decay, not negative.
        weight_decay: f64 = 0.0,
    }
}

impl Update for LionConfig {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn check(&self, found: &mut Problems) {
        found.decays("betas", &self.betas);
        found.not_negative("weight_decay", self.weight_decay);
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        vec![
            ("betas", Value::Tuple(self.betas.map(Value::Float).into())),
            ("weight_decay", Value::Float(weight_decay)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        vec!["exp_avg"]
    }

    fn counts_steps(&self) -> bool {
        false
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || self.update(batch))
    }
}

impl LionConfig {
    fn update(&self, batch: &Batch) -> Result<(), torch_ext::Error> {
        let ([beta1, beta2], exp_avg) = (self.betas, batch.state(0));
        batch.decay_weights()?;
        let updates = foreach::clone(exp_avg)?;
        update_mean(&updates, &batch.grads, beta1)?;
        foreach::sign_(&updates)?;
        foreach::add_(&batch.parameters, &updates, -batch.lr)?;
        update_mean(exp_avg, &batch.grads, beta2)
    }
}
