//! One optimizer step: forward and backward of its micro-batches, clip, guard, update, average.

use std::time::Instant;

use ml_data::rng::{Purpose, derived_seed};
use tch::Tensor;

use super::guard::{Guard, Trouble};
use super::ranks::{StepBatches, Wish};
use super::teacher::{BatchShare, Taught};
use super::{TrainError, Trainer};
use crate::distributed::Place;
use crate::features::{Batches, InputBatch};
use crate::loader::DeviceBatch;
use crate::loss::{LossValue, Targets};
use crate::metrics::MetricAccumulator;
use crate::optimizer::OptimizerError;

/// What became of a step.
pub(super) enum Stepped {
    /// It is done, or was skipped, with this many batches.
    Done(usize),
    /// Something was not finite, and the run is to go back to a checkpoint.
    Diverged,
}

/// What the forward pass of a micro-batch gave.
pub(super) struct MicroBatch {
    /// Its loss, detached.
    loss: LossValue,
    /// `[N, K]`
    logits: Tensor,
    /// `[N]`, i64
    targets: Tensor,
    /// `[N, K]`, f32, where an image may have several.
    labels: Option<Tensor>,
    /// Of the teacher, if there is one.
    pub taught: Option<Taught>,
    /// Of its samples, in the training index.
    pub indices: Vec<usize>,
}

impl Trainer {
    /// A step from the next batches, as many as are accumulated or left; none at the end of the
    /// epoch. `wish` is what this process would have all of them do after it.
    pub(super) fn train_step(
        &mut self,
        batches: &mut Batches,
        running: &mut MetricAccumulator,
        wish: Wish,
    ) -> Result<Option<Stepped>, TrainError> {
        let lr = self.lr(self.state.step);
        let first = self.state.batch_in_epoch as usize;
        let step = self.ranks.step(first, self.train_loader.num_batches());
        if step.all.is_empty() {
            return Ok(None);
        }
        let shares = self.shares(batches, &step);
        let buffers = self.copy_buffers();

        self.optimizer.zero_grad()?;
        let micro_batches = self.micro_batches(batches, &step, &shares)?;
        let losses = || micro_batches.iter().map(|micro| &micro.loss.mean);
        let status = self.ranks.exchange(&step, losses(), wish, self.compute.device)?;
        if let Some(scaler) = &mut self.scaler {
            scaler.unscale(&self.optimizer)?;
        }
        let norm = self.optimizer.grad_norm()?;
        self.clip_gradients(&norm)?;
        let guard = Guard::new(losses(), &norm, lr, status);
        // On its way to the host while the update is under way.
        let verdict = guard.verdict()?;
        // Leaves everything as it is where the guard has found something.
        self.optimizer.step(lr, Some(guard.found_inf()))?;
        let (trouble, decided) = verdict.wait()?;
        self.ranks.decide(decided);
        let is_overflow = self.is_overflow(trouble.as_ref())?;
        if let Some(scaler) = &mut self.scaler {
            scaler.update()?;
        }
        if let Some(trouble) = trouble.filter(|_| !is_overflow) {
            return self.recover(&trouble, &micro_batches, &step, buffers).map(Some);
        }
        self.first_step.get_or_insert_with(Instant::now);
        if let Some(ema) = self.ema.as_mut().filter(|_| !is_overflow) {
            ema.update(&self.network)?;
        }
        for MicroBatch { loss, logits, targets, labels, .. } in &micro_batches {
            match labels {
                Some(labels) => running.add_labels(loss, logits, labels),
                None => running.add(loss, logits, targets),
            }
        }
        Ok(Some(self.advance(step.all.len())))
    }

    /// Of the gradients, `norm` is the norm.
    fn clip_gradients(&self, norm: &Tensor) -> Result<(), OptimizerError> {
        let training = &self.config.training;
        if let Some(max_norm) = training.max_grad_norm {
            self.optimizer.clip_grad_norm(norm, max_norm)?;
        }
        if let Some(max_value) = training.max_grad_value {
            self.optimizer.clip_grad_value(max_value)?;
        }
        if let Some(agc) = &training.agc {
            self.optimizer.clip_grad_adaptive(agc)?;
        }
        Ok(())
    }

    /// Forward and backward of this process's batches of a step, of whose mean each has its share.
    fn micro_batches(
        &mut self,
        batches: &mut Batches,
        step: &StepBatches,
        shares: &[BatchShare],
    ) -> Result<Vec<MicroBatch>, TrainError> {
        self.ranks.keep_statistics();
        let own: Vec<usize> = (step.own.start - step.all.start..step.own.end - step.all.start).collect();
        let mut micro_batches = Vec::with_capacity(own.len());
        let (epoch, done) = (self.state.epoch, self.state.step);
        for &number in &own {
            self.ranks.world().at(Place::Loading { epoch, step: done });
            let Some(batch) = batches.next() else { break };
            let batch = batch?;
            self.ranks.world().at(Place::Computing { epoch, step: done });
            let is_last = own.last() == Some(&number);
            micro_batches.push(self.passes(&batch, number, shares[number], is_last)?);
        }
        if own.is_empty() {
            self.ranks.backward_without_batch(&self.network)?;
        }
        Ok(micro_batches)
    }

