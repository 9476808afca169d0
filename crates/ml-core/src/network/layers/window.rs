//! Self-attention within windows of an image.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use super::attention::{join_heads, split_heads};
use super::{Activation, Dropout, Layer, Linear, Sequential};
use crate::network::init::Init;
use crate::network::state::Scope;

/// What is added to the scores of tokens that are neighbours only because the image was shifted
/// cyclically.
const FAR: f64 = -100.0;

/// What tells one window attention from another.
#[derive(Clone, Copy, Debug)]
pub struct WindowAttentionConfig {
    /// C
    pub channels: i64,
    /// Heads, a divisor of C.
    pub heads: i64,
    /// Side of a window, in tokens.
    pub window: i64,
    /// Tokens by which the windows are shifted, down and right.
    pub shift: i64,
    /// Cosine attention with a continuous position bias, as the second version of Swin has it.
    pub cosine: bool,
    /// Of the output.
    pub dropout: f64,
    /// Of the attention weights.
    pub attention_dropout: f64,
}

/// torchvision's `ShiftedWindowAttention` and `ShiftedWindowAttentionV2` (Liu et al. 2021,
/// arXiv:2103.14030, and 2022, arXiv:2111.09883): `[N, H, W, C]` → `[N, H, W, C]`. An image is
/// padded with zeros to whole windows.
#[derive(Debug)]
pub struct WindowAttention {
    config: WindowAttentionConfig,
    qkv: Linear,
    proj: Linear,
    position: Position,
    /// `[L · L]` i64, for L tokens of a window: of each pair of them the row of the position table.
    index: Tensor,
    /// The mask of the last size of images: the next batch has the same, as a rule.
    mask: RefCell<Option<(Windows, Tensor)>>,
}

/// What scores know of the tokens' relative position.
#[derive(Debug)]
enum Position {
    /// A bias `[(2 window − 1)², heads]` for each offset.
    Table(Tensor),
    /// A small network makes it of the offset's logarithm, `[1, 2 window − 1, 2 window − 1, 2]`;
    /// and each head scales the cosine of queries and keys, `[heads, 1, 1]`.
    Continuous { coordinates: Tensor, mlp: Sequential, logit_scale: Tensor },
}

impl WindowAttention {
    /// Parameters `qkv.*`, `proj.*`, and `relative_position_bias_table`, or `logit_scale` and
    /// `cpb_mlp.*`; buffers `relative_position_index`, and `relative_coords_table` of the second
    /// version.
    pub fn new(scope: &Scope, config: WindowAttentionConfig) -> WindowAttention {
        let WindowAttentionConfig { channels, heads, window, cosine, .. } = config;
        let qkv = Linear::new(&scope.sub("qkv"), channels, 3 * channels);
        let proj = Linear::new(&scope.sub("proj"), channels, channels);
        let index = |scope: &Scope| scope.buffer("relative_position_index", offset_index(window));
        let (position, index) = if cosine {
            let coordinates = scope.buffer("relative_coords_table", offset_logarithms(window));
            let index = index(scope);
            let logit_scale = scope.parameter("logit_scale", &[heads, 1, 1], Init::Constant(10f64.ln()));
            let mut mlp = Sequential::default();
            mlp.push(Linear::new(&scope.sub("cpb_mlp").sub(0), 2, 512));
            mlp.push(Activation::Relu);
            mlp.push(Linear::without_bias(&scope.sub("cpb_mlp").sub(2), 512, heads));
            (Position::Continuous { coordinates, mlp, logit_scale }, index)
        } else {
            let shape = [(2 * window - 1).pow(2), heads];
            let table = scope.parameter("relative_position_bias_table", &shape, Init::truncated_normal(0.02));
            (Position::Table(table), index(scope))
        };
        WindowAttention { config, qkv, proj, position, index, mask: RefCell::default() }
    }

