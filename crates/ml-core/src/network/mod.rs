//! An architecture's name + what goes in and out → a module with PyTorch's parameter names.
//!
//! A new network is its file and a row in `registry.rs`, which also drives the sweep tests.

mod adapt;
mod alexnet;
#[cfg(test)]
mod compare;
mod convnext;
mod densenet;
mod efficientnet;
#[cfg(test)]
mod formats;
mod freeze;
mod inception;
mod init;
mod layers;
mod maxvit;
mod mnasnet;
mod mobilenet_v2;
mod mobilenet_v3;
#[cfg(test)]
#[path = "../../../../docs/examples/plain_net.rs"]
mod plain_net;
mod registry;
mod regnet;
mod resnet;
mod resnet9;
mod script;
mod shufflenet;
mod sizes;
mod small;
mod squeezenet;
mod state;
mod swin;
#[cfg(test)]
mod tests;
mod vgg;
mod vit;

use std::fmt;

use tch::{Device, Kind, Tensor};

pub use freeze::{Freeze, FreezeError};
pub(crate) use inception::is_auxiliary;
use layers::Layer;
pub use layers::TrainOutputs;
pub use registry::Architecture;
use script::ScriptLayer;
pub use script::{ScriptError, ScriptFile};
use state::{Entry, Role, Scope};

/// A state of another network: all that differs.
#[derive(Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct NetworkError {
    /// In the network, not in the state.
    pub missing: Vec<String>,
    /// In the state, not in the network.
    pub unexpected: Vec<String>,
    /// In both, with another shape or dtype: `conv1.weight: [64, 3, 7, 7] expected, [64, 1, 7, 7]
    /// found`.
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
                // Names come from files that may be anyone's.
                let names: Vec<String> = names.iter().map(|name| name.escape_debug().to_string()).collect();
                write!(f, "\n  {what} ({}): {}", names.len(), names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// What goes into a network and what comes out. A number alone is that of the classes, for colour
/// images.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSpec {
    /// Channels of an image: 3, or 1.
    pub in_channels: i64,
    /// Logits, at least 1.
    pub num_classes: i64,
    /// (height, width) of the images, where the network depends on it; none takes the network's
    /// own.
    pub image_size: Option<(i64, i64)>,
    /// Probability of dropout; none takes the network's own.
    pub dropout: Option<f64>,
    /// Probability with which the last branch is left out in training, those before it more rarely;
    /// none takes the network's own.
    pub drop_path: Option<f64>,
    /// Whether images normalised with `ImageNet`'s mean and deviation are first changed to those of
    /// mean 0.5 and deviation 0.5, which torchvision's published weights of `googlenet` and
    /// `inception_v3` want. Other networks have nothing of the kind, and images that are not of
    /// three channels stay as they are.
    pub transform_input: bool,
}

impl From<i64> for NetworkSpec {
    fn from(num_classes: i64) -> NetworkSpec {
        NetworkSpec {
            in_channels: 3,
            num_classes,
            image_size: None,
            dropout: None,
            drop_path: None,
            transform_input: false,
        }
    }
}

/// A network and its state.
#[derive(Debug)]
pub struct Network {
    body: Body,
    device: Device,
    entries: Vec<Entry>,
}

/// What computes.
#[derive(Debug)]
enum Body {
    /// Layers of this library.
    Layers { architecture: Architecture, spec: NetworkSpec, layers: Box<dyn Layer> },
    /// A program that the user brought.
    Script(ScriptLayer),
}

impl Network {
    /// Initial weights are a function of `seed`: those of torchvision's network after
    /// `torch.manual_seed(seed)`, to the bit. They are drawn on the CPU and moved to `device`.
    pub fn new(
        architecture: Architecture,
        spec: impl Into<NetworkSpec>,
        seed: i64,
        device: Device,
    ) -> Network {
        let (spec, scope) = (spec.into(), Scope::root());
        let layers = architecture.build(&scope, &spec);
        let mut entries = scope.finish(seed as u64);
        move_to(&mut entries, device);
        Network { body: Body::Layers { architecture, spec, layers }, device, entries }
    }

    /// A TorchScript module, with the weights in it. It must give logits of `num_classes` classes
    /// (none takes as many as there are), which shows when it runs: see [`Network::dry_run`].
    ///
    /// # Errors
    /// It is no TorchScript file.
    pub fn from_script(
        file: &ScriptFile,
        num_classes: impl Into<Option<i64>>,
        device: Device,
    ) -> Result<Network, ScriptError> {
        let num_classes = num_classes.into();
        let script = ScriptLayer::load(file, num_classes)?;
        let entries = script.entries(device);
        Ok(Network { body: Body::Script(script), device, entries })
    }

    /// A network of its own with the same state.
    ///
    /// # Errors
    /// A TorchScript module cannot be copied.
    pub fn deep_copy(&self) -> Result<Network, ScriptError> {
        match &self.body {
            Body::Layers { architecture, spec, .. } => {
                let twin = Network::new(*architecture, spec.clone(), 0, self.device);
                tch::no_grad(|| {
                    for (own, original) in twin.entries.iter().zip(&self.entries) {
                        own.tensor.shallow_clone().copy_(&original.tensor);
                    }
                });
                Ok(twin)
            }
            Body::Script(script) => {
                let copy = script.copy()?;
                let entries = copy.entries(self.device);
                Ok(Network { body: Body::Script(copy), device: self.device, entries })
            }
        }
    }

