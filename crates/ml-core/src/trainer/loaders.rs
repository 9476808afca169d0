//! What the configuration says about loading, as loaders, their options and caches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ml_data::dataset::{CACHE_FOLDER, Dataset, Index};
use ml_data::setting::Auto;
use ml_data::transform::Pipeline;
use tch::Device;

use super::TrainError;
use crate::config::{Config, DataConfig};
use crate::distributed::World;
use crate::loader::{
    Budget, CacheError, CacheKind, Caches, Loader, LoaderOptions, OnError, Order, Unreadable,
};

/// Of the training and the validation split, and where they keep images.
pub(super) fn loaders(
    world: &World,
    config: &Config,
    dataset: &Dataset,
    device: Device,
) -> Result<(Loader, Loader, Caches), TrainError> {
    let samples = dataset.train.samples.len();
    let batch_size = config.training.batch_sizes().into_iter().max().unwrap_or(1);
    if config.data.drop_last && samples < batch_size {
        return Err(TrainError::NoFullBatch { samples, batch_size });
    }
    let budget = cache_budget(&config.data, &dataset.root)?;
    let mut caches = Caches::new(config.data.cache, cache_dir(&config.data, &dataset.root), budget);
    if config.data.cache == CacheKind::Ram
        && let Some(memory) = world.shared_memory()?
    {
        caches = caches.in_shared_memory(memory)?;
    }
    let mut loader = |index: &Arc<Index>, transform, options| -> Result<Loader, TrainError> {
        let pipeline = Arc::new(Pipeline::new(transform)?);
        let cache = caches.for_preparation(index, &pipeline)?;
        Ok(Loader::new(Arc::clone(index), pipeline, options).with_cache(cache))
    };
    let training = training_options(world, config, device, dataset.classes.len());
    let num_classes = dataset.classes.len();
    let evaluation = LoaderOptions { num_classes, ..evaluation_options(world, config, device) };
    let train = loader(&dataset.train, &config.transforms.train, training)?;
    let val = loader(&dataset.val, &config.transforms.val, evaluation)?;
    Ok((train, val, caches))
}

/// How this process's share of the images is loaded for evaluation on `device`.
pub fn evaluation_options(world: &World, config: &Config, device: Device) -> LoaderOptions {
    let limit = config.data.max_skipped;
    let num_workers = num_workers(world, config);
    LoaderOptions {
        seed: config.seed,
        share: world.share_of_pass(),
        unreadable: match config.data.on_error {
            OnError::Fail => Unreadable::Fail,
            OnError::Skip => Unreadable::LeaveOut { limit },
        },
        ..LoaderOptions::sequential(config.training.batch_size, num_workers, device)
    }
}

/// Threads that decode images: where the configuration does not say, this process's share of those of
/// its machine.
fn num_workers(world: &World, config: &Config) -> usize {
    match config.data.num_workers {
        Auto::Value(given) => given,
        Auto::Auto => (config.num_workers() / world.local_size()).max(1),
    }
}

/// How images of `num_classes` classes are loaded for training on `device`.
fn training_options(world: &World, config: &Config, device: Device, num_classes: usize) -> LoaderOptions {
    let limit = config.data.max_skipped;
    let accumulated = config.training.gradient_accumulation_steps;
    // In such a batch norm all take part with every batch.
    let is_even = config.training.distributed.sync_batch_norm;
    let share = world.share_of_steps(accumulated).map(|share| if is_even { share.even() } else { share });
    LoaderOptions {
        share,
        order: Order::Drawn { sampling: config.data.sampling.clone(), seed: config.seed },
        drop_last: config.data.drop_last,
        unreadable: match config.data.on_error {
            OnError::Fail => Unreadable::Fail,
            OnError::Skip => Unreadable::Replace { limit },
        },
        num_classes,
        views: config.training.views(),
        ..evaluation_options(world, config, device)
    }
}

/// The folder of the disk cache of the data folder `root`.
pub(super) fn cache_dir(data: &DataConfig, root: &Path) -> PathBuf {
    data.cache_dir.clone().unwrap_or_else(|| root.join(CACHE_FOLDER))
}

/// How much the caches of all splits may hold together; none without a cache.
fn cache_budget(data: &DataConfig, root: &Path) -> Result<Option<Budget>, CacheError> {
    let given = data.cache_max_gb.map(|gb| Budget::new((gb * 1e9) as u64));
    Ok(match (data.cache, given) {
        (CacheKind::None, _) => None,
        (_, Some(given)) => Some(given),
        (CacheKind::Ram, None) => Some(Budget::half_of_memory()),
        (CacheKind::Disk, None) => Some(Budget::half_of_disk(&cache_dir(data, root))?),
    })
}
