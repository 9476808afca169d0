//! A confusion matrix → one figure of agreement between targets and predictions: balanced accuracy,
//! Cohen's kappa, Matthews correlation coefficient.
//!
//! Each is scikit-learn's (`balanced_accuracy_score`, `cohen_kappa_score`, `matthews_corrcoef`).

use super::ConfusionMatrix;

/// Mean recall over the classes that have samples, in `0..=1`; `None` without samples.
///
/// Brodersen, Ong, Stephan and Buhmann, "The balanced accuracy and its posterior distribution"
/// (ICPR 2010), for any number of classes.
pub fn balanced_accuracy(matrix: &ConfusionMatrix) -> Option<f64> {
    let (mut sum, mut classes) = (0.0, 0u64);
    for class in 0..matrix.num_classes() {
        let support = matrix.support(class);
        if support > 0 {
            sum += matrix.count(class, class) as f64 / support as f64;
            classes += 1;
        }
    }
    (classes > 0).then(|| sum / classes as f64)
}

/// Cohen's kappa, unweighted: `(p_o - p_e) / (1 - p_e)`, with `p_o` the accuracy and `p_e` the
/// accuracy expected of predictions that are independent of the targets and as frequent; at most 1,
/// 0 at chance. `None` where `p_e` is 1 (all targets and all predictions are one class) and without
/// samples.
///
/// Cohen, "A coefficient of agreement for nominal scales" (1960).
pub fn cohen_kappa(matrix: &ConfusionMatrix) -> Option<f64> {
    let Margins { samples, correct, chance, .. } = Margins::of(matrix);
    // Both sides times samples²: whole numbers.
    let (observed, possible) = (samples * correct, samples * samples);
    (possible > chance).then(|| difference(observed, chance) / (possible - chance) as f64)
}

/// Matthews correlation coefficient of any number of classes, `R_K`, in `-1..=1`; 0 where it is
/// undefined: all targets or all predictions are one class, or there are no samples.
///
/// With `s` samples, `c` of them correct, `t_k` of class k and `p_k` predicted as k:
/// `(c·s - Σ p_k·t_k) / √((s² - Σ p_k²) (s² - Σ t_k²))`; Gorodkin, "Comparing two K-category
/// assignments by a K-category correlation coefficient" (2004).
pub fn matthews_correlation(matrix: &ConfusionMatrix) -> f64 {
    let Margins { samples, correct, chance, targets_squared, predictions_squared } = Margins::of(matrix);
    let (targets, predictions) =
        (samples * samples - targets_squared, samples * samples - predictions_squared);
    if targets == 0 || predictions == 0 {
        return 0.0;
    }
    difference(samples * correct, chance) / ((targets as f64).sqrt() * (predictions as f64).sqrt())
}

/// Sums over a matrix, exact.
struct Margins {
    samples: u128,
    correct: u128,
    /// `Σ p_k·t_k`
    chance: u128,
    /// `Σ t_k²`
    targets_squared: u128,
    /// `Σ p_k²`
    predictions_squared: u128,
}

impl Margins {
    fn of(matrix: &ConfusionMatrix) -> Margins {
        let mut predicted = vec![0u128; matrix.num_classes()];
        for row in matrix.rows() {
            for (sum, &count) in predicted.iter_mut().zip(row) {
                *sum += u128::from(count);
            }
        }
        let support: Vec<u128> =
            (0..matrix.num_classes()).map(|class| u128::from(matrix.support(class))).collect();
        Margins {
            samples: support.iter().sum(),
            correct: u128::from(matrix.correct()),
            chance: support.iter().zip(&predicted).map(|(t, p)| t * p).sum(),
            targets_squared: support.iter().map(|t| t * t).sum(),
            predictions_squared: predicted.iter().map(|p| p * p).sum(),
        }
    }
}

fn difference(a: u128, b: u128) -> f64 {
    if a >= b { (a - b) as f64 } else { -((b - a) as f64) }
}

#[cfg(test)]
mod tests;
