//! Network + loss + batches → sums, predictions: the one forward path of validation, test and
//! prediction. Precision, memory format and device are decided in its [`Compute`].

mod analysis;
mod batch_norm;
mod calibration;
mod gather;
mod labels;
mod out_of_distribution;
mod scored;

use std::ops::ControlFlow;

use tch::Tensor;
use torch_ext::Fetch;

use crate::device::Compute;
use crate::features::{Batches, FeatureError, InputBatch};
use crate::loader::{Loader, LoaderError};
use crate::loss::{Loss, LossError, Targets};
use crate::metrics::multilabel::LabelError;
use crate::metrics::{self, ConfusionMatrix, MetricAccumulator, MetricSums};
use crate::network::{Classifier, Embedded, ForwardError, Input, Network, ScriptError};
use crate::torch_error::{TorchError, catch_torch_panic};

pub use analysis::{Analysis, Confidence, Logits};
pub use batch_norm::BatchNormRefresh;
pub use calibration::{AnswerThreshold, Calibration};
pub use labels::LabelEvaluation;
pub use out_of_distribution::{ACCEPTED, OutOfDistribution, OutOfDistributionError};
use scored::{Scored, ranked, values};

/// With more classes, their pairs are not counted during training.
const MAX_COUNTED: usize = 1000;

/// A class and how sure the network is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassProbability {
    /// In `0..num_classes`.
    pub class: usize,
    /// Softmax probability, or with several labels an image the sigmoid, in `0..=1`.
    pub probability: f32,
}

/// What the network made of one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The sample's index in the data set's split.
    pub sample: usize,
    /// Its true class.
    pub target: usize,
    /// The most probable classes, best first; never empty.
    pub top_k: Vec<ClassProbability>,
}

impl Prediction {
    /// The most probable class.
    pub fn best(&self) -> ClassProbability {
        self.top_k[0]
    }
}

/// What [`Evaluator::evaluate`] found.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Sums of loss and hits.
    pub sums: MetricSums,
    /// True classes by predicted ones.
    pub confusion: ConfusionMatrix,
    /// In the loader's order.
    pub predictions: Vec<Prediction>,
    /// Of the same samples.
    pub logits: Logits,
    /// What logits were divided by for the probabilities; 1 leaves them as they are.
    pub temperature: f64,
    /// Of the same samples, where they were asked for: see [`OutOfDistribution::scores`].
    pub ood_scores: Option<Vec<f32>>,
}

/// What [`Evaluator::predict`] says of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The most probable classes, best first; never empty.
    pub top_k: Vec<ClassProbability>,
    /// See [`OutOfDistribution::scores`]; none where that is not known of the model.
    pub ood_score: Option<f32>,
}

/// What [`Evaluator::embeddings`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// `[N, D]` row by row, in the loader's order.
    pub values: Vec<f32>,
    /// D; 0 without images.
    pub dim: usize,
    /// Indices of the samples in the data set's split, in the same order.
    pub samples: Vec<usize>,
}

/// Why an evaluation did not end.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A batch could not be made; names the image.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The forward pass failed.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// Features that were kept cannot be had.
    #[error(transparent)]
    Features(FeatureError),
    /// The loss does not take such targets.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// libtorch cannot do what a batch takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The network gives another number of logits than there are classes.
    #[error("the model outputs {logits} logits, but the data set has {classes} classes")]
    Classes {
        /// Logits a sample.
        logits: i64,
        /// Names of classes.
        classes: usize,
    },
    /// A label is no class.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// The images have one label each, where several were expected.
    #[error("the images have one label each, not several (data.task: multi_label)")]
    NoLabels,
    /// The caller's `on_batch` asked to stop.
    #[error("the evaluation was interrupted")]
    Interrupted,
}

impl From<FeatureError> for EvaluationError {
    fn from(error: FeatureError) -> Self {
        match error {
            FeatureError::Loader(error) => error.into(),
            FeatureError::Forward(error) => error.into(),
            error => EvaluationError::Features(error),
        }
    }
}

impl From<ScriptError> for EvaluationError {
    fn from(error: ScriptError) -> Self {
        ForwardError::from(error).into()
    }
}

/// Runs networks on batches in evaluation mode; no gradients are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator<'a> {
    compute: Compute,
    loss: &'a Loss,
    num_classes: usize,
    temperature: f64,
    has_several_labels: bool,
    out_of_distribution: &'a [OutOfDistribution],
}

