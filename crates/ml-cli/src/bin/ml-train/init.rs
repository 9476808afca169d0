//! `--init_config`: a data folder → a commented configuration on stdout.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Context;
use ml_cli::exit;
use ml_core::config::{self, Override};
use ml_core::device;
use ml_core::starter::{StarterError, StarterOptions, starting_config};
use ml_core::trainer::Stop;
use ml_core::weights::Origin;

/// What may be given with it; the rest of the configuration is what it writes.
const TAKEN: [&str; 3] = ["data.fold", "data.num_workers", "training.device"];

/// Prints the configuration.
///
/// # Errors
/// The folder is no data folder, its images cannot be read, or a flag is given that has no meaning
/// here.
pub fn print(data_dir: &Path, overrides: &[Override], stop: &Stop) -> anyhow::Result<ExitCode> {
    if let Some(other) = overrides.iter().find(|given| !TAKEN.contains(&given.path.as_str())) {
        return exit::usage(format!(
            "--init_config: writes {} itself; of the configuration only --fold, --device and --num_workers may be given",
            other.path
        ));
    }
    let config = config::resolve(None, overrides, &Origin::read).map_err(crate::resolve::usage)?.config;
    let device = device::resolve(config.training.device, config.training.threads.given())
        .map_err(crate::resolve::usage)?;
    if let Some(warning) = &device.warning {
        tracing::warn!("{warning}");
    }
    let options = StarterOptions {
        fold: config.data.fold,
        cuda: device.device.is_cuda(),
        threads: config.num_workers(),
        stop,
    };
    match starting_config(data_dir, &options) {
        Err(StarterError::Stopped) => {
            tracing::warn!("interrupted; nothing was written");
            Ok(ExitCode::from(128 + stop.load(Ordering::Relaxed) as u8))
        }
        // What is wrong with the folder is said as training says it.
        Err(StarterError::Dataset(error)) => Err(error).context("--init_config"),
        text => exit::print(text.context("--init_config")?.trim_end()),
    }
}
