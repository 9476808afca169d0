//! `--soup`: checkpoints of one network → the average of those that are better together, as a file.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use ml_cli::exit;
use ml_core::config::{self, Override};
use ml_core::dataset::Task;
use ml_core::device;
use ml_core::evaluation::EvaluationError;
use ml_core::inference::{InferenceError, Soup, SoupError, SoupOptions, greedy_soup};
use ml_core::trainer::Stop;
use ml_core::weights::Origin;
use ml_data::table::{Align, table};
use serde_json::json;

use crate::args::Args;
use crate::resolve::usage;

/// What may be given with it; the rest is the checkpoints' own.
const TAKEN: [&str; 7] = [
    "data.data_dir",
    "data.fold",
    "data.num_workers",
    "training.batch_size",
    "training.device",
    "training.threads",
    "training.precision",
];

/// Averages the checkpoints, writes the result, and prints what became of each.
///
/// # Errors
/// They do not go together, or the file cannot be written.
pub fn make(args: &Args, paths: &[PathBuf], overrides: &[Override], stop: &Stop) -> anyhow::Result<ExitCode> {
    let is_given = |key: &str| overrides.iter().any(|given| given.path == key);
    if let Some(other) = overrides.iter().find(|given| !TAKEN.contains(&given.path.as_str())) {
        return exit::usage(format!(
            "--soup: {} is that of the checkpoints; of the configuration only --data_dir, --fold, --batch_size, \
             --num_workers, --device, --threads and --precision may be given",
            other.path
        ));
    }
    let config = config::resolve(None, overrides, &Origin::read).map_err(usage)?.config;
    let resolved = device::resolve(config.training.device, config.training.threads.given()).map_err(usage)?;
    if let Some(warning) = &resolved.warning {
        tracing::warn!("{warning}");
    }
    let options = SoupOptions {
        data_dir: is_given("data.data_dir").then(|| config.data.data_dir.clone()),
        fold: config.data.fold,
        device: resolved.device,
        precision: config.training.precision,
        batch_size: config.training.batch_size,
        num_workers: config.num_workers(),
    };
    let mut on_batch = || match stop.load(Ordering::Relaxed) {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let soup = match greedy_soup(paths, &options, &mut on_batch) {
        Err(SoupError::Inference(InferenceError::Evaluation(EvaluationError::Interrupted))) => {
            tracing::warn!("interrupted; nothing was written");
            return Ok(ExitCode::from(128 + stop.load(Ordering::Relaxed) as u8));
        }
        Err(error) if error.is_usage() => return Err(usage(error)),
        soup => soup?,
    };
    let text = if args.json { in_json(&soup) } else { in_rows(&soup) };
    soup.checkpoint.save(&args.output)?;
    tracing::info!("wrote {}", args.output.display());
    exit::print(text.trim_end())
}

fn in_rows(soup: &Soup) -> String {
    let metric = match soup.task {
        Task::SingleLabel => "accuracy",
        Task::MultiLabel => "mAP",
    };
    let mut rows = vec![["checkpoint", metric, "with it", ""].map(str::to_owned)];
    for step in &soup.steps {
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let taken = if step.is_taken { "taken" } else { "left out" };
        rows.push([
            step.path.display().to_string(),
            percent(step.score),
            percent(step.soup_score),
            taken.to_owned(),
        ]);
    }
    let taken = soup.steps.iter().filter(|step| step.is_taken).count();
    format!(
        "{}\naverage of {taken} of {}: {metric} {:.2} % on {} validation images\n",
        table(&rows, [Align::Left, Align::Right, Align::Right, Align::Left]),
        soup.steps.len(),
        100.0 * soup.score,
        soup.num_images,
    )
}

fn in_json(soup: &Soup) -> String {
    let (own, of_soup) = match soup.task {
        Task::SingleLabel => ("val_accuracy", "soup_val_accuracy"),
        Task::MultiLabel => ("val_map", "soup_val_map"),
    };
    let steps = soup.steps.iter().map(|step| {
        json!({
            "checkpoint": step.path.display().to_string(),
            own: step.score,
            of_soup: step.soup_score,
            "taken": step.is_taken,
        })
    });
    let steps: Vec<serde_json::Value> = steps.collect();
    json!({"steps": steps, own: soup.score, "images": soup.num_images}).to_string()
}
