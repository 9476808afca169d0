//! An [`EvaluationReport`] → its files.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::EvaluationReport;
use crate::write::{ReportError, make_folder, replace};
use crate::{figures, hard_images, npy, predictions};

/// More probabilities than these, 200 MB, are not kept.
const MAX_PROBABILITIES: usize = 50_000_000;

/// Where the files of an evaluation lie.
#[derive(Clone, Debug)]
pub struct ReportFiles {
    /// `classification_report_<split>.txt`
    pub text: PathBuf,
    /// `classification_report_<split>.json`
    pub json: PathBuf,
    /// `confusion_matrix_<split>.png`
    pub confusion_matrix: PathBuf,
    /// `predictions_<split>.csv`
    pub predictions: PathBuf,
    /// `probabilities_<split>.npy`; none where there are too many.
    pub probabilities: Option<PathBuf>,
    /// `label_issues_<split>.csv`
    pub label_issues: PathBuf,
    /// `hard_images_<split>.csv`
    pub hard_images: PathBuf,
    /// `typical_images_<split>.csv`
    pub typical_images: PathBuf,
}

impl ReportFiles {
    /// All of them.
    pub fn all(&self) -> Vec<&Path> {
        let ReportFiles {
            text,
            json,
            confusion_matrix,
            predictions,
            probabilities,
            label_issues,
            hard_images,
            typical_images,
        } = self;
        let first = [text, json, confusion_matrix, predictions].into_iter().chain(probabilities);
        first.chain([label_issues, hard_images, typical_images]).map(PathBuf::as_path).collect()
    }
}

impl EvaluationReport<'_> {
    /// Writes all files into `dir`, which is made if need be.
    ///
    /// # Errors
    /// The first file that could not be written; those before it are complete.
    pub fn write(&self, dir: &Path) -> Result<ReportFiles, ReportError> {
        make_folder(dir)?;
        let split = self.split;
        let files = ReportFiles {
            text: dir.join(format!("classification_report_{split}.txt")),
            json: dir.join(format!("classification_report_{split}.json")),
            confusion_matrix: dir.join(format!("confusion_matrix_{split}.png")),
            predictions: dir.join(format!("predictions_{split}.csv")),
            probabilities: self.probabilities(dir)?,
            label_issues: dir.join(format!("label_issues_{split}.csv")),
            hard_images: dir.join(format!("hard_images_{split}.csv")),
            typical_images: dir.join(format!("typical_images_{split}.csv")),
        };
        replace(&files.text, self.text(None).as_bytes())?;
        replace(&files.json, lines_of(&self.json()).as_bytes())?;
        let figure = figures::confusion_matrix(&self.evaluation.confusion, self.classes, &self.title());
        let png = figure.and_then(|figure| figure.to_png());
        let png = png
            .map_err(|reason| ReportError::Draw { path: files.confusion_matrix.clone(), reason: reason.0 })?;
        replace(&files.confusion_matrix, &png)?;
        self.write_lists(&files)?;
        Ok(files)
    }

    /// The tables with a row for an image.
    fn write_lists(&self, files: &ReportFiles) -> Result<(), ReportError> {
        let (classes, index) = (self.classes, self.index);
        let confidences = self.analysis.confidences();
        let predicted = &self.evaluation.predictions;
        let ood_scores = self.evaluation.ood_scores.as_deref();
        let rows = predictions::csv(classes, index, predicted, confidences, ood_scores, self.groups);
        replace(&files.predictions, rows.as_bytes())?;
        let issues = &self.analysis.label_issues.issues;
        let rows = predictions::label_issues(classes, index, predicted, issues);
        replace(&files.label_issues, rows.as_bytes())?;
        let table = hard_images::Table { classes, index, predictions: predicted, confidences };
        replace(&files.hard_images, table.hard().as_bytes())?;
        replace(&files.typical_images, table.typical().as_bytes())
    }

    /// Writes the probabilities `[N, K]`, rows as in the predictions. Where they are too many, none
    /// of an earlier evaluation are left.
    fn probabilities(&self, dir: &Path) -> Result<Option<PathBuf>, ReportError> {
        if self.evaluation.logits.values.len() <= MAX_PROBABILITIES {
            return self.write_probabilities(dir).map(Some);
        }
        let path = self.probabilities_path(dir);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(ReportError::Write { path, source }),
            _ => Ok(None),
        }
    }

    /// Writes the probabilities `[N, K]`, rows as in the predictions, into `dir`; where they are.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_probabilities(&self, dir: &Path) -> Result<PathBuf, ReportError> {
        let probabilities = self.evaluation.logits.probabilities(self.evaluation.temperature);
        let path = self.probabilities_path(dir);
        npy::write(&path, &probabilities, self.classes.len())?;
        Ok(path)
    }

    fn probabilities_path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("probabilities_{}.npy", self.split))
    }
}

/// An object with a line for each key and for each element of a list in it: short enough, and
/// readable.
pub(crate) fn lines_of(object: &serde_json::Value) -> String {
    let mut out = String::from("{");
    for (place, (key, value)) in object.as_object().into_iter().flatten().enumerate() {
        let _ = write!(out, "{}\n  {}: ", if place > 0 { "," } else { "" }, json!(key));
        match value.as_array() {
            Some(elements) => {
                let lines: Vec<String> = elements.iter().map(|element| format!("\n    {element}")).collect();
                let _ = write!(out, "[{}\n  ]", lines.join(","));
            }
            None => {
                let _ = write!(out, "{value}");
            }
        }
    }
    out.push_str("\n}\n");
    out
}

#[cfg(test)]
mod tests {
    use ml_core::evaluation::{Analysis, Evaluation};
    use ml_data::dataset::{Index, Sample, Split};

    use super::*;

    #[test]
    fn images_without_probabilities_are_counted_and_do_not_lead_the_lists() {
        let classes = ["a".to_owned(), "b".to_owned()];
        let probabilities = [0.9, 0.1, f32::NAN, f32::NAN, 0.2, 0.8, 0.3, 0.7];
        let targets = [0, 1, 0, 0];
        let evaluation = Evaluation::from_probabilities(&probabilities, 2, &targets);
        let analysis = Analysis::new(&evaluation, &classes, 1);
        let sample = |(place, &class): (usize, &usize)| {
            let path = PathBuf::from(format!("{place}.png"));
            Sample { path: path.into(), class: class as u32 }
        };
        let samples = targets.iter().enumerate().map(sample).collect();
        let index = Index { root: "data".into(), split: Split::Val, samples, label_sets: None };
        let (index, evaluation, analysis) = (&index, &evaluation, &analysis);
        let report =
            EvaluationReport { split: "val", classes: &classes, index, evaluation, analysis, groups: None };
        assert_eq!(report.json()["not_finite"], 1);
        assert!(report.text(None).contains("the logits of 1 image contain NaN or Inf"));

        let folder = tempfile::tempdir().unwrap();
        let files = report.write(folder.path()).unwrap();
        assert!(files.all().iter().all(|path| path.is_file()) && files.all().len() == 8);
        let kept = npy::read(files.probabilities.as_ref().unwrap(), 4, 2).unwrap();
        assert!((kept[0] - 0.9).abs() < 1e-6 && kept[2].is_nan() && (kept[7] - 0.7).abs() < 1e-6);
        let hard = fs::read_to_string(&files.hard_images).unwrap();
        let first: Vec<&str> = hard.lines().take(2).collect();
        assert_eq!(first[0], "path,label,suggested,why,probability");
        assert!(first[1].starts_with("2.png,a,b,mistake,"), "{hard}");
    }
}
