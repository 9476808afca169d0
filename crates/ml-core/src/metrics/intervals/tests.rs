//! Against SciPy and a bootstrap in NumPy (`reference/intervals.py`).

use serde::Deserialize;

use super::*;
use crate::metrics::testing::{close, reference};

#[derive(Deserialize)]
struct Reference {
    /// (successes, trials, level, lower, upper, one-sided upper)
    binomial: Vec<(u64, u64, f64, f64, f64, f64)>,
    /// (only first, only second, p)
    mcnemar: Vec<(u64, u64, f64)>,
    mean: Vec<MeanCase>,
    stratified: Vec<StratifiedCase>,
    paired: Vec<PairedCase>,
}

#[derive(Deserialize)]
struct MeanCase {
    figures: Vec<f64>,
    level: f64,
    mean: f64,
    sd: f64,
    interval: [f64; 2],
}

#[derive(Deserialize)]
struct StratifiedCase {
    name: String,
    targets: Vec<usize>,
    predictions: Vec<usize>,
    num_classes: usize,
    level: f64,
    metrics: [Quantiles; 3],
}

#[derive(Deserialize)]
struct PairedCase {
    first: Vec<u8>,
    second: Vec<u8>,
    level: f64,
    difference: Quantiles,
}

/// A metric, its interval in NumPy, and how far two such intervals may differ by chance.
#[derive(Deserialize)]
struct Quantiles {
    value: f64,
    interval: [f64; 2],
    tolerance: [f64; 2],
}

impl Quantiles {
    fn check(&self, ours: Estimate, name: &str) {
        assert!(close(ours.value, self.value, 1e-12), "{name}: {ours:?} {}", self.value);
        for (ours, (theirs, tolerance)) in
            [ours.interval.lower, ours.interval.upper].iter().zip(self.interval.iter().zip(self.tolerance))
        {
            assert!((ours - theirs).abs() <= tolerance + 1e-12, "{name}: {ours} {theirs} ± {tolerance}");
        }
    }
}

const REPLICATES: usize = 20_000;

#[test]
fn binomial_bounds_are_those_of_scipy() {
    let cases = reference::<Reference>("intervals").binomial;
    assert!(cases.len() >= 20);
    for (successes, trials, level, lower, upper, one_sided) in cases {
        let ours = clopper_pearson(successes, trials, level);
        let theirs = [(ours.lower, lower), (ours.upper, upper)];
        for (ours, theirs) in
            theirs.into_iter().chain([(clopper_pearson_upper(successes, trials, level), one_sided)])
        {
            // Relative, also of tiny proportions.
            assert!((ours - theirs).abs() <= 1e-10 * theirs, "{successes} of {trials}: {ours} {theirs}");
        }
    }
}

#[test]
fn without_trials_any_proportion_is_possible() {
    assert_eq!(clopper_pearson(0, 0, 0.95), Interval { lower: 0.0, upper: 1.0 });
    assert_eq!(clopper_pearson_upper(0, 0, 0.95), 1.0);
}

#[test]
fn the_p_value_of_mcnemars_test_is_scipys_binomial_test() {
    let cases = reference::<Reference>("intervals").mcnemar;
    assert!(cases.len() >= 8);
    for (only_first, only_second, p) in cases {
        let ours = Discordant { only_first, only_second }.mcnemar_exact();
        assert!((ours - p).abs() <= 1e-9 * p, "{only_first} {only_second}: {ours} {p}");
    }
}

#[test]
fn discordant_images_are_counted() {
    let counts = Discordant::count(&[true, true, false, false, true], &[true, false, true, false, false]);
    assert_eq!(counts, Discordant { only_first: 2, only_second: 1 });
}

#[test]
fn the_interval_of_a_mean_is_scipys() {
    for case in reference::<Reference>("intervals").mean {
        let ours = MeanEstimate::new(&case.figures, case.level).unwrap();
        assert!(close(ours.mean, case.mean, 1e-13) && close(ours.sd.unwrap(), case.sd, 1e-13));
        let interval = ours.interval.unwrap();
        assert!(close(interval.lower, case.interval[0], 1e-11), "{interval:?} {:?}", case.interval);
        assert!(close(interval.upper, case.interval[1], 1e-11), "{interval:?} {:?}", case.interval);
    }
}

#[test]
fn one_figure_has_a_mean_only_and_nan_has_none() {
    let one = MeanEstimate::new(&[0.9], 0.95).unwrap();
    assert_eq!((one.count, one.mean, one.sd, one.interval), (1, 0.9, None, None));
    assert_eq!(MeanEstimate::new(&[], 0.95), None);
    assert_eq!(MeanEstimate::new(&[0.9, f64::NAN], 0.95), None);
    let equal = MeanEstimate::new(&[0.5; 4], 0.95).unwrap();
    assert_eq!(equal.interval, Some(Interval { lower: 0.5, upper: 0.5 }));
}

#[test]
fn stratified_intervals_are_those_of_a_bootstrap_in_numpy_but_for_chance() {
    let cases = reference::<Reference>("intervals").stratified;
    assert!(cases.len() >= 3);
    for case in cases {
        let config = BootstrapConfig { replicates: REPLICATES, level: case.level, seed: 1, threads: 2 };
        let ours = stratified_bootstrap(&case.targets, &case.predictions, case.num_classes, &config).unwrap();
        for (ours, theirs) in
            [ours.accuracy, ours.balanced_accuracy, ours.macro_f1].into_iter().zip(&case.metrics)
        {
            theirs.check(ours, &case.name);
        }
    }
}

#[test]
fn paired_intervals_are_those_of_a_bootstrap_in_numpy_but_for_chance() {
    for case in reference::<Reference>("intervals").paired {
        let config = BootstrapConfig { replicates: REPLICATES, level: case.level, seed: 2, threads: 2 };
        let hits = |flags: &[u8]| flags.iter().map(|&flag| flag == 1).collect::<Vec<_>>();
        let ours = paired_bootstrap(&hits(&case.first), &hits(&case.second), &config).unwrap();
        case.difference.check(ours, "paired");
    }
}

#[test]
fn replicates_depend_on_the_seed_and_not_on_the_threads() {
    let targets: Vec<usize> = (0..60).map(|image| image % 5).collect();
    let predictions: Vec<usize> = (0..60).map(|image| image * image / 7 % 5).collect();
    let run = |seed, threads| {
        let config = BootstrapConfig { replicates: 101, seed, threads, ..BootstrapConfig::default() };
        stratified_bootstrap(&targets, &predictions, 5, &config).unwrap()
    };
    assert_eq!(run(1, 1), run(1, 3));
    assert_ne!(run(1, 1), run(2, 1));
}

#[test]
fn one_image_has_an_interval_of_no_width_and_none_has_no_interval() {
    let config = BootstrapConfig { replicates: 1, ..BootstrapConfig::default() };
    let metrics = stratified_bootstrap(&[1], &[1], 3, &config).unwrap();
    assert_eq!(metrics.accuracy, Estimate { value: 1.0, interval: Interval { lower: 1.0, upper: 1.0 } });
    assert_eq!(metrics.macro_f1.value, 1.0 / 3.0);
    assert_eq!(stratified_bootstrap(&[], &[], 3, &config), None);
    assert_eq!(paired_bootstrap(&[], &[], &config), None);
}
