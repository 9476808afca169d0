//! Against scikit-learn and a bootstrap in NumPy (`reference/multilabel.py`).

use serde::Deserialize;

use super::*;
use crate::metrics::intervals::BootstrapConfig;
use crate::metrics::ranking::RankingMetrics;
use crate::metrics::testing::{close, close_option, logits, noise, reference, softmax};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
    bootstrap: Vec<BootstrapCase>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<Vec<f32>>,
    labels: Vec<Vec<u32>>,
    thresholds: ClassThresholds,
    average_precision: Vec<Option<f64>>,
    roc_auc: Vec<Option<f64>>,
    mean_average_precision: Option<f64>,
    micro_average_precision: Option<f64>,
    macro_roc_auc: Option<f64>,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    predicted: Vec<u64>,
    micro_average: [f64; 3],
    macro_average: [f64; 3],
    weighted_average: [f64; 3],
    sample_average: [f64; 3],
    hamming_loss: f64,
    subset_accuracy: f64,
    coverage_error: f64,
    label_ranking_average_precision: f64,
    unlabeled: u64,
    fitted: ClassThresholds,
}

#[derive(Deserialize)]
struct BootstrapCase {
    scores: Vec<Vec<f32>>,
    labels: Vec<Vec<u32>>,
    level: f64,
    value: f64,
    interval: [f64; 2],
    tolerance: [f64; 2],
}

const TOLERANCE: f64 = 1e-12;

fn check_classes(ours: &MultilabelMetrics, case: &Case) {
    assert_eq!(ours.classes.len(), case.support.len(), "{}", case.name);
    for (class, ours) in ours.classes.iter().enumerate() {
        let name = format!("{}, class {class}: {ours:?}", case.name);
        assert!(close_option(ours.average_precision, case.average_precision[class], TOLERANCE), "{name}");
        assert!(close_option(ours.roc_auc, case.roc_auc[class], TOLERANCE), "{name}");
        assert!(close(ours.precision, case.precision[class], TOLERANCE), "{name}");
        assert!(close(ours.recall, case.recall[class], TOLERANCE), "{name}");
        assert!(close(ours.f1, case.f1[class], TOLERANCE), "{name}");
        assert_eq!(
            (ours.support, ours.predicted, ours.threshold),
            (case.support[class], case.predicted[class], case.thresholds.values()[class]),
            "{name}"
        );
    }
}

fn check_means(ours: &MultilabelMetrics, case: &Case) {
    let options = [
        (ours.mean_average_precision, case.mean_average_precision),
        (ours.micro_average_precision, case.micro_average_precision),
        (ours.macro_roc_auc, case.macro_roc_auc),
    ];
    for (index, (ours, theirs)) in options.into_iter().enumerate() {
        assert!(close_option(ours, theirs, TOLERANCE), "{}, {index}: {ours:?} {theirs:?}", case.name);
    }
    let averages = [
        (ours.micro_average, case.micro_average),
        (ours.macro_average, case.macro_average),
        (ours.weighted_average, case.weighted_average),
        (ours.sample_average, case.sample_average),
    ];
    for (index, (ours, theirs)) in averages.into_iter().enumerate() {
        for (ours, theirs) in [ours.precision, ours.recall, ours.f1].into_iter().zip(theirs) {
            assert!(close(ours, theirs, TOLERANCE), "{}, average {index}: {ours} {theirs}", case.name);
        }
    }
    let figures = [
        (ours.hamming_loss, case.hamming_loss),
        (ours.subset_accuracy, case.subset_accuracy),
        (ours.coverage_error, case.coverage_error),
        (ours.label_ranking_average_precision, case.label_ranking_average_precision),
    ];
    for (index, (ours, theirs)) in figures.into_iter().enumerate() {
        assert!(close(ours, theirs, TOLERANCE), "{}, figure {index}: {ours} {theirs}", case.name);
    }
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let cases = reference::<Reference>("multilabel").cases;
    assert!(cases.len() >= 10);
    for case in cases {
        let flat = case.scores.concat();
        let scores = Probabilities::new(&flat, case.scores[0].len()).unwrap();
        let labels = MultiHot::from_sets(scores.num_classes(), &case.labels).unwrap();
        let ours = MultilabelMetrics::new(scores, &labels, &case.thresholds, 1);
        check_classes(&ours, &case);
        check_means(&ours, &case);
        assert_eq!(
            (ours.num_images, ours.num_unlabeled, ours.num_labels, ours.num_predicted),
            (
                case.scores.len() as u64,
                case.unlabeled,
                case.support.iter().sum(),
                case.predicted.iter().sum()
            ),
            "{}",
            case.name
        );
        assert_eq!(MultilabelMetrics::new(scores, &labels, &case.thresholds, 3), ours, "{}", case.name);
    }
}

