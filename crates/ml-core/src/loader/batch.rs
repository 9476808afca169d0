//! What a network takes: [`Batch`] in host memory → [`DeviceBatch`] on the device.

use std::rc::Rc;

use ml_data::geometry::Area;
use ml_data::transform::{Erasure, Fill, Mix, Pipeline};
use tch::{Device, Kind, Tensor};
use torch_ext::{CopyStream, HostBuffers, Sent};

use super::{LoaderError, mix};
use crate::torch_error::{TorchError, catch_torch_panic};

/// Images and their classes, in host memory.
#[derive(Debug)]
pub struct Batch {
    /// `[N, C, H, W]`, f32, normalised; or, on the way to CUDA, `[N, H, W, C]`, u8, in pinned
    /// memory, a quarter of the bytes: they are normalised there. With V views of each sample those of
    /// a sample come one after another, `N · V` images in all.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`.
    pub targets: Tensor,
    /// `[N, K]`, f32, 0 or 1, where an image may have several labels; `targets` say nothing then.
    pub labels: Option<Tensor>,
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
    /// Under [`Unreadable::Tell`](super::Unreadable::Tell), the places of those that were left out,
    /// in order, and why.
    pub unreadable: Vec<(usize, LoaderError)>,
    /// The memory that `images` and `targets` lie in, where it crosses the bus as a whole.
    pub(super) packed: Option<Packed>,
    /// Images of each sample.
    pub(super) views: usize,
    pub(super) destination: Rc<Destination>,
    /// Rectangles to be overwritten once the images are normalised, by row, with noise where that
    /// is what is written.
    pub(super) erasures: Vec<Overwritten>,
    /// What mixup or cutmix does to this batch.
    pub(super) mix: Option<Mix>,
}

/// A rectangle of an image to be overwritten.
#[derive(Debug)]
pub(super) struct Overwritten {
    /// The image's place in the batch on its device.
    pub row: usize,
    pub erasure: Erasure,
    /// `[C, h, w]` f32 as bytes in the machine's order, of noise alone.
    pub noise: Vec<u8>,
}

/// A batch on its device.
#[derive(Debug)]
pub struct DeviceBatch {
    /// `[N, C, H, W]`, f32, normalised. With V views of each sample, `N · V` images: first the clean
    /// views of all samples, then their second views, and so on.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`; of mixed images the class with the larger share.
    pub targets: Tensor,
    /// `[N, K]`, f32, probabilities; where images are mixed: none else.
    pub soft_targets: Option<Tensor>,
    /// `[N, K]`, f32, where an image may have several labels: 0 or 1, of mixed images the sum of
    /// both, weighted with their shares. `targets` say nothing then.
    pub labels: Option<Tensor>,
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
    /// As [`Batch::unreadable`].
    pub unreadable: Vec<(usize, LoaderError)>,
}

/// Images and targets in one piece of memory.
#[derive(Debug)]
pub(super) struct Packed {
    /// `[B]`, u8.
    bytes: Tensor,
    /// Of the images, `[N, H, W, C]`.
    shape: [i64; 4],
    num_targets: i64,
    /// Of the targets in `bytes`, a multiple of 8.
    targets_at: usize,
}

impl Packed {
    /// The memory of a batch, whose targets are written into it.
    pub(super) fn new(
        bytes: Tensor,
        shape: [i64; 4],
        targets_at: usize,
        targets: &[i64],
    ) -> Result<Packed, tch::TchError> {
        let packed = Packed { bytes, shape, num_targets: targets.len() as i64, targets_at };
        let (_, mut place) = packed.parts()?;
        place.f_copy_(&Tensor::f_from_slice(targets)?)?;
        Ok(packed)
    }

    /// Images `[N, H, W, C]` u8 and targets `[N]` i64, without a copy.
    pub(super) fn parts(&self) -> Result<(Tensor, Tensor), tch::TchError> {
        let Packed { bytes, shape, num_targets, targets_at } = self;
        let images = bytes.f_narrow(0, 0, shape.iter().product())?.f_view(shape.as_slice())?;
        let targets = bytes.f_narrow(0, *targets_at as i64, 8 * num_targets)?.f_view_dtype(Kind::Int64)?;
        Ok((images, targets))
    }
}

