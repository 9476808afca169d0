//! Squeeze and excitation.

use tch::Tensor;

use super::conv::Convolution;
use super::{Activation, Conv2d, Cut, Layer};
use crate::network::state::Scope;

/// torchvision's `SqueezeExcitation` (Hu et al. 2018, arXiv:1709.01507): channels weighted by what
/// their means say.
#[derive(Debug)]
pub struct SqueezeExcitation {
    fc1: Convolution,
    fc2: Convolution,
    activation: Activation,
    gate: Activation,
}

impl SqueezeExcitation {
    /// `channels` → `squeezed` → `activation` → `channels` → `gate`.
    pub fn new(
        scope: &Scope,
        channels: i64,
        squeezed: i64,
        activation: Activation,
        gate: Activation,
    ) -> SqueezeExcitation {
        let conv = Conv2d::square(1).biased();
        SqueezeExcitation {
            fc1: conv.build(&scope.sub("fc1"), (channels, squeezed)),
            fc2: conv.build(&scope.sub("fc2"), (squeezed, channels)),
            activation,
            gate,
        }
    }
}

impl Layer for SqueezeExcitation {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let mean = input.adaptive_avg_pool2d([1, 1]);
        let squeezed = self.activation.forward_t(&self.fc1.forward_t(&mean, train), train);
        let weights = self.gate.forward_t(&self.fc2.forward_t(&squeezed, train), train);
        input * weights
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        vec![&mut self.fc1, &mut self.fc2]
    }
}
