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
use torch_ext::NormActivation;

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

    /// The output plus `shortcut`, and `ReLU` of the sum if there is to be one. In place: the last
    /// layer must be one whose output nothing else needs, its own gradient included (a batch norm
    /// or a convolution, not a `ReLU`).
    fn forward_to_sum(&self, input: &Tensor, shortcut: &Tensor, relu: bool, train: bool) -> Tensor {
        sum(&self.forward_t(input, train), shortcut, relu)
    }

    /// The layers within.
    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        Vec::new()
    }

    /// For evaluation alone: batch norms within that follow a convolution become part of it. How
    /// many.
    fn fold_batch_norms(&mut self) -> usize {
        self.children_mut().into_iter().map(Layer::fold_batch_norms).sum()
    }

    /// Itself, if it is a convolution.
    fn as_convolution(&mut self) -> Option<&mut Convolution> {
        None
    }

    /// Itself, if it is a batch norm.
    fn as_batch_norm(&self) -> Option<&BatchNorm2d> {
        None
    }

    /// What it is as part of the batch norm before it, if it can be that.
    fn as_norm_activation(&self) -> Option<NormActivation> {
        None
    }

    /// The layers that are run one after another, where that is all there is to this one.
    fn sequence(&self) -> Option<&[Box<dyn Layer>]> {
        None
    }

    /// Where gradient checkpointing may cut beside it.
    fn cut(&self) -> Cut {
        Cut::Behind
    }

    /// Itself, if it contains the feature map that tells where the network found something, which is
    /// otherwise that at the end of the features.
    fn as_tapped(&self) -> Option<&dyn TappedLayer> {
        None
    }
}

/// Where a network may be cut beside a layer, so that what lies between two cuts is worth computing
/// anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere: a single operation, which belongs to what is around it.
    Nowhere,
    /// Behind it: a block.
    Behind,
    /// Behind it, and not in front of it: a pooling, whose output is the smaller one to keep.
    Joined,
}

/// Is given a feature map `[N, C, H, W]`; what it returns, of the same shape, takes its place.
pub type Tap<'a> = &'a mut dyn FnMut(&Tensor) -> Tensor;

/// A layer with a feature map within that can be looked at: see [`Layer::as_tapped`].
pub trait TappedLayer {
    /// The forward pass in evaluation, with `tap` on that feature map.
    fn forward_tapped(&self, input: &Tensor, tap: Tap<'_>) -> Tensor;
}

/// What a network gives in training.
#[derive(Debug)]
pub struct TrainOutputs {
    /// `[N, K]`
    pub logits: Tensor,
    /// `[N, D]`, or a map `[N, D, H, W]`: what the head makes the logits of; none of a TorchScript
    /// module, nor where only a part of the head was run.
    pub embedding: Option<Tensor>,
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

/// The forward pass through layers in order; a batch norm and the activation after it are one
/// operation.
pub fn forward_all<L>(layers: &[L], input: &Tensor, train: bool) -> Tensor
where
    L: std::ops::Deref,
    L::Target: Layer,
{
    let mut x = input.shallow_clone();
    let mut rest = layers;
    while let [layer, behind @ ..] = rest {
        let activation = behind.first().and_then(|next| next.as_norm_activation());
        let fused = layer
            .as_batch_norm()
            .filter(|_| train)
            .and_then(|norm| norm.fused(&x, None, activation.unwrap_or(NormActivation::None)));
        (x, rest) = match fused {
            Some(x) => (x, if activation.is_some() { &behind[1..] } else { behind }),
            None => (layer.forward_t(&x, train), behind),
        };
    }
    x
}

/// In place, as torchvision's blocks do.
fn sum(output: &Tensor, shortcut: &Tensor, relu: bool) -> Tensor {
    let sum = output.shallow_clone().g_add_(shortcut);
    if relu { sum.shallow_clone().relu_() } else { sum }
}

impl Layer for Sequential {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        forward_all(&self.0, input, train)
    }

    fn forward_to_sum(&self, input: &Tensor, shortcut: &Tensor, relu: bool, train: bool) -> Tensor {
        let Some((last, layers)) = self.0.split_last() else { return sum(&input.copy(), shortcut, relu) };
        last.forward_to_sum(&forward_all(layers, input, train), shortcut, relu, train)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        self.0.iter_mut().map(|layer| &mut **layer as &mut dyn Layer).collect()
    }

    fn fold_batch_norms(&mut self) -> usize {
        let mut folded = 0;
        for mut layer in std::mem::take(&mut self.0) {
            let convolution = self.0.last_mut().and_then(|before| before.as_convolution());
            let is_folded = match (layer.as_batch_norm(), convolution) {
                (Some(norm), Some(convolution)) => convolution.fold(norm),
                _ => false,
            };
            if is_folded {
                folded += 1;
            } else {
                folded += layer.fold_batch_norms();
                self.0.push(layer);
            }
        }
        folded
    }

    fn sequence(&self) -> Option<&[Box<dyn Layer>]> {
        Some(&self.0)
    }
}

/// `torch.nn.Identity`
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Layer for Identity {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.shallow_clone()
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}

/// `[N, …]` → `[N, F]`
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Layer for Flatten {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.flatten(1, -1)
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}
