//! A plain network: three convolutions with batch norm, each halving the image, and a linear
//! classifier.

use super::NetworkSpec;
use super::init::Init;
use super::layers::{Activation, BatchNorm2d, Conv2d, Dropout, GlobalAveragePool, Linear, Sequential};
use super::model::Model;
use super::state::Scope;

/// Channels after each convolution.
const WIDTHS: [i64; 3] = [32, 64, 128];

/// `[N, C, H, W]` → `[N, K]`; parameters are `features.<i>.{conv,bn}.…` and `classifier.…`.
pub fn plain_net(scope: &Scope, spec: &NetworkSpec) -> Model {
    let mut layers = Sequential::default();
    let mut channels = spec.in_channels;
    for (number, width) in WIDTHS.into_iter().enumerate() {
        let scope = scope.sub("features").sub(number);
        layers.push(Conv2d::same(3).stride(2).build(&scope.sub("conv"), (channels, width)));
        layers.push(BatchNorm2d::new(&scope.sub("bn"), width));
        layers.push(Activation::Relu);
        channels = width;
    }
    let mut head = Sequential::default();
    head.push(Dropout(spec.dropout.unwrap_or(0.1)));
    head.push(Linear::new(&scope.sub("classifier").head(), channels, spec.num_classes));
    scope.redraw(|_, shape| (shape.len() == 4).then(|| Init::he_normal_fan_out(shape)));
    Model::new(layers, GlobalAveragePool, head, channels)
}
