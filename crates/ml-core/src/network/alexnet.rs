//! `AlexNet` in one column (Krizhevsky 2014, arXiv:1404.5997), as torchvision builds it.

use super::NetworkSpec;
use super::layers::{
    Activation, AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Sequential,
};
use super::state::Scope;

/// Width of the hidden linear layers.
const HIDDEN: i64 = 4096;
/// Side of the feature maps that the classifier sees.
const SIDE: i64 = 6;
/// Of dropout, before either hidden layer.
const DROPOUT: f64 = 0.5;

/// Five convolutions and three linear layers, which begin as PyTorch's do.
pub fn build(root: &Scope, spec: &NetworkSpec) -> Box<dyn Layer> {
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

    let scope = root.sub("classifier");
    let dropout = Dropout(spec.dropout.unwrap_or(DROPOUT));
    let mut layers = Sequential::default();
    layers.push(features);
    layers.push(AdaptiveAvgPool2d(SIDE));
    layers.push(Flatten);
    layers.push(dropout);
    layers.push(Linear::new(&scope.sub(1), channels * SIDE * SIDE, HIDDEN));
    layers.push(Activation::Relu);
    layers.push(dropout);
    layers.push(Linear::new(&scope.sub(4), HIDDEN, HIDDEN));
    layers.push(Activation::Relu);
    layers.push(Linear::new(&scope.sub(6).head(), HIDDEN, spec.num_classes));
    Box::new(layers)
}