    /// Which network it is; none if it is a TorchScript module.
    pub fn architecture(&self) -> Option<Architecture> {
        match &self.body {
            Body::Layers { architecture, .. } => Some(*architecture),
            Body::Script(_) => None,
        }
    }

    /// `[N, C, H, W]` f32 → logits `[N, K]`; `train` switches dropout and batch statistics.
    ///
    /// # Panics
    /// A TorchScript module fails; [`Network::try_forward_t`] tells.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        self.try_forward_t(images, train).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Network::forward_t`].
    ///
    /// # Errors
    /// A TorchScript module fails, or gives something else than logits `[N, K]`. Layers of this
    /// library do not.
    pub fn try_forward_t(&self, images: &Tensor, train: bool) -> Result<Tensor, ScriptError> {
        match &self.body {
            Body::Layers { layers, .. } => Ok(layers.forward_t(images, train)),
            Body::Script(script) => script.forward_t(images, train),
        }
    }

    /// As [`Network::forward_t`] in training, with the logits of auxiliary heads where there are
    /// any.
    ///
    /// # Panics
    /// As [`Network::forward_t`].
    pub fn forward_train(&self, images: &Tensor) -> TrainOutputs {
        self.try_forward_train(images).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Network::forward_train`].
    ///
    /// # Errors
    /// As [`Network::try_forward_t`].
    pub fn try_forward_train(&self, images: &Tensor) -> Result<TrainOutputs, ScriptError> {
        match &self.body {
            Body::Layers { layers, .. } => Ok(layers.forward_train(images)),
            Body::Script(script) => {
                Ok(TrainOutputs { logits: script.forward_t(images, true)?, auxiliary: Vec::new() })
            }
        }
    }

    /// Whether a TorchScript module gives logits of its classes for images `[C, H, W]`, and in
    /// `training` whether they lead to a gradient. Nothing of it changes. Of this library's
    /// networks it is known.
    ///
    /// # Errors
    /// What would go wrong later.
    pub fn dry_run(&self, [channels, height, width]: [i64; 3], training: bool) -> Result<(), ScriptError> {
        let Body::Script(script) = &self.body else { return Ok(()) };
        // Two, since the statistics of one have no variance.
        let images = Tensor::zeros([2, channels, height, width], (Kind::Float, self.device));
        if training { script.dry_run_training(&images) } else { script.dry_run(&images) }
    }

    /// A batch norm that has a single value of each channel where a batch in training is one image
    /// `[C, H, W]`: its running variance would be no number (PyTorch's own refuses such a batch).
    /// Its name. Nothing of the network changes. A TorchScript module's says it itself.
    ///
    /// # Errors
    /// A TorchScript module fails on a batch of one.
    pub fn single_value_batch_norm(
        &self,
        [channels, height, width]: [i64; 3],
    ) -> Result<Option<String>, ScriptError> {
        if matches!(self.body, Body::Layers { .. }) && self.buffers().is_empty() {
            return Ok(None);
        }
        let before: Vec<Tensor> = self.buffers().iter().map(|(_, buffer)| buffer.copy()).collect();
        let image = Tensor::zeros([1, channels, height, width], (Kind::Float, self.device));
        let passed = tch::no_grad(|| self.try_forward_train(&image).map(drop));
        let mut bad = None;
        for ((name, buffer), before) in self.buffers().into_iter().zip(before) {
            let is_bad = || buffer.is_floating_point() && buffer.isfinite().all().int64_value(&[]) == 0;
            if bad.is_none() && is_bad() {
                bad = Some(name.rsplit_once('.').map_or(name.as_str(), |(module, _)| module).to_owned());
            }
            tch::no_grad(|| buffer.shallow_clone().copy_(&before));
        }
        passed.map(|()| bad)
    }

    /// Lays the weights of convolutions out with their channels innermost (`torch.channels_last`),
    /// which convolutions of images laid out alike are faster with in some precisions and on some
    /// devices. Before the first backward pass: an optimizer's state has the layout of its
    /// parameters.
    ///
    /// # Errors
    /// No memory.
    pub fn to_channels_last(&self) -> Result<(), torch_ext::Error> {
        for entry in self.entries.iter().filter(|entry| entry.tensor.dim() == 4) {
            let laid_out = tch::no_grad(|| torch_ext::channels_last(&entry.tensor))?;
            entry.tensor.shallow_clone().set_data(&laid_out);
        }
        Ok(())
    }

    /// Names of the parameters of layers that have an output for each class.
    pub fn head(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.is_head).map(|entry| entry.name.as_str())
    }

    /// What the optimizer updates, in PyTorch's `parameters()` order, with PyTorch's names (shallow
    /// clones).
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.with_role(|role| role == Role::Parameter)
    }

    /// Parameters and buffers in PyTorch's `state_dict()` order (shallow clones).
    pub fn state_dict(&self) -> Vec<(String, Tensor)> {
        self.with_role(|_| true)
    }

    /// As [`Network::state_dict`], each tensor once: a TorchScript module may have one under
    /// several names.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        self.with_role(|role| role != Role::Alias)
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

fn move_to(entries: &mut [Entry], device: Device) {
    if device == Device::Cpu {
        return;
    }
    for entry in entries.iter_mut().filter(|entry| entry.role != Role::Alias) {
        let moved = tch::no_grad(|| entry.tensor.to_device(device));
        entry.tensor.set_data(&moved);
    }
}
