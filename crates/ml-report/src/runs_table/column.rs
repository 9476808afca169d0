//! Names of columns → what they show of a run.

use std::collections::BTreeSet;

use ml_data::table::printable;

use super::value::Value;
use super::{RunRow, TableError};
use crate::html::format;
use crate::numbers::significant;

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// `name`.
    Name,
    /// `folder`.
    Folder,
    /// `status`.
    Status,
    /// `network`.
    Network,
    /// `data_set`.
    DataSet,
    /// `epochs`: those completed; as text with those requested, `12/30`.
    Epochs,
    /// `num_epochs`: those requested.
    NumEpochs,
    /// `best_epoch`.
    BestEpoch,
    /// `val_accuracy`, a fraction.
    ValAccuracy,
    /// `test_accuracy`, a fraction.
    TestAccuracy,
    /// `val_map`, a fraction.
    ValMap,
    /// `test_map`, a fraction.
    TestMap,
    /// `val_loss`.
    ValLoss,
    /// `learning_rate`.
    LearningRate,
    /// `batch_size`.
    BatchSize,
    /// `precision`.
    Precision,
    /// `seed`.
    Seed,
    /// `started`.
    Started,
    /// `duration`, in seconds; as text in the unit that fits.
    Duration,
    /// `size`, in bytes; as text in the unit that fits.
    Size,
    /// A key of the configuration, such as `optimizer.momentum`.
    Setting(String),
}

/// All but the keys of the configuration, in the order in which errors list them.
static BUILT_IN: [Column; 20] = [
    Column::Name,
    Column::Folder,
    Column::Status,
    Column::Network,
    Column::DataSet,
    Column::Epochs,
    Column::NumEpochs,
    Column::BestEpoch,
    Column::ValAccuracy,
    Column::TestAccuracy,
    Column::ValMap,
    Column::TestMap,
    Column::ValLoss,
    Column::LearningRate,
    Column::BatchSize,
    Column::Precision,
    Column::Seed,
    Column::Started,
    Column::Duration,
    Column::Size,
];

/// A longer name is not compared with those that are known.
const LONGEST_NAME: usize = 100;

impl Column {
    /// All but the keys of the configuration: what CSV and JSON have unless columns are chosen.
    pub fn built_in() -> Vec<Column> {
        BUILT_IN.to_vec()
    }

    /// What a terminal shows of `rows` unless columns are chosen, the most important first: mAP where
    /// images of a run have several labels, and accuracies unless those of all have.
    pub fn usual(rows: &[RunRow]) -> Vec<Column> {
        let has_map = rows.iter().any(|row| row.val_map.is_some() || row.test_map.is_some());
        let has_accuracy = rows.iter().any(|row| row.val_accuracy.is_some() || row.test_accuracy.is_some());
        let is_shown = |column: &Column| match column {
            Column::ValMap | Column::TestMap => has_map,
            Column::ValAccuracy | Column::TestAccuracy => has_accuracy || !has_map,
            _ => true,
        };
        let columns = vec![
            Column::Name,
            Column::Status,
            Column::ValAccuracy,
            Column::TestAccuracy,
            Column::ValMap,
            Column::TestMap,
            Column::Epochs,
            Column::BestEpoch,
            Column::Network,
            Column::LearningRate,
            Column::BatchSize,
            Column::Started,
            Column::Duration,
            Column::Size,
            Column::DataSet,
        ];
        columns.into_iter().filter(is_shown).collect()
    }

    /// As `--columns` takes it.
    pub fn name(&self) -> &str {
        match self {
            Column::Name => "name",
            Column::Folder => "folder",
            Column::Status => "status",
            Column::Network => "network",
            Column::DataSet => "data_set",
            Column::Epochs => "epochs",
            Column::NumEpochs => "num_epochs",
            Column::BestEpoch => "best_epoch",
            Column::ValAccuracy => "val_accuracy",
            Column::TestAccuracy => "test_accuracy",
            Column::ValMap => "val_map",
            Column::TestMap => "test_map",
            Column::ValLoss => "val_loss",
            Column::LearningRate => "learning_rate",
            Column::BatchSize => "batch_size",
            Column::Precision => "precision",
            Column::Seed => "seed",
            Column::Started => "started",
            Column::Duration => "duration",
            Column::Size => "size",
            Column::Setting(key) => key,
        }
    }

