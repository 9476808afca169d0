//! `AlexNet` in one column (Krizhevsky 2014, arXiv:1404.5997), as torchvision builds it.

use super::NetworkSpec;
use super::layers::{Activation, Conv2d, Dropout, FlattenedPool, Linear, MaxPool2d, Sequential};
use super::model::Model;
use super::state::Scope;

/// Width of the hidden linear layers.
const HIDDEN: i64 = 4096;
/// Side of the feature maps that the classifier sees.
const SIDE: i64 = 6;
/// Of dropout, beside either hidden layer.
const DROPOUT: f64 = 0.5;

/// Five convolutions and three linear layers, which begin as PyTorch's do.
pub fn build(root: &Scope, spec: &NetworkSpec) -> Model {
    let scope = root.sub("features");
    let mut features = Sequential::default();
    let mut channels = spec.in_channels;
    // The convolution, its channels, and whether a pooling follows.
    for (conv, output, pooled) in [
        (Conv2d::square(11).stride(4).padding(2), 64, true),
        (Conv2d::same(5), 192, true),
        (Conv2d::same(3), 384, false),
        (Conv2d::same(3), 256, false),
        (Conv2d::same(3), 256, true),
    ] {
        features.push(conv.biased().build(&scope.sub(features.0.len()), (channels, output)));
        features.push(Activation::Relu);
        if pooled {
            features.push(MaxPool2d { kernel: 3, stride: 2, padding: 0, ceil: false });
        }
        channels = output;
    }

    let input = channels * SIDE * SIDE;
    let head = classifier(&root.sub("classifier"), input, spec, Dropouts::BeforeLinear);
    Model::new(features, FlattenedPool(SIDE), head, input)
}

/// Where dropout stands beside the hidden linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropouts {
    /// Before each, as in `AlexNet`.
    BeforeLinear,
    /// After each and its activation, as in `VGG` networks.
    AfterActivation,
}

/// Two hidden linear layers and one of logits, which are named by their place among all of its
/// layers.
pub fn classifier(scope: &Scope, input: i64, spec: &NetworkSpec, dropouts: Dropouts) -> Sequential {
    let dropout = Dropout(spec.dropout.unwrap_or(DROPOUT));
    let mut layers = Sequential::default();
    for width in [input, HIDDEN] {
        if dropouts == Dropouts::BeforeLinear {
            layers.push(dropout);
        }
        layers.push(Linear::new(&scope.sub(layers.0.len()), width, HIDDEN));
        layers.push(Activation::Relu);
        if dropouts == Dropouts::AfterActivation {
            layers.push(dropout);
        }
    }
    layers.push(Linear::new(&scope.sub(layers.0.len()).head(), HIDDEN, spec.num_classes));
    layers
}
