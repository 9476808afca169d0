//! `label_report_<split>.json` and the lists beside it → the parts of the page about images with several
//! labels.

use std::path::{Path, PathBuf};

use ml_core::metrics::multilabel::MultilabelMetrics;
use ml_core::run::{FEW_IMAGES, Summary};
use serde::Deserialize;

use super::data::{self, Reliability};
use super::evaluations::SPLITS;
use super::images::Thumbnails;
use super::{part, trust};
use crate::html::{
    ClassRow, ClassTable, Estimate, Interval, LabelCalibration, LabelExample, LabelFindings, LabelMistakes,
    Metric, MetricKind, Part, PrecisionRecall, PrecisionRecallCurves, Report, SplitMetrics,
};
use crate::label_report::{EXTRA, MISSING};

/// Images of each kind of mistakes.
const EXAMPLES: usize = 24;

/// What [`LabelReport::json`](crate::label_report::LabelReport::json) writes.
#[derive(Debug, Deserialize)]
pub struct LabelEvaluation {
    pub split: String,
    /// The folder that the paths of predictions are relative to.
    #[serde(default)]
    pub root: PathBuf,
    pub num_samples: u64,
    #[serde(default)]
    pub not_finite: u64,
    #[serde(default)]
    pub loss: Option<f64>,
    pub mean_average_precision: Option<f64>,
    #[serde(default)]
    pub micro_average_precision: Option<f64>,
    #[serde(default)]
    pub macro_roc_auc: Option<f64>,
    pub hamming_loss: f64,
    pub subset_accuracy: f64,
    pub micro_average: Averages,
    pub macro_average: Averages,
    pub weighted_average: Averages,
    pub sample_average: Averages,
    pub classes: Vec<LabelFigures>,
    #[serde(default)]
    pub intervals: Option<Intervals>,
    #[serde(default)]
    pub reliability: Option<Reliability>,
    #[serde(default)]
    pub precision_recall: Vec<Curve>,
}

#[derive(Debug, Deserialize)]
pub struct Averages {
    pub precision: f64,
    pub recall: f64,
    pub f1_score: f64,
}

#[derive(Debug, Deserialize)]
pub struct LabelFigures {
    pub class: String,
    pub average_precision: Option<f64>,
    #[serde(default)]
    pub roc_auc: Option<f64>,
    pub threshold: f64,
    pub precision: f64,
    pub recall: f64,
    pub f1_score: f64,
    pub support: u64,
}

/// 95 %, lower and upper.
#[derive(Debug, Deserialize)]
pub struct Intervals {
    pub mean_average_precision: [f64; 2],
}

/// Of all pairs of image and class, or of a class: threshold, precision and recall of each point.
#[derive(Debug, Deserialize)]
pub struct Curve {
    pub class: Option<String>,
    pub average_precision: Option<f64>,
    pub points: Vec<(Option<f64>, f64, f64)>,
}

/// A row of `predictions_<split>.csv`, without the probabilities.
#[derive(Clone, Debug, Deserialize)]
pub struct LabelRow {
    pub path: String,
    /// Joined by `|`; empty without any.
    pub labels: String,
    /// Likewise.
    pub predicted: String,
}

/// A row of `label_mistakes_<split>.csv`.
#[derive(Clone, Debug, Deserialize)]
pub struct MistakeRow {
    pub path: String,
    pub labels: String,
    pub predicted: String,
    pub class: String,
    pub why: String,
    pub probability: f64,
}

/// The evaluations of images with several labels in a run's `report/`.
pub struct LabelEvaluations {
    folder: PathBuf,
    /// In the order of [`SPLITS`].
    found: Vec<LabelEvaluation>,
    /// Why one cannot be read.
    problem: Option<String>,
}

impl LabelEvaluations {
    /// Those in `folder`, as far as they can be read.
    pub fn read(folder: &Path) -> LabelEvaluations {
        let (mut found, mut problem) = (Vec::new(), None);
        for split in SPLITS {
            let path = report_path(folder, split);
            if path.exists() {
                match LabelEvaluation::read(&path) {
                    Ok(evaluation) => found.push(evaluation),
                    Err(reason) => problem = Some(reason),
                }
            }
        }
        LabelEvaluations { folder: folder.to_owned(), found, problem }
    }

    /// The one that counts.
    pub fn main(&self) -> Option<&LabelEvaluation> {
        self.found.first()
    }

    /// That of a split.
    pub fn of_split(&self, split: &str) -> Option<&LabelEvaluation> {
        self.found.iter().find(|one| one.split == split)
    }

