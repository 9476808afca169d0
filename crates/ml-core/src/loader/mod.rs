//! An [`Index`] + a [`Pipeline`] + an epoch → a stream of [`Batch`]es, decoded by threads of this process.
//!
//! A batch is a function of the index, the pipeline, the options, the epoch and its number, and of nothing
//! else: the order is a permutation drawn from (seed, epoch), a sample's augmentation is drawn from (seed,
//! epoch, place in the index). So batches are the same for any number of workers, and an epoch can be
//! entered at any batch at no cost.
//!
//! Each worker decodes straight into its samples' slots of a batch buffer. Buffers are reused; at most
//! a few batches (see [`LoaderOptions::num_workers`]) are under way at a time, so memory stays bounded
//! however slow the consumer is.

mod buffer;
mod plan;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::TryReserveError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ml_data::dataset::Index;
use ml_data::decode::DecodeError;
use ml_data::transform::Pipeline;
use tch::{Kind, Tensor};

use buffer::BatchBuffer;
use plan::Plan;
use pool::Pool;

/// Pictures and their classes, as a network takes them.
#[derive(Debug)]
pub struct Batch {
    /// `[N, 3, H, W]`, f32, normalised, on the CPU.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`, on the CPU.
    pub targets: Tensor,
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
}

/// The order of the samples in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the index has them.
    Sequential,
    /// A permutation that is a function of seed and epoch.
    Shuffled {
        /// Of the permutations.
        seed: u64,
    },
}

/// How a [`Loader`] makes batches. Only `num_workers` does not change them.
#[derive(Clone, Copy, Debug)]
pub struct LoaderOptions {
    /// Samples a batch, at least 1 (0 is taken as 1).
    pub batch_size: usize,
    /// Threads; 0 decodes in the caller's thread, when the batch is asked for. With threads, two batches
    /// are prepared ahead, or more if it takes more to give every thread two samples, as long as they fit
    /// into 1 GiB.
    pub num_workers: usize,
    /// The order of the samples.
    pub order: Order,
    /// Seed of the augmentations (they are a function of seed, epoch and sample).
    pub seed: u64,
    /// Leaves out the last batch of an epoch if it is not full.
    pub drop_last: bool,
}

/// Why there is no batch. Those that concern a picture name it.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// A picture cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The pipeline gives pictures of different sizes, see
    /// [`TransformConfig::problems`](ml_data::transform::TransformConfig::problems).
    #[error("the transforms leave pictures at different sizes; set `resize: [height, width]` or a crop")]
    NoCommonSize,
    /// A transform failed, which is a defect of this program.
    #[error("transforming picture {} failed: {reason}", path.display())]
    Transform {
        /// The picture.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// A batch does not fit into memory.
    #[error(
        "no memory for a batch of {batch_size} pictures of {height} x {width}; lower `training.batch_size`"
    )]
    Memory {
        /// Samples a batch.
        batch_size: usize,
        /// Of a picture, in pixels.
        height: u32,
        /// Of a picture, in pixels.
        width: u32,
        /// The allocator's answer.
        source: TryReserveError,
    },
    /// libtorch cannot make the tensor.
    #[error("libtorch cannot make a batch: {0}")]
    Tensor(String),
}

/// Makes the batches of one split, epoch by epoch.
pub struct Loader {
    index: Arc<Index>,
    pipeline: Arc<Pipeline>,
    options: LoaderOptions,
}

impl Loader {
    /// A loader for `index`; `pipeline` must have an
    /// [`output_size`](ml_data::transform::Pipeline::output_size), or each epoch begins with
    /// [`LoaderError::NoCommonSize`].
    pub fn new(index: Arc<Index>, pipeline: Arc<Pipeline>, options: LoaderOptions) -> Loader {
        let options = LoaderOptions { batch_size: options.batch_size.max(1), ..options };
        Loader { index, pipeline, options }
    }

    /// Batches an epoch.
    pub fn num_batches(&self) -> usize {
        self.num_samples().div_ceil(self.options.batch_size)
    }

    /// Samples an epoch; without those that `drop_last` leaves out.
    pub fn num_samples(&self) -> usize {
        let all = self.index.samples.len();
        if self.options.drop_last { all - all % self.options.batch_size } else { all }
    }

