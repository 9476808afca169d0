//! `ml-search`: parse, check the space against the configuration, train trials with `ml-train`,
//! report.

// Printing panics where nobody listens.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod check;
mod launch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::CommandFactory;
use ml_cli::exit::{self, finish, leave, print_completions};
use ml_cli::interrupt::Interrupt;
use ml_cli::{console, flags};
use ml_core::config::Config;
use ml_core::distributed::Environment;
use ml_core::run::RunLock;
use ml_data::dataset::shell_quoted;
use ml_data::files::read_text;
use ml_report::search_report;
use ml_search::{Driver, Outcome, SamplerKind, Settings, State, StateError, Status};

use args::{Args, Command};
use check::usage;
use launch::{TrainLauncher, config_path};

/// Where searches are made.
const SEARCHES: &str = "searches";

fn main() -> ! {
    let args: Args = flags::parse();
    leave(finish(|| run(&args)))
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Completions { shell }) = args.command {
        return print_completions(shell, &mut Args::command());
    }
    console::start_log(&args.console, std::io::stderr);
    if Environment::of_process().map_err(usage)?.is_some() {
        return Err(usage(anyhow!(
            "ml-search is one process, which starts others itself; start it without torchrun or srun, and train \
             several trials at a time with `parallel`"
        )));
    }
    // Before there is a trial, so that none is left behind.
    let interrupt = Interrupt::install_without_exit().context("cannot catch signals")?;
    let (folder, mut state) = match (&args.resume, &args.search) {
        (Some(folder), _) => (folder.clone(), State::read(folder).map_err(classified)?),
        (None, Some(file)) => match begin(args, file)? {
            Some(begun) => begun,
            None => return Ok(ExitCode::SUCCESS),
        },
        (None, None) => return exit::usage("give a search.yaml, or --resume DIR"),
    };
    let _lock = RunLock::take(&folder).context("the search")?;
    if args.resume.is_some() {
        // Read again: another process may have had it until now.
        state = State::read(&folder).map_err(classified)?;
        extend(&mut state, args);
        atomic_file::remove_leftovers(&folder).context("cannot clean up the folder of the search")?;
    }
    search(args, &folder, state, &interrupt)
}

/// A search that is not there is the caller's mistake: exit code 2.
fn classified(error: StateError) -> anyhow::Error {
    if matches!(error, StateError::NotASearch(_)) { usage(error) } else { error.into() }
}

/// What `--trials` and `--time` say.
fn extend(state: &mut State, args: &Args) {
    let budget = &mut state.settings.budget;
    if let Some(trials) = args.trials {
        budget.trials = trials.get();
    }
    if let Some(seconds) = args.time {
        budget.seconds = Some(seconds);
    }
}

/// Checks a `search.yaml` and makes the folder of its search; none with `--dry_run`.
fn begin(args: &Args, file: &Path) -> anyhow::Result<Option<(PathBuf, State)>> {
    let text = read_text(file).with_context(|| format!("{}: cannot read the search", file.display()));
    let settings = Settings::parse(&text.map_err(usage)?);
    let settings = settings.with_context(|| file.display().to_string()).map_err(usage)?;
    let base = settings.config.as_deref().map(|path| beside(file, path));
    let text = match &base {
        Some(path) => read_text(path)
            .with_context(|| format!("config: {}: cannot read the configuration", path.display()))
            .map_err(usage)?,
        None => String::new(),
    };
    let config = check::check(&settings, base.as_deref().unwrap_or(Path::new("the defaults")), &text)?;
    let threads = threads_of(&settings, &config);
    let directory = std::env::current_dir().context("the working directory is gone")?;
    let num_epochs = config.training.num_epochs as u64;
    let mut state = State::new(settings, num_epochs, directory, threads);
    extend(&mut state, args);
    if args.dry_run {
        tracing::info!("--dry_run: everything is in order; nothing was written");
        return Ok(None);
    }
    let name = file.file_stem().unwrap_or(file.as_os_str());
    let folder = args.output.clone().unwrap_or_else(|| Path::new(SEARCHES).join(name));
    let cannot_make = || format!("{}: cannot make the folder of the search", folder.display());
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        fs::create_dir_all(above).with_context(cannot_make)?;
    }
    match fs::create_dir(&folder) {
        // Killed before it wrote its state, a search has not begun.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && is_bare(&folder) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return exit::usage(format_args!(
                "{0}: exists already; resume it with `ml-search --resume {1}`, or choose another --output",
                folder.display(),
                shell_quoted(&folder)
            ));
        }
        made => made.with_context(cannot_make)?,
    }
    atomic_file::replace(&config_path(&folder), text.as_bytes()).with_context(cannot_make)?;
    state.write(&folder)?;
    Ok(Some((folder, state)))
}

