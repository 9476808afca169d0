//! What a step has to do with other processes: which batches are whose, gradients that become means
//! over all, running statistics as one process would have them, and decisions that all take alike.
//!
//! W processes that accumulate A batches each train as one that accumulates W · A: the batches of a
//! step are cut into runs, each has its share of the step's mean, and seeds are those of a batch's
//! place in the step.

use std::ops::Range;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use torch_ext::Reducer;

use super::TrainError;
use crate::distributed::{DistributedConfig, DistributedError, Share, World};
use crate::metrics::MetricSums;
use crate::network::{Network, RunningStatistic};
use crate::optimizer::OptimizerError;

/// What is decided in a step besides whether losses are finite.
const DECISIONS: i64 = 3;

/// This process among those of the training.
pub(super) struct Ranks {
    world: Rc<World>,
    share: Share,
    config: DistributedConfig,
    /// For the parameters that are trained now; none of a process that is alone.
    reducer: Option<Reducer>,
    statistics: Statistics,
    /// What was decided in the last step.
    decided: Decided,
}

/// What all ranks have decided in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decided {
    /// A signal has come to some rank.
    pub stop: bool,
    /// Rank 0's checkpoint is due: by the step alone, or by the clock.
    pub due: Option<bool>,
    /// Optimizer steps of the whole training, as rank 0 has estimated them anew.
    pub total_steps: Option<u64>,
}

/// What this rank brings to the decisions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    /// A signal has come.
    pub stop: bool,
    /// Whether a checkpoint is due after this step, of rank 0.
    pub due: Option<bool>,
    /// Optimizer steps of the whole training, of rank 0 where it has estimated them anew.
    pub total_steps: Option<u64>,
}

/// The step's own figures that all ranks have added up, on the device.
#[derive(Debug)]
pub(super) struct Status {
    /// `[W + 3]` f64: of each rank, whether a loss is not finite; how many want to stop; 1 or 2 where
    /// a checkpoint is due; the steps of the training, 0 where they stay.
    pub head: Tensor,
    size: usize,
}

impl Status {
    /// Of each rank, whether a loss is not finite: `[W]` f64.
    pub fn bad_losses(&self) -> Tensor {
        self.head.narrow(0, 0, self.size as i64)
    }
}

/// [`Status`] on the host.
pub(super) struct Read {
    /// Ranks with a loss that is not finite.
    pub bad: Vec<usize>,
    pub decided: Decided,
}

impl Read {
    pub fn of(values: &[f64]) -> Read {
        let [bad @ .., stop, due, total] = values else {
            return Read { bad: Vec::new(), decided: Decided::default() };
        };
        let bad = (0..bad.len()).filter(|&rank| bad[rank] != 0.0).collect();
        let due = (*due > 0.0).then_some(*due > 1.5);
        let total_steps = (*total > 0.0).then_some(*total as u64);
        Read { bad, decided: Decided { stop: *stop > 0.0, due, total_steps } }
    }
}

/// A step's batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepBatches {
    /// Of all ranks, by number in the epoch.
    pub all: Range<usize>,
    /// Of this one.
    pub own: Range<usize>,
}

