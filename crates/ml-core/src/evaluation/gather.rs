//! What each process has found of its images → what all have found, in the order of the images.

use serde::{Deserialize, Serialize};

use super::{ClassProbability, Embeddings, Evaluation, Prediction};
use crate::distributed::{DistributedError, World};
use crate::metrics::{ConfusionMatrix, MetricSums};

/// Sample, target, and (class, bits of the probability) of the most probable classes.
type SentPrediction = (usize, usize, Vec<(usize, u32)>);

/// A process's part of an [`Evaluation`], for the others; floats by their bits.
#[derive(Serialize, Deserialize)]
struct Part {
    loss_sum: u64,
    loss_divisor: u64,
    counts: [u64; 3],
    predictions: Vec<SentPrediction>,
    ood_scores: Option<Vec<u32>>,
}

impl Evaluation {
    /// With the images of all processes of `world`, whose shares follow each other.
    ///
    /// # Errors
    /// Another process has ended.
    pub fn gathered(self, world: &World) -> Result<Evaluation, DistributedError> {
        if world.is_alone() {
            return Ok(self);
        }
        let part = Part {
            loss_sum: self.sums.loss_sum.to_bits(),
            loss_divisor: self.sums.loss_divisor.to_bits(),
            counts: [self.sums.correct, self.sums.correct_top5, self.sums.count],
            predictions: self.predictions.into_iter().map(sent).collect(),
            ood_scores: self.ood_scores.map(|scores| scores.into_iter().map(f32::to_bits).collect()),
        };
        let mut sums = MetricSums::default();
        let mut confusion = ConfusionMatrix::new(self.confusion.num_classes());
        let (mut predictions, mut ood_scores) = (Vec::new(), part.ood_scores.is_some().then(Vec::new));
        for bytes in world.gather(&to_bytes(&part)?)? {
            let Part { loss_sum, loss_divisor, counts, predictions: theirs, ood_scores: scores } =
                from_bytes(&bytes)?;
            let [correct, correct_top5, count] = counts;
            let (loss_sum, loss_divisor) = (f64::from_bits(loss_sum), f64::from_bits(loss_divisor));
            sums = sums + MetricSums { loss_sum, loss_divisor, correct, correct_top5, count };
            for prediction in theirs.into_iter().filter_map(received) {
                confusion.add(prediction.target, prediction.best().class);
                predictions.push(prediction);
            }
            if let Some(all) = &mut ood_scores {
                all.extend(scores.unwrap_or_default().into_iter().map(f32::from_bits));
            }
        }
        let mut logits = self.logits;
        logits.values = gather_floats(world, &logits.values)?;
        Ok(Evaluation { sums, confusion, predictions, logits, temperature: self.temperature, ood_scores })
    }
}

impl Embeddings {
    /// With the images of all processes of `world`, whose shares follow each other.
    ///
    /// # Errors
    /// Another process has ended.
    pub fn gathered(self, world: &World) -> Result<Embeddings, DistributedError> {
        if world.is_alone() {
            return Ok(self);
        }
        let values = gather_floats(world, &self.values)?;
        let mut found = Embeddings { values, dim: 0, samples: Vec::new() };
        for bytes in world.gather(&to_bytes(&(self.dim, &self.samples))?)? {
            let (dim, samples): (usize, Vec<usize>) = from_bytes(&bytes)?;
            found.dim = found.dim.max(dim);
            found.samples.extend(samples);
        }
        Ok(found)
    }
}

fn sent(Prediction { sample, target, top_k }: Prediction) -> SentPrediction {
    (sample, target, top_k.into_iter().map(|one| (one.class, one.probability.to_bits())).collect())
}

/// None without a class, which none is sent without.
fn received((sample, target, top_k): SentPrediction) -> Option<Prediction> {
    let of = |(class, probability)| ClassProbability { class, probability: f32::from_bits(probability) };
    let top_k: Vec<ClassProbability> = top_k.into_iter().map(of).collect();
    (!top_k.is_empty()).then_some(Prediction { sample, target, top_k })
}

pub(super) fn gather_floats(world: &World, values: &[f32]) -> Result<Vec<f32>, DistributedError> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let all = world.gather(&bytes)?;
    Ok(all.iter().flat_map(|bytes| bytes.as_chunks().0).map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

pub(super) fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>, DistributedError> {
    serde_json::to_vec(value).map_err(|error| DistributedError::Torch(error.to_string()))
}

pub(super) fn from_bytes<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, DistributedError> {
    serde_json::from_slice(bytes).map_err(|error| DistributedError::Torch(error.to_string()))
}
