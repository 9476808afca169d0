//! The forward passes of training and evaluation. Nothing else of the project runs a network.

use tch::{Kind, Tensor};

use super::{Network, Prefix, ScriptError, TrainOutputs};
use crate::device::Compute;
use crate::torch_error::TorchError;

/// A forward pass failed. Layers of this library do not fail: their shapes are right by
/// construction.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// A TorchScript module raised an error.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// libtorch cannot do what it takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Several networks, which have a feature map each.
    #[error("several models together have no feature map; give one of them")]
    Several,
}

impl From<torch_ext::Error> for ForwardError {
    fn from(error: torch_ext::Error) -> ForwardError {
        TorchError::from(error).into()
    }
}

/// What gives logits in evaluation.
pub trait Classifier {
    /// The logits `[N, K]` f32 of `input` in evaluation mode, without gradients.
    ///
    /// # Errors
    /// See [`ForwardError`].
    fn logits(&self, input: Input<'_>, compute: &Compute) -> Result<Tensor, ForwardError>;

    /// The logits of images `[N, C, H, W]` f32, and the embeddings that they are made from.
    ///
    /// # Errors
    /// As [`Classifier::logits`], or it has no embeddings: a TorchScript module.
    fn embed(&self, images: &Tensor, compute: &Compute) -> Result<Embedded, ForwardError>;

    /// As [`Classifier::logits`] of images `[N, C, H, W]` f32, with gradients as far back as the
    /// feature map that [`Network::tapped_layer`] names, whether parameters are frozen or not.
    ///
    /// # Errors
    /// See [`ForwardError`]; a TorchScript module has no such part.
    fn tapped(&self, images: &Tensor, compute: &Compute) -> Result<Tapped, ForwardError>;
}

/// Logits and the feature map that they were made of.
#[derive(Debug)]
pub struct Tapped {
    /// `[N, K]` f32, a function of `features`.
    pub logits: Tensor,
    /// `[N, C, H', W']`, a leaf that needs a gradient; in the dtype of autocast, if that made it.
    pub features: Tensor,
    /// PyTorch's name of the layer whose output `features` is.
    pub layer: String,
}

impl Classifier for Network {
    fn logits(&self, input: Input<'_>, compute: &Compute) -> Result<Tensor, ForwardError> {
        Network::logits(self, input, compute)
    }

    fn embed(&self, images: &Tensor, compute: &Compute) -> Result<Embedded, ForwardError> {
        Network::embed(self, images, compute)
    }

    fn tapped(&self, images: &Tensor, compute: &Compute) -> Result<Tapped, ForwardError> {
        let (model, images) = (self.model()?, compute.images(images)?);
        let mut features = Tensor::new();
        let mut tap = |map: &Tensor| {
            features = map.detach().set_requires_grad(true);
            features.shallow_clone()
        };
        let logits = tch::with_grad(|| {
            let logits = compute.run(|| model.forward_tapped(&images, &mut tap))?;
            Ok::<_, torch_ext::Error>(in_f32(logits, compute))
        })?;
        Ok(Tapped { logits, features, layer: self.tapped_layer() })
    }
}

/// Embeddings wider than this (of `alexnet` and `vgg…`) are replaced by the mean of each channel of
/// the feature map.
const MAX_EMBEDDING: i64 = 4096;

/// What [`Network::embed`] gives.
#[derive(Debug)]
pub struct Embedded {
    /// `[N, D]` f32: what [`Network::pool`] gives, a row an image. Where that is a map, or wider than
    /// 4096, the mean over height and width of the features.
    pub embeddings: Tensor,
    /// `[N, K]` f32.
    pub logits: Tensor,
}

/// What a forward pass begins with.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// `[N, C, H, W]` f32.
    Images(&'a Tensor),
    /// What [`Network::features`] gave, `[N, F]`, or rows of it, and of which layers.
    Features(&'a Tensor, &'a Prefix),
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(images: &'a Tensor) -> Input<'a> {
        Input::Images(images)
    }
}

impl Network {
    /// The logits `[N, K]` f32 of `input` in evaluation mode, without gradients.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub fn logits<'a>(&self, input: impl Into<Input<'a>>, compute: &Compute) -> Result<Tensor, ForwardError> {
        let logits = match input.into() {
            Input::Images(images) => {
                let images = compute.images(images)?;
                tch::no_grad(|| compute.run(|| self.try_forward_t(&images, false)))??
            }
            Input::Features(rows, prefix) => {
                let model = self.model()?;
                tch::no_grad(|| compute.run(|| prefix.forward_rest(model, rows, false)))?.logits
            }
        };
        Ok(in_f32(logits, compute))
    }

    /// The logits of images `[N, C, H, W]` f32 in evaluation mode, without gradients, and the
    /// embeddings that they are made from.
    ///
    /// # Errors
    /// As [`Network::logits`]; a TorchScript module has no embeddings.
    pub fn embed(&self, images: &Tensor, compute: &Compute) -> Result<Embedded, ForwardError> {
        let (model, images) = (self.model()?, compute.images(images)?);
        let [embeddings, logits] = tch::no_grad(|| {
            compute.run(|| {
                let features = model.forward_features(&images, false);
                let pooled = model.pool(&features);
                let logits = model.forward_head(&pooled, false);
                let is_row = pooled.dim() == 2 && pooled.size()[1] <= MAX_EMBEDDING;
                let rows = if is_row || features.dim() != 4 {
                    pooled
                } else {
                    features.mean_dim([2, 3].as_slice(), false, features.kind())
                };
                [rows, logits]
            })
        })?;
        Ok(Embedded { embeddings: in_f32(embeddings, compute), logits: in_f32(logits, compute) })
    }

    /// The logits and the embedding f32 of a training step, and the logits of auxiliary heads. The
    /// loss of them and the backward pass are not under autocast, as PyTorch recommends.
    ///
    /// # Errors
    /// As [`Network::logits`].
    pub fn train_outputs<'a>(
        &self,
        input: impl Into<Input<'a>>,
        compute: &Compute,
    ) -> Result<TrainOutputs, ForwardError> {
        let TrainOutputs { logits, embedding, auxiliary } = match input.into() {
            Input::Images(images) => {
                let images = compute.images(images)?;
                compute.run(|| self.try_forward_train(&images))??
            }
            Input::Features(rows, prefix) => {
                let model = self.model()?;
                compute.run(|| prefix.forward_rest(model, rows, true))?
            }
        };
        let auxiliary =
            auxiliary.into_iter().map(|(share, logits)| (share, in_f32(logits, compute))).collect();
        let embedding = embedding.map(|embedding| in_f32(embedding, compute));
        Ok(TrainOutputs { logits: in_f32(logits, compute), embedding, auxiliary })
    }

    /// What the layers of `prefix` make of images `[N, C, H, W]` f32: a row of features an image,
    /// `[N, F]`, in the dtype in which the next layer gets them. [`Input::Features`] continues from
    /// there.
    ///
    /// # Errors
    /// As [`Network::logits`].
    pub fn features(
        &self,
        images: &Tensor,
        prefix: &Prefix,
        compute: &Compute,
    ) -> Result<Tensor, ForwardError> {
        let (model, images) = (self.model()?, compute.images(images)?);
        Ok(compute.run(|| prefix.forward(model, &images))?)
    }
}

/// Losses and metrics are computed in float32, whatever autocast has made of the logits.
pub(super) fn in_f32(logits: Tensor, compute: &Compute) -> Tensor {
    if compute.precision.autocast().is_some() { logits.to_kind(Kind::Float) } else { logits }
}
