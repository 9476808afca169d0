//! ml-visualise: run folders → TensorBoard, reports, tables and pictures.

// Printing panics where nobody listens.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod address;
mod args;
mod cam;
mod child;
mod clean;
mod compare;
mod curves;
mod embed;
mod events;
mod launch;
mod locate;
mod model;
mod runs;
mod samples;
mod width;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use ml_cli::exit::{self, UsageError, finish, leave};
use ml_cli::flags::parse;
use ml_core::run::{Run, RunError, RunGroup};
use ml_report::{run_group, run_report};

use args::{Args, Command};

fn main() -> ! {
    let args: Args = parse();
    leave(finish(|| run(&args)))
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let quiet = args.console.quiet > 0;
    match &args.command {
        Some(Command::Completions { shell }) => exit::print_completions(*shell, &mut Args::command()),
        Some(Command::Report { runs }) => report(runs),
        Some(Command::Runs(runs)) => runs::run(runs),
        Some(Command::Curves(curves)) => curves::run(curves),
        Some(Command::Compare(compare)) => compare::run(compare),
        Some(Command::Samples(samples)) => samples::run(samples),
        Some(Command::Cam(cam)) => cam::run(cam),
        Some(Command::Embed(embed)) => embed::run(embed),
        Some(Command::Clean(clean)) => clean::run(clean),
        Some(Command::Launch(launch)) => launch::run(launch, quiet),
        None => launch::run(&args.launch, quiet),
    }
}

/// What a report is of.
enum Reported {
    Run(Run),
    /// Runs over folds or seeds.
    Group(RunGroup),
}

/// Writes the report of each run, or of each folder of runs, and prints where it is.
fn report(folders: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let open = |folder: &PathBuf| -> Result<Reported, RunError> {
        Ok(match RunGroup::open(folder)? {
            Some(group) => Reported::Group(group),
            None => Reported::Run(Run::open(folder)?),
        })
    };
    let opened = folders.iter().map(open).collect::<Result<Vec<_>, _>>();
    let opened = opened.map_err(|error| UsageError(error.into()))?;
    let mut written = Vec::new();
    for reported in &opened {
        let page = match reported {
            Reported::Run(run) => run_report::write(run)?,
            Reported::Group(group) => run_group::write(group)?,
        };
        written.push(page.display().to_string());
    }
    exit::print(&written.join("\n"))
}
