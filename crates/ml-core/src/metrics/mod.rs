//! Logits + targets → counts (added up on the device), then metrics.
//!
//! [`MetricAccumulator`] sums loss and hits over batches without reading the device;
//! [`ConfusionMatrix`] counts pairs of true and predicted classes; [`ClassificationReport`] makes
//! precision, recall and F1 of it, and [`agreement`] single figures. What is left takes the
//! probabilities of all samples, plain numbers: [`ranking`] (ROC-AUC, average precision),
//! [`calibration`], [`selective`] prediction and [`label_issues`]; of images with several labels,
//! [`multilabel`]. [`intervals`] says how sure a figure is, or a difference of two.

pub mod agreement;
pub mod calibration;
mod classification;
mod confusion;
pub mod intervals;
pub mod label_issues;
pub mod multilabel;
mod parallel;
pub mod probabilities;
pub mod ranking;
pub mod selective;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use tch::{Device, Kind, Tensor};

use crate::loss::LossValue;
use crate::torch_error::TorchError;

pub use classification::{Average, ClassMetrics, ClassificationReport};
pub use confusion::ConfusionMatrix;
pub use probabilities::Probabilities;

/// The `k` of "top-5"; with fewer classes, their number.
pub const TOP_K: i64 = 5;

/// Running sums over batches, kept on the device: reading them is the only synchronisation.
#[derive(Debug)]
pub struct MetricAccumulator {
    /// `[2]`, f64: the loss times its divisor, and the divisors.
    losses: Tensor,
    /// `[3]`, i64: correct, correct among the top 5, all.
    counts: Tensor,
    /// `[K · K]`, i64: by true class and predicted one, where that is counted.
    confusion: Option<(usize, Tensor)>,
}

/// What [`MetricAccumulator`] has summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MetricSums {
    /// Sum over batches of the mean loss times what that mean was divided by.
    pub loss_sum: f64,
    /// What the means were divided by: the number of samples, or the sum of their class weights.
    pub loss_divisor: f64,
    /// Samples whose class has the highest score; with several labels, whose labels are all right.
    pub correct: u64,
    /// Samples whose class is among the five highest scores.
    pub correct_top5: u64,
    /// Samples.
    pub count: u64,
}

impl std::ops::Add for MetricSums {
    type Output = MetricSums;

    fn add(self, other: MetricSums) -> MetricSums {
        MetricSums {
            loss_sum: self.loss_sum + other.loss_sum,
            loss_divisor: self.loss_divisor + other.loss_divisor,
            correct: self.correct + other.correct,
            correct_top5: self.correct_top5 + other.correct_top5,
            count: self.count + other.count,
        }
    }
}

impl MetricSums {
    /// The mean loss, the same however the samples were put into batches; 0 where no sample has a
    /// weight, NaN without samples.
    pub fn loss(&self) -> f64 {
        if self.loss_divisor == 0.0 && self.loss_sum == 0.0 && self.count > 0 {
            return 0.0;
        }
        self.loss_sum / self.loss_divisor
    }

    /// Fraction of the samples that are correct, in `0..=1`; NaN without samples.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.count as f64
    }

    /// Fraction of the samples whose class is among the five highest scores, in `0..=1`; NaN
    /// without samples.
    pub fn top5_accuracy(&self) -> f64 {
        self.correct_top5 as f64 / self.count as f64
    }
}

impl MetricAccumulator {
    /// All sums zero.
    pub fn new(device: Device) -> MetricAccumulator {
        MetricAccumulator::from_sums(MetricSums::default(), device)
    }

    /// Continues from sums read earlier (a resumed epoch): what is added then gives the same sums,
    /// to the bit, as if they had never been read.
    pub fn from_sums(sums: MetricSums, device: Device) -> MetricAccumulator {
        // Filled in place, since a copy from the host to a GPU would wait for it.
        let losses = Tensor::zeros([2], (Kind::Double, device));
        for (at, value) in (0..).zip([sums.loss_sum, sums.loss_divisor]) {
            let _ = losses.get(at).fill_(value);
        }
        let counts = Tensor::zeros([3], (Kind::Int64, device));
        for (at, count) in (0..).zip([sums.correct, sums.correct_top5, sums.count]) {
            let _ = counts.get(at).fill_(count as i64);
        }
        MetricAccumulator { losses, counts, confusion: None }
    }

    /// Also counts pairs of true and predicted classes from here on.
    #[must_use]
    pub fn with_confusion(self, num_classes: usize) -> MetricAccumulator {
        let cells = (num_classes * num_classes) as i64;
        let counts = Tensor::zeros([cells], (Kind::Int64, self.losses.device()));
        MetricAccumulator { confusion: Some((num_classes, counts)), ..self }
    }

    /// Adds a batch: its loss, `logits` `[N, K]` and `targets` `[N]` i64, on the logits' device.
    /// Hits are counted as [`ranks`] says.
    pub fn add(&mut self, loss: &LossValue, logits: &Tensor, targets: &Tensor) {
        tch::no_grad(|| {
            let samples = logits.size()[0];
            let mean = loss.mean.detach().to_kind(Kind::Double);
            let _ = self.losses.get(0).g_add_(&(mean * &loss.divisor));
            let _ = self.losses.get(1).g_add_(&loss.divisor);
            let ranks = ranks(logits, targets);
            for (index, k) in [(0, 1), (1, TOP_K.min(logits.size()[1]))] {
                let _ = self.counts.get(index).g_add_(&ranks.lt(k).sum(Kind::Int64));
            }
            let _ = self.counts.get(2).g_add_scalar_(samples);
            if let Some((num_classes, counts)) = &mut self.confusion {
                let cells = targets * *num_classes as i64 + logits.argmax(1, false);
                let _ = counts.index_add_(0, &cells, &cells.ones_like());
            }
        });
    }