    /// Fills the parts that are about images, if there are any; else they stay as they are.
    pub fn fill(&self, report: &mut Report, summary: &Summary) {
        let Some(main) = self.main() else {
            if let Some(problem) = &self.problem {
                report.metrics = Part::Missing(problem.clone());
            }
            return;
        };
        report.metrics = Part::Present(self.found.iter().map(LabelEvaluation::metrics).collect());
        report.findings.classes = Part::Present(main.table(summary));
        report.labels = LabelFindings {
            curves: main.curves(),
            mistakes: part(main.mistakes(&self.folder)),
            calibration: main.calibration(),
        };
    }
}

/// `label_report_<split>.json` in a run's `report/`.
pub fn report_path(folder: &Path, split: &str) -> PathBuf {
    folder.join(format!("label_report_{split}.json"))
}

impl LabelEvaluation {
    /// # Errors
    /// It is not there, or is not what was written; says so in a sentence.
    pub fn read(path: &Path) -> Result<LabelEvaluation, String> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}.", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{} cannot be read: {error}.", path.display()))
    }

    /// All single figures.
    pub fn metrics(&self) -> SplitMetrics {
        let ends = self.intervals.as_ref().map(|of| of.mean_average_precision);
        let interval = ends.map(|[low, high]| Interval { low, high });
        let known = [
            (MetricKind::MeanAp, self.mean_average_precision),
            (MetricKind::MicroAp, self.micro_average_precision),
            (MetricKind::MacroRocAuc, self.macro_roc_auc),
            (MetricKind::MicroF1, Some(self.micro_average.f1_score)),
            (MetricKind::MacroF1, Some(self.macro_average.f1_score)),
            (MetricKind::WeightedF1, Some(self.weighted_average.f1_score)),
            (MetricKind::SampleF1, Some(self.sample_average.f1_score)),
            (MetricKind::MicroPrecision, Some(self.micro_average.precision)),
            (MetricKind::MicroRecall, Some(self.micro_average.recall)),
            (MetricKind::MacroPrecision, Some(self.macro_average.precision)),
            (MetricKind::MacroRecall, Some(self.macro_average.recall)),
            (MetricKind::HammingLoss, Some(self.hamming_loss)),
            (MetricKind::SubsetAccuracy, Some(self.subset_accuracy)),
            (MetricKind::Loss, self.loss),
        ];
        let metrics = known.into_iter().filter_map(|(kind, value)| {
            let interval = interval.filter(|_| kind == MetricKind::MeanAp);
            Some(Metric { kind, estimate: Estimate { value: value?, interval } })
        });
        SplitMetrics {
            split: self.split.clone(),
            images: self.num_samples,
            metrics: metrics.collect(),
            not_finite: self.not_finite,
        }
    }

    /// Of some of the images of a split, without the loss.
    pub fn metrics_of(split: &str, found: &MultilabelMetrics) -> SplitMetrics {
        let known = [
            (MetricKind::MeanAp, found.mean_average_precision),
            (MetricKind::MicroAp, found.micro_average_precision),
            (MetricKind::MacroRocAuc, found.macro_roc_auc),
            (MetricKind::MicroF1, Some(found.micro_average.f1)),
            (MetricKind::MacroF1, Some(found.macro_average.f1)),
            (MetricKind::WeightedF1, Some(found.weighted_average.f1)),
            (MetricKind::SampleF1, Some(found.sample_average.f1)),
            (MetricKind::MicroPrecision, Some(found.micro_average.precision)),
            (MetricKind::MicroRecall, Some(found.micro_average.recall)),
            (MetricKind::MacroPrecision, Some(found.macro_average.precision)),
            (MetricKind::MacroRecall, Some(found.macro_average.recall)),
            (MetricKind::HammingLoss, Some(found.hamming_loss)),
            (MetricKind::SubsetAccuracy, Some(found.subset_accuracy)),
        ];
        let metrics = known.into_iter().filter_map(|(kind, value)| {
            Some(Metric { kind, estimate: Estimate { value: value?, interval: None } })
        });
        SplitMetrics {
            split: split.to_owned(),
            images: found.num_images,
            metrics: metrics.collect(),
            not_finite: 0,
        }
    }

    fn table(&self, summary: &Summary) -> ClassTable {
        let is_known = summary.class_images.len() == self.classes.len();
        let rows = self.classes.iter().enumerate().map(|(place, of)| ClassRow {
            class: of.class.clone(),
            precision: of.precision,
            recall: of.recall,
            f1: of.f1_score,
            ap: of.average_precision,
            auc: of.roc_auc,
            threshold: Some(of.threshold),
            support: of.support,
            train_images: is_known.then(|| summary.class_images[place]),
        });
        ClassTable { split: self.split.clone(), rows: rows.collect(), few_images: FEW_IMAGES as u64 }
    }

    fn curves(&self) -> Part<PrecisionRecallCurves> {
        let curve = |of: &Curve| PrecisionRecall {
            class: of.class.clone(),
            ap: of.average_precision,
            points: of.points.iter().map(|(_, precision, recall)| (*recall, *precision)).collect(),
        };
        let curves: Vec<PrecisionRecall> =
            self.precision_recall.iter().filter(|of| !of.points.is_empty()).map(curve).collect();
        if curves.is_empty() {
            return Part::Omitted;
        }
        Part::Present(PrecisionRecallCurves {
            split: self.split.clone(),
            classes: self.classes.len() as u64,
            curves,
        })
    }

    fn mistakes(&self, folder: &Path) -> Result<LabelMistakes, String> {
        let rows = mistakes(folder, self)?;
        let mut thumbnails = Thumbnails::below(&self.root);
        let mut examples = |why: &str| -> Vec<LabelExample> {
            let rows = rows.iter().filter(|row| row.why == why).take(EXAMPLES);
            rows.map(|row| LabelExample {
                image: thumbnails.get(&row.path, alt(row)),
                labels: row.labels.clone(),
                predicted: row.predicted.clone(),
                class: row.class.clone(),
                probability: row.probability,
            })
            .collect()
        };
        Ok(LabelMistakes { split: self.split.clone(), extra: examples(EXTRA), missing: examples(MISSING) })
    }

    fn calibration(&self) -> Part<LabelCalibration> {
        self.reliability.as_ref().map_or(Part::Omitted, |found| {
            Part::Present(LabelCalibration {
                split: self.split.clone(),
                reliability: trust::reliability(found),
            })
        })
    }
}

