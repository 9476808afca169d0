//! Depthwise convolutions under autocast to bf16, with a faster backward pass.

use std::ffi::{c_char, c_void};

use tch::Tensor;

use crate::Error;
use crate::shim::{pointer, result};

unsafe extern "C" {
    fn te_depthwise_conv2d_takes(images: *const c_void, weight: *const c_void, groups: i64) -> bool;
    fn te_depthwise_conv2d(
        images: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        stride: *const i64,
        padding: *const i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
}

/// `torch.conv2d` of `images` `[N, C, H, W]` with `weight` `[C, 1, height, width]`, f32, a group a
/// channel, under [`Autocast`](crate::Autocast) to bf16 on the CPU, while gradients are recorded;
/// for all else there is none. The output is libtorch's own, to the bit; the backward pass is
/// computed in f32 with channels innermost, where it is several times faster than in bf16 (and
/// rounds less).
///
/// # Errors
/// No memory; a kernel that is larger than the padded images.
pub fn depthwise_conv2d(
    images: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: [i64; 2],
    padding: [i64; 2],
    groups: i64,
) -> Result<Option<Tensor>, Error> {
    // SAFETY: both are of live tensors.
    if !unsafe { te_depthwise_conv2d_takes(images.as_ptr().cast(), weight.as_ptr().cast(), groups) } {
        return Ok(None);
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: all tensors live through the call, and the arrays have two numbers; on success `out` is
    // a tensor of ours.
    result(unsafe {
        te_depthwise_conv2d(
            images.as_ptr().cast(),
            weight.as_ptr().cast(),
            pointer(bias),
            stride.as_ptr(),
            padding.as_ptr(),
            &raw mut out,
        )
    })?;
    // SAFETY: as above.
    Ok(Some(unsafe { Tensor::from_ptr(out.cast()) }))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::{Autocast, channels_last};

    fn normal(seed: u64, shape: &[i64]) -> Tensor {
        let tensor = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        crate::Generator::new(seed).normal(&tensor, 0.1, 1.0).unwrap();
        tensor
    }

    /// Output and gradients of images, weight and bias.
    fn computed(images: &Tensor, kernel: i64, stride: i64, is_ours: bool) -> [Tensor; 4] {
        let channels = images.size()[1];
        let images = images.detach().set_requires_grad(true);
        let weight = normal(2, &[channels, 1, kernel, kernel]).set_requires_grad(true);
        let bias = normal(3, &[channels]).set_requires_grad(true);
        let padding = kernel / 2;
        let output = {
            let _autocast = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
            if is_ours {
                let (stride, padding) = ([stride; 2], [padding; 2]);
                depthwise_conv2d(&images, &weight, Some(&bias), stride, padding, channels).unwrap().unwrap()
            } else {
                images.conv2d(&weight, Some(&bias), stride, padding, 1, channels)
            }
        };
        assert_eq!(output.kind(), Kind::BFloat16);
        let slope = normal(4, &output.size()).to_kind(Kind::BFloat16);
        (&output * slope).sum(Kind::Float).backward();
        [output.detach(), images.grad(), weight.grad(), bias.grad()]
    }

    #[test]
    fn outputs_are_libtorchs_and_gradients_round_less() {
        for (kernel, stride, kind, is_last) in [
            (3, 1, Kind::BFloat16, true),
            (5, 2, Kind::BFloat16, false),
            (7, 1, Kind::Float, true),
            (3, 2, Kind::Float, false),
        ] {
            let images = normal(1, &[3, 24, 13, 11]).to_kind(kind);
            let images = if is_last { channels_last(&images).unwrap() } else { images };
            let (ours, theirs) =
                (computed(&images, kernel, stride, true), computed(&images, kernel, stride, false));
            assert!(ours[0].equal(&theirs[0]), "{kernel} {stride} {kind:?}");
            for (number, (one, other)) in ours.iter().zip(&theirs).enumerate().skip(1) {
                assert_eq!((one.kind(), one.size()), (other.kind(), other.size()));
                let (one, other) = (one.to_kind(Kind::Double), other.to_kind(Kind::Double));
                let relative = ((&one - &other).norm() / other.norm()).double_value(&[]);
                // Both round to 8 bits somewhere.
                assert!(relative < 8e-3, "{kernel} {stride} {kind:?}: {number} differs by {relative}");
            }
        }
    }

    #[test]
    fn all_else_is_left_to_libtorch() {
        let (images, weight) = (normal(1, &[2, 4, 5, 5]), normal(2, &[4, 1, 3, 3]).set_requires_grad(true));
        let taken = |images: &Tensor, weight: &Tensor, groups| {
            depthwise_conv2d(images, weight, None, [1, 1], [1, 1], groups).unwrap().is_some()
        };
        assert!(!taken(&images, &weight, 4), "without autocast");
        let _autocast = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
        assert!(taken(&images, &weight, 4));
        assert!(!tch::no_grad(|| taken(&images, &weight, 4)));
        assert!(!taken(&images, &weight.detach(), 4));
        assert!(!taken(&images, &normal(2, &[4, 2, 3, 3]).set_requires_grad(true), 2));
        assert!(!taken(&images.to_kind(Kind::Double), &weight, 4));
        assert!(
            depthwise_conv2d(
                &images,
                &normal(2, &[4, 1, 9, 9]).set_requires_grad(true),
                None,
                [1, 1],
                [1, 1],
                4
            )
            .is_err()
        );
    }
}
