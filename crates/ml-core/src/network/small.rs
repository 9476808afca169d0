//! Two small networks of our own, for small pictures, slow machines and tests.

use super::NetworkShape;
use super::layers::{
    BatchNorm2d, Conv2d, Dropout, GlobalAveragePool, Layer, Linear, MaxPool2d, Relu, Sequential,
};
use super::state::{Entry, Scope};

/// The smallest useful: three 3×3 convolutions (16, 32, 64 channels; the first two halve the picture), each
/// with batch norm and `ReLU`, global average pooling, a linear classifier. About 24 thousand parameters.
pub fn tiny_net(shape: NetworkShape, seed: u64) -> (Box<dyn Layer>, Vec<Entry>) {
    stack(&[(16, true), (32, true), (64, false)], 0.0, shape, seed)
}

/// A plain stack of six 3×3 convolutions (32, 32, 64, 64, 128, 128 channels; the picture is halved after
/// every second), each with batch norm and `ReLU`, global average pooling, dropout 0.2, a linear classifier.
/// About 290 thousand parameters.
pub fn simple_cnn(shape: NetworkShape, seed: u64) -> (Box<dyn Layer>, Vec<Entry>) {
    let stages = [(32, false), (32, true), (64, false), (64, true), (128, false), (128, true)];
    stack(&stages, 0.2, shape, seed)
}

/// `features.<i>.{conv,bn}` and `classifier`; each stage is (channels, whether a 2×2 max pooling follows).
fn stack(
    stages: &[(i64, bool)],
    dropout: f64,
    shape: NetworkShape,
    seed: u64,
) -> (Box<dyn Layer>, Vec<Entry>) {
    let root = Scope::root(seed);
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    let mut input = shape.in_channels;
    for (number, &(output, halve)) in stages.iter().enumerate() {
        let scope = root.sub("features").sub(number);
        layers.push(Box::new(Conv2d::new(&scope.sub("conv"), (input, output), 3, 1, 1)));
        layers.push(Box::new(BatchNorm2d::new(&scope.sub("bn"), output)));
        layers.push(Box::new(Relu));
        if halve {
            layers.push(Box::new(MaxPool2d { kernel: 2, stride: 2, padding: 0 }));
        }
        input = output;
    }
    layers.push(Box::new(GlobalAveragePool));
    if dropout > 0.0 {
        layers.push(Box::new(Dropout(dropout)));
    }
    layers.push(Box::new(Linear::new(&root.sub("classifier"), input, shape.num_classes)));
    root.draw_convolutions();
    (Box::new(Sequential(layers)), root.finish())
}
