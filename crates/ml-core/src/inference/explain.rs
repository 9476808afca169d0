//! Image files → what of each the prediction rests on.

use std::path::PathBuf;

use ml_data::decode::Pixels;
use tch::{Kind, Tensor};

use super::predict::PredictOptions;
use super::{InferenceError, LoadedModel};
use crate::attribution::{Heatmaps, grad_cam};
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
    /// In order; none of an image that cannot be read.
    pub images: Vec<Option<Explanation>>,
}

impl LoadedModel {
    /// Explains the predicted class of each of `paths`, or `class`.
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
        let mut found = Explanations { layer: String::new(), images: vec![None; paths.len()] };
        let loader = catch_torch_panic(|| self.loader(paths, options))?;
        for batch in loader.epoch(0, 0).on_device() {
            let batch = batch?;
            if batch.indices.is_empty() {
                continue;
            }
            let (layer, explained) = self.explain_batch(&batch, class)?;
            found.layer = layer;
            for (place, explanation) in batch.indices.into_iter().zip(explained) {
                found.images[place] = Some(explanation);
            }
        }
        Ok(found)
    }

    fn explain_batch(
        &self,
        batch: &DeviceBatch,
        class: Option<usize>,
    ) -> Result<(String, Vec<Explanation>), InferenceError> {
        let classes = class.map(|class| vec![class; batch.indices.len()]);
        let heatmaps = grad_cam(self.network.as_ref(), &batch.images, classes.as_deref(), &self.compute)?;
        let &[_, _, height, width] = &batch.images.size()[..] else {
            return Ok((heatmaps.layer, Vec::new()));
        };
        let maps = heatmaps.upsampled((height, width))?;
        let Heatmaps { classes, logits, layer, .. } = heatmaps;
        let values = catch_torch_panic(|| -> Result<_, torch_ext::Error> {
            let probabilities = (logits / self.temperature()).softmax(1, Kind::Float);
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
