//! The layers that networks are made of, with PyTorch's names, initial values and arithmetic.

mod activation;
mod attention;
mod conv;
mod drop;
mod join;
mod linear;
mod mlp;
mod norm;
mod pool;
mod squeeze;
mod window;

use tch::Tensor;

pub use activation::Activation;
pub use attention::MultiheadAttention;
pub use conv::{Conv2d, ConvNorm, Convolution};
pub use drop::{Dropout, StochasticDepth};
pub use join::{Concat, Residual};
pub use linear::Linear;
pub use mlp::mlp;
pub use norm::{BatchNorm2d, LayerNorm};
pub use pool::{AdaptiveAvgPool2d, AvgPool2d, FlattenedPool, GlobalAveragePool, MaxPool2d};
pub use squeeze::SqueezeExcitation;
pub use window::{WindowAttention, WindowAttentionConfig, padded};

/// `[N, C, H, W]` or `[N, F]` in, likewise out; `train` switches dropout and batch statistics.
pub trait Layer: std::fmt::Debug + Send {
    /// The forward pass.
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor;

    /// The forward pass in training: the output, and of each auxiliary head within, if there are
    /// any, the share of its loss and its logits (see [`TrainOutputs::auxiliary`]).
    fn forward_train(&self, input: &Tensor) -> (Tensor, Vec<(f64, Tensor)>) {
        (self.forward_t(input, true), Vec::new())
    }
}

/// What a network gives in training.
#[derive(Debug)]
pub struct TrainOutputs {
    /// `[N, K]`
    pub logits: Tensor,
    /// Of each auxiliary head: the share of its loss that is added to the loss, and logits `[N,
    /// K]`.
    pub auxiliary: Vec<(f64, Tensor)>,
}

/// Layers one after another.
#[derive(Debug, Default)]
pub struct Sequential(pub Vec<Box<dyn Layer>>);

impl Sequential {
    /// Adds a layer at the end.
    pub fn push(&mut self, layer: impl Layer + 'static) {
        self.0.push(Box::new(layer));
    }
}

impl Layer for Sequential {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let mut layers = self.0.iter();
        let Some(first) = layers.next() else { return input.shallow_clone() };
        layers.fold(first.forward_t(input, train), |x, layer| layer.forward_t(&x, train))
    }
}

/// `torch.nn.Identity`
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Layer for Identity {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.shallow_clone()
    }
}

/// `[N, …]` → `[N, F]`
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Layer for Flatten {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.flatten(1, -1)
    }
}
