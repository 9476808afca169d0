//! Probabilities of images with several labels, or none, and their labels → average precision,
//! ROC-AUC, and what thresholds make of them: [`MultilabelMetrics`].
//!
//! In: probabilities `[N, K]` after the sigmoid, [`MultiHot`] labels of the same shape and
//! [`ClassThresholds`], which [`fit_thresholds`] finds on a validation split. Each metric is
//! scikit-learn's of the same name, with `zero_division=0`. What has no value is `None`, and nothing
//! is NaN. All counts are whole numbers, and sums are taken in an order of their own: the results
//! are the same for any number of threads.

mod bootstrap;
mod curve;
mod images;
mod multi_hot;
#[cfg(test)]
mod tests;
mod thresholds;

use std::ops::Range;

use super::Probabilities;
use super::classification::{Average, ratio};
use super::parallel::map_in_order;
use super::ranking::{CLASSES_AT_ONCE, Thresholds, key_of, mean};
use images::ClassCounts;

pub use bootstrap::{bootstrap_mean_average_precision, paired_bootstrap_mean_average_precision};
pub use curve::precision_recall_curve;
pub use multi_hot::{LabelError, MultiHot};
pub use thresholds::{ClassThresholds, DEFAULT_THRESHOLD, ThresholdError, fit_thresholds};

/// The metrics of one class. Where a denominator is 0, precision, recall and F1 are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelMetrics {
    /// Mean over the images with the label of the precision at their score, in `0..=1`; `None`
    /// where no image has it.
    pub average_precision: Option<f64>,
    /// The probability that an image with the label scores higher than one without (a tie counts
    /// half), in `0..=1`; `None` where all images have it, or none.
    pub roc_auc: Option<f64>,
    /// The class is predicted where its probability is at least this.
    pub threshold: f32,
    /// Of the images for which the class is predicted, the fraction that has the label, in `0..=1`.
    pub precision: f64,
    /// Of the images with the label, the fraction for which the class is predicted, in `0..=1`.
    pub recall: f64,
    /// Harmonic mean of precision and recall: `2 · hits / (support + predicted)`, in `0..=1`.
    pub f1: f64,
    /// Images with the label.
    pub support: u64,
    /// Images for which the class is predicted.
    pub predicted: u64,
    /// Images with the label for which the class is predicted.
    pub hits: u64,
}

/// How well probabilities tell the labels of images.
///
/// Without images, all but the options is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct MultilabelMetrics {
    /// In the order of the classes.
    pub classes: Vec<LabelMetrics>,
    /// mAP: mean of the average precision of the classes that have positives; `None` without any.
    pub mean_average_precision: Option<f64>,
    /// Average precision of all pairs of image and class as one ranking; `None` without labels.
    pub micro_average_precision: Option<f64>,
    /// Mean of the ROC-AUC of the classes that have one; `None` without any.
    pub macro_roc_auc: Option<f64>,
    /// Precision, recall and F1 of all pairs of image and class as one class.
    pub micro_average: Average,
    /// Each class counts alike, those without positives too.
    pub macro_average: Average,
    /// Each class counts by its support; zeros without labels.
    pub weighted_average: Average,
    /// Mean over the images of the precision, recall and F1 of their labels. An image without
    /// labels counts as zeros, even where nothing is predicted for it.
    pub sample_average: Average,
    /// Fraction of the pairs of image and class that is predicted wrong, in `0..=1`.
    pub hamming_loss: f64,
    /// Fraction of the images whose labels are all predicted, and nothing else, in `0..=1`.
    pub subset_accuracy: f64,
    /// Mean number of classes to take, from the highest score down, to have all labels of an image,
    /// in `0..=K`; 0 of an image without labels. Equal scores are taken together.
    pub coverage_error: f64,
    /// Mean over the images of the precision at the score of each of its labels, among the scores
    /// of the image, in `0..=1`; 1 of an image without labels.
    pub label_ranking_average_precision: f64,
    /// Images, N.
    pub num_images: u64,
    /// Images without labels.
    pub num_unlabeled: u64,
    /// Labels of all images together.
    pub num_labels: u64,
    /// Labels predicted, of all images together.
    pub num_predicted: u64,
}

