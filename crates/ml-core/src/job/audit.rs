//! Before a run: are the images there, are they those that were split, and is none in two splits?

use std::sync::atomic::Ordering;
use std::time::Instant;

use ml_data::dataset::{Audit, Checks, Dataset, DatasetError, Missing};

use super::JobError;
use crate::config::{DataConfig, Reaction};
use crate::loader::OnError;
use crate::trainer::Stop;

/// Fails or warns, as the configuration says; a signal interrupts it. A dry run leaves no
/// verdict behind.
///
/// # Errors
/// An image is missing that may not be skipped, the data set changed or leaks and the configuration
/// does not accept that.
pub(super) fn refuse_or_warn(
    config: &DataConfig,
    dataset: &Dataset,
    dry_run: bool,
    stop: &Stop,
) -> Result<(), JobError> {
    let started = Instant::now();
    let checks = Checks {
        tolerate_missing: config.on_error == OnError::Skip,
        changes: config.on_change != Reaction::Ignore,
        leaks: config.on_leak != Reaction::Ignore,
        remember: !dry_run,
    };
    let Audit { missing, changes, leaks } = match dataset.audit(checks, || stop.load(Ordering::Relaxed) != 0)
    {
        Err(DatasetError::Interrupted) => return Err(JobError::Interrupted),
        Err(error @ DatasetError::MissingImages(_)) => {
            return Err(JobError::Refused(format!(
                "{error}, or leave them out with --set data.on_error=skip"
            )));
        }
        audit => audit.map_err(JobError::Audit)?,
    };
    tracing::debug!("the data set was inspected in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    if let Some(missing) = missing {
        tolerate(&missing, config.max_skipped)?;
    }
    if let Some(changes) = changes {
        if config.on_change == Reaction::Fail {
            return Err(JobError::Refused(format!("{changes}, or accept it with --set data.on_change=warn")));
        }
        tracing::warn!("{changes}");
    }
    if let Some(leaks) = leaks {
        if config.on_leak == Reaction::Fail {
            return Err(JobError::Refused(format!("{leaks}, or accept it with --set data.on_leak=warn")));
        }
        tracing::warn!("{leaks}");
    }
    Ok(())
}

/// Missing images are skipped like other unreadable ones: not more of them a split than those.
fn tolerate(missing: &Missing, limit: usize) -> Result<(), JobError> {
    if let Some((split, count)) = missing.counts.iter().find(|(_, count)| *count > limit) {
        return Err(JobError::Refused(format!(
            "{missing}; {count} are of the {} split, more than the {limit} that data.max_skipped allows: bring them \
             back, or split the data set again",
            split.name()
        )));
    }
    tracing::warn!("{missing}; they are skipped (data.on_error)");
    Ok(())
}
