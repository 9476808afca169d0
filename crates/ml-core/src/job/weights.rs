//! Before a new run: the weights to start from are fetched if they have to be, put into the
//! network, and reported.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::JobError;
use crate::trainer::{Reporter, Stop, TrainError, Trainer, flow};
use crate::weights::{Cache, Choice, FetchOptions, Loaded, Part, Published, WeightsError};

/// Refuses what can be refused before any image is read: a file that is not there, a variable that
/// means nothing.
///
/// # Errors
/// The weights cannot be had, whatever is done.
pub(super) fn check(choice: &Choice) -> Result<(), JobError> {
    match choice {
        Choice::File { path, .. } if !path.exists() => Err(JobError::Usage(format!(
            "--weights {} (model.weights): there is no such file",
            path.display()
        ))),
        Choice::Published(published) => {
            let cached = Cache::from_env().and_then(|cache| cache.find(published));
            Ok(cached.map(drop).map_err(TrainError::from)?)
        }
        Choice::File { .. } => Ok(()),
    }
}

/// Puts weights into the trainer's network. A dry run fetches nothing, and says what would be
/// fetched.
///
/// # Errors
/// The weights cannot be had, cannot be read, or are of another network; or a signal asked to stop.
pub(super) fn start(
    choice: &Choice,
    trainer: &mut Trainer,
    dry_run: bool,
    reporter: &mut dyn Reporter,
    stop: &Stop,
) -> Result<(), JobError> {
    let mut named = None;
    let (path, part) = match choice {
        Choice::File { path, key } => {
            named = key.as_deref();
            (path.clone(), Part::Whole)
        }
        Choice::Published(published) => match get(published, dry_run, reporter, stop) {
            Ok(Some(path)) => (path, if published.classes > 0 { Part::Whole } else { Part::Features }),
            Ok(None) => return Ok(()),
            Err(error) if error.is_interruption() => return Err(JobError::Interrupted),
            Err(error) => return Err(TrainError::from(error).into()),
        },
    };
    let loaded = trainer.start_from(&path, named, part)?;
    say(choice, &path, &loaded);
    Ok(())
}

/// The file of published weights; none in a dry run that would have to fetch it.
fn get(
    published: &Published,
    dry_run: bool,
    reporter: &mut dyn Reporter,
    stop: &Stop,
) -> Result<Option<PathBuf>, WeightsError> {
    let cache = Cache::from_env()?;
    if let Some(path) = cache.find(published)? {
        return Ok(Some(path));
    }
    let (url, to) = (cache.url(published), cache.path(published));
    let megabytes = published.size_mib * f64::from(1 << 20) / 1e6;
    let name = published.full_name();
    if dry_run {
        tracing::info!("weights: {name} would be fetched from {url} ({megabytes:.1} MB) to {}", to.display());
        return Ok(None);
    }
    tracing::info!("weights: fetching {name} from {url} ({megabytes:.1} MB) to {}", to.display());
    let started = Instant::now();
    let path = cache.get(published, &FetchOptions::default(), &mut |event| {
        reporter.fetching(published.file, event);
        flow(false, stop)
    })?;
    tracing::info!("weights: fetched in {:.1} s, hash verified", started.elapsed().as_secs_f64());
    Ok(Some(path))
}

fn say(choice: &Choice, path: &Path, loaded: &Loaded) {
    match choice {
        Choice::Published(_) => tracing::info!("weights: {choice} ({})", path.display()),
        Choice::File { .. } => tracing::info!("weights: {choice}"),
    }
    loaded.notes(choice).iter().for_each(|note| tracing::info!("weights: {note}"));
}
