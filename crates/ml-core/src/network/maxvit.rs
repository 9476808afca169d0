//! `MaxViT` (Tu et al. 2022, arXiv:2204.01697) as torchvision builds it: each layer is an inverted
//! bottleneck, attention within windows of 7×7 pixels, and attention within grids of 7×7 pixels
//! spread over the whole image.
//!
//! Its weights do not depend on the image's size, which only has to divide into windows at every
//! stage ([`SIDE`]); unlike torchvision's, height and width may differ.

use tch::{Device, Kind, Tensor};

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, ConvNorm, Dropout, GlobalAveragePool, Layer, LayerNorm,
    Linear, Sequential, SqueezeExcitation, StochasticDepth,
};
use super::model::Model;
use super::state::Scope;

/// A variant: channels of the stem, channels and layers of each of the four stages, which all begin
/// with stride 2.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    stem: i64,
    widths: [i64; 4],
    depths: [i64; 4],
    /// Channels of an attention head.
    head: i64,
    drop_path: f64,
}

/// `maxvit_t`
pub const TINY: Variant =
    Variant { stem: 64, widths: [64, 128, 256, 512], depths: [2, 2, 5, 2], head: 32, drop_path: 0.2 };

/// Side of a window, and of a grid.
const PARTITION: i64 = 7;
/// Height and width of images are multiples of this: windows of the last stage, whose pixels stand
/// for 32×32.
pub const SIDE: u32 = 32 * PARTITION as u32;

/// Builds a variant.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let mut layers = Sequential::default();
    let stem = root.sub("stem");
    let first = conv_norm(Conv2d::same(3).stride(2));
    layers.push(first.build(&stem.sub(0), (spec.in_channels, variant.stem)));
    layers.push(Conv2d::same(3).biased().build(&stem.sub(1).sub(0), (variant.stem, variant.stem)));

    let dropout = spec.dropout.unwrap_or(0.0);
    let drop_path = spec.drop_path.unwrap_or(variant.drop_path);
    let last = variant.depths.iter().sum::<i64>() - 1;
    let mut channels = variant.stem;
    let mut place = 0;
    for (stage, (depth, width)) in variant.depths.into_iter().zip(variant.widths).enumerate() {
        let scope = root.sub("blocks").sub(stage).sub("layers");
        for index in 0..depth {
            let scope = scope.sub(index).sub("layers");
            let stride = if index == 0 { 2 } else { 1 };
            // The last is exact, as in NumPy's `linspace`.
            let drop = if place == last { drop_path } else { place as f64 * (drop_path / last as f64) };
            let drop = StochasticDepth(drop);
            layers.push(MbConv::new(&scope.sub("MBconv"), (channels, width), stride, drop));
            for partition in [Partition::Window, Partition::Grid] {
                layers.push(Attend::new(&scope, partition, (width, variant.head), dropout, drop));
            }
            channels = width;
            place += 1;
        }
    }

    let classifier = root.sub("classifier");
    let mut head = Sequential::default();
    head.push(LayerNorm::new(&classifier.sub(2), channels, 1e-5));
    head.push(Linear::new(&classifier.sub(3), channels, channels));
    head.push(Activation::Tanh);
    head.push(Linear::without_bias(&classifier.sub(5).head(), channels, spec.num_classes));
    // Weights of convolutions and linear layers; norms and tables of relative positions stay.
    root.redraw(|name, shape| {
        if name.ends_with("bias") {
            Some(Init::ZEROS)
        } else {
            (name.ends_with("weight") && shape.len() > 1).then_some(Init::Normal(0.02))
        }
    });
    Model::new(layers, GlobalAveragePool, head, channels)
}

/// eps and momentum of the batch norms.
const NORM: (f64, f64) = (1e-3, 0.01);

fn conv_norm(conv: Conv2d) -> ConvNorm {
    ConvNorm::new(conv, Activation::Gelu).norm(NORM.0, NORM.1)
}

