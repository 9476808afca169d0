//! What changes from epoch to epoch: the size of training images (`training.progressive_resizing`)
//! and the batch size (`training.batch_schedule`). Both are functions of the epoch alone, so that a
//! run resumes at any step, and several processes need not agree on anything.

use std::sync::Arc;

use ml_data::geometry::Size;
use ml_data::transform::Pipeline;

use super::{TrainError, Trainer};
use crate::config::Config;

/// What an epoch is trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub batch_size: usize,
    /// None where it never changes.
    pub image_size: Option<Size>,
}

impl Stage {
    /// Of `epoch`, counted from 0.
    pub fn of(config: &Config, epoch: u64) -> Stage {
        Stage {
            batch_size: config.training.batch_size_in(epoch),
            image_size: config.training.image_size_in(&config.transforms.train, epoch),
        }
    }

    /// What loaders are made with first.
    pub fn full(config: &Config) -> Stage {
        Stage { batch_size: config.training.batch_size, image_size: config.transforms.train.output_size() }
    }
}

impl Trainer {
    /// Has training images come in the size and number that the current epoch is to have.
    ///
    /// # Errors
    /// The cache of images of this size cannot be made.
    pub(super) fn follow_epoch(&mut self) -> Result<(), TrainError> {
        let (epoch, before) = (self.state.epoch, self.stage);
        let mut stage = Stage::of(&self.config, epoch);
        stage.image_size = stage.image_size.or(before.image_size);
        if let Some(size) = stage.image_size.filter(|_| stage.image_size != before.image_size) {
            let transform = self.config.transforms.train.resized_to_output(size);
            let pipeline = Arc::new(Pipeline::new(&transform)?);
            let cache = self.caches.for_preparation(&self.train_index, &pipeline)?;
            self.train_loader = self.train_loader.with_pipeline(pipeline, cache);
            tracing::info!(
                "training.progressive_resizing: images of {}x{} (height x width) from epoch {} on",
                size.height,
                size.width,
                epoch + 1
            );
        }
        if stage.batch_size != before.batch_size {
            self.train_loader = self.train_loader.with_batch_size(stage.batch_size);
            tracing::info!(
                "training.batch_schedule: batches of {} images from epoch {} on",
                stage.batch_size,
                epoch + 1
            );
        }
        self.stage = stage;
        Ok(())
    }

    /// Training batches of `epoch`, counted from 0, of all processes.
    pub(super) fn batches_in(&self, epoch: u64) -> usize {
        let (samples, processes) = (self.train_index.samples.len(), self.ranks.world().size());
        self.config.num_batches(samples, processes, self.config.training.batch_size_in(epoch))
    }
}
