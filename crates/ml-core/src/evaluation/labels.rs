//! Networks on images with several labels: the sigmoid of each logit, the labels, and their metrics.

use std::ops::ControlFlow;

use ml_data::dataset::Index;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::gather::{from_bytes, gather_floats, to_bytes};
use super::scored::values;
use super::{EvaluationError, Evaluator, Logits};
use crate::distributed::{DistributedError, World};
use crate::features::{Batches, InputBatch};
use crate::loader::Loader;
use crate::loss::Targets;
use crate::metrics::multilabel::{ClassThresholds, LabelError, MultiHot, MultilabelMetrics, fit_thresholds};
use crate::metrics::{MetricAccumulator, MetricSums, Probabilities};
use crate::network::Classifier;
use crate::torch_error::{TorchError, catch_torch_panic};

/// What [`Evaluator::evaluate_labels`] found.
#[derive(Clone, Debug)]
pub struct LabelEvaluation {
    /// Sums of the loss, and of the images whose labels are all right at the probability 0.5.
    pub sums: MetricSums,
    /// The samples' indices in the data set's split, in the loader's order.
    pub samples: Vec<usize>,
    /// Of the same samples.
    pub logits: Logits,
    /// What logits were divided by for the probabilities; 1 leaves them as they are.
    pub temperature: f64,
    /// `[N, K]` row by row: the sigmoid of each logit.
    pub probabilities: Vec<f32>,
    /// Of the same samples.
    pub labels: MultiHot,
}

impl LabelEvaluation {
    /// The metrics, with classes predicted from these thresholds on; on at most `threads` threads, on
    /// whose number nothing depends.
    ///
    /// # Panics
    /// There are not as many thresholds as classes.
    pub fn metrics(&self, thresholds: &ClassThresholds, threads: usize) -> MultilabelMetrics {
        MultilabelMetrics::new(self.scores(), &self.labels, thresholds, threads)
    }

    /// The thresholds with the highest F1 of each class on these samples, see [`fit_thresholds`].
    pub fn fit_thresholds(&self, threads: usize) -> ClassThresholds {
        fit_thresholds(self.scores(), &self.labels, threads)
    }

    /// The probabilities, for metrics.
    ///
    /// # Panics
    /// There is not one of each image and class.
    pub fn scores(&self) -> Probabilities<'_> {
        // As many rows of as many values as there are samples.
        Probabilities::new(&self.probabilities, self.logits.num_classes.max(1))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// With the images of all processes of `world`, whose shares of `index` follow each other.
    ///
    /// # Errors
    /// Another process has ended.
    pub fn gathered(self, world: &World, index: &Index) -> Result<LabelEvaluation, DistributedError> {
        if world.is_alone() {
            return Ok(self);
        }
        let MetricSums { loss_sum, loss_divisor, correct, correct_top5, count } = self.sums;
        let part = Part {
            losses: [loss_sum, loss_divisor].map(f64::to_bits),
            counts: [correct, correct_top5, count],
            samples: self.samples,
        };
        let (mut sums, mut samples) = (MetricSums::default(), Vec::new());
        for bytes in world.gather(&to_bytes(&part)?)? {
            let Part { losses, counts, samples: theirs } = from_bytes(&bytes)?;
            let [loss_sum, loss_divisor] = losses.map(f64::from_bits);
            let [correct, correct_top5, count] = counts;
            sums = sums + MetricSums { loss_sum, loss_divisor, correct, correct_top5, count };
            samples.extend(theirs);
        }
        let mut logits = self.logits;
        logits.values = gather_floats(world, &logits.values)?;
        let found = Found { sums, samples, logits };
        found.finish(self.temperature, index).map_err(|error| DistributedError::Torch(error.to_string()))
    }
}

/// A process's part, for the others; floats by their bits.
#[derive(Serialize, Deserialize)]
struct Part {
    losses: [u64; 2],
    counts: [u64; 3],
    samples: Vec<usize>,
}

/// What a network has made of images so far.
struct Found {
    sums: MetricSums,
    samples: Vec<usize>,
    logits: Logits,
}

impl Found {
    /// With the labels of `index`.
    fn finish(self, temperature: f64, index: &Index) -> Result<LabelEvaluation, LabelError> {
        let Found { sums, samples, logits } = self;
        let labels = samples.iter().map(|&sample| index.labels(sample));
        let labels = MultiHot::from_sets(logits.num_classes, labels)?;
        let probabilities = logits.sigmoid(temperature);
        Ok(LabelEvaluation { sums, samples, logits, temperature, probabilities, labels })
    }
}

impl Logits {
    /// The sigmoid of each logit divided by `temperature`, `[N, K]`; NaN of NaN.
    pub fn sigmoid(&self, temperature: f64) -> Vec<f32> {
        let sigmoid = |value: &f32| (1.0 / (1.0 + (-f64::from(*value) / temperature).exp())) as f32;
        self.values.iter().map(sigmoid).collect()
    }
}

