//! Convolutions.

use tch::{Kind, Tensor};

use super::{Activation, BatchNorm2d, Layer, Sequential};
use crate::network::init::Init;
use crate::network::module::ModuleKind;
use crate::network::state::Scope;

/// `torch.nn.Conv2d`, as it is described before it is built; heights and widths are alike unless
/// said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    kernel: [i64; 2],
    stride: [i64; 2],
    padding: [i64; 2],
    dilation: i64,
    groups: i64,
    bias: bool,
}

impl Conv2d {
    /// Of a square kernel, with stride 1, no padding and no bias.
    pub fn square(kernel: i64) -> Conv2d {
        Conv2d::of([kernel, kernel])
    }

    /// Of a kernel of this height and width.
    pub fn of(kernel: [i64; 2]) -> Conv2d {
        Conv2d { kernel, stride: [1, 1], padding: [0, 0], dilation: 1, groups: 1, bias: false }
    }

    /// Of a square kernel, with a padding that keeps the size where the stride is 1.
    pub fn same(kernel: i64) -> Conv2d {
        Conv2d::square(kernel).padding((kernel - 1) / 2)
    }

    /// Pixels between windows.
    pub fn stride(self, stride: i64) -> Conv2d {
        Conv2d { stride: [stride, stride], ..self }
    }

    /// Zeros on every side.
    pub fn padding(self, padding: i64) -> Conv2d {
        Conv2d { padding: [padding, padding], ..self }
    }

    /// Zeros above and below, and on the left and right.
    pub fn paddings(self, padding: [i64; 2]) -> Conv2d {
        Conv2d { padding, ..self }
    }

    /// Groups of channels that do not see each other.
    pub fn groups(self, groups: i64) -> Conv2d {
        Conv2d { groups, ..self }
    }

    /// With a bias.
    pub fn biased(self) -> Conv2d {
        Conv2d { bias: true, ..self }
    }

    /// Weight `[out, in / groups, height, width]` and bias `[out]`, both initially PyTorch's
    /// default.
    pub fn build(self, scope: &Scope, (input, output): (i64, i64)) -> Convolution {
        scope.set_kind(ModuleKind::Conv2d);
        let shape = [output, input / self.groups, self.kernel[0], self.kernel[1]];
        Convolution {
            weight: scope.parameter("weight", &shape, Init::default_weight(&shape)),
            bias: self.bias.then(|| scope.parameter("bias", &[output], Init::default_bias(&shape))),
            shape: self,
        }
    }
}

/// A convolution that has been built.
#[derive(Debug)]
pub struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    shape: Conv2d,
}

impl Convolution {
    /// Takes over what the batch norm after it does in evaluation. Its weights are its own from then
    /// on, not those of the network's state; they are computed in float64 and rounded once. Not if
    /// they would be NaN or Inf: nothing is changed then.
    pub(super) fn fold(&mut self, norm: &BatchNorm2d) -> bool {
        let (kind, double) = (self.weight.kind(), Kind::Double);
        let (scale, shift) = norm.scale_and_shift();
        let weight = self.weight.detach().to_kind(double) * scale.view([-1, 1, 1, 1]);
        let bias = match &self.bias {
            Some(bias) => bias.detach().to_kind(double) * scale + shift,
            None => shift,
        };
        let (weight, bias) = (weight.to_kind(kind), bias.to_kind(kind));
        let is_finite = |tensor: &Tensor| bool::try_from(tensor.isfinite().all()).unwrap_or(false);
        if !(is_finite(&weight) && is_finite(&bias)) {
            return false;
        }
        self.weight = weight;
        self.bias = Some(bias);
        true
    }
}

impl Layer for Convolution {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        let Conv2d { stride, padding, dilation, groups, .. } = self.shape;
        input.conv2d(&self.weight, self.bias.as_ref(), stride, padding, [dilation, dilation], groups)
    }

    fn as_convolution(&mut self) -> Option<&mut Convolution> {
        Some(self)
    }
}

/// torchvision's `Conv2dNormActivation`: a convolution without bias called `0`, a batch norm called
/// `1`, an activation.
#[derive(Clone, Copy, Debug)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: Conv2d,
    /// Of the batch norm.
    pub eps: f64,
    /// Of the batch norm.
    pub momentum: f64,
    /// After it.
    pub activation: Option<Activation>,
}

impl ConvNorm {
    /// With PyTorch's default batch norm.
    pub fn new(conv: Conv2d, activation: impl Into<Option<Activation>>) -> ConvNorm {
        ConvNorm { conv, eps: 1e-5, momentum: 0.1, activation: activation.into() }
    }

    /// With this batch norm.
    pub fn norm(self, eps: f64, momentum: f64) -> ConvNorm {
        ConvNorm { eps, momentum, ..self }
    }

    /// Builds it.
    pub fn build(self, scope: &Scope, (input, output): (i64, i64)) -> Sequential {
        let mut layers = Sequential::default();
        layers.push(self.conv.build(&scope.sub(0), (input, output)));
        layers.push(BatchNorm2d::with(&scope.sub(1), output, self.eps, self.momentum));
        if let Some(activation) = self.activation {
            layers.push(activation);
        }
        layers
    }
}
