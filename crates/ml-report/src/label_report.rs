//! A [`LabelEvaluation`] → `label_report_<split>.{txt,json}`; with them the predictions, their
//! probabilities and the worst mistakes: see [`LabelReport::write`].

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use ml_core::device::num_threads;
use ml_core::evaluation::LabelEvaluation;
use ml_core::metrics::calibration::{DEFAULT_BINS, Reliability, ReliabilityBin};
use ml_core::metrics::intervals::{BootstrapConfig, Interval};
use ml_core::metrics::multilabel::{
    ClassThresholds, MultilabelMetrics, bootstrap_mean_average_precision, precision_recall_curve,
};
use ml_data::csv_text::CsvText;
use ml_data::dataset::Index;

use crate::classification::lines_of;
use crate::multilabel::{multilabel_json, multilabel_text};
use crate::npy;
use crate::write::{ReportError, make_folder, replace};

/// Between the labels of an image.
pub(crate) const SEPARATOR: char = '|';
/// Why a class is listed as a mistake: it is predicted, and no label of the image.
pub(crate) const EXTRA: &str = "extra";
/// Why a class is listed as a mistake: it is a label of the image, and not predicted.
pub(crate) const MISSING: &str = "missing";

/// More probabilities than these, 200 MB, are not kept.
const MAX_PROBABILITIES: usize = 50_000_000;
/// More probabilities than these are not written as text.
const MAX_AS_TEXT: usize = 5_000_000;
/// Of more probabilities the interval of mAP would take longer than a few seconds.
const MAX_FOR_INTERVAL: usize = 1_000_000;
/// Classes with a precision-recall curve; of more, those with the lowest average precision.
const CURVES: usize = 10;
/// Points of a curve.
const POINTS: usize = 200;
/// Mistakes of each kind that are listed.
const MISTAKES: usize = 500;

/// Everything that the files of an evaluation of images with several labels are made from.
#[derive(Clone, Copy, Debug)]
pub struct LabelReport<'a> {
    /// `train`, `val` or `test`; it is in the files' names.
    pub split: &'a str,
    /// Names of the classes, in order.
    pub classes: &'a [String],
    /// The samples that were evaluated.
    pub index: &'a Index,
    /// What came out.
    pub evaluation: &'a LabelEvaluation,
    /// From which probability on a class is predicted.
    pub thresholds: &'a ClassThresholds,
    /// The metrics at these thresholds.
    pub metrics: &'a MultilabelMetrics,
}

/// Where the files of an evaluation of images with several labels lie.
#[derive(Clone, Debug)]
pub struct LabelReportFiles {
    /// `label_report_<split>.txt`
    pub text: PathBuf,
    /// `label_report_<split>.json`
    pub json: PathBuf,
    /// `predictions_<split>.csv`
    pub predictions: PathBuf,
    /// `probabilities_<split>.npy`; none where there are too many.
    pub probabilities: Option<PathBuf>,
    /// `label_mistakes_<split>.csv`
    pub mistakes: PathBuf,
}

/// A class that is predicted wrong for an image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mistake {
    /// Number of the image.
    image: usize,
    class: usize,
    probability: f32,
}