/// Where batches go, and what is left to do there.
#[derive(Debug)]
pub(super) struct Destination {
    device: Device,
    /// What makes normalised values of bytes, where bytes are sent.
    normalize: Option<Normalize>,
    /// Of soft targets, where images are mixed.
    num_classes: Option<usize>,
    stream: CopyStream,
}

impl Destination {
    /// Bytes are sent to CUDA devices, if images are no more than that.
    pub(super) fn new(device: Device, pipeline: &Pipeline, num_classes: Option<usize>) -> Destination {
        Destination::with_bytes(device, pipeline, num_classes, device.is_cuda() && !pipeline.is_deep())
    }

    /// As for a GPU, if `bytes`.
    pub(super) fn with_bytes(
        device: Device,
        pipeline: &Pipeline,
        num_classes: Option<usize>,
        bytes: bool,
    ) -> Destination {
        let normalize = bytes.then(|| {
            let (mean, std) = pipeline.normalization();
            Normalize::new(&mean, &std, device)
        });
        Destination { device, normalize, num_classes, stream: CopyStream::new(device) }
    }

    /// Whether batches cross a bus, as bytes.
    pub(super) fn is_remote(&self) -> bool {
        self.normalize.is_some()
    }

    /// Whether they wait for that in pinned memory.
    pub(super) fn is_pinned(&self) -> bool {
        self.device.is_cuda()
    }
}

/// A batch on its way to its device.
#[derive(Debug)]
pub(super) struct SentBatch {
    pixels: SentPixels,
    /// `[n]` f32: what is written into rectangles, one after the other.
    noise: Option<Sent>,
    labels: Option<Sent>,
    /// The rest of it: its tensors are still in host memory.
    batch: Batch,
}

#[derive(Debug)]
enum SentPixels {
    /// Images and targets in one, and where they lie in it.
    Packed(Sent, Packed),
    Apart(Sent, Sent),
}

impl Batch {
    /// Begins to send it, on a stream beside that of the computations.
    pub(super) fn send(mut self) -> Result<SentBatch, TorchError> {
        let to = &self.destination.stream;
        let noise = noise(&self.erasures, self.destination.is_pinned())?;
        let noise = noise.map(|noise| to.send(&noise)).transpose()?;
        let labels = self.labels.take().map(|labels| to.send(&labels)).transpose()?;
        let pixels = match self.packed.take() {
            Some(packed) => SentPixels::Packed(to.send(&packed.bytes)?, packed),
            None => SentPixels::Apart(to.send(&self.images)?, to.send(&self.targets)?),
        };
        Ok(SentBatch { pixels, noise, labels, batch: self })
    }
}

impl SentBatch {
    /// The batch on its device, normalised, and erased and mixed, if the loader does that. Nothing
    /// is waited for.
    pub(super) fn receive(self) -> Result<DeviceBatch, TorchError> {
        let SentBatch { pixels, noise, labels, batch } = self;
        let Batch { indices, unreadable, destination, erasures, mix, views, .. } = batch;
        let tensor = |sent: Sent| sent.receive().map_err(TorchError::from);
        let (images, targets) = match pixels {
            SentPixels::Packed(sent, packed) => {
                let there = Packed { bytes: tensor(sent)?, ..packed };
                there.parts().map_err(torch_ext::Error::from)?
            }
            SentPixels::Apart(images, targets) => (tensor(images)?, tensor(targets)?),
        };
        let noise = noise.map(tensor).transpose()?;
        let labels = labels.map(tensor).transpose()?;
        catch_torch_panic(|| {
            let images = by_view(images, views);
            let images = match &destination.normalize {
                Some(normalize) => normalize.apply(&images),
                None => images,
            };
            erase(&images, &erasures, noise.as_ref());
            DeviceBatch {
                labels: labels.map(|labels| mix::weighted(mix, &labels)),
                soft_targets: destination.num_classes.map(|count| mix::probabilities(mix, &targets, count)),
                targets: mix::main_targets(mix, targets),
                images: mix::images(mix, images),
                indices,
                unreadable,
            }
        })
    }
}