/// shortcut(x) + branch(x), the branch an inverted bottleneck four times as wide inside as at its
/// end.
#[derive(Debug)]
struct MbConv {
    shortcut: Sequential,
    branch: Sequential,
    drop: StochasticDepth,
}

impl MbConv {
    fn new(scope: &Scope, (input, output): (i64, i64), stride: i64, drop: StochasticDepth) -> MbConv {
        let mut shortcut = Sequential::default();
        if stride != 1 {
            shortcut.push(AvgPool2d { kernel: 3, stride, padding: 1 });
            let projection = Conv2d::square(1).biased();
            shortcut.push(projection.build(&scope.sub("proj").sub(1), (input, output)));
        }
        let inner = 4 * output;
        let scope = scope.sub("layers");
        let mut branch = Sequential::default();
        branch.push(BatchNorm2d::with(&scope.sub("pre_norm"), input, NORM.0, NORM.1));
        branch.push(conv_norm(Conv2d::square(1)).build(&scope.sub("conv_a"), (input, inner)));
        let depthwise = Conv2d::same(3).stride(stride).groups(inner);
        branch.push(conv_norm(depthwise).build(&scope.sub("conv_b"), (inner, inner)));
        let (activation, gate) = (Activation::Silu, Activation::Sigmoid);
        let squeeze = scope.sub("squeeze_excitation");
        branch.push(SqueezeExcitation::new(&squeeze, inner, output / 4, activation, gate));
        branch.push(Conv2d::square(1).biased().build(&scope.sub("conv_c"), (inner, output)));
        MbConv { shortcut, branch, drop }
    }
}

impl Layer for MbConv {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let shortcut = self.shortcut.forward_t(input, train);
        shortcut + self.drop.forward_t(&self.branch.forward_t(input, train), train)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        vec![&mut self.shortcut, &mut self.branch]
    }
}

/// How an image is cut into sets of 7×7 pixels that see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partition {
    /// Neighbours.
    Window,
    /// Pixels as far from each other as 7×7 of them fit.
    Grid,
}

impl Partition {
    /// `[N, C, H, W]` → `[N, sets, 49, C]`
    fn split(self, input: &Tensor) -> Tensor {
        let [n, c, h, w] = dimensions(input);
        let p = PARTITION;
        let sets = match self {
            Partition::Window => input.reshape([n, c, h / p, p, w / p, p]).permute([0, 2, 4, 3, 5, 1]),
            Partition::Grid => input.reshape([n, c, p, h / p, p, w / p]).permute([0, 3, 5, 2, 4, 1]),
        };
        sets.reshape([n, (h / p) * (w / p), p * p, c])
    }

    /// Back again, to height `h` and width `w`.
    fn join(self, sets: &Tensor, (h, w): (i64, i64)) -> Tensor {
        let [n, _, _, c] = dimensions(sets);
        let p = PARTITION;
        let sets = sets.reshape([n, h / p, w / p, p, p, c]);
        let rows_and_columns = match self {
            Partition::Window => sets.permute([0, 5, 1, 3, 2, 4]),
            Partition::Grid => sets.permute([0, 5, 3, 1, 4, 2]),
        };
        rows_and_columns.reshape([n, c, h, w])
    }
}

/// Sizes of a tensor known to have four dimensions.
fn dimensions(tensor: &Tensor) -> [i64; 4] {
    let (a, b, c, d) =
        tensor.size4().expect("layers between the stem and the classifier have four dimensions");
    [a, b, c, d]
}

/// A transformer layer within the sets of a partition.
#[derive(Debug)]
struct Attend {
    partition: Partition,
    attention: Sequential,
    mlp: Sequential,
    drop: StochasticDepth,
}

