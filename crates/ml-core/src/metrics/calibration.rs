//! Probabilities and targets → how far confidence and accuracy differ, Brier score, negative
//! log-likelihood; logits and targets → the temperature that calibrates them ([`fit_temperature`]).

mod temperature;
#[cfg(test)]
mod tests;

use super::Probabilities;
use super::parallel::map_in_order;
use super::probabilities::{is_distribution, top_label};

pub use temperature::{
    MIN_SAMPLES, TEMPERATURE_RANGE, TemperatureBound, TemperatureError, TemperatureFit, fit_temperature,
};

/// The number of bins unless another is given: that of Guo et al. (2017).
pub const DEFAULT_BINS: usize = 15;

/// Samples that are counted in one job; the sums are added in order, so that they do not depend on
/// the number of threads.
const SAMPLES_AT_ONCE: usize = 512;

/// The samples whose confidence lies in one bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// The confidences of the bin are above this; the first bin holds 0, too.
    pub lower: f64,
    /// The confidences of the bin are at most this.
    pub upper: f64,
    /// Samples in the bin.
    pub count: u64,
    /// Mean confidence of its samples, in `0..=1`; `None` without samples.
    pub confidence: Option<f64>,
    /// Fraction of its samples that was predicted right, in `0..=1`; `None` without samples.
    pub accuracy: Option<f64>,
}

impl ReliabilityBin {
    /// `|accuracy - confidence|`, in `0..=1`; 0 without samples.
    pub fn gap(&self) -> f64 {
        self.accuracy.zip(self.confidence).map_or(0.0, |(accuracy, confidence)| (accuracy - confidence).abs())
    }
}

/// A reliability diagram: bins of equal width over `0..=1`, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// At least one bin.
    pub bins: Vec<ReliabilityBin>,
}

impl Reliability {
    /// Of confidences (the probability of the predicted class, in `0..=1`) and hits (whether that
    /// class is the target). A NaN confidence is in no bin.
    ///
    /// # Panics
    /// If there are not as many hits as confidences, or `num_bins` is 0.
    pub fn new(confidences: &[f32], hits: &[bool], num_bins: usize) -> Reliability {
        assert_eq!(confidences.len(), hits.len(), "each confidence is a hit or not");
        let mut sums = BinSums::new(num_bins);
        for (&confidence, &hit) in confidences.iter().zip(hits) {
            if !confidence.is_nan() {
                sums.add(f64::from(confidence), hit);
            }
        }
        sums.reliability()
    }

    /// Samples in all bins.
    pub fn samples(&self) -> u64 {
        self.bins.iter().map(|bin| bin.count).sum()
    }

    /// Expected calibration error, in `0..=1`: the mean gap of the bins, weighted by their samples;
    /// NaN without samples.
    ///
    /// Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    /// binning" (AAAI 2015), as Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural
    /// networks" (ICML 2017) compute it: of the predicted class only.
    pub fn expected_error(&self) -> f64 {
        self.bins.iter().map(|bin| bin.count as f64 * bin.gap()).sum::<f64>() / self.samples() as f64
    }

    /// Maximum calibration error, in `0..=1`: the largest gap of a bin with samples (the same
    /// papers); NaN without samples.
    pub fn maximum_error(&self) -> f64 {
        if self.samples() == 0 {
            return f64::NAN;
        }
        self.bins.iter().map(ReliabilityBin::gap).fold(0.0, f64::max)
    }
}

/// How well probabilities fit the targets. All but the counts are NaN without samples.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationMetrics {
    /// Samples that are counted.
    pub samples: u64,
    /// Samples that are left out: their row contains NaN, a negative value, or one above 1.
    pub left_out: u64,
    /// Fraction of the samples whose most probable class (of equals the first) is the target.
    pub accuracy: f64,
    /// Mean probability of the most probable class.
    pub confidence: f64,
    /// Expected calibration error, see [`Reliability::expected_error`].
    pub ece: f64,
    /// Maximum calibration error, see [`Reliability::maximum_error`].
    pub mce: f64,
    /// Brier score, in `0..=2`: mean over the samples of `Σ_k (p_k - y_k)²`, with y 1 for the
    /// target and else 0; Brier, "Verification of forecasts expressed in terms of probability"
    /// (1950).
    pub brier: f64,
    /// Negative log-likelihood in nats: mean of `-ln p` of the targets. A probability below the
    /// smallest normal `f32` (1.2e-38) counts as that, so a sample adds at most 87.4.
    pub nll: f64,
    /// The bins that `ece` and `mce` are of.
    pub reliability: Reliability,
}

