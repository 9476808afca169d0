//! Network + loss + batches → sums, predictions: the one forward path of validation, test and
//! prediction. Precision, memory format and device are decided in its [`Compute`].

mod analysis;
mod calibration;

use std::ops::ControlFlow;

use tch::{Kind, Tensor};
use torch_ext::Fetch;

use crate::device::Compute;
use crate::features::{Batches, FeatureError, InputBatch};
use crate::loader::{Loader, LoaderError};
use crate::loss::{Loss, LossError, Targets};
use crate::metrics::{self, ConfusionMatrix, MetricAccumulator, MetricSums};
use crate::network::{Classifier, ForwardError, Input, Network, ScriptError};
use crate::torch_error::{TorchError, catch_torch_panic};

pub use analysis::{Analysis, Confidence, Logits};
pub use calibration::{AnswerThreshold, Calibration};

/// A class and how sure the network is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassProbability {
    /// In `0..num_classes`.
    pub class: usize,
    /// Softmax probability, in `0..=1`.
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
}

impl<'a> Evaluator<'a> {
    /// Computes as `compute` says, and `loss` for the sums, for networks of `num_classes` logits.
    pub fn new(compute: Compute, loss: &'a Loss, num_classes: usize) -> Evaluator<'a> {
        Evaluator { compute, loss, num_classes, temperature: 1.0 }
    }

    /// The same with probabilities that are the softmax of the logits divided by `temperature`.
    /// Logits and losses stay what they are.
    #[must_use]
    pub fn with_temperature(self, temperature: f64) -> Evaluator<'a> {
        Evaluator { temperature, ..self }
    }

    /// The sums over all `batches` for each of `networks`: the weights and their average see the
    /// same. `on_batch` is called after each and may stop it.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn sums(
        &self,
        networks: &[&Network],
        batches: Batches,
        mut on_batch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<MetricSums>, EvaluationError> {
        let device = self.compute.device;
        let mut accumulators: Vec<_> = networks.iter().map(|_| MetricAccumulator::new(device)).collect();
        for batch in batches {
            let batch = batch?;
            for (network, accumulator) in networks.iter().zip(&mut accumulators) {
                let _logits = self.add(*network, &batch, accumulator)?;
            }
            if on_batch().is_break() {
                return Err(EvaluationError::Interrupted);
            }
        }
        Ok(accumulators.iter().map(MetricAccumulator::sums).collect::<Result<_, _>>()?)
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
        };
        evaluation.logits.values.reserve_exact(loader.num_samples() * self.num_classes);
        let mut take = |scored: Scored| {
            for (sample, top_k) in scored.samples(&mut evaluation.logits.values)? {
                let target = loader.class_of(sample);
                evaluation.confusion.add(target, top_k[0].class);
                evaluation.predictions.push(Prediction { sample, target, top_k });
            }
            match on_batch(evaluation.predictions.len()) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(EvaluationError::Interrupted),
            }
        };
        // A batch is read while the next is computed.
        let mut under_way: Option<Scored> = None;
        for batch in loader.epoch(0, 0).on_device() {
            let batch = InputBatch::from(batch?);
            let scored = catch_torch_panic(|| {
                let logits = self.add(network, &batch, &mut accumulator)?.to_kind(Kind::Float);
                let [classes, probabilities] = self.top_k(&logits, top_k);
                let fetch = Fetch::start(&[classes, probabilities, logits], Vec::new());
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

    /// The `top_k` (at least 1) most probable classes of each of `images` `[N, C, H, W]`, best first.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn predict(
        &self,
        network: &dyn Classifier,
        images: &Tensor,
        top_k: usize,
    ) -> Result<Vec<Vec<ClassProbability>>, EvaluationError> {
        let best = catch_torch_panic(|| {
            let best = self.top_k(&self.logits(network, images.into())?, top_k);
            Ok::<_, EvaluationError>(Fetch::start(&best, Vec::new()).map_err(TorchError::from)?)
        })??;
        let [classes, probabilities] = &best.wait().map_err(TorchError::from)?[..] else {
            return Ok(Vec::new());
        };
        Ok(ranked(classes, probabilities)?)
    }

    /// The `k` (at least 1) most probable classes of each sample of `logits` `[N, K]` f32, best first:
    /// classes `[N, k]` i64 and probabilities `[N, k]` f32.
    fn top_k(&self, logits: &Tensor, k: usize) -> [Tensor; 2] {
        let (classes, probabilities) = if self.temperature == 1.0 {
            metrics::top_k(logits, k.max(1))
        } else {
            metrics::top_k(&(logits / self.temperature), k.max(1))
        };
        [classes, probabilities]
    }

    /// Adds a batch to the sums; its logits.
    fn add(
        &self,
        network: &dyn Classifier,
        batch: &InputBatch,
        accumulator: &mut MetricAccumulator,
    ) -> Result<Tensor, EvaluationError> {
        let logits = self.logits(network, batch.input())?;
        let classes = &batch.batch.targets;
        let targets = Targets::Classes(classes.shallow_clone());
        let loss = tch::no_grad(|| self.loss.forward(&logits, &targets))?;
        accumulator.add(&loss, &logits, classes);
        Ok(logits)
    }

    /// The logits `[N, K]` f32, for as many classes as there are.
    fn logits(&self, network: &dyn Classifier, input: Input<'_>) -> Result<Tensor, EvaluationError> {
        let logits = network.logits(input, &self.compute)?;
        match logits.size().as_slice() {
            &[_, classes] if classes == self.num_classes as i64 => Ok(logits),
            size => Err(EvaluationError::Classes {
                logits: *size.last().unwrap_or(&0),
                classes: self.num_classes,
            }),
        }
    }
}

/// The most probable classes of a batch, on their way to the host.
struct Scored {
    samples: Vec<usize>,
    /// Classes `[N, k]` i64, probabilities `[N, k]` f32 and logits `[N, K]` f32.
    fetch: Fetch,
}

impl Scored {
    /// Each sample's place in the index and its classes; their logits are put behind `all_logits`.
    fn samples(
        self,
        all_logits: &mut Vec<f32>,
    ) -> Result<impl Iterator<Item = (usize, Vec<ClassProbability>)>, TorchError> {
        let fetched = self.fetch.wait()?;
        let ranked = match &fetched[..] {
            [classes, probabilities, logits] => {
                all_logits.extend(values::<f32>(logits)?);
                ranked(classes, probabilities)?
            }
            _ => Vec::new(),
        };
        Ok(self.samples.into_iter().zip(ranked))
    }
}

/// Classes `[N, k]` i64 and their probabilities `[N, k]` f32 in host memory, row by row.
fn ranked(classes: &Tensor, probabilities: &Tensor) -> Result<Vec<Vec<ClassProbability>>, TorchError> {
    let width = classes.size()[1] as usize;
    let scored: Vec<ClassProbability> = values::<i64>(classes)?
        .into_iter()
        .zip(values::<f32>(probabilities)?)
        .map(|(class, probability)| ClassProbability { class: class as usize, probability })
        .collect();
    Ok(scored.chunks(width.max(1)).map(<[ClassProbability]>::to_vec).collect())
}

/// All elements of a tensor in host memory.
fn values<T>(tensor: &Tensor) -> Result<Vec<T>, TorchError>
where
    Vec<T>: TryFrom<Tensor, Error = tch::TchError>,
{
    Ok(Vec::try_from(tensor.flatten(0, -1)).map_err(torch_ext::Error::from)?)
}
