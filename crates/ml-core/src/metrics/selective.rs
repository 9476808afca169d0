//! Confidences and hits → what is gained by answering only where the classifier is confident: the
//! risk-coverage curve, and the threshold that keeps the error of the accepted samples low.
//!
//! El-Yaniv and Wiener, "On the foundations of noise-free selective classification" (JMLR 2010);
//! Geifman and El-Yaniv, "Selective classification for deep neural networks" (NIPS 2017).

use super::intervals::clopper_pearson_upper;
use super::ranking::evenly;

/// What happens if samples of at least some confidence are accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RiskCoveragePoint {
    /// Accepted are the samples whose confidence is at least this; `-inf` accepts all.
    pub threshold: f32,
    /// Fraction of the samples that is accepted, in `0..=1`, above 0.
    pub coverage: f64,
    /// Of the accepted samples, the fraction that is predicted wrong, in `0..=1`.
    pub risk: f64,
}

/// The risk-coverage curve.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskCoverage {
    /// From the most confident samples to all, a point for each distinct confidence, thinned.
    pub points: Vec<RiskCoveragePoint>,
    /// Area under the curve, in `0..=1`, lower is better: the mean, over the samples, of the risk
    /// when accepting each and all that are at least as confident; NaN without samples.
    pub aurc: f64,
}

impl RiskCoverage {
    /// Of `confidences` `[N]` (any scale, higher is more confident) and `hits` `[N]` (whether the
    /// prediction is right), with at most `max_points` points, the first and the last kept. Equal
    /// confidences are accepted together. A NaN confidence is `-inf`: accepted last.
    ///
    /// # Panics
    /// If there are not as many hits as confidences.
    pub fn new(confidences: &[f32], hits: &[bool], max_points: usize) -> RiskCoverage {
        let steps = steps(confidences, hits);
        let samples = confidences.len() as f64;
        let mut sum = 0.0;
        let mut before = 0;
        for step in &steps {
            sum += (step.accepted - before) as f64 * step.risk();
            before = step.accepted;
        }
        let point = |index: usize| {
            let step: &Step = &steps[index];
            RiskCoveragePoint {
                threshold: step.threshold,
                coverage: step.accepted as f64 / samples,
                risk: step.risk(),
            }
        };
        RiskCoverage { points: evenly(steps.len(), max_points).map(point).collect(), aurc: sum / samples }
    }
}

/// A threshold on the confidence, and what it did on the samples that it was chosen on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelectiveThreshold {
    /// Accept a sample if its confidence is at least this.
    pub threshold: f32,
    /// Fraction of all samples that is accepted, in `0..=1`, above 0.
    pub coverage: f64,
    /// Number of accepted samples, at least 1.
    pub accepted: u64,
    /// Accepted samples that are predicted wrong.
    pub errors: u64,
    /// The one-sided Clopper-Pearson upper bound of the error among accepted samples, at the level
    /// asked for, in `0..=1`. It takes the threshold as given: the choice among many thresholds
    /// makes it a little too low, so a bound that must hold is computed on other samples.
    pub error_bound: f64,
}

/// The smallest threshold at which the observed error of the accepted samples is at most
/// `max_error` (in `0..=1`), so the one that accepts most; `None` if there is none. The bound is at
/// `level`, commonly 0.95. Equal confidences are accepted or rejected together; a sample whose
/// confidence is NaN or `-inf` is never accepted, but counts for the coverage.
///
/// # Panics
/// If there are not as many hits as confidences, or `level` is not between 0 and 1.
pub fn threshold_for(
    confidences: &[f32],
    hits: &[bool],
    max_error: f64,
    level: f64,
) -> Option<SelectiveThreshold> {
    let steps = steps(confidences, hits);
    let acceptable = |step: &&Step| step.threshold > f32::NEG_INFINITY && step.risk() <= max_error;
    let step = steps.iter().rev().find(acceptable)?;
    Some(SelectiveThreshold {
        threshold: step.threshold,
        coverage: step.accepted as f64 / confidences.len() as f64,
        accepted: step.accepted,
        errors: step.errors,
        error_bound: clopper_pearson_upper(step.errors, step.accepted, level),
    })
}

/// What is accepted at one of the confidences.
struct Step {
    threshold: f32,
    accepted: u64,
    errors: u64,
}

impl Step {
    fn risk(&self) -> f64 {
        self.errors as f64 / self.accepted as f64
    }
}

/// A step for each distinct confidence, the highest first.
fn steps(confidences: &[f32], hits: &[bool]) -> Vec<Step> {
    assert_eq!(confidences.len(), hits.len(), "each confidence is a hit or not");
    let known = |confidence: f32| if confidence.is_nan() { f32::NEG_INFINITY } else { confidence + 0.0 };
    let mut samples: Vec<(f32, bool)> =
        confidences.iter().map(|&confidence| known(confidence)).zip(hits.iter().copied()).collect();
    samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut accepted, mut errors) = (0, 0);
    let step = |group: &[(f32, bool)]| {
        accepted += group.len() as u64;
        errors += group.iter().filter(|sample| !sample.1).count() as u64;
        Step { threshold: group[0].0, accepted, errors }
    };
    samples.chunk_by(|a, b| a.0 == b.0).map(step).collect()
}

#[cfg(test)]
mod tests;
