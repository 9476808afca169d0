//! Predictions → `predictions_<split>.csv`: a row an image.

use std::fmt::Write as _;

use ml_core::evaluation::{ClassProbability, Prediction};
use ml_data::dataset::Index;

/// The columns `path` (relative to the index's root), `label`, `prediction`, `probability`,
/// `correct`, and `top_<i>_class`, `top_<i>_probability` for the best classes; in the order of
/// `predictions`.
pub fn csv(classes: &[String], index: &Index, predictions: &[Prediction]) -> String {
    let width = predictions.iter().map(|prediction| prediction.top_k.len()).max().unwrap_or(0);
    let mut out = String::from("path,label,prediction,probability,correct");
    out.push_str(&top_k_header(width));
    out.push('\n');
    for prediction in predictions {
        let best = prediction.best();
        let path = index.samples[prediction.sample].path.to_string_lossy();
        let _ = write!(
            out,
            "{},{},{},{},{}",
            field(&path),
            field(&classes[prediction.target]),
            field(&classes[best.class]),
            best.probability,
            best.class == prediction.target,
        );
        out.push_str(&top_k_fields(classes, &prediction.top_k));
        out.push('\n');
    }
    out
}

/// `,top_1_class,top_1_probability,…` for `k` classes.
pub fn top_k_header(k: usize) -> String {
    (1..=k).fold(String::new(), |mut out, rank| {
        let _ = write!(out, ",top_{rank}_class,top_{rank}_probability");
        out
    })
}

/// `,class,probability` for each of `top_k`.
pub fn top_k_fields(classes: &[String], top_k: &[ClassProbability]) -> String {
    top_k.iter().fold(String::new(), |mut out, scored| {
        let _ = write!(out, ",{},{}", field(&classes[scored.class]), scored.probability);
        out
    })
}

/// A field of a CSV file, quoted if it has to be (RFC 4180).
pub fn field(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
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
        };
        let scored = |class, probability| ClassProbability { class, probability };
        let predictions = [
            Prediction { sample: 1, target: 1, top_k: vec![scored(0, 0.75), scored(1, 0.25)] },
            Prediction { sample: 0, target: 0, top_k: vec![scored(0, 1.0), scored(1, 0.0)] },
        ];
        let text = csv(&classes, &index, &predictions);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let columns: Vec<&str> = header.iter().skip(3).take(4).collect();
        assert_eq!(columns, ["probability", "correct", "top_1_class", "top_1_probability"]);
        let rows: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(
            rows,
            [
                ["y\n2.png", "say \"c\"", "a,b", "0.75", "false", "a,b", "0.75", "say \"c\"", "0.25"],
                ["x,1.png", "a,b", "a,b", "1", "true", "a,b", "1", "say \"c\"", "0"],
            ]
        );
    }
}
