//! How far figures may be off: exact binomial intervals, McNemar's test, the Student-t interval of
//! a mean, and the bootstrap ([`stratified_bootstrap`], [`paired_bootstrap`]).

mod bootstrap;
mod special;
#[cfg(test)]
mod tests;

pub use bootstrap::{BootstrapConfig, BootstrapMetrics, Estimate, paired_bootstrap, stratified_bootstrap};
pub(super) use bootstrap::{percentile_interval, replicate};
use special::{inverse_regularised_beta, regularised_beta, two_sided_t};

/// The level of an interval unless another is given.
pub const DEFAULT_LEVEL: f64 = 0.95;

/// An interval, its ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// At most `upper`.
    pub lower: f64,
    /// At least `lower`.
    pub upper: f64,
}

/// The exact two-sided interval of a proportion of which `successes` of `trials` were seen, at
/// `level`: it covers the true proportion with at least this probability. `0..=1` without trials.
///
/// Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
/// binomial" (Biometrika, 1934).
///
/// # Panics
/// If `successes` exceeds `trials` or `level` is not between 0 and 1.
pub fn clopper_pearson(successes: u64, trials: u64, level: f64) -> Interval {
    let one_sided = f64::midpoint(level, 1.0);
    Interval {
        // The lower bound of the successes is the upper bound of the failures.
        lower: lower_bound(successes, trials, one_sided),
        upper: clopper_pearson_upper(successes, trials, one_sided),
    }
}

/// The exact one-sided upper bound of a proportion of which `successes` of `trials` were seen: the
/// true proportion is at most this, at `level`. 1 without trials.
///
/// # Panics
/// If `successes` exceeds `trials` or `level` is not between 0 and 1.
pub fn clopper_pearson_upper(successes: u64, trials: u64, level: f64) -> f64 {
    check(successes, trials, level);
    if successes == trials {
        return 1.0;
    }
    inverse_regularised_beta(successes as f64 + 1.0, (trials - successes) as f64, level)
}

fn lower_bound(successes: u64, trials: u64, level: f64) -> f64 {
    check(successes, trials, level);
    if successes == 0 {
        return 0.0;
    }
    inverse_regularised_beta(successes as f64, (trials - successes) as f64 + 1.0, 1.0 - level)
}

fn check(successes: u64, trials: u64, level: f64) {
    assert!(successes <= trials, "there are at most as many successes as trials");
    check_level(level);
}

fn check_level(level: f64) {
    assert!(level > 0.0 && level < 1.0, "a level is between 0 and 1");
}

/// The quantile of `sorted` values (at least one) at `fraction` in `0..=1`, linear between
/// neighbours: type 7 of Hyndman and Fan (1996), NumPy's default.
pub fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let below = (position as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    let part = position - below as f64;
    // Infinite values have no difference.
    if part == 0.0 { sorted[below] } else { sorted[below] + (sorted[above] - sorted[below]) * part }
}

/// On how many images two classifiers differ in being right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discordant {
    /// Images that only the first classifier got right.
    pub only_first: u64,
    /// Images that only the second classifier got right.
    pub only_second: u64,
}

impl Discordant {
    /// Counts them, from whether each classifier got each image right.
    ///
    /// # Panics
    /// If there are not as many of the one as of the other.
    pub fn count(first: &[bool], second: &[bool]) -> Discordant {
        assert_eq!(first.len(), second.len(), "both classifiers saw the same images");
        let mut counts = Discordant::default();
        for (&first, &second) in first.iter().zip(second) {
            counts.only_first += u64::from(first && !second);
            counts.only_second += u64::from(second && !first);
        }
        counts
    }

    /// The two-sided p-value of McNemar's exact test, in `0..=1`: the probability of counts at
    /// least this uneven if each of these images had been as likely to favour the one classifier as
    /// the other. 1 without such images.
    ///
    /// McNemar, "Note on the sampling error of the difference between correlated proportions or
    /// percentages" (Psychometrika, 1947), with the binomial distribution in place of its χ².
    pub fn mcnemar_exact(self) -> f64 {
        let (fewer, more) =
            (self.only_first.min(self.only_second) as f64, self.only_first.max(self.only_second) as f64);
        if fewer == more {
            return 1.0;
        }
        // P(X ≤ fewer) of Binomial(fewer + more, 1/2); both tails are alike.
        (2.0 * regularised_beta(more, fewer + 1.0, 0.5)).min(1.0)
    }
}

/// The mean of a handful of figures (of folds or seeds), taken as draws of a normal distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanEstimate {
    /// Number of figures, at least 1.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with divisor `count - 1`; `None` for one figure.
    pub sd: Option<f64>,
    /// Student's interval of the mean: `mean ± t · sd / √count`; `None` for one figure.
    pub interval: Option<Interval>,
}

impl MeanEstimate {
    /// Of `figures`, with an interval at `level`; `None` without figures or where one is NaN or
    /// Inf.
    ///
    /// Student, "The probable error of a mean" (Biometrika, 1908).
    ///
    /// # Panics
    /// If `level` is not between 0 and 1.
    pub fn new(figures: &[f64], level: f64) -> Option<MeanEstimate> {
        check_level(level);
        if figures.is_empty() || figures.iter().any(|figure| !figure.is_finite()) {
            return None;
        }
        let count = figures.len();
        let mean = figures.iter().sum::<f64>() / count as f64;
        let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
        let freedom = count as f64 - 1.0;
        let sd = (count > 1).then(|| (squares / freedom).sqrt());
        let interval = sd.map(|sd| {
            let half = two_sided_t(freedom, level) * sd / (count as f64).sqrt();
            Interval { lower: mean - half, upper: mean + half }
        });
        Some(MeanEstimate { count, mean, sd, interval })
    }
}