    /// Adds the gradients of micro-batch `number` of a step, of which a teacher, if there is one, has
    /// said what is `taught`; `share` is its share of the mean over the step. The last of a process
    /// has the gradients of all processes added up.
    pub(super) fn forward_backward(
        &self,
        batch: &InputBatch,
        taught: Option<Taught>,
        number: usize,
        share: BatchShare,
        is_last: bool,
    ) -> Result<MicroBatch, TrainError> {
        let seed = derived_seed(self.config.seed, Purpose::Step, self.state.step, number as u64);
        torch_ext::manual_seed(seed).map_err(OptimizerError::from)?;
        let checkpointing = self.config.training.gradient_checkpointing;
        let pass = self.network.train_pass(batch.input(), &self.compute, checkpointing)?;
        let targets = Targets::of(&batch.batch);
        let consistency = self.config.training.jensen_shannon.as_ref();
        let (plain, divergence) = match consistency {
            Some(consistency) => {
                let (clean, more) = consistency.of_outputs(&self.loss, &pass.outputs, &targets)?;
                (clean, Some(more))
            }
            None => (self.loss.of_outputs(&pass.outputs, &targets)?, None),
        };
        let factor = self.ranks.gradient_factor();
        let (mean, part) = match (&self.teacher, &taught, divergence) {
            (Some(teacher), Some(taught), _) => {
                let share = BatchShare { loss: share.loss * factor, images: share.images * factor };
                teacher.of_batch(&plain, &pass.outputs, taught, &targets, share)
            }
            (_, _, Some(more)) => {
                // Of class weights, the two means have different divisors.
                let part = &plain.mean * (share.loss * factor) + &more * (share.images * factor);
                (plain.mean + more, part)
            }
            // A single micro-batch needs no product.
            _ if share.loss * factor == 1.0 => (plain.mean.shallow_clone(), plain.mean),
            _ => {
                let part = &plain.mean * (share.loss * factor);
                (plain.mean, part)
            }
        };
        let scaled = self.scaler.as_ref().map_or(part.shallow_clone(), |scaler| scaler.scale(&part));
        if is_last {
            self.ranks.prepare(&scaled)?;
        }
        let logits = pass.outputs.logits.detach();
        // Metrics are of the clean views.
        let logits = match consistency {
            Some(consistency) => consistency.clean(&logits),
            None => logits,
        };
        pass.backward(&scaled)?;
        let DeviceBatch { targets, labels, indices, .. } = &batch.batch;
        let labels = labels.as_ref().map(Tensor::shallow_clone);
        let (targets, indices) = (targets.shallow_clone(), indices.clone());
        let loss = LossValue { mean: mean.detach(), divisor: plain.divisor };
        Ok(MicroBatch { loss, logits, targets, labels, taught, indices })
    }

    /// Whether what is wrong with a step is only that its scaled gradients were too large for fp16:
    /// a smaller scale mends it, and the run has not diverged.
    fn is_overflow(&self, trouble: Option<&Trouble>) -> Result<bool, TrainError> {
        let (Some(trouble), Some(scaler)) = (trouble, &self.scaler) else { return Ok(false) };
        let is_finite = trouble.ranks.is_empty() && trouble.losses.iter().all(|loss| loss.is_finite());
        Ok(is_finite && scaler.value()? > 1.0)
    }

    /// What part of the step's mean each of its batches is, those of other processes included, by what
    /// their losses are divided by.
    fn shares(&self, batches: &Batches, step: &StepBatches) -> Vec<BatchShare> {
        let mixes = self.config.transforms.train.mixes();
        let divisor = |targets: &Vec<i64>| {
            if mixes { targets.len() as f64 } else { self.loss.divisor(targets) }
        };
        let targets = batches.targets_of(step.all.clone());
        let images = shares(targets.iter().map(|targets| targets.len() as f64));
        let losses = shares(targets.iter().map(divisor));
        losses.into_iter().zip(images).map(|(loss, images)| BatchShare { loss, images }).collect()
    }

    pub(super) fn advance(&mut self, num_batches: usize) -> Stepped {
        self.state.step += 1;
        self.state.batch_in_epoch += num_batches as u64;
        Stepped::Done(num_batches)
    }
}

/// Each batch's share of the mean over all: 1 for a single one, whatever its divisor. Where all
/// divisors are 0, so are the losses.
fn shares(divisors: impl Iterator<Item = f64>) -> Vec<f64> {
    let divisors: Vec<f64> = divisors.collect();
    let all: f64 = divisors.iter().sum();
    match divisors.len() {
        1 => vec![1.0],
        _ if all == 0.0 => divisors,
        _ => divisors.into_iter().map(|divisor| divisor / all).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn shares_add_up_to_one_and_a_single_batch_has_all() {
        assert_eq!(shares([0.0].into_iter()), [1.0]);
        assert_eq!(shares([0.0, 0.0].into_iter()), [0.0, 0.0]);
        assert_eq!(shares([2.0, 2.0, 1.0, 3.0].into_iter()), [0.25, 0.25, 0.125, 0.375]);
    }
}
