//! The second pass of a step with `training.sam`, whose gradients take the place of the first's.

use super::step::MicroBatch;
use super::teacher::BatchShare;
use super::{TrainError, Trainer};
use crate::features::InputBatch;
use crate::network::ForwardError;

impl Trainer {
    /// Forward and backward of micro-batch `number` of a step, and with `training.sam`, where it is the
    /// only one, once more where that moves the weights: with the same images and the same random
    /// numbers (dropout, stochastic depth), since both passes begin with the generator of the step; a
    /// teacher is asked once.
    /// Weights are then what they were, to the bit; loss, logits and running statistics are those of
    /// the first pass.
    pub(super) fn passes(
        &mut self,
        batch: &InputBatch,
        number: usize,
        share: BatchShare,
        is_last: bool,
    ) -> Result<MicroBatch, TrainError> {
        // Before the generator is seeded: a TorchScript module may draw from it.
        let taught = self.taught(batch)?;
        let mut first = self.forward_backward(batch, taught, number, share, is_last)?;
        if let Some(sam) = &self.config.training.sam {
            let statistics = self.network.copy_statistics().map_err(ForwardError::from)?;
            let perturbation = self.optimizer.perturb(sam)?;
            self.optimizer.zero_grad()?;
            let taught = first.taught.take();
            first.taught = self.forward_backward(batch, taught, number, share, is_last)?.taught;
            perturbation.undo()?;
            statistics.put_back().map_err(ForwardError::from)?;
        }
        Ok(first)
    }
}
