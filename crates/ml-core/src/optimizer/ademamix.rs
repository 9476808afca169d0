//! `AdEMAMix` (Pagliardini et al. 2024, arXiv:2409.03137): `AdamW` whose update also has a slow
//! mean of the gradient.
//!
//! With t the number of the step: m₁ ← β₁ m₁ + (1 − β₁) g; m₂ ← β₃(t) m₂ + (1 − β₃(t)) g;
//! v ← β₂ v + (1 − β₂) g²;
//! θ ← θ − lr ((m₁ / (1 − β₁^t) + α(t) m₂) / (√(v / (1 − β₂^t)) + eps) + `weight_decay` θ).
//! With s = min(1, t / `alpha_warmup`), α(t) = s α. With s = min(1, t / `beta3_warmup`), β₃(t) =
//! exp(1 / ((1 − s) / ln β₁ + s / ln β₃)): the half-life of m₂ grows linearly.

use tch::Tensor;
use torch_ext::foreach;
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update, bias_correction, denominators, scaled, update_mean, update_mean_square};

settings! {
    /// Settings of `ademamix`.
    AdemamixConfig {
        /// Decay of the fast mean of the gradient, of its mean square, and of the slow mean, each
        /// in [0, 1).
        betas: [f64; 3] = [0.9, 0.999, 0.9999],
        /// Share of the slow mean in the update, not negative.
        alpha: f64 = 2.0,
        /// Steps over which `alpha` grows from 0; null begins with it. The paper takes all steps of
        /// the run.
        alpha_warmup: Option<u64> = None,
        /// Steps over which `betas[2]` grows from `betas[0]`; null begins with it. The paper takes
        /// all steps of the run.
        beta3_warmup: Option<u64> = None,
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// Decoupled weight decay, not negative.
        weight_decay: f64 = 0.0,
    }
}

impl Update for AdemamixConfig {
    fn name(&self) -> &'static str {
        "ademamix"
    }

    fn check(&self, found: &mut Problems) {
        found.decays("betas", &self.betas);
        found.not_negative("alpha", self.alpha);
        found.positive("eps", self.eps);
        found.not_negative("weight_decay", self.weight_decay);
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        let steps = |steps: Option<u64>| steps.map_or(Value::None, |steps| Value::Int(steps as i64));
        vec![
            ("betas", Value::Tuple(self.betas.map(Value::Float).into())),
            ("eps", Value::Float(self.eps)),
            ("alpha", Value::Float(self.alpha)),
            ("beta3_warmup", steps(self.beta3_warmup)),
            ("alpha_warmup", steps(self.alpha_warmup)),
            ("weight_decay", Value::Float(weight_decay)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        vec!["exp_avg_fast", "exp_avg_slow", "exp_avg_sq"]
    }

    fn counts_steps(&self) -> bool {
        true
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || self.update(batch))
    }
}

impl AdemamixConfig {
    fn update(&self, batch: &Batch) -> Result<(), torch_ext::Error> {
        let [beta1, beta2, _] = self.betas;
        let (fast, slow, exp_avg_sq) = (batch.state(0), batch.state(1), batch.state(2));
        let (steps, grads) = (batch.count_step()?, &batch.grads);
        update_mean(fast, grads, beta1)?;
        let beta3 = self.beta3(&steps)?;
        foreach::mul_(slow, &beta3.f_unbind(0)?)?;
        foreach::add_(slow, &scaled(grads, &(1f64 - beta3))?, 1.0)?;
        update_mean_square(exp_avg_sq, grads, beta2)?;

        let numerators = scaled(fast, &bias_correction(beta1, &steps)?.f_reciprocal()?)?;
        foreach::add_(&numerators, &scaled(slow, &self.alpha(&steps)?)?, 1.0)?;
        let denominators = denominators(exp_avg_sq, &bias_correction(beta2, &steps)?, self.eps)?;
        batch.decay_weights()?;
        foreach::addcdiv_(&batch.parameters, &numerators, &denominators, -batch.lr)
    }

    /// α(t) of each of `steps`.
    fn alpha(&self, steps: &Tensor) -> Result<Tensor, torch_ext::Error> {
        Ok(warmup_share(steps, self.alpha_warmup)? * self.alpha)
    }

    /// β₃(t) of each of `steps`.
    fn beta3(&self, steps: &Tensor) -> Result<Tensor, torch_ext::Error> {
        let [beta1, _, beta3] = self.betas;
        if self.beta3_warmup.is_none() {
            return Ok(steps.f_ones_like()? * beta3);
        }
        let share = warmup_share(steps, self.beta3_warmup)?;
        // Division by −∞ where a beta is 0.
        let rate = (1f64 - &share) / beta1.ln() + share / beta3.ln();
        Ok(rate.f_reciprocal()?.f_exp()?)
    }
}

/// The share of a warm-up that is done after `steps`, at most 1.
fn warmup_share(steps: &Tensor, warmup: Option<u64>) -> Result<Tensor, torch_ext::Error> {
    match warmup {
        Some(warmup) if warmup > 0 => Ok((steps / warmup as f64).f_clamp_max(1.0)?),
        _ => Ok(steps.f_ones_like()?),
    }
}
