//! [`MultilabelMetrics`] → the text and the JSON of a report.

use std::fmt::Write as _;

use serde_json::{Value, json};

use ml_core::metrics::Average;
use ml_core::metrics::multilabel::MultilabelMetrics;
use ml_data::table::{Align, table};

/// In the place of a metric without a value.
const NO_VALUE: &str = "-";

/// The metrics as text: counts, single figures, the table of the `classes` and averages.
pub fn multilabel_text(metrics: &MultilabelMetrics, classes: &[String]) -> String {
    let mut out = format!(
        "{} images ({} without labels), {} classes, {} labels ({} predicted)\n",
        metrics.num_images,
        metrics.num_unlabeled,
        metrics.classes.len(),
        metrics.num_labels,
        metrics.num_predicted,
    );
    let figures = [
        ("mAP", metrics.mean_average_precision),
        ("micro average precision", metrics.micro_average_precision),
        ("ROC-AUC", metrics.macro_roc_auc),
    ];
    let known: Vec<_> =
        figures.iter().filter_map(|(name, value)| Some(format!("{name} {:.4}", (*value)?))).collect();
    if !known.is_empty() {
        let _ = writeln!(out, "{}", known.join("   "));
    }
    let _ = writeln!(
        out,
        "subset accuracy {:.4}   Hamming loss {:.4}   coverage error {:.4}   label ranking precision {:.4}\n",
        metrics.subset_accuracy,
        metrics.hamming_loss,
        metrics.coverage_error,
        metrics.label_ranking_average_precision,
    );
    out.push_str(&class_table(metrics, classes));
    if metrics.classes.iter().any(|class| class.support == 0 || class.predicted == 0) {
        out.push_str(
            "\nMetrics without a denominator (a class without positives, or never predicted) are given as 0; \
             the macro average counts them. mAP leaves out classes without positives.\n",
        );
    }
    out
}

fn class_table(metrics: &MultilabelMetrics, classes: &[String]) -> String {
    let figure = |value: f64| format!("{value:.4}");
    let option = |value: Option<f64>| value.map_or_else(|| NO_VALUE.to_owned(), figure);
    let header = ["class", "AP", "precision", "recall", "F1", "threshold", "support"];
    let mut rows = vec![header.map(str::to_owned)];
    for (name, class) in classes.iter().zip(&metrics.classes) {
        rows.push([
            name.clone(),
            option(class.average_precision),
            figure(class.precision),
            figure(class.recall),
            figure(class.f1),
            figure(class.threshold.into()),
            class.support.to_string(),
        ]);
    }
    rows.push(Default::default());
    let averages = [
        ("micro average", metrics.micro_average_precision, metrics.micro_average),
        ("macro average", metrics.mean_average_precision, metrics.macro_average),
        ("weighted average", None, metrics.weighted_average),
        ("sample average", None, metrics.sample_average),
    ];
    for (name, average_precision, of) in averages {
        rows.push([
            name.to_owned(),
            average_precision.map_or_else(String::new, figure),
            figure(of.precision),
            figure(of.recall),
            figure(of.f1),
            String::new(),
            metrics.num_labels.to_string(),
        ]);
    }
    let mut align = [Align::Right; 7];
    align[0] = Align::Left;
    table(&rows, align)
}

/// The metrics as one JSON object; fractions in `0..=1`, `null` for a metric without a value.
pub fn multilabel_json(metrics: &MultilabelMetrics, classes: &[String]) -> Value {
    let average = |of: Average| json!({"precision": of.precision, "recall": of.recall, "f1_score": of.f1});
    let rows: Vec<_> = classes
        .iter()
        .zip(&metrics.classes)
        .map(|(name, class)| {
            json!({
                "class": name, "average_precision": class.average_precision, "roc_auc": class.roc_auc,
                "threshold": class.threshold, "precision": class.precision, "recall": class.recall,
                "f1_score": class.f1, "support": class.support, "predicted": class.predicted,
            })
        })
        .collect();
    json!({
        "num_samples": metrics.num_images,
        "num_unlabeled": metrics.num_unlabeled,
        "num_labels": metrics.num_labels,
        "num_predicted": metrics.num_predicted,
        "mean_average_precision": metrics.mean_average_precision,
        "micro_average_precision": metrics.micro_average_precision,
        "macro_roc_auc": metrics.macro_roc_auc,
        "hamming_loss": metrics.hamming_loss,
        "subset_accuracy": metrics.subset_accuracy,
        "coverage_error": metrics.coverage_error,
        "label_ranking_average_precision": metrics.label_ranking_average_precision,
        "micro_average": average(metrics.micro_average),
        "macro_average": average(metrics.macro_average),
        "weighted_average": average(metrics.weighted_average),
        "sample_average": average(metrics.sample_average),
        "classes": rows,
    })
}

