//! Clipping of the gradients by their global norm.

use tch::Tensor;

use super::{Optimizer, OptimizerError};

/// Added to the norm before dividing by it, as `torch.nn.utils.clip_grad_norm_` does.
const EPS: f32 = 1e-6;

impl Optimizer {
    /// The 2-norm over all gradients, a scalar (0 without gradients), as
    /// `torch.nn.utils.get_total_norm`. Nothing is read from the device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn grad_norm(&self) -> Result<Tensor, OptimizerError> {
        let grads = self.grads();
        if grads.is_empty() { Ok(Tensor::from(0f32)) } else { Ok(torch_ext::total_norm(&grads)?) }
    }

    /// Scales all gradients so that their norm, which is `norm`, is at most `max_norm`, to the bit
    /// as `torch.nn.utils.clip_grad_norm_` does (Pascanu et al. 2013).
    ///
    /// # Errors
    /// libtorch's.
    pub fn clip_grad_norm(&self, norm: f64, max_norm: f64) -> Result<(), OptimizerError> {
        // In float32 and by way of the reciprocal, as PyTorch divides a number by a tensor.
        let coefficient = (norm as f32 + EPS).recip() * max_norm as f32;
        if coefficient < 1.0 {
            torch_ext::scale(&self.grads(), f64::from(coefficient))?;
        }
        Ok(())
    }

    fn grads(&self) -> Vec<Tensor> {
        self.slots().map(|slot| slot.parameter.grad()).filter(Tensor::defined).collect()
    }
}
