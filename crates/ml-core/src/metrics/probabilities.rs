//! Probabilities of classes by sample, borrowed: what the metrics of scores read.

use thiserror::Error;

/// What the largest probability may exceed 1 by: a softmax rounds.
const ROUNDING: f32 = 1e-4;

/// Values that are no matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// `num_classes` is 0.
    #[error("a matrix of probabilities has at least one class")]
    NoClasses,
    /// The last row is not complete.
    #[error("{values} values cannot be split into rows of {num_classes} classes")]
    IncompleteRow {
        /// Number of values.
        values: usize,
        /// Length of a row.
        num_classes: usize,
    },
}

/// Probabilities (or other scores) `[N, K]`, row by row: a row a sample, a column a class.
#[derive(Clone, Copy, Debug)]
pub struct Probabilities<'a> {
    values: &'a [f32],
    num_classes: usize,
}

impl<'a> Probabilities<'a> {
    /// `values` `[N, num_classes]`, row by row; N may be 0. The values themselves are not checked:
    /// each metric says what it does with NaN.
    ///
    /// # Errors
    /// `num_classes` is 0, or `values` does not consist of whole rows.
    pub fn new(values: &'a [f32], num_classes: usize) -> Result<Probabilities<'a>, ShapeError> {
        if num_classes == 0 {
            return Err(ShapeError::NoClasses);
        }
        if !values.len().is_multiple_of(num_classes) {
            return Err(ShapeError::IncompleteRow { values: values.len(), num_classes });
        }
        Ok(Probabilities { values, num_classes })
    }

    /// Number of samples, N.
    pub fn len(&self) -> usize {
        self.values.len() / self.num_classes
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of classes, K, at least 1.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The values of a sample, `[K]`.
    ///
    /// # Panics
    /// If `sample` is not in `0..len()`.
    pub fn row(&self, sample: usize) -> &'a [f32] {
        &self.values[sample * self.num_classes..][..self.num_classes]
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [f32]> + use<'a> {
        self.values.chunks_exact(self.num_classes)
    }

    /// # Panics
    /// If `targets` are not one class of `0..num_classes` for each row.
    pub(super) fn check_targets(&self, targets: &[usize]) {
        assert_eq!(self.len(), targets.len(), "each sample has a target");
        assert!(targets.iter().all(|&target| target < self.num_classes), "a target is in 0..num_classes");
    }
}

/// Whether every value of a row can be a probability: in `0..=1`, but for rounding, and not NaN.
pub(super) fn is_distribution(row: &[f32]) -> bool {
    // A sum, not `all`: without early exits the loop is vectorised.
    row.iter().map(|value| u32::from(!(0.0..=1.0 + ROUNDING).contains(value))).sum::<u32>() == 0
}

/// The largest value of a row without NaN and its class, of equal values the first; `row` has at
/// least one value.
pub(super) fn top_label(row: &[f32]) -> (usize, f32) {
    let top = largest(row);
    (row.iter().position(|&value| value == top).unwrap_or(0), top)
}

/// The largest value of a row without NaN.
pub(super) fn largest(row: &[f32]) -> f32 {
    const LANES: usize = 8;
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut tops = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (top, &value) in tops.iter_mut().zip(chunk) {
            *top = larger(*top, value);
        }
    }
    tops.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rows_are_a_matrix() {
        assert_eq!(Probabilities::new(&[0.5], 0).unwrap_err(), ShapeError::NoClasses);
        assert_eq!(
            Probabilities::new(&[0.5; 5], 2).unwrap_err(),
            ShapeError::IncompleteRow { values: 5, num_classes: 2 }
        );
        let empty = Probabilities::new(&[], 3).unwrap();
        assert!(empty.is_empty() && empty.rows().len() == 0);
        let matrix = Probabilities::new(&[0.1, 0.9, 0.8, 0.2], 2).unwrap();
        assert_eq!((matrix.len(), matrix.num_classes(), matrix.row(1)), (2, 2, [0.8, 0.2].as_slice()));
    }

    #[test]
    fn the_first_of_equal_values_is_the_top_label() {
        let mut row = [0.0f32; 19];
        (row[7], row[18]) = (0.5, 0.5);
        assert_eq!(top_label(&row), (7, 0.5));
        assert_eq!(top_label(&[0.25]), (0, 0.25));
    }

    #[test]
    fn a_row_with_nan_or_a_negative_value_is_no_distribution() {
        assert!(is_distribution(&[0.0, 1.000_000_1]));
        for wrong in [f32::NAN, f32::INFINITY, -0.1, 1.1] {
            assert!(!is_distribution(&[0.5, wrong, 0.5]));
        }
    }
}
