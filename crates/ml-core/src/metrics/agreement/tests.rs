//! Against scikit-learn (`reference/agreement.py`).

use serde::Deserialize;

use super::*;
use crate::metrics::testing::{close, close_option, reference};

#[derive(Deserialize)]
struct Case {
    name: String,
    rows: Vec<Vec<u64>>,
    balanced_accuracy: f64,
    kappa: Option<f64>,
    mcc: f64,
}

#[test]
fn balanced_accuracy_kappa_and_correlation_are_those_of_scikit_learn() {
    let cases: Vec<Case> = reference("agreement");
    assert!(cases.len() >= 9);
    for case in cases {
        let mut matrix = ConfusionMatrix::new(case.rows.len());
        for (truth, row) in case.rows.iter().enumerate() {
            for (guess, &count) in row.iter().enumerate() {
                matrix.add_many(truth, guess, count);
            }
        }
        assert!(
            close_option(balanced_accuracy(&matrix), Some(case.balanced_accuracy), 1e-12),
            "{}",
            case.name
        );
        assert!(
            close_option(cohen_kappa(&matrix), case.kappa, 1e-12),
            "{}: {:?}",
            case.name,
            cohen_kappa(&matrix)
        );
        assert!(close(matthews_correlation(&matrix), case.mcc, 1e-12), "{}", case.name);
    }
}

#[test]
fn without_samples_nothing_is_defined() {
    for classes in [0, 1, 3] {
        let matrix = ConfusionMatrix::new(classes);
        assert_eq!((balanced_accuracy(&matrix), cohen_kappa(&matrix)), (None, None));
        assert_eq!(matthews_correlation(&matrix), 0.0);
    }
}