impl Attend {
    /// In the scope of a layer, as its `window_attention` or `grid_attention`.
    fn new(
        layer: &Scope,
        partition: Partition,
        (channels, head): (i64, i64),
        dropout: f64,
        drop: StochasticDepth,
    ) -> Attend {
        let scope = layer.sub(match partition {
            Partition::Window => "window_attention",
            Partition::Grid => "grid_attention",
        });
        let mut attention = Sequential::default();
        attention.push(LayerNorm::new(&scope.sub("attn_layer").sub(0), channels, 1e-5));
        attention.push(Attention::new(&scope.sub("attn_layer").sub(1), channels, head));
        attention.push(Dropout(dropout));
        let mut mlp = Sequential::default();
        mlp.push(LayerNorm::new(&scope.sub("mlp_layer").sub(0), channels, 1e-5));
        mlp.push(Linear::new(&scope.sub("mlp_layer").sub(1), channels, 4 * channels));
        mlp.push(Activation::Gelu);
        mlp.push(Linear::new(&scope.sub("mlp_layer").sub(3), 4 * channels, channels));
        mlp.push(Dropout(dropout));
        Attend { partition, attention, mlp, drop }
    }
}

impl Layer for Attend {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let [_, _, h, w] = dimensions(input);
        let mut x = self.partition.split(input);
        for branch in [&self.attention, &self.mlp] {
            x = &x + self.drop.forward_t(&branch.forward_t(&x, train), train);
        }
        self.partition.join(&x, (h, w))
    }
}

/// Attention of several heads among the 49 pixels of a set, with a learnt bias for each offset
/// between two of them.
#[derive(Debug)]
struct Attention {
    to_qkv: Linear,
    merge: Linear,
    /// `[13 · 13, heads]`: for each offset of −6 to 6 rows and columns.
    bias_table: Tensor,
    /// `[49, 49]`, i64: rows of the table.
    bias_index: Tensor,
    heads: i64,
}

impl Attention {
    fn new(scope: &Scope, channels: i64, head: i64) -> Attention {
        let heads = channels / head;
        let offsets = 2 * PARTITION - 1;
        let to_qkv = Linear::new(&scope.sub("to_qkv"), channels, 3 * channels);
        let merge = Linear::new(&scope.sub("merge"), channels, channels);
        let init = Init::truncated_normal(0.02);
        let bias_table = scope.parameter("relative_position_bias_table", &[offsets * offsets, heads], init);
        let bias_index = scope.buffer("relative_position_index", relative_position_index());
        Attention { to_qkv, merge, bias_table, bias_index, heads }
    }

    /// `[1, heads, 49, 49]`
    fn bias(&self) -> Tensor {
        let pixels = PARTITION * PARTITION;
        let bias = self.bias_table.index(&[Some(self.bias_index.view(-1))]);
        bias.view([pixels, pixels, self.heads]).permute([2, 0, 1]).contiguous().unsqueeze(0)
    }
}

impl Layer for Attention {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let [n, sets, pixels, channels] = dimensions(input);
        let qkv = self.to_qkv.forward_t(input, train);
        let qkv = qkv.view([n, sets, pixels, 3, self.heads, channels / self.heads]);
        // One copy here spares one each in the products.
        let qkv = qkv.permute([3, 0, 1, 4, 2, 5]).contiguous().unbind(0);
        let [q, k, v] = &qkv[..] else { unreachable!("the first dimension has three") };
        // Scaled by all the channels, not by those of a head: torchvision's choice.
        let k = k * (channels as f64).powf(-0.5);
        let weights = (q.matmul(&k.transpose(-2, -1)) + self.bias()).softmax(-1, None::<Kind>);
        let heads = weights.matmul(v); // [N, sets, heads, 49, channels of a head]
        self.merge.forward_t(&heads.permute([0, 1, 3, 2, 4]).reshape([n, sets, pixels, channels]), train)
    }
}

/// `[49, 49]`: row of the table of biases for each pixel (row) and each that it sees (column).
fn relative_position_index() -> Tensor {
    let p = PARTITION;
    let pixels = Tensor::arange(p * p, (Kind::Int64, Device::Cpu));
    let rows = pixels.divide_scalar_mode(p, "floor");
    let columns = pixels.remainder(p);
    let offset = |places: &Tensor| places.unsqueeze(1) - places.unsqueeze(0) + (p - 1);
    offset(&rows) * (2 * p - 1) + offset(&columns)
}
