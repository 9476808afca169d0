//! Against NumPy, scikit-learn and SciPy (`reference/calibration.py`).

use serde::Deserialize;

use super::*;
use crate::metrics::probabilities::ShapeError;
use crate::metrics::testing::{close, close_option, logits, reference, softmax};

#[derive(Deserialize)]
struct Reference {
    metrics: Vec<MetricsCase>,
    temperature: Vec<TemperatureCase>,
}

#[derive(Deserialize)]
struct MetricsCase {
    name: String,
    probabilities: Vec<Vec<f32>>,
    targets: Vec<usize>,
    num_bins: usize,
    accuracy: f64,
    confidence: f64,
    ece: f64,
    mce: f64,
    brier: f64,
    nll: f64,
    /// (count, mean confidence, accuracy)
    bins: Vec<(u64, Option<f64>, Option<f64>)>,
}

#[derive(Deserialize)]
struct TemperatureCase {
    name: String,
    logits: Vec<Vec<f32>>,
    targets: Vec<usize>,
    temperature: f64,
    bound: Option<String>,
    nll_before: f64,
    nll_after: f64,
    ece_before: f64,
    ece_after: f64,
}

#[test]
fn errors_scores_and_bins_are_those_of_the_reference() {
    let cases = reference::<Reference>("calibration").metrics;
    assert!(cases.len() >= 5);
    for case in cases {
        let flat = case.probabilities.concat();
        let probabilities = Probabilities::new(&flat, case.probabilities[0].len()).unwrap();
        let ours = CalibrationMetrics::new(probabilities, &case.targets, case.num_bins, 2);
        assert_eq!((ours.samples, ours.left_out), (case.targets.len() as u64, 0));
        for (figure, ours, theirs) in [
            ("accuracy", ours.accuracy, case.accuracy),
            ("confidence", ours.confidence, case.confidence),
            ("ece", ours.ece, case.ece),
            ("mce", ours.mce, case.mce),
            ("brier", ours.brier, case.brier),
            ("nll", ours.nll, case.nll),
        ] {
            assert!(close(ours, theirs, 1e-12), "{}: {figure} {ours} {theirs}", case.name);
        }
        assert_eq!(ours.reliability.bins.len(), case.bins.len());
        for (bin, &(count, confidence, accuracy)) in ours.reliability.bins.iter().zip(&case.bins) {
            assert_eq!(bin.count, count, "{}", case.name);
            for (ours, theirs) in [(bin.confidence, confidence), (bin.accuracy, accuracy)] {
                assert!(close_option(ours, theirs, 1e-12), "{}", case.name);
            }
        }
    }
}

#[test]
fn a_row_that_is_no_distribution_is_left_out_and_counted() {
    let values = [0.25, 0.75, f32::NAN, 0.5, 0.6, 0.4, 1.5, -0.5];
    let probabilities = Probabilities::new(&values, 2).unwrap();
    let metrics = CalibrationMetrics::new(probabilities, &[1, 0, 0, 0], DEFAULT_BINS, 1);
    assert_eq!((metrics.samples, metrics.left_out, metrics.accuracy), (2, 2, 1.0));
    let kept = Probabilities::new(&[0.25, 0.75, 0.6, 0.4], 2).unwrap();
    let without = CalibrationMetrics::new(kept, &[1, 0], DEFAULT_BINS, 1);
    assert_eq!((metrics.ece, metrics.brier, metrics.nll), (without.ece, without.brier, without.nll));
}

#[test]
fn without_samples_the_metrics_are_nan() {
    let none = CalibrationMetrics::new(Probabilities::new(&[], 4).unwrap(), &[], DEFAULT_BINS, 2);
    assert_eq!((none.samples, none.left_out), (0, 0));
    for figure in [none.accuracy, none.confidence, none.ece, none.mce, none.brier, none.nll] {
        assert!(figure.is_nan());
    }
}

#[test]
fn a_target_of_probability_0_has_a_finite_likelihood() {
    let metrics = CalibrationMetrics::new(Probabilities::new(&[1.0, 0.0], 2).unwrap(), &[1], 15, 1);
    assert!((metrics.nll - 87.336_544_75).abs() < 1e-6, "{}", metrics.nll);
    assert_eq!(metrics.brier, 2.0);
}

