//! Precision-recall curves of a class, and of all pairs of image and class.

use super::{MultiHot, check_shapes, count, count_pairs};
use crate::metrics::Probabilities;
use crate::metrics::ranking::PrecisionRecallPoint;

/// The precision-recall curve of `class`, or of all pairs of image and class as one class (`None`),
/// from the highest threshold to recall 1: a point for each distinct score of an image with the
/// label, thinned evenly to `max_points` with the first and the last kept. Empty where no image has
/// the label or `max_points` is 0. The points are among those of scikit-learn's
/// `precision_recall_curve`; NaN counts as in [`MultilabelMetrics::new`](super::MultilabelMetrics).
///
/// # Panics
/// If `labels` has not as many images and classes as `scores`, or `class` is not in `0..K`.
pub fn precision_recall_curve(
    scores: Probabilities,
    labels: &MultiHot,
    class: Option<usize>,
    max_points: usize,
    threads: usize,
) -> Vec<PrecisionRecallPoint> {
    check_shapes(scores, labels);
    let Some(class) = class else { return count_pairs(scores, labels, threads).curve(max_points) };
    assert!(class < scores.num_classes(), "a class of the scores");
    let counts = count(scores, labels, &(class..class + 1), Some(u32::MAX));
    counts.first().map_or_else(Vec::new, |counts| counts.curve(max_points))
}
