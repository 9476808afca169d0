//! Images with several labels → TensorBoard: the metrics of epochs, and what the best weights say.

use ml_core::trainer::{EpochMetrics, LabelFigures};

use super::BoardError;
use super::evaluated::{CURVES, framed, sheet, shown};
use crate::label_report::LabelReport;
use crate::tensorboard::{EventWriter, PrCurve};

/// Of training images, by epoch and by step.
pub(super) const SUBSET_ACCURACY: &str = "Subset_Accuracy/train";

/// The metrics of an epoch besides the losses.
pub(super) fn scalars(m: &EpochMetrics, found: &LabelFigures) -> Vec<(&'static str, f64)> {
    let averaged = m.ema.and_then(|ema| ema.val_map).map(|map| ("mAP/val_ema", map));
    let figures = [
        ("mAP/val", found.map),
        ("F1/val_micro", found.micro_f1),
        ("F1/val_macro", found.macro_f1),
        ("F1/val_sample", found.sample_f1),
        ("Hamming_Loss/val", found.hamming_loss),
        (SUBSET_ACCURACY, m.train_accuracy),
        ("Subset_Accuracy/val", found.subset_accuracy),
    ];
    figures.into_iter().chain(averaged).collect()
}

/// `PR_All/<split>` of all pairs of image and class, `PR/<split>/<class>`, `Predictions/<split>` with
/// the labels as text beside it, and `Final/<split>/<metric>`.
///
/// # Errors
/// The events cannot be written.
pub(super) fn write(
    writer: &mut EventWriter,
    report: &LabelReport<'_>,
    epoch: u64,
    wall_time: f64,
) -> Result<(), BoardError> {
    let (split, metrics) = (report.split, report.metrics);
    let figures = [
        ("map", metrics.mean_average_precision),
        ("micro_f1", Some(metrics.micro_average.f1)),
        ("macro_f1", Some(metrics.macro_average.f1)),
        ("sample_f1", Some(metrics.sample_average.f1)),
        ("hamming_loss", Some(metrics.hamming_loss)),
        ("subset_accuracy", Some(metrics.subset_accuracy)),
        ("loss", Some(report.evaluation.sums.loss()).filter(|loss| loss.is_finite())),
    ];
    for (name, value) in figures {
        if let Some(value) = value {
            writer.add_scalar(&format!("Final/{split}/{name}"), value, epoch, wall_time)?;
        }
    }
    let labels = &report.evaluation.labels;
    let rows = || report.evaluation.scores().rows().enumerate();
    let pairs = rows().flat_map(|(image, row)| {
        row.iter().enumerate().map(move |(class, score)| (*score, labels.contains(image, class)))
    });
    if let Some(curve) = PrCurve::of(pairs) {
        writer.add_pr_curve(&format!("PR_All/{split}"), &curve, epoch, wall_time)?;
    }
    for class in hardest(report) {
        let scored = rows().map(|(image, row)| (row[class], labels.contains(image, class)));
        if let Some(curve) = PrCurve::of(scored) {
            let tag = format!("PR/{split}/{}", report.classes[class]);
            writer.add_pr_curve(&tag, &curve, epoch, wall_time)?;
        }
    }
    add_predictions(writer, report, epoch, wall_time)?;
    Ok(writer.flush()?)
}

/// The classes with the lowest F1 among those that images have, in their order.
fn hardest(report: &LabelReport<'_>) -> Vec<usize> {
    let classes = &report.metrics.classes;
    let mut places: Vec<usize> = (0..classes.len()).filter(|&class| classes[class].support > 0).collect();
    places.sort_by(|&a, &b| classes[a].f1.total_cmp(&classes[b].f1));
    places.truncate(CURVES);
    places.sort_unstable();
    places
}

/// Images with a green border where all labels are right, and the labels of each as a table.
fn add_predictions(
    writer: &mut EventWriter,
    report: &LabelReport<'_>,
    epoch: u64,
    wall_time: f64,
) -> Result<(), BoardError> {
    let samples = &report.evaluation.samples;
    let mut table = "| image | labels | predicted | |\n|---|---|---|---|\n".to_owned();
    let framed = shown(samples.len()).filter_map(|image| {
        let is_right = report.is_right(image);
        let framed = framed(report.index, samples[image], is_right)?;
        // The rows are those of the sheet, in its order.
        let cells = [report.path(image), report.labels(image), report.predicted(image)];
        let cells = cells.map(|text| text.replace('|', ", ").replace('\n', " "));
        let verdict = if is_right { "right" } else { "wrong" };
        table.push_str(&format!("| {} | {verdict} |\n", cells.join(" | ")));
        Some(framed)
    });
    let Some(sheet) = sheet(framed) else { return Ok(()) };
    let tag = format!("Predictions/{}", report.split);
    writer.add_rgb(&tag, &sheet.data, [sheet.width, sheet.height], epoch, wall_time)?;
    writer.add_text(&format!("Predicted_Labels/{}", report.split), &table, epoch, wall_time)?;
    Ok(())
}
