//! Runs as plain data → a table of chosen columns, filtered and sorted, as text, CSV or JSON.
//!
//! In: a [`RunRow`] for each run, and what the command line asks for: columns ([`Known::columns`]),
//! filters ([`Filter`]), an order ([`Sort`]). Out: [`text()`], [`csv()`], [`json()`]. [`read`]
//! makes the rows of run folders.

mod column;
mod filter;
mod output;
mod read;
mod sort;
mod value;

use std::collections::BTreeMap;

pub use column::{Column, Known};
pub use filter::Filter;
pub use output::{Text, csv, json, text};
pub use read::read;
pub use sort::Sort;

/// What a table shows of a run. What is not known is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRow {
    /// Name of the run's folder.
    pub name: String,
    /// The run's folder.
    pub folder: String,
    /// `running`, `completed`, `early_stopped`, `interrupted` or `failed`.
    pub status: Option<String>,
    /// Name of the network.
    pub network: Option<String>,
    /// The data folder.
    pub data_set: Option<String>,
    /// Epochs completed.
    pub epochs: Option<u64>,
    /// Epochs that were requested.
    pub num_epochs: Option<u64>,
    /// Epoch of `best.pt`, counted from 1.
    pub best_epoch: Option<u64>,
    /// Validation accuracy of `best.pt`, a fraction; none with several labels an image.
    pub val_accuracy: Option<f64>,
    /// Accuracy of `best.pt` on the test split, a fraction; none with several labels an image.
    pub test_accuracy: Option<f64>,
    /// With several labels an image: mean average precision of `best.pt` on the validation split.
    pub val_map: Option<f64>,
    /// Likewise on the test split.
    pub test_map: Option<f64>,
    /// Validation loss of `best.pt`.
    pub val_loss: Option<f64>,
    /// As configured, before any schedule.
    pub learning_rate: Option<f64>,
    /// Images in an optimizer step.
    pub batch_size: Option<u64>,
    /// `fp32`, `bf16`, …
    pub precision: Option<String>,
    /// Where all randomness comes from.
    pub seed: Option<u64>,
    /// When the run began, `2026-11-29T16:07:13+00:00`.
    pub started: Option<String>,
    /// Seconds of training, summed over resumptions.
    pub seconds: Option<f64>,
    /// Bytes of all files in the folder.
    pub bytes: Option<u64>,
    /// The whole configuration: YAML paths (`optimizer.lr`) and their values as text.
    pub settings: BTreeMap<String, String>,
}

/// What was asked for cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A column that does not exist.
    #[error(
        "{given}: unknown column `{column}`{suggestion}; columns are {known}, and the keys of config.yaml"
    )]
    UnknownColumn {
        /// The flag and its value.
        given: String,
        /// The name in it.
        column: String,
        /// ``; did you mean `lr`?``, or empty.
        suggestion: String,
        /// The built-in columns.
        known: String,
    },
    /// `--columns` without a name.
    #[error("--columns: no column is named; give names with commas between them, such as name,val_accuracy")]
    NoColumns,
    /// A filter without a column or an operator.
    #[error(
        "--filter `{expression}`: must be a column, one of = != < <= > >= ~ (contains), and a value, such as \
         `val_accuracy>0.9`"
    )]
    NoFilter {
        /// The whole filter.
        expression: String,
    },
    /// A column of numbers is compared with text.
    #[error(
        "--filter `{expression}`: {column} is a number, `{operand}` is not; a number in words is found by ~"
    )]
    NotANumber {
        /// The whole filter.
        expression: String,
        /// Its column.
        column: String,
        /// Its value.
        operand: String,
    },
}

#[cfg(test)]
mod tests;
