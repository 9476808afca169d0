//! A folder of runs → a table of them.

use std::process::ExitCode;

use ml_cli::console::tell;
use ml_cli::exit::{UsageError, print, usage};
use ml_report::runs_table::{self, Column, Filter, Known, Sort, TableError};

use crate::args::{RunsArgs, TableFormat};
use crate::width::terminal_width;

/// Prints the table.
///
/// # Errors
/// There is no such folder, or a flag names no column.
pub fn run(args: &RunsArgs) -> anyhow::Result<ExitCode> {
    let rows = match runs_table::read(&args.folder) {
        Ok(rows) if rows.is_empty() => {
            return usage(format!("{}: there are no runs in this folder", args.folder.display()));
        }
        Ok(rows) => rows,
        Err(error) => return usage(format!("{}: {error}", args.folder.display())),
    };
    let wrong = |error: TableError| anyhow::Error::new(UsageError(error.into()));
    let known = Known::of(&rows);
    let columns = args.columns.as_deref().map(|list| known.columns(list)).transpose().map_err(wrong)?;
    let columns = columns.unwrap_or_else(|| Column::usual(&rows));
    let filters = args.filter.iter().map(|text| Filter::parse(text, &known));
    let filters = filters.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    // Runs with several labels an image have no accuracy.
    let has_accuracy = rows.iter().any(|row| row.val_accuracy.is_some());
    let by = if args.sort == "-val_accuracy" && !has_accuracy { "-val_map" } else { &args.sort };
    let sort = Sort::parse(by, &known).map_err(wrong)?;
    let mut rows = rows;
    rows.retain(|row| filters.iter().all(|filter| filter.matches(row)));
    sort.apply(&mut rows);
    match args.format {
        TableFormat::Csv => print(runs_table::csv(&rows, &columns).trim_end()),
        TableFormat::Json => print(&runs_table::json(&rows, &columns)),
        TableFormat::Table => {
            let shown = runs_table::text(&rows, &columns, terminal_width());
            if let Some(note) = shown.note {
                tell(note);
            }
            print(shown.table.trim_end())
        }
    }
}
