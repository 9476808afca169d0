//! What an optimizer's step takes, over lists of tensors: norms, clipping, averages, updates.
//! Nothing is read from the device.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use crate::Error;
use crate::shim::{Pointers, pointer, pointers, result};

/// One SGD step's settings, PyTorch's names.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SgdSettings {
    /// Learning rate.
    pub lr: f64,
    /// Momentum; 0 needs no buffers.
    pub momentum: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Dampening of the momentum.
    pub dampening: f64,
    /// Nesterov momentum.
    pub nesterov: bool,
    /// The momentum buffers are empty and begin as the gradients.
    pub first_step: bool,
}

/// One Adam or AdamW step's settings, PyTorch's names.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AdamSettings {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean.
    pub beta1: f64,
    /// Decay of the mean square.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// L2 penalty, or decoupled decay.
    pub weight_decay: f64,
    /// Keep the largest mean square.
    pub amsgrad: bool,
    /// AdamW: the decay does not pass through the gradient.
    pub decoupled: bool,
}

/// Adam's state, one tensor a parameter in each.
#[derive(Clone, Copy, Debug)]
pub struct AdamState<'a> {
    /// Running means of the gradient.
    pub exp_avg: &'a [Tensor],
    /// Running means of its square.
    pub exp_avg_sq: &'a [Tensor],
    /// Their maxima; empty without amsgrad.
    pub max_exp_avg_sq: &'a [Tensor],
    /// Steps done, f32 scalars; counted up by the call.
    pub step: &'a [Tensor],
}

/// One RMSprop step's settings, PyTorch's names.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RmspropSettings {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean square.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Momentum; 0 needs no buffers.
    pub momentum: f64,
    /// Subtract the squared mean from the mean square.
    pub centered: bool,
}

// cpp/optim.cpp checks the same of its structs.
const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<SgdSettings>() == 40);
    assert!(offset_of!(SgdSettings, dampening) == 24 && offset_of!(SgdSettings, first_step) == 33);
    assert!(size_of::<AdamSettings>() == 48);
    assert!(offset_of!(AdamSettings, weight_decay) == 32 && offset_of!(AdamSettings, decoupled) == 41);
    assert!(size_of::<RmspropSettings>() == 48);
    assert!(offset_of!(RmspropSettings, momentum) == 32 && offset_of!(RmspropSettings, centered) == 40);
};

/// RMSprop's state, one tensor a parameter in each.
#[derive(Clone, Copy, Debug)]
pub struct RmspropState<'a> {
    /// Running means of the gradient's square.
    pub square_avg: &'a [Tensor],
    /// Running means of the gradient; empty if not centered.
    pub grad_avg: &'a [Tensor],
    /// Momentum buffers; empty without momentum.
    pub momentum_buffer: &'a [Tensor],
    /// Steps done, f32 scalars; counted up by the call.
    pub step: &'a [Tensor],
}

unsafe extern "C" {
    fn te_total_norm(tensors: Pointers, count: usize, out: *const c_void) -> *mut c_char;
    fn te_clip_grads_with_norm(
        grads: Pointers,
        count: usize,
        norm: *const c_void,
        max_norm: f64,
    ) -> *mut c_char;
    fn te_copy_all(tensors: Pointers, from: Pointers, count: usize) -> *mut c_char;
    fn te_lerp(tensors: Pointers, ends: Pointers, count: usize, weight: f64) -> *mut c_char;
    fn te_fused_sgd(
        parameters: Pointers,
        grads: Pointers,
        momenta: Pointers,
        count: usize,
        settings: *const SgdSettings,
        found_inf: *const c_void,
    ) -> *mut c_char;
    fn te_fused_adam(
        parameters: Pointers,
        grads: Pointers,
        means: Pointers,
        squares: Pointers,
        maxima: Pointers,
        steps: Pointers,
        count: usize,
        settings: *const AdamSettings,
        found_inf: *const c_void,
    ) -> *mut c_char;
    fn te_rmsprop(
        parameters: Pointers,
        grads: Pointers,
        squares: Pointers,
        means: Pointers,
        momenta: Pointers,
        steps: Pointers,
        count: usize,
        settings: *const RmspropSettings,
        found_inf: *const c_void,
    ) -> *mut c_char;
}

fn same_length(name: &str, wanted: usize, given: usize) -> Result<(), Error> {
    if wanted == given {
        Ok(())
    } else {
        Err(Error(format!("{name}: {given} tensors for {wanted} parameters")))
    }
}

/// The 2-norm over all elements of all `tensors` (at least one; floating point), a scalar, as
/// PyTorch's `torch.nn.utils.get_total_norm`. Nothing is read from the device.
///
/// # Errors
/// libtorch's.
pub fn total_norm(tensors: &[Tensor]) -> Result<Tensor, Error> {
    let Some(first) = tensors.first() else { return Err(Error("the norm of no tensors".to_owned())) };
    let out = Tensor::zeros([0i64; 0], (first.kind(), first.device()));
    let pointers = pointers(tensors);
    // SAFETY: the pointers are of live tensors, as many as said, and `out` lives through the call.
    result(unsafe { te_total_norm(pointers.as_ptr(), pointers.len(), out.as_ptr().cast()) })?;
    Ok(out)
}

