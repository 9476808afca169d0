//! Against NumPy and SciPy (`reference/selective.py`).

use serde::Deserialize;

use super::*;
use crate::metrics::testing::{close, noise, reference};

#[derive(Deserialize)]
struct Case {
    name: String,
    confidences: Vec<f32>,
    hits: Vec<u8>,
    aurc: f64,
    /// (threshold, coverage, risk)
    points: Vec<(f32, f64, f64)>,
    thresholds: Vec<ThresholdCase>,
}

#[derive(Deserialize)]
struct ThresholdCase {
    max_error: f64,
    level: f64,
    /// (threshold, coverage, accepted, errors, bound)
    found: Option<(f32, f64, u64, u64, f64)>,
}

impl Case {
    fn hits(&self) -> Vec<bool> {
        self.hits.iter().map(|&hit| hit == 1).collect()
    }
}

#[test]
fn the_curve_and_its_area_are_those_of_numpy() {
    let cases: Vec<Case> = reference("selective");
    assert!(cases.len() >= 6);
    for case in cases {
        let curve = RiskCoverage::new(&case.confidences, &case.hits(), usize::MAX);
        assert!(close(curve.aurc, case.aurc, 1e-12), "{}: {} {}", case.name, curve.aurc, case.aurc);
        assert_eq!(curve.points.len(), case.points.len(), "{}", case.name);
        for (ours, theirs) in curve.points.iter().zip(&case.points) {
            assert_eq!(ours.threshold, theirs.0, "{}", case.name);
            assert!(close(ours.coverage, theirs.1, 1e-12) && close(ours.risk, theirs.2, 1e-12));
        }
    }
}

#[test]
fn the_threshold_is_the_smallest_that_reaches_the_error() {
    let (mut found, mut missed) = (0, 0);
    for case in reference::<Vec<Case>>("selective") {
        for want in &case.thresholds {
            let ours = threshold_for(&case.confidences, &case.hits(), want.max_error, want.level);
            assert_eq!(ours.is_some(), want.found.is_some(), "{}", case.name);
            let Some((ours, theirs)) = ours.zip(want.found) else {
                missed += 1;
                continue;
            };
            found += 1;
            assert_eq!((ours.threshold, ours.accepted, ours.errors), (theirs.0, theirs.2, theirs.3));
            assert!(close(ours.coverage, theirs.1, 1e-12) && close(ours.error_bound, theirs.4, 1e-10));
        }
    }
    assert!(found > 5 && missed > 2);
}

#[test]
fn a_curve_is_thinned_and_keeps_its_ends() {
    let confidences: Vec<f32> = (0..500).map(noise).collect();
    let hits: Vec<bool> = confidences.iter().map(|&confidence| confidence > -0.5).collect();
    let whole = RiskCoverage::new(&confidences, &hits, usize::MAX);
    let thinned = RiskCoverage::new(&confidences, &hits, 20);
    assert_eq!((thinned.points.len(), thinned.aurc), (20, whole.aurc));
    assert_eq!(thinned.points[0], whole.points[0]);
    assert_eq!(thinned.points[19].coverage, 1.0);
}

#[test]
fn nan_is_accepted_last_and_by_no_threshold() {
    let (confidences, hits) = ([0.9, f32::NAN, 0.8, f32::NEG_INFINITY], [true, true, true, false]);
    let curve = RiskCoverage::new(&confidences, &hits, 9);
    assert_eq!(curve.points.len(), 3);
    let last = RiskCoveragePoint { threshold: f32::NEG_INFINITY, coverage: 1.0, risk: 0.25 };
    assert_eq!(curve.points[2], last);
    let found = threshold_for(&confidences, &hits, 0.5, 0.95).unwrap();
    assert_eq!((found.threshold, found.coverage, found.errors), (0.8, 0.5, 0));
    assert_eq!(threshold_for(&[f32::NAN], &[true], 0.5, 0.95), None);
}

#[test]
fn without_samples_there_is_no_curve_and_no_threshold() {
    let curve = RiskCoverage::new(&[], &[], 10);
    assert!(curve.points.is_empty() && curve.aurc.is_nan());
    assert_eq!(threshold_for(&[], &[], 1.0, 0.95), None);
}
