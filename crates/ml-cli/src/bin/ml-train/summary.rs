//! `--summary`: what the configured network is made of, what an image costs, and how much memory a
//! step takes. `--list_architectures`: all networks to choose from.

use std::process::ExitCode;

use anyhow::anyhow;
use ml_cli::exit;
use ml_core::config::Config;
use ml_core::setting::Auto;
use ml_report::inspection::{InspectionError, Table, architectures, inspect};

/// Prints it, as a table or as JSON.
///
/// # Errors
/// The number of classes or the size of images is not known, or a TorchScript file cannot be used.
pub fn print(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let inspection = inspect(config, num_classes(config)?).map_err(classified)?;
    exit::print(&if json { serde_json::to_string(&inspection)? } else { inspection.to_string() })
}

/// Prints all networks, as a table or as a JSON list.
///
/// # Errors
/// libtorch's.
pub fn list(json: bool) -> anyhow::Result<ExitCode> {
    let list = architectures()?;
    exit::print(&if json { serde_json::to_string(&list)? } else { Table(&list).to_string() })
}

/// As configured, or the data set's; a TorchScript file tells its own.
fn num_classes(config: &Config) -> anyhow::Result<Option<usize>> {
    if let Auto::Value(given) = config.model.num_classes() {
        return Ok(Some(given));
    }
    if config.model.script().is_some() {
        return Ok(None);
    }
    classes_of_data(config, "--summary").map(Some)
}

/// Those of the data set.
///
/// # Errors
/// There is none; `flag` is what needs it.
pub fn classes_of_data(config: &Config, flag: &str) -> anyhow::Result<usize> {
    match config.data.open(config.seed) {
        Ok(dataset) => Ok(dataset.classes.len()),
        Err(error) => exit::usage(format!(
            "{flag}: how many classes are there? model.num_classes is auto, and there is no data set that would tell: \
             {error}. Give --data_dir, or --set model.num_classes=10"
        )),
    }
}

/// What is wrong with what was requested gets exit code 2.
fn classified(error: InspectionError) -> anyhow::Error {
    if error.is_usage() { crate::resolve::usage(anyhow!("--summary: {error}")) } else { error.into() }
}
