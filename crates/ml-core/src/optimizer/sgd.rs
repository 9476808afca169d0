//! Stochastic gradient descent with momentum, PyTorch's `torch.optim.SGD`.

use tch::Tensor;
use torch_ext::{SgdSettings, fused_sgd};
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update};

settings! {
    /// Settings of `sgd`.
    SgdConfig {
        /// In [0, 1).
        momentum: f64 = 0.9,
        /// L2 penalty, not negative.
        weight_decay: f64 = 0.0,
        /// Dampening of the momentum, in [0, 1].
        dampening: f64 = 0.0,
        /// Nesterov momentum; needs a momentum and no dampening.
        nesterov: bool = false,
    }
}

impl Update for SgdConfig {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn check(&self, found: &mut Problems) {
        found.decay("momentum", self.momentum);
        found.not_negative("weight_decay", self.weight_decay);
        found.share("dampening", self.dampening);
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            found.add("nesterov", "needs a momentum above 0 and a dampening of 0".to_owned());
        }
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        vec![
            ("momentum", Value::Float(self.momentum)),
            ("dampening", Value::Float(self.dampening)),
            ("weight_decay", Value::Float(weight_decay)),
            ("nesterov", Value::Bool(self.nesterov)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        if self.momentum == 0.0 { Vec::new() } else { vec!["momentum_buffer"] }
    }

    fn other_keys(&self) -> &'static [&'static str] {
        &["momentum_buffer"]
    }

    fn counts_steps(&self) -> bool {
        false
    }

    fn has_fused(&self) -> bool {
        true
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        self.update(batch, batch.weight_decay, found_inf)
    }
}

impl SgdConfig {
    /// With this L2 penalty.
    pub(super) fn update(
        &self,
        batch: &Batch,
        weight_decay: f64,
        found_inf: Option<&Tensor>,
    ) -> Result<(), torch_ext::Error> {
        let settings = SgdSettings {
            lr: batch.lr,
            momentum: self.momentum,
            weight_decay,
            dampening: self.dampening,
            nesterov: self.nesterov,
            // A buffer begins as its first gradient, undampened. Without momentum there is none.
            first_step: batch.is_first && self.momentum != 0.0,
        };
        fused_sgd(&batch.parameters, &batch.grads, batch.state(0), &settings, found_inf)
    }
}
