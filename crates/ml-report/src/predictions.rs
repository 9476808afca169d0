//! Predictions → `predictions_<split>.csv`: a row for each image.

use ml_core::evaluation::{ClassProbability, Confidence, Prediction};
use ml_core::metrics::label_issues::LabelIssue;
use ml_data::csv_text::CsvText;
use ml_data::dataset::Index;

/// The column of scores of how unlike those of training an image is.
pub const OOD_SCORE: &str = "ood_score";
/// The column of groups.
const GROUP: &str = "group";

/// The columns `path` (relative to the index's root), `label`, `prediction`, `probability`,
/// `correct`, `margin` (what the second most probable class has less), with `ood_scores` also
/// `ood_score` (above 1 is unlike anything seen in training), with `groups`, those of the index's
/// samples, also `group`, and `top_<i>_class`,
/// `top_<i>_probability` for the best classes; in the order of `predictions`.
pub fn csv(
    classes: &[String],
    index: &Index,
    predictions: &[Prediction],
    confidences: &[Confidence],
    ood_scores: Option<&[f32]>,
    groups: Option<&[String]>,
) -> String {
    let width = predictions.iter().map(|prediction| prediction.top_k.len()).max().unwrap_or(0);
    let mut rows = CsvText::new();
    let columns = ["path", "label", "prediction", "probability", "correct", "margin"].map(str::to_owned);
    let ood_column = ood_scores.map(|_| OOD_SCORE.to_owned());
    let group_column = groups.map(|_| GROUP.to_owned());
    rows.row(columns.into_iter().chain(ood_column).chain(group_column).chain(top_k_columns(width)));
    for (place, (prediction, confidence)) in predictions.iter().zip(confidences).enumerate() {
        let best = prediction.best();
        let path = index.samples[prediction.sample].path.to_string_lossy();
        let fields = [
            path.into_owned(),
            classes[prediction.target].clone(),
            classes[best.class].clone(),
            best.probability.to_string(),
            (best.class == prediction.target).to_string(),
            confidence.margin.to_string(),
        ];
        let ood_score = ood_scores.map(|scores| scores.get(place).map_or_else(String::new, f32::to_string));
        let group = groups.map(|groups| groups.get(prediction.sample).cloned().unwrap_or_default());
        let fields = fields.into_iter().chain(ood_score).chain(group);
        rows.row(fields.chain(top_k_fields(classes, &prediction.top_k)));
    }
    rows.finish()
}

/// The columns `path`, `label`, `suggested` and `self_confidence` (the label's probability), the
/// least probable label first: what `ml-split --exclude` and `--relabel` take.
pub fn label_issues(
    classes: &[String],
    index: &Index,
    predictions: &[Prediction],
    issues: &[LabelIssue],
) -> String {
    let mut rows = CsvText::new();
    rows.row(["path", "label", "suggested", "self_confidence"].map(str::to_owned));
    for issue in issues {
        let path = index.samples[predictions[issue.sample].sample].path.to_string_lossy();
        rows.row([
            path.into_owned(),
            classes[issue.label].clone(),
            classes[issue.suggested].clone(),
            issue.self_confidence.to_string(),
        ]);
    }
    rows.finish()
}

/// `top_1_class`, `top_1_probability`, … for `k` classes.
pub fn top_k_columns(k: usize) -> impl Iterator<Item = String> {
    (1..=k).flat_map(|rank| [format!("top_{rank}_class"), format!("top_{rank}_probability")])
}

/// Class and probability of each of `top_k`.
pub fn top_k_fields(classes: &[String], top_k: &[ClassProbability]) -> impl Iterator<Item = String> {
    top_k.iter().flat_map(|scored| [classes[scored.class].clone(), scored.probability.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ml_data::dataset::{Sample, Split};
    use std::path::Path;

    #[test]
    fn the_rows_are_read_back_by_a_csv_reader_whatever_is_in_the_names() {
        let classes = ["a,b".to_owned(), "say \"c\"".to_owned()];
        let sample = |path: &str, class| Sample { path: Path::new(path).into(), class };
        let index = Index {
            root: "data".into(),
            split: Split::Test,
            samples: vec![sample("x,1.png", 0), sample("y\n2.png", 1)],
            label_sets: None,
        };
        let scored = |class, probability| ClassProbability { class, probability };
        let predictions = [
            Prediction { sample: 1, target: 1, top_k: vec![scored(0, 0.75), scored(1, 0.25)] },
            Prediction { sample: 0, target: 0, top_k: vec![scored(0, 1.0), scored(1, 0.0)] },
        ];
        let confidence = |probability, margin| Confidence { probability, margin };
        let text =
            csv(&classes, &index, &predictions, &[confidence(0.75, 0.5), confidence(1.0, 1.0)], None, None);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let columns: Vec<&str> = header.iter().skip(3).take(5).collect();
        assert_eq!(columns, ["probability", "correct", "margin", "top_1_class", "top_1_probability"]);
        let rows: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(
            rows,
            [
                ["y\n2.png", "say \"c\"", "a,b", "0.75", "false", "0.5", "a,b", "0.75", "say \"c\"", "0.25"],
                ["x,1.png", "a,b", "a,b", "1", "true", "1", "a,b", "1", "say \"c\"", "0"],
            ]
        );
        let confidences = [confidence(0.75, 0.5), confidence(1.0, 1.0)];
        let text = csv(
            &classes,
            &index,
            &predictions,
            &confidences,
            Some(&[0.5, f32::INFINITY]),
            Some(&["g".to_owned(), String::new()]),
        );
        assert!(
            text.starts_with("path,label,prediction,probability,correct,margin,ood_score,group,top_1_class")
        );
        assert!(text.contains(",false,0.5,0.5,,\"a,b\"") && text.contains(",true,1,inf,g,"), "{text}");
        let issues = [LabelIssue { sample: 0, label: 1, suggested: 0, self_confidence: 0.25 }];
        let text = label_issues(&classes, &index, &predictions, &issues);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), vec!["path", "label", "suggested", "self_confidence"]);
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!(row, vec!["y\n2.png", "say \"c\"", "a,b", "0.25"]);
    }
}
