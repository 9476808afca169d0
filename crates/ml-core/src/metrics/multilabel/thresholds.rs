//! From which probability on a class is predicted, and fitting that to a validation split.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{MultiHot, by_class, check_shapes};
use crate::metrics::Probabilities;
use crate::metrics::ranking::{Step, Thresholds, score_of};

/// The threshold of a class unless another is given or fitted.
pub const DEFAULT_THRESHOLD: f32 = 0.5;

/// A threshold that is no probability.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("the threshold of class {class} must be in 0..=1, got {value}")]
pub struct ThresholdError {
    /// Number of the class, from 0.
    pub class: usize,
    /// Its threshold.
    pub value: f32,
}

/// A threshold for each class, in `0..=1`: a class is predicted where its probability is at least
/// this. Serialised as a list of numbers, which gives the same thresholds back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f32>", into = "Vec<f32>")]
pub struct ClassThresholds(Vec<f32>);

impl ClassThresholds {
    /// `values` `[K]`, in the order of the classes.
    ///
    /// # Errors
    /// The first value that is not in `0..=1`; NaN is none.
    pub fn new(values: Vec<f32>) -> Result<ClassThresholds, ThresholdError> {
        match values.iter().position(|value| !is_probability(*value)) {
            Some(class) => Err(ThresholdError { class, value: values[class] }),
            None => Ok(ClassThresholds(values)),
        }
    }

    /// [`DEFAULT_THRESHOLD`] for each class.
    pub fn uniform(num_classes: usize) -> ClassThresholds {
        ClassThresholds(vec![DEFAULT_THRESHOLD; num_classes])
    }

    /// The thresholds, `[K]`.
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

impl TryFrom<Vec<f32>> for ClassThresholds {
    type Error = ThresholdError;

    fn try_from(values: Vec<f32>) -> Result<ClassThresholds, ThresholdError> {
        ClassThresholds::new(values)
    }
}

impl From<ClassThresholds> for Vec<f32> {
    fn from(thresholds: ClassThresholds) -> Vec<f32> {
        thresholds.0
    }
}

fn is_probability(value: f32) -> bool {
    (0.0..=1.0).contains(&value)
}

/// The thresholds with the highest F1 of each class on `scores` `[N, K]`, on at most `threads`
/// threads. All distinct scores of the class are tried, and F1 is compared as a fraction of whole
/// numbers. Of equal F1 the highest threshold is taken, which predicts the fewest images. A class
/// without positives keeps [`DEFAULT_THRESHOLD`]. A NaN score is never predicted, and no threshold.
///
/// Fit on a validation split: on the images that the thresholds were fitted to, F1 is too high.
/// Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure"
/// (2014).
///
/// # Panics
/// If `labels` has not as many images and classes as `scores`.
pub fn fit_thresholds(scores: Probabilities, labels: &MultiHot, threads: usize) -> ClassThresholds {
    check_shapes(scores, labels);
    ClassThresholds(by_class(scores, labels, threads, None, |counts| best_threshold(&counts)))
}

/// Only scores of the class's own images are tried: at another score, the hits are those at the
/// next own score above, but more is predicted. NaN scores of other images are not in `counts`.
fn best_threshold(counts: &Thresholds) -> f32 {
    // F1 / 2 as a fraction.
    let (mut best, mut best_of, mut threshold) = (0u128, 1u128, DEFAULT_THRESHOLD);
    for Step { key, hits, others, .. } in counts.descending() {
        let of = counts.positives + hits + others;
        let score = score_of(key);
        if is_probability(score) && u128::from(hits) * best_of > best * u128::from(of) {
            (best, best_of, threshold) = (u128::from(hits), u128::from(of), score);
        }
    }
    threshold
}
