//! Rows of compared images → the metrics of a run on them.

use ml_core::device::num_threads;
use ml_core::metrics::agreement::{balanced_accuracy, cohen_kappa, matthews_correlation};
use ml_core::metrics::intervals::{self, BootstrapConfig, stratified_bootstrap};
use ml_core::metrics::{ClassificationReport, ConfusionMatrix};

use super::rows::Row;
use crate::html::{Estimate, Interval, Metric, MetricKind, SplitMetrics};

/// The metrics that predicted classes give, with the intervals of the report of a run; those that
/// take the probabilities of all classes, and the loss, are not among them.
pub(super) fn metrics(split: &str, rows: &[&Row], classes: &[String]) -> SplitMetrics {
    let targets: Vec<usize> = rows.iter().map(|row| row.label).collect();
    let predictions: Vec<usize> = rows.iter().map(|row| row.prediction).collect();
    let mut matrix = ConfusionMatrix::new(classes.len());
    for (&target, &prediction) in targets.iter().zip(&predictions) {
        matrix.add(target, prediction);
    }
    let bootstrap = BootstrapConfig { threads: num_threads(), ..BootstrapConfig::default() };
    let found = stratified_bootstrap(&targets, &predictions, classes.len(), &bootstrap);
    let interval = |of: intervals::Estimate| interval(of.interval);
    let report = ClassificationReport::new(&matrix, classes);
    let known = [
        (MetricKind::Accuracy, Some(report.accuracy), found.map(|all| interval(all.accuracy))),
        (
            MetricKind::BalancedAccuracy,
            balanced_accuracy(&matrix),
            found.map(|all| interval(all.balanced_accuracy)),
        ),
        (MetricKind::MacroPrecision, Some(report.macro_average.precision), None),
        (MetricKind::MacroRecall, Some(report.macro_average.recall), None),
        (MetricKind::MacroF1, Some(report.macro_average.f1), found.map(|all| interval(all.macro_f1))),
        (MetricKind::WeightedPrecision, Some(report.weighted_average.precision), None),
        (MetricKind::WeightedRecall, Some(report.weighted_average.recall), None),
        (MetricKind::WeightedF1, Some(report.weighted_average.f1), None),
        (MetricKind::Kappa, cohen_kappa(&matrix), None),
        (MetricKind::Mcc, Some(matthews_correlation(&matrix)), None),
    ];
    let metrics = known.into_iter().filter_map(|(kind, value, interval)| {
        Some(Metric { kind, estimate: Estimate { value: value?, interval } })
    });
    SplitMetrics {
        split: split.to_owned(),
        images: rows.len() as u64,
        metrics: metrics.collect(),
        not_finite: rows.iter().filter(|row| row.probability.is_nan()).count() as u64,
    }
}

/// An interval as a page shows it.
pub(super) fn interval(of: intervals::Interval) -> Interval {
    Interval { low: of.lower, high: of.upper }
}
