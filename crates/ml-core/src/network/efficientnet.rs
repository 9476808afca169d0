//! `EfficientNets` as torchvision builds them: version 1 (Tan and Le 2019, arXiv:1905.11946), one
//! network scaled in width and depth, and version 2 (Tan and Le 2021, arXiv:2104.00298), whose
//! early stages expand by a full convolution.

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, Conv2d, ConvNorm, Dropout, GlobalAveragePool, Layer, Linear, Sequential, SqueezeExcitation,
    StochasticDepth,
};
use super::model::Model;
use super::state::Scope;

/// A variant: its stages, what they are scaled by, and how it is regularised.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Channels after the first convolution, before scaling.
    stem: i64,
    stages: &'static [Stage],
    /// Of all channels, which are rounded to multiples of 8.
    width: f64,
    /// Of the number of blocks, which is rounded up.
    depth: f64,
    /// Channels of the last convolution; none takes four times those before it.
    last: Option<i64>,
    dropout: f64,
    /// eps and momentum of the batch norms.
    norm: (f64, f64),
}

/// Blocks of one width; the first of them has the stride.
#[derive(Clone, Copy, Debug)]
struct Stage {
    block: Block,
    /// Channels inside a block, in parts of those that come in.
    expand: i64,
    kernel: i64,
    stride: i64,
    output: i64,
    depth: i64,
}

/// The inverted residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// 1×1 to expand, depthwise, squeeze and excitation, 1×1 to project.
    MbConv,
    /// A full convolution to expand, 1×1 to project; one convolution alone where nothing is
    /// expanded.
    Fused,
}

const fn mb_conv(expand: i64, kernel: i64, stride: i64, output: i64, depth: i64) -> Stage {
    Stage { block: Block::MbConv, expand, kernel, stride, output, depth }
}

const fn fused(expand: i64, stride: i64, output: i64, depth: i64) -> Stage {
    Stage { block: Block::Fused, expand, kernel: 3, stride, output, depth }
}

const STAGES_V1: [Stage; 7] = [
    mb_conv(1, 3, 1, 16, 1),
    mb_conv(6, 3, 2, 24, 2),
    mb_conv(6, 5, 2, 40, 2),
    mb_conv(6, 3, 2, 80, 3),
    mb_conv(6, 5, 1, 112, 3),
    mb_conv(6, 5, 2, 192, 4),
    mb_conv(6, 3, 1, 320, 1),
];

const fn v1(width: f64, depth: f64, dropout: f64, norm: (f64, f64)) -> Variant {
    Variant { stem: 32, stages: &STAGES_V1, width, depth, last: None, dropout, norm }
}

const fn v2(stem: i64, stages: &'static [Stage], dropout: f64) -> Variant {
    Variant { stem, stages, width: 1.0, depth: 1.0, last: Some(1280), dropout, norm: (1e-3, 0.1) }
}

/// `efficientnet_b0`
pub const B0: Variant = v1(1.0, 1.0, 0.2, (1e-5, 0.1));
/// `efficientnet_b1`
pub const B1: Variant = v1(1.0, 1.1, 0.2, (1e-5, 0.1));
/// `efficientnet_b2`
pub const B2: Variant = v1(1.1, 1.2, 0.3, (1e-5, 0.1));
/// `efficientnet_b3`
pub const B3: Variant = v1(1.2, 1.4, 0.3, (1e-5, 0.1));
/// `efficientnet_b4`
pub const B4: Variant = v1(1.4, 1.8, 0.4, (1e-5, 0.1));
/// `efficientnet_b5`
pub const B5: Variant = v1(1.6, 2.2, 0.4, (1e-3, 0.01));
/// `efficientnet_b6`
pub const B6: Variant = v1(1.8, 2.6, 0.5, (1e-3, 0.01));
/// `efficientnet_b7`
pub const B7: Variant = v1(2.0, 3.1, 0.5, (1e-3, 0.01));
/// `efficientnet_v2_s`
pub const V2_S: Variant = v2(
    24,
    &[
        fused(1, 1, 24, 2),
        fused(4, 2, 48, 4),
        fused(4, 2, 64, 4),
        mb_conv(4, 3, 2, 128, 6),
        mb_conv(6, 3, 1, 160, 9),
        mb_conv(6, 3, 2, 256, 15),
    ],
    0.2,
);
/// `efficientnet_v2_m`
pub const V2_M: Variant = v2(
    24,
    &[
        fused(1, 1, 24, 3),
        fused(4, 2, 48, 5),
        fused(4, 2, 80, 5),
        mb_conv(4, 3, 2, 160, 7),
        mb_conv(6, 3, 1, 176, 14),
        mb_conv(6, 3, 2, 304, 18),
        mb_conv(6, 3, 1, 512, 5),
    ],
    0.3,
);
/// `efficientnet_v2_l`
pub const V2_L: Variant = v2(
    32,
    &[
        fused(1, 1, 32, 4),
        fused(4, 2, 64, 7),
        fused(4, 2, 96, 7),
        mb_conv(4, 3, 2, 192, 10),
        mb_conv(6, 3, 1, 224, 19),
        mb_conv(6, 3, 2, 384, 25),
        mb_conv(6, 3, 1, 640, 7),
    ],
    0.4,
);

