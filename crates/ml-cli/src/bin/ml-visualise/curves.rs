//! Runs → their curves in the terminal, and as a PNG.

use std::process::ExitCode;

use ml_cli::console::tell;
use ml_cli::exit::{UsageError, print, usage};
use ml_core::run::Run;
use ml_report::curves::{self, Glyphs, RunCurves};
use ml_report::html::Part;
use ml_report::run_report;
use ml_report::write::replace;

use crate::args::CurvesArgs;
use crate::width::terminal_width;

/// Prints the curves, and draws them if asked to.
///
/// # Errors
/// A run has no epoch, or the file cannot be written.
pub fn run(args: &CurvesArgs) -> anyhow::Result<ExitCode> {
    let mut found = Vec::new();
    for folder in &args.runs {
        let run = Run::open(folder).map_err(|error| UsageError(error.into()))?;
        let best = run.read_summary().ok().and_then(|summary| summary.best_epoch);
        match run_report::curves(&run, best) {
            Part::Present(curves) => {
                let name = run.folder().file_name().unwrap_or(run.folder().as_os_str());
                found.push(RunCurves { name: name.to_string_lossy().into_owned(), curves });
            }
            Part::Missing(reason) => return usage(format!("{}: {reason}", folder.display())),
            Part::Omitted => {}
        }
    }
    if let Some(path) = &args.output {
        let figure = curves::figure(&found).map_err(|error| UsageError(error.into()))?;
        replace(path, &figure.to_png()?)?;
        tell(format_args!("wrote {}", path.display()));
    }
    let glyphs = if args.ascii { Glyphs::Ascii } else { Glyphs::Unicode };
    print(curves::text(&found, terminal_width(), glyphs).trim_end())
}
