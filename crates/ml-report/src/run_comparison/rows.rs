//! `predictions_<split>.csv` → a checked row for each image.
//!
//! In: the file and the classification report beside it. Out: rows whose classes are numbers; or a
//! sentence with the file and the line that is wrong. Rows that are not those of the report (a file
//! that was cut short, or is of another evaluation) are refused.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ml_data::table::printable;

use crate::run_report::{EvaluationFile, PredictionRow};

/// What a run made of an image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Relative to the root of the evaluation.
    pub path: String,
    /// Number of its class.
    pub label: usize,
    /// Number of the predicted class.
    pub prediction: usize,
    /// Of `prediction`, in `0..=1`.
    pub probability: f64,
}

impl Row {
    /// Whether the prediction is right.
    pub fn is_correct(&self) -> bool {
        self.label == self.prediction
    }
}

/// The rows of `path`; classes are numbered as in `evaluation`.
///
/// # Errors
/// The file is not there, is damaged, or is not of `evaluation`; says so in a sentence.
pub(super) fn read(path: &Path, evaluation: &EvaluationFile) -> Result<Vec<Row>, String> {
    let classes = evaluation.classes.iter().enumerate();
    let numbers: HashMap<&str, usize> = classes.map(|(number, of)| (of.class.as_str(), number)).collect();
    if numbers.len() != evaluation.classes.len() {
        return Err(format!("The report beside {} names a class twice.", path.display()));
    }
    let unreadable = |error: csv::Error| format!("{} cannot be read: {error}.", path.display());
    let file = File::open(path).map_err(|error| format!("{}: {error}.", path.display()))?;
    let mut reader = csv::Reader::from_reader(BufReader::new(file));
    let header = reader.headers().map_err(unreadable)?.clone();
    let (mut rows, mut paths) = (Vec::new(), HashSet::new());
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: PredictionRow = record.deserialize(Some(&header)).map_err(unreadable)?;
        let row = checked(row, &numbers)
            .and_then(|row| {
                let is_new = paths.insert(row.path.clone());
                if is_new { Ok(row) } else { Err(format!("`{}` is listed twice", printable(&row.path))) }
            })
            .map_err(|problem| format!("{}, line {line}: {problem}.", path.display()))?;
        rows.push(row);
    }
    if is_of(&rows, evaluation) {
        Ok(rows)
    } else {
        Err(format!(
            "{} has {} rows that do not add up to the classification report beside it, of {} images: it \
             was cut short, edited, or is of another evaluation.",
            path.display(),
            rows.len(),
            evaluation.num_samples
        ))
    }
}

fn checked(row: PredictionRow, numbers: &HashMap<&str, usize>) -> Result<Row, String> {
    let number = |class: &str| {
        let known = numbers.get(class).copied();
        known.ok_or_else(|| format!("`{}` is not a class of the report", printable(class)))
    };
    let PredictionRow { path, label, prediction, probability, correct, .. } = row;
    let row = Row { label: number(&label)?, prediction: number(&prediction)?, path, probability };
    if row.is_correct() == correct {
        Ok(row)
    } else {
        Err(format!("`correct` is {correct}, which contradicts label and prediction"))
    }
}

/// Whether the rows give the report's number of images and confusion matrix.
fn is_of(rows: &[Row], evaluation: &EvaluationFile) -> bool {
    let mut counts = vec![vec![0; evaluation.classes.len()]; evaluation.classes.len()];
    for row in rows {
        counts[row.label][row.prediction] += 1;
    }
    rows.len() as u64 == evaluation.num_samples && counts == evaluation.confusion_matrix
}
