//! `--find_lr`, `--find_batch_size` and `--benchmark`: what is measured before a run, on stdout.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use ml_cli::exit;
use ml_core::config::Config;
use ml_core::job::{self, BenchmarkRow};
use ml_core::setting::Auto;
use ml_core::trainer::{BatchSizes, LrSweep};
use ml_data::table::{Align, table};
use ml_data::text::grouped;
use ml_report::console::Console;
use ml_report::curves::lr_finder;
use ml_report::progress::Progress;
use ml_report::write::replace;

use crate::args::Args;
use crate::summary::classes_of_data;
use crate::train::{Process, classified, interrupted};

/// For each network of a benchmark, after its first step.
const BUDGET: Duration = Duration::from_secs(6);
/// Between two looks at whether a signal has come.
const WATCH: Duration = Duration::from_millis(50);

/// Measures what the command line asks for and prints it. Whatever is under way, a signal ends the
/// process at once: there is nothing to save.
///
/// # Errors
/// What is measured cannot be run, or a file cannot be written.
pub fn run(args: &Args, config: Config, console: &Console, process: Process<'_>) -> anyhow::Result<ExitCode> {
    end_at_once(process.stop)?;
    let text = if let Some(path) = &args.find_lr {
        sweep(config, path, args.json, console, process)?
    } else if let Some(names) = &args.benchmark {
        benchmark(&config, names, args.json, process.stop)?
    } else {
        batch_sizes(&config, args.json, process.stop)?
    };
    match text {
        Some(text) => exit::print(text.trim_end()),
        None => Ok(interrupted(process.stop)),
    }
}

/// Ends the process when a signal comes.
fn end_at_once(stop: &Arc<AtomicUsize>) -> anyhow::Result<()> {
    let stop = Arc::clone(stop);
    let thread = std::thread::Builder::new().name("stop".to_owned());
    thread.spawn(move || watch(&stop)).map(drop).context("cannot start a thread")
}

fn watch(stop: &AtomicUsize) {
    while stop.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(WATCH);
    }
    tracing::warn!("interrupted; nothing was written");
    exit::leave(interrupted(stop));
}

/// None after a signal.
fn sweep(
    config: Config,
    path: &Path,
    json: bool,
    console: &Console,
    Process { stop, started }: Process<'_>,
) -> anyhow::Result<Option<String>> {
    // Before the work rather than after it.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
        return exit::usage(format!(
            "--find_lr: {} cannot be written: name a file in a folder that exists",
            path.display()
        ));
    }
    let mut progress = Progress::new(console.clone(), config.training.batch_size, 1);
    let found = job::find_lr(config, started, &mut progress, stop).map_err(classified)?;
    let Some(found) = found else { return Ok(None) };
    replace(path, &lr_finder(&found.points, found.suggested())?.to_png()?)?;
    let suggested = found.suggested().map(two_digits);
    if json {
        let json = serde_json::json!({
            "suggested": suggested,
            "steepest": found.steepest(),
            "minimum_tenth": found.minimum_tenth(),
            "has_diverged": found.has_diverged,
            "points": found.points,
            "plot": path.display().to_string(),
        });
        return Ok(Some(json.to_string()));
    }
    Ok(Some(sweep_text(&found, suggested, path)))
}

fn sweep_text(found: &LrSweep, suggested: Option<f64>, path: &Path) -> String {
    let last = found.points.last().map_or_else(|| "-".to_owned(), |point| lr_text(point.lr));
    let end = if found.has_diverged { ", where the loss exploded" } else { "" };
    let of = |lr: Option<f64>| lr.map_or_else(|| "-".to_owned(), lr_text);
    let rows = [
        ["steps".to_owned(), format!("{}, learning rate 1e-7 to {last}{end}", found.points.len())],
        ["steepest fall of the loss".to_owned(), of(found.steepest())],
        ["a tenth of the minimum's".to_owned(), of(found.minimum_tenth())],
        ["plot".to_owned(), path.display().to_string()],
    ];
    let advice = match suggested {
        Some(lr) => format!("Train with: --lr {}", lr_text(lr)),
        None => {
            "No suggestion: the loss has not fallen. Check labels and weights, or take a smaller batch size, \
                 which gives more steps"
                .to_owned()
        }
    };
    format!("{}\n{advice}", table(&rows, [Align::Left, Align::Left]))
}

/// A learning rate is not known better than that.
fn two_digits(lr: f64) -> f64 {
    format!("{lr:.1e}").parse().unwrap_or(lr)
}

/// `0.0032`, `3.4e-8`
fn lr_text(lr: f64) -> String {
    let lr = two_digits(lr);
    if lr < 1e-4 { format!("{lr:e}") } else { lr.to_string() }
}

/// None after a signal.
fn batch_sizes(config: &Config, json: bool, stop: &AtomicUsize) -> anyhow::Result<Option<String>> {
    let num_classes = match config.model.num_classes() {
        Auto::Value(given) => given,
        Auto::Auto => classes_of_data(config, "--find_batch_size")?,
    };
    let found = job::find_batch_size(config, num_classes, stop).map_err(classified)?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(if json { serde_json::to_string(&found)? } else { batch_sizes_text(&found) }))
}

