//! Before a run: are the pictures there, are they those that were divided, and is none in two splits?

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::bail;
use ml_core::config::{DataConfig, Reaction};
use ml_core::dataset::{Audit, Checks, Dataset, DatasetError};

/// Fails or warns, as the configuration says; breaks off if a signal asks to. A dry run leaves no verdict behind.
///
/// # Errors
/// A picture is missing, the data set changed or leaks and the configuration does not accept that.
pub fn refuse_or_warn(
    config: &DataConfig,
    dataset: &Dataset,
    dry_run: bool,
    stop: &AtomicUsize,
) -> anyhow::Result<ControlFlow<()>> {
    let started = Instant::now();
    let checks = Checks {
        changes: config.on_change != Reaction::Ignore,
        leaks: config.on_leak != Reaction::Ignore,
        remember: !dry_run,
    };
    let Audit { changes, leaks } = match dataset.audit(checks, || stop.load(Ordering::Relaxed) != 0) {
        Err(DatasetError::Interrupted) => return Ok(ControlFlow::Break(())),
        audit => audit?,
    };
    tracing::debug!("the data set was looked through in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    if let Some(changes) = changes {
        if config.on_change == Reaction::Fail {
            bail!("{changes}, or accept it with --set data.on_change=warn");
        }
        tracing::warn!("{changes}");
    }
    if let Some(leaks) = leaks {
        if config.on_leak == Reaction::Fail {
            bail!("{leaks}, or accept it with --set data.on_leak=warn");
        }
        tracing::warn!("{leaks}");
    }
    Ok(ControlFlow::Continue(()))
}
