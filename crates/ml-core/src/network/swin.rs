//! Swin transformers (Liu et al. 2021, arXiv:2103.14030, and their second version, Liu et al. 2022,
//! arXiv:2111.09883) as torchvision builds them.
//!
//! Images may have any size: windows are padded, and positions are relative within a window.

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Conv2d, Convolution, Cut, GlobalAveragePool, Layer, LayerNorm, Linear, Sequential, StochasticDepth, Tap,
    TappedLayer, WindowAttention, WindowAttentionConfig, mlp, padded,
};
use super::model::Model;
use super::state::Scope;

/// A variant of the family.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Of the architecture.
    pub version: Version,
    /// Channels of the first stage; each of the other three has twice as many as the one before.
    pub width: i64,
    /// Blocks of the stages.
    pub depths: [i64; 4],
    /// Probability with which the last branch is left out in training.
    pub drop_path: f64,
    /// Of the attention weights.
    pub attention_dropout: f64,
}

/// Of the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Norms in front of the branches, a table of position biases, windows of 7 by 7.
    One,
    /// Norms behind the branches, cosine attention, position biases made by a network, windows of 8
    /// by 8.
    Two,
}

const fn variant(version: Version, width: i64, third: i64, drop_path: f64) -> Variant {
    Variant { version, width, depths: [2, 2, third, 2], drop_path, attention_dropout: 0.0 }
}

/// `swin_t`
pub const SWIN_T: Variant = variant(Version::One, 96, 6, 0.2);
/// `swin_s`
pub const SWIN_S: Variant = variant(Version::One, 96, 18, 0.3);
/// `swin_b`
pub const SWIN_B: Variant = variant(Version::One, 128, 18, 0.5);
/// `swin_v2_t`
pub const SWIN_V2_T: Variant = variant(Version::Two, 96, 6, 0.2);
/// `swin_v2_s`
pub const SWIN_V2_S: Variant = variant(Version::Two, 96, 18, 0.3);
/// `swin_v2_b`
pub const SWIN_V2_B: Variant = variant(Version::Two, 128, 18, 0.5);

/// Side of a patch, in pixels.
const PATCH: i64 = 4;
/// Channels of a head, in all variants.
const HEAD_WIDTH: i64 = 32;
const EPS: f64 = 1e-5;

/// Builds a variant; the weights of all linear layers are initialised again at the end, as
/// torchvision does. Features are those after the last norm, permuted for the pooling as in
/// torchvision: `[N, C, H / 32, W / 32]`, with sizes rounded up.
pub fn build(scope: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let mut layers = Sequential::default();
    let features = scope.sub("features");
    layers.push(PatchEmbedding::new(&features.sub(0), spec.in_channels, variant.width));
    let dropout = spec.dropout.unwrap_or(0.0);
    let drop_path = spec.drop_path.unwrap_or(variant.drop_path);
    let last = variant.depths.iter().sum::<i64>() - 1;
    let (mut channels, mut block) = (variant.width, 0);
    // Stages and the layers between them are called features.1, features.2, … in turn.
    for (stage, depth) in variant.depths.into_iter().enumerate() {
        if stage > 0 {
            layers.push(PatchMerging::new(&features.sub(2 * stage), variant.version, channels));
            channels *= 2;
        }
        for index in 0..depth {
            let scope = features.sub(2 * stage + 1).sub(index);
            let drop_path = drop_path * block as f64 / last as f64;
            layers.push(Block::new(&scope, variant, channels, index % 2 == 1, dropout, drop_path));
            block += 1;
        }
    }
    layers.push(LayerNorm::new(&scope.sub("norm"), channels, EPS));
    layers.push(ChannelsFirst);
    let head = Linear::new(&scope.sub("head").head(), channels, spec.num_classes);
    scope.redraw(|name, shape| match shape.len() {
        2 if name.ends_with(".weight") => Some(Init::truncated_normal(0.02)),
        // Those of norms begin at zero anyway.
        1 if name.ends_with("bias") && name != "features.0.0.bias" => Some(Init::ZEROS),
        _ => None,
    });
    Model::new(layers, GlobalAveragePool, head, channels)
}

/// `[N, C, H, W]` → `[N, H / 4, W / 4, C]`: a convolution of patches, a norm. Rows and columns left
/// over are ignored.
#[derive(Debug)]
struct PatchEmbedding {
    conv: Convolution,
    norm: LayerNorm,
}

impl PatchEmbedding {
    fn new(scope: &Scope, input: i64, channels: i64) -> PatchEmbedding {
        let conv = Conv2d::square(PATCH).stride(PATCH).biased();
        PatchEmbedding {
            conv: conv.build(&scope.sub(0), (input, channels)),
            norm: LayerNorm::new(&scope.sub(2), channels, EPS),
        }
    }
}

