//! Logits of labelled images → what a decision takes: how good, how sure, which labels are wrong.

use super::{ClassProbability, Evaluation, Prediction};
use crate::metrics::agreement::{balanced_accuracy, cohen_kappa, matthews_correlation};
use crate::metrics::calibration::{
    CalibrationMetrics, DEFAULT_BINS, TemperatureError, TemperatureFit, fit_temperature,
};
use crate::metrics::intervals::{BootstrapConfig, BootstrapMetrics, stratified_bootstrap};
use crate::metrics::label_issues::{LabelIssues, LabelIssuesConfig, find_label_issues};
use crate::metrics::ranking::RankingMetrics;
use crate::metrics::selective::RiskCoverage;
use crate::metrics::{ClassificationReport, ConfusionMatrix, MetricSums, Probabilities, TOP_K};

/// Points of a risk-coverage curve at most.
const CURVE_POINTS: usize = 200;

/// The logits of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits {
    /// `[N, K]` row by row, a row for each prediction, in their order.
    pub values: Vec<f32>,
    /// K.
    pub num_classes: usize,
}

impl Logits {
    /// The softmax of each row of the logits divided by `temperature`, `[N, K]`. A row with NaN, or
    /// with +Inf, becomes NaN.
    pub fn probabilities(&self, temperature: f64) -> Vec<f32> {
        let mut values = self.values.clone();
        for row in values.chunks_exact_mut(self.num_classes.max(1)) {
            softmax(row, temperature);
        }
        values
    }
}

/// Softmax in f64 of one row.
fn softmax(row: &mut [f32], temperature: f64) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponent = |value: f32| (f64::from(value - top) / temperature).exp();
    let sum: f64 = row.iter().map(|value| exponent(*value)).sum();
    for value in row {
        *value = (exponent(*value) / sum) as f32;
    }
}

/// What an evaluation says beyond counts. Computed by [`Analysis::new`].
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Precision, recall and F1 of each class, and their means.
    pub report: ClassificationReport,
    /// See [`balanced_accuracy`].
    pub balanced_accuracy: Option<f64>,
    /// See [`cohen_kappa`].
    pub cohen_kappa: Option<f64>,
    /// See [`matthews_correlation`].
    pub matthews_correlation: f64,
    /// How well the probabilities rank images, by class.
    pub ranking: RankingMetrics,
    /// 95 % intervals; none without images.
    pub intervals: Option<BootstrapMetrics>,
    /// How well the probabilities fit.
    pub calibration: CalibrationMetrics,
    /// How well those of the logits as they are fit.
    pub uncalibrated: CalibrationMetrics,
    /// The error among the most confident images.
    pub risk_coverage: RiskCoverage,
    /// Images whose label is likely wrong; `sample` is the place among the predictions.
    pub label_issues: LabelIssues,
    /// By prediction: the probability of its class, and what the next class has less.
    confidences: Vec<Confidence>,
}

/// How sure a network is of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Of the most probable class, in `0..=1`.
    pub probability: f32,
    /// What the second most probable class has less, in `0..=1`; the same as `probability` with
    /// one class.
    pub margin: f32,
}

impl Analysis {
    /// Of an evaluation with these `classes`; on at most `threads` threads, on whose number nothing
    /// depends.
    ///
    /// # Panics
    /// The evaluation is of another number of classes.
    pub fn new(evaluation: &Evaluation, classes: &[String], threads: usize) -> Analysis {
        let temperature = evaluation.temperature;
        let probabilities = evaluation.logits.probabilities(temperature);
        let num_classes = classes.len().max(1);
        // As many rows of as many values as there are predictions.
        let view =
            || Probabilities::new(&probabilities, num_classes).unwrap_or_else(|error| panic!("{error}"));
        let targets: Vec<usize> = evaluation.predictions.iter().map(|one| one.target).collect();
        let predictions: Vec<usize> = evaluation.predictions.iter().map(|one| one.best().class).collect();
        let confidences: Vec<Confidence> = view().rows().zip(&predictions).map(confidence).collect();
        let bootstrap = BootstrapConfig { threads, ..BootstrapConfig::default() };
        let matrix = &evaluation.confusion;
        let calibration = CalibrationMetrics::new(view(), &targets, DEFAULT_BINS, threads);
        let uncalibrated = if temperature == 1.0 {
            calibration.clone()
        } else {
            let plain = evaluation.logits.probabilities(1.0);
            let view = Probabilities::new(&plain, num_classes).unwrap_or_else(|error| panic!("{error}"));
            CalibrationMetrics::new(view, &targets, DEFAULT_BINS, threads)
        };
        Analysis {
            report: ClassificationReport::new(matrix, classes),
            balanced_accuracy: balanced_accuracy(matrix),
            cohen_kappa: cohen_kappa(matrix),
            matthews_correlation: matthews_correlation(matrix),
            ranking: RankingMetrics::new(view(), &targets, threads),
            intervals: stratified_bootstrap(&targets, &predictions, num_classes, &bootstrap),
            calibration,
            uncalibrated,
            risk_coverage: risk_coverage(evaluation, confidences.iter().map(|one| one.probability)),
            label_issues: find_label_issues(
                view(),
                &targets,
                &LabelIssuesConfig { threads, ..LabelIssuesConfig::default() },
            ),
            confidences,
        }
    }