#[test]
fn confidences_and_hits_make_the_same_bins_as_probabilities() {
    let (logits, targets) = logits(300, 6);
    let values = softmax(&logits, 6);
    let probabilities = Probabilities::new(&values, 6).unwrap();
    let tops: Vec<_> = probabilities.rows().map(top_label).collect();
    let confidences: Vec<f32> = tops.iter().map(|top| top.1).chain([f32::NAN]).collect();
    let hits: Vec<bool> =
        tops.iter().zip(&targets).map(|(top, &target)| top.0 == target).chain([true]).collect();
    let whole = CalibrationMetrics::new(probabilities, &targets, 10, 3);
    assert_eq!(Reliability::new(&confidences, &hits, 10), whole.reliability);
}

#[test]
fn the_temperature_is_that_of_scipy() {
    let cases = reference::<Reference>("calibration").temperature;
    assert!(cases.len() >= 6);
    for case in cases {
        let flat = case.logits.concat();
        let fit = fit_temperature(&flat, case.logits[0].len(), &case.targets, 2).unwrap();
        assert!((fit.temperature / case.temperature - 1.0).abs() < 1e-6, "{}: {fit:?}", case.name);
        let bound = fit.bound.map(|bound| format!("{bound:?}").to_lowercase());
        assert_eq!(bound, case.bound, "{}", case.name);
        for (ours, theirs) in [
            (fit.nll_before, case.nll_before),
            (fit.nll_after, case.nll_after),
            (fit.ece_before, case.ece_before),
        ] {
            assert!(close(ours, theirs, 1e-12), "{}: {ours} {theirs}", case.name);
        }
        assert!(close(fit.ece_after, case.ece_after, 1e-5), "{}: {fit:?}", case.name);
        assert_eq!(fit.samples, case.targets.len());
    }
}

#[test]
fn the_fit_does_not_depend_on_the_threads() {
    let (logits, targets) = logits(2000, 5);
    let fit = |threads| fit_temperature(&logits, 5, &targets, threads).unwrap();
    assert_eq!(fit(1), fit(3));
}

#[test]
fn the_fit_undoes_any_scale_of_the_logits_within_the_range() {
    let (logits, targets) = logits(1000, 4);
    let unscaled = fit_temperature(&logits, 4, &targets, 1).unwrap();
    for scale in [0.1f32, 0.5, 4.0, 15.0] {
        let scaled: Vec<f32> = logits.iter().map(|logit| logit * scale).collect();
        let fit = fit_temperature(&scaled, 4, &targets, 1).unwrap();
        assert!((fit.temperature / (unscaled.temperature * f64::from(scale)) - 1.0).abs() < 1e-5);
        assert!(fit.bound.is_none() && (fit.nll_after - unscaled.nll_after).abs() < 1e-6);
    }
    for (scale, bound) in [(1e-4f32, TemperatureBound::Lower), (1e30, TemperatureBound::Upper)] {
        let scaled: Vec<f32> = logits.iter().map(|logit| logit * scale).collect();
        let fit = fit_temperature(&scaled, 4, &targets, 1).unwrap();
        assert_eq!(fit.bound, Some(bound));
        assert!(fit.nll_after <= fit.nll_before);
    }
}

#[test]
fn equal_logits_keep_temperature_1() {
    let targets: Vec<usize> = (0..60).map(|sample| sample % 3).collect();
    let fit = fit_temperature(&[2.0; 180], 3, &targets, 1).unwrap();
    assert_eq!((fit.temperature, fit.bound), (1.0, None));
}

#[test]
fn what_cannot_be_fitted_is_an_error() {
    let (good, targets) = logits(60, 3);
    let error = |logits: &[f32], targets: &[usize]| fit_temperature(logits, 3, targets, 1).unwrap_err();
    assert_eq!(error(&good[..147], &targets[..49]), TemperatureError::TooFewSamples { samples: 49 });
    assert_eq!(error(&good, &[2; 60]), TemperatureError::OneClass { class: 2 });
    assert_eq!(error(&good, &targets[..59]), TemperatureError::Targets { targets: 59, samples: 60 });
    assert_eq!(
        error(&good[..100], &targets),
        TemperatureError::Shape(ShapeError::IncompleteRow { values: 100, num_classes: 3 })
    );
    let mut unknown = targets.clone();
    unknown[7] = 3;
    assert_eq!(
        error(&good, &unknown),
        TemperatureError::UnknownClass { sample: 7, target: 3, num_classes: 3 }
    );
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut broken = good.clone();
        broken[20] = value;
        assert_eq!(error(&broken, &targets), TemperatureError::NotFinite { sample: 6 });
    }
}
