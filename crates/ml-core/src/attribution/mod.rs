//! A network, images and classes → heatmaps: how much each place of an image raised the logit of
//! its class.
//!
//! Gradient-weighted class activation mapping, "Grad-CAM" (Selvaraju et al. 2017,
//! arXiv:1610.02391): each channel of a feature map is weighed by the mean over all places of the
//! logit's gradient with respect to it, the channels are added up, and what is negative becomes
//! zero. The feature map is the one that [`Network::tapped_layer`] names. Numbers are those of the
//! Python package `grad-cam`, scaling included.
//!
//! Only what follows the feature map is differentiated, so that a heatmap costs little more than a
//! forward pass, and it does not matter whether parameters are frozen.

#[cfg(test)]
mod tests;

use tch::{Kind, Tensor};

use crate::device::Compute;
use crate::network::{Classifier, ForwardError, Tapped};
use crate::torch_error::{TorchError, catch_torch_panic};

#[cfg(doc)]
use crate::network::Network;

/// Why there are no heatmaps.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// The forward pass failed, or the network is a TorchScript module, whose feature maps cannot
    /// be had.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// libtorch cannot do what it takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Another number of classes than of images.
    #[error("one class is needed for each of {images} images, or none for those predicted; found {classes}")]
    Count {
        /// Classes given.
        classes: usize,
        /// Images given.
        images: i64,
    },
    /// A class that the network does not know.
    #[error("there is no class {class}: the model outputs {logits} logits, counted from 0")]
    Class {
        /// As given.
        class: usize,
        /// Logits of an image.
        logits: i64,
    },
}

/// What [`grad_cam`] found for a batch; on the network's device.
#[derive(Debug)]
pub struct Heatmaps {
    /// `[N, H', W']` f32 in `0..=1`, of the feature map's size: of each the smallest value is 0 and
    /// the largest 1, or less if it was not far above 1e-7. All zero where no place raises the
    /// logit, or all do alike (as where there is only one).
    pub maps: Tensor,
    /// `[N]` i64: the class of each that is explained.
    pub classes: Tensor,
    /// `[N, K]` f32
    pub logits: Tensor,
    /// PyTorch's name of the layer whose output was weighed: see [`Network::tapped_layer`].
    pub layer: String,
}

/// Heatmaps of `images` `[N, C, H, W]` f32, each of its class, or of the predicted one where none
/// are given. Nothing is read back from the device.
///
/// Gradients of fp16 (`compute`) have few bits; those of fp32 and bf16 do not underflow. A place
/// where they are NaN or Inf counts as zero.
///
/// # Errors
/// See [`AttributionError`].
pub fn grad_cam(
    network: &dyn Classifier,
    images: &Tensor,
    classes: Option<&[usize]>,
    compute: &Compute,
) -> Result<Heatmaps, AttributionError> {
    catch_torch_panic(|| {
        let Tapped { logits, features, layer } = network.tapped(images, compute)?;
        let classes = match classes {
            Some(classes) => checked(classes, &logits)?,
            None => logits.argmax(1, false),
        };
        // Images do not see each other in evaluation: the gradient of the sum is that of each.
        let score = tch::with_grad(|| logits.gather(1, &classes.unsqueeze(1), false).sum(Kind::Float));
        let gradient = Tensor::run_backward(&[score], &[&features], false, false).remove(0);
        let maps = tch::no_grad(|| weighed(&features, &gradient));
        Ok(Heatmaps { maps, classes, logits: logits.detach(), layer })
    })?
}

impl Heatmaps {
    /// The maps stretched to (height, width) bilinearly, `[N, height, width]` f32; each scaled to
    /// 0 to 1 again, since pixels need not fall on the centres of a map's places.
    ///
    /// # Errors
    /// No memory.
    pub fn upsampled(&self, (height, width): (i64, i64)) -> Result<Tensor, TorchError> {
        catch_torch_panic(|| {
            let maps = self.maps.unsqueeze(1).upsample_bilinear2d([height, width], false, None, None);
            scaled(&maps.squeeze_dim(1))
        })
    }
}

/// `[N]` i64 where `logits` `[N, K]` are.
fn checked(classes: &[usize], logits: &Tensor) -> Result<Tensor, AttributionError> {
    let (images, count) = (logits.size()[0], logits.size()[1]);
    if classes.len() as i64 != images {
        return Err(AttributionError::Count { classes: classes.len(), images });
    }
    if let Some(&class) = classes.iter().find(|&&class| class >= count as usize) {
        return Err(AttributionError::Class { class, logits: count });
    }
    let classes: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
    Ok(Tensor::from_slice(&classes).to_device(logits.device()))
}

/// A feature map `[N, C, H, W]` and the gradient with respect to it → `[N, H, W]` f32 in `0..=1`.
fn weighed(features: &Tensor, gradient: &Tensor) -> Tensor {
    let weights = gradient.to_kind(Kind::Float).mean_dim([2i64, 3].as_slice(), true, None);
    let maps = (weights * features.to_kind(Kind::Float)).sum_dim_intlist([1i64].as_slice(), false, None);
    scaled(&maps.nan_to_num(0.0, 0.0, 0.0).relu())
}

/// Keeps a map of zeros zero; `grad-cam`'s.
const EPS: f64 = 1e-7;

/// Each of `[N, H, W]` from 0 to 1.
fn scaled(maps: &Tensor) -> Tensor {
    let above = maps - maps.amin([1i64, 2].as_slice(), true);
    &above / (above.amax([1i64, 2].as_slice(), true) + EPS)
}
