//! `ml-train`: parse, resolve the configuration, claim or reopen a run folder, train, report.

// Printing panics where nobody listens.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod audit;
mod evaluate;
mod init;
mod resume;
mod session;
mod statistics;
mod summary;
mod weights;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{CommandFactory, Parser};
use ml_cli::console::start_log;
use ml_cli::exit::{UsageError, finish, print_completions};
use ml_cli::flags::normalized_args;
use ml_core::config::{self, Resolved, Source};
use ml_core::dataset::DatasetError;
use ml_core::device::keep_freed_memory;
use ml_core::run::RunError;
use ml_core::trainer::TrainError;
use ml_report::progress::Console;

use args::{Args, Command};
use session::Session;

fn main() -> ExitCode {
    let started = process_start();
    keep_freed_memory();
    let args = Args::parse_from(normalized_args());
    finish(|| run(&args, started).map_err(classified))
}

/// When this process was started, before libtorch was loaded: to a hundredth of a second, as the
/// kernel tells it.
fn process_start() -> Instant {
    let now = Instant::now();
    let since = || -> Option<Duration> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name may hold spaces and parentheses; the start is the 20th field after it, in ticks
        // since boot.
        let ticks: u64 = stat.rsplit_once(") ")?.1.split_whitespace().nth(19)?.parse().ok()?;
        let start = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from_secs_f64(boot.tv_sec as f64 + boot.tv_nsec as f64 / 1e9 - start).ok()
    };
    since().and_then(|since| now.checked_sub(since)).unwrap_or(now)
}

/// What is wrong with what was asked for, rather than with the run, is the caller's mistake: exit
/// code 2.
fn classified(error: anyhow::Error) -> anyhow::Error {
    let is_usage = error.chain().any(|cause| {
        let dataset = cause.downcast_ref::<DatasetError>().is_some_and(DatasetError::is_usage);
        let run = cause.downcast_ref::<RunError>().is_some_and(RunError::is_usage);
        let train = cause.downcast_ref::<TrainError>().is_some_and(TrainError::is_usage);
        dataset || run || train
    });
    if is_usage { usage(error) } else { error }
}

fn run(args: &Args, started: Instant) -> anyhow::Result<ExitCode> {
    if let Some(Command::Completions { shell }) = &args.command {
        return print_completions(*shell, &mut Args::command());
    }
    if args.print_schema {
        return ml_cli::exit::print(&serde_json::to_string_pretty(config::schema())?);
    }
    if args.list_architectures {
        return summary::list(args.json);
    }
    let console = Console::new(args.console.quiet == 0);
    let writer = console.clone();
    let log = start_log(&args.console, move || writer.writer());
    let overrides = args.overrides().map_err(usage)?;
    // Before a resumed run is touched, so that no signal leaves it half taken over.
    let stop = stop_on_signals()?;
    if let Some(data_dir) = &args.init_config {
        return init::print(data_dir, &overrides, &stop);
    }
    if args.summary {
        return summary::print(&resolve(args, &overrides)?.config, args.json);
    }
    let beginning = resume::find(args, &overrides)?;
    if args.print_config {
        return ml_cli::exit::print(config::annotated(&beginning.resolved).trim_end());
    }
    for warning in beginning.resolved.config.warnings() {
        tracing::warn!("{warning}");
    }
    let config = beginning.resolved.config.clone();
    let session = Session { args, console, log, overrides: &overrides, config, stop, started };
    session.run(beginning)
}

/// The configuration of a new run.
fn resolve(args: &Args, overrides: &[config::Override]) -> anyhow::Result<Resolved> {
    let text = args.config.as_ref().map(std::fs::read_to_string).transpose();
    let text = text.map_err(|source| {
        usage(config::ConfigError::Read { path: args.config.clone().unwrap_or_default(), source })
    })?;
    let base = text.as_deref().zip(args.config.clone().map(Source::File));
    config::resolve(base, overrides).map_err(usage)
}

/// A configuration that is wrong is the caller's mistake: exit code 2.
fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(UsageError(error.into()))
}

/// The first SIGINT or SIGTERM asks training to stop after its step; a second SIGINT ends the
/// process at once.
fn stop_on_signals() -> anyhow::Result<Arc<AtomicUsize>> {
    let stop = Arc::new(AtomicUsize::new(0));
    let asked_before = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let install = || -> std::io::Result<()> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        // Handlers run in this order: the exit is armed only by an earlier SIGINT. Schedulers send
        // SIGTERM more than once, and to whole groups of processes.
        signal_hook::flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, asked_before.clone())?;
        signal_hook::flag::register(SIGINT, asked_before.clone())?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, stop.clone(), signal as usize)?;
        }
        Ok(())
    };
    install().context("cannot install signal handlers")?;
    Ok(stop)
}