#[cfg(test)]
mod tests {
    use ml_core::metrics::Probabilities;
    use ml_core::metrics::multilabel::{ClassThresholds, MultiHot};

    use super::*;

    const TEXT: &str = "\
4 images (1 without labels), 4 classes, 5 labels (6 predicted)
mAP 0.7778   micro average precision 0.7593   ROC-AUC 0.8056
subset accuracy 0.2500   Hamming loss 0.1875   coverage error 1.2500   label ranking precision 1.0000

class                  AP   precision   recall       F1   threshold   support
cat                0.8333      0.5000   0.5000   0.5000      0.5000         2
dog                1.0000      1.0000   1.0000   1.0000      0.6000         2
horse\\nb           0.5000      0.5000   1.0000   0.6667      0.5000         1
none                    -      0.0000   0.0000   0.0000      0.5000         0

micro average      0.7593      0.6667   0.8000   0.7273                     5
macro average      0.7778      0.5000   0.6250   0.5417                     5
weighted average               0.7000   0.8000   0.7333                     5
sample average                 0.6250   0.6250   0.5833                     5

Metrics without a denominator (a class without positives, or never predicted) are given as 0; \
the macro average counts them. mAP leaves out classes without positives.
";

    /// Metrics of four images of four classes, the last without positives, and the classes' names.
    fn example() -> (MultilabelMetrics, Vec<String>) {
        let values = [0.9, 0.2, 0.6, 0.1, 0.4, 0.8, 0.3, 0.2, 0.7, 0.5, 0.1, 0.3, 0.2, 0.6, 0.5, 0.1];
        let scores = Probabilities::new(&values, 4).unwrap();
        let labels = MultiHot::from_sets(4, [vec![0u32], vec![0, 1], vec![], vec![1, 2]]).unwrap();
        let thresholds = ClassThresholds::new(vec![0.5, 0.6, 0.5, 0.5]).unwrap();
        let classes = ["cat", "dog", "horse\nb", "none"].map(str::to_owned).to_vec();
        (MultilabelMetrics::new(scores, &labels, &thresholds, 1), classes)
    }

    #[test]
    fn the_text_is_a_table_of_classes_and_averages() {
        let (metrics, classes) = example();
        let text = multilabel_text(&metrics, &classes);
        assert_eq!(text, TEXT, "{text}");
    }

    #[test]
    fn without_labels_the_text_has_no_map() {
        let scores = Probabilities::new(&[0.1, 0.2], 2).unwrap();
        let labels = MultiHot::from_sets(2, [Vec::<u32>::new()]).unwrap();
        let metrics = MultilabelMetrics::new(scores, &labels, &ClassThresholds::uniform(2), 1);
        let text = multilabel_text(&metrics, &["a".to_owned(), "b".to_owned()]);
        assert!(!text.contains("mAP 0") && !text.contains("NaN"), "{text}");
    }

    #[test]
    fn the_json_has_null_for_what_has_no_value() {
        let (metrics, classes) = example();
        let json = multilabel_json(&metrics, &classes);
        assert_eq!(json["classes"][3]["average_precision"], Value::Null);
        assert_eq!(json["classes"][3]["f1_score"], 0.0);
        assert_eq!(json["classes"][1]["threshold"], f64::from(0.6f32));
        assert_eq!(json["classes"][2]["support"], 1);
        assert_eq!(json["coverage_error"], 1.25);
        assert_eq!((json["num_labels"].as_u64(), json["num_unlabeled"].as_u64()), (Some(5), Some(1)));
    }
}
