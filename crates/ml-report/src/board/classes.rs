//! More classes than can be shown → those worth a look.

use ml_core::metrics::{ClassificationReport, ConfusionMatrix};

/// The classes with the lowest F1 among those that have samples, at most `limit`, in their order.
pub(super) fn hardest(report: &ClassificationReport, limit: usize) -> Vec<usize> {
    let classes = &report.classes;
    let mut places: Vec<usize> = (0..classes.len()).filter(|&class| classes[class].support > 0).collect();
    places.sort_by(|&a, &b| classes[a].f1.total_cmp(&classes[b].f1));
    places.truncate(limit);
    places.sort_unstable();
    places
}

/// The classes that are confused most often, and the part of `pairs` among them; `pairs` itself if
/// it has at most `limit` classes.
pub(super) fn most_confused(
    pairs: &ConfusionMatrix,
    names: &[String],
    limit: usize,
) -> (ConfusionMatrix, Vec<String>) {
    if names.len() <= limit {
        return (pairs.clone(), names.to_vec());
    }
    let mut shown: Vec<usize> = Vec::new();
    // So many pairs name at least so many classes, if there are that many.
    let confused = pairs.most_confused(limit * limit);
    let confused = confused.into_iter().flat_map(|(truth, guess, _)| [truth, guess]);
    for class in confused.chain(0..names.len()) {
        if shown.len() == limit {
            break;
        }
        if !shown.contains(&class) {
            shown.push(class);
        }
    }
    shown.sort_unstable();
    let mut part = ConfusionMatrix::new(shown.len());
    for (row, &truth) in shown.iter().enumerate() {
        for (column, &guess) in shown.iter().enumerate() {
            part.add_many(row, column, pairs.count(truth, guess));
        }
    }
    (part, shown.into_iter().map(|class| names[class].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("c{class}")).collect()
    }

    /// Each class has ten images; of class 5 three are taken for 2, of class 7 one for 5.
    fn pairs() -> ConfusionMatrix {
        let mut pairs = ConfusionMatrix::new(9);
        for class in 0..8 {
            pairs.add_many(class, class, 10);
        }
        pairs.add_many(5, 2, 3);
        pairs.add_many(7, 5, 1);
        pairs
    }

    #[test]
    fn the_most_confused_classes_stay_with_their_counts() {
        let (part, shown) = most_confused(&pairs(), &names(9), 2);
        assert_eq!(shown, ["c2", "c5"]);
        assert_eq!([part.count(0, 0), part.count(1, 0), part.count(1, 1), part.count(0, 1)], [10, 3, 10, 0]);
        // Where fewer are confused, the first of the others fill the matrix.
        assert_eq!(most_confused(&pairs(), &names(9), 5).1, ["c0", "c1", "c2", "c5", "c7"]);
        let (whole, all) = most_confused(&pairs(), &names(9), 9);
        assert_eq!((whole, all), (pairs(), names(9)));
    }

    #[test]
    fn the_hardest_classes_have_samples_and_the_lowest_f1() {
        let report = ClassificationReport::new(&pairs(), &names(9));
        assert_eq!(hardest(&report, 3), [2, 5, 7]);
        // Class 8 has no samples, hence no curve.
        assert_eq!(hardest(&report, 50), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
