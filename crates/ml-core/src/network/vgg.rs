//! `VGG` networks (Simonyan and Zisserman 2015, arXiv:1409.1556), with batch norm too, as
//! torchvision builds them.

use super::NetworkSpec;
use super::alexnet::{Dropouts, classifier};
use super::init::Init;
use super::layers::{Activation, BatchNorm2d, Conv2d, FlattenedPool, MaxPool2d, Sequential};
use super::model::Model;
use super::state::Scope;

/// A variant.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// 3×3 convolutions of each stage.
    depths: [i64; 5],
    /// Whether a batch norm follows each convolution.
    norm: bool,
}

/// vgg11, configuration A of the paper
pub const VGG11: Variant = Variant { depths: [1, 1, 2, 2, 2], norm: false };
/// vgg13, B
pub const VGG13: Variant = Variant { depths: [2, 2, 2, 2, 2], norm: false };
/// vgg16, D
pub const VGG16: Variant = Variant { depths: [2, 2, 3, 3, 3], norm: false };
/// vgg19, E
pub const VGG19: Variant = Variant { depths: [2, 2, 4, 4, 4], norm: false };
/// `vgg11_bn`
pub const VGG11_BN: Variant = Variant { norm: true, ..VGG11 };
/// `vgg13_bn`
pub const VGG13_BN: Variant = Variant { norm: true, ..VGG13 };
/// `vgg16_bn`
pub const VGG16_BN: Variant = Variant { norm: true, ..VGG16 };
/// `vgg19_bn`
pub const VGG19_BN: Variant = Variant { norm: true, ..VGG19 };

/// Channels of each stage.
const WIDTHS: [i64; 5] = [64, 128, 256, 512, 512];
/// Side of the feature maps that the classifier sees.
const SIDE: i64 = 7;

/// Builds a variant; every layer is initialised again at the end, as torchvision does.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let (features, channels) = features(&root.sub("features"), spec.in_channels, variant);
    let input = channels * SIDE * SIDE;
    let head = classifier(&root.sub("classifier"), input, spec, Dropouts::AfterActivation);
    root.redraw(|name, shape| match shape.len() {
        4 => Some(Init::he_normal_fan_out(shape)),
        2 => Some(Init::Normal(0.01)),
        _ => name.ends_with("bias").then_some(Init::ZEROS),
    });
    Model::new(features, FlattenedPool(SIDE), head, input)
}

/// The convolutions, and the channels of their output. They are named by their place among all
/// layers.
fn features(scope: &Scope, input: i64, variant: &Variant) -> (Sequential, i64) {
    let mut layers = Sequential::default();
    let mut channels = input;
    for (output, depth) in WIDTHS.into_iter().zip(variant.depths) {
        for _ in 0..depth {
            let conv = Conv2d::same(3).biased();
            layers.push(conv.build(&scope.sub(layers.0.len()), (channels, output)));
            if variant.norm {
                layers.push(BatchNorm2d::new(&scope.sub(layers.0.len()), output));
            }
            layers.push(Activation::Relu);
            channels = output;
        }
        layers.push(MaxPool2d { kernel: 2, stride: 2, padding: 0, ceil: false });
    }
    (layers, channels)
}
