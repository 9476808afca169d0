//! An [`Index`] + a [`Pipeline`] + an epoch → a stream of [`Batch`]es, decoded by threads of this
//! process.
//!
//! A batch is a function of the index, the pipeline, the options, the epoch and its number, and of
//! nothing else: the order is a permutation drawn from (seed, epoch), a sample's augmentation is
//! drawn from (seed, epoch, index). So batches are the same for any number of workers,
//! and an epoch can be entered at any batch at no cost.
//!
//! Each worker decodes straight into its samples' slots of a batch buffer. Buffers are reused; at
//! most a few batches (see [`LoaderOptions::num_workers`]) are under way at a time, so memory stays
//! bounded however slow the consumer is.

mod ahead;
mod batch;
mod cache;
mod composition;
mod memory;
mod mix;
mod odd;
mod order;
mod plan;
mod pool;
mod renormalize;
mod skipped;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ml_data::dataset::Index;
use ml_data::decode::DecodeError;
use ml_data::transform::Pipeline;
use tch::{Device, Tensor};

use batch::{Destination, Overwritten, Packed};
use memory::Memory;
use odd::OddOnce;
use plan::{Plan, Remark};
use pool::Pool;
use skipped::Skipped;

use crate::distributed::Share;
use crate::torch_error::TorchError;

pub use ahead::DeviceBatches;
pub use batch::{Batch, DeviceBatch};
pub use cache::{Budget, Cache, CacheError, CacheKind, Caches};
pub use composition::{BatchSamples, Composition};
pub use order::{BalancedConfig, Order, SamplingConfig, ShuffleConfig, WeightedConfig};
pub use renormalize::Renormalize;
pub use skipped::{OnError, Unreadable};

/// How a [`Loader`] makes batches. Only `num_workers` and `device` do not change them.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// Samples a batch, at least 1 (0 is taken as 1).
    pub batch_size: usize,
    /// Threads; 0 decodes in the caller's thread, when the batch is requested. With threads, two
    /// batches are prepared ahead, or more if it takes more to give every thread two samples, as
    /// long as they fit into 1 GiB.
    pub num_workers: usize,
    /// The order of the samples.
    pub order: Order,
    /// Seed of the augmentations (they are a function of seed, epoch, sample and view).
    pub seed: u64,
    /// Views of each sample, 1 to 255 (0 is taken as 1): with several, the first is clean and each of
    /// the others augmented for itself (see [`Pipeline::before_views`]). Not for pipelines that mix
    /// images, nor for images of more than RGB bytes.
    pub views: usize,
    /// Leaves out the last batch of an epoch if it is not full.
    pub drop_last: bool,
    /// What happens when an image cannot be read.
    pub unreadable: Unreadable,
    /// Classes of the data set: the length of soft targets, where the pipeline mixes images, and of
    /// the labels, where an image may have several.
    pub num_classes: usize,
    /// Which batches are made, where several processes share them; none makes all.
    pub share: Option<Share>,
    /// Where batches are to go. CUDA must be loaded for a CUDA device: batches wait in pinned
    /// memory for it.
    pub device: Device,
}

impl LoaderOptions {
    /// The samples in the index's order, for evaluation on `device`.
    pub fn sequential(batch_size: usize, num_workers: usize, device: Device) -> LoaderOptions {
        LoaderOptions {
            batch_size,
            num_workers,
            order: Order::Sequential,
            seed: 0,
            views: 1,
            drop_last: false,
            unreadable: Unreadable::Fail,
            num_classes: 0,
            share: None,
            device,
        }
    }
}