impl MultilabelMetrics {
    /// The metrics of `scores` `[N, K]` at `thresholds` `[K]`, on at most `threads` threads, in time
    /// in proportion to N · K · log N.
    ///
    /// A NaN score is never predicted, and counts against the classifier where scores are ranked:
    /// that of a label is below all scores, that of another class above all.
    ///
    /// The ranking metrics of an image's labels are those of Tsoumakas, Katakis and Vlahavas,
    /// "Mining multi-label data" (2010).
    ///
    /// # Panics
    /// If `labels` has not as many images and classes as `scores`, or there are not as many
    /// thresholds as classes.
    pub fn new(
        scores: Probabilities,
        labels: &MultiHot,
        thresholds: &ClassThresholds,
        threads: usize,
    ) -> MultilabelMetrics {
        check_shapes(scores, labels);
        assert_eq!(scores.num_classes(), thresholds.values().len(), "each class has a threshold");
        let of_class = |counts: Thresholds| (counts.average_precision(), counts.roc_auc());
        let (average_precision, roc_auc): (Vec<_>, Vec<_>) =
            by_class(scores, labels, threads, Some(u32::MAX), of_class).into_iter().unzip();
        let sums = images::sum(scores, labels, thresholds, threads);
        let mut total = ClassCounts::default();
        sums.classes.iter().for_each(|counts| total.add(*counts));
        let ranked = average_precision.iter().zip(&roc_auc);
        let classes: Vec<LabelMetrics> = sums
            .classes
            .iter()
            .zip(thresholds.values().iter().zip(ranked))
            .map(|(counts, (threshold, (average_precision, roc_auc)))| {
                let Average { precision, recall, f1 } = counts.metrics();
                let ClassCounts { hits, predicted, support } = *counts;
                LabelMetrics {
                    average_precision: *average_precision,
                    roc_auc: *roc_auc,
                    threshold: *threshold,
                    precision,
                    recall,
                    f1,
                    support,
                    predicted,
                    hits,
                }
            })
            .collect();
        let num_images = scores.len() as u64;
        let per_image = |sum: f64| if num_images == 0 { 0.0 } else { sum / num_images as f64 };
        MultilabelMetrics {
            mean_average_precision: mean(&average_precision),
            micro_average_precision: count_pairs(scores, labels, threads).average_precision(),
            macro_roc_auc: mean(&roc_auc),
            micro_average: total.metrics(),
            macro_average: average(&classes, |_| 1),
            weighted_average: average(&classes, |class| class.support),
            sample_average: Average {
                precision: per_image(sums.average.precision),
                recall: per_image(sums.average.recall),
                f1: per_image(sums.average.f1),
            },
            hamming_loss: ratio(
                total.support + total.predicted - 2 * total.hits,
                num_images * scores.num_classes() as u64,
            ),
            subset_accuracy: ratio(sums.exact, num_images),
            coverage_error: ratio(sums.coverage, num_images),
            label_ranking_average_precision: per_image(sums.ranking_precision),
            num_images,
            num_unlabeled: sums.unlabeled,
            num_labels: total.support,
            num_predicted: total.predicted,
            classes,
        }
    }
}

fn check_shapes(scores: Probabilities, labels: &MultiHot) {
    assert_eq!(scores.len(), labels.len(), "each image has a set of labels");
    assert_eq!(scores.num_classes(), labels.num_classes(), "scores and labels have the same classes");
}

/// The mean of the classes' metrics, each counted with its weight; zeros without any.
fn average(classes: &[LabelMetrics], weight: impl Fn(&LabelMetrics) -> u64) -> Average {
    let whole: u64 = classes.iter().map(&weight).sum();
    let mean = |figure: fn(&LabelMetrics) -> f64| {
        if whole == 0 {
            return 0.0;
        }
        classes.iter().map(|class| figure(class) * weight(class) as f64).sum::<f64>() / whole as f64
    };
    Average { precision: mean(|c| c.precision), recall: mean(|c| c.recall), f1: mean(|c| c.f1) }
}

/// What `of_class` makes of the scores of each class. A NaN score of an image without the label has
/// the key `other_nan`, or is left out.
fn by_class<T: Send>(
    scores: Probabilities,
    labels: &MultiHot,
    threads: usize,
    other_nan: Option<u32>,
    of_class: impl Fn(Thresholds) -> T + Sync,
) -> Vec<T> {
    let num_classes = scores.num_classes();
    let blocks = map_in_order(num_classes.div_ceil(CLASSES_AT_ONCE), threads, |block| {
        let first = block * CLASSES_AT_ONCE;
        let classes = first..(first + CLASSES_AT_ONCE).min(num_classes);
        count(scores, labels, &classes, other_nan).into_iter().map(&of_class).collect::<Vec<_>>()
    });
    blocks.into_iter().flatten().collect()
}

/// The thresholds of each of `classes`.
fn count(
    scores: Probabilities,
    labels: &MultiHot,
    classes: &Range<usize>,
    other_nan: Option<u32>,
) -> Vec<Thresholds> {
    let mut own = vec![Vec::new(); classes.len()];
    for (image, row) in scores.rows().enumerate() {
        for (class, own) in classes.clone().zip(&mut own) {
            if labels.contains(image, class) {
                own.push(key_of(row[class]).unwrap_or(u32::MIN));
            }
        }
    }
    let mut counts: Vec<Thresholds> = own.into_iter().map(Thresholds::new).collect();
    for (image, row) in scores.rows().enumerate() {
        for (class, counts) in classes.clone().zip(&mut counts) {
            if labels.contains(image, class) {
                continue;
            }
            if let Some(key) = key_of(row[class]).or(other_nan) {
                counts.add_other(key);
            }
        }
    }
    counts
}

/// The thresholds of all pairs of image and class as one class.
fn count_pairs(scores: Probabilities, labels: &MultiHot, threads: usize) -> Thresholds {
    let mut own = Vec::with_capacity(labels.count() as usize);
    for (image, row) in scores.rows().enumerate() {
        own.extend(labels.labels(image).map(|class| key_of(row[class]).unwrap_or(u32::MIN)));
    }
    let mut counts = Thresholds::new(own);
    // Whole numbers are added up, so the parts may depend on the number of threads.
    let images = scores.len().div_ceil(threads.max(1)).max(1);
    let parts = map_in_order(scores.len().div_ceil(images), threads, |part| {
        let mut counts = counts.clone();
        for image in part * images..((part + 1) * images).min(scores.len()) {
            for (class, score) in scores.row(image).iter().enumerate() {
                if !labels.contains(image, class) {
                    counts.add_other(key_of(*score).unwrap_or(u32::MAX));
                }
            }
        }
        counts
    });
    parts.iter().for_each(|part| counts.add_others_of(part));
    counts
}
