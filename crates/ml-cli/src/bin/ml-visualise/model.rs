//! A run folder or a checkpoint → its model, as the run was validated.

use std::path::Path;

use ml_cli::exit::UsageError;
use ml_core::device::{self, DeviceChoice, PrecisionChoice};
use ml_core::inference::{LoadedModel, UseEma};

/// Opens it on a device.
///
/// # Errors
/// There is no such device or model, or it cannot be read.
pub fn open(run: &Path, device: DeviceChoice) -> anyhow::Result<LoadedModel> {
    let device = device::resolve(device, None).map_err(|error| UsageError(error.into()))?;
    LoadedModel::open(run, device.device, PrecisionChoice::Auto, UseEma::Auto).map_err(|error| {
        if error.is_usage() { UsageError(error.into()).into() } else { anyhow::Error::from(error) }
    })
}
