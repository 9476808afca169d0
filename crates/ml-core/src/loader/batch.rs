//! What a network takes: [`Batch`] in host memory → [`DeviceBatch`] on the device.

use std::rc::Rc;

use ml_data::geometry::Area;
use ml_data::transform::{Erasure, Fill, Mix, Pipeline};
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
    /// What makes normalised values of bytes, on a CUDA device.
    normalize: Option<Normalize>,
    /// Of soft targets, where images are mixed.
    num_classes: Option<usize>,
}

impl Destination {
    pub(super) fn new(device: Device, pipeline: &Pipeline, num_classes: Option<usize>) -> Destination {
        let normalize = device.is_cuda().then(|| {
            let (mean, std) = pipeline.normalization();
            Normalize::new(&mean, &std, device)
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
        if let Some(normalize) = normalize {
            images = normalize.apply(&images);
        }
        erase(&images, &self.erasures);
        let targets = sent(&self.targets, *device);
        DeviceBatch {
            soft_targets: num_classes.map(|count| mix::probabilities(self.mix, &targets, count)),
            targets: mix::main_targets(self.mix, targets),
            images: mix::images(self.mix, images),
            indices: self.indices,
        }
    }
}

/// `(x / 255 - mean) / std` as one multiplication and one addition.
#[derive(Debug)]
struct Normalize {
    /// `1 / (255 std)`, `[C, 1, 1]` f32, rounded once from float64.
    scale: Tensor,
    /// `-mean / std`, likewise.
    shift: Tensor,
}

impl Normalize {
    fn new(mean: &[f64], std: &[f64], device: Device) -> Normalize {
        let column = |value: &dyn Fn((&f64, &f64)) -> f64| {
            let values: Vec<f64> = mean.iter().zip(std).map(value).collect();
            Tensor::from_slice(&values).to_kind(Kind::Float).view([-1, 1, 1]).to_device(device)
        };
        Normalize {
            scale: column(&|(_, std)| 1.0 / (255.0 * std)),
            shift: column(&|(mean, std)| -mean / std),
        }
    }

    /// `[N, H, W, C]` u8 → `[N, C, H, W]` f32, whose channels stay innermost in memory. Values differ
    /// from those that the CPU normalises by their rounding alone.
    fn apply(&self, images: &Tensor) -> Tensor {
        self.shift.addcmul(&images.permute([0, 3, 1, 2]).to_kind(Kind::Float), &self.scale)
    }
}

/// On `device`; where that is another one, the host does not wait for the copy.
fn sent(tensor: &Tensor, device: Device) -> Tensor {
    if device.is_cuda() {
        tensor.pin_memory(device).to_device_(device, tensor.kind(), true, false)
    } else {
        tensor.shallow_clone()
    }
}

/// Overwrites rectangles of `images` `[N, C, H, W]` f32 on any device, by row. Noise crosses to the
/// device at once for all rectangles, constants do not cross.
fn erase(images: &Tensor, erasures: &[(usize, Erasure)]) {
    let channels = images.size()[1];
    let part = |row: usize, area: Area| {
        let image = images.get(row as i64);
        let rows = image.narrow(1, i64::from(area.top), i64::from(area.size.height));
        rows.narrow(2, i64::from(area.left), i64::from(area.size.width))
    };
    let mut noise: Vec<f32> = Vec::new();
    let mut noisy: Vec<Tensor> = Vec::new();
    for (row, erasure) in erasures {
        let part = part(*row, erasure.area);
        match erasure.fill {
            Fill::Values(values) => {
                for (channel, value) in (0..channels).zip(values) {
                    let _ = part.get(channel).fill_(f64::from(value));
                }
            }
            Fill::Noise { .. } => {
                noise.extend(erasure.values(channels as usize));
                noisy.push(part);
            }
        }
    }
    if noisy.is_empty() {
        return;
    }
    let noise = sent(&Tensor::from_slice(&noise), images.device());
    let mut first = 0;
    for mut part in noisy {
        let shape = part.size();
        let count: i64 = shape.iter().product();
        part.copy_(&noise.narrow(0, first, count).view(shape.as_slice()));
        first += count;
    }
}

#[cfg(test)]
mod tests {
    use ml_data::geometry::Size;

    use super::*;

    #[test]
    fn bytes_are_normalised_as_the_cpu_does_it() {
        let bytes = Tensor::arange(2 * 5 * 7 * 3, (Kind::Int64, Device::Cpu)).remainder(256);
        let images = bytes.view([2, 5, 7, 3]).to_kind(Kind::Uint8);
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let ours = Normalize::new(&mean, &std, Device::Cpu).apply(&images);
        assert_eq!(ours.size(), [2, 3, 5, 7]);
        assert_eq!(ours.stride(), [105, 1, 21, 3]);
        let column = |values: [f64; 3]| Tensor::from_slice(&values).view([3, 1, 1]);
        let exact = (images.permute([0, 3, 1, 2]).to_kind(Kind::Double) / 255.0 - column(mean)) / column(std);
        let difference = (&ours.to_kind(Kind::Double) - exact).abs().max().double_value(&[]);
        // Values are below 3: two roundings of f32.
        assert!(difference < 5e-7, "{difference}");
    }

    #[test]
    fn rectangles_get_their_own_values() {
        let area = |top, left| Area { top, left, size: Size { height: 2, width: 3 } };
        let erasures = [
            (0, Erasure { area: area(1, 0), fill: Fill::Noise { seed: 3 } }),
            (1, Erasure { area: area(0, 2), fill: Fill::Values([1.0, 2.0, 3.0]) }),
            (1, Erasure { area: area(3, 4), fill: Fill::Noise { seed: 4 } }),
        ];
        let images = Tensor::zeros([2, 3, 5, 7], (Kind::Float, Device::Cpu));
        erase(&images, &erasures);
        let mut wanted = vec![0f32; 2 * 3 * 5 * 7];
        for (row, Erasure { area, .. }) in &erasures {
            let erasure =
                erasures.iter().find(|(other, erasure)| other == row && erasure.area == *area).unwrap().1;
            for (number, value) in erasure.values(3).into_iter().enumerate() {
                let (channel, y, x) = (number / 6, number % 6 / 3, number % 3);
                let place = ((row * 3 + channel) * 5 + area.top as usize + y) * 7 + area.left as usize + x;
                wanted[place] = value;
            }
        }
        assert!(images.equal(&Tensor::from_slice(&wanted).view([2, 3, 5, 7])));
    }
}
