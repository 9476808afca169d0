//! Adam (Kingma and Ba 2015), PyTorch's `torch.optim.Adam`.

use tch::Tensor;
use torch_ext::{AdamSettings, AdamState, fused_adam};
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update};

settings! {
    /// Settings of `adam`.
    AdamConfig {
        /// Decay of the running mean and mean square of the gradient, each in [0, 1).
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// L2 penalty, not negative.
        weight_decay: f64 = 0.0,
        /// Divide by the largest mean square so far (Reddi et al. 2018).
        amsgrad: bool = false,
    }
}

impl Update for AdamConfig {
    fn name(&self) -> &'static str {
        "adam"
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

impl AdamConfig {
    fn formula(&self) -> AdamFormula {
        AdamFormula { betas: self.betas, eps: self.eps, amsgrad: self.amsgrad, decoupled: false }
    }
}

/// All that Adam and `AdamW` keep of a parameter.
pub(super) const ADAM_KEYS: &[&str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

/// What Adam and `AdamW` share.
pub(super) struct AdamFormula {
    pub betas: [f64; 2],
    pub eps: f64,
    pub amsgrad: bool,
    /// `AdamW`: the weight decay does not pass through the gradient.
    pub decoupled: bool,
}

impl AdamFormula {
    pub(super) fn check(&self, found: &mut Problems) {
        found.decays("betas", &self.betas);
        found.positive("eps", self.eps);
    }

    pub(super) fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        vec![
            ("betas", Value::Tuple(self.betas.map(Value::Float).into())),
            ("eps", Value::Float(self.eps)),
            ("weight_decay", Value::Float(weight_decay)),
            ("amsgrad", Value::Bool(self.amsgrad)),
            ("capturable", Value::Bool(false)),
            ("decoupled_weight_decay", Value::Bool(self.decoupled)),
        ]
    }

    pub(super) fn state_keys(&self) -> Vec<&'static str> {
        ADAM_KEYS[..if self.amsgrad { 3 } else { 2 }].to_vec()
    }

    pub(super) fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        let [beta1, beta2] = self.betas;
        let settings = AdamSettings {
            lr: batch.lr,
            beta1,
            beta2,
            eps: self.eps,
            weight_decay: batch.weight_decay,
            amsgrad: self.amsgrad,
            decoupled: self.decoupled,
        };
        let state = AdamState {
            exp_avg: batch.state(0),
            exp_avg_sq: batch.state(1),
            max_exp_avg_sq: batch.state(2),
            step: &batch.steps,
        };
        fused_adam(&batch.parameters, &batch.grads, state, &settings, found_inf)
    }
}
