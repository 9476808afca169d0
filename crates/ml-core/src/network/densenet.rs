//! `DenseNets` (Huang et al. 2017, arXiv:1608.06993), the DenseNet-BC of the paper, as torchvision
//! builds them.

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Dropout, GlobalAveragePool, Layer, Linear, MaxPool2d,
    Sequential,
};
use super::model::Model;
use super::state::Scope;

/// A variant.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Channels of the first convolution.
    stem: i64,
    /// Channels that each layer adds.
    growth: i64,
    /// Layers of each block.
    depths: [i64; 4],
}

/// densenet121
pub const DENSENET121: Variant = Variant { stem: 64, growth: 32, depths: [6, 12, 24, 16] };
/// densenet161
pub const DENSENET161: Variant = Variant { stem: 96, growth: 48, depths: [6, 12, 36, 24] };
/// densenet169
pub const DENSENET169: Variant = Variant { stem: 64, growth: 32, depths: [6, 12, 32, 32] };
/// densenet201
pub const DENSENET201: Variant = Variant { stem: 64, growth: 32, depths: [6, 12, 48, 32] };

/// Width of a layer's bottleneck, in growths.
const BOTTLENECK: i64 = 4;
/// torchvision's `drop_rate`, which [`NetworkSpec::dropout`] sets: dropout of what each layer adds.
const DROPOUT: f64 = 0.0;

/// Builds a variant; every convolution is initialised again at the end, as torchvision does.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let scope = root.sub("features");
    let mut channels = variant.stem;
    let mut layers = Sequential::default();
    let stem = Conv2d::square(7).stride(2).padding(3);
    layers.push(stem.build(&scope.sub("conv0"), (spec.in_channels, channels)));
    layers.push(BatchNorm2d::new(&scope.sub("norm0"), channels));
    layers.push(Activation::Relu);
    layers.push(MaxPool2d { kernel: 3, stride: 2, padding: 1, ceil: false });
    for (number, depth) in (1..).zip(variant.depths) {
        if number > 1 {
            transition(&scope.sub(format!("transition{}", number - 1)), &mut layers, channels);
            channels /= 2;
        }
        let scope = scope.sub(format!("denseblock{number}"));
        let dropout = Dropout(spec.dropout.unwrap_or(DROPOUT));
        layers.push(DenseBlock::new(&scope, channels, variant.growth, depth, dropout));
        channels += depth * variant.growth;
    }
    layers.push(BatchNorm2d::new(&scope.sub("norm5"), channels));
    layers.push(Activation::Relu);
    let head = Linear::new(&root.sub("classifier").head(), channels, spec.num_classes);
    root.redraw(|name, shape| match shape.len() {
        4 => Some(Init::he_normal_fan_in(shape)),
        // The classifier's weight stays as it was drawn first.
        _ => (name == "classifier.bias").then_some(Init::ZEROS),
    });
    Model::new(layers, GlobalAveragePool, head, channels)
}

/// Between two blocks: half the channels, half the height and width.
fn transition(scope: &Scope, layers: &mut Sequential, channels: i64) {
    layers.push(BatchNorm2d::new(&scope.sub("norm"), channels));
    layers.push(Activation::Relu);
    layers.push(Conv2d::square(1).build(&scope.sub("conv"), (channels, channels / 2)));
    layers.push(AvgPool2d { kernel: 2, stride: 2, padding: 0 });
}

/// Each layer sees the block's input and what all layers before it added.
#[derive(Debug)]
struct DenseBlock(Vec<Sequential>);

impl DenseBlock {
    fn new(scope: &Scope, input: i64, growth: i64, depth: i64, dropout: Dropout) -> DenseBlock {
        let layer = |number: i64| {
            let scope = scope.sub(format!("denselayer{number}"));
            let (channels, width) = (input + (number - 1) * growth, BOTTLENECK * growth);
            let mut layers = Sequential::default();
            layers.push(BatchNorm2d::new(&scope.sub("norm1"), channels));
            layers.push(Activation::Relu);
            layers.push(Conv2d::square(1).build(&scope.sub("conv1"), (channels, width)));
            layers.push(BatchNorm2d::new(&scope.sub("norm2"), width));
            layers.push(Activation::Relu);
            layers.push(Conv2d::same(3).build(&scope.sub("conv2"), (width, growth)));
            layers.push(dropout);
            layers
        };
        DenseBlock((1..=depth).map(layer).collect())
    }
}

impl Layer for DenseBlock {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        // Joining as they come, not all anew for each layer and once more at the end, lets go of
        // every addition at once and, where there are no gradients, of the features before it.
        self.0.iter().fold(input.shallow_clone(), |features, layer| {
            let added = layer.forward_t(&features, train);
            Tensor::cat(&[features, added], 1)
        })
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        self.0.iter_mut().map(|layer| layer as &mut dyn Layer).collect()
    }
}