    /// What is added to the scores because of positions: `[1 or windows, heads, L, L]`.
    fn bias(&self, windows: Windows, device: Device) -> Tensor {
        let table = match &self.position {
            Position::Table(table) => table.shallow_clone(),
            Position::Continuous { coordinates, mlp, .. } => {
                mlp.forward_t(&coordinates.reshape([-1, 2]), false).sigmoid() * 16.0
            }
        };
        let tokens = self.config.window.pow(2);
        // [L · L, heads] → [1, heads, L, L], laid out as the scores are.
        let bias = table.index(&[Some(&self.index)]).view([1, tokens, tokens, -1]);
        let bias = bias.permute([0, 3, 1, 2]).contiguous();
        if windows.shift == [0, 0] { bias } else { bias + self.mask(windows, device) }
    }

    /// [`Windows::mask`], made once for a size.
    fn mask(&self, windows: Windows, device: Device) -> Tensor {
        let mut kept = self.mask.borrow_mut();
        match &*kept {
            Some((known, mask)) if *known == windows && mask.device() == device => mask.shallow_clone(),
            _ => {
                let mask = windows.mask().to_device(device);
                *kept = Some((windows, mask.shallow_clone()));
                mask
            }
        }
    }

    /// Of each window `[N, windows, L, C]` → likewise.
    fn attend(&self, tokens: &Tensor, bias: &Tensor, train: bool) -> Tensor {
        let heads = self.config.heads;
        let (queries, keys, values) = match &self.position {
            Position::Table(_) => {
                let [queries, keys, values] = split_heads(&self.qkv.forward_t(tokens, train), heads);
                let width = (self.config.channels / heads) as f64;
                (queries * width.powf(-0.5), keys, values)
            }
            Position::Continuous { logit_scale, .. } => {
                let projected = tokens.linear(&self.qkv.weight, self.bias_without_keys().as_ref());
                let [queries, keys, values] = split_heads(&projected, heads);
                // Scaling the queries scales the cosines, which are more.
                let scale = logit_scale.clamp_max(100f64.ln()).exp() / length(&queries);
                (queries * scale, &keys / length(&keys), values)
            }
        };
        let mut scores = queries.matmul(&keys.transpose(-2, -1));
        // In place only where that rounds nothing: with autocast, scores can have fewer bits than
        // the bias.
        let scores = if scores.kind() == bias.kind() { scores.g_add_(bias) } else { scores + bias };
        let weights = scores.softmax(-1, None);
        let weights = Dropout(self.config.attention_dropout).forward_t(&weights, train);
        join_heads(&weights.matmul(&values))
    }

    /// The bias of queries and values; keys have none in the second version.
    fn bias_without_keys(&self) -> Option<Tensor> {
        let channels = self.config.channels;
        self.qkv.bias.as_ref().map(|bias| {
            let none = Tensor::zeros([channels], (bias.kind(), bias.device()));
            Tensor::cat(&[bias.narrow(0, 0, channels), none, bias.narrow(0, 2 * channels, channels)], 0)
        })
    }
}

impl Layer for WindowAttention {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let (height, width) = (input.size()[1], input.size()[2]);
        let windows = Windows::new([height, width], self.config.window, self.config.shift);
        let bias = self.bias(windows, input.device());
        let attended = self.attend(&windows.split(input), &bias, train);
        let output = Dropout(self.config.dropout).forward_t(&self.proj.forward_t(&attended, train), train);
        windows.join(&output).narrow(1, 0, height).narrow(2, 0, width)
    }
}

/// `[N, H, W, C]` with so many rows of zeros below and columns on the right; without a copy where
/// there are none.
pub fn padded(input: &Tensor, [below, right]: [i64; 2]) -> Tensor {
    if [below, right] == [0, 0] {
        input.shallow_clone()
    } else {
        input.constant_pad_nd([0, 0, 0, right, 0, below])
    }
}

/// Euclidean length of the last dimension's vectors, kept as a dimension; not less than
/// `torch.nn.functional.normalize` allows.
fn length(vectors: &Tensor) -> Tensor {
    vectors.linalg_norm(2, &[-1i64][..], true, None).clamp_min(1e-12)
}