/// Why there is no batch. Those that concern an image name it.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// An image cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The pipeline gives images of different sizes, see
    /// [`TransformConfig::problems`](ml_data::transform::TransformConfig::problems).
    #[error("the transforms leave images at different sizes; set `resize: [height, width]` or a crop")]
    NoCommonSize,
    /// A transform failed, which is a defect of this program.
    #[error("transforming image {} failed: {reason}", path.display())]
    Transform {
        /// The image.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// A batch does not fit into memory.
    #[error(
        "no memory for a batch of {batch_size} images of {height} x {width} ({reason}); lower --batch_size \
         (training.batch_size)"
    )]
    Memory {
        /// Samples a batch.
        batch_size: usize,
        /// Of an image, in pixels.
        height: u32,
        /// Of an image, in pixels.
        width: u32,
        /// The allocator's answer.
        reason: String,
    },
    /// Too many images cannot be read.
    #[error(
        "{count} images cannot be read, more than the {limit} that data.max_skipped allows; the last: {last}; run `ml-split check` on the folder"
    )]
    TooManySkipped {
        /// So far.
        count: usize,
        /// Allowed.
        limit: usize,
        /// About the last one.
        last: String,
    },
    /// No image can stand in for one that cannot be read.
    #[error("{error}; nor can {tries} images of its class (number {class}) that were tried in its stead")]
    NoReplacement {
        /// Images that were tried.
        tries: usize,
        /// The class's number.
        class: u32,
        /// About the image itself.
        error: DecodeError,
    },
    /// What another process says of its image.
    #[error("{0}")]
    Elsewhere(String),
    /// libtorch cannot make the tensor.
    #[error("a batch cannot be made: {0}")]
    Tensor(String),
    /// The device does not take it.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// Makes the batches of one split, epoch by epoch.
pub struct Loader {
    index: Arc<Index>,
    pipeline: Arc<Pipeline>,
    cache: Option<Arc<Cache>>,
    options: LoaderOptions,
    destination: Rc<Destination>,
    skipped: Rc<Skipped>,
    odd: Rc<OddOnce>,
}

impl Loader {
    /// A loader for `index`; `pipeline` must have an
    /// [`output_size`](ml_data::transform::Pipeline::output_size), or each epoch begins with
    /// [`LoaderError::NoCommonSize`].
    pub fn new(index: Arc<Index>, pipeline: Arc<Pipeline>, options: LoaderOptions) -> Loader {
        let (batch_size, views) = (options.batch_size.max(1), options.views.max(1));
        let options = LoaderOptions { batch_size, views, ..options };
        let soft = (pipeline.mixes() && index.label_sets.is_none()).then_some(options.num_classes);
        let destination = Rc::new(Destination::new(options.device, &pipeline, soft));
        Loader {
            index,
            pipeline,
            cache: None,
            options,
            destination,
            skipped: Rc::default(),
            odd: Rc::default(),
        }
    }

    /// The same with batches that cross to their device as bytes, as on the way to a GPU.
    #[cfg(test)]
    fn sending_bytes(self) -> Loader {
        let mixes = self.pipeline.mixes() && self.index.label_sets.is_none();
        let soft = mixes.then_some(self.options.num_classes);
        let to = Destination::with_bytes(self.options.device, &self.pipeline, soft, true);
        Loader { destination: Rc::new(to), ..self }
    }

    /// The class of a sample of the index.
    ///
    /// # Panics
    /// There is no such sample.
    pub fn class_of(&self, sample: usize) -> usize {
        self.index.samples[sample].class as usize
    }

    /// The same for images that were loaded before: those that cannot be read are left out, and
    /// nothing is said of any.
    #[must_use]
    pub fn without_remarks(mut self) -> Loader {
        self.options.unreadable = Unreadable::Tell;
        Loader { odd: Rc::new(OddOnce::silent()), ..self }
    }

    /// The same with a cache, if there is one: that which [`Caches::for_preparation`] gives for
    /// this index and this pipeline.
    #[must_use]
    pub fn with_cache(self, cache: Option<Arc<Cache>>) -> Loader {
        Loader { cache, ..self }
    }

    /// Batches an epoch, of all processes.
    pub fn num_batches(&self) -> usize {
        let batches = self.num_samples().div_ceil(self.options.batch_size);
        self.options.share.map_or(batches, |share| share.taken(batches))
    }

    /// Samples an epoch, of all processes; without those that `drop_last` leaves out.
    pub fn num_samples(&self) -> usize {
        let all = self.index.samples.len();
        if self.options.drop_last { all - all % self.options.batch_size } else { all }
    }

