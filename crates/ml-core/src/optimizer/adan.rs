//! Adan: adaptive Nesterov momentum (Xie et al. 2022, arXiv:2208.06677), with the settings and
//! defaults of timm's `Adan`. Betas are what a mean keeps of itself, 1 − β of the paper.
//!
//! With t the number of the step and d = g − the gradient before it (0 at the first step):
//! m ← β₁ m + (1 − β₁) g; δ ← β₂ δ + (1 − β₂) d; n ← β₃ n + (1 − β₃) (g + β₂ d)²;
//! θ ← (θ − lr (m / (1 − β₁^t) + β₂ δ / (1 − β₂^t)) / (√(n / (1 − β₃^t)) + eps))
//! / (1 + lr · `weight_decay`).

use tch::Tensor;
use torch_ext::foreach;
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update, bias_correction, denominators, scaled, update_mean, update_mean_square};

settings! {
    /// Settings of `adan`.
    AdanConfig {
        /// Decay of the running means of the gradient, of its difference to that of the step
        /// before, and of the square, each in [0, 1).
        betas: [f64; 3] = [0.98, 0.92, 0.99],
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// Decoupled weight decay, not negative.
        weight_decay: f64 = 0.0,
        /// Decay the weights before the step as `adamw` does, instead of by a proximal step after
        /// it.
        no_prox: bool = false,
    }
}

impl Update for AdanConfig {
    fn name(&self) -> &'static str {
        "adan"
    }

    fn check(&self, found: &mut Problems) {
        found.decays("betas", &self.betas);
        found.positive("eps", self.eps);
        found.not_negative("weight_decay", self.weight_decay);
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        vec![
            ("betas", Value::Tuple(self.betas.map(Value::Float).into())),
            ("eps", Value::Float(self.eps)),
            ("weight_decay", Value::Float(weight_decay)),
            ("no_prox", Value::Bool(self.no_prox)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        vec!["exp_avg", "exp_avg_sq", "exp_avg_diff", "neg_pre_grad"]
    }

    fn counts_steps(&self) -> bool {
        true
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || self.update(batch))
    }
}

impl AdanConfig {
    fn update(&self, batch: &Batch) -> Result<(), torch_ext::Error> {
        let [beta1, beta2, beta3] = self.betas;
        let (exp_avg, exp_avg_sq) = (batch.state(0), batch.state(1));
        let (exp_avg_diff, neg_pre_grad) = (batch.state(2), batch.state(3));
        let (steps, grads) = (batch.count_step()?, batch.grads.as_slice());

        let differences = foreach::clone(if batch.is_first { grads } else { neg_pre_grad })?;
        if batch.is_first {
            foreach::mul_scalar_(&differences, 0.0)?;
        } else {
            foreach::add_(&differences, grads, 1.0)?;
        }
        update_mean(exp_avg, grads, beta1)?;
        update_mean(exp_avg_diff, &differences, beta2)?;
        foreach::mul_scalar_(&differences, beta2)?;
        foreach::add_(&differences, grads, 1.0)?;
        update_mean_square(exp_avg_sq, &differences, beta3)?;
        torch_ext::copy_all(neg_pre_grad, grads)?;
        foreach::mul_scalar_(neg_pre_grad, -1.0)?;

        let of_mean = bias_correction(beta1, &steps)?.f_reciprocal()? * -batch.lr;
        let of_difference = bias_correction(beta2, &steps)?.f_reciprocal()? * (-batch.lr * beta2);
        let numerators = scaled(exp_avg, &of_mean)?;
        foreach::add_(&numerators, &scaled(exp_avg_diff, &of_difference)?, 1.0)?;
        let denominators = denominators(exp_avg_sq, &bias_correction(beta3, &steps)?, self.eps)?;
        if self.no_prox {
            batch.decay_weights()?;
        }
        foreach::addcdiv_(&batch.parameters, &numerators, &denominators, 1.0)?;
        if !self.no_prox && batch.weight_decay != 0.0 {
            foreach::mul_scalar_(&batch.parameters, 1.0 / (1.0 + batch.lr * batch.weight_decay))?;
        }
        Ok(())
    }
}