#[test]
fn fitted_thresholds_are_the_best_of_all() {
    for case in reference::<Reference>("multilabel").cases {
        let flat = case.scores.concat();
        let scores = Probabilities::new(&flat, case.scores[0].len()).unwrap();
        let labels = MultiHot::from_sets(scores.num_classes(), &case.labels).unwrap();
        for threads in [1, 3] {
            assert_eq!(fit_thresholds(scores, &labels, threads), case.fitted, "{}", case.name);
        }
        let f1 = |thresholds: &ClassThresholds| {
            MultilabelMetrics::new(scores, &labels, thresholds, 1).macro_average.f1
        };
        assert!(f1(&case.fitted) >= f1(&case.thresholds), "{}", case.name);
    }
}

#[test]
fn of_equal_f1_the_highest_threshold_is_fitted() {
    // At 0.9: 1 hit of 1, F1 2/3; at 0.4: 2 hits of 4, F1 2/3.
    let scores = [0.9, 0.6, 0.5, 0.4];
    let scores = Probabilities::new(&scores, 1).unwrap();
    let labels = MultiHot::from_sets(1, [vec![0u32], vec![], vec![], vec![0]]).unwrap();
    assert_eq!(fit_thresholds(scores, &labels, 1).values(), [0.9]);
    let none = MultiHot::from_sets(1, vec![Vec::<u32>::new(); 4]).unwrap();
    assert_eq!(fit_thresholds(scores, &none, 1), ClassThresholds::uniform(1));
}

#[test]
fn thresholds_come_back_from_json_as_they_were() {
    let thresholds = ClassThresholds::new(vec![0.1, 1.0 / 3.0, 0.0, 1.0, f32::MIN_POSITIVE]).unwrap();
    let json = serde_json::to_string(&thresholds).unwrap();
    assert_eq!(serde_json::from_str::<ClassThresholds>(&json).unwrap(), thresholds);
    let error = serde_json::from_str::<ClassThresholds>("[0.5, 1.5]").unwrap_err().to_string();
    assert!(error.contains("the threshold of class 1 must be in 0..=1, got 1.5"), "{error}");
    assert!(ClassThresholds::new(vec![f32::NAN]).is_err());
}

/// Labels and scores of a mediocre classifier, from one number to the next.
fn many(images: usize, num_classes: usize) -> (Vec<f32>, MultiHot) {
    let label = |image: usize, class: usize| noise((image * num_classes + class) as u64) > 0.6;
    let sets = (0..images).map(|image| {
        (0..num_classes).filter(|&class| label(image, class)).map(|class| class as u32).collect()
    });
    let labels = MultiHot::from_sets(num_classes, sets.collect::<Vec<Vec<u32>>>()).unwrap();
    let score = |index: usize| {
        let shift = if labels.contains(index / num_classes, index % num_classes) { 0.2 } else { 0.0 };
        (0.4 + 0.4 * noise(1_000_000 + index as u64) + shift).clamp(0.0, 1.0)
    };
    ((0..images * num_classes).map(score).collect(), labels)
}

#[test]
fn results_do_not_depend_on_the_threads() {
    // More images and classes than one job takes.
    let (values, labels) = many(2500, 70);
    let scores = Probabilities::new(&values, 70).unwrap();
    let thresholds = fit_thresholds(scores, &labels, 1);
    let metrics = MultilabelMetrics::new(scores, &labels, &thresholds, 1);
    for threads in [2, 5] {
        assert_eq!(fit_thresholds(scores, &labels, threads), thresholds);
        assert_eq!(MultilabelMetrics::new(scores, &labels, &thresholds, threads), metrics);
    }
    assert!(metrics.macro_average.f1 > 0.3 && metrics.mean_average_precision > Some(0.3), "{metrics:?}");
}

