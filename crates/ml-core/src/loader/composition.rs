//! What the batches of an epoch consist of, without their images.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use ml_data::dataset::Index;
use ml_data::transform::Pipeline;
use tch::Tensor;

use super::plan::Plan;
use super::{Cache, Loader, LoaderError, LoaderOptions, Order};
use crate::distributed::Share;

/// The samples of each batch of an epoch: those that [`Loader::epoch`] would load.
pub struct Composition {
    plan: Plan,
    /// Number of the batch to be given next.
    next: usize,
}

/// The samples of a batch.
#[derive(Debug)]
pub struct BatchSamples {
    /// Places of the samples in the index, `N` long.
    pub indices: Vec<usize>,
    /// `[N]`, i64, in `0..num_classes`, in host memory.
    pub targets: Tensor,
    /// As [`DeviceBatch::labels`](super::DeviceBatch), in host memory.
    pub labels: Option<Tensor>,
}

impl Loader {
    /// The samples of the batches of `epoch` from batch number `first` on. No image is read.
    ///
    /// # Errors
    /// As [`Loader::epoch`] begins with.
    pub fn composition(&self, epoch: u64, first: usize) -> Result<Composition, LoaderError> {
        let size = self.pipeline.output_size().ok_or(LoaderError::NoCommonSize)?;
        let (plan, next) = Plan::new(self, size, epoch, first);
        Ok(Composition { plan, next })
    }

    /// A loader of the same images, augmented alike, each once and in the index's order: of the batches
    /// of `share`.
    pub(crate) fn sequential(&self, share: Option<Share>) -> Loader {
        let options =
            LoaderOptions { order: Order::Sequential, drop_last: false, share, ..self.options.clone() };
        Loader { options, ..self.shared() }
    }

    /// A loader of the same images in the same order, in batches of `batch_size`.
    pub(crate) fn with_batch_size(&self, batch_size: usize) -> Loader {
        let options = LoaderOptions { batch_size: batch_size.max(1), ..self.options.clone() };
        Loader { options, ..self.shared() }
    }

    /// A loader of the same images in the same order, made by `pipeline`, which normalises and mixes as
    /// that of this loader does; `cache` is one for it.
    pub(crate) fn with_pipeline(&self, pipeline: Arc<Pipeline>, cache: Option<Arc<Cache>>) -> Loader {
        Loader { pipeline, cache, ..self.shared() }
    }

    /// The same loader, which tells of the same images.
    fn shared(&self) -> Loader {
        Loader {
            index: Arc::clone(&self.index),
            pipeline: Arc::clone(&self.pipeline),
            cache: self.cache.clone(),
            options: self.options.clone(),
            destination: Rc::clone(&self.destination),
            skipped: Rc::clone(&self.skipped),
            odd: Rc::clone(&self.odd),
        }
    }

    /// The images.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// What is done to them.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// How they are loaded.
    pub(crate) fn options(&self) -> &LoaderOptions {
        &self.options
    }
}

impl Composition {
    /// As [`Batches::targets_of`](super::Batches::targets_of).
    pub fn targets_of(&self, batches: Range<usize>) -> Vec<Vec<i64>> {
        self.plan.targets_of(batches)
    }
}

impl Iterator for Composition {
    type Item = BatchSamples;

    fn next(&mut self) -> Option<BatchSamples> {
        let number = self.next;
        if number >= self.plan.num_batches() {
            return None;
        }
        self.next += 1;
        let indices: Vec<usize> =
            self.plan.samples_of(number).map(|position| self.plan.index_of(position)).collect();
        let labels =
            self.plan.labels_of(&indices).map(|(values, shape)| Tensor::from_slice(&values).view(shape));
        let targets = Tensor::from_slice(&self.plan.classes_of(number));
        Some(BatchSamples { indices, targets, labels })
    }
}