impl Ranks {
    pub fn new(world: Rc<World>, accumulated: usize, config: &DistributedConfig) -> Ranks {
        let share = Share::of_steps(world.rank(), world.size(), accumulated);
        let (reducer, statistics) = (None, Statistics::default());
        Ranks { world, share, config: config.clone(), reducer, statistics, decided: Decided::default() }
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// For the parameters of `network` that are trained from now on.
    pub fn begin(&mut self, network: &Network) -> Result<(), TrainError> {
        if self.world.is_alone() {
            return Ok(());
        }
        // Two of them would each wait for the other's backward pass.
        self.reducer = None;
        let trained: Vec<Tensor> =
            network.parameters().into_iter().map(|(_, one)| one).filter(Tensor::requires_grad).collect();
        self.reducer = self.world.reducer(&trained, &self.config)?;
        self.statistics = Statistics::of(network);
        self.decided = Decided::default();
        Ok(())
    }

    /// The batches of the step that begins with batch `first` of `num_batches`.
    pub fn step(&self, first: usize, num_batches: usize) -> StepBatches {
        let all = self.share.step(first, num_batches);
        StepBatches { own: self.share.part(&all, self.world.rank()), all }
    }

    /// What a rank's gradients are multiplied by, since they become the mean over all ranks where the
    /// sum is wanted.
    pub fn gradient_factor(&self) -> f64 {
        self.world.size() as f64
    }

    /// Has the next backward pass, from `loss`, reduce the gradients.
    pub fn prepare(&self, loss: &Tensor) -> Result<(), TrainError> {
        if let Some(reducer) = &self.reducer {
            reducer.prepare(loss).map_err(OptimizerError::from)?;
        }
        Ok(())
    }

    /// A backward pass of a rank that has no batch of this step: gradients of zero, for the others.
    pub fn backward_without_batch(&self, network: &Network) -> Result<(), TrainError> {
        let parameters = network.parameters().into_iter().map(|(_, one)| one);
        let zeros = parameters.filter(Tensor::requires_grad).map(|one| one.sum(Kind::Float) * 0.0);
        if let Some(loss) = zeros.reduce(|sum, one| sum + one) {
            self.prepare(&loss)?;
            loss.backward();
        }
        Ok(())
    }

    /// Keeps the running statistics as they are before a step.
    pub fn keep_statistics(&mut self) {
        if !self.world.is_alone() {
            self.statistics.keep();
        }
    }

    /// Adds up what the ranks have to tell each other after the backward pass of a step with `batches`:
    /// whether the mean `losses` (scalars) are finite, what they wish, and the running statistics,
    /// which become those of one process. None of a process that is alone.
    pub fn exchange<'a>(
        &mut self,
        batches: &StepBatches,
        losses: impl Iterator<Item = &'a Tensor>,
        wish: Wish,
        device: Device,
    ) -> Result<Option<Status>, TrainError> {
        if self.world.is_alone() {
            return Ok(None);
        }
        let (rank, size) = (self.world.rank(), self.world.size());
        tch::no_grad(|| {
            let head = Tensor::zeros([size as i64 + DECISIONS], (Kind::Double, device));
            for loss in losses {
                let bad = loss.detach().isfinite().logical_not().to_kind(Kind::Double);
                let _ = head.get(rank as i64).g_add_(&bad);
            }
            // Another rank may be due at its own time.
            let due = wish.due.filter(|_| rank == 0).map_or(0.0, |by_step| if by_step { 2.0 } else { 1.0 });
            let total = wish.total_steps.map_or(0.0, |steps| steps as f64);
            for (at, value) in [f64::from(u8::from(wish.stop)), due, total].into_iter().enumerate() {
                let _ = head.get((size + at) as i64).fill_(value);
            }
            let parts = |rank| self.share.part(&batches.all, rank).len();
            let later = (rank + 1..size).map(parts).sum();
            let counts = Counts { own: batches.own.len(), later, all: batches.all.len() };
            let told = self.statistics.contribution(&counts);
            let sums = Tensor::cat(&[head].into_iter().chain(told).collect::<Vec<_>>(), 0);
            self.world.sum_tensor(&sums)?;
            let length = size as i64 + DECISIONS;
            self.statistics.set(&sums.narrow(0, length, sums.size()[0] - length), &counts);
            Ok(Some(Status { head: sums.narrow(0, 0, length), size }))
        })
    }

    pub fn decide(&mut self, decided: Decided) {
        self.decided = decided;
    }

    pub fn decided(&self) -> Decided {
        self.decided
    }

    /// The sums over all ranks.
    pub fn sums(&self, sums: MetricSums) -> Result<MetricSums, DistributedError> {
        if self.world.is_alone() {
            return Ok(sums);
        }
        let mut values = to_values(sums);
        self.world.sum(&mut values)?;
        Ok(from_values(values))
    }

