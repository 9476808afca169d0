//! Against scikit-learn (`reference/ranking.py`).

use serde::Deserialize;

use super::*;
use crate::metrics::testing::{close, close_option, logits, reference, softmax};

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<Vec<f32>>,
    targets: Vec<usize>,
    roc_auc: Vec<Option<f64>>,
    average_precision: Vec<Option<f64>>,
    macro_roc_auc: Option<f64>,
    macro_average_precision: Option<f64>,
    /// By class, where it has samples: (threshold, precision, recall), descending.
    curves: Vec<Vec<(f32, f64, f64)>>,
}

#[test]
fn areas_and_average_precisions_are_those_of_scikit_learn() {
    let cases: Vec<Case> = reference("ranking");
    assert!(cases.len() >= 6);
    for case in cases {
        let flat = case.scores.concat();
        let scores = Probabilities::new(&flat, case.scores[0].len()).unwrap();
        for threads in [1, 3] {
            let ours = RankingMetrics::new(scores, &case.targets, threads);
            let theirs = [(&ours.roc_auc, &case.roc_auc), (&ours.average_precision, &case.average_precision)];
            for (ours, theirs) in theirs {
                assert_eq!(ours.len(), theirs.len());
                for (a, b) in ours.iter().zip(theirs) {
                    assert!(close_option(*a, *b, 1e-12), "{}: {a:?} {b:?}", case.name);
                }
            }
            assert!(close_option(ours.macro_roc_auc, case.macro_roc_auc, 1e-12), "{}", case.name);
            assert!(
                close_option(ours.macro_average_precision, case.macro_average_precision, 1e-12),
                "{}",
                case.name
            );
        }
        for (class, theirs) in case.curves.iter().enumerate() {
            let ours = precision_recall_curve(scores, &case.targets, class, usize::MAX);
            assert_eq!(ours.len(), theirs.len(), "{}", case.name);
            for (a, b) in ours.iter().zip(theirs) {
                assert_eq!(a.threshold, b.0, "{}", case.name);
                assert!(close(a.precision, b.1, 1e-12) && close(a.recall, b.2, 1e-12), "{}", case.name);
            }
        }
    }
}

#[test]
fn a_curve_is_thinned_evenly_and_keeps_its_ends() {
    let (logits, targets) = logits(400, 3);
    let values = softmax(&logits, 3);
    let scores = Probabilities::new(&values, 3).unwrap();
    let whole = precision_recall_curve(scores, &targets, 1, usize::MAX);
    assert!(whole.len() > 100 && whole.last().unwrap().recall == 1.0);
    assert!(whole.windows(2).all(|pair| pair[0].threshold > pair[1].threshold));
    let thinned = precision_recall_curve(scores, &targets, 1, 10);
    assert_eq!((thinned.len(), thinned[0], thinned[9]), (10, whole[0], whole[whole.len() - 1]));
    assert!(thinned.iter().all(|point| whole.contains(point)));
    assert_eq!(precision_recall_curve(scores, &targets, 1, 1), [whole[whole.len() - 1]]);
    assert_eq!(precision_recall_curve(scores, &targets, 1, 0), []);
}

#[test]
fn nan_counts_against_the_classifier_wherever_it_stands() {
    // Class 1, by sample: its own 0.9 and NaN, others 0.2, NaN and 0.4.
    let values = [0.1, 0.9, 0.5, f32::NAN, 0.8, 0.2, 0.5, f32::NAN, 0.6, 0.4];
    let scores = Probabilities::new(&values, 2).unwrap();
    let metrics = RankingMetrics::new(scores, &[1, 1, 0, 0, 0], 1);
    // 0.9 beats two of three, NaN none.
    assert_eq!(metrics.roc_auc[1], Some(2.0 / 6.0));
    // At 0.9 one of two is right, at the bottom two of five.
    assert!(close_option(metrics.average_precision[1], Some(0.45), 1e-15));
    let curve = precision_recall_curve(scores, &[1, 1, 0, 0, 0], 1, 9);
    assert_eq!(curve[1].threshold, f32::NEG_INFINITY);
}

#[test]
fn keys_order_as_scores_do_and_lead_back_to_them() {
    let scores = [f32::NEG_INFINITY, -2.0, -1e-40, 0.0, 1e-40, 0.5, 3.0, f32::INFINITY];
    let keys: Vec<u32> = scores.iter().map(|&score| key_of(score).unwrap()).collect();
    assert!(keys.is_sorted_by(|a, b| a < b) && keys[0] > 0 && keys[7] < u32::MAX);
    assert_eq!(key_of(-0.0), key_of(0.0));
    assert!(keys.iter().zip(scores).all(|(&key, score)| score_of(key) == score));
    assert_eq!(key_of(f32::NAN), None);
}

#[test]
fn without_samples_nothing_is_defined() {
    let scores = Probabilities::new(&[], 3).unwrap();
    let metrics = RankingMetrics::new(scores, &[], 2);
    assert_eq!(metrics.roc_auc, [None; 3]);
    assert_eq!((metrics.macro_roc_auc, metrics.macro_average_precision), (None, None));
}
