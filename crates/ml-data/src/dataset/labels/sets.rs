//! A CSV of several labels an image → its rows and their labels: one column of labels with a
//! separator between them, or a column of 0 and 1 for each class.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use csv::ByteRecord;

use super::columns::Columns;
use super::find::Finder;
use super::set_columns::SetColumns;
use super::{CsvOptions, Parser, Row, Table, brief, check_label, damaged, one_problem};
use crate::dataset::error::DatasetError;
use crate::dataset::label_sets::LabelSets;
use crate::unicode::nfc;

/// What separates labels, unless another separator is requested.
const DEFAULT_SEPARATOR: &str = "|";
/// What else separates labels in files of other programs.
const OTHER_SEPARATORS: [&str; 4] = ["|", ";", ",", " "];

/// What a CSV says.
#[derive(Clone, Debug)]
pub(in crate::dataset) struct SetLabels {
    /// Sorted bytewise; each has an image.
    pub classes: Vec<String>,
    /// As in the file; `class` is the row's place in `sets`.
    pub rows: Vec<Row>,
    /// The labels of each row.
    pub sets: LabelSets,
    pub has_groups: bool,
    pub has_splits: bool,
    /// Columns that mean nothing here.
    pub others: Vec<String>,
    /// What the user should know about how it was read.
    pub notes: Vec<String>,
    /// Hex SHA-256 of the file.
    pub sha256: String,
}

/// Reads and checks a CSV by itself; whether the images exist is not looked at.
pub(in crate::dataset) fn read_sets(path: &Path, options: &CsvOptions) -> Result<SetLabels, DatasetError> {
    let table = Table::open(path)?;
    let header = &table.header;
    let root = options.root_of(path);
    let finder = Finder::new(root, options.suffix.as_deref());
    let binary = binary_columns(&table);
    let found = SetColumns::find(
        header,
        options,
        |column| table.names_files(column, root, &finder),
        |column| binary[column],
    );
    let SetColumns { columns, classes: places } = found.map_err(|problem| one_problem(path, 1, &problem))?;
    if let Some(problem) = misplaced_separator(options, &places) {
        return Err(one_problem(path, 1, problem));
    }
    let mut notes: Vec<String> = columns.note(header).into_iter().collect();
    let (mut rows, mut sets) = (Vec::new(), Vec::new());
    let mut names = Names::default();
    for place in &places {
        let name = &header[*place];
        check_label(name).map_err(|problem| one_problem(path, 1, &problem))?;
        names.number(name);
    }
    if !places.is_empty() && names.names.len() < places.len() {
        return Err(one_problem(path, 1, "two columns of classes have the same name"));
    }
    let separator = options.label_separator.as_deref().unwrap_or(DEFAULT_SEPARATOR);
    let mut cells = Vec::new();
    let mut parser = Parser::new(&table, &columns, root, |_| Ok(()));
    let mut record = ByteRecord::new();
    let mut reader = table.records();
    while reader.read_byte_record(&mut record).map_err(|error| damaged(path, &error))? {
        let Some((mut row, cell)) = parser.row(&record) else { continue };
        let line = row.line;
        let labels = if places.is_empty() {
            names.split(&cell, separator)
        } else {
            set_columns(&record, &places, header)
        };
        match labels {
            Ok(_) if row.path.contains('\t') => {
                parser.problems.add(line, || format!("the path `{}` contains a tab", brief(&row.path)));
            }
            Ok(labels) => {
                row.class = rows.len() as u32;
                rows.push(row);
                sets.push(labels);
                cells.push(cell);
            }
            Err(problem) => parser.problems.add(line, || problem),
        }
    }
    if parser.has_doubles {
        parser.problems.hint(format!("give all labels of an image on one line, such as `a{separator}b`"));
    }
    parser.problems.none(path)?;
    if rows.is_empty() {
        return Err(one_problem(path, 1, "there is a header, and no line of an image"));
    }
    if places.is_empty() && options.label_separator.is_none() {
        refuse_other_separator(path, &rows, &cells)?;
    }
    let (classes, sets) = names.sorted(sets);
    refuse_empty_classes(path, &classes, &sets)?;
    notes.push(in_words(header, &columns, &places, separator, classes.len()));
    let (has_groups, has_splits) = (columns.places[2].is_some(), columns.places[3].is_some());
    let others = columns.others;
    Ok(SetLabels { classes, rows, sets, has_groups, has_splits, others, notes, sha256: table.sha256 })
}

/// How the labels were read.
fn in_words(
    header: &[String],
    columns: &Columns,
    places: &[usize],
    separator: &str,
    num_classes: usize,
) -> String {
    match columns.places[1] {
        Some(place) => format!(
            "labels: column `{}`, separated by `{separator}`, {num_classes} classes (--label_separator, \
             --label_columns choose otherwise)",
            brief(&header[place])
        ),
        None => format!("labels: {} columns of 0 and 1, a class each", places.len()),
    }
}

/// What is wrong with a requested separator; `places` are those of the classes' columns.
fn misplaced_separator(options: &CsvOptions, places: &[usize]) -> Option<&'static str> {
    let separator = options.label_separator.as_deref()?;
    if separator.is_empty() {
        Some("--label_separator is empty")
    } else if places.is_empty() {
        None
    } else {
        Some("--label_separator goes with one column of labels, and each class has a column here")
    }
}

