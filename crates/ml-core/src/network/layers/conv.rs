//! Convolutions.

use tch::{Kind, Tensor};

use super::{Activation, BatchNorm2d, Cut, Layer, Sequential};
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

    /// The output `[N, C, 1, 1]`, where the kernel, wider than one pixel, fits the image and its
    /// padding only once: what lies on the padding is left out, as it changes nothing but the order
    /// of the sum. Of 3 × 3 weights over a single pixel, the one in the middle is left. Networks
    /// for large images end so when the images are small, in the layers that have most weights.
    fn single_pixel(&self, input: &Tensor) -> Option<Tensor> {
        let Conv2d { kernel, stride, padding, dilation, groups, .. } = self.shape;
        let [batch, _, height, width] = *input.size().as_slice() else { return None };
        let outputs = |size: i64, axis: usize| (size + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1;
        let meets =
            |size: i64, axis: usize| size + 2 * padding[axis] >= kernel[axis] && padding[axis] < kernel[axis];
        let is_single = |size: i64, axis: usize| size > 0 && meets(size, axis) && outputs(size, axis) == 1;
        if dilation != 1 || kernel == [1, 1] || !is_single(height, 0) || !is_single(width, 1) {
            return None;
        }
        let (mut pixels, mut weight) = (input.shallow_clone(), self.weight.shallow_clone());
        for (axis, size) in [height, width].into_iter().enumerate() {
            let reached = size.min(kernel[axis] - padding[axis]);
            let dimension = 2 + axis as i64;
            pixels = pixels.narrow(dimension, 0, reached);
            weight = weight.narrow(dimension, padding[axis], reached);
        }
        Some(if groups == 1 {
            pixels.flatten(1, -1).linear(&weight.flatten(1, -1), self.bias.as_ref()).view([batch, -1, 1, 1])
        } else {
            pixels.conv2d(&weight, self.bias.as_ref(), 1, 0, 1, groups)
        })
    }
}

impl Layer for Convolution {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        if let Some(output) = self.single_pixel(input) {
            return output;
        }
        let Conv2d { stride, padding, dilation, groups, .. } = self.shape;
        if dilation == 1 && groups > 1 {
            let (weight, bias) = (&self.weight, self.bias.as_ref());
            // An error can only be one that the plain operation has too.
            let taken = torch_ext::depthwise_conv2d(input, weight, bias, stride, padding, groups);
            if let Some(output) = taken.ok().flatten() {
                return output;
            }
        }
        input.conv2d(&self.weight, self.bias.as_ref(), stride, padding, [dilation, dilation], groups)
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
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

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn small_images_get_what_the_whole_kernel_gives() {
        let double = (Kind::Double, Device::Cpu);
        let mut single = 0;
        let shapes = [2, 3, 5, 7].into_iter().flat_map(|kernel| (1..4).map(move |stride| (kernel, stride)));
        for (kernel, stride, padding, groups) in shapes.flat_map(|(kernel, stride)| {
            [(0, 1), (1, 1), (2, 2), (3, 4)].map(|(p, g)| (kernel, stride, p, g))
        }) {
            for (height, width) in (1..5).flat_map(|height| (1..5).map(move |width| (height, width))) {
                if height.min(width) + 2 * padding < kernel {
                    continue;
                }
                let weight = Tensor::randn([8, 4 / groups, kernel, kernel], double).set_requires_grad(true);
                let images = Tensor::randn([2, 4, height, width], double).set_requires_grad(true);
                let shape = Conv2d::square(kernel).stride(stride).padding(padding).groups(groups);
                let layer = Convolution { weight: weight.shallow_clone(), bias: None, shape };
                let whole = images.conv2d::<&Tensor>(&weight, None, stride, padding, 1, groups);
                let ours = layer.forward_t(&images, true);
                single += usize::from(layer.single_pixel(&images).is_some());
                assert_eq!(ours.size(), whole.size(), "{shape:?} over {height} x {width}");
                let slope = ours.randn_like();
                let gradients = |outputs: &Tensor| {
                    Tensor::run_backward(
                        &[(outputs * &slope).sum(Kind::Double)],
                        &[&weight, &images],
                        false,
                        false,
                    )
                };
                let (of_ours, of_whole) = (gradients(&ours), gradients(&whole));
                let pairs = of_ours.iter().zip(&of_whole).chain([(&ours, &whole)]);
                for (one, other) in pairs {
                    let difference = (one - other).abs().max().double_value(&[]);
                    assert!(difference < 1e-12, "{shape:?} over {height} x {width}: {difference}");
                }
            }
        }
        assert!(single > 50, "{single}");
    }
}
