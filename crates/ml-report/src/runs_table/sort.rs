//! `-val_accuracy` → an order of runs.

use std::cmp::Ordering;

use ml_data::table::printable;

use super::column::{Column, Known};
use super::value::{Value, natural};
use super::{RunRow, TableError};

/// The value of `--sort`: a column, with `-` in front for the largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    column: Column,
    is_descending: bool,
}

impl Sort {
    /// Reads `key`, whose column must be one of `known`.
    ///
    /// # Errors
    /// The column does not exist.
    pub fn parse(key: &str, known: &Known) -> Result<Sort, TableError> {
        let name = key.trim();
        let column = |name: &str| known.column(name, || format!("--sort {}", printable(key)));
        match name.strip_prefix('-') {
            Some(name) => Ok(Sort { column: column(name)?, is_descending: true }),
            None => Ok(Sort { column: column(name)?, is_descending: false }),
        }
    }

    /// Puts `rows` in order: numbers by size, before texts in natural order. NaN and then what is
    /// missing are last in either direction; equal runs are in the order of their names.
    pub fn apply(&self, rows: &mut [RunRow]) {
        rows.sort_by_cached_key(|row| Key {
            value: self.column.value(row),
            is_descending: self.is_descending,
            name: row.name.clone(),
            folder: row.folder.clone(),
        });
    }
}

/// What a run is sorted by.
struct Key {
    value: Value,
    is_descending: bool,
    name: String,
    folder: String,
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        let order = self.value.compare(&other.value).unwrap_or(Ordering::Equal);
        // Large whole numbers and fractions that look equal as f64 need an order that holds for all.
        let order = order.then_with(|| self.value.whole().cmp(&other.value.whole()));
        let order = if self.is_descending { order.reverse() } else { order };
        rank(&self.value)
            .cmp(&rank(&other.value))
            .then(order)
            .then_with(|| natural(&self.name, &other.name))
            .then_with(|| natural(&self.folder, &other.folder))
    }
}

/// Values of one kind are together.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Missing => 3,
        value if value.is_nan() => 2,
        Value::Text(_) => 1,
        Value::Whole(_) | Value::Number(_) => 0,
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}
