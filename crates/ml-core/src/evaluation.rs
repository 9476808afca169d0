//! A network + a [`Loader`] in the index's order → sums, a confusion matrix and each sample's best
//! classes. The trainer evaluates with it after training, inference at any time.

use std::ops::ControlFlow;

use tch::{Device, Tensor};

use crate::loader::{DeviceBatch, Loader, LoaderError};
use crate::metrics::{self, ConfusionMatrix, MetricAccumulator, MetricSums};
use crate::network::ScriptError;
use crate::torch_error::{TorchError, catch_torch_panic};

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
    /// The sample's place in the index.
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

/// What an [`evaluate`] found.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Sums of loss and hits.
    pub totals: MetricSums,
    /// True classes by predicted ones.
    pub confusion: ConfusionMatrix,
    /// In the loader's order.
    pub predictions: Vec<Prediction>,
}

/// Why an evaluation did not end.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A batch could not be made; names the image.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A TorchScript module failed.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// libtorch cannot do what a batch takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The network gives another number of logits than there are classes.
    #[error("the network tells {logits} classes apart, but there are {classes}")]
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

/// How to [`evaluate`].
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions {
    /// Where the network lives.
    pub device: Device,
    /// Classes of the data set.
    pub num_classes: usize,
    /// How many of the most probable classes to keep of each sample, at least 1.
    pub top_k: usize,
}

/// Runs all batches of `loader` (its epoch 0) through `forward` (images `[N, 3, H, W]` f32 → logits
/// `[N, K]`, in evaluation mode; no gradients are recorded). `loss` gives the batch mean of the
/// loss for logits and targets. `on_batch` is told after each batch how many samples are done, and
/// may stop the evaluation.
///
/// # Errors
/// See [`EvaluationError`].
pub fn evaluate(
    forward: impl Fn(&Tensor) -> Result<Tensor, ScriptError>,
    loss: impl Fn(&Tensor, &Tensor) -> Tensor,
    loader: &Loader,
    options: EvaluateOptions,
    mut on_batch: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Evaluation, EvaluationError> {
    let _guard = tch::no_grad_guard();
    let mut running = MetricAccumulator::new(options.device);
    let mut confusion = ConfusionMatrix::new(options.num_classes);
    let mut predictions = Vec::with_capacity(loader.num_samples());
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        catch_torch_panic(|| {
            let DeviceBatch { images, targets, indices, .. } = batch.to_device();
            let logits = forward(&images)?;
            check_classes(&logits, options.num_classes)?;
            running.add(&loss(&logits, &targets), &logits, &targets);
            let targets = numbers(&targets).into_iter().zip(best(&logits, options.top_k));
            for (sample, (target, top_k)) in indices.into_iter().zip(targets) {
                confusion.add(target, top_k[0].class);
                predictions.push(Prediction { sample, target, top_k });
            }
            Ok::<_, EvaluationError>(())
        })??;
        if on_batch(predictions.len()).is_break() {
            return Err(EvaluationError::Interrupted);
        }
    }
    Ok(Evaluation { totals: running.totals(), confusion, predictions })
}

/// # Errors
/// If `logits` `[N, K]` are not of `num_classes` classes.
pub fn check_classes(logits: &Tensor, num_classes: usize) -> Result<(), EvaluationError> {
    match logits.size().as_slice() {
        &[_, classes] if classes == num_classes as i64 => Ok(()),
        size => Err(EvaluationError::Classes { logits: *size.last().unwrap_or(&0), classes: num_classes }),
    }
}

/// The `k` (at least 1) most probable classes of each sample of `logits` `[N, K]`, best first.
pub fn best(logits: &Tensor, k: usize) -> Vec<Vec<ClassProbability>> {
    let (classes, probabilities) = metrics::top_k(logits, k.max(1));
    let width = classes.size()[1] as usize;
    let classes = numbers(&classes);
    let mut values = vec![0f32; classes.len()];
    let probabilities = probabilities.to_device(Device::Cpu).contiguous();
    probabilities.copy_data(&mut values, classes.len());
    let scored: Vec<ClassProbability> = classes
        .into_iter()
        .zip(values)
        .map(|(class, probability)| ClassProbability { class, probability })
        .collect();
    scored.chunks(width.max(1)).map(<[ClassProbability]>::to_vec).collect()
}

/// The elements of an i64 tensor, row by row.
fn numbers(tensor: &Tensor) -> Vec<usize> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut values = vec![0i64; tensor.numel()];
    let count = values.len();
    tensor.copy_data(&mut values, count);
    values.into_iter().map(|value| value as usize).collect()
}
