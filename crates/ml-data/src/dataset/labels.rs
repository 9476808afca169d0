//! A CSV of labels (`path,label` and perhaps `group,split`, in any order) → its rows. Fields are
//! trimmed; other columns are left out and named. All problems are found before any is reported.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};
use sha2::{Digest, Sha256};

use super::Split;
use super::error::DatasetError;
use super::manifest::inside;

/// Columns with a meaning; the first two are needed.
const COLUMNS: [&str; 4] = ["path", "label", "group", "split"];
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
    /// Hex SHA-256 of the file.
    pub sha256: String,
}

/// Lines with what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Problems {
    count: usize,
    first: Vec<String>,
}

impl Problems {
    pub(super) fn add(&mut self, line: u64, problem: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(format!("line {line}: {}", problem()));
        }
    }

    /// An error if there are any.
    pub(super) fn none(self, path: &Path) -> Result<(), DatasetError> {
        match self.count {
            0 => Ok(()),
            count => Err(DatasetError::Labels { path: path.to_owned(), count, first: self.first }),
        }
    }
}

/// Reads and checks a CSV by itself; whether the images exist is not looked at.
pub(super) fn read(path: &Path) -> Result<Labels, DatasetError> {
    let bytes = read_bounded(path)?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text);
    let damaged = |error: csv::Error| one_problem(path, 1, &error.to_string());
    let header = reader.byte_headers().map_err(damaged)?.clone();
    let columns = Columns::find(&header).map_err(|problem| one_problem(path, 1, &problem))?;
    let mut parser = Parser { columns: &columns, problems: Problems::default(), seen: HashMap::new() };
    let (mut rows, mut classes) = (Vec::new(), HashMap::new());
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(damaged)? {
        let line = record.position().map_or(0, |position| first_line(position, text));
        if record.len() != header.len() {
            let (has, wants) = (record.len(), header.len());
            parser.problems.add(line, || format!("has {has} fields, and the header {wants}"));
        } else if let Some((mut row, label)) = parser.row(&record, line) {
            let next = classes.len() as u32;
            row.class = *classes.entry(label).or_insert(next);
            rows.push(row);
        }
    }
    parser.problems.none(path)?;
    if rows.is_empty() {
        return Err(one_problem(path, 1, "there is a header, and no line of an image"));
    }
    // Numbered as they came; now by name.
    let mut named: Vec<(String, u32)> = classes.into_iter().collect();
    named.sort_unstable();
    let mut places = vec![0; named.len()];
    for (place, (_, number)) in (0..).zip(&named) {
        places[*number as usize] = place;
    }
    rows.iter_mut().for_each(|row| row.class = places[row.class as usize]);
    let classes = named.into_iter().map(|(name, _)| name).collect();
    let (has_groups, has_splits) = (columns.places[2].is_some(), columns.places[3].is_some());
    Ok(Labels { classes, rows, has_groups, has_splits, others: columns.others, sha256 })
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
    DatasetError::Labels { path: path.to_owned(), count: 1, first: vec![format!("line {line}: {problem}")] }
}

struct Columns {
    /// Of [`COLUMNS`], in the header.
    places: [Option<usize>; 4],
    others: Vec<String>,
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Columns, String> {
        let mut columns = Columns { places: [None; 4], others: Vec::new() };
        for (place, name) in header.iter().enumerate() {
            let name = str::from_utf8(name).map_err(|_| "the header is not valid UTF-8".to_owned())?;
            let lower = name.to_ascii_lowercase();
            if let Some(known) = COLUMNS.iter().position(|known| *known == lower) {
                if columns.places[known].replace(place).is_some() {
                    return Err(format!("the header has the column `{lower}` twice"));
                }
                continue;
            }
            // Close to a known one, it is more likely misspelt than meant to be left out.
            if let Some(meant) = COLUMNS.iter().find(|known| strsim::damerau_levenshtein(known, &lower) <= 1)
            {
                return Err(format!("the header has a column `{name}`; did you mean `{meant}`?"));
            }
            columns.others.push(name.to_owned());
        }
        for (needed, place) in COLUMNS.iter().zip(columns.places).take(2) {
            if place.is_none() {
                return Err(format!(
                    "the header has no column `{}`: it must name path and label, perhaps group and split, with \
                     commas between them; it has {}",
                    needed,
                    if columns.others.is_empty() { "no others".to_owned() } else { shown(&columns.others) }
                ));
            }
        }
        Ok(columns)
    }
}

/// A few names, each short and on one line.
fn shown(names: &[String]) -> String {
    let short = |name: &String| format!("`{}`", name.chars().take(40).collect::<String>().escape_debug());
    let more = if names.len() > 6 { ", …" } else { "" };
    names.iter().take(6).map(short).collect::<Vec<_>>().join(", ") + more
}

struct Parser<'a> {
    columns: &'a Columns,
    problems: Problems,
    /// Line of each path.
    seen: HashMap<String, u64>,
}

impl Parser<'_> {
    /// The row without its class, and its label; none if something is wrong with it.
    fn row(&mut self, record: &ByteRecord, line: u64) -> Option<(Row, String)> {
        let mut fields = [""; 4];
        for (field, place) in fields.iter_mut().zip(self.columns.places) {
            let bytes = place.and_then(|place| record.get(place)).unwrap_or_default();
            let Ok(text) = str::from_utf8(bytes) else {
                self.problems.add(line, || "is not valid UTF-8".to_owned());
                return None;
            };
            *field = text;
        }
        let [path, label, group, split] = fields;
        let split = if self.columns.places[3].is_none() {
            Ok(None)
        } else {
            let named = Split::ALL.into_iter().find(|known| known.name() == split);
            named.map(Some).ok_or_else(|| format!("the split `{}` is not train, val or test", brief(split)))
        };
        let checked = (|| {
            let path = clean(path)?;
            check_label(label)?;
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
            self.problems.add(line, || format!("`{path}` is on line {earlier} already"));
            return None;
        }
        Some((Row { path, class: 0, group: group.to_owned(), split, line }, label.to_owned()))
    }
}

/// The path as an index file has it: without `.` parts and doubled `/`.
fn clean(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if path.contains(['\n', '\r']) {
        return Err(format!("the path `{}` contains a line break", brief(path)));
    }
    if path.starts_with('/') {
        return Err(format!("`{}` must be relative to the CSV's folder (or to --root)", brief(path)));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let clean = parts.join("/");
    if !inside(&clean) || path.ends_with('/') {
        return Err(format!(
            "`{}` must be a file below the CSV's folder (or --root), without `..`",
            brief(path)
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