impl LabelReport<'_> {
    /// Writes all files into `dir`, which is made if need be.
    ///
    /// # Errors
    /// The first file that could not be written; those before it are complete.
    pub fn write(&self, dir: &Path) -> Result<LabelReportFiles, ReportError> {
        make_folder(dir)?;
        let split = self.split;
        let files = LabelReportFiles {
            text: dir.join(format!("label_report_{split}.txt")),
            json: dir.join(format!("label_report_{split}.json")),
            predictions: dir.join(format!("predictions_{split}.csv")),
            probabilities: self.write_probabilities(dir)?,
            mistakes: dir.join(format!("label_mistakes_{split}.csv")),
        };
        replace(&files.text, self.text().as_bytes())?;
        replace(&files.json, lines_of(&self.json()).as_bytes())?;
        replace(&files.predictions, self.predictions().as_bytes())?;
        replace(&files.mistakes, self.mistakes().as_bytes())?;
        Ok(files)
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let loss = self.evaluation.sums.loss();
        format!("{} split: loss {loss:.4}\n{}", self.split, multilabel_text(self.metrics, self.classes))
    }

    /// The report as one JSON object; fractions in `0..=1`, `null` for a metric without a value.
    pub fn json(&self) -> Value {
        let root = &self.index.root;
        let root = std::path::absolute(root).unwrap_or_else(|_| root.clone());
        let interval = self.interval().map(|of| [of.lower, of.upper]);
        let more = json!({
            "task": "multi_label",
            "split": self.split,
            "root": root.to_string_lossy(),
            "not_finite": self.not_finite(),
            "loss": self.evaluation.sums.loss(),
            "intervals": interval.map(|ends| json!({"mean_average_precision": ends})),
            "reliability": self.reliability(),
            "precision_recall": self.curves(),
        });
        let mut object = multilabel_json(self.metrics, self.classes);
        if let (Some(fields), Value::Object(more)) = (object.as_object_mut(), more) {
            fields.extend(more);
        }
        object
    }

    /// The columns `path` (relative to the index's root), `labels` and `predicted` (joined by `|`),
    /// and for each class `probability_<class>`, unless there are too many.
    pub fn predictions(&self) -> String {
        let (classes, evaluation) = (self.classes, self.evaluation);
        let shown = if evaluation.probabilities.len() <= MAX_AS_TEXT { classes } else { &[] };
        let mut rows = CsvText::new();
        let columns = ["path", "labels", "predicted"].map(str::to_owned);
        rows.row(columns.into_iter().chain(shown.iter().map(|class| format!("probability_{class}"))));
        for (image, row) in evaluation.scores().rows().enumerate() {
            let fields = [self.path(image), self.labels(image), self.predicted(image)];
            let probabilities = row.iter().take(shown.len()).map(f32::to_string);
            rows.row(fields.into_iter().chain(probabilities));
        }
        rows.finish()
    }

    /// The columns `path`, `labels`, `predicted`, `class`, `why` (`extra` or `missing`) and
    /// `probability`: first the predicted classes that are no labels of their image, the most
    /// probable first, then the labels that are not predicted, the least probable first.
    pub fn mistakes(&self) -> String {
        let [extra, missing] = self.wrong();
        let mut rows = CsvText::new();
        rows.row(["path", "labels", "predicted", "class", "why", "probability"].map(str::to_owned));
        for (why, mistakes) in [(EXTRA, extra), (MISSING, missing)] {
            for Mistake { image, class, probability } in mistakes {
                rows.row([
                    self.path(image),
                    self.labels(image),
                    self.predicted(image),
                    self.classes[class].clone(),
                    why.to_owned(),
                    probability.to_string(),
                ]);
            }
        }
        rows.finish()
    }

    /// The classes that are predicted and no labels, and those that are labels and not predicted, the
    /// worst first.
    fn wrong(&self) -> [Vec<Mistake>; 2] {
        let [mut extra, mut missing] = [Vec::new(), Vec::new()];
        for (image, row) in self.evaluation.scores().rows().enumerate() {
            for (class, (&probability, threshold)) in row.iter().zip(self.thresholds.values()).enumerate() {
                let is_predicted = probability >= *threshold;
                match (self.evaluation.labels.contains(image, class), is_predicted) {
                    (false, true) => extra.push(Mistake { image, class, probability }),
                    (true, false) => missing.push(Mistake { image, class, probability }),
                    _ => {}
                }
            }
        }
        extra.sort_by(|one: &Mistake, other| other.probability.total_cmp(&one.probability));
        // A label without a probability was missed by more than any other.
        let probability = |of: &Mistake| if of.probability.is_nan() { -1.0 } else { of.probability };
        missing.sort_by(|one, other| probability(one).total_cmp(&probability(other)));
        extra.truncate(MISTAKES);
        missing.truncate(MISTAKES);
        [extra, missing]
    }

    /// Whether all labels of an image are predicted, and nothing else.
    pub(crate) fn is_right(&self, image: usize) -> bool {
        let classes = self.evaluation.scores().row(image).iter().zip(self.thresholds.values());
        classes.enumerate().all(|(class, (probability, threshold))| {
            self.evaluation.labels.contains(image, class) == (probability >= threshold)
        })
    }

    /// Where an image lies, relative to the index's root.
    pub(crate) fn path(&self, image: usize) -> String {
        self.index.samples[self.evaluation.samples[image]].path.to_string_lossy().into_owned()
    }

    /// The labels of an image, joined.
    pub(crate) fn labels(&self, image: usize) -> String {
        self.joined(self.evaluation.labels.labels(image))
    }

    /// The classes that are predicted for an image, joined.
    pub(crate) fn predicted(&self, image: usize) -> String {
        let classes = self.evaluation.scores().row(image).iter().zip(self.thresholds.values());
        let predicted = classes.enumerate().filter(|(_, (probability, threshold))| probability >= threshold);
        self.joined(predicted.map(|(class, _)| class))
    }

    fn joined(&self, classes: impl Iterator<Item = usize>) -> String {
        joined(classes.map(|class| self.classes[class].as_str()))
    }

    /// Images whose logits are NaN or Inf, so that they have no probabilities.
    fn not_finite(&self) -> usize {
        self.evaluation.scores().rows().filter(|row| row.iter().any(|value| value.is_nan())).count()
    }

    /// Of mAP, unless there are too many images.
    fn interval(&self) -> Option<Interval> {
        let LabelEvaluation { probabilities, labels, .. } = self.evaluation;
        if probabilities.len() > MAX_FOR_INTERVAL {
            return None;
        }
        let config = BootstrapConfig { threads: num_threads(), ..BootstrapConfig::default() };
        let found = bootstrap_mean_average_precision(self.evaluation.scores(), labels, &config)?;
        Some(found.interval)
    }

    /// Of all pairs of image and class: how often a class is a label, by its probability.
    fn reliability(&self) -> Value {
        let LabelEvaluation { probabilities, labels, .. } = self.evaluation;
        let num_classes = self.classes.len();
        let hits: Vec<bool> = (0..labels.len())
            .flat_map(|image| (0..num_classes).map(move |class| labels.contains(image, class)))
            .collect();
        let found = Reliability::new(probabilities, &hits, DEFAULT_BINS);
        let bin = |bin: &ReliabilityBin| {
            json!({
                "lower": bin.lower, "upper": bin.upper, "count": bin.count,
                "confidence": bin.confidence, "accuracy": bin.accuracy,
            })
        };
        json!({"ece": found.expected_error(), "bins": found.bins.iter().map(bin).collect::<Vec<_>>()})
    }

    /// The curve of all pairs of image and class, whose class is `null`, then those of classes.
    fn curves(&self) -> Vec<Value> {
        let (scores, labels) = (self.evaluation.scores(), &self.evaluation.labels);
        let curve = |class: Option<usize>, average_precision: Option<f64>| {
            let points = precision_recall_curve(scores, labels, class, POINTS, num_threads());
            let points: Vec<_> =
                points.iter().map(|of| json!([of.threshold, of.precision, of.recall])).collect();
            let class = class.map(|class| self.classes[class].as_str());
            json!({"class": class, "average_precision": average_precision, "points": points})
        };
        let of_classes = self.least_precise().into_iter();
        let of_classes = of_classes.map(|(class, average_precision)| (Some(class), Some(average_precision)));
        std::iter::once((None, self.metrics.micro_average_precision))
            .chain(of_classes)
            .map(|(class, average_precision)| curve(class, average_precision))
            .collect()
    }

    /// The classes with the lowest average precision, in their order, and what it is.
    fn least_precise(&self) -> Vec<(usize, f64)> {
        let known = self.metrics.classes.iter().enumerate();
        let mut known: Vec<(usize, f64)> =
            known.filter_map(|(class, of)| Some((class, of.average_precision?))).collect();
        known.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        known.truncate(CURVES);
        known.sort_by_key(|(class, _)| *class);
        known
    }

    /// Writes the probabilities `[N, K]`, rows as in the predictions. Where they are too many, none
    /// of an earlier evaluation are left.
    fn write_probabilities(&self, dir: &Path) -> Result<Option<PathBuf>, ReportError> {
        let path = dir.join(format!("probabilities_{}.npy", self.split));
        if self.evaluation.probabilities.len() <= MAX_PROBABILITIES {
            npy::write(&path, &self.evaluation.probabilities, self.classes.len())?;
            return Ok(Some(path));
        }
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(ReportError::Write { path, source }),
            _ => Ok(None),
        }
    }
}

