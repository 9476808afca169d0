//! `--checkpoint`, or `--weights` and what belongs to it → the model.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use ml_cli::console::{draws_bars, tell};
use ml_cli::exit::{UsageError, usage};
use ml_cli::interrupt::Interrupt;
use ml_core::inference::{Device, InferenceError, LoadedModel, WeightsOptions, WeightsSource, read_classes};
use ml_core::weights::{Event, WeightsError};
use ml_data::table::printable;
use ml_report::console::Console;
use ml_report::download::DownloadProgress;

use crate::args::{Args, CalibrationChoice};

/// Opens it; the exit code where a signal interrupted a download.
pub fn open(
    args: &Args,
    device: Device,
    interrupt: &Interrupt,
) -> anyhow::Result<ControlFlow<ExitCode, LoadedModel>> {
    let opened = match (&args.checkpoint, &args.weights) {
        (Some(checkpoint), _) => LoadedModel::open(checkpoint, device, args.precision, args.averaged()),
        (None, Some(weights)) => open_weights(args, weights, device, interrupt),
        (None, None) => return usage("--checkpoint or --weights is missing"),
    };
    let opened = match args.threshold {
        Some(threshold) => opened.and_then(|model| model.with_threshold(threshold)),
        None => opened,
    };
    match (opened, interrupt.exit_code()) {
        (Ok(model), _) => {
            let calibrated = args.calibration == CalibrationChoice::Auto;
            Ok(ControlFlow::Continue(if calibrated { model } else { model.uncalibrated() }))
        }
        (Err(InferenceError::Weights { source, .. }), Some(code)) if source.is_interruption() => {
            tell("interrupted; what has arrived of the weights is kept");
            Ok(ControlFlow::Break(code))
        }
        (Err(error), _) if error.is_usage() => Err(UsageError(error.into()).into()),
        (Err(error), _) => Err(error.into()),
    }
}

fn open_weights(
    args: &Args,
    weights: &str,
    device: Device,
    interrupt: &Interrupt,
) -> Result<LoadedModel, InferenceError> {
    // What was typed is checked before anything is fetched.
    let source = WeightsSource::read(weights, args.architecture.as_deref())?;
    source.check(&args.images())?;
    let classes = args.classes.as_deref().map(read_classes).transpose()?;
    let file = fetch(args, &source, interrupt)?;
    let options =
        WeightsOptions { classes, task: args.task(), images: args.images(), precision: args.precision };
    LoadedModel::from_weights(&source, &file, options, device)
}

/// The file of the weights.
fn fetch(args: &Args, source: &WeightsSource, interrupt: &Interrupt) -> Result<PathBuf, WeightsError> {
    let is_quiet = args.console.quiet > 0;
    let Some((published, url, to)) = source.to_fetch()? else {
        return source.file(&mut |_| ControlFlow::Continue(()));
    };
    if !is_quiet {
        let megabytes = published.size_mib * f64::from(1 << 20) / 1e6;
        let name = published.full_name();
        tell(format_args!("fetching {name} from {url} ({megabytes:.1} MB) to {}", to.display()));
    }
    let mut progress = DownloadProgress::new(Console::new(draws_bars(&args.console)), published.file);
    source.file(&mut |event| {
        match event {
            Event::Progress { .. } if !is_quiet => progress.show(event),
            Event::Retry { reason, wait } if !is_quiet => {
                let reason = printable(reason);
                tell(format_args!("warning: {reason}; trying again in {} s", wait.as_secs_f64()));
            }
            Event::OtherProcess if !is_quiet => tell("another process is fetching it; waiting for that one"),
            _ => {}
        }
        interrupt.flow()
    })
}

/// Says what the model is.
pub fn introduce(model: &LoadedModel, device: &str) {
    let averaged = if model.is_averaged() { " with EMA weights" } else { "" };
    let epoch = model.epoch().map_or_else(String::new, |epoch| format!(" after epoch {epoch}"));
    tell(format_args!(
        "{}{averaged}{epoch}, {} classes, from {}, on {device}, in {}",
        model.architecture(),
        model.classes().len(),
        model.path().display(),
        model.compute().precision,
    ));
    model.notes().iter().for_each(tell);
    if model.thresholds().is_some() {
        tell("an image may have several labels: classes are predicted from their thresholds on");
    }
}
