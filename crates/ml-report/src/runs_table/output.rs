//! Rows and columns → text for a terminal, CSV or JSON.

use ml_data::csv_text::CsvText;
use ml_data::table::{Align, aligned, printable, shortened, width};
use serde_json::Number;

use super::RunRow;
use super::column::Column;
use super::value::Value;

/// Spaces between columns.
const GAP: usize = 2;
/// Columns of a terminal that a cell may take: one long name does not push out all the rest.
const CELL: usize = 40;

/// A table for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// A line with the names of columns, then a line for each run; each ends in `\n`.
    pub table: String,
    /// Which columns are not shown for lack of room, a sentence for stderr.
    pub note: Option<String>,
}

/// The cells as people read them, in `width` columns of a terminal; without a limit if there is
/// none.
///
/// What is too wide loses the last of its columns. Control characters are made visible.
pub fn text(rows: &[RunRow], columns: &[Column], terminal: Option<usize>) -> Text {
    let cell_limit = terminal.map_or(usize::MAX, |terminal| terminal.min(CELL));
    let cell = |text: &str| shortened(&printable(text), cell_limit);
    let (mut shown, mut left_out) = (Vec::new(), Vec::new());
    let mut taken = 0;
    for column in columns {
        let head = std::iter::once(cell(column.name()));
        let cells: Vec<String> = head.chain(rows.iter().map(|row| cell(&column.shown(row)))).collect();
        let gap = if shown.is_empty() { 0 } else { GAP };
        taken += gap + cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
        // The first is shown in any case.
        if left_out.is_empty() && (shown.is_empty() || terminal.is_none_or(|terminal| taken <= terminal)) {
            shown.push((cells, align(column, rows)));
        } else {
            left_out.push(printable(column.name()));
        }
    }
    let aligns: Vec<Align> = shown.iter().map(|(_, align)| *align).collect();
    let line = |index: usize| -> Vec<String> {
        shown.iter().filter_map(|(cells, _)| cells.get(index).cloned()).collect()
    };
    let lines: Vec<Vec<String>> = (0..=rows.len()).map(line).collect();
    let note = (!left_out.is_empty()).then(|| {
        format!("not shown for lack of room: {}; choose columns with --columns", left_out.join(", "))
    });
    Text { table: aligned(&lines, &aligns, GAP).into_iter().map(|line| line + "\n").collect(), note }
}

/// Numbers are at the right.
fn align(column: &Column, rows: &[RunRow]) -> Align {
    let mut values = rows.iter().map(|row| column.value(row)).filter(|value| *value != Value::Missing);
    let all_numbers = values.all(|value| value.is_number());
    if column.is_numeric() || (matches!(column, Column::Setting(_)) && all_numbers) {
        Align::Right
    } else {
        Align::Left
    }
}

/// A line with the names of columns, then a line for each run. Numbers have every digit, seconds
/// and bytes have no unit, what is missing is empty, and text is as it is.
pub fn csv(rows: &[RunRow], columns: &[Column]) -> String {
    let mut csv = CsvText::new();
    csv.row(columns.iter().map(Column::name));
    for row in rows {
        csv.row(columns.iter().map(|column| column.value(row).exact()));
    }
    csv.finish()
}

/// An array with an object for each run, its keys the names of `columns`. Numbers have every
/// digit; what is missing, NaN or Inf is null.
pub fn json(rows: &[RunRow], columns: &[Column]) -> String {
    let value = |value: Value| match value {
        Value::Missing => serde_json::Value::Null,
        Value::Whole(number) => number.into(),
        Value::Number(number) => Number::from_f64(number).map_or(serde_json::Value::Null, Into::into),
        Value::Text(text) => text.into(),
    };
    let object = |row: &RunRow| {
        let cells = columns.iter().map(|column| (column.name().to_owned(), value(column.value(row))));
        serde_json::Value::Object(cells.collect())
    };
    format!("{:#}\n", serde_json::Value::Array(rows.iter().map(object).collect()))
}
