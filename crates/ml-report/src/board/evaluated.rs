//! What the best weights say → TensorBoard: the confusion matrix, precision-recall curves, and images
//! bordered right and wrong.

use image::RgbImage;
use ml_data::dataset::Index;
use ml_data::decode::Pixels;

use super::{BoardError, COLUMNS, classes};
use crate::classification::EvaluationReport;
use crate::figures;
use crate::pictures;
use crate::samples::tile;
use crate::tensorboard::{EventWriter, PrCurve};

/// Classes whose curves are written at most: those with the lowest F1.
pub(super) const CURVES: usize = 50;
/// Images of predictions.
const SHOWN: usize = 32;
/// Side of an image of predictions, and its border, in pixels.
const SIDE: u32 = 96;
const BORDER: u32 = 5;
const RIGHT: [u8; 3] = [46, 160, 67];
const WRONG: [u8; 3] = [218, 54, 51];

/// `Confusion_Matrix/<split>`, `PR/<split>/<class>`, `Predictions/<split>`, and the metrics by which
/// the table of runs compares them, `Final/<split>/<metric>`.
///
/// # Errors
/// The events cannot be written.
pub(super) fn write(
    writer: &mut EventWriter,
    report: &EvaluationReport<'_>,
    epoch: u64,
    wall_time: f64,
) -> Result<(), BoardError> {
    let (split, evaluation) = (report.split, report.evaluation);
    let figure = figures::confusion_matrix(&evaluation.confusion, report.classes, &report.title())?;
    let tag = format!("Confusion_Matrix/{split}");
    writer.add_rgb(&tag, &figure.rgb, [figure.width, figure.height], epoch, wall_time)?;
    let metrics = [
        ("accuracy", Some(evaluation.sums.accuracy())),
        ("balanced_accuracy", report.analysis.balanced_accuracy),
        ("macro_f1", Some(report.analysis.report.macro_average.f1)),
        ("loss", Some(evaluation.sums.loss())),
    ];
    for (name, value) in metrics {
        if let Some(value) = value {
            writer.add_scalar(&format!("Final/{split}/{name}"), value, epoch, wall_time)?;
        }
    }
    let probabilities = evaluation.logits.probabilities(evaluation.temperature);
    for class in classes::hardest(&report.analysis.report, CURVES) {
        let rows = probabilities.chunks_exact(report.classes.len());
        let scored = rows.zip(&evaluation.predictions).map(|(row, one)| (row[class], one.target == class));
        if let Some(curve) = PrCurve::of(scored) {
            let tag = format!("PR/{split}/{}", report.classes[class]);
            writer.add_pr_curve(&tag, &curve, epoch, wall_time)?;
        }
    }
    if let Some(sheet) = bordered(report) {
        let tag = format!("Predictions/{split}");
        writer.add_rgb(&tag, &sheet.data, [sheet.width, sheet.height], epoch, wall_time)?;
    }
    Ok(writer.flush()?)
}

/// Images evenly from the whole split, with a green border where the prediction is right and a red one
/// where it is wrong; none if none can be read.
fn bordered(report: &EvaluationReport<'_>) -> Option<Pixels> {
    let predictions = &report.evaluation.predictions;
    sheet(shown(predictions.len()).filter_map(|place| {
        let prediction = &predictions[place];
        framed(report.index, prediction.sample, prediction.best().class == prediction.target)
    }))
}

/// Places of the images that are shown, evenly from all.
pub(super) fn shown(images: usize) -> impl Iterator<Item = usize> {
    (0..images).step_by(images.div_ceil(SHOWN).max(1))
}

/// An image of a split with a green or a red border; none if it cannot be read.
pub(super) fn framed(index: &Index, sample: usize, is_right: bool) -> Option<Pixels> {
    let image = pictures::square(index, sample, SIDE - 2 * BORDER)?;
    let mut tile = RgbImage::from_pixel(SIDE, SIDE, image::Rgb(if is_right { RIGHT } else { WRONG }));
    image::imageops::replace(&mut tile, &image, i64::from(BORDER), i64::from(BORDER));
    Some(Pixels { width: SIDE, height: SIDE, data: tile.into_raw() })
}

/// Framed images on one sheet; none if there are none.
pub(super) fn sheet(framed: impl Iterator<Item = Pixels>) -> Option<Pixels> {
    let tiles: Vec<Pixels> = framed.collect();
    (!tiles.is_empty()).then(|| tile(&tiles, [SIDE, SIDE], COLUMNS))
}
