//! An [`Evaluation`] → `classification_report_<split>.{txt,json}`; with them the confusion matrix,
//! the predictions and lists of images: see [`EvaluationReport::write`].

mod files;

use std::fmt::Write as _;

use serde_json::json;

use super::groups::{self, GroupResult, GroupedBy};
use ml_core::evaluation::{Analysis, Evaluation};
use ml_core::metrics::calibration::{CalibrationMetrics, ReliabilityBin};
use ml_core::metrics::intervals::{BootstrapMetrics, DEFAULT_LEVEL, Estimate, Interval};
use ml_core::metrics::{Average, ClassificationReport};
use ml_data::dataset::Index;
use ml_data::table::{Align, printable, table};

pub use files::ReportFiles;
pub(crate) use files::lines_of;

/// Everything that the files of an evaluation are made from.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationReport<'a> {
    /// `train`, `val`, `test`, or `all` of what is not split; it is in the files' names.
    pub split: &'a str,
    /// Names of the classes, in order.
    pub classes: &'a [String],
    /// The samples that were evaluated.
    pub index: &'a Index,
    /// What came out.
    pub evaluation: &'a Evaluation,
    /// What that means.
    pub analysis: &'a Analysis,
    /// The group of each sample of `index`, empty of one that stands alone; none without groups.
    pub groups: Option<&'a [String]>,
}

