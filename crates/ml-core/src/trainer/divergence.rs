//! What is done about losses, gradients and weights that are NaN or Inf:
//! `training.divergence.action` decides.

use tch::Tensor;

use super::guard::Trouble;
use super::ranks::StepBatches;
use super::step::{MicroBatch, Stepped};
use super::{ReportError, TrainError, Trainer};
use crate::checkpoint::not_finite;
use crate::metrics::MetricSums;
use crate::optimizer::OptimizerError;
use crate::policy::Action;

/// Copies of what a forward pass changes beside the gradients (running statistics), and the
/// originals: to take a step back.
pub(super) struct Buffers(Vec<(Tensor, Tensor)>);

impl Buffers {
    fn put_back(self) {
        tch::no_grad(|| self.0.into_iter().for_each(|(copy, mut buffer)| buffer.copy_(&copy)));
    }
}

/// What a process knows of losses that are not finite.
#[derive(serde::Serialize, serde::Deserialize)]
struct Suspect {
    /// The bits of a loss.
    loss: u64,
    /// Of samples in the training index.
    indices: Vec<usize>,
}

impl Trainer {
    /// A copy of the network's buffers, where a step may have to be taken back.
    pub(super) fn copy_buffers(&self) -> Buffers {
        if self.config.training.divergence.action != Action::Skip {
            return Buffers(Vec::new());
        }
        let buffers = self.network.buffers().into_iter();
        Buffers(buffers.map(|(_, buffer)| (buffer.copy(), buffer)).collect())
    }

    /// After a step whose update was left out: fails, skips it, or has the run roll back.
    pub(super) fn recover(
        &mut self,
        trouble: &Trouble,
        micro_batches: &[MicroBatch],
        step: &StepBatches,
        buffers: Buffers,
    ) -> Result<Stepped, TrainError> {
        let error = self.not_finite(trouble, micro_batches)?;
        let taught = micro_batches
            .iter()
            .filter_map(|micro| Some((&micro.taught.as_ref()?.logits, &micro.indices[..])));
        self.check_teacher(taught)?;
        match self.config.training.divergence.action(&self.state.divergence) {
            Action::Stop => Err(error),
            Action::Rollback => {
                tracing::warn!("{error}");
                Ok(Stepped::Diverged)
            }
            Action::Skip => {
                tracing::warn!("{error}. The step is skipped");
                buffers.put_back();
                self.state.divergence.times += 1;
                Ok(self.advance(step.all.len()))
            }
        }
    }

    /// The same on all processes: each tells the others what it has seen.
    fn not_finite(&self, trouble: &Trouble, micro_batches: &[MicroBatch]) -> Result<TrainError, TrainError> {
        let samples = &self.train_index.samples;
        let (rank, world) = (self.ranks.world().rank(), self.ranks.world());
        // Where losses are at fault, it is those ranks that have them.
        let is_suspect = trouble.ranks.is_empty() || trouble.ranks.contains(&rank);
        let suspects = if is_suspect { trouble.suspects() } else { Vec::new() };
        let indices: Vec<usize> =
            suspects.into_iter().flat_map(|number| micro_batches[number].indices.iter().copied()).collect();
        let own = Suspect { loss: trouble.loss().to_bits(), indices };
        let own = serde_json::to_vec(&own).map_err(|error| TrainError::Report(ReportError::new(error)))?;
        let all = world.gather(&own)?;
        let all: Vec<Suspect> = all.iter().filter_map(|one| serde_json::from_slice(one).ok()).collect();
        let losses = || all.iter().map(|suspect| f64::from_bits(suspect.loss));
        let bad = losses().enumerate().find(|(rank, loss)| trouble.ranks.contains(rank) && !loss.is_finite());
        let loss = bad.map(|(_, loss)| loss).or(losses().find(|loss| loss.is_finite()));
        let indices = all.iter().flat_map(|suspect| &suspect.indices);
        Ok(TrainError::NotFinite {
            loss: loss.unwrap_or_else(|| trouble.loss()),
            grad_norm: trouble.grad_norm,
            epoch: self.state.epoch + 1,
            step: self.state.step,
            lr: self.lr(self.state.step),
            times: self.state.divergence.times,
            images: indices
                .filter_map(|&index| Some(samples.get(index)?.path.display().to_string()))
                .collect(),
        })
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
            // There is no step to skip; those that follow show what is wrong.
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

    /// Whether weights, running statistics, the optimizer's state and the averaged weights are
    /// finite; if not, whether the run may go back to a checkpoint. Asked before anything is saved,
    /// so that no checkpoint holds NaN or Inf.
    ///
    /// # Errors
    /// They are not, and it may not.
    pub(super) fn check_weights_finite(&self) -> Result<bool, TrainError> {
        let mut state = self.network.state_dict();
        state.extend(self.optimizer.tensors());
        if let Some(ema) = &self.ema {
            state.extend(ema.network().state_dict().into_iter().map(|(name, t)| (format!("ema/{name}"), t)));
        }
        let numbers: Vec<Tensor> =
            state.iter().filter(|(_, t)| t.is_floating_point()).map(|(_, t)| t.detach()).collect();
        let norm = torch_ext::total_norm(&numbers).map_err(OptimizerError::from)?;
        if torch_ext::scalar(&norm).map_err(OptimizerError::from)?.is_finite() {
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
