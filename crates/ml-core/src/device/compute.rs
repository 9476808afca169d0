//! Where and in which number format a network computes: the one place that says so for training,
//! validation, test and prediction alike.

use tch::{Device, Tensor};
use torch_ext::Autocast;

use super::Precision;

/// How the numbers of an image batch lie in memory (PyTorch's `memory_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryFormat {
    /// `torch.contiguous_format`: `[N, C, H, W]` as it is written.
    #[default]
    Contiguous,
    /// `torch.channels_last`: channels innermost.
    ChannelsLast,
}

/// Device, precision and memory format of every forward pass of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// Where tensors live.
    pub device: Device,
    /// The number format of the forward and backward pass.
    pub precision: Precision,
    /// How image batches and the weights of convolutions are laid out.
    pub memory_format: MemoryFormat,
}

impl Compute {
    /// Float32, contiguous, on `device`.
    pub fn fp32(device: Device) -> Compute {
        Compute { device, precision: Precision::Fp32, memory_format: MemoryFormat::Contiguous }
    }

    /// Whether images and weights are laid out with their channels innermost.
    pub fn is_channels_last(&self) -> bool {
        self.memory_format == MemoryFormat::ChannelsLast
    }

    /// Runs a forward pass in this precision; gradients are recorded or not as the caller has set.
    ///
    /// # Errors
    /// libtorch has no autocast of this dtype on this device.
    pub fn run<T>(&self, forward: impl FnOnce() -> T) -> Result<T, torch_ext::Error> {
        if self.device.is_cuda() {
            // Also holds for the backward pass, which follows.
            torch_ext::allow_tf32(self.precision != Precision::Fp32)?;
        }
        let autocast = self.precision.autocast();
        let _autocast = autocast.map(|kind| Autocast::enter(self.device, kind)).transpose()?;
        Ok(forward())
    }

    /// Images `[N, C, H, W]` in this memory format; the same tensor where they are already.
    ///
    /// # Errors
    /// No memory.
    pub fn images(&self, images: &Tensor) -> Result<Tensor, torch_ext::Error> {
        match self.memory_format {
            MemoryFormat::Contiguous => Ok(images.f_contiguous()?),
            MemoryFormat::ChannelsLast => torch_ext::channels_last(images),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn autocast_holds_for_the_forward_pass_alone() {
        let weight = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let product = |compute: Compute| compute.run(|| weight.matmul(&weight)).unwrap().kind();
        assert_eq!(product(Compute::fp32(Device::Cpu)), Kind::Float);
        let bf16 = Compute { precision: Precision::Bf16, ..Compute::fp32(Device::Cpu) };
        assert_eq!(product(bf16), Kind::BFloat16);
        assert_eq!(weight.matmul(&weight).kind(), Kind::Float);
    }

    #[test]
    fn images_get_the_memory_format_and_keep_their_values() {
        let images = Tensor::arange(2 * 3 * 4 * 5, (Kind::Float, Device::Cpu)).view([2, 3, 4, 5]);
        let compute = Compute { memory_format: MemoryFormat::ChannelsLast, ..Compute::fp32(Device::Cpu) };
        let laid_out = compute.images(&images).unwrap();
        assert_eq!(laid_out.stride(), [60, 1, 15, 3]);
        assert!(laid_out.equal(&images));
        assert_eq!(Compute::fp32(Device::Cpu).images(&images).unwrap().stride(), images.stride());
    }
}