fn batch_sizes_text(found: &BatchSizes) -> String {
    let mut rows = vec![["batch size", "images/s", "memory"].map(str::to_owned)];
    for trial in &found.trials {
        let memory = match (trial.memory, trial.images_per_second) {
            (Some(bytes), _) => megabytes(bytes),
            (None, Some(_)) => String::new(),
            (None, None) => "does not fit".to_owned(),
        };
        let speed = trial.images_per_second.map(rate).unwrap_or_default();
        rows.push([trial.batch_size.to_string(), speed, memory]);
    }
    let table = table(&rows, [Align::Right, Align::Right, Align::Right]);
    let (largest, suggested) = (found.largest, found.suggested);
    let reason = match found.memory_limit {
        Some(limit) => {
            let is_enough = found.trials.last().is_some_and(|trial| trial.batch_size > suggested);
            let reason = if is_enough { "Larger batches are hardly faster. " } else { "" };
            let limit = megabytes(limit);
            format!("{reason}By estimate {largest} images fit into half of the free memory ({limit})")
        }
        None => format!("At most {largest} images fit; a tenth is left for what else a training takes"),
    };
    format!("{table}\n{reason}.\nTrain with: --batch_size {suggested}")
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", grouped(bytes.div_ceil(1_000_000)))
}

/// Images a second.
fn rate(images: f64) -> String {
    if images < 100.0 { format!("{images:.1}") } else { grouped(images.round()) }
}

/// None after a signal.
fn benchmark(config: &Config, names: &str, json: bool, stop: &AtomicUsize) -> anyhow::Result<Option<String>> {
    let named = job::architectures_named(names).map_err(classified)?;
    let architectures = if named.is_empty() { job::benchmarked(config) } else { named };
    let (mut number, count, seconds) = (0, architectures.len(), BUDGET.as_secs());
    tracing::info!("benchmark: {count} networks, about {seconds} s each after the first step");
    let rows = job::benchmark(
        config,
        &architectures,
        BUDGET,
        &mut |architecture| {
            number += 1;
            tracing::info!("benchmark: {number}/{count} {}", architecture.name());
        },
        stop,
    );
    let Some(rows) = rows.map_err(classified)? else { return Ok(None) };
    Ok(Some(if json { serde_json::to_string(&rows)? } else { benchmark_text(&rows) }))
}

fn benchmark_text(rows: &[BenchmarkRow]) -> String {
    let head =
        ["architecture", "training images/s", "inference images/s", "parameters", "ImageNet", "batch size"];
    let mut lines = vec![head.map(str::to_owned)];
    for row in rows {
        let speed = |text: &dyn Fn(&ml_core::trainer::NetworkSpeed) -> String| {
            row.speed.as_ref().map(text).unwrap_or_default()
        };
        let training = row.speed.map_or_else(|| "out of memory".to_owned(), |speed| rate(speed.training));
        lines.push([
            row.architecture.to_owned(),
            training,
            speed(&|speed| rate(speed.inference)),
            speed(&|speed| format!("{:.1} M", speed.parameters as f64 / 1e6)),
            row.imagenet_accuracy.map(|accuracy| format!("{accuracy:.1} %")).unwrap_or_default(),
            speed(&|speed| speed.batch_size.to_string()),
        ]);
    }
    let align = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right];
    format!(
        "{}\nImageNet: top-1 accuracy of torchvision's default weights, at their own image size.",
        table(&lines, align)
    )
}

#[cfg(test)]
mod tests {
    use ml_core::trainer::{BatchTrial, LrPoint};

    use super::*;

    #[test]
    fn learning_rates_have_two_digits() {
        for (lr, text) in
            [(0.003_162, "0.0032"), (3.37e-8, "3.4e-8"), (1.0, "1"), (0.099_9, "0.1"), (10.0, "10")]
        {
            assert_eq!(lr_text(lr), text);
        }
    }

    #[test]
    fn a_sweep_that_shows_nothing_says_so() {
        let point = LrPoint { lr: 1e-7, loss: 2.0, smoothed_loss: 2.0 };
        let found = LrSweep { points: vec![point], has_diverged: true };
        let text = sweep_text(&found, None, Path::new("lr.png"));
        assert!(text.contains("1e-7 to 1e-7, where the loss exploded"), "{text}");
        assert!(text.contains("No suggestion"), "{text}");
    }

    #[test]
    fn batch_sizes_are_a_table_with_advice() {
        let trial =
            |batch_size, images_per_second, memory| BatchTrial { batch_size, images_per_second, memory };
        let trials = vec![trial(8, Some(50.24), Some(1_500_000_000)), trial(16, None, None)];
        let found = BatchSizes { trials, largest: 8, suggested: 7, memory_limit: None };
        let text = batch_sizes_text(&found);
        for part in ["50.2", "1,500 MB", "does not fit", "At most 8 images", "--batch_size 7"] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        let trials = vec![trial(8, Some(50.0), Some(1)), trial(16, Some(51.0), Some(2))];
        let found = BatchSizes { trials, largest: 90, suggested: 8, memory_limit: Some(4_000_000) };
        let text = batch_sizes_text(&found);
        assert!(text.contains("hardly faster. By estimate 90 images") && text.contains("(4 MB)"), "{text}");
    }
}
