//! Before a run: `normalize: auto` becomes numbers, and they are told.

use std::ops::ControlFlow;
use std::time::Instant;

use ml_core::config::Config;
use ml_core::dataset::{CACHE_FOLDER, Dataset};
use ml_core::trainer::{Stop, TrainError, resolve_statistics};
use ml_core::transform::statistics::{Known, StatisticsError};

/// The configuration to train with; breaks off if a signal asks to. A dry run leaves nothing in the
/// data folder.
///
/// # Errors
/// The statistics cannot be computed.
pub fn resolve(
    config: &Config,
    dataset: &Dataset,
    dry_run: bool,
    stop: &Stop,
) -> anyhow::Result<ControlFlow<(), Config>> {
    let started = Instant::now();
    let resolved = match resolve_statistics(config, dataset, !dry_run, stop) {
        Err(TrainError::Images(StatisticsError::Stopped)) => return Ok(ControlFlow::Break(())),
        resolved => resolved?,
    };
    let Some((config, known)) = resolved else { return Ok(ControlFlow::Continue(config.clone())) };
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
    Ok(ControlFlow::Continue(config))
}
