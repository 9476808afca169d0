//! From the command line to a [`Job`], and from its outcome to stdout and an exit code.

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::anyhow;
use ml_cli::console::{Log, colored};
use ml_cli::exit;
use ml_core::config::{self, Override, Resolved, Source};
use ml_core::device::PrecisionChoice;
use ml_core::distributed::World;
use ml_core::inference::{Device, LoadedModel, UseEma};
use ml_core::job::{
    self, Job, JobError, JobOptions, Outcome, Placement, ResumeOptions, Resumed, Start, Taken,
};
use ml_core::run::{GroupMember, Note, Run, RunGroup, Status, Summary, run_name};
use ml_core::trainer::{ReportError, Reporter, ResumeMode, RunStart, Stop};
use ml_core::weights::Origin;
use ml_data::dataset::shell_quoted;
use ml_report::cam::{self, CamError};
use ml_report::console::Console;
use ml_report::dashboard::{DashboardReporter, RunInfo, Screen, SharedDashboard, Theme};
use ml_report::progress::Progress;
use ml_report::run::RunReporter;
use ml_report::run_report;

use crate::args::Args;
use crate::preset::{self, Settings, settings};

/// What the command line asks for.
pub struct Request {
    pub resolved: Resolved,
    start: Start,
    placement: Placement,
    notes: Vec<Note>,
}

impl Request {
    /// A new run, or one to resume.
    ///
    /// # Errors
    /// The configuration is wrong, or there is nothing to resume.
    pub fn new(args: &Args, overrides: &[Override], stop: &Stop) -> anyhow::Result<Request> {
        let Some(target) = &args.resume else {
            let Settings { resolved, notes } = settings(args, overrides, stop)?;
            let start = Start::of(&resolved.config).map_err(classified)?;
            let placement = new_run(args, &preset::run_name(args, overrides));
            return Ok(Request { resolved, start, placement, notes });
        };
        // Says that a preset is not for it.
        preset::wanted(args, overrides)?;
        let notes = Vec::new();
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
        Ok(Request { resolved, start, placement, notes })
    }

    /// A run of a group: one that begins, or continues in its folder.
    ///
    /// # Errors
    /// As [`Request::new`].
    pub fn of_group(
        group: &RunGroup,
        member: &GroupMember,
        overrides: &[Override],
    ) -> anyhow::Result<Request> {
        let folder = group.folder().join(&member.name);
        if Run::open(&folder).is_ok() {
            let options = ResumeOptions {
                target: &folder,
                runs_dir: group.folder(),
                run_name: None,
                mode: ResumeMode::Exact,
                rewind: false,
                looks: false,
            };
            let resolve = |stored: Option<&str>| {
                config::resolve(stored.map(|text| (text, Source::Run)), overrides, &Origin::read)
            };
            let Resumed { resolved, start, existing, .. } =
                job::resume(options, &resolve).map_err(classified)?;
            if let Some(existing) = existing {
                let (placement, notes) = (Placement::Existing(existing), Vec::new());
                return Ok(Request { resolved, start, placement, notes });
            }
        }
        let (text, mut given) = (group.config_text()?, overrides.to_vec());
        given.push(group.overrides(member));
        let resolved = config::resolve(Some((&text, Source::Run)), &given, &Origin::read);
        let resolved = resolved.map_err(crate::resolve::usage)?;
        let start = Start::of(&resolved.config).map_err(classified)?;
        let (runs_dir, name) = (group.folder().to_owned(), member.name.clone());
        let placement = Placement::New { runs_dir, name, taken: Taken::TakeOver };
        Ok(Request { resolved, start, placement, notes: Vec::new() })
    }

    /// Trains, and says how it ended on stdout.
    ///
    /// # Errors
    /// Anything that keeps the run from completing.
    pub fn run(
        self,
        world: &Rc<World>,
        args: &Args,
        terminal: &Terminal,
        process: Process<'_>,
    ) -> anyhow::Result<ExitCode> {
        match self.train(world, args, terminal, process, RunReporter::default())? {
            Ended::Checked => Ok(ExitCode::SUCCESS),
            Ended::Whole(run, summary) => conclude(args, &run, &summary),
            Ended::Interrupted(run) => {
                if let Some(run) = run {
                    tracing::warn!(
                        "interrupted; the state is saved. Resume with: ml-train --resume {}",
                        run.folder().display()
                    );
                }
                Ok(interrupted(process.stop))
            }
        }
    }

