//! Clipping of the gradients: by their global norm, by value, and adaptively.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::settings::Problems;
use super::{Optimizer, OptimizerError};

/// Smallest norm that a gradient is divided by.
const MIN_GRAD_NORM: f64 = 1e-6;

/// Adaptive gradient clipping (Brock et al. 2021, arXiv:2102.06171): the norm of the gradient of
/// each unit, which is what one output has of a weight, is at most `clip_factor` times that of its
/// weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgcConfig {
    /// Largest norm of a gradient as a share of that of its weights, positive.
    pub clip_factor: f64,
    /// Smallest norm that weights are taken to have, positive.
    pub eps: f64,
}

impl Default for AgcConfig {
    fn default() -> AgcConfig {
        AgcConfig { clip_factor: 0.01, eps: 1e-3 }
    }
}

impl AgcConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Problems::default();
        found.positive("clip_factor", self.clip_factor);
        found.positive("eps", self.eps);
        found.0
    }
}

impl Optimizer {
    /// The 2-norm over all gradients, a scalar on the parameters' device (0 without gradients), as
    /// `torch.nn.utils.get_total_norm`. Nothing is read from the device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn grad_norm(&self) -> Result<Tensor, OptimizerError> {
        let grads = self.grads();
        if grads.is_empty() {
            let device = self.slots().next().map_or(Device::Cpu, |slot| slot.parameter.device());
            return Ok(Tensor::f_zeros([0i64; 0], (Kind::Float, device)).map_err(torch_ext::Error::from)?);
        }
        Ok(torch_ext::total_norm(&grads)?)
    }

    /// Scales all gradients so that their norm, which is the scalar `norm`, is at most `max_norm`,
    /// to the bit as `torch.nn.utils.clip_grad_norm_` does (Pascanu et al. 2013). Nothing is read
    /// from the device. A norm of NaN makes all gradients NaN.
    ///
    /// # Errors
    /// libtorch's.
    pub fn clip_grad_norm(&self, norm: &Tensor, max_norm: f64) -> Result<(), OptimizerError> {
        Ok(torch_ext::clip_grads_with_norm(&self.grads(), norm, max_norm)?)
    }

    /// Limits each element of all gradients to −`max_value` to `max_value`, as
    /// `torch.nn.utils.clip_grad_value_`. NaN stays NaN.
    ///
    /// # Errors
    /// libtorch's.
    pub fn clip_grad_value(&self, max_value: f64) -> Result<(), OptimizerError> {
        tch::no_grad(|| -> Result<(), OptimizerError> {
            for mut grad in self.grads() {
                let _ = grad.f_clamp_(-max_value, max_value).map_err(torch_ext::Error::from)?;
            }
            Ok(())
        })
    }

    /// Adaptive gradient clipping of all parameters but those of the head. Nothing is read from the
    /// device. A norm of NaN makes a unit's gradient NaN.
    ///
    /// # Errors
    /// libtorch's.
    pub fn clip_grad_adaptive(&self, config: &AgcConfig) -> Result<(), OptimizerError> {
        tch::no_grad(|| -> Result<(), OptimizerError> {
            for slot in self.slots().filter(|slot| !slot.is_head) {
                let grad = slot.parameter.grad();
                if grad.defined() {
                    clip_units(&slot.parameter, grad, config)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn grads(&self) -> Vec<Tensor> {
        self.slots().map(|slot| slot.parameter.grad()).filter(Tensor::defined).collect()
    }
}

/// Scales `grad` so that the norm of each unit is at most `clip_factor` · max(norm of its weights,
/// `eps`).
fn clip_units(parameter: &Tensor, mut grad: Tensor, config: &AgcConfig) -> Result<(), torch_ext::Error> {
    let max_norms = unit_norms(parameter)?.f_clamp_min(config.eps)? * config.clip_factor;
    let factors = max_norms / unit_norms(&grad)?.f_clamp_min(MIN_GRAD_NORM)?;
    let _ = grad.f_mul_(&factors.f_clamp_max(1.0)?)?;
    Ok(())
}

/// The 2-norm over what each output has of a weight, `[K, 1, …]`; of biases and the like over all,
/// a scalar.
fn unit_norms(tensor: &Tensor) -> Result<Tensor, torch_ext::Error> {
    let dims: Vec<i64> = (1..tensor.dim() as i64).collect();
    if dims.is_empty() {
        return Ok(tensor.f_norm()?);
    }
    Ok(tensor.f_norm_scalaropt_dim(2.0, dims.as_slice(), true)?)
}
