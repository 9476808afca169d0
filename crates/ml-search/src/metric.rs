//! A column of `metrics.csv`, which way it is better, and its values.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The columns that can be searched for.
pub const METRICS: [&str; 15] = [
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "val_top5_accuracy",
    "ema_val_loss",
    "ema_val_accuracy",
    "train_subset_accuracy",
    "val_map",
    "val_micro_f1",
    "val_macro_f1",
    "val_sample_f1",
    "val_hamming_loss",
    "val_subset_accuracy",
    "ema_val_map",
];

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Low ones.
    Minimize,
    /// High ones.
    Maximize,
}

/// One of [`METRICS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metric(String);

impl Default for Metric {
    fn default() -> Metric {
        Metric("val_accuracy".to_owned())
    }
}

impl Metric {
    /// The metric of this name, if there is one.
    pub fn named(name: &str) -> Option<Metric> {
        METRICS.contains(&name).then(|| Metric(name.to_owned()))
    }

    /// As `metrics.csv` spells it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Losses are better low, accuracies high.
    pub fn direction(&self) -> Direction {
        if self.0.ends_with("loss") { Direction::Minimize } else { Direction::Maximize }
    }

    /// `value` as a loss: lower is better.
    pub fn loss(&self, value: f64) -> f64 {
        match self.direction() {
            Direction::Minimize => value,
            Direction::Maximize => -value,
        }
    }

    /// The best of `values`; none if none is a number.
    pub fn best(&self, values: &[Option<f64>]) -> Option<f64> {
        let numbers = values.iter().flatten().copied();
        numbers.min_by(|a, b| self.loss(*a).total_cmp(&self.loss(*b)))
    }
}

/// The values of `metric` in a `metrics.csv`, an item an epoch; none for what is not finite. Empty
/// before the file is there.
///
/// # Errors
/// The file cannot be read, or lacks the column.
pub fn read_values(path: &Path, metric: &Metric) -> io::Result<Vec<Option<f64>>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split(',').position(|name| name == metric.name()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("there is no column {}", metric.name()))
    })?;
    let value = |line: &str| {
        let number: Option<f64> = line.split(',').nth(column).and_then(|cell| cell.parse().ok());
        number.filter(|number| number.is_finite())
    };
    Ok(lines.map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_and_what_is_no_number_is_left_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let metric = Metric::named("val_loss").unwrap();
        assert!(read_values(&path, &metric).unwrap().is_empty());
        fs::write(&path, "epoch,val_loss,val_accuracy\n1,0.5,0.25\n2,NaN,0.5\n3,0.25,0.5\n").unwrap();
        let values = read_values(&path, &metric).unwrap();
        assert_eq!(values, [Some(0.5), None, Some(0.25)]);
        assert_eq!(metric.best(&values), Some(0.25));
        let other = Metric::named("ema_val_loss").unwrap();
        assert!(read_values(&path, &other).unwrap_err().to_string().contains("ema_val_loss"));
        assert_eq!(Metric::named("accuracy"), None);
    }
}
