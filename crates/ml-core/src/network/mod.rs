//! An architecture's name + a class count → a module with PyTorch's parameter names.
//!
//! A new network is its file, one variant of [`Architecture`], one arm of `build`, and a row in
//! [`Architecture::ALL`], which drives the sweep tests.

mod layers;
mod resnet;
mod small;
mod state;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use layers::Layer;
use state::{Entry, Role};

/// Every network, by its torchvision name where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// torchvision's `resnet18`.
    Resnet18,
    /// torchvision's `resnet34`.
    Resnet34,
    /// torchvision's `resnet50`.
    Resnet50,
    /// Six convolutions with batch norm and dropout, 0.29 million parameters.
    SimpleCnn,
    /// Three convolutions with batch norm, 24 thousand parameters.
    TinyNet,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 5] = [
        Architecture::Resnet18,
        Architecture::Resnet34,
        Architecture::Resnet50,
        Architecture::SimpleCnn,
        Architecture::TinyNet,
    ];

    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Resnet18 => "resnet18",
            Architecture::Resnet34 => "resnet34",
            Architecture::Resnet50 => "resnet50",
            Architecture::SimpleCnn => "simple_cnn",
            Architecture::TinyNet => "tiny_net",
        }
    }

    /// The network of this name.
    pub fn from_name(name: &str) -> Option<Architecture> {
        Architecture::ALL.into_iter().find(|architecture| architecture.name() == name)
    }

    /// Smallest height and width of a picture that still leaves something at the network's end.
    pub fn min_input(self) -> u32 {
        match self {
            Architecture::Resnet18 | Architecture::Resnet34 | Architecture::Resnet50 => 1,
            Architecture::TinyNet => 4,
            Architecture::SimpleCnn => 8,
        }
    }

    fn build(self, shape: NetworkShape, seed: u64) -> (Box<dyn Layer>, Vec<Entry>) {
        match self {
            Architecture::Resnet18 => resnet::build(resnet::RESNET18, shape, seed),
            Architecture::Resnet34 => resnet::build(resnet::RESNET34, shape, seed),
            Architecture::Resnet50 => resnet::build(resnet::RESNET50, shape, seed),
            Architecture::SimpleCnn => small::simple_cnn(shape, seed),
            Architecture::TinyNet => small::tiny_net(shape, seed),
        }
    }
}

impl JsonSchema for Architecture {
    fn schema_name() -> Cow<'static, str> {
        "Architecture".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Architecture::ALL.map(Architecture::name) })
    }
}

/// A state of another network: all that differs.
#[derive(Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct NetworkError {
    /// In the network, not in the state.
    pub missing: Vec<String>,
    /// In the state, not in the network.
    pub unexpected: Vec<String>,
    /// In both, with another shape or dtype: `conv1.weight: [64, 3, 7, 7] expected, [64, 1, 7, 7] found`.
    pub misshapen: Vec<String>,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the weights are of another network")?;
        for (what, names) in [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of another shape", &self.misshapen),
        ] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// What goes into a network and what comes out. A number alone is that of the classes, for colour pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkShape {
    /// Channels of a picture: 3, or 1.
    pub in_channels: i64,
    /// Logits, at least 1.
    pub num_classes: i64,
}

impl From<i64> for NetworkShape {
    fn from(num_classes: i64) -> NetworkShape {
        NetworkShape { in_channels: 3, num_classes }
    }
}

/// A network and its state.
#[derive(Debug)]
pub struct Network {
    layers: Box<dyn Layer>,
    entries: Vec<Entry>,
}

impl Network {
    /// Initial weights are a function of `seed`: those of torchvision's network after
    /// `torch.manual_seed(seed)`, to the bit. They are drawn on the CPU and moved to `device`.
    pub fn new(
        architecture: Architecture,
        shape: impl Into<NetworkShape>,
        seed: i64,
        device: Device,
    ) -> Network {
        let (layers, mut entries) = architecture.build(shape.into(), seed as u64);
        if device != Device::Cpu {
            for entry in &mut entries {
                let moved = tch::no_grad(|| entry.tensor.to_device(device));
                entry.tensor.set_data(&moved);
            }
        }
        Network { layers, entries }
    }

    /// `[N, C, H, W]` f32 → logits `[N, K]`; `train` switches dropout and batch statistics.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        self.layers.forward_t(images, train)
    }

    /// What the optimizer updates, in PyTorch's `parameters()` order, with PyTorch's names (shallow clones).
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.with_role(|role| role == Role::Parameter)
    }

    /// Parameters and buffers in PyTorch's `state_dict()` order (shallow clones).
    pub fn state_dict(&self) -> Vec<(String, Tensor)> {
        self.with_role(|_| true)
    }

    /// What the forward pass updates (running statistics), PyTorch's names (shallow clones).
    pub fn buffers(&self) -> Vec<(String, Tensor)> {
        self.with_role(|role| role == Role::Buffer)
    }

    fn with_role(&self, wanted: impl Fn(Role) -> bool) -> Vec<(String, Tensor)> {
        self.entries
            .iter()
            .filter(|entry| wanted(entry.role))
            .map(|entry| (entry.name.clone(), entry.tensor.shallow_clone()))
            .collect()
    }

    /// Copies values in, strictly: same names, same shapes, same dtypes.
    ///
    /// # Errors
    /// Everything that differs; nothing is changed then.
    pub fn load_state_dict(&self, state: &[(String, Tensor)]) -> Result<(), NetworkError> {
        let given: std::collections::HashMap<&str, &Tensor> =
            state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut error = NetworkError::default();
        for entry in &self.entries {
            match given.get(entry.name.as_str()) {
                None => error.missing.push(entry.name.clone()),
                Some(tensor)
                    if tensor.size() != entry.tensor.size() || tensor.kind() != entry.tensor.kind() =>
                {
                    error.misshapen.push(format!(
                        "{}: {:?} {:?} expected, {:?} {:?} found",
                        entry.name,
                        entry.tensor.kind(),
                        entry.tensor.size(),
                        tensor.kind(),
                        tensor.size()
                    ));
                }
                Some(_) => {}
            }
        }
        let known: std::collections::HashSet<&str> =
            self.entries.iter().map(|entry| entry.name.as_str()).collect();
        error.unexpected = state
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !known.contains(name.as_str()))
            .cloned()
            .collect();
        if error != NetworkError::default() {
            return Err(error);
        }
        tch::no_grad(|| {
            for entry in &self.entries {
                if let Some(tensor) = given.get(entry.name.as_str()) {
                    entry.tensor.shallow_clone().copy_(tensor);
                }
            }
        });
        Ok(())
    }

    /// Elements of all parameters.
    pub fn num_parameters(&self) -> usize {
        self.entries.iter().filter(|e| e.role == Role::Parameter).map(|e| e.tensor.numel()).sum()
    }
}
