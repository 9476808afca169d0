//! `ml-split check DIR`, and `--check` before splitting: examines, prints, writes the report.

pub mod args;
mod progress;
mod table;

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use ml_cli::console::draws_bars;
use ml_cli::exit::{self, UsageError};
use ml_cli::flags::ConsoleArgs;
use ml_cli::interrupt::Interrupt;
use ml_data::check::{CheckError, Finding, HTML_FILE, Options, Output, Report, Severity, Survey};

use crate::args::Args;
use args::CheckArgs;
use progress::Meter;

/// The subcommand.
pub fn run(args: &CheckArgs, console: ConsoleArgs) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot catch signals")?;
    let survey = Survey::open(&args.dir).map_err(classified)?;
    let output = if args.no_report {
        None
    } else {
        Some(Output::claim(&survey, args.output.as_deref()).map_err(classified)?)
    };
    let options =
        Options { threads: args.num_workers, near_distance: args.near_distance, ..Options::default() };
    let report = match examine(survey, &options, console, &interrupt)? {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    if let Some(output) = &output {
        output.write(&report).map_err(classified)?;
    }
    if args.json {
        exit::print(report.to_json()?.trim_end())?;
    } else {
        exit::print(&table::text(&report, output.as_ref(), &args.dir))?;
    }
    Ok(if report.count(Severity::Error) > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// `--check`: says on stderr what was found, and refuses to split if images cannot be read. The
/// report, or an exit code if it was interrupted.
pub fn first(args: &Args, interrupt: &Interrupt) -> anyhow::Result<Result<Report, ExitCode>> {
    if args.is_csv() {
        return exit::usage("--check examines a folder of class folders, not a CSV of labels");
    }
    let survey = Survey::open(args.image_dir()).map_err(classified)?;
    let output = if args.first.no_report || args.dry_run {
        None
    } else {
        Some(Output::claim(&survey, None).map_err(classified)?)
    };
    let report = match examine(survey, &Options::default(), args.console, interrupt)? {
        Ok(report) => report,
        Err(code) => return Ok(Err(code)),
    };
    for kind in &report.kinds {
        let example = kind.example.as_ref().map_or_else(String::new, |path| format!("{path}: "));
        let line = format!("{} ({}), for example {example}{}", kind.kind.title(), kind.count, kind.message);
        match kind.severity {
            Severity::Error | Severity::Warning => tracing::warn!("{line}"),
            Severity::Note => tracing::info!("{line}"),
        }
    }
    if let Some(output) = &output {
        output.write(&report).map_err(classified)?;
        tracing::info!("report: {}", output.paths()[1].display());
    }
    match (report.unusable(), args.first.allow_unreadable) {
        (0, _) => {}
        (count, true) => tracing::warn!("{count} images cannot be read, and are split like the others"),
        (count, false) => return Err(refusal(&report, count, output.is_some())),
    }
    Ok(Ok(report))
}

/// Why nothing is split.
fn refusal(report: &Report, count: usize, written: bool) -> anyhow::Error {
    let is_unusable = |finding: &&Finding| finding.kind.is_unusable();
    let first = report.findings.iter().find(is_unusable).map_or_else(String::new, |finding| {
        format!("{}: {}", finding.path.as_deref().unwrap_or_default(), finding.message)
    });
    let see = if written { format!("see {HTML_FILE}; ") } else { String::new() };
    anyhow!(
        "nothing was split: {count} of {} images cannot be read, the first is {first}; {see}fix or remove them, or give --allow_unreadable",
        report.images
    )
}

/// The report, or the exit code of an interruption.
fn examine(
    survey: Survey,
    options: &Options,
    console: ConsoleArgs,
    interrupt: &Interrupt,
) -> anyhow::Result<Result<Report, ExitCode>> {
    let mut meter = Meter::start(survey.len(), draws_bars(&console));
    let stop = || interrupt.flow().is_break();
    let result = survey.examine(options, &mut |progress| meter.show(progress), &stop);
    meter.finish();
    match (result, interrupt.exit_code()) {
        (Err(CheckError::Interrupted), Some(code)) => {
            tracing::warn!("interrupted; nothing was written");
            Ok(Err(code))
        }
        (result, _) => Ok(Ok(result.map_err(classified)?)),
    }
}

/// With the exit code that the error calls for.
fn classified(error: CheckError) -> anyhow::Error {
    if error.is_usage() { UsageError(error.into()).into() } else { error.into() }
}
