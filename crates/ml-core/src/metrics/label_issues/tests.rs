//! Against cleanlab (`reference/label_issues.py`).

use serde::Deserialize;

use super::*;
use crate::metrics::testing::{close, logits, reference, softmax};

#[derive(Deserialize)]
struct Case {
    name: String,
    num_classes: usize,
    /// In units of `1 / scale`, row by row.
    probabilities: Vec<u32>,
    scale: f64,
    labels: Vec<usize>,
    planted: Vec<usize>,
    min_examples_per_class: u32,
    frac_noise: f64,
    thresholds: Vec<Option<f64>>,
    joint: Vec<Vec<u32>>,
    issues: Vec<usize>,
    suggested: Vec<usize>,
}

impl Case {
    fn values(&self) -> Vec<f32> {
        self.probabilities.iter().map(|&units| (f64::from(units) / self.scale) as f32).collect()
    }
}

#[test]
fn issues_and_their_order_are_those_of_cleanlab() {
    let cases: Vec<Case> = reference("label_issues");
    assert!(cases.len() >= 6);
    for case in cases {
        let values = case.values();
        let probabilities = Probabilities::new(&values, case.num_classes).unwrap();
        let config = LabelIssuesConfig {
            min_examples_per_class: case.min_examples_per_class,
            frac_noise: case.frac_noise,
            threads: 2,
        };
        let found = find_label_issues(probabilities, &case.labels, &config);
        for (class, (ours, theirs)) in found.thresholds.iter().zip(&case.thresholds).enumerate() {
            assert!(ours.zip(*theirs).is_none_or(|(a, b)| close(a, b, 1e-15)), "{} {class}", case.name);
            assert_eq!(ours.is_some(), theirs.is_some());
        }
        for (label, row) in case.joint.iter().enumerate() {
            assert_eq!(found.joint.row(label), row, "{} {label}", case.name);
        }
        let samples: Vec<usize> = found.issues.iter().map(|issue| issue.sample).collect();
        assert_eq!(samples, case.issues, "{}", case.name);
        let suggested: Vec<usize> = found.issues.iter().map(|issue| issue.suggested).collect();
        assert_eq!(suggested, case.suggested, "{}", case.name);
        assert_eq!(found.left_out, 0);
        assert!(found.issues.iter().all(|issue| issue.label == case.labels[issue.sample]));
    }
}

#[test]
fn most_planted_issues_are_found() {
    let cases: Vec<Case> = reference("label_issues");
    let case = cases.iter().find(|case| case.name == "ten classes, 5 % planted").unwrap();
    assert!(case.planted.len() >= 15);
    let hits = case.planted.iter().filter(|planted| case.issues.contains(planted)).count();
    assert!(hits * 10 >= case.planted.len() * 8 && case.issues.len() < 2 * case.planted.len());
}

#[test]
fn a_row_with_nan_is_left_out_and_changes_nothing_else() {
    let (logits, mut labels) = logits(300, 4);
    let mut values = softmax(&logits, 4);
    for sample in (0..300).step_by(20) {
        labels[sample] = (labels[sample] + 1) % 4;
    }
    let find = |values: &[f32], labels: &[usize]| {
        find_label_issues(Probabilities::new(values, 4).unwrap(), labels, &LabelIssuesConfig::default())
    };
    let clean = find(&values, &labels);
    assert!(clean.issues.len() > 10);
    values.extend([f32::NAN, 0.5, 0.25, 0.25]);
    labels.push(2);
    let with_nan = find(&values, &labels);
    assert_eq!((with_nan.left_out, clean.left_out), (1, 0));
    assert_eq!((with_nan.issues, with_nan.joint), (clean.issues, clean.joint));
}

#[test]
fn the_counts_of_a_label_add_up_to_its_samples_whatever_the_threads() {
    let (logits, labels) = logits(1200, 30);
    let values = softmax(&logits, 30);
    let probabilities = Probabilities::new(&values, 30).unwrap();
    let find = |threads| {
        find_label_issues(probabilities, &labels, &LabelIssuesConfig { threads, ..Default::default() })
    };
    let found = find(3);
    assert_eq!(found, find(1));
    assert!((0..30).all(|label| found.joint.row(label).iter().sum::<u32>() == 40));
    assert!(found.issues.len() as u64 <= found.joint.off_diagonal());
}

#[test]
fn few_samples_have_no_issues() {
    let config = LabelIssuesConfig::default();
    let none = find_label_issues(Probabilities::new(&[], 3).unwrap(), &[], &config);
    assert_eq!((none.issues.len(), none.thresholds), (0, vec![None; 3]));
    let one = find_label_issues(Probabilities::new(&[0.1, 0.9], 2).unwrap(), &[0], &config);
    assert_eq!(one.issues, []);
    let single = find_label_issues(Probabilities::new(&[1.0; 5], 1).unwrap(), &[0; 5], &config);
    assert_eq!(single.issues, []);
}