/// How an image falls into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Windows {
    side: i64,
    /// Height and width in tokens.
    size: [i64; 2],
    /// Height and width with padding, multiples of `side`.
    padded: [i64; 2],
    /// Down and right.
    shift: [i64; 2],
}

impl Windows {
    /// Where one window is all there is, it is not shifted.
    fn new(size: [i64; 2], side: i64, shift: i64) -> Windows {
        let padded = size.map(|extent| (extent + side - 1) / side * side);
        Windows { side, size, padded, shift: padded.map(|extent| if side >= extent { 0 } else { shift }) }
    }

    /// Shifted and padded: `[N, H, W, C]` → `[N, windows, L, C]`.
    fn split(self, input: &Tensor) -> Tensor {
        let mut x = padded(input, [0, 1].map(|side| self.padded[side] - self.size[side]));
        if self.shift != [0, 0] {
            x = x.roll(self.shift.map(|shift| -shift), [1, 2]);
        }
        let ([rows, columns], side, channels) = (self.grid(), self.side, x.size()[3]);
        x.reshape([-1, rows, side, columns, side, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .flatten(3, 4)
            .flatten(1, 2)
    }

    /// Back: `[N, windows, L, C]` → `[N, H, W, C]`, with padding.
    fn join(self, tokens: &Tensor) -> Tensor {
        let ([rows, columns], side, channels) = (self.grid(), self.side, tokens.size()[3]);
        let x = tokens
            .view([-1, rows, columns, side, side, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .flatten(3, 4)
            .flatten(1, 2);
        if self.shift == [0, 0] { x } else { x.roll(self.shift, [1, 2]) }
    }

    /// Windows in a column and in a row.
    fn grid(self) -> [i64; 2] {
        self.padded.map(|extent| extent / self.side)
    }

    /// 0 for tokens that are neighbours in the image, [`FAR`] for those that only the shift has
    /// brought together: `[windows, 1, L, L]`.
    fn mask(self) -> Tensor {
        let [rows, columns] = [0, 1].map(|side| {
            let (extent, shift) = (self.padded[side], self.shift[side]);
            let past = |border: i64, place: i64| i64::from(place >= extent - border);
            let regions: Vec<i64> = (0..extent).map(|at| past(self.side, at) + past(shift, at)).collect();
            Tensor::from_slice(&regions)
        });
        let regions = (rows.view([-1, 1]) * 3 + columns).view([1, self.padded[0], self.padded[1], 1]);
        let unshifted = Windows { size: self.padded, shift: [0, 0], ..self };
        // [1, windows, L, 1] → [windows, L, 1]
        let regions = unshifted.split(&regions).squeeze_dim(0);
        (regions.ne_tensor(&regions.transpose(1, 2)).to_kind(Kind::Float) * FAR).unsqueeze(1)
    }
}

/// `[L · L]` i64: for tokens i and j of a window, at i · L + j, the place of their offset among all
/// (2 side − 1)².
fn offset_index(side: i64) -> Tensor {
    let offset = |i: i64, j: i64| i - j + side - 1;
    let tokens = side * side;
    let index: Vec<i64> = (0..tokens)
        .flat_map(|i| (0..tokens).map(move |j| (i, j)))
        .map(|(i, j)| offset(i / side, j / side) * (2 * side - 1) + offset(i % side, j % side))
        .collect();
    Tensor::from_slice(&index)
}

/// `[1, 2 side − 1, 2 side − 1, 2]` f32: (down, right) of all offsets in ±8, and of that sign(x)
/// log₂(1 + |x|) / log₂ 8.
fn offset_logarithms(side: i64) -> Tensor {
    let offsets = Tensor::arange_start(1 - side, side, (Kind::Float, Device::Cpu));
    let grid = Tensor::stack(&Tensor::meshgrid_indexing(&[&offsets, &offsets], "ij"), -1);
    let scaled = grid / (side - 1) as f64 * 8.0;
    (scaled.sign() * ((scaled.abs() + 1.0).log2()) / 3.0).unsqueeze(0)
}
