//! Runs → what tells them apart: a page, and a table in the terminal.

use std::path::Path;
use std::process::ExitCode;

use ml_cli::console::tell;
use ml_cli::exit::{UsageError, print, usage};
use ml_core::run::{GroupKind, Run, RunError, RunGroup};
use ml_data::dataset::shell_quoted;
use ml_report::run_comparison::{self, ComparisonError, Options};

use crate::args::CompareArgs;

/// Compares the runs, writes the page, and prints the text.
///
/// # Errors
/// The runs cannot be compared, or the page cannot be written.
pub fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let runs = args.runs.iter().map(|folder| open(folder)).collect::<anyhow::Result<Vec<_>>>()?;
    let date = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string();
    let options = Options { split: args.split.clone(), common: args.common, date };
    let classified = |error: ComparisonError| {
        if error.is_usage() { UsageError(error.into()).into() } else { anyhow::Error::from(error) }
    };
    let comparison = run_comparison::compare(&runs, &options).map_err(classified)?;
    let text = run_comparison::text(&comparison);
    run_comparison::write(comparison, &runs, &args.output).map_err(classified)?;
    tell(format_args!("wrote {}", args.output.display()));
    print(text.trim_end())
}

/// One run; several over folds or seeds are refused, with what to give instead.
fn open(folder: &Path) -> anyhow::Result<Run> {
    let unusable = |error: RunError| UsageError(error.into());
    let Some(group) = RunGroup::open(folder).map_err(unusable)? else {
        return Ok(Run::open(folder).map_err(unusable)?);
    };
    let what = match group.kind() {
        GroupKind::Folds => "folds",
        GroupKind::Seeds => "seeds",
    };
    let one = group.run_folders().into_iter().next().unwrap_or_default();
    usage(format!(
        "{}: these are several runs over {what}, which are not compared as one; give one of them, such as {}, and of \
         another folder of {what} the one of the same name. Their mean and its interval are in {}",
        folder.display(),
        shell_quoted(&one),
        group.report_dir().join("report.html").display()
    ))
}
