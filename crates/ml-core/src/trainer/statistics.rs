//! `normalize: auto` → numbers, before a [`Trainer`](super::Trainer) is made.

use std::sync::atomic::Ordering;

use ml_data::dataset::Dataset;
use ml_data::transform::statistics::{Known, Options, training_statistics};

use super::{Stop, TrainError};
use crate::config::Config;
use crate::loader::OnError;

/// Puts the statistics of the training images, as `transforms.train` resizes and crops them, in the
/// place of each `normalize: auto`; nothing where there is none. They are computed, or taken from
/// the data folder's cache; with `remember` they are kept there.
///
/// # Errors
/// An image cannot be read (or more than `data.on_error: skip` allows), all are of one colour, or
/// `stop` was raised: [`TrainError::Images`] holds
/// [`StatisticsError::Stopped`](ml_data::transform::statistics::StatisticsError) then.
pub fn resolve_statistics(
    config: &Config,
    dataset: &Dataset,
    remember: bool,
    stop: &Stop,
) -> Result<Option<(Config, Known)>, TrainError> {
    if !config.needs_statistics() {
        return Ok(None);
    }
    let skip_unreadable = config.data.on_error == OnError::Skip;
    let options = Options {
        threads: config.num_workers(),
        skip_unreadable,
        stop: &|| stop.load(Ordering::Relaxed) != 0,
    };
    let known = training_statistics(dataset, &config.transforms.train, &options, remember)?;
    let limit = config.data.max_skipped;
    if known.skipped > limit {
        return Err(TrainError::TooManyUnreadable {
            count: known.skipped,
            limit,
            root: dataset.root.clone(),
        });
    }
    Ok(Some((config.with_statistics(&known.normalize), known)))
}
