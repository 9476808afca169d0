//! LAMB: layer-wise adaptive moments (You et al. 2020, arXiv:1904.00962), with the settings and
//! defaults of timm's `Lamb`.
//!
//! g is first divided by max(1, ‖all gradients‖ / `max_grad_norm`). Then, with t the number of the
//! step: m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
//! u = (m / (1 − β₁^t)) / (√(v / (1 − β₂^t)) + eps) + `weight_decay` θ; θ ← θ − lr r u,
//! r = ‖θ‖ / ‖u‖, or 1 where a norm is 0.

use tch::{Kind, Tensor};
use torch_ext::foreach;
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update, bias_correction, denominators, scaled, update_mean, update_mean_square};

settings! {
    /// Settings of `lamb`.
    LambConfig {
        /// Decay of the running mean and mean square of the gradient, each in [0, 1).
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, positive.
        eps: f64 = 1e-6,
        /// Added to the update before the trust ratio, not negative.
        weight_decay: f64 = 0.01,
        /// Correct both means for their start at 0.
        bias_correction: bool = true,
        /// Weigh the gradient by 1 − `betas[0]` in its running mean; false weighs it by 1.
        grad_averaging: bool = true,
        /// Gradients are scaled so that their norm, taken over all parameters, is at most this,
        /// positive; null leaves them.
        max_grad_norm: Option<f64> = Some(1.0),
        /// Trust ratios are at most 1.
        trust_clip: bool = false,
        /// Use the trust ratio also for parameters without weight decay.
        always_adapt: bool = false,
    }
}

impl Update for LambConfig {
    fn name(&self) -> &'static str {
        "lamb"
    }

    fn check(&self, found: &mut Problems) {
        found.decays("betas", &self.betas);
        found.positive("eps", self.eps);
        found.not_negative("weight_decay", self.weight_decay);
        if let Some(max_grad_norm) = self.max_grad_norm {
            found.positive("max_grad_norm", max_grad_norm);
        }
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        vec![
            ("bias_correction", Value::Bool(self.bias_correction)),
            ("betas", Value::Tuple(self.betas.map(Value::Float).into())),
            ("eps", Value::Float(self.eps)),
            ("weight_decay", Value::Float(weight_decay)),
            ("grad_averaging", Value::Bool(self.grad_averaging)),
            ("max_grad_norm", self.max_grad_norm.map_or(Value::None, Value::Float)),
            ("trust_clip", Value::Bool(self.trust_clip)),
            ("always_adapt", Value::Bool(self.always_adapt)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        vec!["exp_avg", "exp_avg_sq"]
    }

    fn counts_steps(&self) -> bool {
        true
    }

    fn needs_grad_norm(&self) -> bool {
        self.max_grad_norm.is_some()
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || self.update(batch))
    }
}

impl LambConfig {
    fn update(&self, batch: &Batch) -> Result<(), torch_ext::Error> {
        let [beta1, beta2] = self.betas;
        let (exp_avg, exp_avg_sq) = (batch.state(0), batch.state(1));
        let steps = batch.count_step()?;
        let grads = self.clipped(batch)?;
        if self.grad_averaging {
            update_mean(exp_avg, &grads, beta1)?;
        } else {
            foreach::mul_scalar_(exp_avg, beta1)?;
            foreach::add_(exp_avg, &grads, 1.0)?;
        }
        update_mean_square(exp_avg_sq, &grads, beta2)?;

        let correction = |beta: f64| -> Result<Tensor, torch_ext::Error> {
            if self.bias_correction { bias_correction(beta, &steps) } else { Ok(steps.f_ones_like()?) }
        };
        let updates = scaled(exp_avg, &correction(beta1)?.f_reciprocal()?)?;
        foreach::div_(&updates, &denominators(exp_avg_sq, &correction(beta2)?, self.eps)?)?;
        if batch.weight_decay != 0.0 {
            foreach::add_(&updates, &batch.parameters, batch.weight_decay)?;
        }
        if batch.weight_decay != 0.0 || self.always_adapt {
            foreach::mul_(&updates, &self.trust_ratios(&batch.parameters, &updates)?.f_unbind(0)?)?;
        }
        foreach::add_(&batch.parameters, &updates, -batch.lr)
    }

    /// The gradients, their norm over all parameters being at most `max_grad_norm`.
    fn clipped(&self, batch: &Batch) -> Result<Vec<Tensor>, torch_ext::Error> {
        let (Some(max_norm), Some(norm)) = (self.max_grad_norm, &batch.grad_norm) else {
            return Ok(batch.grads.iter().map(Tensor::shallow_clone).collect());
        };
        let grads = foreach::clone(&batch.grads)?;
        let divisor = (norm / max_norm).f_clamp_min(1.0)?;
        let divisors: Vec<Tensor> = grads.iter().map(|_| divisor.shallow_clone()).collect();
        foreach::div_(&grads, &divisors)?;
        Ok(grads)
    }

    /// ‖θ‖ / ‖u‖ of each parameter, `[P]` f64.
    fn trust_ratios(&self, parameters: &[Tensor], updates: &[Tensor]) -> Result<Tensor, torch_ext::Error> {
        let norms = |tensors: &[Tensor]| -> Result<Tensor, torch_ext::Error> {
            Ok(Tensor::f_stack(&foreach::norm(tensors)?, 0)?.f_to_kind(Kind::Double)?)
        };
        let (weights, updates) = (norms(parameters)?, norms(updates)?);
        let are_positive = weights.f_gt(0.0)?.f_logical_and(&updates.f_gt(0.0)?)?;
        let ratios = weights / updates;
        let ratios = ratios.f_where_self(&are_positive, &ratios.f_ones_like()?)?;
        Ok(if self.trust_clip { ratios.f_clamp_max(1.0)? } else { ratios })
    }
}