#[test]
fn one_label_an_image_ranks_as_single_labels_do() {
    let (logits, targets) = logits(300, 5);
    let values = softmax(&logits, 5);
    let scores = Probabilities::new(&values, 5).unwrap();
    let labels = MultiHot::from_sets(5, targets.iter().map(|&target| [target as u32])).unwrap();
    let ours = MultilabelMetrics::new(scores, &labels, &ClassThresholds::uniform(5), 1);
    let single = RankingMetrics::new(scores, &targets, 1);
    assert_eq!(ours.mean_average_precision, single.macro_average_precision);
    assert_eq!(ours.macro_roc_auc, single.macro_roc_auc);
}

#[test]
fn nan_is_never_predicted_and_ranks_on_the_wrong_side() {
    // Image 0 has labels 0 and 1, image 1 has label 0.
    let values = [0.9, f32::NAN, 0.2, 0.8, f32::NAN, 0.1];
    let scores = Probabilities::new(&values, 3).unwrap();
    let labels = MultiHot::from_sets(3, [vec![0u32, 1], vec![0]]).unwrap();
    let metrics = MultilabelMetrics::new(scores, &labels, &ClassThresholds::uniform(3), 1);
    assert_eq!((metrics.classes[1].predicted, metrics.classes[1].recall), (0, 0.0));
    // The NaN of image 1 is above that of image 0.
    assert_eq!((metrics.classes[1].roc_auc, metrics.classes[1].average_precision), (Some(0.0), Some(0.5)));
    // All 3 scores of image 0, and 0.8 with the NaN above it of image 1.
    assert_eq!(metrics.coverage_error, 2.5);
    assert_eq!(metrics.label_ranking_average_precision, f64::midpoint(f64::midpoint(1.0, 2.0 / 3.0), 0.5));
    assert_eq!(fit_thresholds(scores, &labels, 1).values(), [0.8, 0.5, 0.5]);
}

#[test]
fn without_images_or_positives_nothing_is_nan() {
    let none = MultiHot::from_sets(3, Vec::<Vec<u32>>::new()).unwrap();
    let scores = Probabilities::new(&[], 3).unwrap();
    let metrics = MultilabelMetrics::new(scores, &none, &ClassThresholds::uniform(3), 2);
    assert_eq!((metrics.mean_average_precision, metrics.micro_average_precision), (None, None));
    assert_eq!((metrics.subset_accuracy, metrics.hamming_loss, metrics.coverage_error), (0.0, 0.0, 0.0));
    assert_eq!((metrics.label_ranking_average_precision, metrics.sample_average), (0.0, Average::default()));
    assert_eq!(fit_thresholds(scores, &none, 2), ClassThresholds::uniform(3));
    let config = BootstrapConfig { replicates: 5, ..BootstrapConfig::default() };
    assert_eq!(bootstrap_mean_average_precision(scores, &none, &config), None);
    let scores = Probabilities::new(&[0.1, 0.2, 0.3], 3).unwrap();
    let unlabeled = MultiHot::from_sets(3, [Vec::<u32>::new()]).unwrap();
    assert_eq!(bootstrap_mean_average_precision(scores, &unlabeled, &config), None);
}

#[test]
fn the_interval_of_map_is_that_of_a_bootstrap_in_numpy_but_for_chance() {
    for case in reference::<Reference>("multilabel").bootstrap {
        let flat = case.scores.concat();
        let scores = Probabilities::new(&flat, case.scores[0].len()).unwrap();
        let labels = MultiHot::from_sets(scores.num_classes(), &case.labels).unwrap();
        let config = BootstrapConfig { replicates: 20_000, level: case.level, seed: 1, threads: 2 };
        let ours = bootstrap_mean_average_precision(scores, &labels, &config).unwrap();
        let metrics =
            MultilabelMetrics::new(scores, &labels, &ClassThresholds::uniform(scores.num_classes()), 1);
        assert_eq!(Some(ours.value), metrics.mean_average_precision);
        assert!(close(ours.value, case.value, TOLERANCE), "{ours:?} {}", case.value);
        let ends = [ours.interval.lower, ours.interval.upper];
        for (ours, (theirs, tolerance)) in ends.iter().zip(case.interval.iter().zip(case.tolerance)) {
            assert!((ours - theirs).abs() <= tolerance + TOLERANCE, "{ours} {theirs} ± {tolerance}");
        }
    }
}