    /// The batches of `epoch` from batch number `first` on. Nothing is decoded for those before. Workers
    /// start at once, and are stopped and joined when the stream ends or is dropped.
    pub fn epoch(&self, epoch: u64, first: usize) -> Batches {
        let Some(size) = self.pipeline.output_size() else {
            return Batches { stream: None, failed: Some(LoaderError::NoCommonSize), waited: Duration::ZERO };
        };
        let plan = Arc::new(Plan::new(
            Arc::clone(&self.index),
            Arc::clone(&self.pipeline),
            &self.options,
            self.num_samples(),
            size,
            epoch,
        ));
        let left = plan.num_batches().saturating_sub(first);
        let pool = if left == 0 { None } else { Pool::start(&plan, first, self.options.num_workers) };
        let source = pool.map_or(Source::Here(None), Source::Threads);
        Batches { stream: Some(Stream { plan, next: first, source }), failed: None, waited: Duration::ZERO }
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
}

enum Source {
    /// The caller's thread; the buffer of the batch before, for use again.
    Here(Option<BatchBuffer>),
    Threads(Pool),
}

impl Batches {
    /// How long `next` has waited for pictures so far. Without workers that is all the time it took to
    /// decode them.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The classes of the samples in each of the next `count` batches, fewer at the end of the epoch. Waits for no
    /// picture.
    pub fn next_targets(&self, count: usize) -> Vec<Vec<i64>> {
        let Some(Stream { plan, next, .. }) = &self.stream else { return Vec::new() };
        let last = next.saturating_add(count).min(plan.num_batches());
        (*next..last).map(|number| plan.classes_of(number)).collect()
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
        let batch = filled.and_then(|buffer| stream.deliver(buffer));
        if batch.is_err() || stream.next >= stream.plan.num_batches() {
            // Joins the workers now rather than when the caller lets go of the stream.
            self.stream = None;
        }
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.stream.as_ref().map_or(0, |s| s.plan.num_batches().saturating_sub(s.next));
        // An error cuts the stream short, but comes itself as an item.
        (usize::from(left > 0 || self.failed.is_some()), Some(left.max(usize::from(self.failed.is_some()))))
    }
}

impl Stream {
    /// The buffer of batch `self.next`, all samples in place.
    fn fill(&mut self) -> Result<BatchBuffer, LoaderError> {
        match &mut self.source {
            Source::Threads(pool) => pool.wait_for(self.next),
            Source::Here(buffer) => {
                let mut buffer = buffer.take().map_or_else(|| self.plan.new_buffer(), Ok)?;
                let samples = self.plan.samples_of(self.next);
                for (position, slot) in samples.zip(buffer.slots_mut(self.plan.sample_bytes())) {
                    self.plan.make_sample(position, slot)?;
                }
                Ok(buffer)
            }
        }
    }

    /// Batch `self.next` as tensors; the buffer goes back for use again.
    fn deliver(&mut self, buffer: BatchBuffer) -> Result<Batch, LoaderError> {
        let batch = self.plan.batch(self.next, buffer.bytes())?;
        self.next += 1;
        match &mut self.source {
            Source::Threads(pool) => pool.recycle(buffer),
            Source::Here(kept) => *kept = Some(buffer),
        }
        Ok(batch)
    }
}

impl Plan {
    /// Tensors of batch `number` from its samples' pixels.
    fn batch(&self, number: usize, bytes: &[u8]) -> Result<Batch, LoaderError> {
        let indices: Vec<usize> = self.samples_of(number).map(|position| self.place(position)).collect();
        let (height, width) = self.size();
        let shape = [indices.len() as i64, 3, i64::from(height), i64::from(width)];
        let pixels = &bytes[..indices.len() * self.sample_bytes()];
        let tensor_error = |error: tch::TchError| {
            LoaderError::Tensor(error.to_string().lines().next().unwrap_or_default().to_owned())
        };
        Ok(Batch {
            images: Tensor::f_from_data_size(pixels, &shape, Kind::Float).map_err(tensor_error)?,
            targets: Tensor::f_from_slice(&self.classes_of(number)).map_err(tensor_error)?,
            indices,
        })
    }
}
