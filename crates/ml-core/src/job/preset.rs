//! `--preset auto` and its like: settings for the images and this machine, before a run.

use super::{JobError, compute};
use crate::config::{Config, ConfigError};
use crate::device;
use crate::starter::{self, Chosen, Given, Level, PresetOptions, StarterError};
use crate::trainer::Stop;

/// Chooses settings for the images of `config`, on its device, for so many `processes`. `given` is what
/// is set already, and `resolve` gives the configuration that a preset's text makes with it.
///
/// # Errors
/// The device is not there, the data folder cannot be used, or `stop` was raised.
pub fn choose_preset(
    config: &Config,
    given: &Given,
    level: Level,
    processes: usize,
    resolve: &dyn Fn(&str) -> Result<Config, ConfigError>,
    stop: &Stop,
) -> Result<Chosen, JobError> {
    // Before CUDA is loaded: it looks at the settings once.
    crate::set_deterministic(config.deterministic)?;
    let device = device::resolve(config.training.device, config.training.threads.given())?;
    let compute = compute::without_measuring(config, device.device)?;
    let options = PresetOptions {
        level,
        given,
        open: config.data.open_options(config.seed),
        compute,
        processes,
        threads: config.num_workers(),
        resolve,
        stop,
    };
    starter::choose_preset(&config.data.data_dir, &options).map_err(|error| match error {
        StarterError::Dataset(error) => JobError::Data(error),
        StarterError::Stopped => JobError::Interrupted,
        StarterError::Invalid(error) => JobError::Config(error),
        error @ (StarterError::Name(_) | StarterError::Unreadable { .. }) => {
            JobError::Refused(format!("--preset: {error}"))
        }
    })
}
