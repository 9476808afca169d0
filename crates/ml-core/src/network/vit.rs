//! Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929) as torchvision builds them.
//!
//! The weights know one size of images: there is a position embedding for each patch.

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Conv2d, Convolution, Dropout, Layer, LayerNorm, Linear, MultiheadAttention, Sequential, Tap, TappedLayer,
    mlp,
};
use super::model::Model;
use super::state::Scope;

/// A variant of the family.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Side of a patch, in pixels.
    pub patch: i64,
    /// Encoder blocks.
    pub depth: i64,
    /// Heads of an attention.
    pub heads: i64,
    /// Features of a token.
    pub width: i64,
    /// Features within a block's perceptron.
    pub mlp_width: i64,
    /// Of the attention weights.
    pub attention_dropout: f64,
}

const fn base(patch: i64) -> Variant {
    Variant { patch, depth: 12, heads: 12, width: 768, mlp_width: 3072, attention_dropout: 0.0 }
}

const fn large(patch: i64) -> Variant {
    Variant { depth: 24, heads: 16, width: 1024, mlp_width: 4096, ..base(patch) }
}

/// `vit_b_16`
pub const VIT_B_16: Variant = base(16);
/// `vit_b_32`
pub const VIT_B_32: Variant = base(32);
/// `vit_l_16`
pub const VIT_L_16: Variant = large(16);
/// `vit_l_32`
pub const VIT_L_32: Variant = large(32);
/// `vit_h_14`
pub const VIT_H_14: Variant = Variant { depth: 32, width: 1280, mlp_width: 5120, ..large(14) };

/// Height and width of the images, unless something else is said.
const IMAGE_SIZE: (i64, i64) = (224, 224);
const EPS: f64 = 1e-6;

/// The name of the position embeddings.
pub const POSITIONS: &str = "encoder.pos_embedding";

/// Builds a variant; its head begins at zero, and so do its logits.
pub fn build(scope: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let &Variant { patch, depth, width, .. } = variant;
    let dropout = spec.dropout.unwrap_or(0.0);
    let (height, image_width) = spec.image_size.unwrap_or(IMAGE_SIZE);
    let grid = (height / patch, image_width / patch);
    let tokens = 1 + grid.0 * grid.1;

    let conv = Conv2d::square(patch).stride(patch).biased();
    let conv_proj = conv.build(&scope.sub("conv_proj"), (spec.in_channels, width));
    let class_token = scope.parameter("class_token", &[1, 1, width], Init::ZEROS);
    let encoder = scope.sub("encoder");
    let pos_embedding = encoder.parameter("pos_embedding", &[1, tokens, width], Init::Normal(0.02));
    // Tokens `[N, 1 + patches, D]` after the last norm.
    let mut features = Sequential::default();
    features.push(Tokens { conv_proj, class_token, pos_embedding });
    features.push(Dropout(dropout));
    for number in 0..depth {
        let scope = encoder.sub("layers").sub(format!("encoder_layer_{number}"));
        features.push(EncoderBlock::new(&scope, variant, grid, dropout));
    }
    features.push(LayerNorm::new(&encoder.sub("ln"), width, EPS));
    let head = Linear::new(&scope.sub("heads").sub("head").head(), width, spec.num_classes);

    let std = (1.0 / (spec.in_channels * patch * patch) as f64).sqrt();
    scope.redraw(|name, _| match name {
        "conv_proj.weight" => Some(Init::truncated_normal(std)),
        "conv_proj.bias" | "heads.head.weight" | "heads.head.bias" => Some(Init::ZEROS),
        _ => None,
    });
    Model::new(features, ClassToken, head, width)
}

/// `[N, C, H, W]` → tokens `[N, 1 + patches, D]` with their positions, the class token first.
#[derive(Debug)]
struct Tokens {
    conv_proj: Convolution,
    class_token: Tensor,
    pos_embedding: Tensor,
}

impl Layer for Tokens {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        // [N, C, h, w] → [N, h · w, C], the class token in front.
        let patches = self.conv_proj.forward_t(input, train).flatten(2, 3).transpose(1, 2);
        let class_token = self.class_token.expand([patches.size()[0], -1, -1], false);
        Tensor::cat(&[class_token, patches], 1).g_add_(&self.pos_embedding)
    }
}