impl Evaluator<'_> {
    /// Evaluates `network` on all batches of `loader` (its epoch 0), whose images have several labels.
    /// `on_batch` is called after each batch and may stop it.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn evaluate_labels(
        &self,
        network: &dyn Classifier,
        loader: &Loader,
        on_batch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<LabelEvaluation, EvaluationError> {
        let batches = Batches::from(loader.epoch(0, 0));
        let found = self.label_batches(&[network], batches, loader.index(), on_batch)?;
        // One for each network.
        found.into_iter().next().ok_or(EvaluationError::Interrupted)
    }

    /// As [`Evaluator::evaluate_labels`] for each of `networks`, of `batches` of `index`: the weights
    /// and their average see the same.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn label_batches(
        &self,
        networks: &[&dyn Classifier],
        batches: Batches,
        index: &Index,
        mut on_batch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<LabelEvaluation>, EvaluationError> {
        let (num_classes, device) = (self.num_classes, self.compute.device);
        let mut samples = Vec::new();
        let mut found = Vec::with_capacity(networks.len());
        for _ in networks {
            let accumulator = catch_torch_panic(|| MetricAccumulator::new(device))?;
            found.push((accumulator, Vec::<f32>::new()));
        }
        for batch in batches {
            let batch = batch?;
            for (network, (accumulator, all)) in networks.iter().zip(&mut found) {
                let logits = catch_torch_panic(|| {
                    let logits = self.logits(*network, batch.input())?;
                    self.add_labels(&logits, &batch, accumulator)?;
                    Ok::<_, EvaluationError>(torch_ext::to_host(&logits).map_err(TorchError::from)?)
                })??;
                all.extend(values::<f32>(&logits)?);
            }
            samples.extend_from_slice(&batch.batch.indices);
            if on_batch().is_break() {
                return Err(EvaluationError::Interrupted);
            }
        }
        let finish = |(accumulator, values): (MetricAccumulator, Vec<f32>)| {
            let sums = accumulator.sums()?;
            let found = Found { sums, samples: samples.clone(), logits: Logits { values, num_classes } };
            Ok::<_, EvaluationError>(found.finish(self.temperature, index)?)
        };
        found.into_iter().map(finish).collect()
    }

    /// Adds a batch to the sums.
    fn add_labels(
        &self,
        logits: &Tensor,
        batch: &InputBatch,
        accumulator: &mut MetricAccumulator,
    ) -> Result<(), EvaluationError> {
        let Some(labels) = &batch.batch.labels else { return Err(EvaluationError::NoLabels) };
        let targets = Targets::MultiHot(labels.shallow_clone());
        let loss = tch::no_grad(|| self.loss.forward(logits, &targets))?;
        accumulator.add_labels(&loss, logits, labels);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use ml_data::dataset::{Sample, Split};

    use super::*;

    fn found() -> LabelEvaluation {
        let sample = |name: &str| Sample { path: Path::new(name).into(), class: 0 };
        let sets = [vec![0u32, 1], vec![], vec![1]].into_iter().collect();
        let index = Index {
            root: PathBuf::new(),
            split: Split::Val,
            samples: vec![sample("a"), sample("b"), sample("c")],
            label_sets: Some(Arc::new(sets)),
        };
        let logits = Logits { values: vec![3.0, -1.0, -2.0, -2.0, 0.0, 4.0], num_classes: 2 };
        let found = Found { sums: MetricSums::default(), samples: vec![2, 1, 0], logits };
        found.finish(2.0, &index).unwrap()
    }

    #[test]
    fn labels_are_those_of_the_samples_and_probabilities_the_sigmoid() {
        let found = found();
        let labels: Vec<Vec<usize>> = (0..3).map(|image| found.labels.labels(image).collect()).collect();
        assert_eq!(labels, [vec![1], vec![], vec![0, 1]]);
        assert_eq!(found.probabilities[4], 0.5);
        assert!((found.probabilities[0] - 1.0 / (1.0 + (-1.5f32).exp())).abs() < 1e-7);
        assert!(Logits { values: vec![f32::NAN], num_classes: 1 }.sigmoid(1.0)[0].is_nan());
    }

    #[test]
    fn fitted_thresholds_are_no_worse_than_one_half() {
        let found = found();
        let fitted = found.fit_thresholds(1);
        let [plain, best] = [&ClassThresholds::uniform(2), &fitted].map(|one| found.metrics(one, 1));
        assert!(best.macro_average.f1 >= plain.macro_average.f1);
        assert_eq!(plain.num_images, 3);
        assert_eq!(plain.mean_average_precision, best.mean_average_precision);
    }
}
