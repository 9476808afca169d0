//! `SqueezeNets` (Iandola et al. 2016, arXiv:1602.07360), as torchvision builds them.

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, Concat, Conv2d, Dropout, GlobalAveragePool, Identity, MaxPool2d, Sequential,
};
use super::model::Model;
use super::state::Scope;

/// A variant.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Kernel and channels of the first convolution.
    stem: (i64, i64),
    /// The fire modules, counted from one, after which a pooling follows; one follows the first
    /// convolution too.
    pooled: [usize; 2],
}

/// `squeezenet1_0`
pub const V1_0: Variant = Variant { stem: (7, 96), pooled: [3, 7] };
/// `squeezenet1_1`: with 2.4 times less to compute
pub const V1_1: Variant = Variant { stem: (3, 64), pooled: [2, 4] };

/// Of each fire module: channels squeezed to, and channels that either expansion makes of them.
const FIRES: [(i64, i64); 8] =
    [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)];
/// Of dropout, before the classifier.
const DROPOUT: f64 = 0.5;

/// Builds a variant; every convolution is initialised again at the end, as torchvision does.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let scope = root.sub("features");
    let pool = MaxPool2d { kernel: 3, stride: 2, padding: 0, ceil: true };
    let (kernel, mut channels) = variant.stem;
    let mut features = Sequential::default();
    let stem = Conv2d::square(kernel).stride(2).biased();
    features.push(stem.build(&scope.sub(0), (spec.in_channels, channels)));
    features.push(Activation::Relu);
    features.push(pool);
    for (number, (squeezed, expanded)) in (1..).zip(FIRES) {
        features.push(fire(&scope.sub(features.0.len()), channels, squeezed, expanded));
        channels = 2 * expanded;
        if variant.pooled.contains(&number) {
            features.push(pool);
        }
    }

    let classifier = root.sub("classifier").sub(1).head();
    // Its classifier is a convolution with a ReLU, and the mean is taken of what they make: the
    // features themselves are the embedding.
    let mut head = Sequential::default();
    head.push(Dropout(spec.dropout.unwrap_or(DROPOUT)));
    head.push(Conv2d::square(1).biased().build(&classifier, (channels, spec.num_classes)));
    head.push(Activation::Relu);
    head.push(GlobalAveragePool);
    root.redraw(|name, shape| match (shape.len(), name) {
        (4, "classifier.1.weight") => Some(Init::Normal(0.01)),
        (4, _) => Some(Init::he_uniform_fan_in(shape)),
        _ => Some(Init::ZEROS),
    });
    Model::new(features, Identity, head, channels)
}

/// Channels squeezed by a 1×1 convolution, then expanded by a 1×1 and a 3×3 one side by side.
fn fire(scope: &Scope, input: i64, squeezed: i64, expanded: i64) -> Sequential {
    let conv = |name: &str, conv: Conv2d, channels: (i64, i64)| {
        let mut layers = Sequential::default();
        layers.push(conv.biased().build(&scope.sub(name), channels));
        layers.push(Activation::Relu);
        layers
    };
    let mut layers = conv("squeeze", Conv2d::square(1), (input, squeezed));
    let mut expansions = Concat::default();
    expansions.push(conv("expand1x1", Conv2d::square(1), (squeezed, expanded)));
    expansions.push(conv("expand3x3", Conv2d::same(3), (squeezed, expanded)));
    layers.push(expansions);
    layers
}
