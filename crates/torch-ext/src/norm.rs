//! Batch norm in training, the addition of a shortcut, and the activation in one operation.

use std::ffi::{c_char, c_int, c_void};

use tch::Tensor;

use crate::Error;
use crate::shim::{pointer, result};

unsafe extern "C" {
    fn te_batch_norm_act_takes(images: *const c_void, shortcut: *const c_void) -> bool;
    fn te_batch_norm_act(
        images: *const c_void,
        shortcut: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        running_mean: *const c_void,
        running_var: *const c_void,
        momentum: f64,
        eps: f64,
        activation: c_int,
        out: *mut *mut c_void,
    ) -> *mut c_char;
}

/// A batch norm's tensors, `[C]` f32 each, and settings, PyTorch's names.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Factor of each channel.
    pub weight: &'a Tensor,
    /// Added to each channel.
    pub bias: &'a Tensor,
    /// Updated.
    pub running_mean: &'a Tensor,
    /// Updated.
    pub running_var: &'a Tensor,
    /// The share of the newest batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

/// What is done to a batch norm's output in the same operation; numbered as `cpp/norm.cpp` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum NormActivation {
    /// Nothing.
    None = 0,
    /// `max(x, 0)`
    Relu = 1,
    /// `x · sigmoid(x)`
    Silu = 2,
    /// `x · min(max(x + 3, 0), 6) / 6`
    Hardswish = 3,
    /// `min(max(x, 0), 6)`
    Relu6 = 4,
}

