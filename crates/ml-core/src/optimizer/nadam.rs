//! Adam with Nesterov momentum (Dozat 2016), PyTorch's `torch.optim.NAdam`.
//!
//! With t the number of the step and μ(t) = β₁ (1 − 0.96^(t · `momentum_decay`) / 2):
//! m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
//! θ ← θ − lr (c g + d m) / (√(v / (1 − β₂^t)) + eps), c = (1 − μ(t)) / (1 − Π),
//! d = μ(t + 1) / (1 − Π μ(t + 1)), Π = μ(1) ⋯ μ(t).

use tch::{Kind, Tensor};
use torch_ext::foreach;
use torch_file::Value;

use super::settings::{Problems, settings};
use super::update::{Batch, Update, bias_correction, denominators, scaled, update_mean, update_mean_square};

settings! {
    /// Settings of `nadam`.
    NadamConfig {
        /// Decay of the running mean and mean square of the gradient, each in [0, 1).
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// L2 penalty, not negative.
        weight_decay: f64 = 0.0,
        /// How fast the momentum grows to `betas[0]`, not negative.
        momentum_decay: f64 = 0.004,
        /// Decouple the weight decay from the gradient, as `adamw` does.
        decoupled_weight_decay: bool = false,
    }
}

impl Update for NadamConfig {
    fn name(&self) -> &'static str {
        "nadam"
    }

    fn check(&self, found: &mut Problems) {
        found.decays("betas", &self.betas);
        found.positive("eps", self.eps);
        found.not_negative("weight_decay", self.weight_decay);
        found.not_negative("momentum_decay", self.momentum_decay);
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        vec![
            ("betas", Value::Tuple(self.betas.map(Value::Float).into())),
            ("eps", Value::Float(self.eps)),
            ("weight_decay", Value::Float(weight_decay)),
            ("momentum_decay", Value::Float(self.momentum_decay)),
            ("decoupled_weight_decay", Value::Bool(self.decoupled_weight_decay)),
            ("capturable", Value::Bool(false)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        vec!["mu_product", "exp_avg", "exp_avg_sq"]
    }

    fn initial_state(&self, key: &str, parameter: &Tensor) -> Tensor {
        match key {
            "mu_product" => Tensor::ones([0i64; 0], (Kind::Float, parameter.device())),
            _ => parameter.zeros_like(),
        }
    }

    fn counts_steps(&self) -> bool {
        true
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || self.update(batch))
    }
}

impl NadamConfig {
    fn update(&self, batch: &Batch) -> Result<(), torch_ext::Error> {
        let [beta1, beta2] = self.betas;
        let (mu_product, exp_avg, exp_avg_sq) = (batch.state(0), batch.state(1), batch.state(2));
        let steps = batch.count_step()?;
        let grads: Vec<Tensor> = if self.decoupled_weight_decay {
            batch.decay_weights()?;
            batch.grads.iter().map(Tensor::shallow_clone).collect()
        } else {
            batch.grads_with_l2()?
        };
        update_mean(exp_avg, &grads, beta1)?;
        update_mean_square(exp_avg_sq, &grads, beta2)?;

        let (mu, next_mu) = (self.mu(&steps)?, self.mu(&(&steps + 1.0))?);
        // In f32, as PyTorch saves it.
        let product = Tensor::f_stack(mu_product, 0)? * mu.f_to_kind(Kind::Float)?;
        torch_ext::copy_all(mu_product, &product.f_unbind(0)?)?;
        let product = product.f_to_kind(Kind::Double)?;
        let of_grad = (1f64 - mu) / (1f64 - &product) * -batch.lr;
        let of_mean = &next_mu / (1f64 - product * &next_mu) * -batch.lr;

        let numerators = scaled(&grads, &of_grad)?;
        foreach::add_(&numerators, &scaled(exp_avg, &of_mean)?, 1.0)?;
        let denominators = denominators(exp_avg_sq, &bias_correction(beta2, &steps)?, self.eps)?;
        foreach::addcdiv_(&batch.parameters, &numerators, &denominators, 1.0)
    }

    /// The momentum at each of `steps`.
    fn mu(&self, steps: &Tensor) -> Result<Tensor, torch_ext::Error> {
        let power = Tensor::f_pow_scalar(0.96, &(steps * self.momentum_decay))?;
        Ok((1f64 - power * 0.5) * self.betas[0])
    }
}
