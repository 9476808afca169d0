//! Logits `[N, K]` + targets → the mean over the batch and what it was divided by.
//!
//! Each loss has a file with its settings, its formula and its numeric test. A new one is its file,
//! a variant of [`LossConfig`] and an arm of its `settings`.

mod asymmetric;
mod bce;
mod class_weights;
mod cross_entropy;
mod distillation;
mod focal;
mod jensen_shannon;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::loader::DeviceBatch;
use crate::network::TrainOutputs;

pub use asymmetric::AsymmetricConfig;
pub use bce::{BceConfig, PosWeight};
pub use class_weights::ClassWeights;
pub use cross_entropy::CrossEntropyConfig;
pub use distillation::DistillationConfig;
pub use focal::{Alpha, FocalConfig};
pub use jensen_shannon::JensenShannonConfig;

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum LossConfig {
    /// Cross entropy of the softmax of the logits, PyTorch's `CrossEntropyLoss`, mean over the
    /// batch.
    CrossEntropy(CrossEntropyConfig),
    /// Focal loss of the softmax of the logits (Lin et al. 2017), mean over the batch.
    Focal(FocalConfig),
    /// Binary cross entropy of the sigmoid of each logit, timm's `BinaryCrossEntropy`, mean over
    /// the batch.
    Bce(BceConfig),
    /// Asymmetric loss (Ridnik et al. 2021): of the softmax of the logits, or with several labels
    /// per image of their sigmoid; mean over the batch.
    Asymmetric(AsymmetricConfig),
}

impl Default for LossConfig {
    fn default() -> LossConfig {
        LossConfig::CrossEntropy(CrossEntropyConfig::default())
    }
}

impl LossConfig {
    fn settings(&self) -> &dyn LossSettings {
        match self {
            LossConfig::CrossEntropy(config) => config,
            LossConfig::Focal(config) => config,
            LossConfig::Bce(config) => config,
            LossConfig::Asymmetric(config) => config,
        }
    }

    /// As the configuration spells it.
    pub fn name(&self) -> &'static str {
        match self {
            LossConfig::CrossEntropy(_) => "cross_entropy",
            LossConfig::Focal(_) => "focal",
            LossConfig::Bce(_) => "bce",
            LossConfig::Asymmetric(_) => "asymmetric",
        }
    }

    /// Whether it takes [`Targets::MultiHot`].
    pub fn takes_several_labels(&self) -> bool {
        matches!(self, LossConfig::Bce(_) | LossConfig::Asymmetric(_))
    }

    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        self.settings().problems()
    }

    /// How many class weights are given, if they are, and under which key.
    pub fn num_class_weights(&self) -> Option<(&'static str, usize)> {
        self.settings().num_class_weights()
    }
}

/// The settings of one loss.
trait LossSettings {
    /// (key, message) of everything out of range.
    fn problems(&self) -> Vec<(String, String)>;

    /// How many class weights are given, if they are, and under which key.
    fn num_class_weights(&self) -> Option<(&'static str, usize)>;

    /// `class_counts`: training samples of each class.
    fn build(&self, class_counts: &[usize], device: Device) -> Box<dyn LossFunction>;
}

/// The formula of one loss.
trait LossFunction: Debug + Send {
    /// See [`Loss::forward`].
    fn forward(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError>;

    /// As `forward`, of what a network outputs in training.
    fn forward_train(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        self.forward(logits, targets)
    }

    /// See [`Loss::divisor`].
    fn divisor(&self, targets: &[i64]) -> f64 {
        targets.len() as f64
    }
}

/// What a batch's logits are compared with.
#[derive(Debug)]
pub enum Targets {
    /// Class indices, `[N]` i64, in `0..K`.
    Classes(Tensor),
    /// Probabilities, `[N, K]` f32; rows sum to 1.
    Probabilities(Tensor),
    /// `[N, K]` f32, 0 or 1, between them where images are mixed: several labels an image.
    MultiHot(Tensor),
}

impl Targets {
    /// Those of a batch: labels where an image may have several, probabilities where images are
    /// mixed, else classes.
    pub fn of(batch: &DeviceBatch) -> Targets {
        if let Some(labels) = &batch.labels {
            return Targets::MultiHot(labels.shallow_clone());
        }
        match &batch.soft_targets {
            Some(probabilities) => Targets::Probabilities(probabilities.shallow_clone()),
            None => Targets::Classes(batch.targets.shallow_clone()),
        }
    }
}

/// A loss over a batch, with what it was divided by, so that means over batches are exact: the mean
/// over several batches is the sum of their `mean × divisor`, divided by the sum of their divisors.
#[derive(Debug)]
pub struct LossValue {
    /// Scalar, the mean over the batch.
    pub mean: Tensor,
    /// Scalar f64, on the logits' device.
    pub divisor: Tensor,
}

impl LossValue {
    /// A mean over the N samples of `logits` `[N, K]`. Nothing is copied from the host.
    fn over_samples(mean: Tensor, logits: &Tensor) -> LossValue {
        let count = logits.size()[0];
        LossValue { mean, divisor: Tensor::full([0i64; 0], count, (Kind::Double, logits.device())) }
    }
}

/// A loss cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// The loss compares an image with one label, and the targets have several.
    #[error(
        "loss.name: {loss} takes one label per image or class probabilities, not several labels per image"
    )]
    MultiHot {
        /// Its name.
        loss: &'static str,
    },
}

/// A loss made ready.
#[derive(Debug)]
pub struct Loss(Box<dyn LossFunction>);

impl Loss {
    /// `class_counts`: training samples of each class, for weights and priors that follow from
    /// them.
    pub fn new(config: &LossConfig, class_counts: &[usize], device: Device) -> Loss {
        Loss(config.settings().build(class_counts, device))
    }

    /// As [`Loss::new`], of images with several labels: `class_counts` are the training images with
    /// each label, of `num_images`.
    pub fn of_labels(config: &LossConfig, class_counts: &[usize], num_images: usize, device: Device) -> Loss {
        match config {
            LossConfig::Bce(bce) => {
                Loss::new(&LossConfig::Bce(bce.of_labels(class_counts, num_images)), &[], device)
            }
            config => Loss::new(config, class_counts, device),
        }
    }

    /// The loss of `logits` `[N, K]`, f32, and `targets` on the same device, as validation measures
    /// it: without `logit_adjustment`. Nothing is read from the device.
    ///
    /// # Errors
    /// The loss does not take this kind of targets.
    pub fn forward(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        self.0.forward(logits, targets)
    }

    /// [`Self::forward`] with what only training has: `logit_adjustment`.
    fn forward_train(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        self.0.forward_train(logits, targets)
    }

    /// The loss to train on: that of the logits, and of each auxiliary head the share that belongs
    /// to it.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    pub fn of_outputs(&self, outputs: &TrainOutputs, targets: &Targets) -> Result<LossValue, LossError> {
        let LossValue { mean, divisor } = self.forward_train(&outputs.logits, targets)?;
        let mean = outputs.auxiliary.iter().try_fold(mean, |total, (share, logits)| {
            Ok(total + self.forward_train(logits, targets)?.mean * *share)
        })?;
        Ok(LossValue { mean, divisor })
    }

    /// What [`Self::forward`] divides by for these class indices (in `0..K`), before the batch is
    /// on its device: their number, or the sum of their classes' weights.
    pub fn divisor(&self, targets: &[i64]) -> f64 {
        self.0.divisor(targets)
    }
}