/// Whether a folder holds nothing, or no more than what comes before the state of a search.
fn is_bare(folder: &Path) -> bool {
    let is_early = |name: &str| name == "config.yaml" || name.starts_with('.');
    fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| is_early(&entry.file_name().to_string_lossy())))
    })
}

/// `path` as it stands in `file`: relative to where the program was started, or else to the file.
fn beside(file: &Path, path: &Path) -> PathBuf {
    let near = file.parent().map(|folder| folder.join(path));
    near.filter(|near| !path.exists() && near.exists()).unwrap_or_else(|| path.to_owned())
}

/// The share of the processors that each of several trials at a time has, unless the configuration
/// says it.
fn threads_of(settings: &Settings, config: &Config) -> Option<usize> {
    let is_given = config.training.threads.given().is_some() || config.data.num_workers.given().is_some();
    if settings.parallel == 1 || is_given {
        return None;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Some((cores / settings.parallel).max(1))
}

/// Trains what is left, and reports.
fn search(args: &Args, folder: &Path, state: State, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    state.write(folder)?;
    let launcher = TrainLauncher::new(folder, &state).context("cannot start trials")?;
    let mut driver = Driver::new(folder, state, launcher);
    let outcome = driver.run(&|| interrupt.signal().is_some());
    let state = driver.state();
    let report = search_report::write(folder, state)?;
    let outcome = outcome?;
    let resume = format!("ml-search --resume {}", shell_quoted(folder));
    if outcome == Outcome::Interrupted {
        tracing::warn!("interrupted; the state is saved. Resume with: {resume}");
        return Ok(interrupt.exit_code().unwrap_or(ExitCode::from(143)));
    }
    if outcome == Outcome::OutOfTime {
        tracing::info!("the time is used up; to search for longer: {resume} --time 4h");
    }
    tell_counts(state);
    tracing::info!("report: {}", report.display());
    if args.json {
        return exit::print(&result(folder, state).to_string());
    }
    exit::print(&folder.display().to_string())
}

fn tell_counts(state: &State) {
    let statuses = [Status::Completed, Status::Pruned, Status::Paused, Status::Running, Status::Failed];
    let counts = statuses.map(|status| (status.name(), state.count(status)));
    let shown = counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}"));
    tracing::info!("{} trials: {}", state.trials.len(), shown.collect::<Vec<_>>().join(", "));
    let metric = &state.settings.metric;
    if let Some(best) = state.best()
        && let Some(value) = best.best(metric)
    {
        tracing::info!("best {} {value:.4}: trial {}", metric.name(), best.name());
    }
    if state.settings.sampler == SamplerKind::Grid && state.trials.len() < state.settings.budget.trials {
        tracing::info!("the grid has no more than these");
    }
}

/// What `--json` prints.
fn result(folder: &Path, state: &State) -> serde_json::Value {
    let best = state.best().map(|trial| {
        serde_json::json!({
            "trial": trial.name(),
            "value": trial.best(&state.settings.metric),
            "parameters": trial.parameters.iter().cloned().collect::<serde_json::Map<_, _>>(),
            "run": search_report::trials_dir(folder).join(trial.name()).display().to_string(),
        })
    });
    serde_json::json!({
        "search": folder.display().to_string(),
        "metric": state.settings.metric.name(),
        "trials": state.trials.len(),
        "completed": state.count(Status::Completed),
        "best": best,
        "config": folder.join("best.yaml").display().to_string(),
    })
}
