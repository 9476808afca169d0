//! Divides a folder of class folders, or the images of a CSV, into splits, which it writes as index
//! files or as a tree of links. Neither links nor loads libtorch: it starts in milliseconds.

// Printing panics where nobody listens.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod check;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use ml_cli::exit::{self, UsageError};
use ml_cli::interrupt::Interrupt;
use ml_cli::{console, flags};
use ml_data::check::{DuplicateGroups, Report};
use ml_data::dataset::{Grouping, Link, Plan, Source, SplitError, Written, read_labels, read_paths};

use args::{Args, Command, Duplicates, Groups, LayoutName, OnLeak, TaskName};
use show::Outcome;

fn main() -> ExitCode {
    let args: Args = flags::parse();
    exit::finish(|| run(&args))
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Completions { shell }) = args.command {
        return exit::print_completions(shell, &mut Args::command());
    }
    console::start_log(&args.console, std::io::stderr);
    if let Some(Command::Check(what)) = &args.command {
        return check::run(what, args.console);
    }
    args.check_task()?;
    let division = args.division()?;
    let tree = args.tree()?;
    let interrupt = Interrupt::install().context("cannot catch signals")?;
    let groups = args.groups()?;
    let report = if args.first.check {
        match check::first(args, &interrupt)? {
            Ok(report) => Some(report),
            Err(code) => return Ok(code),
        }
    } else {
        None
    };
    let source = match (open(args, &groups, report.as_ref(), &interrupt), interrupt.exit_code()) {
        (Err(_), Some(code)) => {
            tracing::warn!("interrupted; nothing was written");
            return Ok(code);
        }
        (source, _) => source?,
    };
    if !source.left_out().is_empty() {
        tracing::info!("left out: {}", source.left_out());
    }
    let plan = if source.has_split_column() {
        if args.ratio.is_some() || args.folds.is_some() {
            let csv = args.image_dir().display();
            return exit::usage(format!(
                "--ratio, --folds: {csv} says in its column `split` which split each image is in; leave the flag \
                 out, or the column"
            ));
        }
        source.plan_given(args.on_leak == OnLeak::Warn)
    } else {
        source.plan(&division, args.seed)
    };
    let plan = plan.map_err(classified)?;
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

/// The images, and what of them stays together.
fn open(
    args: &Args,
    groups: &Groups,
    report: Option<&Report>,
    interrupt: &Interrupt,
) -> anyhow::Result<Source> {
    let multi_label = args.task == TaskName::MultiLabel;
    let opened = match (args.is_csv(), args.first_csv_flag()) {
        (true, _) if multi_label => Source::open_csv_multi_label(args.image_dir(), &args.csv_options()),
        (true, _) => Source::open_csv(args.image_dir(), &args.csv_options()),
        (false, None) if multi_label => Source::open_multi_label(args.image_dir()),
        (false, None) => Source::open(args.image_dir()),
        (false, Some(flag)) => {
            return exit::usage(format!(
                "{flag} goes with a CSV of labels, and {} is none; leave it out",
                args.image_dir().display()
            ));
        }
    };
    let mut source = opened.map_err(|error| classified(error.into()))?;
    for note in source.notes() {
        tracing::info!("{note}");
    }
    if !source.ignored_columns().is_empty() {
        tracing::info!("columns left out: {}", source.ignored_columns().join(", "));
    }
    correct(args, &mut source)?;
    match groups {
        Groups::By(grouping) => source.group_by(grouping).map_err(classified)?,
        Groups::Default if source.has_group_column() => {
            tracing::info!("images stay together by the column `group` (--group_by none ignores it)");
            source.group_by(&Grouping::Column).map_err(classified)?;
        }
        Groups::None | Groups::Default => {}
    }
    if args.duplicates == Duplicates::KeepTogether {
        source.keep_duplicates_together(|| interrupt.flow().is_break()).map_err(classified)?;
        // What only looks alike is known if the images were examined.
        if let Some(report) = report {
            let DuplicateGroups { same_pixels, near, .. } = report.duplicate_groups();
            let text = |path: &PathBuf| path.to_string_lossy().into_owned();
            let sets: Vec<Vec<String>> =
                same_pixels.iter().chain(&near).map(|set| set.iter().map(text).collect()).collect();
            source.keep_together(&sets).map_err(classified)?;
        }
    }
    Ok(source)
}

/// Leaves images out and relabels others.
fn correct(args: &Args, source: &mut Source) -> anyhow::Result<()> {
    if let Some(file) = &args.relabel {
        if !args.is_csv() && args.layout == LayoutName::Index && args.task == TaskName::SingleLabel {
            return exit::usage(
                "--relabel: index files name images of class folders, whose class is that of their folder; add \
                 --layout folders, which makes a tree with the new classes",
            );
        }
        let labels = read_labels(file).map_err(classified)?;
        let count = source.relabel(&labels).map_err(classified)?;
        tracing::info!("relabelled: {count} of the {} images of {}", labels.len(), file.display());
    }
    if let Some(file) = &args.exclude {
        let paths = read_paths(file).map_err(classified)?;
        let count = source.exclude(&paths).map_err(classified)?;
        tracing::info!("excluded: {count} images of {}", file.display());
    }
    Ok(())
}

/// Writes the plan, or only says where it would go.
fn write(args: &Args, tree: Option<Link>, plan: &Plan, interrupt: &Interrupt) -> Result<Written, SplitError> {
    let output = args.output.as_deref();
    match (tree, args.dry_run) {
        (None, false) => plan.write_index(output, args.force),
        (Some(link), false) => plan.write_folders(output, link, args.force, || interrupt.flow().is_break()),
        (None, true) => warn_if_exists(plan.check_index(output, args.force), || Ok(plan.index_place(output))),
        (Some(_), true) => {
            warn_if_exists(plan.check_folders(output, args.force), || plan.folders_place(output))
        }
    }
}

/// A dry run shows its numbers even if the place is taken.
fn warn_if_exists(
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
