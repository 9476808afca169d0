//! Runs → what tells them apart: a page, and a table in the terminal.

use std::path::PathBuf;
use std::process::ExitCode;

use ml_cli::console::tell;
use ml_cli::exit::{UsageError, print, usage};
use ml_core::run::{GroupKind, Run, RunGroup};
use ml_data::dataset::shell_quoted;
use ml_report::run_comparison::{self, ComparisonError, Options};

use crate::args::CompareArgs;

/// Compares the runs, or folders of runs over folds, writes the page, and prints the text.
///
/// # Errors
/// The runs cannot be compared, or the page cannot be written.
pub fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let date = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string();
    let options = Options { split: args.split.clone(), common: args.common, date };
    let groups = groups(&args.runs)?;
    let text = if groups.is_empty() { runs(args, &options) } else { folds(args, &groups, &options) }?;
    tell(format_args!("wrote {}", args.output.display()));
    print(text.trim_end())
}

/// Single runs: writes the page; the text.
fn runs(args: &CompareArgs, options: &Options) -> anyhow::Result<String> {
    let runs = args.runs.iter().map(|folder| Run::open(folder)).collect::<Result<Vec<_>, _>>();
    let runs = runs.map_err(|error| UsageError(error.into()))?;
    let comparison = run_comparison::compare(&runs, options).map_err(classified)?;
    let text = run_comparison::text(&comparison);
    run_comparison::write(comparison, &runs, &args.output).map_err(classified)?;
    Ok(text)
}

/// Likewise folders of runs over folds.
fn folds(args: &CompareArgs, groups: &[RunGroup], options: &Options) -> anyhow::Result<String> {
    if let Some(split) = &args.split {
        return usage(format!(
            "--split {split}: runs over folds are compared on the images that each fold held out; leave --split out"
        ));
    }
    let comparison = run_comparison::compare_folds(groups, options).map_err(classified)?;
    let text = run_comparison::text(&comparison);
    run_comparison::write_folds(comparison, groups, &args.output).map_err(classified)?;
    Ok(text)
}

fn classified(error: ComparisonError) -> anyhow::Error {
    if error.is_usage() { UsageError(error.into()).into() } else { error.into() }
}

/// The folders of runs over folds; none where all are single runs.
fn groups(folders: &[PathBuf]) -> anyhow::Result<Vec<RunGroup>> {
    let opened = folders.iter().map(|folder| RunGroup::open(folder)).collect::<Result<Vec<_>, _>>();
    let opened = opened.map_err(|error| UsageError(error.into()))?;
    let is_of_folds = |group: &RunGroup| group.kind() == GroupKind::Folds;
    let are_all = opened.iter().all(|found| found.as_ref().is_some_and(is_of_folds));
    match opened.iter().flatten().next() {
        Some(group) if !are_all => {
            let one = group.run_folders().into_iter().next().unwrap_or_default();
            usage(format!(
                "{}: these are several runs; folders of runs over folds are compared with each other only, and of \
                 seeds single runs: give one, such as {}",
                group.folder().display(),
                shell_quoted(&one)
            ))
        }
        _ => Ok(opened.into_iter().flatten().collect()),
    }
}
