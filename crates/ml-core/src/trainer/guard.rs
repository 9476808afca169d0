//! Whether a step's losses and gradients are finite, decided where they are computed.
//!
//! The optimizer's kernels take the verdict as a tensor and leave the weights alone where it is
//! set, so that it need not be known on the host before the update is under way: one read a step.

use tch::{Kind, Tensor};
use torch_ext::Fetch;

use super::ranks::{Decided, Read, Status};
use crate::optimizer::OptimizerError;

/// The largest update that float32 can hold: beyond it, finite gradients make infinite weights.
const LARGEST_UPDATE: f64 = f32::MAX as f64;

/// The verdict on a step, on the device.
#[derive(Debug)]
pub(super) struct Guard {
    /// `[B + 1]` f64: the mean loss of each micro-batch, then the gradients' norm.
    scalars: Tensor,
    /// Scalar f32: 1 where one of them is NaN or Inf, or the update would be too large; or where that
    /// is so of another process's losses.
    found_inf: Tensor,
    /// Of several processes.
    status: Option<Status>,
}

/// What is wrong with a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    /// The mean loss of each micro-batch.
    pub losses: Vec<f64>,
    /// The 2-norm over all gradients, before clipping.
    pub grad_norm: f64,
    /// Of several processes, those with a loss that is not finite.
    pub ranks: Vec<usize>,
}

impl Guard {
    /// Looks at the mean `losses` of the micro-batches (scalars) and the norm of the gradients
    /// (scalar), for an update with learning rate `lr`, and at what other processes have found, which
    /// is in their common `status`. Nothing is read from the device.
    pub(super) fn new<'a>(
        losses: impl Iterator<Item = &'a Tensor>,
        grad_norm: &'a Tensor,
        lr: f64,
        status: Option<Status>,
    ) -> Guard {
        tch::no_grad(|| {
            let scalars = losses.chain([grad_norm]).map(|t| t.detach().to_kind(Kind::Double));
            let scalars = Tensor::stack(&scalars.collect::<Vec<_>>(), 0);
            let update = grad_norm.detach().to_kind(Kind::Double) * lr;
            // NaN is not at most anything.
            let fits = update.abs().le(LARGEST_UPDATE);
            let mut is_good = scalars.isfinite().all().logical_and(&fits);
            if let Some(status) = &status {
                is_good = is_good.logical_and(&status.bad_losses().sum(Kind::Double).eq(0.0));
            }
            Guard { found_inf: is_good.logical_not().to_kind(Kind::Float), scalars, status }
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
        let status = self.status.iter().map(|status| status.head.shallow_clone());
        let all: Vec<Tensor> = [all].into_iter().chain(status).collect();
        Ok(Verdict(Fetch::start(&all, Vec::new())?))
    }
}

/// A [`Guard`]'s verdict on its way to the host.
#[derive(Debug)]
pub(super) struct Verdict(Fetch);

impl Verdict {
    /// What is wrong, if anything is, and what all processes have decided; waits until the gradients are
    /// computed, not for what was queued since.
    ///
    /// # Errors
    /// What the device could not do.
    pub(super) fn wait(self) -> Result<(Option<Trouble>, Decided), OptimizerError> {
        let values = |all: Tensor| Vec::<f64>::try_from(all).map_err(torch_ext::Error::from);
        let mut fetched = self.0.wait()?.into_iter();
        let mut scalars = fetched.next().map(values).transpose()?.unwrap_or_default();
        let status = fetched.next().map(values).transpose()?.unwrap_or_default();
        let Read { bad: ranks, decided } = Read::of(&status);
        let found = scalars.pop().is_none_or(|found| found != 0.0);
        let grad_norm = scalars.pop().unwrap_or(f64::NAN);
        Ok((found.then_some(Trouble { losses: scalars, grad_norm, ranks }), decided))
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
        Guard::new(losses.iter(), &Tensor::from(norm), lr, None)
    }

    #[test]
    fn finite_steps_pass() {
        for (losses, norm, lr) in
            [(&[0.5f32, 0.1][..], 3.0, 0.1), (&[0.0], 0.0, 0.1), (&[1.0], f32::MAX, 1.0)]
        {
            let guard = guard(losses, norm, lr);
            assert_eq!(guard.found_inf().double_value(&[]), 0.0);
            assert_eq!(guard.verdict().unwrap().wait().unwrap(), (None, Decided::default()));
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
            let trouble = guard.verdict().unwrap().wait().unwrap().0.expect("it is found");
            assert_eq!(trouble.suspects(), suspects, "{losses:?} {norm} {lr}");
        }
    }
}
