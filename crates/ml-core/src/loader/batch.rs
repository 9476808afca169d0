//! What a network takes: [`Batch`] in host memory → [`DeviceBatch`] on the device.

use std::rc::Rc;

use ml_data::geometry::Area;
use ml_data::transform::{Erasure, Mix, Pipeline};
use tch::{Device, Kind, Tensor};

use super::{LoaderError, mix};

/// Images and their classes, in host memory.
#[derive(Debug)]
pub struct Batch {
    /// `[N, C, H, W]`, f32, normalised; or, on the way to CUDA, `[N, H, W, C]`, u8, in pinned
    /// memory, a quarter of the bytes: [`Batch::to_device`] normalises them there.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`.
    pub targets: Tensor,
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
    /// Under [`Unreadable::Tell`](super::Unreadable::Tell), the places of those that were left out,
    /// in order, and why.
    pub unreadable: Vec<(usize, LoaderError)>,
    pub(super) destination: Rc<Destination>,
    /// Rectangles to be overwritten once the images are normalised, by row.
    pub(super) erasures: Vec<(usize, Erasure)>,
    /// What mixup or cutmix does to this batch.
    pub(super) mix: Option<Mix>,
}

/// A batch on its device.
#[derive(Debug)]
pub struct DeviceBatch {
    /// `[N, C, H, W]`, f32, normalised.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`; of mixed images the class with the larger share.
    pub targets: Tensor,
    /// `[N, K]`, f32, probabilities; where images are mixed: none else.
    pub soft_targets: Option<Tensor>,
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
}

/// Where batches go, and what is left to do there.
#[derive(Debug)]
pub(super) struct Destination {
    device: Device,
    /// Mean and standard deviation, `[C, 1, 1]` f32, on a CUDA device.
    normalize: Option<(Tensor, Tensor)>,
    /// Of soft targets, where images are mixed.
    num_classes: Option<usize>,
}

impl Destination {
    pub(super) fn new(device: Device, pipeline: &Pipeline, num_classes: Option<usize>) -> Destination {
        let normalize = device.is_cuda().then(|| {
            let column = |values: &[f64]| {
                Tensor::from_slice(values).to_kind(Kind::Float).view([-1, 1, 1]).to_device(device)
            };
            let (mean, std) = pipeline.normalization();
            (column(&mean), column(&std))
        });
        Destination { device, normalize, num_classes }
    }

    /// Whether batches cross a bus, as bytes, from pinned memory.
    pub(super) fn is_remote(&self) -> bool {
        self.normalize.is_some()
    }
}

impl Batch {
    /// The batch on the device that the loader was made for, without waiting for the copy; mixed,
    /// if the loader mixes.
    pub fn to_device(self) -> DeviceBatch {
        let Destination { device, normalize, num_classes } = &*self.destination;
        let mut images = self.images.to_device_(*device, self.images.kind(), true, false);
        if let Some((mean, std)) = normalize {
            // The same operations as on the CPU, in the same order.
            images = images.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 255.0;
            images = ((images - mean) / std).contiguous();
        }
        for (row, erasure) in &self.erasures {
            erase(&images.get(*row as i64), erasure);
        }
        let targets = self.targets.to_device(*device);
        DeviceBatch {
            soft_targets: num_classes.map(|count| mix::probabilities(self.mix, &targets, count)),
            targets: mix::main_targets(self.mix, targets),
            images: mix::images(self.mix, images),
            indices: self.indices,
        }
    }
}

/// Overwrites a rectangle of one image, `[C, H, W]` f32 on any device.
fn erase(image: &Tensor, erasure: &Erasure) {
    let Area { top, left, size } = erasure.area;
    let channels = image.size()[0];
    let shape = [channels, i64::from(size.height), i64::from(size.width)];
    let values = Tensor::from_slice(&erasure.values(channels as usize)).view(shape);
    let rows = image.narrow(1, i64::from(top), shape[1]);
    rows.narrow(2, i64::from(left), shape[2]).copy_(&values.to_device(image.device()));
}
