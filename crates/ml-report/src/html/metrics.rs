//! Metrics of whole splits, with intervals and explanations.

use maud::{Markup, html};

use super::format::{self, NONE, name};
use super::page::scroll;
use super::results::{MetricKind, SplitMetrics};

/// Splits that are shown.
const SPLITS: usize = 8;

/// The name of a metric.
pub(crate) fn title(kind: MetricKind) -> String {
    match kind {
        MetricKind::Accuracy => "Accuracy".into(),
        MetricKind::TopK(k) => format!("Top-{k} accuracy"),
        MetricKind::BalancedAccuracy => "Balanced accuracy".into(),
        MetricKind::MacroF1 => "Macro F1".into(),
        MetricKind::WeightedF1 => "Weighted F1".into(),
        MetricKind::Kappa => "Cohen’s kappa".into(),
        MetricKind::Mcc => "Matthews correlation".into(),
        MetricKind::MacroRocAuc => "Macro ROC-AUC".into(),
        MetricKind::MacroAp => "Macro average precision".into(),
        MetricKind::MacroPrecision => "Macro precision".into(),
        MetricKind::MacroRecall => "Macro recall".into(),
        MetricKind::WeightedPrecision => "Weighted precision".into(),
        MetricKind::WeightedRecall => "Weighted recall".into(),
        MetricKind::MeanAp => "mAP".into(),
        MetricKind::MicroAp => "Micro average precision".into(),
        MetricKind::MicroF1 => "Micro F1".into(),
        MetricKind::SampleF1 => "Sample F1".into(),
        MetricKind::MicroPrecision => "Micro precision".into(),
        MetricKind::MicroRecall => "Micro recall".into(),
        MetricKind::HammingLoss => "Hamming loss".into(),
        MetricKind::SubsetAccuracy => "Subset accuracy".into(),
        MetricKind::Loss => "Loss".into(),
    }
}

/// What a metric says, in a line.
fn explanation(kind: MetricKind) -> String {
    let text = match kind {
        MetricKind::Accuracy => "Share of images whose predicted class is right.",
        MetricKind::TopK(k) => return format!("Share of images whose class is among the {k} most probable."),
        MetricKind::BalancedAccuracy => {
            "Mean recall of the classes: each class counts the same, however many images it has."
        }
        MetricKind::MacroF1 => "Mean F1 of the classes. F1 is the harmonic mean of precision and recall.",
        MetricKind::WeightedF1 => "Mean F1 of the classes, weighted by their number of images.",
        MetricKind::Kappa => "Agreement with the labels beyond chance: 0 is chance, 1 is perfect.",
        MetricKind::Mcc => {
            "Correlation of predictions and labels: 0 is chance, 1 is perfect, also with unequal classes."
        }
        MetricKind::MacroRocAuc => {
            "Probability that an image of a class scores higher for it than one of another class; mean of the classes."
        }
        MetricKind::MacroAp => "Area under the precision-recall curve; mean of the classes.",
        MetricKind::MacroPrecision => {
            "Mean precision of the classes: of the images predicted as a class, the share that is of it."
        }
        MetricKind::MacroRecall => {
            "Mean recall of the classes: of the images of a class, the share predicted as it; 0 for a class without images."
        }
        MetricKind::WeightedPrecision => "Mean precision of the classes, weighted by their number of images.",
        MetricKind::WeightedRecall => {
            "Mean recall of the classes, weighted by their number of images: the same as the accuracy."
        }
        MetricKind::MeanAp => {
            "Mean average precision: the mean over the classes of the area under the precision-recall curve. It needs no \
             threshold."
        }
        MetricKind::MicroAp => "Average precision of all pairs of image and class as one ranking.",
        MetricKind::MicroF1 => "F1 of all pairs of image and class: frequent classes count most.",
        MetricKind::SampleF1 => "Mean over the images of the F1 of their labels.",
        MetricKind::MicroPrecision => "Of all labels that are predicted, the share that is right.",
        MetricKind::MicroRecall => "Of all labels, the share that is predicted.",
        MetricKind::HammingLoss => "Share of the pairs of image and class that is wrong. Lower is better.",
        MetricKind::SubsetAccuracy => "Share of images whose labels are all predicted, and nothing else.",
        MetricKind::Loss => "Mean loss per image. Lower is better.",
    };
    text.to_owned()
}

/// All metrics of some splits, in the order in which they first appear.
pub(crate) fn kinds<'a>(splits: impl IntoIterator<Item = &'a SplitMetrics>) -> Vec<MetricKind> {
    let mut kinds = Vec::new();
    for metric in splits.into_iter().flat_map(|split| &split.metrics) {
        if !kinds.contains(&metric.kind) {
            kinds.push(metric.kind);
        }
    }
    kinds
}

/// A row for each metric, a column for each split.
pub(super) fn metrics(splits: &[SplitMetrics]) -> Markup {
    let splits = &splits[..splits.len().min(SPLITS)];
    let has_interval =
        splits.iter().flat_map(|split| &split.metrics).any(|metric| metric.estimate.interval.is_some());
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "Metric" }
                    @for split in splits {
                        th scope="col" { (name(&split.split)) br; small { (format::counted(split.images, "image")) } }
                    }
                    th.text scope="col" { "What it says" }
                }
            }
            tbody {
                @for kind in kinds(splits) {
                    tr {
                        th scope="row" { (title(kind)) }
                        @for split in splits { td { (cell(split, kind)) } }
                        td.text.explanation { (explanation(kind)) }
                    }
                }
            }
        }
    };
    html! {
        (scroll("Metrics", &table))
        @for split in splits.iter().filter(|split| split.not_finite > 0) {
            p.note {
                "The logits of " (format::counted(split.not_finite, "image")) " of the " (name(&split.split))
                " split contain NaN or Inf. Such images have no probabilities, and what is predicted of them says nothing."
            }
        }
        @if has_interval { p.note { "Below a value: its 95" (format::SPACE) "% interval." } }
    }
}

/// A value with its interval, or a dash.
pub(super) fn cell(split: &SplitMetrics, kind: MetricKind) -> Markup {
    match split.get(kind) {
        Some(estimate) => format::estimate(kind, estimate),
        None => html! { (NONE) },
    }
}
