//! Image files → what of each the prediction rests on.

use std::path::PathBuf;

use ml_data::decode::Pixels;
use tch::{Kind, Tensor};

use super::predict::PredictOptions;
use super::{InferenceError, LoadedModel};
use crate::attribution::{AttributionError, Heatmaps, grad_cam};
use crate::evaluation::ClassProbability;
use crate::loader::DeviceBatch;
use crate::torch_error::{TorchError, catch_torch_panic};

/// What of an image its prediction rests on.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The image as the network sees it: resized and cropped.
    pub image: Pixels,
    /// Of each of its pixels, row by row, in `0..=1`: see [`Heatmaps`].
    pub heatmap: Vec<f32>,
    /// What was explained.
    pub class: ClassProbability,
}

/// What of images their predictions rest on.
#[derive(Clone, Debug, Default)]
pub struct Explanations {
    /// PyTorch's name of the layer whose output was looked at.
    pub layer: String,
    /// Of each image, in order: one, or with several labels an image one for each predicted class, the
    /// most probable first. Empty of an image that cannot be read.
    pub images: Vec<Vec<Explanation>>,
}

/// With several labels an image, explained classes of an image at most.
const MOST: usize = 16;

impl LoadedModel {
    /// Explains the predicted class of each of `paths`, or `class`. With several labels an image, each
    /// predicted class (of more than 16 the most probable), or where none is predicted the most
    /// probable one.
    ///
    /// # Errors
    /// The network has no feature map (a TorchScript module, several runs), or there is no such
    /// class.
    pub fn explain(
        &self,
        paths: &[PathBuf],
        options: PredictOptions,
        class: Option<usize>,
    ) -> Result<Explanations, InferenceError> {
        let mut found = Explanations { layer: String::new(), images: vec![Vec::new(); paths.len()] };
        let loader = catch_torch_panic(|| self.loader(paths, options))?;
        for batch in loader.epoch(0, 0).on_device() {
            let batch = batch?;
            if batch.indices.is_empty() {
                continue;
            }
            let count = batch.indices.len();
            let targets = match class {
                Some(class) => Some(vec![vec![class]; count]),
                None => self.predicted_labels(&batch)?,
            };
            // Each round explains one class of each image; an image with fewer repeats its first.
            let rounds = targets.iter().flatten().map(Vec::len).max().unwrap_or(1);
            for round in 0..rounds {
                let of_image = |classes: &Vec<usize>| *classes.get(round).unwrap_or(&classes[0]);
                let classes =
                    targets.as_ref().map(|targets| targets.iter().map(of_image).collect::<Vec<_>>());
                let (layer, explained) = self.explain_batch(&batch, classes.as_deref())?;
                found.layer = layer;
                for (image, (&place, explanation)) in batch.indices.iter().zip(explained).enumerate() {
                    if targets.as_ref().is_none_or(|targets| round < targets[image].len()) {
                        found.images[place].push(explanation);
                    }
                }
            }
        }
        Ok(found)
    }

    /// With several labels an image, the classes of each that are predicted, the most probable first,
    /// and the most probable one where none is; else nothing.
    fn predicted_labels(&self, batch: &DeviceBatch) -> Result<Option<Vec<Vec<usize>>>, InferenceError> {
        let Some(thresholds) = self.thresholds() else { return Ok(None) };
        let tapped = catch_torch_panic(|| self.network.tapped(&batch.images, &self.compute))?;
        let logits = tapped.map_err(AttributionError::from)?.logits;
        let values = catch_torch_panic(|| -> Result<_, torch_ext::Error> {
            let probabilities = (logits.detach().to_kind(Kind::Float) / self.temperature()).sigmoid();
            Ok(Vec::<f32>::try_from(torch_ext::to_host(&probabilities)?.flatten(0, -1))?)
        })?;
        let values = values.map_err(TorchError::from)?;
        let rows = values.chunks_exact(self.classes.len().max(1));
        Ok(Some(rows.map(|row| predicted(row, thresholds.values())).collect()))
    }

