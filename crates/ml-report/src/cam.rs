//! A run's best weights and its predictions → Grad-CAM overlays of images that are predicted right and
//! of images that are predicted wrong: `report/cam/`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::{FilterType, resize};
use ml_core::inference::{Explanation, InferenceError, LoadedModel, PredictOptions};
use ml_core::run::Run;
use ml_data::decode::Pixels;
use serde::{Deserialize, Serialize};

use crate::heatmap::blend;
use crate::label_report::{EXTRA, SEPARATOR};
use crate::pictures::encode_png;
use crate::run_report::{Evaluations, LabelEvaluations, PredictionRow, label_rows, mistakes, rows};
use crate::samples::tile;
use crate::write::{ReportError, make_folder, replace};

/// Images of each kind.
const SHOWN: usize = 8;
/// Share of the colours.
const OPACITY: f32 = 0.5;
/// Smaller images are enlarged to this side, in pixels.
const SIDE: u32 = 224;
/// The list of a run's overlays.
const LIST: &str = "cam.json";

/// Why there are no overlays.
#[derive(Debug, thiserror::Error)]
pub enum CamError {
    /// The network has no feature map, or fails.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] ReportError),
    /// The run has no predictions.
    #[error("{0}")]
    Predictions(String),
    /// An image cannot be encoded.
    #[error("an overlay cannot be encoded: {0}")]
    Encode(String),
}

/// One overlay of a run, as `cam.json` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Of the image, as in the predictions.
    pub path: String,
    /// Its label.
    pub label: String,
    /// What was predicted, and explained.
    pub prediction: String,
    /// Of the prediction.
    pub probability: f64,
    /// Whether the prediction is right; where it is not said, it is if it is the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<bool>,
    /// The overlay's file beside the list: the image as the network sees it, and under the heatmap.
    pub file: String,
}

/// The content of `cam.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlays {
    /// PyTorch's name of the layer that was looked at.
    pub layer: String,
    /// Right ones first.
    pub images: Vec<Listed>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Explains the surest mistakes of the run's main evaluation and as many right predictions, evenly
/// from all of them. Writes `report/cam/`.
///
/// # Errors
/// See [`CamError`].
pub fn of_run(run: &Run, model: &LoadedModel) -> Result<PathBuf, CamError> {
    let (root, chosen) = if model.thresholds().is_some() { chosen_labels(run) } else { chosen(run) }?;
    let paths: Vec<PathBuf> = chosen.iter().map(|one| root.join(&one.path)).collect();
    let folder = run.report_dir().join("cam");
    make_folder(&folder)?;
    let found = match model.explain(&paths, options(), None) {
        Ok(found) => found,
        Err(error) => {
            // The report says so.
            let problem = Some(error.to_string());
            write_list(&folder, &Overlays { problem, ..Overlays::default() })?;
            return Err(error.into());
        }
    };
    let mut list = Overlays { layer: found.layer, images: Vec::new(), problem: None };
    for (one, explanations) in chosen.into_iter().zip(&found.images) {
        for explanation in explanations {
            let Some((label, prediction, probability, correct)) = one.shown(explanation, model.classes())
            else {
                continue;
            };
            let file = format!("{:02}.png", list.images.len());
            replace(&folder.join(&file), &png(explanation)?)?;
            list.images.push(Listed {
                path: one.path.clone(),
                label,
                prediction,
                probability,
                correct,
                file,
            });
        }
    }
    write_list(&folder, &list)?;
    Ok(folder)
}

/// An image that is explained.
struct Chosen {
    /// As in the predictions.
    path: String,
    of: Explained,
}

/// What is said of an explained image.
enum Explained {
    /// One label: this, the prediction and its probability.
    Prediction { label: String, prediction: String, probability: f64 },
    /// Several labels, joined: the classes that are predicted right, or those that are wrong.
    Labels { labels: String, right: bool },
}

impl Chosen {
    /// Label, prediction, probability and whether that is right; none where it is not to be shown.
    fn shown(
        &self,
        explanation: &Explanation,
        classes: &[String],
    ) -> Option<(String, String, f64, Option<bool>)> {
        match &self.of {
            Explained::Prediction { label, prediction, probability } => {
                Some((label.clone(), prediction.clone(), *probability, None))
            }
            Explained::Labels { labels, right } => {
                let class = classes.get(explanation.class.class)?;
                let is_label = labels.split(SEPARATOR).any(|label| label == class);
                let probability = f64::from(explanation.class.probability);
                let shown = (labels.clone(), class.clone(), probability, Some(is_label));
                (is_label == *right).then_some(shown)
            }
        }
    }
}

fn not_evaluated(run: &Run) -> CamError {
    CamError::Predictions(format!(
        "{}: nothing was evaluated yet; ml-inference does it",
        run.folder().display()
    ))
}

