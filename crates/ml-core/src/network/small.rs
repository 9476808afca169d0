//! Two small networks of our own, for small images, slow machines and tests.

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, BatchNorm2d, Conv2d, Dropout, GlobalAveragePool, Linear, MaxPool2d, Sequential,
};
use super::model::Model;
use super::state::Scope;

/// The smallest useful: three 3×3 convolutions (16, 32, 64 channels; the first two halve the
/// image), each with batch norm and `ReLU`, global average pooling, a linear classifier. About 24
/// thousand parameters.
pub fn tiny_net(scope: &Scope, spec: &NetworkSpec) -> Model {
    stack(scope, spec, &[(16, true), (32, true), (64, false)], 0.0)
}

/// A plain stack of six 3×3 convolutions (32, 32, 64, 64, 128, 128 channels; the image is halved
/// after every second), each with batch norm and `ReLU`, global average pooling, dropout 0.2, a
/// linear classifier. About 290 thousand parameters.
pub fn simple_cnn(scope: &Scope, spec: &NetworkSpec) -> Model {
    let stages = [(32, false), (32, true), (64, false), (64, true), (128, false), (128, true)];
    stack(scope, spec, &stages, 0.2)
}

/// `features.<i>.{conv,bn}` and `classifier`; each stage is (channels, whether a 2×2 max pooling
/// follows).
fn stack(root: &Scope, spec: &NetworkSpec, stages: &[(i64, bool)], dropout: f64) -> Model {
    let mut layers = Sequential::default();
    let mut input = spec.in_channels;
    for (number, &(output, halve)) in stages.iter().enumerate() {
        let scope = root.sub("features").sub(number);
        layers.push(Conv2d::same(3).build(&scope.sub("conv"), (input, output)));
        layers.push(BatchNorm2d::new(&scope.sub("bn"), output));
        layers.push(Activation::Relu);
        if halve {
            layers.push(MaxPool2d { kernel: 2, stride: 2, padding: 0, ceil: false });
        }
        input = output;
    }
    let mut head = Sequential::default();
    head.push(Dropout(spec.dropout.unwrap_or(dropout)));
    head.push(Linear::new(&root.sub("classifier").head(), input, spec.num_classes));
    root.redraw(|_, shape| (shape.len() == 4).then(|| Init::he_normal_fan_out(shape)));
    Model::new(layers, GlobalAveragePool, head, input)
}