/// Scales `grads` in place so that their norm, which is the scalar `norm` (see [`total_norm`]), is
/// at most `max_norm`, to the bit as `torch.nn.utils.clip_grads_with_norm_`. Nothing is read from
/// the device: the factor is a tensor.
///
/// # Errors
/// libtorch's.
pub fn clip_grads_with_norm(grads: &[Tensor], norm: &Tensor, max_norm: f64) -> Result<(), Error> {
    if grads.is_empty() {
        return Ok(());
    }
    let pointers = pointers(grads);
    // SAFETY: the pointers are of live tensors, as many as said, and `norm` lives through the call.
    result(unsafe {
        te_clip_grads_with_norm(pointers.as_ptr(), pointers.len(), norm.as_ptr().cast(), max_norm)
    })
}

/// Moves each of `tensors` towards its counterpart in `ends`, in place: `tensor + weight · (end −
/// tensor)`.
///
/// # Errors
/// Tensors of different size, stride, dtype or device.
pub fn lerp(tensors: &[Tensor], ends: &[Tensor], weight: f64) -> Result<(), Error> {
    same_length("ends", tensors.len(), ends.len())?;
    if tensors.is_empty() {
        return Ok(());
    }
    let (t, e) = (pointers(tensors), pointers(ends));
    // SAFETY: both lists hold as many pointers of live tensors as said.
    result(unsafe { te_lerp(t.as_ptr(), e.as_ptr(), t.len(), weight) })
}

/// Copies each of `from` into its counterpart, in as few calls as their dtypes and devices allow.
///
/// # Errors
/// Tensors of different size.
pub fn copy_all(tensors: &[Tensor], from: &[Tensor]) -> Result<(), Error> {
    same_length("tensors to copy", tensors.len(), from.len())?;
    if tensors.is_empty() {
        return Ok(());
    }
    let (t, f) = (pointers(tensors), pointers(from));
    // SAFETY: both lists hold as many pointers of live tensors as said.
    result(unsafe { te_copy_all(t.as_ptr(), f.as_ptr(), t.len()) })
}

/// One SGD step in place, `torch.optim.SGD(fused=True)`. `momenta` is not read if the momentum is
/// 0. If `found_inf`, a scalar on any device, is 1, nothing is changed; it is not read by the host.
///
/// # Errors
/// A gradient or buffer of another size, stride, dtype or device than its parameter.
pub fn fused_sgd(
    parameters: &[Tensor],
    grads: &[Tensor],
    momenta: &[Tensor],
    settings: &SgdSettings,
    found_inf: Option<&Tensor>,
) -> Result<(), Error> {
    let count = parameters.len();
    if count == 0 {
        return Ok(());
    }
    same_length("gradients", count, grads.len())?;
    if settings.momentum != 0.0 {
        same_length("momentum buffers", count, momenta.len())?;
    }
    let (p, g, m) = (pointers(parameters), pointers(grads), pointers(momenta));
    // SAFETY: the lists hold `count` pointers of live tensors each (`m` is not read without
    // momentum), and SgdSettings has the layout of its C counterpart.
    result(unsafe { te_fused_sgd(p.as_ptr(), g.as_ptr(), m.as_ptr(), count, settings, pointer(found_inf)) })
}

/// One Adam or AdamW step in place, `torch.optim.Adam(fused=True)`; `found_inf` as in
/// [`fused_sgd`], and no step is counted then.
///
/// # Errors
/// A gradient or state of another size, stride, dtype or device than its parameter.
pub fn fused_adam(
    parameters: &[Tensor],
    grads: &[Tensor],
    state: AdamState<'_>,
    settings: &AdamSettings,
    found_inf: Option<&Tensor>,
) -> Result<(), Error> {
    let count = parameters.len();
    if count == 0 {
        return Ok(());
    }
    same_length("gradients", count, grads.len())?;
    same_length("exp_avg", count, state.exp_avg.len())?;
    same_length("exp_avg_sq", count, state.exp_avg_sq.len())?;
    same_length("step", count, state.step.len())?;
    if settings.amsgrad {
        same_length("max_exp_avg_sq", count, state.max_exp_avg_sq.len())?;
    }
    let (p, g) = (pointers(parameters), pointers(grads));
    let (m, v) = (pointers(state.exp_avg), pointers(state.exp_avg_sq));
    let (x, t) = (pointers(state.max_exp_avg_sq), pointers(state.step));
    // SAFETY: the lists hold `count` pointers of live tensors each (`x` is not read without
    // amsgrad), and AdamSettings has the layout of its C counterpart.
    result(unsafe {
        te_fused_adam(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            x.as_ptr(),
            t.as_ptr(),
            count,
            settings,
            pointer(found_inf),
        )
    })
}

