//! Temperature scaling: one number that all logits are divided by, so that the softmax fits the
//! targets best. It changes no order, so neither predictions nor accuracy change.
//!
//! Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (ICML 2017).

use thiserror::Error;

use super::{BinSums, DEFAULT_BINS, SAMPLES_AT_ONCE};
use crate::metrics::Probabilities;
use crate::metrics::parallel::map_in_order;
use crate::metrics::probabilities::{ShapeError, top_label};

/// The fewest samples that a temperature is fitted to. Its relative standard error is near
/// `1 / √N`: with fewer, the fit is as likely to harm as to help.
pub const MIN_SAMPLES: usize = 50;

/// The temperatures that are searched, both ends included.
pub const TEMPERATURE_RANGE: (f64, f64) = (0.05, 20.0);

/// The logarithm of the temperature is found to this.
const TOLERANCE: f64 = 1e-7;

/// An end of [`TEMPERATURE_RANGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemperatureBound {
    /// A smaller temperature would fit better: the predictions are (nearly) all right.
    Lower,
    /// A larger temperature would fit better: the logits say (nearly) nothing about the targets.
    Upper,
}

/// A fitted temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TemperatureFit {
    /// What to divide logits by, in [`TEMPERATURE_RANGE`]; above 1 if they were overconfident.
    pub temperature: f64,
    /// The end of the range that the temperature is at, if it is.
    pub bound: Option<TemperatureBound>,
    /// Mean negative log-likelihood, in nats, at temperature 1.
    pub nll_before: f64,
    /// The same at the fitted temperature; at most `nll_before` but for rounding.
    pub nll_after: f64,
    /// Expected calibration error with [`DEFAULT_BINS`] bins at temperature 1. It is of the samples
    /// that the temperature was fitted to, so other samples' is a little higher after the fit.
    pub ece_before: f64,
    /// The same at the fitted temperature. It may be higher: the likelihood is what was fitted.
    pub ece_after: f64,
    /// Samples that the temperature was fitted to.
    pub samples: usize,
}

/// Samples that no temperature can be fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TemperatureError {
    /// The logits are no matrix.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The number of targets is not that of the rows.
    #[error("there are {targets} targets for {samples} rows of logits")]
    Targets {
        /// Number of targets.
        targets: usize,
        /// Number of rows.
        samples: usize,
    },
    /// A target is not in `0..num_classes`.
    #[error("sample {sample} has class {target}, but there are {num_classes} logits")]
    UnknownClass {
        /// Index of the sample.
        sample: usize,
        /// Its target.
        target: usize,
        /// Number of logits of a sample.
        num_classes: usize,
    },
    /// There are fewer than [`MIN_SAMPLES`].
    #[error("a temperature needs at least {MIN_SAMPLES} samples, but there are {samples}")]
    TooFewSamples {
        /// Number of samples.
        samples: usize,
    },
    /// All targets are the same.
    #[error("a temperature needs samples of at least two classes, but all are of class {class}")]
    OneClass {
        /// The class.
        class: usize,
    },
    /// A logit is NaN or Inf.
    #[error("the logits of sample {sample} contain NaN or Inf")]
    NotFinite {
        /// Index of the first such sample.
        sample: usize,
    },
}

