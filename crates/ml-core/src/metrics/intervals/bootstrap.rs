//! The bootstrap: metrics of images drawn again with replacement, and the interval that most of
//! them lie in.

use super::{DEFAULT_LEVEL, Interval, check_level, quantile};
use crate::metrics::parallel::map_in_order;

/// Replicates that one job computes: their scratch memory is shared.
const REPLICATES_AT_ONCE: usize = 8;

/// How a bootstrap draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BootstrapConfig {
    /// Number of replicates, at least 1; 1000 by default.
    pub replicates: usize,
    /// Probability that an interval is to cover, between 0 and 1; 0.95 by default.
    pub level: f64,
    /// Equal seeds draw equal samples, on every platform and with any number of threads.
    pub seed: u64,
    /// Threads to use at most, at least 1; 1 by default.
    pub threads: usize,
}

impl Default for BootstrapConfig {
    fn default() -> BootstrapConfig {
        BootstrapConfig { replicates: 1000, level: DEFAULT_LEVEL, seed: 0, threads: 1 }
    }
}

impl BootstrapConfig {
    pub(in crate::metrics) fn check(&self) {
        assert!(self.replicates > 0, "a bootstrap has a replicate");
        check_level(self.level);
    }
}

/// A metric and its percentile interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Of the images as they are.
    pub value: f64,
    /// The `(1 - level) / 2` and `(1 + level) / 2` quantiles of the replicates' values, linear
    /// between neighbours. It need not be symmetric about `value`, and can lie beside it.
    pub interval: Interval,
}

/// The metrics of [`stratified_bootstrap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BootstrapMetrics {
    /// Fraction of the images predicted right, in `0..=1`.
    pub accuracy: Estimate,
    /// Mean recall over the classes that have images, in `0..=1`.
    pub balanced_accuracy: Estimate,
    /// Mean F1 over all classes, 0 for one that is neither a target nor a prediction, in `0..=1`.
    pub macro_f1: Estimate,
}

/// Percentile intervals of metrics of `predictions` `[N]` for images of classes `targets` `[N]`.
/// Each replicate draws, within each true class, as many images as the class has: the numbers of
/// images by class are taken as fixed. `None` without images.
///
/// Efron and Tibshirani, "An introduction to the bootstrap" (1993), section 13.3.
///
/// # Panics
/// If there are not as many predictions as targets, a class is not in `0..num_classes`,
/// `replicates` is 0, or `level` is not between 0 and 1.
pub fn stratified_bootstrap(
    targets: &[usize],
    predictions: &[usize],
    num_classes: usize,
    config: &BootstrapConfig,
) -> Option<BootstrapMetrics> {
    config.check();
    let strata = Strata::new(targets, predictions, num_classes);
    if targets.is_empty() {
        return None;
    }
    let observed = strata.observed();
    let replicates =
        replicate(config, || Tally::new(num_classes), |random, tally| strata.draw(random, tally));
    let estimate = |index: usize| Estimate {
        value: observed[index],
        interval: percentile_interval(
            replicates.iter().map(|metrics| metrics[index]).collect(),
            config.level,
        ),
    };
    Some(BootstrapMetrics { accuracy: estimate(0), balanced_accuracy: estimate(1), macro_f1: estimate(2) })
}

/// The difference of the accuracies of two classifiers on the same images, the first's less the
/// second's, in `-1..=1`, from whether each got each image right. Each replicate draws images with
/// replacement, and both classifiers' results with each. `None` without images.
///
/// # Panics
/// If there are not as many of the one as of the other, `replicates` is 0, or `level` is not
/// between 0 and 1.
pub fn paired_bootstrap(first: &[bool], second: &[bool], config: &BootstrapConfig) -> Option<Estimate> {
    config.check();
    assert_eq!(first.len(), second.len(), "both classifiers saw the same images");
    if first.is_empty() {
        return None;
    }
    let differences: Vec<i8> =
        first.iter().zip(second).map(|(&first, &second)| i8::from(first) - i8::from(second)).collect();
    let images = differences.len();
    let mean = |sum: i64| sum as f64 / images as f64;
    let replicates = replicate(
        config,
        || (),
        |random, ()| mean((0..images).map(|_| i64::from(differences[random.below(images)])).sum()),
    );
    Some(Estimate {
        value: mean(differences.iter().copied().map(i64::from).sum()),
        interval: percentile_interval(replicates, config.level),
    })
}

/// The value of each replicate, in order: `draw` gets its random stream and some `scratch`.
pub(in crate::metrics) fn replicate<S, T: Send>(
    config: &BootstrapConfig,
    scratch: impl Fn() -> S + Sync,
    draw: impl Fn(&mut Stream, &mut S) -> T + Sync,
) -> Vec<T> {
    let jobs = config.replicates.div_ceil(REPLICATES_AT_ONCE);
    let values = map_in_order(jobs, config.threads, |job| {
        let first = job * REPLICATES_AT_ONCE;
        let mut scratch = scratch();
        (first..(first + REPLICATES_AT_ONCE).min(config.replicates))
            .map(|replicate| draw(&mut Stream::new(config.seed, replicate as u64), &mut scratch))
            .collect::<Vec<_>>()
    });
    values.into_iter().flatten().collect()
}

