//! A named tensor of a network.

use tch::Tensor;

/// Whether the optimizer updates a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does.
    Parameter,
    /// The forward pass does (running statistics).
    Buffer,
    /// It is another entry's tensor under a second name.
    Alias,
}

/// A tensor of the network's state.
#[derive(Debug)]
pub struct Entry {
    /// PyTorch's dotted name.
    pub name: String,
    /// The tensor itself, shared with the layer that uses it.
    pub tensor: Tensor,
    /// Who updates it.
    pub role: Role,
    /// Part of a layer that has an output for each class.
    pub is_head: bool,
    /// Of running statistics: the share of the newest batch in them.
    pub momentum: Option<f64>,
}