/// Images with several labels: some whose labels are all predicted, and those with the most probable
/// classes that are no labels; and the folder that they lie in.
fn chosen_labels(run: &Run) -> Result<(PathBuf, Vec<Chosen>), CamError> {
    let report_dir = run.report_dir();
    let evaluations = LabelEvaluations::read(&report_dir);
    let main = evaluations.main().ok_or_else(|| not_evaluated(run))?;
    let rows = label_rows(&report_dir, main).map_err(CamError::Predictions)?;
    let right: Vec<(String, String)> = rows
        .into_iter()
        .filter(|row| row.labels == row.predicted && !row.labels.is_empty())
        .map(|row| (row.path, row.labels))
        .collect();
    let mut wrong: Vec<(String, String)> = Vec::new();
    for row in mistakes(&report_dir, main).map_err(CamError::Predictions)? {
        let is_new = wrong.iter().all(|(path, _)| *path != row.path);
        if row.why == EXTRA && is_new && wrong.len() < SHOWN {
            wrong.push((row.path, row.labels));
        }
    }
    let step = right.len().div_ceil(SHOWN).max(1);
    let chosen = |right: bool| {
        move |(path, labels): (String, String)| Chosen { path, of: Explained::Labels { labels, right } }
    };
    let right = right.into_iter().step_by(step).map(chosen(true));
    Ok((main.root.clone(), right.chain(wrong.into_iter().map(chosen(false))).collect()))
}

/// Some images that are predicted right and the surest mistakes; and the folder that they lie in.
fn chosen(run: &Run) -> Result<(PathBuf, Vec<Chosen>), CamError> {
    let evaluations = Evaluations::read(&run.report_dir());
    let main = evaluations.main().ok_or_else(|| not_evaluated(run))?;
    let file = run.report_dir().join(format!("predictions_{}.csv", main.split));
    let predicted: Vec<PredictionRow> = rows(&file).map_err(CamError::Predictions)?;
    let (right, mut wrong): (Vec<&PredictionRow>, Vec<_>) = predicted.iter().partition(|row| row.correct);
    wrong.sort_by(|one, other| other.certainty().total_cmp(&one.certainty()));
    let step = right.len().div_ceil(SHOWN).max(1);
    let rows = right.into_iter().step_by(step).chain(wrong.into_iter().take(SHOWN));
    let chosen = rows.map(|row| Chosen {
        path: row.path.clone(),
        of: Explained::Prediction {
            label: row.label.clone(),
            prediction: row.prediction.clone(),
            probability: row.probability,
        },
    });
    Ok((main.root.clone(), chosen.collect()))
}

fn write_list(folder: &Path, list: &Overlays) -> Result<(), CamError> {
    let text = serde_json::to_vec_pretty(list).map_err(|error| CamError::Encode(error.to_string()))?;
    Ok(replace(&folder.join(LIST), &text)?)
}

/// What [`of_run`] has written into a run's `report/`; none if it has not.
pub fn read(report_dir: &Path) -> Option<Overlays> {
    serde_json::from_slice(&fs::read(report_dir.join("cam").join(LIST)).ok()?).ok()
}

/// How images are explained.
pub fn options() -> PredictOptions {
    PredictOptions { batch_size: 4, num_workers: 1, top_k: NonZeroUsize::MIN.get() }
}

/// The image as the network sees it, and beside it the same under its heatmap, as a PNG.
///
/// # Errors
/// It cannot be encoded.
pub fn png(explanation: &Explanation) -> Result<Vec<u8>, CamError> {
    let encode = |reason: String| CamError::Encode(reason);
    let image = &explanation.image;
    let overlay = blend(&explanation.heatmap, image, OPACITY).map_err(|error| encode(error.to_string()))?;
    let tiles = [enlarged(image), enlarged(&overlay)];
    let [width, height] = [tiles[0].width, tiles[0].height];
    let sheet = tile(&tiles, [width, height], 2);
    encode_png(&sheet.data, sheet.width, sheet.height).map_err(|error| encode(error.to_string()))
}

/// Small images by a whole factor, with their pixels visible.
fn enlarged(image: &Pixels) -> Pixels {
    let factor = SIDE / image.width.max(image.height).max(1);
    let raw = RgbImage::from_raw(image.width, image.height, image.data.clone());
    let Some(raw) = raw.filter(|_| factor > 1) else { return image.clone() };
    let (width, height) = (image.width * factor, image.height * factor);
    Pixels { width, height, data: resize(&raw, width, height, FilterType::Nearest).into_raw() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ml_core::evaluation::ClassProbability;

    #[test]
    fn an_overlay_stands_beside_its_image_large_enough_to_be_seen() {
        let image = Pixels { width: 16, height: 8, data: vec![100; 16 * 8 * 3] };
        let heatmap = (0..128).map(|place| place as f32 / 127.0).collect();
        let class = ClassProbability { class: 0, probability: 1.0 };
        let png = png(&Explanation { image, heatmap, class }).unwrap();
        let sheet = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!((sheet.width(), sheet.height()), (2 * 16 * 14, 8 * 14));
        assert_eq!(sheet.get_pixel(3, 3).0, [100; 3]);
        assert_ne!(sheet.get_pixel(16 * 14 + 3, 3), sheet.get_pixel(2 * 16 * 14 - 1, 8 * 14 - 1));
    }

    #[test]
    fn a_run_without_overlays_has_none() {
        assert_eq!(read(Path::new("/nowhere")), None);
    }
}