    /// How sure the network is of each image, in the order of the predictions.
    pub fn confidences(&self) -> &[Confidence] {
        &self.confidences
    }
}

/// The error among the surest predictions, whose probabilities these are.
pub(super) fn risk_coverage(evaluation: &Evaluation, confidences: impl Iterator<Item = f32>) -> RiskCoverage {
    let hits: Vec<bool> = evaluation.predictions.iter().map(|one| one.best().class == one.target).collect();
    RiskCoverage::new(&confidences.collect::<Vec<_>>(), &hits, CURVE_POINTS)
}

/// Of one row of probabilities and the class that is predicted.
fn confidence((row, &class): (&[f32], &usize)) -> Confidence {
    let others = row.iter().enumerate().filter(|(other, _)| *other != class).map(|(_, value)| *value);
    let probability = row[class];
    Confidence { probability, margin: probability - others.fold(0.0, f32::max) }
}

impl Evaluation {
    /// Of probabilities `[N, K]` of images whose classes are `targets`, each in `0..num_classes`. The
    /// logits are their logarithms, the loss is their cross entropy.
    pub fn from_probabilities(probabilities: &[f32], num_classes: usize, targets: &[usize]) -> Evaluation {
        let mut evaluation = Evaluation {
            sums: MetricSums::default(),
            confusion: ConfusionMatrix::new(num_classes),
            predictions: Vec::with_capacity(targets.len()),
            logits: Logits { values: probabilities.iter().map(|p| p.ln()).collect(), num_classes },
            temperature: 1.0,
            ood_scores: None,
        };
        for (sample, (row, &target)) in
            probabilities.chunks_exact(num_classes.max(1)).zip(targets).enumerate()
        {
            let mut classes: Vec<usize> = (0..num_classes).collect();
            classes.sort_by(|&one, &other| row[other].total_cmp(&row[one]));
            classes.truncate(TOP_K as usize);
            let sums = &mut evaluation.sums;
            sums.loss_sum -= f64::from(row[target]).ln();
            sums.loss_divisor += 1.0;
            sums.count += 1;
            sums.correct += u64::from(classes[0] == target);
            sums.correct_top5 += u64::from(classes.contains(&target));
            evaluation.confusion.add(target, classes[0]);
            let scored = |class: usize| ClassProbability { class, probability: row[class] };
            let top_k = classes.into_iter().map(scored).collect();
            evaluation.predictions.push(Prediction { sample, target, top_k });
        }
        evaluation
    }

    /// The same with probabilities of the logits divided by `temperature`.
    #[must_use]
    pub fn at_temperature(mut self, temperature: f64) -> Evaluation {
        let mut row = Vec::with_capacity(self.logits.num_classes);
        let rows = self.logits.values.chunks_exact(self.logits.num_classes.max(1));
        for (prediction, logits) in self.predictions.iter_mut().zip(rows) {
            row.clear();
            row.extend_from_slice(logits);
            softmax(&mut row, temperature);
            for scored in &mut prediction.top_k {
                scored.probability = row[scored.class];
            }
        }
        self.temperature = temperature;
        self
    }

    /// The temperature that makes the probabilities fit these images best.
    ///
    /// # Errors
    /// There are too few images, images of one class alone, or logits that are not finite.
    pub fn fit_temperature(&self, threads: usize) -> Result<TemperatureFit, TemperatureError> {
        let targets: Vec<usize> = self.predictions.iter().map(|one| one.target).collect();
        fit_temperature(&self.logits.values, self.logits.num_classes, &targets, threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_the_softmax_at_the_temperature() {
        let logits = Logits { values: vec![0.0, 2.0f32.ln(), 1e30, -1e30, f32::NAN, 0.0], num_classes: 2 };
        let plain = logits.probabilities(1.0);
        assert!((plain[1] - 2.0 / 3.0).abs() < 1e-7);
        assert_eq!(plain[2..4], [1.0, 0.0]);
        assert!(plain[4].is_nan() && plain[5].is_nan());
        let softer = logits.probabilities(2.0);
        assert!((softer[1] - 2f32.sqrt() / (1.0 + 2f32.sqrt())).abs() < 1e-7);
    }

    #[test]
    fn an_evaluation_of_probabilities_counts_what_they_say() {
        let found = Evaluation::from_probabilities(&[0.25, 0.75, 0.5, 0.5, 1.0, 0.0], 2, &[1, 0, 1]);
        assert_eq!((found.sums.count, found.sums.correct, found.sums.correct_top5), (3, 2, 3));
        assert_eq!(found.confusion.count(1, 0), 1);
        assert_eq!(found.sums.loss(), f64::INFINITY);
        assert_eq!(found.predictions[0].best(), ClassProbability { class: 1, probability: 0.75 });
        let again = found.logits.probabilities(1.0);
        assert!(again.iter().zip([0.25, 0.75, 0.5, 0.5, 1.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn a_margin_is_what_the_next_class_has_less() {
        let one = confidence((&[0.2, 0.5, 0.3], &1));
        assert_eq!(one.probability, 0.5);
        assert!((one.margin - 0.2).abs() < 1e-7);
        assert_eq!(confidence((&[1.0], &0)), Confidence { probability: 1.0, margin: 1.0 });
    }
}