impl CalibrationMetrics {
    /// The metrics of `probabilities` `[N, K]` and `targets` `[N]`, on at most `threads` threads.
    ///
    /// # Panics
    /// If `targets` are not one class of `0..K` for each row, or `num_bins` is 0.
    pub fn new(
        probabilities: Probabilities,
        targets: &[usize],
        num_bins: usize,
        threads: usize,
    ) -> CalibrationMetrics {
        probabilities.check_targets(targets);
        let samples = probabilities.len();
        let parts = map_in_order(samples.div_ceil(SAMPLES_AT_ONCE), threads, |job| {
            let first = job * SAMPLES_AT_ONCE;
            let mut sums = Sums::new(num_bins);
            for (sample, &target) in (first..).zip(targets[first..].iter().take(SAMPLES_AT_ONCE)) {
                sums.add(probabilities.row(sample), target);
            }
            sums
        });
        let mut sums = Sums::new(num_bins);
        parts.iter().for_each(|part| sums.merge(part));
        let Sums { bins, brier, nll, left_out } = sums;
        let reliability = bins.reliability();
        let samples = reliability.samples();
        let mean = |sum: f64| sum / samples as f64;
        CalibrationMetrics {
            samples,
            left_out,
            accuracy: mean(bins.hits.iter().sum::<u64>() as f64),
            confidence: mean(bins.confidences.iter().sum()),
            ece: reliability.expected_error(),
            mce: reliability.maximum_error(),
            brier: mean(brier),
            nll: mean(nll),
            reliability,
        }
    }
}

struct Sums {
    bins: BinSums,
    brier: f64,
    nll: f64,
    left_out: u64,
}

impl Sums {
    fn new(num_bins: usize) -> Sums {
        Sums { bins: BinSums::new(num_bins), brier: 0.0, nll: 0.0, left_out: 0 }
    }

    fn add(&mut self, row: &[f32], target: usize) {
        if !is_distribution(row) {
            self.left_out += 1;
            return;
        }
        let (top, confidence) = top_label(row);
        self.bins.add(f64::from(confidence), top == target);
        let own = f64::from(row[target]);
        // Σ (p_k - y_k)² = Σ p_k² - p² + (1 - p)²
        self.brier += square_sum(row) - own * own + (1.0 - own).powi(2);
        self.nll -= libm::log(own.max(f64::from(f32::MIN_POSITIVE)));
    }

    fn merge(&mut self, other: &Sums) {
        self.bins.merge(&other.bins);
        self.brier += other.brier;
        self.nll += other.nll;
        self.left_out += other.left_out;
    }
}

fn square_sum(row: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|&p| f64::from(p) * f64::from(p)).sum();
    for chunk in chunks {
        for (sum, &p) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(p) * f64::from(p);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Sums by bin.
struct BinSums {
    counts: Vec<u64>,
    hits: Vec<u64>,
    confidences: Vec<f64>,
}

impl BinSums {
    fn new(num_bins: usize) -> BinSums {
        assert!(num_bins > 0, "there is at least one bin");
        BinSums { counts: vec![0; num_bins], hits: vec![0; num_bins], confidences: vec![0.0; num_bins] }
    }

    fn add(&mut self, confidence: f64, hit: bool) {
        let bins = self.counts.len();
        // Bin i is (i / bins, (i + 1) / bins]. The product may round up to the next whole number.
        let mut bin = ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        if bin > 0 && confidence <= bin as f64 / bins as f64 {
            bin -= 1;
        }
        self.counts[bin] += 1;
        self.hits[bin] += u64::from(hit);
        self.confidences[bin] += confidence;
    }

    fn merge(&mut self, other: &BinSums) {
        for bin in 0..self.counts.len() {
            self.counts[bin] += other.counts[bin];
            self.hits[bin] += other.hits[bin];
            self.confidences[bin] += other.confidences[bin];
        }
    }

    fn reliability(&self) -> Reliability {
        let num_bins = self.counts.len() as f64;
        let bin = |index: usize| {
            let count = self.counts[index];
            ReliabilityBin {
                lower: index as f64 / num_bins,
                upper: (index + 1) as f64 / num_bins,
                count,
                confidence: (count > 0).then(|| self.confidences[index] / count as f64),
                accuracy: (count > 0).then(|| self.hits[index] as f64 / count as f64),
            }
        };
        Reliability { bins: (0..self.counts.len()).map(bin).collect() }
    }
}
