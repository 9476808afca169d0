//! `RMSprop` as in TensorFlow, whose published learning rates it needs; the settings and defaults
//! are those of timm's `RMSpropTF`.
//!
//! Unlike in PyTorch, `eps` is added inside the square root, the mean square begins at 1, and the
//! momentum buffer holds steps, not gradients: it has the learning rates of its time.
//! v ← α v + (1 − α) g²; b ← μ b + lr g / √(v + eps); θ ← θ − b. Centered: √(v − m² + eps) with
//! m ← α m + (1 − α) g.

use tch::Tensor;
use torch_ext::foreach;
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update, update_mean, update_mean_square};

settings! {
    /// Settings of `rmsprop_tf`.
    RmspropTfConfig {
        /// Decay of the running mean square of the gradient, in [0, 1).
        alpha: f64 = 0.9,
        /// Added to the mean square, positive.
        eps: f64 = 1e-10,
        /// L2 penalty, not negative.
        weight_decay: f64 = 0.0,
        /// In [0, 1).
        momentum: f64 = 0.0,
        /// Divide by the gradient's standard deviation instead of its root mean square.
        centered: bool = false,
        /// Decouple the weight decay from the gradient, as `adamw` does.
        decoupled_decay: bool = false,
        /// The momentum buffer holds the steps of their learning rates; false multiplies what it
        /// holds by that of the current step, as PyTorch does.
        lr_in_momentum: bool = true,
    }
}

impl Update for RmspropTfConfig {
    fn name(&self) -> &'static str {
        "rmsprop_tf"
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
            ("decoupled_decay", Value::Bool(self.decoupled_decay)),
            ("lr_in_momentum", Value::Bool(self.lr_in_momentum)),
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

    fn initial_state(&self, key: &str, parameter: &Tensor) -> Tensor {
        if key == "square_avg" { parameter.ones_like() } else { parameter.zeros_like() }
    }

    fn counts_steps(&self) -> bool {
        true
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || self.update(batch))
    }
}

impl RmspropTfConfig {
    fn update(&self, batch: &Batch) -> Result<(), torch_ext::Error> {
        let (parameters, square_avg) = (&batch.parameters, batch.state(0));
        let has_momentum = self.momentum != 0.0;
        foreach::add_scalar_(&batch.steps, 1.0)?;
        let grads: Vec<Tensor> = if self.decoupled_decay {
            batch.decay_weights()?;
            batch.grads.iter().map(Tensor::shallow_clone).collect()
        } else {
            batch.grads_with_l2()?
        };
        update_mean_square(square_avg, &grads, self.alpha)?;
        let roots = foreach::clone(square_avg)?;
        if self.centered {
            let grad_avg = batch.state(if has_momentum { 2 } else { 1 });
            update_mean(grad_avg, &grads, self.alpha)?;
            foreach::addcmul_(&roots, grad_avg, grad_avg, -1.0)?;
            // A variance of 0 may be rounded to less.
            foreach::clamp_min_(&roots, 0.0)?;
        }
        foreach::add_scalar_(&roots, self.eps)?;
        foreach::sqrt_(&roots)?;
        if !has_momentum {
            return foreach::addcdiv_(parameters, &grads, &roots, -batch.lr);
        }
        let buffers = batch.state(1);
        let (in_buffer, in_step) = if self.lr_in_momentum { (batch.lr, 1.0) } else { (1.0, batch.lr) };
        foreach::mul_scalar_(buffers, self.momentum)?;
        foreach::addcdiv_(buffers, &grads, &roots, in_buffer)?;
        foreach::add_(parameters, buffers, -in_step)
    }
}