/// Fits a temperature to `logits` `[N, num_classes]`, row by row, and `targets` `[N]`, on at most
/// `threads` threads. The result does not depend on their number.
///
/// The negative log-likelihood of `logits · β` is convex in `β = 1 / T`, so its derivative has at
/// most one zero. Newton's method looks for it on `ln T`, and bisects where a step would leave the
/// interval that is known to contain it.
///
/// # Errors
/// The shapes do not match, a target is no class, there are fewer than [`MIN_SAMPLES`] samples or
/// samples of one class only, or a logit is NaN or Inf.
pub fn fit_temperature(
    logits: &[f32],
    num_classes: usize,
    targets: &[usize],
    threads: usize,
) -> Result<TemperatureFit, TemperatureError> {
    let samples = Samples::new(logits, num_classes, targets, threads)?;
    let (mut low, mut high) = (TEMPERATURE_RANGE.0.ln(), TEMPERATURE_RANGE.1.ln());
    let (mut low_is_known, mut high_is_known) = (false, false);
    let before = samples.evaluate(1.0);
    let mut log_temperature = 0.0;
    let mut fit = before.clone();
    let mut bound = None;
    let mut last_step = f64::INFINITY;
    // Each step at least halves an interval of length 6 every other time.
    for _ in 0..100 {
        // A positive slope in β: the temperature is too low.
        if fit.slope > 0.0 {
            (low, low_is_known) = (log_temperature, true);
        } else if fit.slope < 0.0 {
            (high, high_is_known) = (log_temperature, true);
        }
        let newton = fit.slope * log_temperature.exp() / fit.curvature;
        let mut step = if fit.slope == 0.0 { 0.0 } else { newton };
        if step.abs() < TOLERANCE {
            break;
        }
        let next = log_temperature + step;
        if next <= low && !low_is_known {
            bound = Some(TemperatureBound::Lower);
            step = low - log_temperature;
        } else if next >= high && !high_is_known {
            bound = Some(TemperatureBound::Upper);
            step = high - log_temperature;
        } else if !(next > low && next < high) || step.abs() > last_step.abs() / 2.0 {
            step = f64::midpoint(low, high) - log_temperature;
        }
        log_temperature += step;
        last_step = step;
        fit = samples.evaluate((-log_temperature).exp());
        match bound {
            Some(TemperatureBound::Lower) if fit.slope <= 0.0 => break,
            Some(TemperatureBound::Upper) if fit.slope >= 0.0 => break,
            _ => bound = None,
        }
    }
    let temperature = match bound {
        Some(TemperatureBound::Lower) => TEMPERATURE_RANGE.0,
        Some(TemperatureBound::Upper) => TEMPERATURE_RANGE.1,
        None => log_temperature.exp(),
    };
    Ok(TemperatureFit {
        temperature,
        bound,
        nll_before: before.nll,
        nll_after: fit.nll,
        ece_before: before.ece,
        ece_after: fit.ece,
        samples: targets.len(),
    })
}

/// Logits and targets that have been checked.
struct Samples<'a> {
    logits: Probabilities<'a>,
    targets: &'a [usize],
    /// `[N]`: the predicted class and its logit.
    tops: Vec<(usize, f32)>,
    threads: usize,
}

/// The likelihood at one temperature.
#[derive(Clone)]
struct Evaluation {
    nll: f64,
    /// Its derivative by `β = 1 / T`.
    slope: f64,
    /// Its second derivative by `β`, not negative.
    curvature: f64,
    ece: f64,
}

