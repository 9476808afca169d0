//! Adam with decoupled weight decay (Loshchilov and Hutter 2019), PyTorch's `torch.optim.AdamW`.

use tch::Tensor;
use torch_file::Value;

use super::adam::{ADAM_KEYS, AdamFormula};
use super::settings::{Problems, settings};
use super::update::{Batch, Update};

settings! {
    /// Settings of `adamw`.
    AdamwConfig {
        /// Decay of the running mean and mean square of the gradient, each in [0, 1).
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// Decoupled weight decay, not negative.
        weight_decay: f64 = 0.01,
        /// Divide by the largest mean square so far (Reddi et al. 2018).
        amsgrad: bool = false,
    }
}

impl Update for AdamwConfig {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn check(&self, found: &mut Problems) {
        self.formula().check(found);
        found.not_negative("weight_decay", self.weight_decay);
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        self.formula().hyperparameters(weight_decay)
    }

    fn state_keys(&self) -> Vec<&'static str> {
        self.formula().state_keys()
    }

    fn other_keys(&self) -> &'static [&'static str] {
        ADAM_KEYS
    }

    fn counts_steps(&self) -> bool {
        true
    }

    fn has_fused(&self) -> bool {
        true
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        self.formula().step(batch, found_inf)
    }
}

impl AdamwConfig {
    fn formula(&self) -> AdamFormula {
        AdamFormula { betas: self.betas, eps: self.eps, amsgrad: self.amsgrad, decoupled: true }
    }
}