/// Stochastic depth of the last block, were there one more; torchvision's default for every
/// variant.
const DROP_PATH: f64 = 0.2;

/// Builds a variant.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let features = root.sub("features");
    let mut layers = Sequential::default();
    let mut channels = variant.channels(variant.stem);
    let stem = variant.conv_norm(Conv2d::same(3).stride(2));
    layers.push(stem.build(&features.sub(0), (spec.in_channels, channels)));

    let drop_path = spec.drop_path.unwrap_or(DROP_PATH);
    let blocks: i64 = variant.stages.iter().map(|stage| variant.blocks(stage)).sum();
    let mut place = 0;
    for (number, stage) in (1..).zip(variant.stages) {
        let scope = features.sub(number);
        let output = variant.channels(stage.output);
        for index in 0..variant.blocks(stage) {
            let stage = Stage { stride: if index == 0 { stage.stride } else { 1 }, ..*stage };
            let drop = StochasticDepth(drop_path * place as f64 / blocks as f64);
            layers.push(InvertedResidual::new(&scope.sub(index), variant, &stage, (channels, output), drop));
            channels = output;
            place += 1;
        }
    }

    let last = variant.last.unwrap_or(4 * channels);
    let widen = variant.conv_norm(Conv2d::square(1));
    layers.push(widen.build(&features.sub(variant.stages.len() + 1), (channels, last)));
    let mut head = Sequential::default();
    head.push(Dropout(spec.dropout.unwrap_or(variant.dropout)));
    head.push(Linear::new(&root.sub("classifier").sub(1).head(), last, spec.num_classes));
    root.redraw(|name, shape| match shape.len() {
        4 => Some(Init::he_normal_fan_out(shape)),
        2 => Some(Init::Uniform(1.0 / (shape[0] as f64).sqrt())),
        _ => name.ends_with("bias").then_some(Init::ZEROS),
    });
    Model::new(layers, GlobalAveragePool, head, last)
}

impl Variant {
    /// Scaled and rounded to a multiple of 8, but not down by more than a tenth.
    fn channels(&self, unscaled: i64) -> i64 {
        let exact = unscaled as f64 * self.width;
        let rounded = ((exact + 4.0) as i64 / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
    }

    fn blocks(&self, stage: &Stage) -> i64 {
        (stage.depth as f64 * self.depth).ceil() as i64
    }

    fn conv_norm(&self, conv: Conv2d) -> ConvNorm {
        ConvNorm::new(conv, Activation::Silu).norm(self.norm.0, self.norm.1)
    }
}

/// A block with its shortcut, where shapes allow one.
#[derive(Debug)]
struct InvertedResidual {
    branch: Sequential,
    /// None without a shortcut.
    drop: Option<StochasticDepth>,
}

impl InvertedResidual {
    fn new(
        scope: &Scope,
        variant: &Variant,
        stage: &Stage,
        (input, output): (i64, i64),
        drop: StochasticDepth,
    ) -> InvertedResidual {
        let expanded = input * stage.expand;
        let scope = scope.sub("block");
        let expand = variant.conv_norm(Conv2d::square(1));
        let project = ConvNorm { activation: None, ..expand };
        let spatial = variant.conv_norm(Conv2d::same(stage.kernel).stride(stage.stride));
        let mut branch = Sequential::default();
        match stage.block {
            Block::MbConv => {
                let mut number = 0..;
                let mut next = || scope.sub(number.next().unwrap_or_default());
                if expanded != input {
                    branch.push(expand.build(&next(), (input, expanded)));
                }
                let depthwise = ConvNorm { conv: spatial.conv.groups(expanded), ..spatial };
                branch.push(depthwise.build(&next(), (expanded, expanded)));
                let (activation, gate) = (Activation::Silu, Activation::Sigmoid);
                let squeezed = (input / 4).max(1);
                branch.push(SqueezeExcitation::new(&next(), expanded, squeezed, activation, gate));
                branch.push(project.build(&next(), (expanded, output)));
            }
            Block::Fused if expanded != input => {
                branch.push(spatial.build(&scope.sub(0), (input, expanded)));
                branch.push(project.build(&scope.sub(1), (expanded, output)));
            }
            Block::Fused => branch.push(spatial.build(&scope.sub(0), (input, output))),
        }
        let has_shortcut = stage.stride == 1 && input == output;
        InvertedResidual { branch, drop: has_shortcut.then_some(drop) }
    }
}

impl Layer for InvertedResidual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let branch = self.branch.forward_t(input, train);
        match self.drop {
            // In place, as torchvision's blocks do: nothing else needs the branch's output.
            Some(drop) => drop.forward_t(&branch, train).g_add_(input),
            None => branch,
        }
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        vec![&mut self.branch]
    }
}
