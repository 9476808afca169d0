//! An architecture's name + a class count → a module with PyTorch's parameter names.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use tch::{Device, Tensor};

/// Every network by its torchvision name (or ours).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    Resnet18,
    Resnet34,
    Resnet50,
    SimpleCnn,
    TinyNet,
}

/// Lists every missing, unexpected and misshapen name.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("{0}")]
    Draft(String),
}

#[derive(Debug)]
pub struct Network {}

impl Network {
    /// Initial weights are a function of `seed`, equal to torchvision's after `torch.manual_seed(seed)`;
    /// drawn on the CPU, then moved to `device`.
    pub fn new(architecture: Architecture, num_classes: i64, seed: i64, device: Device) -> Network {
        let _ = (architecture, num_classes, seed, device);
        todo!()
    }
    /// `[N, 3, H, W]` f32 → logits `[N, K]`; `train` switches dropout and batch statistics.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let _ = (images, train);
        todo!()
    }
    /// What the optimizer updates, in PyTorch's `parameters()` order, with PyTorch's names (shallow clones).
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        todo!()
    }
    /// Parameters and buffers in PyTorch's `state_dict()` order (shallow clones).
    pub fn state_dict(&self) -> Vec<(String, Tensor)> {
        todo!()
    }
    /// Copies values in, strictly: same names, same shapes; all differences are listed in the error and nothing is changed then.
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub fn load_state_dict(&self, state: &[(String, Tensor)]) -> Result<(), NetworkError> {
        let _ = state;
        todo!()
    }
    /// Elements of all parameters.
    pub fn num_parameters(&self) -> usize {
        todo!()
    }
}
