//! A run folder or a checkpoint → its model, as the run was validated.

use std::path::Path;

use ml_cli::console::tell;
use ml_cli::exit::UsageError;
use ml_core::device::{self, DeviceChoice, Neighbours, PrecisionChoice};
use ml_core::inference::{LoadedModel, UseEma};

/// Opens it on a device. What libtorch warns of from then on, and a GPU that is not used though
/// there is one, are told on stderr.
///
/// # Errors
/// There is no such device or model, or it cannot be read.
pub fn open(run: &Path, device: DeviceChoice) -> anyhow::Result<LoadedModel> {
    open_among(run, device, Neighbours::default())
}

/// The same in one of several processes.
///
/// # Errors
/// As for [`open`].
pub fn open_among(run: &Path, device: DeviceChoice, neighbours: Neighbours) -> anyhow::Result<LoadedModel> {
    device::tell_warnings(|text| tell(format_args!("warning: libtorch: {text}")))?;
    let device = device::resolve_among(device, None, neighbours).map_err(|error| UsageError(error.into()))?;
    if let Some(warning) = &device.warning {
        tell(format_args!("warning: {warning}"));
    }
    LoadedModel::open(run, device.device, PrecisionChoice::Auto, UseEma::Auto).map_err(|error| {
        if error.is_usage() { UsageError(error.into()).into() } else { anyhow::Error::from(error) }
    })
}