impl Layer for PatchEmbedding {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.norm.forward_t(&self.conv.forward_t(input, train).permute([0, 2, 3, 1]), train)
    }
}

/// torchvision's `PatchMerging` and `PatchMergingV2`: `[N, H, W, C]` → `[N, ⌈H / 2⌉, ⌈W / 2⌉, 2
/// C]`.
#[derive(Debug)]
struct PatchMerging {
    version: Version,
    reduction: Linear,
    norm: LayerNorm,
}

impl PatchMerging {
    fn new(scope: &Scope, version: Version, channels: i64) -> PatchMerging {
        let normalised = match version {
            Version::One => 4 * channels,
            Version::Two => 2 * channels,
        };
        PatchMerging {
            version,
            reduction: Linear::without_bias(&scope.sub("reduction"), 4 * channels, 2 * channels),
            norm: LayerNorm::new(&scope.sub("norm"), normalised, EPS),
        }
    }
}

impl Layer for PatchMerging {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let (height, width) = (input.size()[1], input.size()[2]);
        // Of four neighbours, the channels of the upper left, lower left, upper right, lower right
        // one.
        let merged = padded(input, [height % 2, width % 2])
            .unflatten(2, [-1, 2])
            .unflatten(1, [-1, 2])
            .permute([0, 1, 3, 4, 2, 5])
            .flatten(3, 5);
        match self.version {
            Version::One => self.reduction.forward_t(&self.norm.forward_t(&merged, train), train),
            Version::Two => self.norm.forward_t(&self.reduction.forward_t(&merged, train), train),
        }
    }
}

/// torchvision's `SwinTransformerBlock` and `SwinTransformerBlockV2`: window attention, then a
/// perceptron, each added to its input.
#[derive(Debug)]
struct Block {
    version: Version,
    norm1: LayerNorm,
    attn: WindowAttention,
    stochastic_depth: StochasticDepth,
    norm2: LayerNorm,
    mlp: Sequential,
}

impl Block {
    fn new(
        scope: &Scope,
        variant: &Variant,
        channels: i64,
        is_shifted: bool,
        dropout: f64,
        drop_path: f64,
    ) -> Block {
        let window = match variant.version {
            Version::One => 7,
            Version::Two => 8,
        };
        let config = WindowAttentionConfig {
            channels,
            heads: channels / HEAD_WIDTH,
            window,
            shift: if is_shifted { window / 2 } else { 0 },
            cosine: variant.version == Version::Two,
            dropout,
            attention_dropout: variant.attention_dropout,
        };
        Block {
            version: variant.version,
            norm1: LayerNorm::new(&scope.sub("norm1"), channels, EPS),
            attn: WindowAttention::new(&scope.sub("attn"), config),
            stochastic_depth: StochasticDepth(drop_path),
            norm2: LayerNorm::new(&scope.sub("norm2"), channels, EPS),
            mlp: mlp(&scope.sub("mlp"), channels, 4 * channels, dropout),
        }
    }

    /// `tap` is given the output of `norm1`, `[N, H, W, C]`.
    fn forward(&self, input: &Tensor, train: bool, tap: impl FnOnce(Tensor) -> Tensor) -> Tensor {
        let x = self.add_branch(&self.attn, &self.norm1, input, train, tap);
        self.add_branch(&self.mlp, &self.norm2, &x, train, |normed| normed)
    }

    /// x + `layer` and `norm` of x, in the version's order.
    fn add_branch(
        &self,
        layer: &dyn Layer,
        norm: &LayerNorm,
        input: &Tensor,
        train: bool,
        tap: impl FnOnce(Tensor) -> Tensor,
    ) -> Tensor {
        let branch = match self.version {
            Version::One => layer.forward_t(&tap(norm.forward_t(input, train)), train),
            Version::Two => tap(norm.forward_t(&layer.forward_t(input, train), train)),
        };
        input + self.stochastic_depth.forward_t(&branch, train)
    }
}

impl Layer for Block {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.forward(input, train, |normed| normed)
    }

    fn as_tapped(&self) -> Option<&dyn TappedLayer> {
        Some(self)
    }
}

/// The feature map is the output of `norm1`.
impl TappedLayer for Block {
    fn forward_tapped(&self, input: &Tensor, tap: Tap<'_>) -> Tensor {
        self.forward(input, false, |normed| tap(&normed.permute([0, 3, 1, 2])).permute([0, 2, 3, 1]))
    }
}

/// `[N, H, W, C]` → `[N, C, H, W]`, without a copy.
#[derive(Clone, Copy, Debug)]
struct ChannelsFirst;

impl Layer for ChannelsFirst {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.permute([0, 3, 1, 2])
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}