#[test]
fn the_interval_of_map_depends_on_the_seed_and_not_on_the_threads() {
    let (values, labels) = many(80, 4);
    let scores = Probabilities::new(&values, 4).unwrap();
    let run = |seed, threads| {
        let config = BootstrapConfig { replicates: 101, seed, threads, ..BootstrapConfig::default() };
        bootstrap_mean_average_precision(scores, &labels, &config).unwrap()
    };
    assert_eq!(run(1, 1), run(1, 3));
    assert_ne!(run(1, 1), run(2, 1));
}

#[derive(Deserialize)]
struct CurveReference {
    curves: Vec<CurveCase>,
    paired: Vec<PairedCase>,
}

#[derive(Deserialize)]
struct CurveCase {
    scores: Vec<Vec<f32>>,
    labels: Vec<Vec<u32>>,
    /// By class: threshold, precision and recall of each point.
    classes: Vec<Vec<(f32, f64, f64)>>,
    pairs: Vec<(f32, f64, f64)>,
}

#[derive(Deserialize)]
struct PairedCase {
    first: Vec<Vec<f32>>,
    second: Vec<Vec<f32>>,
    labels: Vec<Vec<u32>>,
    level: f64,
    value: f64,
    interval: [f64; 2],
    tolerance: [f64; 2],
}

/// Against scikit-learn (`reference/multilabel_curves.py`).
#[test]
fn curves_are_those_of_scikit_learn() {
    for case in reference::<CurveReference>("multilabel_curves").curves {
        let flat = case.scores.concat();
        let scores = Probabilities::new(&flat, case.scores[0].len()).unwrap();
        let labels = MultiHot::from_sets(scores.num_classes(), &case.labels).unwrap();
        let classes = case.classes.iter().enumerate().map(|(class, theirs)| (Some(class), theirs));
        for (class, theirs) in classes.chain([(None, &case.pairs)]) {
            let ours = precision_recall_curve(scores, &labels, class, usize::MAX, 2);
            assert_eq!(ours.len(), theirs.len(), "{class:?}");
            for (ours, &(threshold, precision, recall)) in ours.iter().zip(theirs) {
                assert_eq!(ours.threshold, threshold, "{class:?}");
                assert!(close(ours.precision, precision, TOLERANCE), "{class:?}: {ours:?} {precision}");
                assert!(close(ours.recall, recall, TOLERANCE), "{class:?}: {ours:?} {recall}");
            }
        }
    }
}

#[test]
fn a_long_curve_is_thinned_and_keeps_its_ends() {
    let (values, labels) = many(500, 3);
    let scores = Probabilities::new(&values, 3).unwrap();
    let whole = precision_recall_curve(scores, &labels, None, usize::MAX, 1);
    let thin = precision_recall_curve(scores, &labels, None, 20, 3);
    assert!(whole.len() > 20 && thin.len() == 20);
    assert_eq!((thin.first(), thin.last()), (whole.first(), whole.last()));
    assert_eq!(thin[19].recall, 1.0);
}

#[test]
fn the_interval_of_a_difference_is_that_of_a_bootstrap_in_numpy_but_for_chance() {
    for case in reference::<CurveReference>("multilabel_curves").paired {
        let [first, second] = [case.first.concat(), case.second.concat()];
        let num_classes = case.first[0].len();
        let [first, second] = [&first, &second].map(|flat| Probabilities::new(flat, num_classes).unwrap());
        let labels = MultiHot::from_sets(num_classes, &case.labels).unwrap();
        let config = BootstrapConfig { replicates: 20_000, level: case.level, seed: 1, threads: 2 };
        let ours = paired_bootstrap_mean_average_precision(first, second, &labels, &config).unwrap();
        assert!(close(ours.value, case.value, TOLERANCE), "{ours:?} {}", case.value);
        let ends = [ours.interval.lower, ours.interval.upper];
        for (ours, (theirs, tolerance)) in ends.iter().zip(case.interval.iter().zip(case.tolerance)) {
            assert!((ours - theirs).abs() <= tolerance + TOLERANCE, "{ours} {theirs} ± {tolerance}");
        }
        let same = paired_bootstrap_mean_average_precision(first, first, &labels, &config).unwrap();
        assert_eq!((same.value, same.interval.lower, same.interval.upper), (0.0, 0.0, 0.0));
    }
}
