//! `ResNets` (He et al. 2016, arXiv:1512.03385) as torchvision builds them: "v1.5", the stride of a
//! bottleneck on its 3×3 convolution.

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, BatchNorm2d, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d, Sequential,
};
use super::model::Model;
use super::state::Scope;

/// A variant: its block, how many of them each of the four stages has, and their widths.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    stem: Stem,
    block: Block,
    depths: [i64; 4],
    /// Groups of a bottleneck's 3×3 convolution.
    groups: i64,
    /// Channels of a group of the first stage's 3×3 convolutions.
    width_per_group: i64,
}

/// What comes before the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stem {
    /// A 7×7 convolution and a max pooling, both of stride 2.
    Photograph,
    /// A 3×3 convolution of stride 1, which leaves a small image its size.
    Small,
}

/// The residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, four times as wide at its end.
    Bottleneck,
}

const fn basic(depths: [i64; 4]) -> Variant {
    Variant { stem: Stem::Photograph, block: Block::Basic, depths, groups: 1, width_per_group: 64 }
}

const fn bottleneck(depths: [i64; 4], groups: i64, width_per_group: i64) -> Variant {
    Variant { stem: Stem::Photograph, block: Block::Bottleneck, depths, groups, width_per_group }
}

/// resnet18
pub const RESNET18: Variant = basic([2, 2, 2, 2]);
/// resnet34
pub const RESNET34: Variant = basic([3, 4, 6, 3]);
/// resnet50
pub const RESNET50: Variant = bottleneck([3, 4, 6, 3], 1, 64);
/// resnet101
pub const RESNET101: Variant = bottleneck([3, 4, 23, 3], 1, 64);
/// resnet152
pub const RESNET152: Variant = bottleneck([3, 8, 36, 3], 1, 64);
/// `resnext50_32x4d`
pub const RESNEXT50_32X4D: Variant = bottleneck([3, 4, 6, 3], 32, 4);
/// `resnext101_32x8d`
pub const RESNEXT101_32X8D: Variant = bottleneck([3, 4, 23, 3], 32, 8);
/// `resnext101_64x4d`
pub const RESNEXT101_64X4D: Variant = bottleneck([3, 4, 23, 3], 64, 4);
/// `wide_resnet50_2`
pub const WIDE_RESNET50_2: Variant = bottleneck([3, 4, 6, 3], 1, 128);
/// `wide_resnet101_2`
pub const WIDE_RESNET101_2: Variant = bottleneck([3, 4, 23, 3], 1, 128);

/// `resnet18_cifar`: resnet18 for images of some 32×32, as kuangliu's pytorch-cifar and many papers
/// on CIFAR-10 have it.
pub const RESNET18_CIFAR: Variant = Variant { stem: Stem::Small, ..RESNET18 };

/// Builds a variant; every convolution is initialised again at the end, as torchvision does.
pub fn build(scope: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let mut layers = Sequential::default();
    let stem = match variant.stem {
        Stem::Photograph => Conv2d::same(7).stride(2),
        Stem::Small => Conv2d::same(3),
    };
    layers.push(stem.build(&scope.sub("conv1"), (spec.in_channels, 64)));
    layers.push(BatchNorm2d::new(&scope.sub("bn1"), 64));
    layers.push(Activation::Relu);
    if variant.stem == Stem::Photograph {
        layers.push(MaxPool2d { kernel: 3, stride: 2, padding: 1, ceil: false });
    }
    let mut channels = 64;
    for (stage, depth) in variant.depths.into_iter().enumerate() {
        let scope = scope.sub(format!("layer{}", stage + 1));
        for index in 0..depth {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let block = Residual::new(&scope.sub(index), variant, channels, 64 << stage, stride);
            layers.push(block);
            channels = variant.output(64 << stage);
        }
    }
    let head = Linear::new(&scope.sub("fc").head(), channels, spec.num_classes);
    scope.redraw(|_, shape| (shape.len() == 4).then(|| Init::he_normal_fan_out(shape)));
    Model::new(layers, GlobalAveragePool, head, channels)
}

impl Variant {
    /// Channels of a block's output in the stage of so many planes.
    fn output(&self, planes: i64) -> i64 {
        match self.block {
            Block::Basic => planes,
            Block::Bottleneck => 4 * planes,
        }
    }
}

/// relu(branch(x) + shortcut(x))
#[derive(Debug)]
struct Residual {
    branch: Sequential,
    downsample: Option<Sequential>,
}

impl Residual {
    fn new(scope: &Scope, variant: &Variant, input: i64, planes: i64, stride: i64) -> Residual {
        let output = variant.output(planes);
        let width = planes * variant.width_per_group / 64 * variant.groups;
        let convolutions = match variant.block {
            Block::Basic => vec![(output, Conv2d::same(3).stride(stride)), (output, Conv2d::same(3))],
            Block::Bottleneck => vec![
                (width, Conv2d::square(1)),
                (width, Conv2d::same(3).stride(stride).groups(variant.groups)),
                (output, Conv2d::square(1)),
            ],
        };
        let mut branch = Sequential::default();
        let mut channels = input;
        let last = convolutions.len();
        // torchvision's blocks name conv1, bn1, conv2, bn2, … in that order.
        for (number, (out, conv)) in (1..).zip(convolutions) {
            branch.push(conv.build(&scope.sub(format!("conv{number}")), (channels, out)));
            branch.push(BatchNorm2d::new(&scope.sub(format!("bn{number}")), out));
            if number < last {
                branch.push(Activation::Relu);
            }
            channels = out;
        }
        let downsample = (stride != 1 || input != output).then(|| {
            let scope = scope.sub("downsample");
            let mut layers = Sequential::default();
            layers.push(Conv2d::square(1).stride(stride).build(&scope.sub(0), (input, output)));
            layers.push(BatchNorm2d::new(&scope.sub(1), output));
            layers
        });
        Residual { branch, downsample }
    }
}

impl Layer for Residual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward_t(input, train),
            None => input.shallow_clone(),
        };
        self.branch.forward_to_sum(input, &shortcut, true, train)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        let downsample = self.downsample.iter_mut().map(|layers| layers as &mut dyn Layer);
        downsample.chain([&mut self.branch as &mut dyn Layer]).collect()
    }
}
