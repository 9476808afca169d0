//! `ConvNeXts` (Liu et al. 2022, arXiv:2201.03545) as torchvision builds them.

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, Conv2d, Convolution, Cut, GlobalAveragePool, Layer, LayerNorm, Linear, Sequential,
    StochasticDepth,
};
use super::model::Model;
use super::state::Scope;

/// A variant: channels of the first of four stages, each twice as wide as the one before, and their
/// blocks.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    width: i64,
    depths: [i64; 4],
    drop_path: f64,
}

/// `convnext_tiny`
pub const TINY: Variant = Variant { width: 96, depths: [3, 3, 9, 3], drop_path: 0.1 };
/// `convnext_small`
pub const SMALL: Variant = Variant { width: 96, depths: [3, 3, 27, 3], drop_path: 0.4 };
/// `convnext_base`
pub const BASE: Variant = Variant { width: 128, depths: [3, 3, 27, 3], drop_path: 0.5 };
/// `convnext_large`
pub const LARGE: Variant = Variant { width: 192, depths: [3, 3, 27, 3], drop_path: 0.5 };

/// Of every layer norm.
const EPS: f64 = 1e-6;
/// What the scale of a block's branch begins as.
const LAYER_SCALE: f64 = 1e-6;

/// Builds a variant.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let features = root.sub("features");
    let mut layers = Sequential::default();
    let mut channels = variant.width;
    let stem = Conv2d::square(4).stride(4).biased();
    layers.push(stem.build(&features.sub(0).sub(0), (spec.in_channels, channels)));
    layers.push(LayerNorm2d(LayerNorm::new(&features.sub(0).sub(1), channels, EPS)));

    let drop_path = spec.drop_path.unwrap_or(variant.drop_path);
    let blocks: i64 = variant.depths.iter().sum();
    let mut place = 0;
    for (stage, depth) in variant.depths.into_iter().enumerate() {
        // Stages are features 1, 3, 5 and 7, and what halves the image before them 2, 4 and 6.
        if stage > 0 {
            let scope = features.sub(2 * stage);
            layers.push(LayerNorm2d(LayerNorm::new(&scope.sub(0), channels, EPS)));
            let halve = Conv2d::square(2).stride(2).biased();
            layers.push(halve.build(&scope.sub(1), (channels, 2 * channels)));
            channels *= 2;
        }
        let scope = features.sub(2 * stage + 1);
        for index in 0..depth {
            let drop = StochasticDepth(drop_path * place as f64 / (blocks - 1) as f64);
            layers.push(Block::new(&scope.sub(index), channels, drop));
            place += 1;
        }
    }

    let classifier = root.sub("classifier");
    let mut head = Sequential::default();
    head.push(LayerNorm::new(&classifier.sub(0), channels, EPS));
    head.push(Linear::new(&classifier.sub(2).head(), channels, spec.num_classes));
    // Weights of convolutions and linear layers; the scales `[C, 1, 1]` and the norms stay.
    root.redraw(|name, shape| match shape.len() {
        2 | 4 => Some(Init::truncated_normal(0.02)),
        _ => name.ends_with("bias").then_some(Init::ZEROS),
    });
    Model::new(layers, GlobalAveragePool, head, channels)
}

/// Layer norm over the channels of `[N, C, H, W]`; what it returns lies in memory as `[N, H, W,
/// C]`.
#[derive(Debug)]
struct LayerNorm2d(LayerNorm);

impl Layer for LayerNorm2d {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward_t(&input.permute([0, 2, 3, 1]), train).permute([0, 3, 1, 2])
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}

/// x + scale · branch(x): a depthwise 7×7 convolution, then at each pixel a layer norm, a linear
/// layer four times as wide, GELU, and a linear layer back.
#[derive(Debug)]
struct Block {
    depthwise: Convolution,
    pointwise: Sequential,
    /// `[C, 1, 1]`
    layer_scale: Tensor,
    drop: StochasticDepth,
}

impl Block {
    fn new(scope: &Scope, channels: i64, drop: StochasticDepth) -> Block {
        let branch = scope.sub("block");
        let depthwise = Conv2d::same(7).groups(channels).biased();
        let depthwise = depthwise.build(&branch.sub(0), (channels, channels));
        let mut pointwise = Sequential::default();
        pointwise.push(LayerNorm::new(&branch.sub(2), channels, EPS));
        pointwise.push(Linear::new(&branch.sub(3), channels, 4 * channels));
        pointwise.push(Activation::Gelu);
        pointwise.push(Linear::new(&branch.sub(5), 4 * channels, channels));
        let layer_scale = scope.parameter("layer_scale", &[channels, 1, 1], Init::Constant(LAYER_SCALE));
        Block { depthwise, pointwise, layer_scale, drop }
    }
}

impl Layer for Block {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let pixels = self.depthwise.forward_t(input, train).permute([0, 2, 3, 1]);
        let branch = self.pointwise.forward_t(&pixels, train).permute([0, 3, 1, 2]);
        // In place, as torchvision's blocks do: nothing else needs the scaled branch.
        self.drop.forward_t(&(&self.layer_scale * branch), train).g_add_(input)
    }
}
