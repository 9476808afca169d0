//! What the frozen layers at a network's beginning make of the images of a split: computed once,
//! kept in memory or on disk, and shown to the rest of the network epoch by epoch.
//!
//! In: a [`Network`] and its [`Prefix`], a [`Loader`]. [`fill`] runs the prefix over all images in
//! the index's order, in batches of the loader's size, and keeps a row of features for each; several
//! processes share the batches, and those of a machine what is kept. Out:
//! [`Batches`] of a loader's epochs, the same samples in the same order, with features in place of
//! images; nothing is decoded for them.
//!
//! A row is a function of the weights, the image, the view (an epoch's augmentation) and the batch
//! that it was computed in, which is a function of the index and the batch size: not of how often a
//! run was interrupted.

mod config;
mod disk;
mod fill;
mod key;
mod round;
mod source;
mod table;

use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use torch_ext::CopyStream;

use crate::distributed::DistributedError;
use crate::loader::{self, BatchSamples, CacheError, Composition, DeviceBatch, LoaderError};
use crate::network::{ForwardError, Input, Prefix};

pub use config::{FeatureCacheConfig, FeatureCacheMode, FeaturePlace};
pub use fill::{Filled, Store, fill};
pub use source::Source;

use table::Table;

#[cfg(doc)]
use crate::{loader::Loader, network::Network};

/// Why there are no features.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// An image cannot be read.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The forward pass failed.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// A file of features cannot be written or read.
    #[error(
        "cannot keep features in {}: {source}; set data.cache_dir to a writable folder, or training.feature_cache.in to \
         ram", path.display()
    )]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Another process that computes a share of them has ended.
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// libtorch cannot make a tensor of them.
    #[error("libtorch cannot keep features: {0}")]
    Tensor(String),
}

impl From<CacheError> for FeatureError {
    fn from(CacheError { path, source }: CacheError) -> FeatureError {
        FeatureError::File { path, source }
    }
}

impl From<torch_ext::Error> for FeatureError {
    fn from(error: torch_ext::Error) -> FeatureError {
        FeatureError::Tensor(error.message().to_owned())
    }
}

impl From<tch::TchError> for FeatureError {
    fn from(error: tch::TchError) -> FeatureError {
        FeatureError::Tensor(torch_ext::first_line(&error))
    }
}

/// Features of all images of a split.
pub struct Features {
    prefix: Rc<Prefix>,
    table: Table,
    stream: CopyStream,
}

impl Features {
    /// The batch of these samples on the device.
    fn batch(&self, samples: BatchSamples) -> Result<InputBatch, FeatureError> {
        let BatchSamples { indices, targets, labels } = samples;
        let images = self.stream.send(&self.table.rows(&indices)?)?.receive()?;
        let targets = self.stream.send(&targets)?.receive()?;
        let labels = labels.map(|labels| self.stream.send(&labels)?.receive()).transpose()?;
        let unreadable = Vec::new();
        let batch = DeviceBatch { images, targets, soft_targets: None, labels, indices, unreadable };
        Ok(InputBatch { batch, prefix: Some(Rc::clone(&self.prefix)) })
    }
}

/// A batch on its device, as a network takes it.
#[derive(Debug)]
pub struct InputBatch {
    /// Its samples; `images` are rows of features, `[N, F]`, where there is a prefix.
    pub batch: DeviceBatch,
    prefix: Option<Rc<Prefix>>,
}

impl InputBatch {
    /// What the forward pass begins with.
    pub fn input(&self) -> Input<'_> {
        match &self.prefix {
            None => Input::Images(&self.batch.images),
            Some(prefix) => Input::Features(&self.batch.images, prefix),
        }
    }
}

impl From<DeviceBatch> for InputBatch {
    fn from(batch: DeviceBatch) -> InputBatch {
        InputBatch { batch, prefix: None }
    }
}

/// The batches of one epoch: images from a loader, or features in their place.
#[allow(clippy::large_enum_variant)] // There is one at a time.
pub enum Batches {
    /// Images.
    Images(loader::DeviceBatches),
    /// Features of the images that the loader would give.
    Features {
        /// Of all its images.
        features: Rc<Features>,
        /// Which of them, batch by batch.
        composition: Composition,
    },
}

impl Batches {
    /// How long `next` has waited for images so far.
    pub fn waited(&self) -> Duration {
        match self {
            Batches::Images(batches) => batches.waited(),
            Batches::Features { .. } => Duration::ZERO,
        }
    }

    /// The classes of the samples in each of these batches of the epoch, whosever share they are.
    /// Waits for no image.
    pub fn targets_of(&self, batches: Range<usize>) -> Vec<Vec<i64>> {
        match self {
            Batches::Images(images) => images.targets_of(batches),
            Batches::Features { composition, .. } => composition.targets_of(batches),
        }
    }
}

impl From<loader::Batches> for Batches {
    fn from(batches: loader::Batches) -> Batches {
        Batches::Images(batches.on_device())
    }
}

impl Iterator for Batches {
    type Item = Result<InputBatch, FeatureError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Batches::Images(batches) => {
                let batch = batches.next()?;
                Some(batch.map(InputBatch::from).map_err(FeatureError::from))
            }
            Batches::Features { features, composition } => {
                composition.next().map(|samples| features.batch(samples))
            }
        }
    }
}
