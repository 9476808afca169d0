//! Before a run: `normalize: auto` becomes numbers, which are reported.

use std::time::Instant;

use ml_data::dataset::{CACHE_FOLDER, Dataset};
use ml_data::transform::statistics::{Known, StatisticsError};

use super::JobError;
use crate::config::Config;
use crate::trainer::{Stop, TrainError, resolve_statistics};

/// The configuration to train with. A dry run leaves nothing in the data folder.
///
/// # Errors
/// The statistics cannot be computed, or a signal asked to stop.
pub(super) fn resolve(
    config: Config,
    dataset: &Dataset,
    dry_run: bool,
    stop: &Stop,
) -> Result<Config, JobError> {
    let started = Instant::now();
    let resolved = match resolve_statistics(&config, dataset, !dry_run, stop) {
        Err(TrainError::Images(StatisticsError::Stopped)) => return Err(JobError::Interrupted),
        resolved => resolved?,
    };
    let Some((config, known)) = resolved else { return Ok(config) };
    let Known { normalize, images, skipped, was_kept } = known;
    let from = if was_kept {
        format!("kept in {}", dataset.root.join(CACHE_FOLDER).display())
    } else {
        format!("computed in {:.1} s", started.elapsed().as_secs_f64())
    };
    let left_out =
        if skipped > 0 { format!("; {skipped} that cannot be read left out") } else { String::new() };
    let list = |values: &[f64]| values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(", ");
    tracing::info!(
        "normalize: auto is mean [{}], std [{}] of {images} training images ({from}{left_out})",
        list(&normalize.mean),
        list(&normalize.std)
    );
    Ok(config)
}
