//! Branches that are joined again.

use tch::Tensor;

use super::{Layer, Sequential};

/// What the layers make of their input is added to it.
///
/// In place: the last layer must be one whose output nothing else needs, its own gradient included
/// (a batch norm or a convolution, not a `ReLU`).
#[derive(Debug)]
pub struct Residual(pub Sequential);

impl Layer for Residual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward_to_sum(input, input, false, train)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        vec![&mut self.0]
    }
}

/// The same input goes through each layer; the outputs are joined over the channels, in order. No
/// layer may begin with what works in place.
#[derive(Debug, Default)]
pub struct Concat(pub Vec<Box<dyn Layer>>);

impl Concat {
    /// Adds a branch at the end.
    pub fn push(&mut self, branch: impl Layer + 'static) {
        self.0.push(Box::new(branch));
    }
}

impl Layer for Concat {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let outputs: Vec<Tensor> = self.0.iter().map(|branch| branch.forward_t(input, train)).collect();
        Tensor::cat(&outputs, 1)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        self.0.iter_mut().map(|branch| &mut **branch as &mut dyn Layer).collect()
    }
}