impl Samples<'_> {
    fn new<'a>(
        logits: &'a [f32],
        num_classes: usize,
        targets: &'a [usize],
        threads: usize,
    ) -> Result<Samples<'a>, TemperatureError> {
        let logits = Probabilities::new(logits, num_classes)?;
        let samples = logits.len();
        if targets.len() != samples {
            return Err(TemperatureError::Targets { targets: targets.len(), samples });
        }
        if let Some(sample) = targets.iter().position(|&target| target >= num_classes) {
            return Err(TemperatureError::UnknownClass { sample, target: targets[sample], num_classes });
        }
        if samples < MIN_SAMPLES {
            return Err(TemperatureError::TooFewSamples { samples });
        }
        let class = targets[0];
        if targets.iter().all(|&target| target == class) {
            return Err(TemperatureError::OneClass { class });
        }
        let is_finite = |row: &[f32]| row.iter().map(|v| u32::from(!v.is_finite())).sum::<u32>() == 0;
        if let Some(sample) = logits.rows().position(|row| !is_finite(row)) {
            return Err(TemperatureError::NotFinite { sample });
        }
        let tops = logits.rows().map(top_label).collect();
        Ok(Samples { logits, targets, tops, threads })
    }

    /// The likelihood of `logits · inverse`, with `inverse` = 1 / T.
    fn evaluate(&self, inverse: f64) -> Evaluation {
        let samples = self.targets.len();
        let parts = map_in_order(samples.div_ceil(SAMPLES_AT_ONCE), self.threads, |job| {
            let first = job * SAMPLES_AT_ONCE;
            let mut bins = BinSums::new(DEFAULT_BINS);
            let mut sums = [0.0; 3];
            for sample in first..(first + SAMPLES_AT_ONCE).min(samples) {
                let (row, target, (top, largest)) =
                    (self.logits.row(sample), self.targets[sample], self.tops[sample]);
                let [whole, first, second] = moments(row, f64::from(largest), inverse);
                let own = f64::from(row[target]) - f64::from(largest);
                let mean = first / whole;
                sums[0] += libm::log(whole) - inverse * own;
                sums[1] += mean - own;
                sums[2] += (second / whole - mean * mean).max(0.0);
                bins.add(1.0 / whole, top == target);
            }
            (sums, bins)
        });
        let mut bins = BinSums::new(DEFAULT_BINS);
        let mut sums = [0.0; 3];
        for (part, part_bins) in &parts {
            bins.merge(part_bins);
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let [nll, slope, curvature] = sums.map(|sum| sum / samples as f64);
        Evaluation { nll, slope, curvature, ece: bins.reliability().expected_error() }
    }
}

/// `Σ e^(β d) d^n` for n = 0, 1, 2, with `d` the logits less the `largest` of them.
fn moments(row: &[f32], largest: f64, beta: f64) -> [f64; 3] {
    const LANES: usize = 8;
    let mut sums = [[0.0; LANES]; 3];
    let mut add = |values: &[f32; LANES]| {
        let distances = values.map(|value| f64::from(value) - largest);
        let weights = distances.map(|distance| exp(beta * distance));
        for lane in 0..LANES {
            let weighted = weights[lane] * distances[lane];
            sums[0][lane] += weights[lane];
            sums[1][lane] += weighted;
            sums[2][lane] += weighted * distances[lane];
        }
    };
    let (chunks, rest) = row.as_chunks();
    chunks.iter().for_each(&mut add);
    // The last chunk is filled up with the largest, whose weight is 1 and whose distance is 0.
    let mut last = [largest as f32; LANES];
    last[..rest.len()].copy_from_slice(rest);
    add(&last);
    let [weight, first, second] = sums.map(|lanes| lanes.iter().sum::<f64>());
    [weight - (LANES - rest.len()) as f64, first, second]
}

/// `e^x` for `x` in `-700..=0`, and that of -700 below, to a few units in the last place. Without
/// branches or tables, so that a loop over it is vectorised; the same on every platform.
#[inline]
fn exp(x: f64) -> f64 {
    // Adding and subtracting it rounds to a whole number, which stands in the lowest bits between.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts: whole multiples of the first are exact.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // 1 / n!, the highest first; |r| ≤ ln 2 / 2, where the next term is below 1e-14.
    const FACTORIALS: [f64; 12] = [
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    // Two terms at a time: the chain of dependent operations is half as long.
    let square = r * r;
    let pairs = FACTORIALS.as_chunks().0.iter();
    let series = pairs.fold(0.0, |sum, [high, low]| sum * square + (high * r + low));
    // Adds the power of two to the exponent.
    f64::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 52))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_exact_to_a_few_units_in_the_last_place() {
        for step in 0..70_000 {
            let x = f64::from(step) * -0.01 - 0.003 * f64::from(step % 7);
            let x = x.max(-700.0);
            assert!((exp(x) / x.exp() - 1.0).abs() < 2e-14, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e300), exp(-700.0));
    }
}