/// Of each column, whether all its values are 0 or 1.
fn binary_columns(table: &Table) -> Vec<bool> {
    let mut binary = vec![true; table.header.len()];
    let mut is_empty = true;
    for record in table.records().into_byte_records().flatten() {
        is_empty = false;
        for (column, is_binary) in binary.iter_mut().enumerate() {
            *is_binary &= record.get(column).is_some_and(|value| bit(value).is_some());
        }
        if !binary.contains(&true) {
            break;
        }
    }
    if is_empty {
        binary.fill(false);
    }
    binary
}

/// 0 or 1, as they are or as spreadsheets and pandas write them.
fn bit(value: &[u8]) -> Option<bool> {
    match value {
        b"0" | b"0.0" => Some(false),
        b"1" | b"1.0" => Some(true),
        _ => None,
    }
}

/// The labels of a row with a column for each class: places in `places`.
fn set_columns(record: &ByteRecord, places: &[usize], header: &[String]) -> Result<Vec<u32>, String> {
    let mut labels = Vec::new();
    for (number, place) in (0..).zip(places) {
        let value = record.get(*place).unwrap_or_default();
        match bit(value) {
            Some(true) => labels.push(number),
            Some(false) => {}
            None => {
                return Err(format!(
                    "the column `{}` has `{}`, and a column of labels holds 0 and 1 (--label_columns names them)",
                    brief(&header[*place]),
                    brief(&String::from_utf8_lossy(value))
                ));
            }
        }
    }
    Ok(labels)
}

/// Classes, numbered as they come.
#[derive(Default)]
struct Names {
    /// By their normalized form.
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        let next = self.names.len() as u32;
        let number = *self.numbers.entry(nfc(name).into_owned()).or_insert(next);
        if number == next {
            self.names.push(name.to_owned());
        }
        number
    }

    /// The labels of a cell.
    fn split(&mut self, cell: &str, separator: &str) -> Result<Vec<u32>, String> {
        let labels: Vec<&str> =
            cell.split(separator).map(str::trim).filter(|label| !label.is_empty()).collect();
        labels.iter().try_for_each(|label| check_label(label))?;
        Ok(labels.into_iter().map(|label| self.number(label)).collect())
    }

    /// The names sorted bytewise, and the labels of each row as their places.
    fn sorted(self, rows: Vec<Vec<u32>>) -> (Vec<String>, LabelSets) {
        let mut named: Vec<(String, u32)> = self.names.into_iter().zip(0..).collect();
        named.sort_unstable();
        let mut places = vec![0; named.len()];
        for (place, (_, number)) in (0..).zip(&named) {
            places[*number as usize] = place;
        }
        let placed = |labels: Vec<u32>| -> Vec<u32> {
            labels.into_iter().map(|label| places[label as usize]).collect()
        };
        let sets = rows.into_iter().map(placed).collect();
        (named.into_iter().map(|(name, _)| name).collect(), sets)
    }
}

/// Labels that no cell separates as expected, and that another separator would.
fn refuse_other_separator(path: &Path, rows: &[Row], cells: &[String]) -> Result<(), DatasetError> {
    if cells.iter().any(|cell| cell.contains(DEFAULT_SEPARATOR)) {
        return Ok(());
    }
    for other in OTHER_SEPARATORS {
        let has = |cell: &&String| cell.contains(other);
        let Some(first) = cells.iter().position(|cell| has(&cell)) else { continue };
        // Names of classes have blanks too; separators, if fewer names are left than there were.
        if other == " " {
            let whole: BTreeSet<&str> = cells.iter().map(String::as_str).collect();
            let parts: BTreeSet<&str> = cells.iter().flat_map(|cell| cell.split_whitespace()).collect();
            if cells.iter().filter(has).count() * 2 <= cells.len() || parts.len() >= whole.len() {
                continue;
            }
        }
        let count = cells.iter().filter(has).count();
        let problem = format!(
            "`{}` would be one label: no line has the separator `{DEFAULT_SEPARATOR}`, and {count} of {} have `{other}`; \
             give --label_separator '{other}' (or '{DEFAULT_SEPARATOR}' if it is one label)",
            brief(&cells[first]),
            cells.len()
        );
        return Err(one_problem(path, rows[first].line, &problem));
    }
    Ok(())
}

/// Classes that no image has.
fn refuse_empty_classes(path: &Path, classes: &[String], sets: &LabelSets) -> Result<(), DatasetError> {
    if sets.num_labels() == 0 {
        return Err(one_problem(path, 1, "no image has a label"));
    }
    let counts = sets.counts(classes.len());
    let empty: Vec<String> = classes
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count == 0)
        .map(|(class, _)| format!("`{}`", brief(class)))
        .collect();
    if empty.is_empty() {
        return Ok(());
    }
    let names = empty.join(", ");
    let problem =
        format!("no image has the label {names}: leave the column out, or name others with --label_columns");
    Err(one_problem(path, 1, &problem))
}

#[cfg(test)]
mod tests;
