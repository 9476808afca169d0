//! What an epoch consists of: which sample stands where, and how it is made. Shared by all threads,
//! changed by none.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ml_data::dataset::Index;
use ml_data::decode;
use ml_data::rng::{self, Purpose};
use ml_data::transform::Pipeline;
use rand::seq::SliceRandom;

use super::buffer::BatchBuffer;
use super::{LoaderError, LoaderOptions, Order};

/// One epoch.
pub(super) struct Plan {
    index: Arc<Index>,
    pipeline: Arc<Pipeline>,
    /// Position in the epoch → place in the index; none where they are equal.
    order: Option<Vec<usize>>,
    batch_size: usize,
    num_samples: usize,
    /// Of the pictures: (height, width).
    size: (u32, u32),
    seed: u64,
    epoch: u64,
}

impl Plan {
    pub(super) fn new(
        index: Arc<Index>,
        pipeline: Arc<Pipeline>,
        options: &LoaderOptions,
        num_samples: usize,
        size: (u32, u32),
        epoch: u64,
    ) -> Plan {
        let order = match options.order {
            Order::Sequential => None,
            Order::Shuffled { seed } => Some(permutation(index.samples.len(), seed, epoch)),
        };
        let (batch_size, seed) = (options.batch_size, options.seed);
        Plan { index, pipeline, order, batch_size, num_samples, size, seed, epoch }
    }

    pub(super) fn num_samples(&self) -> usize {
        self.num_samples
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size
    }

    pub(super) fn num_batches(&self) -> usize {
        self.num_samples.div_ceil(self.batch_size)
    }

    pub(super) fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Bytes of a sample's floats, `[3, H, W]`.
    pub(super) fn sample_bytes(&self) -> usize {
        3 * self.size.0 as usize * self.size.1 as usize * size_of::<f32>()
    }

    /// Positions in the epoch of the samples of batch `number`.
    pub(super) fn samples_of(&self, number: usize) -> Range<usize> {
        let first = number * self.batch_size;
        first..(first + self.batch_size).min(self.num_samples)
    }

    /// Place in the index of the sample at `position` in the epoch.
    pub(super) fn place(&self, position: usize) -> usize {
        self.order.as_ref().map_or(position, |order| order[position])
    }

    /// Classes of the samples of batch `number`.
    pub(super) fn classes_of(&self, number: usize) -> Vec<i64> {
        let places = self.samples_of(number).map(|position| self.place(position));
        places.map(|place| i64::from(self.index.samples[place].class)).collect()
    }

    /// Room for one batch.
    pub(super) fn new_buffer(&self) -> Result<BatchBuffer, LoaderError> {
        // No batch has more samples than the epoch; a length past `usize` fails in the allocator.
        let samples = self.batch_size.min(self.num_samples);
        BatchBuffer::new(samples.saturating_mul(self.sample_bytes())).map_err(|source| {
            let (height, width) = self.size;
            LoaderError::Memory { batch_size: self.batch_size, height, width, source }
        })
    }

    /// Decodes and transforms the sample at `position` into `slot`, which is
    /// [`sample_bytes`](Plan::sample_bytes) long.
    pub(super) fn make_sample(&self, position: usize, slot: &mut [u8]) -> Result<(), LoaderError> {
        let place = self.place(position);
        let path = self.index.root.join(&self.index.samples[place].path);
        let pixels = decode::decode(&path)?;
        let mut rng = rng::stream(self.seed, Purpose::Augmentation, self.epoch, place as u64);
        // A panic must not leave the consumer waiting for this sample for ever.
        catch_unwind(AssertUnwindSafe(|| {
            let pixels = self.pipeline.apply(pixels, &mut rng);
            self.pipeline.normalize_into_bytes(&pixels, slot);
        }))
        .map_err(|panic| LoaderError::Transform { path, reason: message(panic.as_ref()) })
    }
}

/// The order of `epoch`: a uniformly random permutation of `0..count`.
fn permutation(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng::stream(seed, Purpose::Order, epoch, 0));
    order
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason given").lines().next().unwrap_or_default().to_owned()
}