/// `activation(batch_norm(images) + shortcut)` with the statistics of the batch, which are computed
/// in f32; without a shortcut, the same without. `images` and `shortcut` are `[N, C, H, W]`, bf16, on
/// the CPU, with their channels innermost; for others there is none. Gradients are recorded. What it
/// gives does not depend on the number of threads.
///
/// # Errors
/// Tensors of `norm` that are not `[C]` f32, or a shortcut before an activation other than `ReLU`.
pub fn batch_norm_act(
    images: &Tensor,
    shortcut: Option<&Tensor>,
    norm: &BatchNorm<'_>,
    activation: NormActivation,
) -> Result<Option<Tensor>, Error> {
    // SAFETY: both are of live tensors, the second may be null.
    if !unsafe { te_batch_norm_act_takes(images.as_ptr().cast(), pointer(shortcut)) } {
        return Ok(None);
    }
    let BatchNorm { weight, bias, running_mean, running_var, momentum, eps } = *norm;
    let mut out = std::ptr::null_mut();
    // SAFETY: all tensors live through the call; on success `out` is a tensor of ours.
    result(unsafe {
        te_batch_norm_act(
            images.as_ptr().cast(),
            pointer(shortcut),
            weight.as_ptr().cast(),
            bias.as_ptr().cast(),
            running_mean.as_ptr().cast(),
            running_var.as_ptr().cast(),
            momentum,
            eps,
            activation as c_int,
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
    use crate::channels_last;

    const SHAPE: [i64; 4] = [6, 37, 5, 7];

    fn bf16(seed: u64, mean: f64) -> Tensor {
        let tensor = Tensor::zeros(SHAPE, (Kind::Float, Device::Cpu));
        crate::Generator::new(seed).normal(&tensor, mean, 1.5).unwrap();
        channels_last(&tensor.to_kind(Kind::BFloat16)).unwrap()
    }

    fn parameter(seed: u64, kind: Kind) -> Tensor {
        let tensor = Tensor::zeros([SHAPE[1]], (Kind::Float, Device::Cpu));
        crate::Generator::new(seed).normal(&tensor, 0.5, 1.0).unwrap();
        tensor.to_kind(kind)
    }

    /// Output, gradients of images, shortcut, weight and bias, running mean and variance.
    fn computed(kind: Kind, mean: f64, has_shortcut: bool, activation: NormActivation) -> Vec<Tensor> {
        let [images, shortcut, dy] =
            [bf16(1, mean), bf16(2, 0.0), bf16(3, 0.1)].map(|tensor| tensor.to_kind(kind));
        let images = images.set_requires_grad(true);
        let shortcut = shortcut.set_requires_grad(true);
        let wide = if kind == Kind::Double { Kind::Double } else { Kind::Float };
        let [weight, bias] = [parameter(4, wide), parameter(5, wide)].map(|p| p.set_requires_grad(true));
        let (running_mean, running_var) = (parameter(6, wide), parameter(7, wide).square());
        let (momentum, eps) = (0.1, 1e-5);
        let output = if kind == Kind::Double {
            let (w, b) = (Some(&weight), Some(&bias));
            let (m, v) = (Some(&running_mean), Some(&running_var));
            let normed = images.batch_norm(w, b, m, v, true, momentum, eps, false);
            let sum = if has_shortcut { normed + &shortcut } else { normed };
            match activation {
                NormActivation::None => sum,
                NormActivation::Relu => sum.relu(),
                NormActivation::Silu => sum.silu(),
                NormActivation::Hardswish => sum.hardswish(),
                NormActivation::Relu6 => sum.relu6(),
            }
        } else {
            let norm = BatchNorm {
                weight: &weight,
                bias: &bias,
                running_mean: &running_mean,
                running_var: &running_var,
                momentum,
                eps,
            };
            batch_norm_act(&images, has_shortcut.then_some(&shortcut), &norm, activation).unwrap().unwrap()
        };
        (&output * &dy).sum(wide).backward();
        let mut all = vec![output.detach(), images.grad(), weight.grad(), bias.grad()];
        all.extend(has_shortcut.then(|| shortcut.grad()));
        all.extend([running_mean, running_var]);
        all
    }

    /// Outputs and gradients of images are rounded to 8 bits; what is f32 is computed from gradients
    /// that `ReLU`'s mask, from rounded outputs, lets through alike.
    #[test]
    fn values_and_gradients_are_those_of_float64_but_for_rounding() {
        use NormActivation::{Hardswish, None, Relu, Relu6, Silu};
        for (mean, has_shortcut, activation) in [
            (0.0, false, Relu),
            (0.0, true, Relu),
            (0.0, false, None),
            (0.0, true, None),
            (100.0, false, Relu),
            (0.0, false, Silu),
            (100.0, false, Silu),
            (0.0, false, Hardswish),
            (0.0, false, Relu6),
        ] {
            let found = computed(Kind::BFloat16, mean, has_shortcut, activation);
            let wanted = computed(Kind::Double, mean, has_shortcut, activation);
            for (number, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let is_rounded = found.kind() == Kind::BFloat16;
                let difference = (found.to_kind(Kind::Double) - wanted).norm().double_value(&[]);
                let relative = difference / wanted.norm().double_value(&[]);
                let bound = if is_rounded { 3e-3 } else { 1e-5 };
                assert!(
                    relative < bound,
                    "{mean} {has_shortcut} {activation:?}: {number} differs by {relative}"
                );
            }
        }
    }

    #[test]
    fn threads_do_not_change_it() {
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        let both = || {
            let mut all = computed(Kind::BFloat16, 0.0, true, NormActivation::Relu);
            all.extend(computed(Kind::BFloat16, 0.0, false, NormActivation::Silu));
            all
        };
        let one = both();
        tch::set_num_threads(3);
        let three = both();
        tch::set_num_threads(before);
        assert!(one.iter().zip(&three).all(|(one, three)| one.equal(three)));
    }

    #[test]
    fn other_formats_are_left_to_libtorch() {
        let (images, p) = (bf16(1, 0.0), parameter(2, Kind::Float));
        let norm =
            BatchNorm { weight: &p, bias: &p, running_mean: &p, running_var: &p, momentum: 0.1, eps: 1e-5 };
        for other in [images.to_kind(Kind::Float), images.contiguous(), images.flatten(2, 3)] {
            assert!(batch_norm_act(&other, None, &norm, NormActivation::Relu).unwrap().is_none());
        }
        let relu = NormActivation::Relu;
        assert!(batch_norm_act(&images, Some(&images.contiguous()), &norm, relu).unwrap().is_none());
        assert!(batch_norm_act(&images, Some(&images), &norm, NormActivation::Silu).is_err());
        let wrong = parameter(2, Kind::Double);
        let norm = BatchNorm { weight: &wrong, ..norm };
        assert!(batch_norm_act(&images, None, &norm, relu).is_err());
    }
}
