//! One optimizer step: forward, backward, guard, clip, update, average.

use std::time::Instant;

use ml_data::rng::{Purpose, derived_seed};
use tch::{Kind, Tensor};

use super::{TrainError, Trainer};
use crate::checkpoint::not_finite;
use crate::loader::{Batch, Batches, DeviceBatch};
use crate::metrics::{MetricAccumulator, MetricSums};
use crate::optimizer::OptimizerError;
use crate::policy::Action;

/// What became of a step.
pub(super) enum Stepped {
    /// It is done, or was skipped, with this many batches.
    Done(usize),
    /// Something was not finite, and the run is to go back to a checkpoint.
    Diverged,
}

/// One batch's share of a step.
struct Part {
    /// Scalar, mean over the batch.
    loss: Tensor,
    /// `[N, K]`
    logits: Tensor,
    /// `[N]`
    targets: Tensor,
    /// Places in the training index.
    indices: Vec<usize>,
}

impl Trainer {
    /// A step from the next batches, as many as are accumulated or left; none at the end of the
    /// epoch.
    pub(super) fn train_step(
        &mut self,
        batches: &mut Batches,
        running: &mut MetricAccumulator,
    ) -> Result<Option<Stepped>, TrainError> {
        let (step, lr) = (self.state.step, self.lr(self.state.step));
        let count = self.config.training.gradient_accumulation_steps;
        let mixes = self.config.transforms.train.mixes();
        let divisor =
            |targets: &Vec<i64>| if mixes { targets.len() as f64 } else { self.loss.divisor(targets) };
        let shares = shares(batches.next_targets(count).iter().map(divisor));
        let buffers = self.buffers_to_restore();
        self.optimizer.zero_grad()?;
        let mut parts = Vec::with_capacity(shares.len());
        for (number, batch) in batches.by_ref().take(count).enumerate() {
            parts.push(self.accumulate(batch?, number, shares[number])?);
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let (losses, norm) = read(&parts, &self.optimizer.grad_norm()?);
        // An update beyond float32's range would make infinite weights of finite gradients.
        let finite = losses.iter().all(|loss| loss.is_finite()) && (lr * norm).abs() <= f64::from(f32::MAX);
        if !finite {
            return self.diverged(&parts, &losses, norm, buffers).map(Some);
        }
        if let Some(max_norm) = self.config.training.max_grad_norm {
            self.optimizer.clip_grad_norm(norm, max_norm)?;
        }
        self.optimizer.step(lr)?;
        self.first_step.get_or_insert_with(Instant::now);
        if self.ema.is_some() && !self.check_weights_finite()? {
            return Ok(Some(Stepped::Diverged));
        }
        if let Some(ema) = &mut self.ema {
            ema.update(&self.network, step)?;
        }
        for part in &parts {
            running.add(&part.loss, &part.logits, &part.targets);
        }
        Ok(Some(self.advance(parts.len())))
    }

    /// Adds the gradients of one batch; `share` is its share of the mean over all images of the
    /// step.
    fn accumulate(&self, batch: Batch, number: usize, share: f64) -> Result<Part, TrainError> {
        let seed = derived_seed(self.config.seed, Purpose::Step, self.state.step, number as u64);
        tch::manual_seed(seed as i64);
        let inputs = batch.to_device();
        let outputs = self.network.try_forward_train(&inputs.images).map_err(TrainError::Forward)?;
        // Scalar, mean over N.
        let loss = outputs.loss(|logits| self.loss.forward(logits, inputs.loss_targets()));
        let loss = if share == 1.0 {
            loss.backward();
            loss
        } else {
            (&loss * share).backward();
            loss
        };
        let DeviceBatch { targets, indices, .. } = inputs;
        Ok(Part { loss: loss.detach(), logits: outputs.logits.detach(), targets, indices })
    }

    fn advance(&mut self, num_batches: usize) -> Stepped {
        self.state.step += 1;
        self.state.batch_in_epoch += num_batches as u64;
        Stepped::Done(num_batches)
    }

    /// A copy of what the forward pass changes, where a step may have to be taken back.
    fn buffers_to_restore(&self) -> Vec<(Tensor, Tensor)> {
        if self.config.training.divergence.action != Action::Skip {
            return Vec::new();
        }
        self.network.buffers().into_iter().map(|(_, buffer)| (buffer.copy(), buffer)).collect()
    }

    fn diverged(
        &mut self,
        parts: &[Part],
        losses: &[f64],
        norm: f64,
        buffers: Vec<(Tensor, Tensor)>,
    ) -> Result<Stepped, TrainError> {
        let bad: Vec<&Part> =
            parts.iter().zip(losses).filter(|(_, loss)| !loss.is_finite()).map(|(part, _)| part).collect();
        // Finite losses with an infinite gradient: any of the batches may be the cause.
        let bad = if bad.is_empty() { parts.iter().collect() } else { bad };
        let samples = &self.train_index.samples;
        let indices = bad.iter().flat_map(|part| &part.indices);
        let error = TrainError::NotFinite {
            loss: losses.iter().copied().find(|loss| !loss.is_finite()).unwrap_or(losses[0]),
            grad_norm: norm,
            epoch: self.state.epoch + 1,
            step: self.state.step,
            lr: self.lr(self.state.step),
            times: self.state.divergence.times,
            images: indices.map(|&index| samples[index].path.display().to_string()).collect(),
        };
        match self.config.training.divergence.action(&self.state.divergence) {
            Action::Stop => Err(error),
            Action::Rollback => {
                tracing::warn!("{error}");
                Ok(Stepped::Diverged)
            }
            Action::Skip => {
                tracing::warn!("{error}. The step is skipped");
                tch::no_grad(|| buffers.into_iter().for_each(|(copy, mut buffer)| buffer.copy_(&copy)));
                self.state.divergence.times += 1;
                Ok(self.advance(parts.len()))
            }
        }
    }

    /// Whether the loss over the validation split is finite; if not, whether the run may go back to
    /// a checkpoint. Weights can be finite and still be of no use.
    ///
    /// # Errors
    /// It is not, and the run is to stop.
    pub(super) fn check_validation_loss(&self, val: &MetricSums) -> Result<bool, TrainError> {
        if val.loss().is_finite() || val.count == 0 {
            return Ok(true);
        }
        let error =
            TrainError::Validation { loss: val.loss(), epoch: self.state.epoch + 1, step: self.state.step };
        let divergence = &self.config.training.divergence;
        match divergence.action(&self.state.divergence) {
            // There is no step to skip; those that follow tell.
            _ if divergence.action == Action::Skip => {
                tracing::warn!("{error}");
                Ok(true)
            }
            Action::Stop | Action::Skip => Err(error),
            Action::Rollback => {
                tracing::warn!("{error}");
                Ok(false)
            }
        }
    }

    /// Whether weights, running statistics and the optimizer's state are finite; if not, whether
    /// the run may go back to a checkpoint.
    ///
    /// # Errors
    /// They are not, and it may not.
    pub(super) fn check_weights_finite(&self) -> Result<bool, TrainError> {
        let mut state = self.network.state_dict();
        state.extend(self.optimizer.tensors());
        let numbers: Vec<Tensor> =
            state.iter().filter(|(_, t)| t.is_floating_point()).map(|(_, t)| t.detach()).collect();
        let norm = torch_ext::total_norm(&numbers).map_err(OptimizerError::from)?;
        if norm.double_value(&[]).is_finite() {
            return Ok(true);
        }
        // The norm of large finite numbers overflows too.
        let Some(name) = not_finite(&state) else { return Ok(true) };
        let error =
            TrainError::Weights { name: name.to_owned(), epoch: self.state.epoch + 1, step: self.state.step };
        match self.config.training.divergence.action(&self.state.divergence) {
            Action::Rollback => {
                tracing::warn!("{error}");
                Ok(false)
            }
            Action::Stop | Action::Skip => Err(error),
        }
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

/// The losses and the norm of the gradients, in one reading from the device.
fn read(parts: &[Part], norm: &Tensor) -> (Vec<f64>, f64) {
    let scalars = parts.iter().map(|part| &part.loss).chain([norm]).map(|t| t.to_kind(Kind::Double));
    let all = Tensor::stack(&scalars.collect::<Vec<_>>(), 0).to_device(tch::Device::Cpu);
    let mut values = vec![0.0; parts.len() + 1];
    all.copy_data(&mut values, parts.len() + 1);
    let norm = values.pop().unwrap_or(f64::NAN);
    (values, norm)
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
