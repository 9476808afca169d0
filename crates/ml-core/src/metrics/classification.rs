//! A confusion matrix → precision, recall and F1 by scikit-learn's definitions
//! (`classification_report` with `labels` = all classes and `zero_division=0`).

use super::ConfusionMatrix;

/// The metrics of one class. Where a denominator is 0, the metric is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMetrics {
    /// The class's name.
    pub class: String,
    /// Of the samples predicted as this class, the fraction that is of it, in `0..=1`.
    pub precision: f64,
    /// Of the samples of this class, the fraction predicted as it, in `0..=1`.
    pub recall: f64,
    /// Harmonic mean of precision and recall: `2 · hits / (support + predicted)`, in `0..=1`.
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
    /// Samples predicted as this class.
    pub predicted: u64,
}

/// The mean of the classes' metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Average {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean F1.
    pub f1: f64,
}

/// Metrics of every class and their averages.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassificationReport {
    /// In the order of the classes.
    pub classes: Vec<ClassMetrics>,
    /// Fraction of the samples that was predicted right, in `0..=1`; 0 without samples.
    pub accuracy: f64,
    /// Each class counts alike, those without samples too (with zeros).
    pub macro_average: Average,
    /// Each class counts by its samples; zeros without samples.
    pub weighted_average: Average,
    /// Samples.
    pub support: u64,
}

impl ClassificationReport {
    /// The figures of `matrix`, whose classes have these `names`.
    ///
    /// # Panics
    /// If there are not as many names as classes.
    pub fn new(matrix: &ConfusionMatrix, names: &[String]) -> ClassificationReport {
        assert_eq!(matrix.num_classes(), names.len(), "each class has a name");
        let mut predicted = vec![0; names.len()];
        for row in matrix.rows() {
            for (sum, count) in predicted.iter_mut().zip(row) {
                *sum += count;
            }
        }
        let classes: Vec<ClassMetrics> = (0..names.len())
            .map(|class| {
                let (hits, support) = (matrix.count(class, class), matrix.support(class));
                ClassMetrics {
                    class: names[class].clone(),
                    precision: ratio(hits, predicted[class]),
                    recall: ratio(hits, support),
                    f1: ratio(2 * hits, support + predicted[class]),
                    support,
                    predicted: predicted[class],
                }
            })
            .collect();
        let support = matrix.total();
        ClassificationReport {
            accuracy: ratio(matrix.correct(), support),
            macro_average: average(&classes, |_| 1),
            weighted_average: average(&classes, |class| class.support),
            support,
            classes,
        }
    }
}

pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn average(classes: &[ClassMetrics], weight: impl Fn(&ClassMetrics) -> u64) -> Average {
    let whole: u64 = classes.iter().map(&weight).sum();
    let mean = |figure: fn(&ClassMetrics) -> f64| {
        if whole == 0 {
            return 0.0;
        }
        classes.iter().map(|class| figure(class) * weight(class) as f64).sum::<f64>() / whole as f64
    };
    Average { precision: mean(|c| c.precision), recall: mean(|c| c.recall), f1: mean(|c| c.f1) }
}
