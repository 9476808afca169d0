//! Results of an evaluation, as plain data.

use super::value::{Estimate, Part};
use crate::groups::GroupedBy;

/// A metric of a whole split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricKind {
    /// Share of images predicted right.
    Accuracy,
    /// Share of images whose class is among the `k` most probable.
    TopK(u32),
    /// Mean recall over classes.
    BalancedAccuracy,
    /// Mean F1 over classes.
    MacroF1,
    /// Mean F1 over classes, weighted by support.
    WeightedF1,
    /// Cohen's kappa.
    Kappa,
    /// Matthews' correlation coefficient.
    Mcc,
    /// Mean one-against-rest area under the ROC curve.
    MacroRocAuc,
    /// Mean average precision over classes.
    MacroAp,
    /// Mean precision over classes.
    MacroPrecision,
    /// Mean recall over classes; those without images count as 0.
    MacroRecall,
    /// Mean precision over classes, weighted by their images.
    WeightedPrecision,
    /// Mean recall over classes, weighted by their images.
    WeightedRecall,
    /// Mean over the classes of average precision, with several labels an image.
    MeanAp,
    /// Average precision of all pairs of image and class.
    MicroAp,
    /// F1 of all pairs of image and class.
    MicroF1,
    /// Mean over the images of F1.
    SampleF1,
    /// Precision of all pairs of image and class.
    MicroPrecision,
    /// Recall of all pairs of image and class.
    MicroRecall,
    /// Share of the pairs of image and class that is wrong.
    HammingLoss,
    /// Share of images whose labels are all right.
    SubsetAccuracy,
    /// Mean loss.
    Loss,
}

/// A metric and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Which one.
    pub kind: MetricKind,
    /// Accuracies are fractions in 0 to 1.
    pub estimate: Estimate,
}

/// Metrics of a split.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SplitMetrics {
    /// Name of the split, `test`.
    pub split: String,
    /// Number of images.
    pub images: u64,
    /// In the order of the table.
    pub metrics: Vec<Metric>,
    /// Images whose logits are NaN or Inf, so that they have no probabilities.
    pub not_finite: u64,
}

impl SplitMetrics {
    /// The estimate of a metric.
    pub fn get(&self, kind: MetricKind) -> Option<Estimate> {
        self.metrics.iter().find(|metric| metric.kind == kind).map(|metric| metric.estimate)
    }
}

/// Metrics of a class against the rest; NaN where one is not defined.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassRow {
    /// Its name.
    pub class: String,
    /// A fraction in 0 to 1.
    pub precision: f64,
    /// A fraction in 0 to 1.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Average precision.
    pub ap: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// From which probability on the class is predicted, with several labels an image.
    pub threshold: Option<f64>,
    /// Images of the class in the split.
    pub support: u64,
    /// Images of the class in the training split.
    pub train_images: Option<u64>,
}

/// Metrics of each class.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClassTable {
    /// Name of the split.
    pub split: String,
    /// In any order.
    pub rows: Vec<ClassRow>,
    /// Classes with fewer training images than this are listed; 0 lists none.
    pub few_images: u64,
}

/// Counts of true and predicted classes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Confusion {
    /// Name of the split.
    pub split: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// `[classes, classes]`, row-major: a row for each true class.
    pub counts: Vec<u64>,
}

impl Confusion {
    /// Images of class `row` predicted as class `column`; 0 outside the matrix.
    pub fn count(&self, row: usize, column: usize) -> u64 {
        let classes = self.classes.len();
        if row >= classes || column >= classes {
            return 0;
        }
        self.counts.get(row * classes + column).copied().unwrap_or(0)
    }

    /// Images of each true class.
    pub fn support(&self) -> Vec<u64> {
        let classes = self.classes.len();
        (0..classes).map(|row| (0..classes).map(|column| self.count(row, column)).sum()).collect()
    }
}