impl EvaluationReport<'_> {
    /// The report as text: a head line, the table of classes, averages and the pairs confused most
    /// often. With `worst`, only so many classes are in the table, those with the lowest F1.
    pub fn text(&self, worst: Option<usize>) -> String {
        let metrics = &self.analysis.report;
        let sums = self.evaluation.sums;
        let mut out = format!(
            "{}: {} images, {} classes\naccuracy {:.4}   top-{} accuracy {:.4}   loss {:.4}\n{}\n",
            if self.split == ml_data::dataset::ALL {
                "no splits".to_owned()
            } else {
                format!("{} split", self.split)
            },
            sums.count,
            self.classes.len(),
            sums.accuracy(),
            self.top_k(),
            sums.top5_accuracy(),
            sums.loss(),
            self.figures(),
        );
        let limit = worst.unwrap_or(usize::MAX);
        let shown = rows_to_show(metrics, limit);
        if shown.len() < self.classes.len() {
            let _ =
                writeln!(out, "the {} classes with the lowest F1, of {}:", shown.len(), self.classes.len());
        }
        out.push_str(&class_table(metrics, &shown));
        if metrics.classes.iter().any(|class| class.support == 0 || class.predicted == 0) {
            out.push_str(
                "\nMetrics without a denominator (a class without images, or never predicted) are given as 0; \
                 the macro average counts them.\n",
            );
        }
        let confused = self.evaluation.confusion.most_confused(limit.min(10));
        if !confused.is_empty() {
            out.push_str("\nconfused most often:\n");
            let rows: Vec<[String; 4]> = confused
                .iter()
                .map(|&(truth, guess, count)| {
                    let name = |class: usize| printable(&self.classes[class]);
                    [format!("  {}", name(truth)), "taken for".into(), name(guess), count.to_string()]
                })
                .collect();
            out.push_str(&table(&rows, [Align::Left, Align::Left, Align::Left, Align::Right]));
        }
        if let Some((by, groups)) = self.by_group() {
            out.push_str(&groups::text(by, &groups, limit.min(10)));
        }
        if let Some(accepted) = self.accepted().filter(|accepted| *accepted < 1.0) {
            let unlike = ((1.0 - accepted) * sums.count as f64).round();
            let images = if unlike == 1.0 { "1 image is".to_owned() } else { format!("{unlike} images are") };
            let _ = writeln!(
                out,
                "\n{images} unlike anything seen in training (ood_score above 1 in predictions_{}.csv)",
                self.split
            );
        }
        let not_finite = self.not_finite();
        if not_finite > 0 {
            let images = if not_finite == 1 { "1 image".to_owned() } else { format!("{not_finite} images") };
            let _ = writeln!(
                out,
                "\nthe logits of {images} contain NaN or Inf: there are no probabilities, and what is predicted says \
                 nothing"
            );
        }
        let issues = self.analysis.label_issues.issues.len();
        if issues > 0 {
            let images =
                if issues == 1 { "1 image may be".to_owned() } else { format!("{issues} images may be") };
            let _ = writeln!(out, "\n{images} labelled wrong; see label_issues_{}.csv", self.split);
        }
        out
    }

    /// Lines of single figures; those that are not defined are left out.
    fn figures(&self) -> String {
        let Analysis { intervals, ranking, calibration, .. } = self.analysis;
        let temperature = self.evaluation.temperature;
        let mut out = String::new();
        if let Some(all) = intervals {
            let range = |found: &BootstrapMetrics, of: fn(&BootstrapMetrics) -> Estimate| {
                let Interval { lower, upper } = of(found).interval;
                format!("{lower:.4} to {upper:.4}")
            };
            let _ = writeln!(
                out,
                "95 % intervals: accuracy {}   balanced accuracy {}   macro F1 {}",
                range(all, |all| all.accuracy),
                range(all, |all| all.balanced_accuracy),
                range(all, |all| all.macro_f1),
            );
        }
        let figures = [
            ("balanced accuracy", self.analysis.balanced_accuracy),
            ("kappa", self.analysis.cohen_kappa),
            ("MCC", Some(self.analysis.matthews_correlation)),
            ("ROC-AUC", ranking.macro_roc_auc),
            ("average precision", ranking.macro_average_precision),
            ("calibration error", Some(calibration.ece).filter(|ece| ece.is_finite())),
        ];
        let known = figures.iter().filter_map(|(name, value)| Some(format!("{name} {:.4}", (*value)?)));
        out.push_str(&known.collect::<Vec<_>>().join("   "));
        if temperature != 1.0 {
            let _ = write!(out, " (temperature {temperature:.3})");
        }
        out.push('\n');
        out
    }

    /// The report as one JSON object; fractions in `0..=1`, the matrix's rows by true class.
    pub fn json(&self) -> serde_json::Value {
        let Analysis { report: metrics, ranking, risk_coverage, .. } = self.analysis;
        let sums = self.evaluation.sums;
        let classes: Vec<_> = metrics
            .classes
            .iter()
            .zip(ranking.roc_auc.iter().zip(&ranking.average_precision))
            .map(|(class, (roc_auc, average_precision))| {
                json!({
                    "class": class.class, "precision": class.precision, "recall": class.recall,
                    "f1_score": class.f1, "support": class.support, "predicted": class.predicted,
                    "roc_auc": roc_auc, "average_precision": average_precision,
                })
            })
            .collect();
        let intervals = self.analysis.intervals.map(|all| {
            let pair = |of: Estimate| [of.interval.lower, of.interval.upper];
            json!({
                "level": DEFAULT_LEVEL,
                "accuracy": pair(all.accuracy),
                "balanced_accuracy": pair(all.balanced_accuracy),
                "macro_f1": pair(all.macro_f1),
            })
        });
        let points: Vec<_> =
            risk_coverage.points.iter().map(|p| json!([p.threshold, p.coverage, p.risk])).collect();
        let average =
            |of: Average| json!({"precision": of.precision, "recall": of.recall, "f1_score": of.f1});
        let rows: Vec<&[u64]> = self.evaluation.confusion.rows().collect();
        let grouped = self.by_group();
        let grouped_by = |wanted: GroupedBy| {
            let (_, groups) = grouped.as_ref().filter(|(by, _)| *by == wanted)?;
            Some(groups.iter().map(GroupResult::json).collect::<Vec<_>>())
        };
        json!({
            "split": self.split,
            "root": self.root(),
            "num_samples": sums.count,
            "not_finite": self.not_finite(),
            "accuracy": sums.accuracy(),
            "top_k": self.top_k(),
            "top_k_accuracy": sums.top5_accuracy(),
            "loss": sums.loss(),
            "balanced_accuracy": self.analysis.balanced_accuracy,
            "cohen_kappa": self.analysis.cohen_kappa,
            "matthews_correlation": self.analysis.matthews_correlation,
            "macro_roc_auc": ranking.macro_roc_auc,
            "macro_average_precision": ranking.macro_average_precision,
            "intervals": intervals,
            "calibration": {
                "temperature": self.evaluation.temperature,
                "uncalibrated": calibration_json(&self.analysis.uncalibrated),
                "calibrated": calibration_json(&self.analysis.calibration),
            },
            "out_of_distribution": self.accepted().map(|accepted| json!({"accepted": accepted})),
            "risk_coverage": {"aurc": risk_coverage.aurc, "points": points},
            "label_issues": {
                "count": self.analysis.label_issues.issues.len(),
                "examined": self.evaluation.predictions.len() as u64 - self.analysis.label_issues.left_out,
            },
            "groups": grouped_by(GroupedBy::Group),
            "folders": grouped_by(GroupedBy::Folder),
            "macro_average": average(metrics.macro_average),
            "weighted_average": average(metrics.weighted_average),
            "classes": classes,
            "confusion_matrix": rows,
        })
    }

    /// How well each group is told, worst first, or without groups each folder; none if there are
    /// neither.
    fn by_group(&self) -> Option<(GroupedBy, Vec<GroupResult>)> {
        let folders;
        let (by, groups) = match self.groups {
            Some(groups) => (GroupedBy::Group, groups),
            None => {
                folders = groups::folders(self.index, self.classes)?;
                (GroupedBy::Folder, &folders[..])
            }
        };
        let results = self.evaluation.predictions.iter().filter_map(|prediction| {
            let group = groups.get(prediction.sample).filter(|group| !group.is_empty())?;
            Some((group.as_str(), prediction.best().class == prediction.target))
        });
        Some((by, groups::by_group(results)))
    }

    /// Images without probabilities, as their logits are NaN or Inf.
    fn not_finite(&self) -> usize {
        self.analysis.confidences().iter().filter(|of| of.probability.is_nan()).count()
    }

    /// Of these images, the fraction that is like those of training; none where that is not known.
    fn accepted(&self) -> Option<f64> {
        let scores = self.evaluation.ood_scores.as_ref().filter(|scores| !scores.is_empty())?;
        let within = scores.iter().filter(|score| **score <= 1.0).count();
        Some(within as f64 / scores.len() as f64)
    }

    /// Where the images lie; paths of predictions are relative to it.
    fn root(&self) -> String {
        let root = &self.index.root;
        std::path::absolute(root).unwrap_or_else(|_| root.clone()).to_string_lossy().into_owned()
    }

    /// A line above the confusion matrix.
    pub fn title(&self) -> String {
        let sums = self.evaluation.sums;
        format!(
            "Confusion matrix, {} split: {} of {} right ({:.2} %)",
            self.split,
            sums.correct,
            sums.count,
            100.0 * sums.accuracy()
        )
    }

    fn top_k(&self) -> usize {
        self.classes.len().min(ml_core::metrics::TOP_K as usize)
    }
}

