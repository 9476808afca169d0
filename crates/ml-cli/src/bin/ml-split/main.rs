//! Divides a folder of class folders into splits, which it writes as index files or as a tree of links.
//! Neither links nor loads libtorch: it starts in milliseconds.

mod args;
mod check;
mod show;

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use ml_cli::exit::{self, UsageError};
use ml_cli::interrupt::Interrupt;
use ml_cli::{console, flags};
use ml_data::dataset::{Link, Plan, Source, SplitError, Written};

use args::{Args, Command};
use show::Outcome;

fn main() -> ExitCode {
    let args = Args::parse_from(flags::normalized_args());
    exit::finish(|| run(&args))
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Completions { shell }) = args.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "ml-split", &mut script);
        return exit::print(String::from_utf8_lossy(&script).trim_end());
    }
    console::start_log(&args.console, std::io::stderr);
    if let Some(Command::Check(what)) = &args.command {
        return check::run(what, args.console);
    }
    let division = args.division()?;
    let tree = args.tree()?;
    let interrupt = Interrupt::catch().context("cannot catch signals")?;
    if args.first.check
        && let Some(code) = check::first(args, &interrupt)?
    {
        return Ok(code);
    }
    let source = Source::open(args.image_dir()).map_err(|error| classified(error.into()))?;
    if !source.ignored().is_empty() {
        let kinds: Vec<_> = source.ignored().iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        tracing::info!("left out, as their names are not those of pictures: {}", kinds.join(", "));
    }
    let plan = source.plan(&division, args.seed).map_err(classified)?;
    for warning in plan.warnings() {
        tracing::warn!("{warning}");
    }
    let written = match (write(args, tree, &plan, &interrupt), interrupt.exit_code()) {
        (Err(SplitError::Interrupted), Some(code)) => {
            tracing::warn!("interrupted; nothing was written");
            return Ok(code);
        }
        (written, _) => written.map_err(classified)?,
    };
    let outcome = Outcome { plan: &plan, written: &written, dry_run: args.dry_run };
    exit::print(&if args.json { outcome.json()? } else { outcome.table() })
}

/// Writes the plan, or only says where it would go.
fn write(args: &Args, tree: Option<Link>, plan: &Plan, interrupt: &Interrupt) -> Result<Written, SplitError> {
    let output = args.output.as_deref();
    match (tree, args.dry_run) {
        (None, false) => plan.write_index(output, args.force),
        (Some(link), false) => plan.write_folders(output, link, args.force, || interrupt.flow().is_break()),
        (None, true) => tell_if_taken(plan.check_index(output, args.force), || Ok(plan.index_place(output))),
        (Some(_), true) => {
            tell_if_taken(plan.check_folders(output, args.force), || plan.folders_place(output))
        }
    }
}

/// A dry run shows its numbers even if the place is taken.
fn tell_if_taken(
    checked: Result<Written, SplitError>,
    place: impl FnOnce() -> Result<Written, SplitError>,
) -> Result<Written, SplitError> {
    match checked {
        Err(taken @ (SplitError::Exists { .. } | SplitError::NotOurs { .. })) => {
            tracing::warn!("{taken}");
            place()
        }
        other => other,
    }
}

/// With the exit code that the error calls for.
fn classified(error: SplitError) -> anyhow::Error {
    if error.is_usage() { UsageError(error.into()).into() } else { error.into() }
}