/// A small JPEG image.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Thumbnail {
    /// The JPEG file's bytes; empty if the image could not be read. Files of more than
    /// [`MAX_THUMBNAIL_BYTES`](super::MAX_THUMBNAIL_BYTES) are not embedded.
    pub jpeg: Vec<u8>,
    /// What a screen reader says for it.
    pub alt: String,
    /// Shown below it, as a rule the image's path.
    pub caption: String,
}

/// A pair of classes, and images of one that were predicted as the other.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConfusedPair {
    /// The class of the images.
    pub true_class: String,
    /// The class that was predicted.
    pub predicted: String,
    /// Images of `true_class` predicted as `predicted`.
    pub count: u64,
    /// Images of `true_class`.
    pub support: u64,
    /// Some of the images.
    pub examples: Vec<Thumbnail>,
}

/// An image and its prediction.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Example {
    /// The image.
    pub image: Thumbnail,
    /// Its class.
    pub label: String,
    /// The most probable class.
    pub prediction: String,
    /// The probability of `prediction`, a fraction in 0 to 1.
    pub probability: f64,
}

/// Images worth looking at.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Mistakes {
    /// Name of the split.
    pub split: String,
    /// Wrong predictions, most probable first.
    pub worst: Vec<Example>,
    /// Images whose two most probable classes are closest.
    pub uncertain: Vec<Example>,
    /// For each class, images that the network is surest of.
    pub exemplars: Vec<(String, Vec<Thumbnail>)>,
}

/// An image whose label is probably wrong.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LabelIssue {
    /// The image.
    pub image: Thumbnail,
    /// Its label.
    pub given: String,
    /// The label that the network suggests.
    pub suggested: String,
    /// Out-of-sample probability of the given label, a fraction in 0 to 1.
    pub self_confidence: f64,
}

/// Images whose labels are probably wrong.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LabelIssues {
    /// Lowest self-confidence first.
    pub issues: Vec<LabelIssue>,
    /// How many there are, listed here or not.
    pub total: u64,
    /// Images that were examined.
    pub examined: u64,
    /// What a command does, and the command.
    pub commands: Vec<(String, String)>,
}

/// A bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// Mean probability of the predicted class, a fraction in 0 to 1.
    pub confidence: f64,
    /// A fraction in 0 to 1.
    pub accuracy: f64,
    /// Images in the bin.
    pub count: u64,
}

/// Reliability of a set of probabilities.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Reliability {
    /// In order of confidence; bins without images are skipped.
    pub bins: Vec<ReliabilityBin>,
    /// Expected calibration error, a fraction in 0 to 1.
    pub ece: f64,
}

/// How well probabilities match accuracies.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Calibration {
    /// Name of the split.
    pub split: String,
    /// Of the network's own probabilities.
    pub before: Reliability,
    /// After temperature scaling.
    pub after: Option<Reliability>,
    /// What the logits are divided by.
    pub temperature: Option<f64>,
    /// What the reader should know of it, such as why there is no temperature; a sentence or empty.
    pub note: String,
}

/// What a threshold does to the images of a split.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Answered {
    /// Name of the split.
    pub split: String,
    /// Share of images that are predicted.
    pub coverage: f64,
    /// Share of these that are wrong.
    pub risk: f64,
    /// Upper bound of the risk at the threshold's `level`.
    pub bound: f64,
}

/// The threshold below which the program abstains.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Threshold {
    /// Of the probability of the predicted class, a fraction in 0 to 1.
    pub confidence: f64,
    /// The share of wrong predictions that it was chosen for.
    pub max_error: f64,
    /// On the images that it was chosen by.
    pub chosen: Answered,
    /// On those of the split that the curve is of, where these are others.
    pub measured: Option<Answered>,
    /// Confidence level of the bounds, 0.95.
    pub level: f64,
}

