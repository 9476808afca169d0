//! From the command line to a [`Job`], and from its outcome to stdout and an exit code.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::anyhow;
use ml_cli::console::Log;
use ml_cli::exit;
use ml_core::config::{self, Override, Resolved, Source};
use ml_core::job::{
    self, Job, JobError, JobOptions, Outcome, Placement, ResumeOptions, Resumed, Start, Taken,
};
use ml_core::run::{Run, Status, Summary, run_name};
use ml_core::trainer::{ReportError, Reporter, ResumeMode, RunStart};
use ml_core::weights::Origin;
use ml_data::dataset::shell_quoted;
use ml_report::console::Console;
use ml_report::progress::Progress;
use ml_report::run::RunReporter;
use ml_report::run_report;

use crate::args::Args;

/// What the command line asks for.
pub struct Request {
    pub resolved: Resolved,
    start: Start,
    placement: Placement,
}

impl Request {
    /// A new run, or one to resume.
    ///
    /// # Errors
    /// The configuration is wrong, or there is nothing to resume.
    pub fn new(args: &Args, overrides: &[Override]) -> anyhow::Result<Request> {
        let Some(target) = &args.resume else {
            let resolved = crate::resolve::resolve(args, overrides)?;
            let start = Start::of(&resolved.config).map_err(classified)?;
            let placement = new_run(args, &run_name(overrides));
            return Ok(Request { resolved, start, placement });
        };
        let options = ResumeOptions {
            target,
            runs_dir: &args.runs_dir,
            run_name: args.run_name.as_deref(),
            mode: if args.allow_changes { ResumeMode::AllowChanges } else { ResumeMode::Exact },
            rewind: args.rewind,
            looks: args.dry_run || args.print_config,
        };
        let text = crate::resolve::config_text(args)?;
        let resolve = |stored: Option<&str>| match (&text, stored) {
            (None, Some(stored)) => config::resolve(Some((stored, Source::Run)), overrides, &Origin::read),
            _ => crate::resolve::resolve_text(text.as_deref(), args, overrides),
        };
        let Resumed { resolved, start, existing, parent } =
            job::resume(options, &resolve).map_err(classified)?;
        let placement = match (existing, parent) {
            (Some(existing), _) => Placement::Existing(existing),
            (None, Some(parent)) if args.run_name.is_none() => beside(&parent),
            (None, _) => new_run(args, &run_name(overrides)),
        };
        Ok(Request { resolved, start, placement })
    }

    /// Trains.
    ///
    /// # Errors
    /// Anything that keeps the run from completing.
    pub fn run(
        self,
        args: &Args,
        (console, log): (Console, Log),
        stop: &Arc<AtomicUsize>,
        started: Instant,
    ) -> anyhow::Result<ExitCode> {
        let training = &self.resolved.config.training;
        let mut progress = Progress::new(console, training.batch_size, training.num_epochs);
        let (mut log, mut report) = (LogToRun(log), RunReporter::default());
        let mut reporters: Vec<&mut dyn Reporter> = vec![&mut log, &mut progress, &mut report];
        let words = std::env::args_os().map(|word| shell_quoted(Path::new(&word)));
        let command = Some(words.collect::<Vec<_>>().join(" "));
        let options = JobOptions { placement: self.placement, dry_run: args.dry_run, started, command };
        let prepared = Job::prepare(self.resolved.config, self.start, options, &mut reporters, stop);
        let job = match prepared {
            Err(JobError::Interrupted) => {
                tracing::warn!("interrupted before the first step");
                return Ok(interrupted(stop));
            }
            prepared => prepared.map_err(classified)?,
        };
        if args.dry_run {
            tracing::info!("--dry_run: everything is in order; nothing was written");
            return Ok(ExitCode::SUCCESS);
        }
        let Outcome { run, summary } = job.run(&mut reporters, stop).map_err(classified)?;
        // What was trained is safe, and the report can be made again.
        match run_report::write(&run) {
            Ok(path) => tracing::info!("report: {}", path.display()),
            Err(error) => tracing::warn!("no report: {error}"),
        }
        if summary.status == Status::Interrupted {
            tracing::warn!(
                "interrupted; the state is saved. Resume with: ml-train --resume {}",
                run.folder().display()
            );
            return Ok(interrupted(stop));
        }
        conclude(args, &run, &summary)
    }
}

/// The first free folder of this name, or exactly the one that was named.
fn new_run(args: &Args, name: &str) -> Placement {
    let taken = match &args.run_name {
        Some(_) if args.resume.is_some() => Taken::TakeOver,
        Some(_) => Taken::Refuse,
        None => Taken::Number,
    };
    let name = args.run_name.as_deref().unwrap_or(name).to_owned();
    Placement::New { runs_dir: args.runs_dir.clone(), name, taken }
}

/// A new run called after the one that it continues.
fn beside(parent: &Run) -> Placement {
    let folder = parent.folder();
    let runs_dir = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = folder.file_name().map_or_else(|| "base".into(), |name| name.to_string_lossy().into_owned());
    Placement::New { runs_dir: runs_dir.to_owned(), name, taken: Taken::Number }
}

/// What is wrong with what is requested, rather than with the run, is the caller's mistake: exit
/// code 2.
fn classified(error: JobError) -> anyhow::Error {
    if error.is_usage() { crate::resolve::usage(error) } else { error.into() }
}

fn interrupted(stop: &AtomicUsize) -> ExitCode {
    ExitCode::from(128 + stop.load(Ordering::Relaxed) as u8)
}

/// Writes the log into the run folder too.
struct LogToRun(Log);

impl Reporter for LogToRun {
    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        self.0.also_to_file(&start.run.logs_dir()).map_err(|error| ReportError(anyhow!(error).into()))
    }
}

fn conclude(args: &Args, run: &Run, summary: &Summary) -> anyhow::Result<ExitCode> {
    let Summary { best_epoch, best_val_accuracy, test_accuracy, .. } = summary;
    if let (Some(epoch), Some(accuracy)) = (best_epoch, best_val_accuracy) {
        tracing::info!("best validation accuracy {accuracy:.4} at epoch {epoch}");
    }
    if let Some(accuracy) = test_accuracy {
        tracing::info!("test accuracy {accuracy:.4}");
    }
    tracing::info!("results: {}", run.folder().display());
    if args.json {
        let mut json = serde_json::to_value(summary)?;
        json["run"] = serde_json::Value::String(run.folder().display().to_string());
        return exit::print(&json.to_string());
    }
    exit::print(&run.folder().display().to_string())
}
