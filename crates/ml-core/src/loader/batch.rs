//! What a network takes: [`Batch`] in host memory → [`Inputs`] on the device.

use std::rc::Rc;

use ml_data::transform::Pipeline;
use tch::{Device, Kind, Tensor};

/// Pictures and their classes, in host memory.
#[derive(Debug)]
pub struct Batch {
    /// `[N, C, H, W]`, f32, normalised; or, on the way to CUDA, `[N, H, W, C]`, u8, in pinned memory, a quarter of the
    /// bytes: [`Batch::to_device`] normalises them there.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`.
    pub targets: Tensor,
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
    pub(super) destination: Rc<Destination>,
}

/// A batch on its device.
#[derive(Debug)]
pub struct Inputs {
    /// `[N, C, H, W]`, f32, normalised.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`.
    pub targets: Tensor,
}

/// Where batches go, and what is left to do there.
#[derive(Debug)]
pub(super) struct Destination {
    device: Device,
    /// Mean and standard deviation, `[C, 1, 1]` f32, on a CUDA device.
    normalize: Option<(Tensor, Tensor)>,
}

impl Destination {
    pub(super) fn new(device: Device, pipeline: &Pipeline) -> Destination {
        let normalize = device.is_cuda().then(|| {
            let column = |values: &[f64]| {
                Tensor::from_slice(values).to_kind(Kind::Float).view([-1, 1, 1]).to_device(device)
            };
            let (mean, std) = pipeline.normalization();
            (column(&mean), column(&std))
        });
        Destination { device, normalize }
    }

    /// Whether batches cross a bus, as bytes, from pinned memory.
    pub(super) fn is_remote(&self) -> bool {
        self.normalize.is_some()
    }
}

impl Batch {
    /// The batch on the device that the loader was made for, without waiting for the copy.
    pub fn to_device(&self) -> Inputs {
        let Destination { device, normalize } = &*self.destination;
        let images = self.images.to_device_(*device, self.images.kind(), true, false);
        let images = match normalize {
            Some((mean, std)) => {
                // The same operations as on the CPU, in the same order.
                let images = images.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0;
                ((images - mean) / std).contiguous()
            }
            None => images,
        };
        Inputs { images, targets: self.targets.to_device(*device) }
    }
}
