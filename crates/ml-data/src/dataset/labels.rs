//! A CSV of labels (`path,label` and perhaps `group,split`, in any order) → its rows. Fields are
//! trimmed; other columns are left out and named. All problems are found before any is reported.
//!
//! Tables of other programs are taken too: other names of columns, semicolons, tabs or bars between
//! fields, UTF-16, `\` in paths, names without their endings.

mod columns;
pub(super) mod find;
mod options;
mod set_columns;
mod sets;
mod text;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};
use sha2::{Digest, Sha256};

use super::Split;
use super::error::DatasetError;
use super::manifest::inside;
use super::split_folders::split_named;
use crate::unicode::nfc;
use columns::Columns;
use find::Finder;
pub use options::CsvOptions;
pub(in crate::dataset) use options::folder_of;
pub(super) use sets::{SetLabels, read_sets};

/// Rows by which it is told whether a column holds paths.
const SAMPLED: usize = 20;
/// Bytes of the largest CSV that is read: its rows are kept in memory.
const LARGEST: u64 = 1 << 30;
/// Problems that are spelt out.
const SHOWN: usize = 5;

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Relative to the root, `/` between folders, without `.` and `..`.
    pub path: String,
    /// Place in [`Labels::classes`].
    pub class: u32,
    /// Empty if it stands alone.
    pub group: String,
    /// If there is such a column.
    pub split: Option<Split>,
    pub line: u64,
}

/// What a CSV says.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    /// Sorted bytewise.
    pub classes: Vec<String>,
    /// As in the file.
    pub rows: Vec<Row>,
    pub has_groups: bool,
    pub has_splits: bool,
    /// Columns that mean nothing here.
    pub others: Vec<String>,
    /// What the user should know about how it was read.
    pub notes: Vec<String>,
    /// Hex SHA-256 of the file.
    pub sha256: String,
}

/// Lines with what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Problems {
    count: usize,
    first: Vec<String>,
    hint: Option<String>,
}

impl Problems {
    pub(super) fn add(&mut self, line: u64, problem: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(format!("line {line}: {}", problem()));
        }
    }

    /// What to do, instead of correcting the file.
    pub(super) fn hint(&mut self, hint: String) {
        self.hint = Some(hint);
    }

    /// An error if there are any.
    pub(super) fn none(self, path: &Path) -> Result<(), DatasetError> {
        match self.count {
            0 => Ok(()),
            count => {
                Err(DatasetError::Labels { path: path.to_owned(), count, first: self.first, hint: self.hint })
            }
        }
    }
}

/// A CSV in memory.
struct Table {
    /// UTF-8, as far as it is any.
    text: Vec<u8>,
    /// What separates fields.
    separator: u8,
    header: Vec<String>,
    /// Hex SHA-256 of the file.
    sha256: String,
}

impl Table {
    fn open(path: &Path) -> Result<Table, DatasetError> {
        let bytes = read_bounded(path)?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let text = text::utf8(&bytes).map_err(|problem| one_problem(path, 1, &problem.to_string()))?;
        let separator = text::separator(&text);
        let text = text::without_blanks_at_quotes(text, separator).into_owned();
        let mut table = Table { text, separator, header: Vec::new(), sha256 };
        let header = table.records().byte_headers().map_err(|error| damaged(path, &error))?.clone();
        let header: Result<Vec<String>, _> =
            header.iter().map(|name| String::from_utf8(name.to_vec())).collect();
        table.header = header
            .map_err(|_| one_problem(path, 1, "the header is not valid UTF-8; save the file as UTF-8"))?;
        Ok(table)
    }

    fn records(&self) -> csv::Reader<&[u8]> {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.separator).trim(Trim::All).flexible(true);
        builder.from_reader(self.text.as_slice())
    }

    /// Whether most of the first values of a column name files that are there.
    fn names_files(&self, column: usize, root: &Path, finder: &Finder<'_>) -> bool {
        let sampled = self.records().into_byte_records().take(SAMPLED).flatten();
        let values: Vec<bool> = sampled
            .map(|record| {
                let value =
                    record.get(column).and_then(|value| str::from_utf8(value).ok()).unwrap_or_default();
                clean(value, root).is_ok_and(|path| finder.find(&path).is_ok())
            })
            .collect();
        let files = values.iter().filter(|is_file| **is_file).count();
        files * 2 > values.len()
    }
}

