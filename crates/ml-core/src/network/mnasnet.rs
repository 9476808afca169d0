//! `MnasNets` (Tan et al. 2019, arXiv:1807.11626), the B1 of the paper, as torchvision builds them
//! since version 2 of its state, whose first layers are scaled too.

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, BatchNorm2d, Conv2d, Dropout, GlobalAveragePool, Linear, Residual, Sequential,
};
use super::mobilenet_v2::divisible;
use super::model::Model;
use super::state::Scope;

/// A variant: its channels are those of the paper times this.
#[derive(Clone, Copy, Debug)]
pub struct Variant(f64);

/// `mnasnet0_5`
pub const MNASNET0_5: Variant = Variant(0.5);
/// `mnasnet0_75`
pub const MNASNET0_75: Variant = Variant(0.75);
/// `mnasnet1_0`
pub const MNASNET1_0: Variant = Variant(1.0);
/// `mnasnet1_3`
pub const MNASNET1_3: Variant = Variant(1.3);

/// Of each stack: its channels, kernel, stride, how much wider its blocks are inside, its blocks.
const STACKS: [(i64, i64, i64, i64, i64); 6] = [
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
];
/// Channels of the last convolution.
const LAST: i64 = 1280;
/// Of dropout, before the classifier.
const DROPOUT: f64 = 0.2;
/// Of the batch norms' statistics, as torchvision computes it.
const MOMENTUM: f64 = 1.0 - 0.9997;

/// Builds a variant; every layer is initialised again at the end, as torchvision does.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: Variant) -> Model {
    let scaled = |channels: i64| divisible(channels as f64 * variant.0, 8);
    let scope = root.sub("layers");
    let (stem, mut channels) = (scaled(32), scaled(16));
    let mut layers = Sequential::default();
    push(&scope, &mut layers, Conv2d::same(3).stride(2), (spec.in_channels, stem), true);
    push(&scope, &mut layers, Conv2d::same(3).groups(stem), (stem, stem), true);
    push(&scope, &mut layers, Conv2d::square(1), (stem, channels), false);
    for (output, kernel, stride, expansion, depth) in STACKS {
        let output = scaled(output);
        let scope = scope.sub(layers.0.len());
        let mut stack = Sequential::default();
        for index in 0..depth {
            let conv = Conv2d::same(kernel).stride(if index == 0 { stride } else { 1 });
            let scope = scope.sub(index).sub("layers");
            let block = block(&scope, conv, (channels, channels * expansion, output));
            // The first never adds its input: it changes the channels.
            if index == 0 {
                stack.push(block);
            } else {
                stack.push(Residual(block));
            }
            channels = output;
        }
        layers.push(stack);
    }
    push(&scope, &mut layers, Conv2d::square(1), (channels, LAST), true);
    let mut head = Sequential::default();
    head.push(Dropout(spec.dropout.unwrap_or(DROPOUT)));
    head.push(Linear::new(&root.sub("classifier").sub(1).head(), LAST, spec.num_classes));
    root.redraw(|name, shape| match shape.len() {
        4 => Some(Init::he_normal_fan_out(shape)),
        // kaiming_uniform_(mode="fan_out", nonlinearity="sigmoid"), whose gain is 1.
        2 => Some(Init::Uniform(3f64.sqrt() * (1.0 / (shape[0] as f64).sqrt()))),
        _ => (name == "classifier.1.bias").then_some(Init::ZEROS),
    });
    Model::new(layers, GlobalAveragePool, head, LAST)
}

/// Expansion by a 1×1 convolution, a depthwise one, and a 1×1 one to the output: `(input, width,
/// output)`.
fn block(scope: &Scope, depthwise: Conv2d, (input, width, output): (i64, i64, i64)) -> Sequential {
    let mut layers = Sequential::default();
    push(scope, &mut layers, Conv2d::square(1), (input, width), true);
    push(scope, &mut layers, depthwise.groups(width), (width, width), true);
    push(scope, &mut layers, Conv2d::square(1), (width, output), false);
    layers
}

/// A convolution, a batch norm and perhaps a `ReLU`, named by their places in `layers`.
fn push(scope: &Scope, layers: &mut Sequential, conv: Conv2d, channels: (i64, i64), activated: bool) {
    layers.push(conv.build(&scope.sub(layers.0.len()), channels));
    layers.push(BatchNorm2d::with(&scope.sub(layers.0.len()), channels.1, 1e-5, MOMENTUM));
    if activated {
        layers.push(Activation::Relu);
    }
}
