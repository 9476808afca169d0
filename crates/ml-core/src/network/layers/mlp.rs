//! The multi-layer perceptron of transformers.

use super::{Activation, Dropout, Linear, Sequential};
use crate::network::init::Init;
use crate::network::state::Scope;

/// torchvision's `MLP` as its transformers have it: a linear layer called `0`, `GELU`, dropout, a
/// linear layer called `3`, dropout. Weights begin as Xavier's uniform ones, biases as normal with
/// standard deviation 1e-6.
pub fn mlp(scope: &Scope, features: i64, hidden: i64, dropout: f64) -> Sequential {
    let mut layers = Sequential::default();
    layers.push(Linear::new(&scope.sub(0), features, hidden));
    layers.push(Activation::Gelu);
    layers.push(Dropout(dropout));
    layers.push(Linear::new(&scope.sub(3), hidden, features));
    layers.push(Dropout(dropout));
    scope.redraw(|_, shape| {
        Some(if shape.len() == 2 { Init::xavier_uniform(shape) } else { Init::Normal(1e-6) })
    });
    layers
}