    /// As [`Self::add`], of images with several labels: `labels` `[N, K]` f32 in 0 to 1, of which
    /// those above 0.5 are there. Correct is an image whose labels are all predicted, and nothing
    /// else, at the probability 0.5; none is counted among the top 5.
    pub fn add_labels(&mut self, loss: &LossValue, logits: &Tensor, labels: &Tensor) {
        tch::no_grad(|| {
            let mean = loss.mean.detach().to_kind(Kind::Double);
            let _ = self.losses.get(0).g_add_(&(mean * &loss.divisor));
            let _ = self.losses.get(1).g_add_(&loss.divisor);
            let wrong = logits.ge(0.0).logical_xor(&labels.gt(0.5)).sum_dim_intlist(1, false, Kind::Int64);
            // A row with NaN is none of a classifier's.
            let is_number = logits.isnan().sum_dim_intlist(1, false, Kind::Int64).eq(0);
            let _ = self.counts.get(0).g_add_(&wrong.eq(0).logical_and(&is_number).sum(Kind::Int64));
            let _ = self.counts.get(2).g_add_scalar_(logits.size()[0]);
        });
    }

    /// Reads the sums, in one copy from the device.
    ///
    /// # Errors
    /// What the device could not do.
    pub fn sums(&self) -> Result<MetricSums, TorchError> {
        Ok(self.read()?.0)
    }

    /// Reads the sums, and the pairs of classes where they are counted, in one copy from the device.
    ///
    /// # Errors
    /// What the device could not do.
    pub fn read(&self) -> Result<(MetricSums, Option<ConfusionMatrix>), TorchError> {
        // Counts below 2^53 are exact in float64.
        let parts = [Some(&self.counts), self.confusion.as_ref().map(|(_, counts)| counts)];
        let parts = parts.into_iter().flatten().map(|counts| counts.to_kind(Kind::Double));
        let all: Vec<Tensor> = std::iter::once(self.losses.shallow_clone()).chain(parts).collect();
        let all = torch_ext::to_host(&Tensor::cat(&all, 0))?;
        let values = Vec::<f64>::try_from(&all).map_err(torch_ext::Error::from)?;
        let &[loss_sum, loss_divisor, correct, correct_top5, count, ref cells @ ..] = &values[..] else {
            return Ok((MetricSums::default(), None));
        };
        let sums = MetricSums {
            loss_sum,
            loss_divisor,
            correct: correct as u64,
            correct_top5: correct_top5 as u64,
            count: count as u64,
        };
        let matrix = self.confusion.as_ref().map(|(num_classes, _)| {
            let mut matrix = ConfusionMatrix::new(*num_classes);
            for (cell, count) in cells.iter().enumerate().filter(|(_, count)| **count > 0.0) {
                matrix.add_many(cell / num_classes, cell % num_classes, *count as u64);
            }
            matrix
        });
        Ok((sums, matrix))
    }
}

/// For each sample the number of classes that score before its own: `logits` `[N, K]`, `targets`
/// `[N]` i64 → `[N]` i64; 0 is a hit. Of equal scores the class with the lower number comes first,
/// as in `argmax`, so the answer does not depend on the device's sorting. A sample whose own score
/// is NaN has rank `K`: never a hit.
pub fn ranks(logits: &Tensor, targets: &Tensor) -> Tensor {
    let own_class = targets.unsqueeze(1); // [N, 1]
    let own = logits.gather(1, &own_class, false); // [N, 1]
    let classes = Tensor::arange(logits.size()[1], (Kind::Int64, logits.device())); // [K]
    // `not ≤` rather than `>`: a NaN comes before everything.
    let before = logits.le_tensor(&own).logical_not();
    let ties_before = logits.eq_tensor(&own).logical_and(&classes.lt_tensor(&own_class));
    before.logical_or(&ties_before).sum_dim_intlist(1, false, Kind::Int64)
}

/// The `k` most probable classes of each sample (all if there are fewer), best first: `logits` `[N,
/// K]` → classes `[N, k]` i64 and their softmax probabilities `[N, k]` f32. Equal probabilities
/// come by class number.
pub fn top_k(logits: &Tensor, k: usize) -> (Tensor, Tensor) {
    ranked(logits, k, |logits| logits.softmax(1, Kind::Float))
}

/// As [`top_k`], with the sigmoid of each logit, computed in double precision: the probabilities of
/// labels, of which an image may have several.
pub fn top_k_labels(logits: &Tensor, k: usize) -> (Tensor, Tensor) {
    ranked(logits, k, |logits| logits.to_kind(Kind::Double).sigmoid().to_kind(Kind::Float))
}

/// The classes with the `k` highest logits, and what `of` makes of these.
fn ranked(logits: &Tensor, k: usize, of: impl Fn(&Tensor) -> Tensor) -> (Tensor, Tensor) {
    let k = (k as i64).min(logits.size()[1]);
    // Sorted by logit: rounding may make one probability of different logits.
    let logits = logits.to_kind(Kind::Float);
    let (_, order) = logits.sort_stable(true, 1, true);
    let classes = order.narrow(1, 0, k);
    let probabilities = of(&logits).gather(1, &classes, false);
    (classes, probabilities)
}
