//! What the best weights say → TensorBoard: the confusion matrix, precision-recall curves, and images
//! bordered right and wrong.

use image::RgbImage;
use ml_data::decode::Pixels;

use super::{BoardError, COLUMNS};
use crate::classification::EvaluationReport;
use crate::figures;
use crate::pictures;
use crate::samples::tile;
use crate::tensorboard::{EventWriter, PrCurve, SessionStatus};

/// Classes whose curves are written at most.
const CURVES: usize = 50;
/// Images of predictions.
const SHOWN: usize = 32;
/// Side of an image of predictions, and its border, in pixels.
const SIDE: u32 = 96;
const BORDER: u32 = 5;
const RIGHT: [u8; 3] = [46, 160, 67];
const WRONG: [u8; 3] = [218, 54, 51];

/// `Confusion_Matrix/<split>`, `PR/<split>/<class>`, `Predictions/<split>`, and the split's accuracy.
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
    if split == "test" {
        writer.add_scalar("Test/Accuracy", evaluation.sums.accuracy(), epoch, wall_time)?;
    }
    if report.classes.len() <= CURVES {
        let probabilities = evaluation.logits.probabilities(evaluation.temperature);
        for (class, name) in report.classes.iter().enumerate() {
            let rows = probabilities.chunks_exact(report.classes.len());
            let scored =
                rows.zip(&evaluation.predictions).map(|(row, one)| (row[class], one.target == class));
            if let Some(curve) = PrCurve::of(scored) {
                writer.add_pr_curve(&format!("PR/{split}/{name}"), &curve, epoch, wall_time)?;
            }
        }
    }
    if let Some(sheet) = bordered(report) {
        let tag = format!("Predictions/{split}");
        writer.add_rgb(&tag, &sheet.data, [sheet.width, sheet.height], epoch, wall_time)?;
    }
    writer.add_session_end(SessionStatus::Success, wall_time)?;
    Ok(writer.flush()?)
}

/// Images evenly from the whole split, with a green border where the prediction is right and a red one
/// where it is wrong; none if none can be read.
fn bordered(report: &EvaluationReport<'_>) -> Option<Pixels> {
    let predictions = &report.evaluation.predictions;
    let step = predictions.len().div_ceil(SHOWN).max(1);
    let tiles: Vec<Pixels> = predictions
        .iter()
        .step_by(step)
        .filter_map(|prediction| {
            let image = pictures::square(report.index, prediction.sample, SIDE - 2 * BORDER)?;
            let is_right = prediction.best().class == prediction.target;
            let mut tile = RgbImage::from_pixel(SIDE, SIDE, image::Rgb(if is_right { RIGHT } else { WRONG }));
            image::imageops::replace(&mut tile, &image, i64::from(BORDER), i64::from(BORDER));
            Some(Pixels { width: SIDE, height: SIDE, data: tile.into_raw() })
        })
        .collect();
    (!tiles.is_empty()).then(|| tile(&tiles, [SIDE, SIDE], COLUMNS))
}
