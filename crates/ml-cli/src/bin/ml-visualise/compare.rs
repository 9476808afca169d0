//! Runs → what tells them apart: a page, and a table in the terminal.

use std::process::ExitCode;

use ml_cli::console::tell;
use ml_cli::exit::{UsageError, print};
use ml_core::run::Run;
use ml_report::run_comparison::{self, ComparisonError, Options};

use crate::args::CompareArgs;

/// Compares the runs, writes the page, and prints the text.
///
/// # Errors
/// The runs cannot be compared, or the page cannot be written.
pub fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let runs = args.runs.iter().map(|folder| Run::open(folder)).collect::<Result<Vec<_>, _>>();
    let runs = runs.map_err(|error| UsageError(error.into()))?;
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