    fn explain_batch(
        &self,
        batch: &DeviceBatch,
        classes: Option<&[usize]>,
    ) -> Result<(String, Vec<Explanation>), InferenceError> {
        let heatmaps = grad_cam(self.network.as_ref(), &batch.images, classes, &self.compute)?;
        let &[_, _, height, width] = &batch.images.size()[..] else {
            return Ok((heatmaps.layer, Vec::new()));
        };
        let maps = heatmaps.upsampled((height, width))?;
        let Heatmaps { classes, logits, layer, .. } = heatmaps;
        let values = catch_torch_panic(|| -> Result<_, torch_ext::Error> {
            let logits = logits.to_kind(Kind::Float) / self.temperature();
            let probabilities = match self.thresholds() {
                Some(_) => logits.sigmoid(),
                None => logits.softmax(1, Kind::Float),
            };
            let probabilities = probabilities.gather(1, &classes.unsqueeze(1), false);
            Ok((
                Vec::<f32>::try_from(torch_ext::to_host(&maps)?.flatten(0, -1))?,
                Vec::<i64>::try_from(torch_ext::to_host(&classes)?)?,
                Vec::<f32>::try_from(torch_ext::to_host(&probabilities)?.flatten(0, -1))?,
                Vec::<u8>::try_from(torch_ext::to_host(&self.shown(&batch.images))?.flatten(0, -1))?,
            ))
        })?;
        let (maps, classes, probabilities, pixels) = values.map_err(TorchError::from)?;
        let (height, width) = (height as u32, width as u32);
        let size = height as usize * width as usize;
        let explained = maps
            .chunks_exact(size.max(1))
            .zip(pixels.chunks_exact((size * 3).max(1)))
            .zip(classes.into_iter().zip(probabilities))
            .map(|((heatmap, pixels), (class, probability))| Explanation {
                image: Pixels { width, height, data: pixels.to_vec() },
                heatmap: heatmap.to_vec(),
                class: ClassProbability { class: class as usize, probability },
            });
        Ok((layer, explained.collect()))
    }

    /// Images `[N, C, H, W]` f32 as the network gets them → `[N, H, W, 3]` u8 as people see them.
    fn shown(&self, images: &Tensor) -> Tensor {
        let (mean, std) = self.pipeline.normalization();
        let channels = |values: &[f64]| {
            Tensor::from_slice(values).to_kind(Kind::Float).view([1, -1, 1, 1]).to_device(images.device())
        };
        let raw = images * channels(&std) + channels(&mean);
        let bytes = (raw * 255.0).round().clamp(0.0, 255.0).to_kind(Kind::Uint8);
        // Of other channels than red, green and blue, the first three or the first are shown.
        let shown = if bytes.size()[1] < 3 { 1 } else { 3 };
        let bytes = bytes.narrow(1, 0, shown).expand([-1, 3, -1, -1], false);
        bytes.permute([0, 2, 3, 1]).contiguous()
    }
}

/// Classes whose probability is at or above their threshold, the most probable first; the most
/// probable one where there is none. `probabilities` are not empty.
fn predicted(probabilities: &[f32], thresholds: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    // NaN is no probability, and last.
    let key = |class: usize| if probabilities[class].is_nan() { -1.0 } else { probabilities[class] };
    classes.sort_by(|&one, &other| key(other).total_cmp(&key(one)));
    let above = classes
        .iter()
        .copied()
        .filter(|&class| thresholds.get(class).is_some_and(|threshold| probabilities[class] >= *threshold));
    let above: Vec<usize> = above.take(MOST).collect();
    if above.is_empty() { classes.into_iter().take(1).collect() } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_above_their_thresholds_are_explained_or_else_the_most_probable() {
        assert_eq!(predicted(&[0.3, 0.9, 0.6, f32::NAN], &[0.2, 0.5, 0.7, 0.0]), [1, 0]);
        assert_eq!(predicted(&[0.3, 0.4, f32::NAN], &[0.5; 3]), [1]);
        assert_eq!(predicted(&[0.9; 40], &[0.5; 40]).len(), MOST);
    }
}
