//! The forward passes of training and evaluation. Nothing else of the project runs a network.

use tch::{Kind, Tensor};

use super::{Network, ScriptError, TrainOutputs};
use crate::device::Compute;

/// A forward pass failed. Layers of this library do not fail: their shapes are right by
/// construction.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// A TorchScript module raised an error.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// libtorch has no such autocast or memory format.
    #[error(transparent)]
    Torch(#[from] torch_ext::Error),
}

/// What gives logits in evaluation.
pub trait Classifier {
    /// The logits `[N, K]` f32 of images `[N, C, H, W]` f32 in evaluation mode, without gradients.
    ///
    /// # Errors
    /// See [`ForwardError`].
    fn logits(&self, images: &Tensor, compute: &Compute) -> Result<Tensor, ForwardError>;
}

impl Classifier for Network {
    fn logits(&self, images: &Tensor, compute: &Compute) -> Result<Tensor, ForwardError> {
        Network::logits(self, images, compute)
    }
}

impl Network {
    /// The logits `[N, K]` f32 of images `[N, C, H, W]` f32 in evaluation mode, without gradients.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub fn logits(&self, images: &Tensor, compute: &Compute) -> Result<Tensor, ForwardError> {
        let images = compute.images(images)?;
        let logits = tch::no_grad(|| compute.run(|| self.try_forward_t(&images, false)))??;
        Ok(in_f32(logits, compute))
    }

    /// The logits f32 of a training step, those of auxiliary heads too. The loss of them and the
    /// backward pass are not under autocast, as PyTorch recommends.
    ///
    /// # Errors
    /// As [`Network::logits`].
    pub fn train_outputs(&self, images: &Tensor, compute: &Compute) -> Result<TrainOutputs, ForwardError> {
        let images = compute.images(images)?;
        let TrainOutputs { logits, auxiliary } = compute.run(|| self.try_forward_train(&images))??;
        let auxiliary =
            auxiliary.into_iter().map(|(share, logits)| (share, in_f32(logits, compute))).collect();
        Ok(TrainOutputs { logits: in_f32(logits, compute), auxiliary })
    }
}

/// Losses and metrics are computed in float32, whatever autocast has made of the logits.
fn in_f32(logits: Tensor, compute: &Compute) -> Tensor {
    if compute.precision.autocast().is_some() { logits.to_kind(Kind::Float) } else { logits }
}