/// `[N · V, …]`, the V views of each sample one after another → the first views of all samples, then
/// their second views, and so on.
fn by_view(images: Tensor, views: usize) -> Tensor {
    if views == 1 {
        return images;
    }
    let size = images.size();
    let mut apart = vec![size[0] / views as i64, views as i64];
    apart.extend(&size[1..]);
    images.view(apart.as_slice()).transpose(0, 1).reshape(size.as_slice())
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

/// The noise of all rectangles, one after the other, `[n]` f32 in memory that it is sent from as it
/// is; none where nothing is written but constants.
fn noise(erasures: &[Overwritten], is_pinned: bool) -> Result<Option<Tensor>, TorchError> {
    let bytes: usize = erasures.iter().map(|one| one.noise.len()).sum();
    if bytes == 0 {
        return Ok(None);
    }
    let shape = [bytes as i64];
    let mut memory =
        if is_pinned { HostBuffers::pinned(&shape) } else { HostBuffers::new(&shape, Kind::Uint8) }?;
    for Overwritten { noise, .. } in erasures {
        memory.take(noise.len()).write(noise);
    }
    let unfinished = |_| TorchError::Other("a part of a batch's noise is still being written".to_owned());
    let noise = memory.finish().map_err(unfinished)?;
    Ok(Some(noise.f_view_dtype(Kind::Float).map_err(torch_ext::Error::from)?))
}

/// Overwrites rectangles of `images` `[N, C, H, W]` f32 on any device; `noise` has the values of
/// those with noise, one after the other, on the same device.
fn erase(images: &Tensor, erasures: &[Overwritten], noise: Option<&Tensor>) {
    let channels = images.size()[1];
    let mut first = 0;
    for Overwritten { row, erasure, .. } in erasures {
        let mut part = part(images, *row, erasure.area);
        match (erasure.fill, noise) {
            (Fill::Noise { .. }, Some(noise)) => {
                let shape = part.size();
                let count: i64 = shape.iter().product();
                part.copy_(&noise.narrow(0, first, count).view(shape.as_slice()));
                first += count;
            }
            // Its noise was written by the thread that made the image.
            (Fill::Noise { .. }, None) => {}
            (Fill::Values(values), _) => {
                for (channel, value) in (0..channels).zip(values) {
                    let _ = part.get(channel).fill_(f64::from(value));
                }
            }
        }
    }
}

/// A rectangle of one image of `[N, C, H, W]`, `[C, h, w]`.
fn part(images: &Tensor, row: usize, area: Area) -> Tensor {
    let image = images.get(row as i64);
    let rows = image.narrow(1, i64::from(area.top), i64::from(area.size.height));
    rows.narrow(2, i64::from(area.left), i64::from(area.size.width))
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
        let overwritten = |row, area, fill| {
            let erasure = Erasure { area, fill };
            let values = if matches!(fill, Fill::Noise { .. }) { erasure.values(3) } else { Vec::new() };
            let noise = values.into_iter().flat_map(f32::to_ne_bytes).collect();
            Overwritten { row, erasure, noise }
        };
        let erasures = [
            overwritten(0, area(1, 0), Fill::Noise { seed: 3 }),
            overwritten(1, area(0, 2), Fill::Values([1.0, 2.0, 3.0])),
            overwritten(1, area(3, 4), Fill::Noise { seed: 4 }),
        ];
        let images = Tensor::zeros([2, 3, 5, 7], (Kind::Float, Device::Cpu));
        let values = [0, 2].map(|number: usize| erasures[number].erasure.values(3)).concat();
        let sent = noise(&erasures, false).unwrap().unwrap();
        assert!(sent.equal(&Tensor::from_slice(&values)));
        assert!(noise(&erasures[1..2], false).unwrap().is_none(), "constants are not sent");
        erase(&images, &erasures, Some(&sent));
        let mut wanted = vec![0f32; 2 * 3 * 5 * 7];
        for Overwritten { row, erasure, .. } in &erasures {
            for (number, value) in erasure.values(3).into_iter().enumerate() {
                let (channel, y, x) = (number / 6, number % 6 / 3, number % 3);
                let Area { top, left, .. } = erasure.area;
                wanted[((row * 3 + channel) * 5 + top as usize + y) * 7 + left as usize + x] = value;
            }
        }
        assert!(images.equal(&Tensor::from_slice(&wanted).view([2, 3, 5, 7])));
    }
}
