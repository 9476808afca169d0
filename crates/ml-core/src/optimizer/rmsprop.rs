//! `RMSprop` (Tieleman and Hinton 2012; centered: Graves 2013), PyTorch's `torch.optim.RMSprop`.

use tch::Tensor;
use torch_ext::{RmspropSettings, RmspropState};
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update};

settings! {
    /// Settings of `rmsprop`.
    RmspropConfig {
        /// Decay of the running mean square of the gradient, in [0, 1).
        alpha: f64 = 0.99,
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// L2 penalty, not negative.
        weight_decay: f64 = 0.0,
        /// In [0, 1).
        momentum: f64 = 0.0,
        /// Divide by the gradient's standard deviation instead of its root mean square.
        centered: bool = false,
    }
}

impl Update for RmspropConfig {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn check(&self, found: &mut Problems) {
        found.decay("alpha", self.alpha);
        found.positive("eps", self.eps);
        found.not_negative("weight_decay", self.weight_decay);
        found.decay("momentum", self.momentum);
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        vec![
            ("momentum", Value::Float(self.momentum)),
            ("alpha", Value::Float(self.alpha)),
            ("eps", Value::Float(self.eps)),
            ("centered", Value::Bool(self.centered)),
            ("weight_decay", Value::Float(weight_decay)),
            ("capturable", Value::Bool(false)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        let momentum = (self.momentum != 0.0).then_some("momentum_buffer");
        let mean = self.centered.then_some("grad_avg");
        ["square_avg"].into_iter().chain(momentum).chain(mean).collect()
    }

    fn other_keys(&self) -> &'static [&'static str] {
        &["momentum_buffer", "grad_avg"]
    }

    fn counts_steps(&self) -> bool {
        true
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        let settings = RmspropSettings {
            lr: batch.lr,
            alpha: self.alpha,
            eps: self.eps,
            weight_decay: batch.weight_decay,
            momentum: self.momentum,
            centered: self.centered,
        };
        let has_momentum = self.momentum != 0.0;
        let state = RmspropState {
            square_avg: batch.state(0),
            momentum_buffer: if has_momentum { batch.state(1) } else { &[] },
            grad_avg: batch.state(if has_momentum { 2 } else { 1 }),
            step: &batch.steps,
        };
        torch_ext::rmsprop(&batch.parameters, &batch.grads, state, &settings, found_inf)
    }
}
