//! What the best weights say → TensorBoard: the confusion matrix, precision-recall curves, images
//! bordered right and wrong, and embeddings in the projector.

use std::path::Path;

use image::RgbImage;
use image::imageops::{FilterType, resize};
use ml_core::trainer::Embedded;
use ml_data::dataset::Index;
use ml_data::decode::Pixels;

use super::{BoardError, COLUMNS};
use crate::classification::EvaluationReport;
use crate::figures;
use crate::pictures;
use crate::samples::tile;
use crate::tensorboard::projector::{self, Column, Embedding};
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
/// Side of an image in the projector.
const POINT: u32 = 32;
/// Images in the projector at most.
const POINTS: usize = 500;

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
            let image = square(report.index, prediction.sample, SIDE - 2 * BORDER)?;
            let is_right = prediction.best().class == prediction.target;
            let mut tile = RgbImage::from_pixel(SIDE, SIDE, image::Rgb(if is_right { RIGHT } else { WRONG }));
            image::imageops::replace(&mut tile, &image, i64::from(BORDER), i64::from(BORDER));
            Some(Pixels { width: SIDE, height: SIDE, data: tile.into_raw() })
        })
        .collect();
    (!tiles.is_empty()).then(|| tile(&tiles, [SIDE, SIDE], COLUMNS))
}

/// An image of a split, squeezed into a square; none if it can no longer be read.
fn square(index: &Index, sample: usize, side: u32) -> Option<RgbImage> {
    let path = index.root.join(&index.samples.get(sample)?.path);
    let pixels = pictures::read(&path, &mut Vec::new())?;
    let image = RgbImage::from_raw(pixels.width, pixels.height, pixels.data)?;
    Some(resize(&image, side, side, FilterType::Triangle))
}

/// Shows embeddings of training images in the projector of `folder`.
///
/// # Errors
/// The files cannot be written.
pub(super) fn project(folder: &Path, embedded: &Embedded<'_>) -> Result<(), BoardError> {
    let Embedded { classes, index, embeddings, .. } = *embedded;
    let dim = embeddings.dim;
    let step = embeddings.samples.len().div_ceil(POINTS).max(1);
    let rows = embeddings.values.chunks_exact(dim.max(1)).zip(&embeddings.samples).step_by(step);
    let (mut vectors, mut labels, mut paths, mut thumbnails) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (row, &sample) in rows {
        let Some(known) = index.samples.get(sample) else { continue };
        if row.iter().any(|value| !value.is_finite()) {
            continue;
        }
        let image = square(index, sample, POINT).map(RgbImage::into_raw);
        let data = image.unwrap_or_else(|| vec![0; (POINT * POINT * 3) as usize]);
        vectors.extend_from_slice(row);
        labels.push(classes[known.class as usize].clone());
        paths.push(known.path.to_string_lossy().into_owned());
        thumbnails.push(Pixels { width: POINT, height: POINT, data });
    }
    if labels.is_empty() || dim < 2 {
        return Ok(());
    }
    let columns = [Column { name: "label", values: &labels }, Column { name: "path", values: &paths }];
    let embedding = Embedding {
        name: "train",
        vectors: &vectors,
        dimensions: dim,
        columns: &columns,
        thumbnails: &thumbnails,
    };
    projector::write(folder, &embedding)?;
    Ok(())
}