/// The names of labels in one text.
pub(crate) fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (place, name) in names.enumerate() {
        if place > 0 {
            text.push(SEPARATOR);
        }
        text.push_str(name);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use ml_core::evaluation::Logits;
    use ml_core::metrics::MetricSums;
    use ml_core::metrics::multilabel::MultiHot;
    use ml_data::dataset::{Sample, Split};

    use super::*;

    /// What tests make reports of.
    pub(crate) struct Made {
        pub classes: Vec<String>,
        pub index: Index,
        pub evaluation: LabelEvaluation,
        pub thresholds: ClassThresholds,
        pub metrics: MultilabelMetrics,
    }

    impl Made {
        /// Four images of three classes; the first is right, the third has no label, and the last no
        /// probabilities.
        pub(crate) fn new(root: &Path) -> Made {
            let classes = ["cat", "dog", "a \"horse\""].map(str::to_owned).to_vec();
            let sets = [vec![0u32, 1], vec![1], vec![], vec![2]];
            let sample = |place: usize| Sample { path: Path::new(&format!("{place}.png")).into(), class: 0 };
            let index = Index {
                root: root.to_owned(),
                split: Split::Val,
                samples: (0..4).map(sample).collect(),
                label_sets: Some(Arc::new(sets.iter().collect())),
            };
            let nan = f32::NAN;
            let probabilities = vec![0.9, 0.8, 0.1, 0.7, 0.3, 0.2, 0.95, 0.1, 0.0, nan, nan, nan];
            let labels = MultiHot::from_sets(3, &sets).unwrap();
            let evaluation = LabelEvaluation {
                sums: MetricSums::default(),
                samples: vec![0, 1, 2, 3],
                logits: Logits { values: probabilities.clone(), num_classes: 3 },
                temperature: 1.0,
                probabilities,
                labels,
            };
            let thresholds = ClassThresholds::new(vec![0.5, 0.6, 0.5]).unwrap();
            let metrics = evaluation.metrics(&thresholds, 1);
            Made { classes, index, evaluation, thresholds, metrics }
        }

        pub(crate) fn report(&self) -> LabelReport<'_> {
            LabelReport {
                split: "val",
                classes: &self.classes,
                index: &self.index,
                evaluation: &self.evaluation,
                thresholds: &self.thresholds,
                metrics: &self.metrics,
            }
        }
    }

    #[test]
    fn predictions_join_labels_and_have_a_probability_for_each_class() {
        let made = Made::new(Path::new("data"));
        let text = made.report().predictions();
        let lines: Vec<&str> = text.lines().collect();
        let header = "path,labels,predicted,probability_cat,probability_dog,\"probability_a \"\"horse\"\"\"";
        assert_eq!(lines[0], header);
        assert_eq!(lines[1], "0.png,cat|dog,cat|dog,0.9,0.8,0.1");
        assert_eq!(lines[2], "1.png,dog,cat,0.7,0.3,0.2");
        assert_eq!(lines[3], "2.png,,cat,0.95,0.1,0");
        assert_eq!(lines[4], "3.png,\"a \"\"horse\"\"\",,NaN,NaN,NaN");
    }

    #[test]
    fn the_worst_mistakes_of_either_kind_come_first() {
        let made = Made::new(Path::new("data"));
        let text = made.report().mistakes();
        let rows: Vec<Vec<String>> = csv::Reader::from_reader(text.as_bytes())
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect())
            .collect();
        assert_eq!(
            rows,
            [
                ["2.png", "", "cat", "cat", "extra", "0.95"],
                ["1.png", "dog", "cat", "cat", "extra", "0.7"],
                ["3.png", "a \"horse\"", "", "a \"horse\"", "missing", "NaN"],
                ["1.png", "dog", "cat", "dog", "missing", "0.3"],
            ]
        );
        let right: Vec<bool> = (0..4).map(|image| made.report().is_right(image)).collect();
        assert_eq!(right, [true, false, false, false]);
    }

    #[test]
    fn all_files_are_written_and_the_json_has_curves_and_bins() {
        let folder = tempfile::tempdir().unwrap();
        let made = Made::new(Path::new("data"));
        let files = made.report().write(folder.path()).unwrap();
        let LabelReportFiles { text, json, predictions, probabilities, mistakes } = &files;
        for path in [text, json, predictions, probabilities.as_ref().unwrap(), mistakes] {
            assert!(path.is_file(), "{}", path.display());
        }
        let json: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
        assert_eq!(json["mean_average_precision"].as_f64(), made.metrics.mean_average_precision);
        assert_eq!((json["not_finite"].as_u64(), json["num_samples"].as_u64()), (Some(1), Some(4)));
        let curves = json["precision_recall"].as_array().unwrap();
        assert_eq!(
            (curves.len(), &curves[0]["class"], &curves[1]["class"]),
            (4, &Value::Null, &json!("cat"))
        );
        let bins = json["reliability"]["bins"].as_array().unwrap();
        assert_eq!(bins.iter().map(|bin| bin["count"].as_u64().unwrap()).sum::<u64>(), 9);
        let ends = json["intervals"]["mean_average_precision"].as_array().unwrap();
        assert!(ends[0].as_f64() <= ends[1].as_f64());
    }
}
