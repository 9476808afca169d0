//! `ShuffleNets` V2 (Ma et al. 2018, arXiv:1807.11164), as torchvision builds them.

use tch::Tensor;

use super::NetworkSpec;
use super::layers::{
    Activation, BatchNorm2d, Conv2d, ConvNorm, GlobalAveragePool, Layer, Linear, MaxPool2d, Sequential,
};
use super::model::Model;
use super::state::Scope;

/// A variant.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Channels of the three stages.
    widths: [i64; 3],
    /// Channels of the last convolution.
    last: i64,
}

/// `shufflenet_v2_x0_5`
pub const X0_5: Variant = Variant { widths: [48, 96, 192], last: 1024 };
/// `shufflenet_v2_x1_0`
pub const X1_0: Variant = Variant { widths: [116, 232, 464], last: 1024 };
/// `shufflenet_v2_x1_5`
pub const X1_5: Variant = Variant { widths: [176, 352, 704], last: 1024 };
/// `shufflenet_v2_x2_0`
pub const X2_0: Variant = Variant { widths: [244, 488, 976], last: 2048 };

/// Channels of the first convolution.
const STEM: i64 = 24;
/// Units of each stage.
const DEPTHS: [i64; 3] = [4, 8, 4];

/// Builds a variant; its layers begin as PyTorch's do.
pub fn build(scope: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let mut layers = Sequential::default();
    let stem = ConvNorm::new(Conv2d::same(3).stride(2), Activation::Relu);
    layers.push(stem.build(&scope.sub("conv1"), (spec.in_channels, STEM)));
    layers.push(MaxPool2d { kernel: 3, stride: 2, padding: 1, ceil: false });
    let mut channels = STEM;
    for (number, (width, depth)) in (2..).zip(variant.widths.into_iter().zip(DEPTHS)) {
        let scope = scope.sub(format!("stage{number}"));
        for index in 0..depth {
            layers.push(Unit::new(&scope.sub(index), channels, width));
            channels = width;
        }
    }
    let last = ConvNorm::new(Conv2d::square(1), Activation::Relu);
    layers.push(last.build(&scope.sub("conv5"), (channels, variant.last)));
    let head = Linear::new(&scope.sub("fc").head(), variant.last, spec.num_classes);
    Model::new(layers, GlobalAveragePool, head, variant.last)
}

/// Two halves of the channels, which take turns at the end: the left is kept, or halves height and
/// width where the unit does; the right is computed.
#[derive(Debug)]
struct Unit {
    /// Only in a unit that halves height and width; both branches then see all channels.
    left: Option<Sequential>,
    right: Sequential,
}

impl Unit {
    /// Halves height and width where the channels change.
    fn new(scope: &Scope, input: i64, output: i64) -> Unit {
        let halves = input != output;
        let (half, stride) = (output / 2, if halves { 2 } else { 1 });
        let depthwise = |channels: i64| Conv2d::same(3).stride(stride).groups(channels);
        let left = halves.then(|| {
            let scope = scope.sub("branch1");
            let mut layers = Sequential::default();
            layers.push(depthwise(input).build(&scope.sub(0), (input, input)));
            layers.push(BatchNorm2d::new(&scope.sub(1), input));
            layers.push(Conv2d::square(1).build(&scope.sub(2), (input, half)));
            layers.push(BatchNorm2d::new(&scope.sub(3), half));
            layers.push(Activation::Relu);
            layers
        });
        let scope = scope.sub("branch2");
        let mut right = Sequential::default();
        right.push(Conv2d::square(1).build(&scope.sub(0), (if halves { input } else { half }, half)));
        right.push(BatchNorm2d::new(&scope.sub(1), half));
        right.push(Activation::Relu);
        right.push(depthwise(half).build(&scope.sub(3), (half, half)));
        right.push(BatchNorm2d::new(&scope.sub(4), half));
        right.push(Conv2d::square(1).build(&scope.sub(5), (half, half)));
        right.push(BatchNorm2d::new(&scope.sub(6), half));
        right.push(Activation::Relu);
        Unit { left, right }
    }
}

impl Layer for Unit {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let halves = if let Some(left) = &self.left {
            [left.forward_t(input, train), self.right.forward_t(input, train)]
        } else {
            let half = input.size()[1] / 2;
            let right = self.right.forward_t(&input.narrow(1, half, half), train);
            [input.narrow(1, 0, half), right]
        };
        // Channel by channel from one and the other: joining and shuffling in one copy.
        Tensor::stack(&halves, 2).flatten(1, 2)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        let left = self.left.iter_mut().map(|layers| layers as &mut dyn Layer);
        left.chain([&mut self.right as &mut dyn Layer]).collect()
    }
}