/// One RMSprop step in place, `torch.optim.RMSprop(foreach=True)`; `found_inf` as in
/// [`fused_adam`]. There is no fused kernel for it: where `found_inf` is given, parameters and
/// state are copied first.
///
/// # Errors
/// A gradient or state of another size, stride, dtype or device than its parameter.
pub fn rmsprop(
    parameters: &[Tensor],
    grads: &[Tensor],
    state: RmspropState<'_>,
    settings: &RmspropSettings,
    found_inf: Option<&Tensor>,
) -> Result<(), Error> {
    let count = parameters.len();
    if count == 0 {
        return Ok(());
    }
    same_length("gradients", count, grads.len())?;
    same_length("square_avg", count, state.square_avg.len())?;
    same_length("step", count, state.step.len())?;
    if settings.centered {
        same_length("grad_avg", count, state.grad_avg.len())?;
    }
    if settings.momentum != 0.0 {
        same_length("momentum buffers", count, state.momentum_buffer.len())?;
    }
    let (p, g, v) = (pointers(parameters), pointers(grads), pointers(state.square_avg));
    let (m, b, t) = (pointers(state.grad_avg), pointers(state.momentum_buffer), pointers(state.step));
    // SAFETY: the lists hold `count` pointers of live tensors each (`m` is not read unless
    // centered, nor `b` without momentum), and RmspropSettings has the layout of its C counterpart.
    result(unsafe {
        te_rmsprop(
            p.as_ptr(),
            g.as_ptr(),
            v.as_ptr(),
            m.as_ptr(),
            b.as_ptr(),
            t.as_ptr(),
            count,
            settings,
            pointer(found_inf),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const SGD: SgdSettings = SgdSettings {
        lr: 0.5,
        momentum: 0.0,
        weight_decay: 0.0,
        dampening: 0.0,
        nesterov: false,
        first_step: true,
    };

    fn ones(size: &[i64]) -> Tensor {
        Tensor::ones(size, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn a_step_is_taken_in_place() {
        let parameter = [ones(&[2, 3])];
        fused_sgd(&parameter, &[ones(&[2, 3])], &[], &SGD, None).unwrap();
        assert_eq!(parameter[0].sum(Kind::Float).double_value(&[]), 3.0);
    }

    #[test]
    fn the_stride_of_a_dimension_of_one_element_does_not_matter() {
        let parameter = ones(&[3, 1, 2, 2]).set_requires_grad(true);
        let grad = ones(&[3, 1, 2, 2]).as_strided([3, 1, 2, 2], [4, 1, 2, 1], None);
        assert_ne!(grad.stride(), parameter.stride());
        fused_sgd(&[parameter.shallow_clone()], &[grad], &[], &SGD, None).unwrap();
        assert_eq!(parameter.detach(), ones(&[3, 1, 2, 2]) * 0.5);
    }

    #[test]
    fn other_strides_are_refused_instead_of_mixing_elements_up() {
        let error =
            fused_sgd(&[ones(&[2, 3])], &[ones(&[3, 2]).tr()], &[], &SGD, None).unwrap_err().to_string();
        assert!(error.contains("strides"), "{error}");
        assert!(!error.contains("0x"), "no C++ stack: {error}");
    }

    #[test]
    fn the_norm_is_over_all_tensors_and_clipping_changes_each() {
        let tensors = [ones(&[3, 3]), ones(&[7])];
        let norm = total_norm(&tensors).unwrap();
        assert_eq!(norm.double_value(&[]), 4.0);
        clip_grads_with_norm(&tensors, &norm, 5.0).unwrap();
        assert_eq!(total_norm(&tensors).unwrap().double_value(&[]), 4.0, "small enough");
        clip_grads_with_norm(&tensors, &norm, 2.0).unwrap();
        assert!((total_norm(&tensors).unwrap().double_value(&[]) - 2.0).abs() < 1e-5);
        assert!(total_norm(&[]).is_err());
        clip_grads_with_norm(&[], &norm, 2.0).unwrap();
    }

    #[test]
    fn found_inf_is_one_number() {
        let parameter = [ones(&[2])];
        assert!(fused_sgd(&parameter, &[ones(&[2])], &[], &SGD, Some(&ones(&[2]))).is_err());
        fused_sgd(&parameter, &[ones(&[2])], &[], &SGD, Some(&ones(&[1]))).unwrap();
        assert_eq!(parameter[0], ones(&[2]), "the step is skipped");
    }

    #[test]
    fn tensors_move_towards_their_ends() {
        let tensor = [ones(&[2])];
        lerp(&tensor, &[ones(&[2]) * 5.0], 0.25).unwrap();
        assert_eq!(tensor[0].double_value(&[1]), 2.0);
        assert!(lerp(&tensor, &[ones(&[3])], 0.25).is_err());
    }
}