    pub(super) fn value(&self, row: &RunRow) -> Value {
        let text = |value: &Option<String>| value.clone().map_or(Value::Missing, Value::Text);
        let whole = |value: Option<u64>| value.map_or(Value::Missing, Value::Whole);
        let number = |value: Option<f64>| value.map_or(Value::Missing, Value::Number);
        match self {
            Column::Name => Value::Text(row.name.clone()),
            Column::Folder => Value::Text(row.folder.clone()),
            Column::Status => text(&row.status),
            Column::Network => text(&row.network),
            Column::DataSet => text(&row.data_set),
            Column::Epochs => whole(row.epochs),
            Column::NumEpochs => whole(row.num_epochs),
            Column::BestEpoch => whole(row.best_epoch),
            Column::ValAccuracy => number(row.val_accuracy),
            Column::TestAccuracy => number(row.test_accuracy),
            Column::ValMap => number(row.val_map),
            Column::TestMap => number(row.test_map),
            Column::ValLoss => number(row.val_loss),
            Column::LearningRate => number(row.learning_rate),
            Column::BatchSize => whole(row.batch_size),
            Column::Precision => text(&row.precision),
            Column::Seed => whole(row.seed),
            Column::Started => text(&row.started),
            Column::Duration => number(row.seconds),
            Column::Size => whole(row.bytes),
            Column::Setting(key) => {
                row.settings.get(key).map_or(Value::Missing, |text| Value::of_setting(text))
            }
        }
    }

    /// Whether all its values are numbers, in every run.
    pub(super) fn is_numeric(&self) -> bool {
        let is_text = matches!(
            self,
            Column::Name
                | Column::Folder
                | Column::Status
                | Column::Network
                | Column::DataSet
                | Column::Precision
                | Column::Started
                | Column::Setting(_)
        );
        !is_text
    }

    /// The cell as people read it; a setting as it is written.
    pub(super) fn shown(&self, row: &RunRow) -> String {
        let plain = |text: String| text.replace(format::SPACE, " ");
        match (self, self.value(row)) {
            (_, Value::Missing) => "-".to_owned(),
            (Column::Epochs, Value::Whole(done)) => match row.num_epochs {
                Some(requested) => format!("{done}/{requested}"),
                None => done.to_string(),
            },
            (Column::Duration, Value::Number(seconds)) if seconds >= 0.0 => plain(format::duration(seconds)),
            (Column::Size, Value::Whole(bytes)) => plain(format::bytes(bytes)),
            (
                Column::ValAccuracy | Column::TestAccuracy | Column::ValMap | Column::TestMap,
                Value::Number(fraction),
            ) if fraction.is_finite() => format!("{fraction:.4}"),
            (_, Value::Number(number)) => significant(number),
            (_, value) => value.exact(),
        }
    }
}

/// The columns that some runs have.
#[derive(Clone, Debug)]
pub struct Known {
    /// Keys of the configurations.
    settings: BTreeSet<String>,
}

impl Known {
    /// Those of `rows`.
    pub fn of(rows: &[RunRow]) -> Known {
        Known { settings: rows.iter().flat_map(|row| row.settings.keys().cloned()).collect() }
    }

    /// The value of `--columns`: names with commas between them, each shown once.
    ///
    /// # Errors
    /// No name, or one that no run has.
    pub fn columns(&self, list: &str) -> Result<Vec<Column>, TableError> {
        let mut columns = Vec::new();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let column = self.column(name, || format!("--columns {}", printable(list)))?;
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        if columns.is_empty() { Err(TableError::NoColumns) } else { Ok(columns) }
    }

    /// The column of that name; `given` says for an error where the name stood.
    pub(super) fn column(&self, name: &str, given: impl Fn() -> String) -> Result<Column, TableError> {
        if let Some(column) = BUILT_IN.iter().find(|column| column.name() == name) {
            return Ok(column.clone());
        }
        if self.settings.contains(name) {
            return Ok(Column::Setting(name.to_owned()));
        }
        let names: Vec<&str> = BUILT_IN.iter().map(Column::name).collect();
        Err(TableError::UnknownColumn {
            given: given(),
            column: printable(name),
            suggestion: self
                .nearest(name)
                .map_or(String::new(), |near| format!("; did you mean `{}`?", printable(near))),
            known: names.join(", "),
        })
    }

    /// The known name most like `name`, if it is much like it: a misspelling, or the last part of a
    /// key.
    fn nearest(&self, name: &str) -> Option<&str> {
        if name.len() > LONGEST_NAME {
            return None;
        }
        let lower = name.to_lowercase();
        let is_last = |key: &&String| key.rsplit_once('.').is_some_and(|(_, last)| last == lower);
        if let Some(key) = self.settings.iter().find(is_last) {
            return Some(key);
        }
        let names = BUILT_IN.iter().map(Column::name).chain(self.settings.iter().map(String::as_str));
        let scored = names.map(|known| (strsim::jaro_winkler(&lower, known), known));
        scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
    }
}
