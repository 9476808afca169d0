//! An [`Index`] + a [`Pipeline`] + an epoch → a stream of [`Batch`]es, decoded by threads of this process.
//! Batches are the same for any number of workers.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use std::sync::Arc;

use ml_data::dataset::Index;
use ml_data::decode::DecodeError;
use ml_data::transform::Pipeline;
use tch::Tensor;

#[derive(Debug)]
pub struct Batch {
    /// `[N, 3, H, W]`, f32, normalised, on the CPU.
    pub images: Tensor,
    /// `[N]`, i64, in `0..num_classes`, on the CPU.
    pub targets: Tensor,
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the index has them.
    Sequential,
    /// A permutation that is a function of seed and epoch; augmentation is one of seed, epoch and sample.
    Shuffled { seed: u64 },
}

#[derive(Clone, Copy, Debug)]
pub struct LoaderOptions {
    pub batch_size: usize,
    /// Threads; 0 decodes in the caller's thread.
    pub num_workers: usize,
    pub order: Order,
    /// Seed of the augmentations (they are a function of seed, epoch and sample).
    pub seed: u64,
    pub drop_last: bool,
}

/// Names the picture.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Draft(String),
}

pub struct Loader {}

impl Loader {
    pub fn new(index: Arc<Index>, pipeline: Arc<Pipeline>, options: LoaderOptions) -> Loader {
        let _ = (index, pipeline, options);
        todo!()
    }
    /// Batches an epoch.
    pub fn num_batches(&self) -> usize {
        todo!()
    }
    /// Samples an epoch.
    pub fn num_samples(&self) -> usize {
        todo!()
    }
    /// The batches of `epoch` from batch number `first` on; threads stop when the stream is dropped.
    pub fn epoch(&self, epoch: u64, first: usize) -> Batches {
        let _ = (epoch, first);
        todo!()
    }
}

pub struct Batches {}

impl Batches {
    /// How long `next` has waited for workers so far.
    pub fn waited(&self) -> std::time::Duration {
        todo!()
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, LoaderError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