fn damaged(path: &Path, error: &csv::Error) -> DatasetError {
    one_problem(path, 1, &error.to_string())
}

/// Reads and checks a CSV by itself; whether the images exist is not looked at.
pub(super) fn read(path: &Path, options: &CsvOptions) -> Result<Labels, DatasetError> {
    let table = Table::open(path)?;
    let header = &table.header;
    let root = options.root_of(path);
    let finder = Finder::new(root, options.suffix.as_deref());
    let columns = Columns::find(header, options, |column| table.names_files(column, root, &finder))
        .map_err(|problem| one_problem(path, 1, &problem))?;
    let mut notes: Vec<String> = columns.note(header).into_iter().collect();
    let mut parser = Parser::new(&table, &columns, root, check_label);
    let mut rows = Vec::new();
    let mut classes: HashMap<String, (u32, String)> = HashMap::new();
    let mut record = ByteRecord::new();
    let mut reader = table.records();
    while reader.read_byte_record(&mut record).map_err(|error| damaged(path, &error))? {
        if let Some((mut row, label)) = parser.row(&record) {
            let next = classes.len() as u32;
            let (number, name) =
                classes.entry(nfc(&label).into_owned()).or_insert_with(|| (next, label.clone()));
            if *name != label {
                let note = format!(
                    "the class `{name}` is also written in another Unicode normalization; both count as one"
                );
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            row.class = *number;
            rows.push(row);
        }
    }
    parser.problems.none(path)?;
    if rows.is_empty() {
        return Err(one_problem(path, 1, "there is a header, and no line of an image"));
    }
    // Numbered as they came; now by name.
    let mut named: Vec<(String, u32)> = classes.into_values().map(|(number, name)| (name, number)).collect();
    named.sort_unstable();
    let mut places = vec![0; named.len()];
    for (place, (_, number)) in (0..).zip(&named) {
        places[*number as usize] = place;
    }
    rows.iter_mut().for_each(|row| row.class = places[row.class as usize]);
    let classes = named.into_iter().map(|(name, _)| name).collect();
    let (has_groups, has_splits) = (columns.places[2].is_some(), columns.places[3].is_some());
    let others = columns.others;
    Ok(Labels { classes, rows, has_groups, has_splits, others, notes, sha256: table.sha256 })
}

/// The line on which a record begins. The reader counts what ends the line before (CR LF's LF) and
/// empty lines to it.
fn first_line(position: &csv::Position, text: &[u8]) -> u64 {
    let before = text.get(position.byte() as usize..).unwrap_or_default();
    let ends = before.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

/// Hex SHA-256 of the file.
pub(super) fn sha256(path: &Path) -> Result<String, DatasetError> {
    Ok(hex::encode(Sha256::digest(read_bounded(path)?)))
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, DatasetError> {
    let file = File::open(path).map_err(DatasetError::io(path))?;
    let status = fs::metadata(path).map_err(DatasetError::io(path))?;
    let mut bytes = Vec::with_capacity(status.len().min(LARGEST) as usize);
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(DatasetError::io(path))?;
    if bytes.len() as u64 > LARGEST {
        return Err(one_problem(path, 1, "the file has more than 1 GiB"));
    }
    Ok(bytes)
}

fn one_problem(path: &Path, line: u64, problem: &str) -> DatasetError {
    DatasetError::Labels {
        path: path.to_owned(),
        count: 1,
        first: vec![format!("line {line}: {problem}")],
        hint: None,
    }
}

struct Parser<'a> {
    table: &'a Table,
    columns: &'a Columns,
    root: &'a Path,
    problems: Problems,
    /// What a field of labels must be.
    check: fn(&str) -> Result<(), String>,
    /// Line of each path.
    seen: HashMap<String, u64>,
    /// Whether a path was met twice.
    has_doubles: bool,
}

impl<'a> Parser<'a> {
    fn new(
        table: &'a Table,
        columns: &'a Columns,
        root: &'a Path,
        check: fn(&str) -> Result<(), String>,
    ) -> Parser<'a> {
        let (problems, seen) = (Problems::default(), HashMap::new());
        Parser { table, columns, root, problems, check, seen, has_doubles: false }
    }

    /// The row without its class, and its label; none if something is wrong with it.
    fn row(&mut self, record: &ByteRecord) -> Option<(Row, String)> {
        let line = record.position().map_or(0, |position| first_line(position, &self.table.text));
        let (has, wants) = (record.len(), self.table.header.len());
        if has != wants {
            self.problems.add(line, || format!("has {has} fields, and the header {wants}"));
            return None;
        }
        let mut fields = [""; 4];
        for (field, place) in fields.iter_mut().zip(self.columns.places) {
            let bytes = place.and_then(|place| record.get(place)).unwrap_or_default();
            let Ok(text) = str::from_utf8(bytes) else {
                self.problems.add(line, || "is not valid UTF-8; save the file as UTF-8".to_owned());
                return None;
            };
            *field = text;
        }
        let [path, label, group, split] = fields;
        let split = if self.columns.places[3].is_none() {
            Ok(None)
        } else {
            split_named(split)
                .map(Some)
                .ok_or_else(|| format!("the split `{}` is not train, val or test", brief(split)))
        };
        let checked = (|| {
            let path = clean(path, self.root)?;
            (self.check)(label)?;
            if group.chars().any(char::is_control) {
                return Err(format!("the group `{}` holds a control character", brief(group)));
            }
            Ok((path, split?))
        })();
        let (path, split) = match checked {
            Ok(checked) => checked,
            Err(problem) => {
                self.problems.add(line, || problem);
                return None;
            }
        };
        if let Some(earlier) = self.seen.insert(path.clone(), line) {
            self.has_doubles = true;
            self.problems.add(line, || format!("`{path}` is on line {earlier} already"));
            return None;
        }
        Some((Row { path, class: 0, group: group.to_owned(), split, line }, label.to_owned()))
    }
}

/// The path as an index file has it: relative to the root, without `.` parts and doubled `/`, and
/// with `/` for the `\\` of Windows, unless a file is called so.
fn clean(path: &str, root: &Path) -> Result<String, String> {
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if path.contains(['\n', '\r']) {
        return Err(format!("the path `{}` contains a line break", brief(path)));
    }
    let written = path;
    let path = if path.contains('\\') && !root.join(path).is_file() {
        Cow::Owned(path.replace('\\', "/"))
    } else {
        Cow::Borrowed(path)
    };
    let is_absolute = |path: &str| path.starts_with('/') || path.get(1..3) == Some(":/");
    let below_root = || {
        let real = Path::new(&*path).canonicalize().ok()?;
        Some(real.strip_prefix(root.canonicalize().ok()?).ok()?.to_str()?.to_owned())
    };
    let path = if is_absolute(&path) {
        below_root().map(Cow::Owned).ok_or_else(|| {
            format!("`{}` must be relative to the CSV's folder (or to --image_root)", brief(written))
        })?
    } else {
        path
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let clean = parts.join("/");
    if !inside(&clean) || path.ends_with('/') {
        return Err(format!(
            "`{}` must be a file below the CSV's folder (or --image_root), without `..`",
            brief(written)
        ));
    }
    Ok(clean)
}

/// A label can be a folder's name and stand on a line of an index file.
fn check_label(label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err("the label is empty".to_owned());
    }
    if label.contains('/') || label.chars().any(char::is_control) || matches!(label, "." | "..") {
        let label = brief(label);
        return Err(format!("the label `{label}` holds a `/` or a control character, or is no name"));
    }
    Ok(())
}

/// At most 100 characters on one line.
fn brief(text: &str) -> String {
    let end = if text.chars().count() > 100 { "…" } else { "" };
    text.chars().take(100).collect::<String>().escape_debug().to_string() + end
}

#[cfg(test)]
mod tests;