/// The risk-coverage curve.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Selective {
    /// Name of the split.
    pub split: String,
    /// Coverage and risk, in order of coverage.
    pub points: Vec<(f64, f64)>,
    /// The chosen threshold.
    pub threshold: Part<Threshold>,
    /// Area under the curve.
    pub aurc: Option<f64>,
}

/// Accuracy by group or folder.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Groups {
    /// Name of the split.
    pub split: String,
    /// What the rows are.
    pub by: GroupedBy,
    /// The lowest accuracy first: name, images, accuracy.
    pub rows: Vec<(String, u64, Estimate)>,
}

/// How many images are unlike those of the training split.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OutOfDistribution {
    /// Name of the split that was looked at.
    pub split: String,
    /// Share of its images whose score is at most 1.
    pub accepted: f64,
    /// Those that score highest above 1.
    pub examples: Vec<Example>,
}

/// What an evaluation says of the images of a split.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Findings {
    /// Metrics of each class.
    pub classes: Part<ClassTable>,
    /// Where the data set has groups.
    pub groups: Part<Groups>,
    /// Counts of true and predicted classes.
    pub confusion: Part<Confusion>,
    /// The most confused pairs with images, most images first.
    pub confused_pairs: Part<Vec<ConfusedPair>>,
    /// Mistakes, uncertain images and images of each class.
    pub mistakes: Part<Mistakes>,
    /// Images whose label is probably wrong.
    pub label_issues: Part<LabelIssues>,
    /// How well probabilities match accuracies.
    pub calibration: Part<Calibration>,
    /// The risk-coverage curve.
    pub selective: Part<Selective>,
    /// The threshold for images unlike those of the training split.
    pub out_of_distribution: Part<OutOfDistribution>,
}

/// A precision-recall curve.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PrecisionRecall {
    /// Of which class; none of all pairs of image and class.
    pub class: Option<String>,
    /// Average precision.
    pub ap: Option<f64>,
    /// Recall and precision, in order of recall.
    pub points: Vec<(f64, f64)>,
}

/// Precision-recall curves.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PrecisionRecallCurves {
    /// Name of the split.
    pub split: String,
    /// Number of classes of the model.
    pub classes: u64,
    /// That of all pairs of image and class first.
    pub curves: Vec<PrecisionRecall>,
}

/// An image with several labels, and a class that is predicted wrong.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LabelExample {
    /// The image.
    pub image: Thumbnail,
    /// Its labels, joined; empty without any.
    pub labels: String,
    /// The predicted classes, joined; empty without any.
    pub predicted: String,
    /// The class that is wrong.
    pub class: String,
    /// Its probability, a fraction in 0 to 1.
    pub probability: f64,
}

/// Images with several labels worth looking at.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LabelMistakes {
    /// Name of the split.
    pub split: String,
    /// Classes that are predicted and no labels, most probable first.
    pub extra: Vec<LabelExample>,
    /// Labels that are not predicted, least probable first.
    pub missing: Vec<LabelExample>,
}

/// How well the probabilities of labels match how often these are there.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LabelCalibration {
    /// Name of the split.
    pub split: String,
    /// Of all pairs of image and class; `accuracy` is the share that has the label.
    pub reliability: Reliability,
}

/// What an evaluation says of images with several labels, besides the metrics of classes.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LabelFindings {
    /// Precision-recall curves.
    pub curves: Part<PrecisionRecallCurves>,
    /// Images whose labels are predicted wrong.
    pub mistakes: Part<LabelMistakes>,
    /// How well probabilities match.
    pub calibration: Part<LabelCalibration>,
}

/// An image and what of it the prediction rests on.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Explanation {
    /// The image and its prediction.
    pub example: Example,
    /// The image under its Grad-CAM heat map.
    pub overlay: Thumbnail,
}

/// Grad-CAM overlays.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Attention {
    /// Layer whose activations are shown, `layer4`.
    pub layer: String,
    /// Images predicted right.
    pub right: Vec<Explanation>,
    /// Images predicted wrong.
    pub wrong: Vec<Explanation>,
}