    /// The sums of each rank.
    pub fn all_sums(&self, sums: MetricSums) -> Result<Vec<MetricSums>, DistributedError> {
        if self.world.is_alone() {
            return Ok(vec![sums]);
        }
        let own = to_values(sums);
        let mut all = vec![0.0; own.len() * self.world.size()];
        all[own.len() * self.world.rank()..][..own.len()].copy_from_slice(&own);
        self.world.sum(&mut all)?;
        Ok(all.as_chunks().0.iter().map(|values| from_values(*values)).collect())
    }
}

/// Counts below 2^53 are exact.
fn to_values(sums: MetricSums) -> [f64; 5] {
    let MetricSums { loss_sum, loss_divisor, correct, correct_top5, count } = sums;
    [loss_sum, loss_divisor, correct as f64, correct_top5 as f64, count as f64]
}

fn from_values([loss_sum, loss_divisor, correct, correct_top5, count]: [f64; 5]) -> MetricSums {
    MetricSums {
        loss_sum,
        loss_divisor,
        correct: correct as u64,
        correct_top5: correct_top5 as u64,
        count: count as u64,
    }
}

/// Batches of a step.
struct Counts {
    /// Of this rank.
    own: usize,
    /// Of the ranks behind it.
    later: usize,
    /// Of all.
    all: usize,
}

/// Running statistics that change in training, as one process that sees the batches of all ranks one
/// after another would have them.
///
/// A batch makes `r` of each into `d · r + (1 - d) · s`, where `s` is the batch's own. After n batches
/// of this rank, what has been added to `d^n · r` is what its batches add, to be multiplied by d for
/// each batch behind them; the sum over all ranks and `d^N · r` is what N batches make of it.
#[derive(Default)]
struct Statistics {
    tensors: Vec<Tensor>,
    /// `[L]` f64, by element of all of them: d; NaN where it is not known, and the mean is taken.
    decay: Option<Tensor>,
    /// `[L]` f64: as they were before the step.
    before: Option<Tensor>,
    /// Numbers of batches, i64.
    tracked: Vec<Tensor>,
}

impl Statistics {
    fn of(network: &Network) -> Statistics {
        let mut found = Statistics::default();
        let mut decays = Vec::new();
        for RunningStatistic { tensor, momentum } in network.running_statistics() {
            if tensor.is_floating_point() {
                let decay = momentum.map_or(f64::NAN, |momentum| 1.0 - momentum);
                let like = (Kind::Double, tensor.device());
                decays.push(Tensor::full([tensor.numel() as i64], decay, like));
                found.tensors.push(tensor);
            } else {
                found.tracked.push(tensor);
            }
        }
        found.decay = (!decays.is_empty()).then(|| Tensor::cat(&decays, 0));
        found
    }

    /// `[L]` f64, if there are any.
    fn now(&self) -> Option<Tensor> {
        let flat = |one: &Tensor| one.detach().flatten(0, -1).to_kind(Kind::Double);
        let all: Vec<Tensor> = self.tensors.iter().map(flat).collect();
        (!all.is_empty()).then(|| Tensor::cat(&all, 0))
    }

    fn keep(&mut self) {
        self.before = tch::no_grad(|| self.now());
    }

    /// What this rank adds to the sum, `[L]` f64.
    fn contribution(&self, counts: &Counts) -> Option<Tensor> {
        let (now, before, decay) = (self.now()?, self.before.as_ref()?, self.decay.as_ref()?);
        let added = &now - decay.pow_tensor_scalar(counts.own as i64) * before;
        let added = added * decay.pow_tensor_scalar(counts.later as i64);
        let mean = now * (counts.own as f64 / counts.all as f64);
        Some(mean.where_self(&decay.isnan(), &added))
    }