fn alt(row: &MistakeRow) -> String {
    if row.labels.is_empty() {
        "an image without labels".to_owned()
    } else {
        format!("an image of {}", row.labels)
    }
}

/// The predictions that belong to an evaluation in `folder`.
///
/// # Errors
/// They cannot be read; says so in a sentence.
pub fn label_rows(folder: &Path, of: &LabelEvaluation) -> Result<Vec<LabelRow>, String> {
    data::rows(&folder.join(format!("predictions_{}.csv", of.split)))
}

/// The worst mistakes of an evaluation in `folder`.
///
/// # Errors
/// They cannot be read; says so in a sentence.
pub fn mistakes(folder: &Path, of: &LabelEvaluation) -> Result<Vec<MistakeRow>, String> {
    data::rows(&folder.join(format!("label_mistakes_{}.csv", of.split)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::summary;
    use super::*;
    use crate::html::Header;
    use crate::label_report::tests::Made;

    fn empty() -> Report {
        Report::new(Header {
            name: String::new(),
            status: crate::html::Status::Completed,
            network: String::new(),
            data_set: String::new(),
            classes: 3,
            headline: None,
            date: String::new(),
            program: String::new(),
        })
    }

    #[test]
    fn what_is_written_is_read_back_and_fills_the_page() {
        let folder = tempfile::tempdir().unwrap();
        let made = Made::new(folder.path());
        made.report().write(folder.path()).unwrap();
        let found = LabelEvaluations::read(folder.path());
        let main = found.main().unwrap();
        assert_eq!((main.split.as_str(), main.num_samples, main.not_finite), ("val", 4, 1));
        assert_eq!(main.mean_average_precision, made.metrics.mean_average_precision);
        assert!(found.of_split("test").is_none());
        let mut report = empty();
        found.fill(&mut report, &summary(serde_json::json!({"class_images": [5, 30, 7]})));
        let table = report.findings.classes.present().unwrap();
        assert_eq!((table.rows.len(), table.rows[1].train_images), (3, Some(30)));
        assert!((table.rows[1].threshold.unwrap() - 0.6).abs() < 1e-6);
        let metrics = &report.metrics.present().unwrap()[0];
        assert_eq!(metrics.get(MetricKind::SubsetAccuracy).unwrap().value, 0.25);
        assert!(metrics.get(MetricKind::MeanAp).unwrap().interval.is_some());
        let curves = report.labels.curves.present().unwrap();
        assert_eq!((curves.curves.len(), curves.curves[0].class.as_deref()), (4, None));
        let mistakes = report.labels.mistakes.present().unwrap();
        assert_eq!((mistakes.extra.len(), mistakes.missing.len()), (2, 2));
        assert_eq!(mistakes.extra[0].class, "cat");
        assert_eq!(report.findings.confusion, Part::Omitted);
        let page = crate::html::render(&report);
        assert!(page.contains("Labels that are not predicted") && !page.contains("Confusion"));
    }

    #[test]
    fn without_evaluations_of_several_labels_the_page_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = empty();
        LabelEvaluations::read(folder.path()).fill(&mut report, &summary(serde_json::json!({})));
        assert_eq!(report, empty());
        std::fs::write(report_path(folder.path(), "val"), "{}").unwrap();
        LabelEvaluations::read(folder.path()).fill(&mut report, &summary(serde_json::json!({})));
        assert!(matches!(&report.metrics, Part::Missing(reason) if reason.contains("cannot be read")));
    }
}
