//! Whether a step's losses and gradients are finite, decided where they are computed.
//!
//! The optimizer's kernels take the verdict as a tensor and leave the weights alone where it is
//! set, so that it need not be known on the host before the update is under way: one read a step.

use tch::{Kind, Tensor};
use torch_ext::Fetch;

use crate::optimizer::OptimizerError;

/// The largest update that float32 can hold: beyond it, finite gradients make infinite weights.
const LARGEST_UPDATE: f64 = f32::MAX as f64;

/// The verdict on a step, on the device.
#[derive(Debug)]
pub(super) struct Guard {
    /// `[B + 1]` f64: the mean loss of each micro-batch, then the gradients' norm.
    scalars: Tensor,
    /// Scalar f32: 1 where one of them is NaN or Inf, or the update would be too large.
    found_inf: Tensor,
}

/// What is wrong with a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    /// The mean loss of each micro-batch.
    pub losses: Vec<f64>,
    /// The 2-norm over all gradients, before clipping.
    pub grad_norm: f64,
}

impl Guard {
    /// Looks at the mean `losses` of the micro-batches (scalars) and the norm of the gradients
    /// (scalar), for an update with learning rate `lr`. Nothing is read from the device.
    pub(super) fn new<'a>(losses: impl Iterator<Item = &'a Tensor>, grad_norm: &'a Tensor, lr: f64) -> Guard {
        tch::no_grad(|| {
            let scalars = losses.chain([grad_norm]).map(|t| t.detach().to_kind(Kind::Double));
            let scalars = Tensor::stack(&scalars.collect::<Vec<_>>(), 0);
            let update = grad_norm.detach().to_kind(Kind::Double) * lr;
            // NaN is not at most anything.
            let fits = update.abs().le(LARGEST_UPDATE);
            let is_good = scalars.isfinite().all().logical_and(&fits);
            Guard { found_inf: is_good.logical_not().to_kind(Kind::Float), scalars }
        })
    }

    /// For the optimizer's step: scalar f32, 1 where it must not update.
    pub(super) fn found_inf(&self) -> &Tensor {
        &self.found_inf
    }

    /// Sends the verdict to the host, in one copy.
    ///
    /// # Errors
    /// libtorch's.
    pub(super) fn verdict(&self) -> Result<Verdict, OptimizerError> {
        let all = Tensor::cat(&[&self.scalars, &self.found_inf.to_kind(Kind::Double).view([1])], 0);
        Ok(Verdict(Fetch::start(&[all], Vec::new())?))
    }
}

/// A [`Guard`]'s verdict on its way to the host.
#[derive(Debug)]
pub(super) struct Verdict(Fetch);

impl Verdict {
    /// What is wrong, if anything is; waits until the gradients are computed, not for what was
    /// queued since.
    ///
    /// # Errors
    /// What the device could not do.
    pub(super) fn wait(self) -> Result<Option<Trouble>, OptimizerError> {
        let mut values = Vec::new();
        for all in self.0.wait()? {
            values = Vec::<f64>::try_from(all).map_err(torch_ext::Error::from)?;
        }
        let found = values.pop().is_none_or(|found| found != 0.0);
        let grad_norm = values.pop().unwrap_or(f64::NAN);
        Ok(found.then_some(Trouble { losses: values, grad_norm }))
    }
}

impl Trouble {
    /// Which of the micro-batches may be the cause: those whose loss is not finite, or all.
    pub(super) fn suspects(&self) -> Vec<usize> {
        let bad: Vec<usize> = (0..self.losses.len()).filter(|&i| !self.losses[i].is_finite()).collect();
        if bad.is_empty() { (0..self.losses.len()).collect() } else { bad }
    }

    /// The loss to report: the first that is not finite, or the first.
    pub(super) fn loss(&self) -> f64 {
        let bad = self.losses.iter().find(|loss| !loss.is_finite());
        bad.or(self.losses.first()).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(losses: &[f32], norm: f32, lr: f64) -> Guard {
        let losses: Vec<Tensor> = losses.iter().map(|&loss| Tensor::from(loss)).collect();
        Guard::new(losses.iter(), &Tensor::from(norm), lr)
    }

    #[test]
    fn finite_steps_pass() {
        for (losses, norm, lr) in
            [(&[0.5f32, 0.1][..], 3.0, 0.1), (&[0.0], 0.0, 0.1), (&[1.0], f32::MAX, 1.0)]
        {
            let guard = guard(losses, norm, lr);
            assert_eq!(guard.found_inf().double_value(&[]), 0.0);
            assert_eq!(guard.verdict().unwrap().wait().unwrap(), None);
        }
    }

    #[test]
    fn nan_inf_and_updates_beyond_float32_are_trouble() {
        for (losses, norm, lr, suspects) in [
            (&[0.5f32, f32::NAN][..], 3.0, 0.1, vec![1]),
            (&[f32::INFINITY, 0.1], f32::NAN, 0.1, vec![0]),
            (&[0.5, 0.1], f32::INFINITY, 0.1, vec![0, 1]),
            (&[0.5], f32::NAN, 0.0, vec![0]),
            (&[0.5], 1e38, 10.0, vec![0]),
            (&[0.5], 1.0, f64::NAN, vec![0]),
        ] {
            let guard = guard(losses, norm, lr);
            assert_eq!(guard.found_inf().double_value(&[]), 1.0, "{losses:?} {norm} {lr}");
            let trouble = guard.verdict().unwrap().wait().unwrap().expect("it is found");
            assert_eq!(trouble.suspects(), suspects, "{losses:?} {norm} {lr}");
        }
    }
}