fn calibration_json(of: &CalibrationMetrics) -> serde_json::Value {
    let bin = |bin: &ReliabilityBin| {
        json!({
            "lower": bin.lower, "upper": bin.upper, "count": bin.count,
            "confidence": bin.confidence, "accuracy": bin.accuracy,
        })
    };
    let bins: Vec<_> = of.reliability.bins.iter().map(bin).collect();
    json!({"ece": of.ece, "mce": of.mce, "brier": of.brier, "nll": of.nll, "bins": bins})
}

/// All classes in order, or the `limit` with the lowest F1, worst first.
fn rows_to_show(metrics: &ClassificationReport, limit: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..metrics.classes.len()).collect();
    if rows.len() > limit {
        // Classes without samples say nothing about the network: they come last.
        let key = |&row: &usize| (metrics.classes[row].support == 0, metrics.classes[row].f1);
        rows.sort_by(|a, b| key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal));
        rows.truncate(limit);
    }
    rows
}

fn class_table(metrics: &ClassificationReport, shown: &[usize]) -> String {
    let line = |name: &str, precision: f64, recall: f64, f1: f64, support: u64| {
        let figure = |value: f64| format!("{value:.4}");
        [printable(name), figure(precision), figure(recall), figure(f1), support.to_string()]
    };
    let mut rows = vec![["class", "precision", "recall", "F1", "support"].map(str::to_owned)];
    for &row in shown {
        let class = &metrics.classes[row];
        rows.push(line(&class.class, class.precision, class.recall, class.f1, class.support));
    }
    rows.push(Default::default());
    for (name, of) in
        [("macro average", metrics.macro_average), ("weighted average", metrics.weighted_average)]
    {
        rows.push(line(name, of.precision, of.recall, of.f1, metrics.support));
    }
    table(&rows, [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right])
}