pub(in crate::metrics) fn percentile_interval(mut values: Vec<f64>, level: f64) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Interval { lower: quantile(&values, tail), upper: quantile(&values, 1.0 - tail) }
}

/// The predictions, put together by true class.
struct Strata {
    num_classes: usize,
    /// By true class.
    predictions: Vec<u32>,
    /// `[K + 1]`: class k has the predictions `starts[k]..starts[k + 1]`.
    starts: Vec<usize>,
    /// Classes with images.
    present: u64,
}

/// Counts of one replicate, `[K]` each.
struct Tally {
    predicted: Vec<u32>,
    hits: Vec<u32>,
}

impl Tally {
    fn new(num_classes: usize) -> Tally {
        Tally { predicted: vec![0; num_classes], hits: vec![0; num_classes] }
    }
}

impl Strata {
    fn new(targets: &[usize], predictions: &[usize], num_classes: usize) -> Strata {
        assert_eq!(targets.len(), predictions.len(), "each image has a target and a prediction");
        let known = |classes: &[usize]| classes.iter().all(|&class| class < num_classes);
        assert!(known(targets) && known(predictions), "a class is in 0..num_classes");
        let mut starts = vec![0; num_classes + 1];
        for &target in targets {
            starts[target + 1] += 1;
        }
        let present = starts.iter().filter(|&&support| support > 0).count() as u64;
        for class in 0..num_classes {
            starts[class + 1] += starts[class];
        }
        let mut next = starts.clone();
        let mut grouped = vec![0; targets.len()];
        for (&target, &prediction) in targets.iter().zip(predictions) {
            grouped[next[target]] = prediction as u32;
            next[target] += 1;
        }
        Strata { num_classes, predictions: grouped, starts, present }
    }

    fn of_class(&self, class: usize) -> &[u32] {
        &self.predictions[self.starts[class]..self.starts[class + 1]]
    }

    fn observed(&self) -> [f64; 3] {
        let mut tally = Tally::new(self.num_classes);
        for class in 0..self.num_classes {
            for &prediction in self.of_class(class) {
                tally.predicted[prediction as usize] += 1;
                tally.hits[class] += u32::from(prediction as usize == class);
            }
        }
        self.metrics(&tally)
    }

    /// The metrics of one replicate.
    fn draw(&self, random: &mut Stream, tally: &mut Tally) -> [f64; 3] {
        tally.predicted.fill(0);
        for class in 0..self.num_classes {
            let predictions = self.of_class(class);
            let mut hits = 0;
            for _ in 0..predictions.len() {
                let prediction = predictions[random.below(predictions.len())] as usize;
                tally.predicted[prediction] += 1;
                hits += u32::from(prediction == class);
            }
            tally.hits[class] = hits;
        }
        self.metrics(tally)
    }

    /// Accuracy, balanced accuracy, macro F1.
    fn metrics(&self, tally: &Tally) -> [f64; 3] {
        let (mut correct, mut recalls, mut f1s) = (0, 0.0, 0.0);
        for class in 0..self.num_classes {
            let (hits, predicted) = (tally.hits[class], u64::from(tally.predicted[class]));
            let support = self.of_class(class).len() as u64;
            correct += u64::from(hits);
            if support > 0 {
                recalls += f64::from(hits) / support as f64;
            }
            if support + predicted > 0 {
                f1s += 2.0 * f64::from(hits) / (support + predicted) as f64;
            }
        }
        [
            correct as f64 / self.predictions.len() as f64,
            recalls / self.present as f64,
            f1s / self.num_classes as f64,
        ]
    }
}

/// The random stream of one replicate: SplitMix64 (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014), started at a hash of the seed and the replicate.
pub(in crate::metrics) struct Stream {
    state: u64,
}

impl Stream {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    fn new(seed: u64, replicate: u64) -> Stream {
        let hash = Stream::mix(seed.wrapping_add(Stream::STEP));
        Stream { state: Stream::mix(hash ^ Stream::mix(replicate.wrapping_add(Stream::STEP))) }
    }

    fn mix(mut bits: u64) -> u64 {
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(Stream::STEP);
        Stream::mix(self.state)
    }

    /// A number in `0..limit`, each as likely; `limit` is at least 1. Lemire, "Fast random integer
    /// generation in an interval" (2019).
    pub(in crate::metrics) fn below(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        loop {
            let product = u128::from(self.next()) * u128::from(limit);
            let low = product as u64;
            // The remainder of 2^64 / limit is what would make small numbers likelier.
            if low >= limit || low >= limit.wrapping_neg() % limit {
                return (product >> 64) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // The generator's first numbers from state 0, as in its authors' C program.
        let mut stream = Stream { state: 0 };
        assert_eq!([stream.next(), stream.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn every_number_below_a_limit_is_as_likely() {
        for limit in [1, 2, 3, 7, 100] {
            let mut counts = vec![0u32; limit];
            let mut stream = Stream::new(3, limit as u64);
            let draws = 20_000 * limit;
            for _ in 0..draws {
                counts[stream.below(limit)] += 1;
            }
            // Six standard deviations.
            assert!(counts.iter().all(|&count| (f64::from(count) - 20_000.0).abs() < 6.0 * 20_000f64.sqrt()));
        }
    }
}