    /// Trains.
    ///
    /// # Errors
    /// Anything that keeps the run from completing.
    pub fn train(
        self,
        world: &Rc<World>,
        args: &Args,
        terminal: &Terminal,
        Process { stop, started }: Process<'_>,
        mut report: RunReporter,
    ) -> anyhow::Result<Ended> {
        let config = &self.resolved.config;
        let batch_size = config.training.batch_size;
        // Not known yet where a limit takes their place.
        let num_epochs = config.training.whole_epochs().unwrap_or(0);
        // Gone, and the terminal as it was, when this function ends.
        let (mut progress, _screen): (Box<dyn Reporter>, _) = match &terminal.dashboard {
            None => (Box::new(Progress::new(terminal.console.clone(), batch_size, num_epochs)), None),
            Some(dashboard) => {
                let theme = Theme::new(colored(args.console.color));
                let screen = Screen::enter(dashboard, theme)
                    .map_err(|error| crate::resolve::usage(anyhow!("--ui tui: {error}")))?;
                let info = RunInfo {
                    network: config.model.name().into_owned(),
                    device: config.training.device.to_string(),
                    batch_size,
                    num_epochs: num_epochs as u64,
                    lr: config.optimizer.lr(),
                    ..RunInfo::default()
                };
                (Box::new(DashboardReporter::new(dashboard.clone(), info)), Some(screen))
            }
        };
        let mut log = LogToRun(terminal.log.clone());
        let mut reporters: Vec<&mut dyn Reporter> = vec![&mut log, progress.as_mut(), &mut report];
        let words = std::env::args_os().map(|word| shell_quoted(Path::new(&word)));
        let command = Some(words.collect::<Vec<_>>().join(" "));
        let (placement, dry_run, notes) = (self.placement, args.dry_run, self.notes);
        let options = JobOptions { placement, dry_run, started, command, notes };
        let (world, config) = (Rc::clone(world), self.resolved.config);
        let job = match Job::prepare_among(world, config, self.start, options, &mut reporters, stop) {
            Err(JobError::Interrupted) => {
                tracing::warn!("interrupted before the first step");
                return Ok(Ended::Interrupted(None));
            }
            prepared => prepared.map_err(classified)?,
        };
        if args.dry_run {
            tracing::info!("--dry_run: everything is in order; nothing was written");
            return Ok(Ended::Checked);
        }
        let device = job.device();
        let Outcome { run, summary } = job.run(&mut reporters, stop).map_err(classified)?;
        if summary.status.is_final()
            && let Err(reason) = explain(&run, device)
        {
            tracing::info!("the report will not show where the network looks: {reason}");
        }
        // What was trained is safe, and the report can be made again.
        match run_report::write(&run) {
            Ok(path) => tracing::info!("report: {}", path.display()),
            Err(error) => tracing::warn!("no report: {error}"),
        }
        if summary.status == Status::Interrupted {
            return Ok(Ended::Interrupted(Some(run)));
        }
        Ok(Ended::Whole(run, Box::new(summary)))
    }
}

/// Grad-CAM overlays for the report.
fn explain(run: &Run, device: Device) -> Result<(), CamError> {
    let model = LoadedModel::open(run.folder(), device, PrecisionChoice::Auto, UseEma::Auto)?;
    cam::of_run(run, &model).map(drop)
}

/// Where progress and log lines go.
pub struct Terminal {
    /// For lines and bars.
    pub console: Console,
    /// The run's log file.
    pub log: Log,
    /// For `--ui tui`.
    pub dashboard: Option<SharedDashboard>,
}

/// What a run knows of its process.
#[derive(Clone, Copy)]
pub struct Process<'a> {
    /// The number of the signal that asks to stop.
    pub stop: &'a Arc<AtomicUsize>,
    /// When it was started.
    pub started: Instant,
}

/// How a run ended.
pub enum Ended {
    /// By `--dry_run`.
    Checked,
    /// All its epochs are done, or it has stopped early.
    Whole(Run, Box<Summary>),
    /// By a signal; no run if that came before the first step.
    Interrupted(Option<Run>),
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
pub fn classified(error: JobError) -> anyhow::Error {
    if error.is_usage() { crate::resolve::usage(error) } else { error.into() }
}

/// Its number.
const SIGTERM: u8 = 15;

/// The exit code that says which signal it was.
pub fn interrupted(stop: &AtomicUsize) -> ExitCode {
    let signal = match stop.load(Ordering::Relaxed) {
        // It came to another process of the training, and this one stops with it.
        0 => SIGTERM,
        signal => signal as u8,
    };
    ExitCode::from(128 + signal)
}

/// Writes the log into the run folder too.
struct LogToRun(Log);

impl Reporter for LogToRun {
    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        self.0.also_to_file(&start.run.logs_dir()).map_err(|error| ReportError(anyhow!(error).into()))
    }
}

fn conclude(args: &Args, run: &Run, summary: &Summary) -> anyhow::Result<ExitCode> {
    let Summary { best_epoch, best_val_accuracy, best_val_map, test_accuracy, test_map, .. } = summary;
    if let (Some(epoch), Some(map)) = (best_epoch, best_val_map) {
        tracing::info!("best validation mAP {map:.4} at epoch {epoch}");
    } else if let (Some(epoch), Some(accuracy)) = (best_epoch, best_val_accuracy) {
        tracing::info!("best validation accuracy {accuracy:.4} at epoch {epoch}");
    }
    if let Some(map) = test_map {
        tracing::info!("test mAP {map:.4}");
    } else if let Some(accuracy) = test_accuracy {
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