    /// Makes the statistics what the sum over the ranks says, in place.
    fn set(&self, sum: &Tensor, counts: &Counts) {
        for tracked in &self.tracked {
            let _ = tracked.shallow_clone().g_add_scalar_((counts.all - counts.own) as i64);
        }
        let (Some(before), Some(decay)) = (&self.before, &self.decay) else { return };
        let left = decay.pow_tensor_scalar(counts.all as i64) * before;
        let new = sum + left.where_self(&decay.isfinite(), &sum.zeros_like());
        let mut first = 0;
        for tensor in &self.tensors {
            let count = tensor.numel() as i64;
            tensor.shallow_clone().copy_(&new.narrow(0, first, count).view_as(tensor));
            first += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(tensor: &Tensor) -> Vec<f64> {
        Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap()
    }

    /// Running statistics after each rank has seen its batches, whose own statistics are given, and
    /// after one process has seen all of them.
    #[test]
    fn statistics_are_those_of_one_process_that_sees_all_batches_in_order() {
        let (momentum, begin) = (0.1, 3.0);
        let batches = [vec![1.0, 2.0], vec![], vec![-4.0], vec![8.0, 16.0, 0.5]];
        let after = |begin: f64, seen: &[f64]| {
            seen.iter().fold(begin, |running, own| (1.0 - momentum) * running + momentum * own)
        };
        let all: usize = batches.iter().map(Vec::len).sum();
        let statistics = |value: f64| Statistics {
            tensors: vec![Tensor::from_slice(&[value as f32]), Tensor::from_slice(&[value as f32])],
            decay: Some(Tensor::from_slice(&[1.0 - momentum, f64::NAN])),
            before: None,
            tracked: vec![Tensor::from_slice(&[0i64])],
        };
        let counts = |rank: usize| Counts {
            own: batches[rank].len(),
            later: batches[rank + 1..].iter().map(Vec::len).sum(),
            all,
        };
        let mut sum = Tensor::from_slice(&[0.0, 0.0]);
        let mut mean = 0.0;
        for (rank, seen) in batches.iter().enumerate() {
            let mut own = statistics(begin);
            own.keep();
            let value = after(begin, seen);
            own.tensors = statistics(value).tensors;
            mean += value * seen.len() as f64 / all as f64;
            sum += own.contribution(&counts(rank)).unwrap();
        }
        let mut own = statistics(begin);
        own.keep();
        own.set(&sum, &counts(2));
        let wanted = after(begin, &batches.concat());
        let found: Vec<f64> = own.tensors.iter().flat_map(vector).collect();
        // Of f32.
        assert!((found[0] - wanted).abs() < 1e-5, "{found:?} {wanted}");
        assert!((found[1] - mean).abs() < 1e-5, "{found:?} {mean}");
        assert_eq!(own.tracked[0].int64_value(&[0]), 5);
    }

    #[test]
    fn what_all_have_decided_is_read() {
        let Read { bad, decided } = Read::of(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!((bad, decided), (vec![1], Decided::default()));
        let Read { bad, decided } = Read::of(&[0.0, 0.0, 2.0, 1.0, 0.0]);
        assert_eq!((bad, decided), (Vec::new(), Decided { stop: true, due: Some(false), total_steps: None }));
        assert_eq!(Read::of(&[0.0, 0.0, 0.0, 2.0, 0.0]).decided.due, Some(true));
        assert_eq!(Read::of(&[0.0, 0.0, 0.0, 0.0, 70.0]).decided.total_steps, Some(70));
    }

    #[test]
    fn a_process_that_is_alone_exchanges_nothing() {
        let mut ranks = Ranks::new(Rc::new(World::alone()), 3, &DistributedConfig::default());
        let batches = ranks.step(4, 6);
        assert_eq!(batches, StepBatches { all: 4..6, own: 4..6 });
        let nothing = ranks.exchange(&batches, std::iter::empty(), Wish::default(), Device::Cpu).unwrap();
        assert!(nothing.is_none());
        let sums = MetricSums { loss_sum: 1.5, loss_divisor: 2.0, correct: 1, correct_top5: 2, count: 2 };
        assert_eq!(ranks.sums(sums).unwrap(), sums);
        assert_eq!(ranks.all_sums(sums).unwrap(), [sums]);
    }
}
