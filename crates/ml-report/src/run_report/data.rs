//! `classification_report_<split>.json` and the tables beside it, as they are read back.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::groups::GroupResult;
use crate::html::{Estimate, Interval, Metric, MetricKind, SplitMetrics};

/// What [`EvaluationReport::json`](crate::classification::EvaluationReport::json) writes. Of what an
/// earlier version did not write there is nothing.
#[derive(Debug, Deserialize)]
pub struct Evaluation {
    pub split: String,
    /// The folder that the paths of predictions are relative to.
    #[serde(default)]
    pub root: PathBuf,
    pub num_samples: u64,
    /// Images without probabilities: their logits are NaN or Inf.
    #[serde(default)]
    pub not_finite: u64,
    pub accuracy: f64,
    pub top_k: u32,
    pub top_k_accuracy: f64,
    pub loss: Option<f64>,
    pub macro_average: Averages,
    pub weighted_average: Averages,
    pub classes: Vec<ClassFigures>,
    pub confusion_matrix: Vec<Vec<u64>>,
    #[serde(default)]
    pub balanced_accuracy: Option<f64>,
    #[serde(default)]
    pub cohen_kappa: Option<f64>,
    #[serde(default)]
    pub matthews_correlation: Option<f64>,
    #[serde(default)]
    pub macro_roc_auc: Option<f64>,
    #[serde(default)]
    pub macro_average_precision: Option<f64>,
    #[serde(default)]
    pub intervals: Option<Intervals>,
    #[serde(default)]
    pub calibration: Option<Calibration>,
    #[serde(default)]
    pub risk_coverage: Option<RiskCoverage>,
    #[serde(default)]
    pub label_issues: Option<LabelIssues>,
    #[serde(default)]
    pub groups: Option<Vec<GroupResult>>,
    #[serde(default)]
    pub folders: Option<Vec<GroupResult>>,
    #[serde(default)]
    pub out_of_distribution: Option<OutOfDistribution>,
}

#[derive(Debug, Deserialize)]
pub struct Averages {
    #[serde(default)]
    pub precision: Option<f64>,
    #[serde(default)]
    pub recall: Option<f64>,
    pub f1_score: f64,
}

#[derive(Debug, Deserialize)]
pub struct ClassFigures {
    pub class: String,
    pub precision: f64,
    pub recall: f64,
    pub f1_score: f64,
    pub support: u64,
    #[serde(default)]
    pub roc_auc: Option<f64>,
    #[serde(default)]
    pub average_precision: Option<f64>,
}

/// 95 %, lower and upper.
#[derive(Debug, Deserialize)]
pub struct Intervals {
    pub accuracy: [f64; 2],
    pub balanced_accuracy: [f64; 2],
    pub macro_f1: [f64; 2],
}

#[derive(Debug, Deserialize)]
pub struct Calibration {
    pub temperature: f64,
    pub uncalibrated: Reliability,
    pub calibrated: Reliability,
}

#[derive(Debug, Deserialize)]
pub struct Reliability {
    pub ece: Option<f64>,
    pub bins: Vec<Bin>,
}

#[derive(Debug, Deserialize)]
pub struct Bin {
    pub count: u64,
    pub confidence: Option<f64>,
    pub accuracy: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub struct RiskCoverage {
    pub aurc: Option<f64>,
    pub points: Vec<(Option<f64>, f64, f64)>,
}

/// Of the images, the fraction whose score is at most 1.
#[derive(Debug, Deserialize)]
pub struct OutOfDistribution {
    pub accepted: f64,
}

#[derive(Debug, Deserialize)]
pub struct LabelIssues {
    pub count: u64,
    pub examined: u64,
}

impl Evaluation {
    /// # Errors
    /// It is not there, or is not what was written; says so in a sentence.
    pub fn read(path: &Path) -> Result<Evaluation, String> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}.", path.display()))?;
        let read: Evaluation = serde_json::from_slice(&text)
            .map_err(|error| format!("{} cannot be read: {error}.", path.display()))?;
        let classes = read.classes.len();
        let is_square = read.confusion_matrix.len() == classes
            && read.confusion_matrix.iter().all(|row| row.len() == classes);
        if is_square { Ok(read) } else { Err(format!("{} contradicts itself.", path.display())) }
    }

    /// All single figures.
    pub fn metrics(&self) -> SplitMetrics {
        let interval = |of: fn(&Intervals) -> [f64; 2]| {
            self.intervals.as_ref().map(of).map(|[low, high]| Interval { low, high })
        };
        let known = [
            (MetricKind::Accuracy, Some(self.accuracy), interval(|all| all.accuracy)),
            (MetricKind::TopK(self.top_k), Some(self.top_k_accuracy), None),
            (MetricKind::BalancedAccuracy, self.balanced_accuracy, interval(|all| all.balanced_accuracy)),
            (MetricKind::MacroPrecision, self.macro_average.precision, None),
            (MetricKind::MacroRecall, self.macro_average.recall, None),
            (MetricKind::MacroF1, Some(self.macro_average.f1_score), interval(|all| all.macro_f1)),
            (MetricKind::WeightedPrecision, self.weighted_average.precision, None),
            (MetricKind::WeightedRecall, self.weighted_average.recall, None),
            (MetricKind::WeightedF1, Some(self.weighted_average.f1_score), None),
            (MetricKind::Kappa, self.cohen_kappa, None),
            (MetricKind::Mcc, self.matthews_correlation, None),
            (MetricKind::MacroRocAuc, self.macro_roc_auc, None),
            (MetricKind::MacroAp, self.macro_average_precision, None),
            (MetricKind::Loss, self.loss, None),
        ];
        let metrics = known.into_iter().filter_map(|(kind, value, interval)| {
            Some(Metric { kind, estimate: Estimate { value: value?, interval } })
        });
        SplitMetrics {
            split: self.shown_split(),
            images: self.num_samples,
            metrics: metrics.collect(),
            not_finite: self.not_finite,
        }
    }

    /// The name of the split as a page shows it.
    pub fn shown_split(&self) -> String {
        self.split.replace('_', "-")
    }
}

/// A row of `predictions_<split>.csv`.
#[derive(Clone, Debug, Deserialize)]
pub struct PredictionRow {
    pub path: String,
    pub label: String,
    pub prediction: String,
    pub probability: f64,
    pub correct: bool,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(default)]
    pub ood_score: Option<f64>,
    #[serde(default)]
    pub group: String,
}

impl PredictionRow {
    /// What images are sorted by: the probability of the prediction, and 0 where that is NaN.
    pub fn certainty(&self) -> f64 {
        if self.probability.is_nan() { 0.0 } else { self.probability }
    }
}

/// A row of `label_issues_<split>.csv`.
#[derive(Clone, Debug, Deserialize)]
pub struct LabelIssue {
    pub path: String,
    pub label: String,
    pub suggested: String,
    pub self_confidence: f64,
}

/// The rows of a table.
///
/// # Errors
/// It is not there, or is not what was written; says so in a sentence.
pub fn rows<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}.", path.display()))?;
    let rows =
        csv::Reader::from_reader(std::io::BufReader::new(file)).into_deserialize().collect::<Result<_, _>>();
    rows.map_err(|error| format!("{} cannot be read: {error}.", path.display()))
}