/// Tokens `[N, T, D]` → the class token's `[N, D]`.
#[derive(Clone, Copy, Debug)]
struct ClassToken;

impl Layer for ClassToken {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        // Without the other tokens behind it in memory.
        input.select(1, 0).contiguous()
    }
}

/// torchvision's `EncoderBlock`: attention, then a perceptron, each normalised in front and added
/// to its input.
#[derive(Debug)]
struct EncoderBlock {
    /// Patches in a column and in a row.
    grid: (i64, i64),
    ln_1: LayerNorm,
    self_attention: MultiheadAttention,
    dropout: Dropout,
    ln_2: LayerNorm,
    mlp: Sequential,
}

impl EncoderBlock {
    fn new(scope: &Scope, variant: &Variant, grid: (i64, i64), dropout: f64) -> EncoderBlock {
        let &Variant { heads, width, mlp_width, attention_dropout, .. } = variant;
        EncoderBlock {
            grid,
            ln_1: LayerNorm::new(&scope.sub("ln_1"), width, EPS),
            self_attention: MultiheadAttention::new(
                &scope.sub("self_attention"),
                width,
                heads,
                attention_dropout,
            ),
            dropout: Dropout(dropout),
            ln_2: LayerNorm::new(&scope.sub("ln_2"), width, EPS),
            mlp: mlp(&scope.sub("mlp"), width, mlp_width, dropout),
        }
    }

    /// `tap` is given what the attention is to see.
    fn forward(&self, input: &Tensor, train: bool, tap: impl FnOnce(Tensor) -> Tensor) -> Tensor {
        let normed = tap(self.ln_1.forward_t(input, train));
        let x = input + self.dropout.forward_t(&self.self_attention.forward_t(&normed, train), train);
        &x + self.mlp.forward_t(&self.ln_2.forward_t(&x, train), train)
    }
}

impl Layer for EncoderBlock {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.forward(input, train, |normed| normed)
    }

    fn as_tapped(&self) -> Option<&dyn TappedLayer> {
        Some(self)
    }
}

/// The feature map is what `ln_1` makes of the patches: behind the last attention, no patch has a
/// part in the logits, which are the class token's.
impl TappedLayer for EncoderBlock {
    fn forward_tapped(&self, input: &Tensor, tap: Tap<'_>) -> Tensor {
        self.forward(input, false, |normed| {
            let (height, width) = self.grid;
            let (class_token, patches) = (normed.narrow(1, 0, 1), normed.narrow(1, 1, height * width));
            // [N, h · w, D] → [N, D, h, w] and back.
            let tapped = tap(&patches.transpose(1, 2).unflatten(2, [height, width]));
            Tensor::cat(&[class_token, tapped.flatten(2, 3).transpose(1, 2)], 1)
        })
    }
}

/// Position embeddings `[1, 1 + n², C]` for another number of positions (the class token's
/// counted), as torchvision's `interpolate_embeddings` makes them: that of the class token is kept,
/// the square of the others is stretched, bicubically and with its corners where they were. None
/// where a side has no square.
pub fn interpolate_positions(positions: &Tensor, wanted: i64) -> Option<Tensor> {
    let &[1, given, width] = positions.size().as_slice() else { return None };
    let (from, to) = (square_root(given - 1)?, square_root(wanted - 1)?);
    let class_token = positions.narrow(1, 0, 1);
    let grid = positions.narrow(1, 1, given - 1).transpose(1, 2).reshape([1, width, from, from]);
    let stretched = grid.upsample_bicubic2d([to, to], true, None, None).flatten(2, 3).transpose(1, 2);
    Some(Tensor::cat(&[class_token, stretched], 1))
}

/// Of a whole number above zero that has a whole one.
pub fn square_root(square: i64) -> Option<i64> {
    let root = u64::try_from(square).ok()?.isqrt() as i64;
    (root > 0 && root * root == square).then_some(root)
}
