//! `ml-train`: parse, resolve the configuration, claim or reopen a run folder, train, report.

// Printing panics where nobody listens.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod group;
mod init;
mod measure;
mod preset;
mod ranks;
mod resolve;
mod schedule;
mod soup;
mod summary;
mod train;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::CommandFactory;
use ml_cli::console::{RankWriter, draws_bars, rank, set_rank, start_log};
use ml_cli::exit::{abort, finish, leave, print_completions};
use ml_cli::flags::{ConsoleArgs, parse};
use ml_cli::interrupt::Interrupt;
use ml_core::config::{self, Override};
use ml_core::dataset::DatasetError;
use ml_core::device::{keep_freed_memory, set_cublas_workspace, tell_warnings};
use ml_core::distributed::World;
use ml_core::job::{JobError, tell_config};
use ml_data::files::variable_in;
use ml_report::console::Console;
use ml_report::dashboard::SharedDashboard;

use args::{Args, Command, Ui};
use group::Group;
use preset::settings;
use resolve::usage;
use train::{Process, Request, Terminal};

fn main() -> ! {
    let started = process_start();
    keep_freed_memory();
    set_cublas_workspace();
    let args: Args = parse();
    leave(finish(|| run(&args, started).map_err(classified)))
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

/// A data folder that is none is the caller's mistake: exit code 2.
fn classified(error: anyhow::Error) -> anyhow::Error {
    let is_usage =
        error.chain().any(|cause| cause.downcast_ref::<DatasetError>().is_some_and(DatasetError::is_usage));
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
    if args.list_presets {
        return preset::list();
    }
    if let Some(count) = args.nproc
        && args.plot_schedule.is_none()
    {
        return ranks::launch(count);
    }
    let environment = ranks::environment()?;
    if let Some(flag) = args.measures()
        && environment.is_some()
    {
        return ml_cli::exit::usage(format!("{flag}: is for one process; start it without torchrun"));
    }
    set_rank(environment.as_ref().map_or(0, |environment| environment.rank));
    let console = Console::new(draws_bars(&args.console));
    let dashboard = (args.ui == Ui::Tui).then(|| SharedDashboard::new(Instant::now()));
    let log = match dashboard.clone() {
        _ if rank() > 0 => {
            let quiet = if args.all_ranks { args.console.quiet } else { args.console.quiet.max(1) };
            let verbose = if args.all_ranks { args.console.verbose } else { 0 };
            start_log(&ConsoleArgs { quiet, verbose, ..args.console }, || RankWriter)
        }
        Some(dashboard) => start_log(&args.console, move || dashboard.log_writer()),
        None => {
            let writer = console.clone();
            start_log(&args.console, move || writer.writer())
        }
    };
    tell_warnings(|text| tracing::warn!("libtorch: {text}"))?;
    let overrides = args.overrides().map_err(usage)?;
    // Before a resumed run is touched, so that no signal leaves it half taken over.
    let interrupt = match args.ui {
        Ui::Lines => Interrupt::install(),
        // So that a second Ctrl-C leaves the terminal as it was.
        Ui::Tui => Interrupt::install_with_exit(ml_report::dashboard::restore),
    };
    let stop = interrupt.context("cannot catch signals")?.flag();
    if let Some(data_dir) = &args.init_config {
        return init::print(data_dir, &overrides, &stop);
    }
    if !args.soup.is_empty() {
        if environment.is_some() {
            return ml_cli::exit::usage("--soup: one process does it; start it without torchrun");
        }
        return soup::make(args, &args.soup, &overrides, &stop);
    }
    if args.summary {
        return summary::print(&settings(args, &overrides, &stop)?.resolved.config, args.json);
    }
    if let Some(path) = &args.plot_schedule {
        // Of several processes, one draws for all.
        if rank() > 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let processes = args.nproc.map_or(1, NonZeroUsize::get);
        let processes = environment.as_ref().map_or(processes, |environment| environment.world_size);
        return schedule::plot(&settings(args, &overrides, &stop)?.resolved.config, path, processes);
    }
    if args.measures().is_some() {
        let config = settings(args, &overrides, &stop)?.resolved.config;
        return measure::run(args, config, &console, Process { stop: &stop, started });
    }
    let terminal = Terminal { console, log, dashboard };
    let process = Process { stop: &stop, started };
    if args.print_config {
        let request = Request::new(args, &overrides, &stop)?;
        return ml_cli::exit::print(config::annotated(&request.resolved).trim_end());
    }
    let world = ranks::join(environment, args, &overrides)?;
    world.when_others_end(|reason| {
        ml_report::dashboard::restore();
        abort(reason)
    });
    ranks::among(&world, || {
        ranks::check(&world, args)?;
        if world.is_first() {
            train(&world, args, &overrides, &terminal, process)
        } else {
            ranks::take_part(&world, args, process)
        }
    })
}

/// Whether a signal came before there was a run.
fn is_interrupted(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<JobError>(), Some(JobError::Interrupted))
}

/// Trains what the command line asks for, with the other processes of `world`, whose first this is.
fn train(
    world: &Rc<World>,
    args: &Args,
    overrides: &[Override],
    terminal: &Terminal,
    process: Process<'_>,
) -> anyhow::Result<ExitCode> {
    if world.is_alone()
        && let Some(code) = group::resume(args, overrides, terminal, process)?
    {
        return Ok(code);
    }
    let request = match Request::new(args, overrides, process.stop) {
        Err(error) if is_interrupted(&error) => {
            tracing::warn!("interrupted before the first step");
            return Ok(train::interrupted(process.stop));
        }
        request => request?,
    };
    for warning in request.resolved.warnings() {
        tracing::warn!("{warning}");
    }
    let data_dir = &request.resolved.config.data.data_dir;
    if let Some(variable) = variable_in(data_dir).filter(|_| !data_dir.exists()) {
        tracing::warn!(
            "data.data_dir: `{variable}` is not replaced by the variable's value; write the path in full, or with ~/"
        );
    }
    tell_config(world, &request.resolved.config).map_err(train::classified)?;
    match Group::new(args, overrides, &request.resolved.config)? {
        // Of several runs, the first is checked.
        Some(group) if !args.dry_run => group.run(args, terminal, process),
        _ => request.run(world, args, terminal, process),
    }
}
