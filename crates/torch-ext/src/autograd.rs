//! Backward passes through a part of a network, and the state of random generators with which it is
//! computed anew.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use crate::Error;
use crate::shim::{pointer, result};

unsafe extern "C" {
    fn te_backward(
        output: *const c_void,
        gradient: *const c_void,
        input: *const c_void,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn te_rng_state(tensor: *const c_void, out: *mut *mut c_void) -> *mut c_char;
    fn te_set_rng_state(tensor: *const c_void, state: *const c_void) -> *mut c_char;
}

/// The backward pass from `output`, whose gradient is `gradient` (none for a scalar: 1), which adds
/// to the gradients of parameters as PyTorch's `backward` does. Gives the gradient that arrives at
/// `input`, a leaf, in the layout in which it arrives, or none where nothing does; `input` keeps
/// none.
///
/// # Errors
/// libtorch's; `input` needs no gradient.
pub fn backward(
    output: &Tensor,
    gradient: Option<&Tensor>,
    input: Option<&Tensor>,
) -> Result<Option<Tensor>, Error> {
    let mut out = std::ptr::null_mut();
    // SAFETY: all tensors live; on success `out` is null or a tensor of ours.
    result(unsafe { te_backward(output.as_ptr().cast(), pointer(gradient), pointer(input), &raw mut out) })?;
    // SAFETY: as above.
    Ok((!out.is_null()).then(|| unsafe { Tensor::from_ptr(out.cast()) }))
}

/// The state of the default random generator of a tensor's device.
#[derive(Debug)]
pub struct RngState {
    /// For its device.
    like: Tensor,
    state: Tensor,
}

impl RngState {
    /// As it is now, of the device of `like`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn of(like: &Tensor) -> Result<RngState, Error> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the tensor lives; on success `out` is a tensor of ours.
        result(unsafe { te_rng_state(like.as_ptr().cast(), &raw mut out) })?;
        // SAFETY: as above.
        let state = unsafe { Tensor::from_ptr(out.cast()) };
        let like = Tensor::f_empty([0i64], (like.kind(), like.device()))?;
        Ok(RngState { like, state })
    }

    /// Makes the generator draw again what it drew from here on.
    ///
    /// # Errors
    /// libtorch's.
    pub fn restore(&self) -> Result<(), Error> {
        // SAFETY: both tensors live.
        result(unsafe { te_set_rng_state(self.like.as_ptr().cast(), self.state.as_ptr().cast()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn a_backward_pass_in_two_parts_is_that_of_the_whole() {
        let leaf = |scale: f64| (Tensor::arange(6, CPU).view([2, 3]) * scale + 1.0).set_requires_grad(true);
        let inner = |weight: &Tensor| weight.square();
        let outer = |inner: &Tensor| (inner * 3.0 + inner.tanh()).sum(Kind::Float);
        let whole = leaf(0.3);
        outer(&inner(&whole)).backward();

        let cut = leaf(0.3);
        let boundary = inner(&cut).detach().set_requires_grad(true);
        let gradient = backward(&outer(&boundary), None, Some(&boundary)).unwrap().unwrap();
        assert!(!boundary.grad().defined());
        assert!(backward(&inner(&cut), Some(&gradient), None).unwrap().is_none());
        assert_eq!(cut.grad(), whole.grad());
    }

    #[test]
    fn an_input_without_a_part_in_the_output_gets_nothing_and_one_without_gradients_is_an_error() {
        let leaf = || Tensor::ones([2], CPU).set_requires_grad(true);
        assert!(backward(&leaf().sum(Kind::Float), None, Some(&leaf())).unwrap().is_none());
        let constant = Tensor::ones([2], CPU);
        assert!(backward(&leaf().sum(Kind::Float), None, Some(&constant)).is_err());
    }

    #[test]
    fn the_generator_draws_the_same_again() {
        let state = RngState::of(&Tensor::zeros([1], CPU)).unwrap();
        let first = Tensor::rand([5], CPU);
        state.restore().unwrap();
        assert_eq!(Tensor::rand([5], CPU), first);
    }
}
