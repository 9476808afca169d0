//! Activations.

use tch::Tensor;
use torch_ext::NormActivation;

use super::{Cut, Layer};

/// An activation function. Those called "in place" overwrite their input, which must not be needed
/// otherwise; it saves an activation's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `torch.nn.ReLU(inplace=True)`
    Relu,
    /// `torch.nn.ReLU6(inplace=True)`
    Relu6,
    /// `torch.nn.Hardswish`
    Hardswish,
    /// `torch.nn.Hardsigmoid`
    Hardsigmoid,
    /// `torch.nn.SiLU`
    Silu,
    /// `torch.nn.Sigmoid`
    Sigmoid,
    /// `torch.nn.GELU`, by the error function
    Gelu,
    /// `torch.nn.Tanh`
    Tanh,
}

impl Layer for Activation {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        match self {
            Activation::Relu => input.shallow_clone().relu_(),
            Activation::Relu6 => input.shallow_clone().relu6_(),
            Activation::Hardswish => input.hardswish(),
            Activation::Hardsigmoid => input.hardsigmoid(),
            Activation::Silu => input.silu(),
            Activation::Sigmoid => input.sigmoid(),
            Activation::Gelu => input.gelu("none"),
            Activation::Tanh => input.tanh(),
        }
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }

    fn as_norm_activation(&self) -> Option<NormActivation> {
        match self {
            Activation::Relu => Some(NormActivation::Relu),
            Activation::Relu6 => Some(NormActivation::Relu6),
            Activation::Hardswish => Some(NormActivation::Hardswish),
            Activation::Silu => Some(NormActivation::Silu),
            _ => None,
        }
    }
}
