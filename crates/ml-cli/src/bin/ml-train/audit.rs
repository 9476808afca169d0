//! Before a run: are the images there, are they those that were divided, and is none in two splits?

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::bail;
use ml_core::config::{DataConfig, Reaction};
use ml_core::dataset::{Audit, Checks, Dataset, DatasetError, Missing};
use ml_core::loader::OnError;

/// Fails or warns, as the configuration says; breaks off if a signal asks to. A dry run leaves no
/// verdict behind.
///
/// # Errors
/// An image is missing that may not be skipped, the data set changed or leaks and the configuration
/// does not accept that.
pub fn refuse_or_warn(
    config: &DataConfig,
    dataset: &Dataset,
    dry_run: bool,
    stop: &AtomicUsize,
) -> anyhow::Result<ControlFlow<()>> {
    let started = Instant::now();
    let checks = Checks {
        tolerate_missing: config.on_error == OnError::Skip,
        changes: config.on_change != Reaction::Ignore,
        leaks: config.on_leak != Reaction::Ignore,
        remember: !dry_run,
    };
    let Audit { missing, changes, leaks } = match dataset.audit(checks, || stop.load(Ordering::Relaxed) != 0)
    {
        Err(DatasetError::Interrupted) => return Ok(ControlFlow::Break(())),
        Err(error @ DatasetError::MissingImages(_)) => {
            bail!("{error}, or leave them out with --set data.on_error=skip")
        }
        audit => audit?,
    };
    tracing::debug!("the data set was looked through in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    if let Some(missing) = missing {
        tolerate(&missing, config.max_skipped)?;
    }
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

/// Missing images are skipped like other unreadable ones: not more of them a split than those.
fn tolerate(missing: &Missing, limit: usize) -> anyhow::Result<()> {
    if let Some((split, count)) = missing.counts.iter().find(|(_, count)| *count > limit) {
        bail!(
            "{missing}; {count} are of the {} split, more than the {limit} that data.max_skipped allows: bring them \
             back, or divide the data set again",
            split.name()
        );
    }
    tracing::warn!("{missing}; they are skipped (data.on_error)");
    Ok(())
}
