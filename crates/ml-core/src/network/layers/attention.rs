//! Self-attention.

use tch::Tensor;

use super::{Layer, Linear};
use crate::network::init::Init;
use crate::network::module::ModuleKind;
use crate::network::state::Scope;

/// `torch.nn.MultiheadAttention(features, heads, dropout, batch_first=True)` of a sequence with
/// itself (Vaswani et al. 2017, arXiv:1706.03762): `[N, L, C]` → `[N, L, C]`.
#[derive(Debug)]
pub struct MultiheadAttention {
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj: Linear,
    heads: i64,
    dropout: f64,
}

impl MultiheadAttention {
    /// `in_proj_weight` `[3 C, C]` of queries, keys and values, Xavier's uniform; `out_proj`,
    /// uniform in ±1/√C; biases zero. `dropout` is that of the attention weights.
    pub fn new(scope: &Scope, features: i64, heads: i64, dropout: f64) -> MultiheadAttention {
        scope.set_kind(ModuleKind::MultiheadAttention);
        // PyTorch draws `out_proj`, bias included, before `in_proj_weight`.
        let out_proj = Linear::new(&scope.sub("out_proj"), features, features);
        scope.sub("out_proj").redraw(|_, shape| (shape.len() == 1).then_some(Init::ZEROS));
        let shape = [3 * features, features];
        MultiheadAttention {
            in_proj_weight: scope.parameter("in_proj_weight", &shape, Init::xavier_uniform(&shape)),
            in_proj_bias: scope.parameter("in_proj_bias", &[3 * features], Init::ZEROS),
            out_proj,
            heads,
            dropout,
        }
    }
}

impl Layer for MultiheadAttention {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let projected = input.linear(&self.in_proj_weight, Some(&self.in_proj_bias));
        let [queries, keys, values] = split_heads(&projected, self.heads);
        let dropout = if train { self.dropout } else { 0.0 };
        let (mask, scale) = (None::<Tensor>, None);
        let attended = Tensor::scaled_dot_product_attention(
            &queries, &keys, &values, mask, dropout, false, scale, false,
        );
        self.out_proj.forward_t(&join_heads(&attended), train)
    }
}

/// Queries, keys and values side by side, `[…, L, 3 C]` → of each `[…, heads, L, C / heads]`,
/// without a copy. Their gradients are laid side by side again by a single one.
pub fn split_heads(projected: &Tensor, heads: i64) -> [Tensor; 3] {
    let parts = projected.chunk(3, -1);
    [0, 1, 2].map(|part| parts[part].unflatten(-1, [heads, -1]).transpose(-3, -2))
}

/// `[…, heads, L, C / heads]` → `[…, L, C]`; without a copy where the kernel has laid its output
/// out so.
pub fn join_heads(attended: &Tensor) -> Tensor {
    attended.transpose(-3, -2).flatten(-2, -1)
}