impl<'a> Evaluator<'a> {
    /// Computes as `compute` says, and `loss` for the sums, for networks of `num_classes` logits.
    pub fn new(compute: Compute, loss: &'a Loss, num_classes: usize) -> Evaluator<'a> {
        Evaluator {
            compute,
            loss,
            num_classes,
            temperature: 1.0,
            has_several_labels: false,
            out_of_distribution: &[],
        }
    }

    /// The same with probabilities that are the softmax of the logits divided by `temperature`.
    /// Logits and losses stay what they are.
    #[must_use]
    pub fn with_temperature(self, temperature: f64) -> Evaluator<'a> {
        Evaluator { temperature, ..self }
    }

    /// The same where an image may have several labels: what [`Evaluator::predict`] gives are the
    /// sigmoids of the logits.
    #[must_use]
    pub fn with_several_labels(self) -> Evaluator<'a> {
        Evaluator { has_several_labels: true, ..self }
    }

    /// The same with scores of how unlike those of training images are, which cost the product of the
    /// embeddings and a matrix; none without `scorers`. Several are of networks whose embeddings lie
    /// side by side: the score is their mean.
    #[must_use]
    pub fn with_out_of_distribution(self, scorers: &'a [OutOfDistribution]) -> Evaluator<'a> {
        Evaluator { out_of_distribution: scorers, ..self }
    }

    /// The sums over all `batches` for each of `networks`: the weights and their average see the
    /// same; with few classes also their pairs. `on_batch` is called after each and may stop it.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn sums(
        &self,
        networks: &[&Network],
        batches: Batches,
        mut on_batch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<(MetricSums, Option<ConfusionMatrix>)>, EvaluationError> {
        let accumulator = || match MetricAccumulator::new(self.compute.device) {
            accumulator if self.num_classes <= MAX_COUNTED => accumulator.with_confusion(self.num_classes),
            accumulator => accumulator,
        };
        let mut accumulators: Vec<_> = networks.iter().map(|_| accumulator()).collect();
        for batch in batches {
            let batch = batch?;
            for (network, accumulator) in networks.iter().zip(&mut accumulators) {
                self.add(&self.logits(*network, batch.input())?, &batch, accumulator)?;
            }
            if on_batch().is_break() {
                return Err(EvaluationError::Interrupted);
            }
        }
        Ok(accumulators.iter().map(MetricAccumulator::read).collect::<Result<_, _>>()?)
    }

    /// Evaluates `network` on all batches of `loader` (its epoch 0): sums, a confusion matrix, and
    /// the `top_k` (at least 1) most probable classes of each sample. `on_batch` is told after each
    /// batch how many samples are done, and may stop it.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn evaluate(
        &self,
        network: &dyn Classifier,
        loader: &Loader,
        top_k: usize,
        mut on_batch: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Evaluation, EvaluationError> {
        let mut accumulator = catch_torch_panic(|| MetricAccumulator::new(self.compute.device))?;
        let mut evaluation = Evaluation {
            sums: MetricSums::default(),
            confusion: ConfusionMatrix::new(self.num_classes),
            predictions: Vec::with_capacity(loader.num_samples()),
            logits: Logits { values: Vec::new(), num_classes: self.num_classes },
            temperature: self.temperature,
            ood_scores: (!self.out_of_distribution.is_empty())
                .then(|| Vec::with_capacity(loader.num_samples())),
        };
        evaluation.logits.values.reserve_exact(loader.num_samples() * self.num_classes);
        let mut take = |scored: Scored| {
            let Evaluation { logits, ood_scores, confusion, predictions, .. } = &mut evaluation;
            for (sample, top_k) in scored.samples(&mut logits.values, ood_scores.as_mut())? {
                let target = loader.class_of(sample);
                confusion.add(target, top_k[0].class);
                predictions.push(Prediction { sample, target, top_k });
            }
            match on_batch(predictions.len()) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(EvaluationError::Interrupted),
            }
        };
        // A batch is read while the next is computed.
        let mut under_way: Option<Scored> = None;
        for batch in loader.epoch(0, 0).on_device() {
            let batch = InputBatch::from(batch?);
            let scored = catch_torch_panic(|| {
                let (logits, ood_scores) = self.scored(network, &batch.batch.images)?;
                self.add(&logits, &batch, &mut accumulator)?;
                let [classes, probabilities] = self.top_k(&logits, top_k);
                let found: Vec<Tensor> =
                    [classes, probabilities, logits].into_iter().chain(ood_scores).collect();
                let fetch = Fetch::start(&found, Vec::new());
                let samples = batch.batch.indices;
                Ok::<_, EvaluationError>(Scored { samples, fetch: fetch.map_err(TorchError::from)? })
            })??;
            if let Some(before) = under_way.replace(scored) {
                take(before)?;
            }
        }
        under_way.map_or(Ok(()), take)?;
        evaluation.sums = accumulator.sums()?;
        Ok(evaluation)
    }

    /// The embeddings of all images of `loader` (its epoch 0). `on_batch` is called after each batch
    /// and may stop it.
    ///
    /// # Errors
    /// See [`EvaluationError`]; a TorchScript module has no embeddings.
    pub fn embeddings(
        &self,
        network: &dyn Classifier,
        loader: &Loader,
        mut on_batch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Embeddings, EvaluationError> {
        let mut found = Embeddings::default();
        for batch in loader.epoch(0, 0).on_device() {
            let batch = batch?;
            if batch.indices.is_empty() {
                continue;
            }
            let embeddings = catch_torch_panic(|| {
                let Embedded { embeddings, .. } = network.embed(&batch.images, &self.compute)?;
                Ok::<_, EvaluationError>(torch_ext::to_host(&embeddings).map_err(TorchError::from)?)
            })??;
            found.dim = *embeddings.size().last().unwrap_or(&0) as usize;
            found.values.extend(values::<f32>(&embeddings)?);
            found.samples.extend(batch.indices);
            if on_batch().is_break() {
                return Err(EvaluationError::Interrupted);
            }
        }
        Ok(found)
    }

    /// Of each of `images` `[N, C, H, W]` the `top_k` (at least 1) most probable classes.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn predict(
        &self,
        network: &dyn Classifier,
        images: &Tensor,
        top_k: usize,
    ) -> Result<Vec<Answer>, EvaluationError> {
        let fetch = catch_torch_panic(|| {
            let (logits, ood_scores) = self.scored(network, images)?;
            let found: Vec<Tensor> = self.top_k(&logits, top_k).into_iter().chain(ood_scores).collect();
            Ok::<_, EvaluationError>(Fetch::start(&found, Vec::new()).map_err(TorchError::from)?)
        })??;
        let fetched = fetch.wait().map_err(TorchError::from)?;
        let [classes, probabilities, ood_scores @ ..] = &fetched[..] else { return Ok(Vec::new()) };
        let mut ood_scores =
            ood_scores.first().map(values::<f32>).transpose()?.unwrap_or_default().into_iter();
        let answer = |top_k| Answer { top_k, ood_score: ood_scores.next() };
        Ok(ranked(classes, probabilities)?.into_iter().map(answer).collect())
    }

    /// The `k` (at least 1) most probable classes of each sample of `logits` `[N, K]` f32, best first:
    /// classes `[N, k]` i64 and probabilities `[N, k]` f32.
    fn top_k(&self, logits: &Tensor, k: usize) -> [Tensor; 2] {
        let top_k = if self.has_several_labels { metrics::top_k_labels } else { metrics::top_k };
        let (classes, probabilities) = if self.temperature == 1.0 {
            top_k(logits, k.max(1))
        } else {
            top_k(&(logits / self.temperature), k.max(1))
        };
        [classes, probabilities]
    }

    /// Adds a batch to the sums.
    fn add(
        &self,
        logits: &Tensor,
        batch: &InputBatch,
        accumulator: &mut MetricAccumulator,
    ) -> Result<(), EvaluationError> {
        let classes = &batch.batch.targets;
        let targets = Targets::Classes(classes.shallow_clone());
        let loss = tch::no_grad(|| self.loss.forward(logits, &targets))?;
        accumulator.add(&loss, logits, classes);
        Ok(())
    }

    /// The logits `[N, K]` f32 of `images`, and where they are asked for the scores `[N]` f32 of how
    /// unlike those of training these are.
    fn scored(
        &self,
        network: &dyn Classifier,
        images: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>), EvaluationError> {
        if self.out_of_distribution.is_empty() {
            return Ok((self.logits(network, images.into())?, None));
        }
        let Embedded { embeddings, logits } = network.embed(images, &self.compute)?;
        let scores = tch::no_grad(|| OutOfDistribution::mean_scores(self.out_of_distribution, &embeddings));
        Ok((self.of_all_classes(logits)?, Some(scores)))
    }

    /// The logits `[N, K]` f32, for as many classes as there are.
    fn logits(&self, network: &dyn Classifier, input: Input<'_>) -> Result<Tensor, EvaluationError> {
        self.of_all_classes(network.logits(input, &self.compute)?)
    }

    /// `logits`, if they are of as many classes as there are.
    fn of_all_classes(&self, logits: Tensor) -> Result<Tensor, EvaluationError> {
        match logits.size().as_slice() {
            &[_, classes] if classes == self.num_classes as i64 => Ok(logits),
            size => Err(EvaluationError::Classes {
                logits: *size.last().unwrap_or(&0),
                classes: self.num_classes,
            }),
        }
    }
}
