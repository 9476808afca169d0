//! `MobileNet` V2 (Sandler et al. 2018, arXiv:1801.04381), as torchvision builds it.

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, BatchNorm2d, Conv2d, ConvNorm, Dropout, GlobalAveragePool, Linear, Residual, Sequential,
};
use super::model::Model;
use super::state::Scope;

/// Of each stage: how much wider its blocks are inside, its channels, its blocks, the first one's
/// stride.
const STAGES: [(i64, i64, i64, i64); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];
/// Channels of the first convolution.
const STEM: i64 = 32;
/// Channels of the last convolution.
const LAST: i64 = 1280;
/// Of dropout, before the classifier.
const DROPOUT: f64 = 0.2;

/// Builds it; every layer is initialised again at the end, as torchvision does.
pub fn build(root: &Scope, spec: &NetworkSpec) -> Model {
    let scope = root.sub("features");
    let mut layers = Sequential::default();
    let stem = ConvNorm::new(Conv2d::same(3).stride(2), Activation::Relu6);
    layers.push(stem.build(&scope.sub(0), (spec.in_channels, STEM)));
    let mut channels = STEM;
    for (expansion, output, depth, stride) in STAGES {
        for index in 0..depth {
            let stride = if index == 0 { stride } else { 1 };
            let scope = scope.sub(layers.0.len()).sub("conv");
            let block = inverted_residual(&scope, channels, expansion, output, stride);
            if stride == 1 && channels == output {
                layers.push(Residual(block));
            } else {
                layers.push(block);
            }
            channels = output;
        }
    }
    let last = ConvNorm::new(Conv2d::square(1), Activation::Relu6);
    layers.push(last.build(&scope.sub(layers.0.len()), (channels, LAST)));
    let mut head = Sequential::default();
    head.push(Dropout(spec.dropout.unwrap_or(DROPOUT)));
    head.push(Linear::new(&root.sub("classifier").sub(1).head(), LAST, spec.num_classes));
    redraw(root);
    Model::new(layers, GlobalAveragePool, head, LAST)
}

/// Expansion by a 1×1 convolution (where it expands), a depthwise 3×3 one, and a 1×1 one without
/// activation.
fn inverted_residual(scope: &Scope, input: i64, expansion: i64, output: i64, stride: i64) -> Sequential {
    let width = input * expansion;
    let mut layers = Sequential::default();
    if expansion != 1 {
        let expand = ConvNorm::new(Conv2d::square(1), Activation::Relu6);
        layers.push(expand.build(&scope.sub(0), (input, width)));
    }
    let depthwise = ConvNorm::new(Conv2d::same(3).stride(stride).groups(width), Activation::Relu6);
    layers.push(depthwise.build(&scope.sub(layers.0.len()), (width, width)));
    layers.push(Conv2d::square(1).build(&scope.sub(layers.0.len()), (width, output)));
    layers.push(BatchNorm2d::new(&scope.sub(layers.0.len()), output));
    layers
}

/// How both `MobileNets` begin.
pub(super) fn redraw(root: &Scope) {
    root.redraw(|name, shape| match shape.len() {
        4 => Some(Init::he_normal_fan_out(shape)),
        2 => Some(Init::Normal(0.01)),
        _ => name.ends_with("bias").then_some(Init::ZEROS),
    });
}

/// The multiple of `divisor` nearest to `channels`, or the next if that would take away more than a
/// tenth of them.
pub(super) fn divisible(channels: f64, divisor: i64) -> i64 {
    let nearest = ((channels + divisor as f64 / 2.0) as i64 / divisor * divisor).max(divisor);
    if (nearest as f64) < 0.9 * channels { nearest + divisor } else { nearest }
}
