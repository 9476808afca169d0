//! Mixed precision beyond autocast: gradient scaling, and what a device can do.

use std::ffi::{c_char, c_void};

use tch::{Device, Tensor};

use crate::shim::{Pointers, pointers, result};
use crate::{Error, cuda_device};

unsafe extern "C" {
    fn te_unscale(
        grads: Pointers,
        count: usize,
        found_inf: *const c_void,
        inverse: *const c_void,
    ) -> *mut c_char;
    fn te_update_scale(
        scale: *const c_void,
        tracker: *const c_void,
        found_inf: *const c_void,
        growth: f64,
        backoff: f64,
        interval: i64,
    ) -> *mut c_char;
    fn te_cpu_has_bf16(out: *mut bool) -> *mut c_char;
    fn te_allow_tf32(on: bool) -> *mut c_char;
}

/// Multiplies `grads` in place with the scalar `inverse` (f32), and sets the scalar `found_inf`
/// (f32, on their device) to 1 if one of them holds NaN or Inf. Nothing is read from the device.
///
/// # Errors
/// libtorch's.
pub fn unscale(grads: &[Tensor], found_inf: &Tensor, inverse: &Tensor) -> Result<(), Error> {
    if grads.is_empty() {
        return Ok(());
    }
    let pointers = pointers(grads);
    // SAFETY: the pointers are of live tensors, as many as said; the others live through the call.
    result(unsafe {
        te_unscale(pointers.as_ptr(), pointers.len(), found_inf.as_ptr().cast(), inverse.as_ptr().cast())
    })
}

/// How a scale of gradients changes, `torch.amp.GradScaler`'s words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleRule {
    /// Factor after `growth_interval` steps in a row without NaN and Inf.
    pub growth_factor: f64,
    /// Factor after a step with NaN or Inf.
    pub backoff_factor: f64,
    /// Steps.
    pub growth_interval: i64,
}

/// Changes `scale` (scalar f32) and `growth_tracker` (scalar i32) in place after a step. Nothing is
/// read from the device.
///
/// # Errors
/// libtorch's.
pub fn update_scale(
    scale: &Tensor,
    growth_tracker: &Tensor,
    found_inf: &Tensor,
    rule: ScaleRule,
) -> Result<(), Error> {
    let ScaleRule { growth_factor, backoff_factor, growth_interval } = rule;
    // SAFETY: all three tensors live through the call.
    result(unsafe {
        te_update_scale(
            scale.as_ptr().cast(),
            growth_tracker.as_ptr().cast(),
            found_inf.as_ptr().cast(),
            growth_factor,
            backoff_factor,
            growth_interval,
        )
    })
}

/// Whether `device` computes in bf16 itself: a processor for which oneDNN has convolutions and
/// matrix products in bf16, or a CUDA device from Ampere on (compute capability 8.0).
///
/// # Errors
/// libtorch's.
pub fn has_bf16(device: Device) -> Result<bool, Error> {
    if let Device::Cuda(index) = device {
        return Ok(cuda_device(index).is_some_and(|device| device.capability >= (8, 0)));
    }
    let mut has = false;
    // SAFETY: `has` lives through the call.
    result(unsafe { te_cpu_has_bf16(&raw mut has) })?;
    Ok(has)
}

/// Lets matrix products and convolutions of f32 on CUDA read 19 bits of their input (TF32), in the
/// whole process.
///
/// # Errors
/// libtorch's.
pub fn allow_tf32(on: bool) -> Result<(), Error> {
    // SAFETY: a plain value.
    result(unsafe { te_allow_tf32(on) })
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn scalar(value: f64, kind: Kind) -> Tensor {
        Tensor::from(value).to_kind(kind)
    }

    #[test]
    fn unscaling_finds_what_is_not_finite() {
        for (value, wanted) in [(8.0, 0.0), (f64::INFINITY, 1.0), (f64::NAN, 1.0)] {
            let grads = [Tensor::from_slice(&[2.0f32, 4.0]), scalar(value, Kind::Float).reshape([1])];
            let found = scalar(0.0, Kind::Float);
            unscale(&grads, &found, &scalar(0.5, Kind::Float)).unwrap();
            assert_eq!(found.double_value(&[]), wanted);
            assert_eq!(grads[0], Tensor::from_slice(&[1.0f32, 2.0]));
        }
    }

    #[test]
    fn the_scale_grows_after_good_steps_and_falls_after_a_bad_one() {
        let rule = ScaleRule { growth_factor: 2.0, backoff_factor: 0.5, growth_interval: 2 };
        let (scale, tracker) = (scalar(1024.0, Kind::Float), scalar(0.0, Kind::Int));
        let mut seen = Vec::new();
        for found in [0.0, 0.0, 0.0, 1.0] {
            update_scale(&scale, &tracker, &scalar(found, Kind::Float), rule).unwrap();
            seen.push((scale.double_value(&[]), tracker.int64_value(&[])));
        }
        assert_eq!(seen, [(1024.0, 1), (2048.0, 0), (2048.0, 1), (1024.0, 0)]);
    }

    #[test]
    fn a_device_tells_whether_it_has_bf16() {
        assert!(has_bf16(Device::Cpu).is_ok());
    }
}