    /// The batches of `epoch` from batch number `first` on, or those of them that are this process's
    /// share. Nothing is decoded for those before.
    /// Workers start at once, and are stopped and joined when the stream ends or is dropped.
    pub fn epoch(&self, epoch: u64, first: usize) -> Batches {
        let Some(size) = self.pipeline.output_size() else {
            let failed = Some(LoaderError::NoCommonSize);
            return Batches { stream: None, failed, waited: Duration::ZERO };
        };
        let (plan, first) = Plan::new(self, size, epoch, first);
        let plan = Arc::new(plan);
        let left = plan.num_batches().saturating_sub(first);
        let pool = if left == 0 { None } else { Pool::start(&plan, first, self.options.num_workers) };
        let here = || Source::Here(Memory::new(plan.layout()));
        let stream = Stream {
            next: first,
            source: pool.map_or_else(here, Source::Threads),
            plan,
            views: self.options.views,
            destination: Rc::clone(&self.destination),
            skipped: Rc::clone(&self.skipped),
            odd: Rc::clone(&self.odd),
        };
        Batches { stream: Some(stream), failed: None, waited: Duration::ZERO }
    }
}

/// The batches of one epoch, made by [`Loader::epoch`]. An error ends it.
pub struct Batches {
    /// None at the end.
    stream: Option<Stream>,
    /// What `next` is to report first.
    failed: Option<LoaderError>,
    waited: Duration,
}

struct Stream {
    plan: Arc<Plan>,
    /// Number of the batch to be given next.
    next: usize,
    source: Source,
    /// Of each sample.
    views: usize,
    destination: Rc<Destination>,
    skipped: Rc<Skipped>,
    odd: Rc<OddOnce>,
}

enum Source {
    /// The caller's thread.
    Here(Memory),
    Threads(Pool),
}

impl Batches {
    /// How long `next` has waited for images so far. Without workers that is all the time it took
    /// to decode them.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The classes of the samples in each of these batches of the epoch, whosever share they are.
    /// Waits for no image.
    pub fn targets_of(&self, batches: Range<usize>) -> Vec<Vec<i64>> {
        self.stream.as_ref().map_or_else(Vec::new, |stream| stream.plan.targets_of(batches))
    }

    /// The batches on the loader's device. Where that is a GPU, each is sent, on a stream of its
    /// own, while the one before is computed with.
    pub fn on_device(self) -> DeviceBatches {
        let plan = self.stream.as_ref().map(|stream| Arc::clone(&stream.plan));
        DeviceBatches::new(self, plan)
    }

