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
use ml_cli::exit::{self, UsageError, finish};
use ml_cli::flags::parse;
use ml_core::run::Run;
use ml_report::run_report;

use args::{Args, Command};

fn main() -> ExitCode {
    let args: Args = parse();
    finish(|| run(&args))
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

/// Writes the report of each run, and prints where it is.
fn report(folders: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let runs = folders.iter().map(|folder| Run::open(folder)).collect::<Result<Vec<_>, _>>();
    let runs = runs.map_err(|error| UsageError(error.into()))?;
    let mut written = Vec::new();
    for run in &runs {
        written.push(run_report::write(run)?.display().to_string());
    }
    exit::print(&written.join("\n"))
}
