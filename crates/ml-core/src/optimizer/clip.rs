//! Clipping of the gradients by their global norm.

use tch::{Device, Kind, Tensor};

use super::{Optimizer, OptimizerError};

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

    pub(super) fn grads(&self) -> Vec<Tensor> {
        self.slots().map(|slot| slot.parameter.grad()).filter(Tensor::defined).collect()
    }
}
