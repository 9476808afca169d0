//! `MobileNets` V3 (Howard et al. 2019, arXiv:1905.02244), as torchvision builds them.

use super::NetworkSpec;
use super::layers::Activation::{Hardswish as HS, Relu as RE};
use super::layers::{
    Activation, Conv2d, ConvNorm, Dropout, GlobalAveragePool, Linear, Residual, Sequential, SqueezeExcitation,
};
use super::mobilenet_v2::{divisible, redraw};
use super::model::Model;
use super::state::Scope;

/// A variant.
struct Variant {
    blocks: &'static [Block],
    /// Width of the hidden linear layer.
    hidden: i64,
}

/// An inverted residual: a row of the paper's tables 1 and 2.
#[derive(Clone, Copy)]
struct Block {
    /// Side of the depthwise convolution's kernel.
    kernel: i64,
    /// Channels inside.
    width: i64,
    /// Channels of its output.
    output: i64,
    /// Whether there is squeeze and excitation after the depthwise convolution.
    squeezes: bool,
    activation: Activation,
    /// Of the depthwise convolution.
    stride: i64,
}

const fn row(
    kernel: i64,
    width: i64,
    output: i64,
    squeezes: bool,
    activation: Activation,
    stride: i64,
) -> Block {
    Block { kernel, width, output, squeezes, activation, stride }
}

/// Table 1.
const LARGE: Variant = Variant {
    blocks: &[
        row(3, 16, 16, false, RE, 1),
        row(3, 64, 24, false, RE, 2),
        row(3, 72, 24, false, RE, 1),
        row(5, 72, 40, true, RE, 2),
        row(5, 120, 40, true, RE, 1),
        row(5, 120, 40, true, RE, 1),
        row(3, 240, 80, false, HS, 2),
        row(3, 200, 80, false, HS, 1),
        row(3, 184, 80, false, HS, 1),
        row(3, 184, 80, false, HS, 1),
        row(3, 480, 112, true, HS, 1),
        row(3, 672, 112, true, HS, 1),
        row(5, 672, 160, true, HS, 2),
        row(5, 960, 160, true, HS, 1),
        row(5, 960, 160, true, HS, 1),
    ],
    hidden: 1280,
};

/// Table 2.
const SMALL: Variant = Variant {
    blocks: &[
        row(3, 16, 16, true, RE, 2),
        row(3, 72, 24, false, RE, 2),
        row(3, 88, 24, false, RE, 1),
        row(5, 96, 40, true, HS, 2),
        row(5, 240, 40, true, HS, 1),
        row(5, 240, 40, true, HS, 1),
        row(5, 120, 48, true, HS, 1),
        row(5, 144, 48, true, HS, 1),
        row(5, 288, 96, true, HS, 2),
        row(5, 576, 96, true, HS, 1),
        row(5, 576, 96, true, HS, 1),
    ],
    hidden: 1024,
};

/// Channels of the first convolution.
const STEM: i64 = 16;
/// Of dropout, before the classifier.
const DROPOUT: f64 = 0.2;

/// `mobilenet_v3_large`
pub fn large(scope: &Scope, spec: &NetworkSpec) -> Model {
    build(scope, spec, &LARGE)
}

/// `mobilenet_v3_small`
pub fn small(scope: &Scope, spec: &NetworkSpec) -> Model {
    build(scope, spec, &SMALL)
}

/// Every layer is initialised again at the end, as torchvision does.
fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let scope = root.sub("features");
    let mut layers = Sequential::default();
    let stem = conv_norm(Conv2d::same(3).stride(2), HS);
    layers.push(stem.build(&scope.sub(0), (spec.in_channels, STEM)));
    let mut channels = STEM;
    for block in variant.blocks {
        let made = block.build(&scope.sub(layers.0.len()).sub("block"), channels);
        if block.stride == 1 && channels == block.output {
            layers.push(Residual(made));
        } else {
            layers.push(made);
        }
        channels = block.output;
    }
    let last = 6 * channels;
    layers.push(conv_norm(Conv2d::square(1), HS).build(&scope.sub(layers.0.len()), (channels, last)));

    let scope = root.sub("classifier");
    let mut head = Sequential::default();
    head.push(Linear::new(&scope.sub(0), last, variant.hidden));
    head.push(HS);
    head.push(Dropout(spec.dropout.unwrap_or(DROPOUT)));
    head.push(Linear::new(&scope.sub(3).head(), variant.hidden, spec.num_classes));
    redraw(root);
    Model::new(layers, GlobalAveragePool, head, last)
}

impl Block {
    fn build(self, scope: &Scope, input: i64) -> Sequential {
        let Block { kernel, width, output, squeezes, activation, stride } = self;
        let mut layers = Sequential::default();
        if width != input {
            layers.push(conv_norm(Conv2d::square(1), activation).build(&scope.sub(0), (input, width)));
        }
        let depthwise = Conv2d::same(kernel).stride(stride).groups(width);
        layers.push(conv_norm(depthwise, activation).build(&scope.sub(layers.0.len()), (width, width)));
        if squeezes {
            let (scope, squeezed) = (scope.sub(layers.0.len()), divisible((width / 4) as f64, 8));
            layers.push(SqueezeExcitation::new(&scope, width, squeezed, RE, Activation::Hardsigmoid));
        }
        let project = conv_norm(Conv2d::square(1), None::<Activation>);
        layers.push(project.build(&scope.sub(layers.0.len()), (width, output)));
        layers
    }
}

/// With the family's batch norm.
fn conv_norm(conv: Conv2d, activation: impl Into<Option<Activation>>) -> ConvNorm {
    ConvNorm::new(conv, activation).norm(1e-3, 1e-2)
}