    fn crosses_a_bus(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.destination.is_remote())
    }

    /// Whether `next` would not wait.
    fn is_ready(&self) -> bool {
        match self.stream.as_ref().map(|stream| &stream.source) {
            Some(Source::Threads(pool)) => pool.is_ready(),
            Some(Source::Here(_)) => false,
            None => true,
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let stream = self.stream.as_mut()?;
        if stream.next >= stream.plan.num_batches() {
            self.stream = None;
            return None;
        }
        let asked = Instant::now();
        let filled = stream.fill();
        self.waited += asked.elapsed();
        let batch = filled.and_then(|(images, remarks)| stream.deliver(&images, remarks));
        if batch.is_err() || stream.next >= stream.plan.num_batches() {
            // Joins the workers now rather than when the caller lets go of the stream.
            self.stream = None;
        }
        match batch {
            // All its images were left out.
            Ok(batch) if batch.indices.is_empty() && batch.unreadable.is_empty() => self.next(),
            batch => Some(batch),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.stream.as_ref().map_or(0, |s| s.plan.num_batches().saturating_sub(s.next));
        // An error cuts the stream short, but comes itself as an item.
        (usize::from(left > 0 || self.failed.is_some()), Some(left.max(usize::from(self.failed.is_some()))))
    }
}

impl Stream {
    /// The memory of batch `self.next`, all samples in place, and remarks on samples by position.
    fn fill(&mut self) -> Result<(Tensor, Vec<(usize, Remark)>), LoaderError> {
        let memory = match &mut self.source {
            Source::Threads(pool) => return pool.wait_for(self.next),
            Source::Here(memory) => memory,
        };
        let mut slots = memory.take()?;
        let mut all_remarks = Vec::new();
        for position in self.plan.samples_of(self.next) {
            let remarks =
                self.plan.make_sample(position, slots.take(self.plan.sample_bytes()).bytes_mut())?;
            all_remarks.extend(remarks.into_iter().map(|remark| (position, remark)));
        }
        Ok((memory.finish(slots)?, all_remarks))
    }

    /// Batch `self.next`, without the images that are to be left out.
    fn deliver(&mut self, memory: &Tensor, remarks: Vec<(usize, Remark)>) -> Result<Batch, LoaderError> {
        let number = self.next;
        let positions = self.plan.samples_of(number);
        let targets = self.plan.classes_of(number);
        self.next += 1;
        let (mut left_out, mut erasures, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for (position, remark) in remarks {
            match (remark, self.plan.unreadable()) {
                (Remark::Bad(_, error), Unreadable::Fail | Unreadable::Tell) => return Err(error.into()),
                (Remark::Bad(index, error), Unreadable::Replace { limit }) => {
                    self.skipped.note(index, &error, limit)?;
                }
                (Remark::Bad(index, error), Unreadable::LeaveOut { limit }) => {
                    self.skipped.note(index, &error, limit)?;
                    left_out.push(position);
                }
                (Remark::Odd(place, oddity), _) => {
                    let index = self.plan.index();
                    self.odd.note(&index.root.join(&index.samples[place].path), oddity);
                }
                (Remark::Untold(error), _) => {
                    unreadable.push((self.plan.index_of(position), error));
                    left_out.push(position);
                }
                (Remark::Erase(view, erasure, noise), _) => {
                    // The row in its view, counting those that are left.
                    let row = position - positions.start - left_out.len();
                    erasures.push((view, Overwritten { row, erasure, noise }));
                }
            }
        }
        let kept = |position: &usize| !left_out.contains(position);
        let views = self.views;
        let in_view = positions.len() - left_out.len();
        let moved = |(view, one): (usize, Overwritten)| Overwritten { row: one.row + view * in_view, ..one };
        let erasures = erasures.into_iter().map(moved).collect();
        let tensor_error = |error: tch::TchError| LoaderError::Tensor(torch_ext::first_line(&error));
        let layout = self.plan.layout();
        let packed = layout.is_remote.then(|| {
            let shape = layout.shape(positions.len());
            Packed::new(memory.shallow_clone(), shape, layout.targets_at(), &targets)
        });
        let mut packed = packed.transpose().map_err(tensor_error)?;
        let (mut images, mut targets) = match &packed {
            Some(packed) => packed.parts().map_err(tensor_error)?,
            None => (
                memory.f_narrow(0, 0, (positions.len() * views) as i64).map_err(tensor_error)?,
                Tensor::f_from_slice(&targets).map_err(tensor_error)?,
            ),
        };
        if !left_out.is_empty() {
            packed = None;
            let row = |position| (position - positions.start) as i64;
            let rows: Vec<i64> = positions.clone().filter(kept).map(row).collect();
            let of_views = |row: &i64| {
                let first = row * views as i64;
                first..first + views as i64
            };
            let of_images: Vec<i64> = rows.iter().flat_map(of_views).collect();
            for (tensor, rows) in [(&mut images, &of_images), (&mut targets, &rows)] {
                let rows = Tensor::f_from_slice(rows).map_err(tensor_error)?;
                *tensor = tensor.f_index_select(0, &rows).map_err(tensor_error)?;
            }
        }
        let indices: Vec<usize> =
            positions.filter(kept).map(|position| self.plan.index_of(position)).collect();
        let labels = self.plan.labels_of(&indices);
        let labels = labels.map(|(values, shape)| Tensor::f_from_slice(&values)?.f_view(shape));
        let labels = labels.transpose().map_err(tensor_error)?;
        let mix = self.plan.mix(number, indices.len());
        let destination = Rc::clone(&self.destination);
        Ok(Batch { images, targets, labels, indices, unreadable, packed, views, destination, erasures, mix })
    }
}
