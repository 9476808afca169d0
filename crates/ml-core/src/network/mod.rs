//! An architecture's name + shapes of input and output → a backbone and a head with PyTorch's names
//! of modules, parameters and buffers.
//!
//! A new network is its file and a row in `registry.rs`, which also drives the sweep tests.

mod adapt;
mod alexnet;
mod blocks;
mod convnext;
mod densenet;
mod efficientnet;
mod entry;
mod forward;
mod freeze;
mod gradient_checkpointing;
mod inception;
mod init;
mod layers;
mod maxvit;
mod mnasnet;
mod mobilenet_v2;
mod mobilenet_v3;
mod model;
mod module;
mod prefix;
mod prepared;
mod registry;
mod regnet;
mod resnet;
mod resnet9;
mod resnet_cifar;
mod script;
mod shufflenet;
mod sizes;
mod small;
mod squeezenet;
mod state;
mod statistics;
mod swin;
mod tap;
#[cfg(test)]
pub(crate) mod tests;
mod vgg;
mod vit;

use std::fmt;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use torch_ext::ProcessGroup;

pub(crate) use blocks::blocks;
use entry::{Entry, Role};
pub use forward::{Classifier, Embedded, ForwardError, Input, Tapped};
pub use freeze::{Freeze, FreezeError};
pub use gradient_checkpointing::TrainPass;
pub(crate) use inception::is_auxiliary;
pub use layers::TrainOutputs;
use model::Model;
pub use module::{Module, ModuleKind};
pub use prefix::{NoPrefix, Prefix};
pub use prepared::PreparedNetwork;
pub use registry::Architecture;
use script::ScriptLayer;
pub use script::{ScriptError, ScriptFile};
use state::{Scope, State};
pub use statistics::StatisticsCopy;

/// A state dict of another network: all differences.
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

/// Input and output of a network. A number converts into that of classes, for colour images.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSpec {
    /// Channels of an image, at least 1.
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

/// A tensor that the forward pass of training changes.
#[derive(Debug)]
pub struct RunningStatistic {
    /// The tensor itself, shared with the layer.
    pub tensor: Tensor,
    /// The share of the newest batch in it; none of what is no mean of batches, or not known to be.
    pub momentum: Option<f64>,
}

/// A network and its state.
///
/// A network of this library is a backbone and a head, in timm's sense: its forward pass is
/// [`forward_features`](Network::forward_features), [`pool`](Network::pool) and
/// [`forward_head`](Network::forward_head) one after another.
#[derive(Debug)]
pub struct Network {
    body: Body,
    device: Device,
    state: State,
}

/// What computes.
#[derive(Debug)]
enum Body {
    /// Layers of this library.
    Layers { architecture: Architecture, spec: NetworkSpec, model: Model },
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
        let model = architecture.build(&scope, &spec);
        let mut state = scope.finish(seed as u64);
        move_to(&mut state.entries, device);
        Network { body: Body::Layers { architecture, spec, model }, device, state }
    }

    /// As [`Network::new`], with parameters of any values and buffers as they begin: for a state that
    /// is loaded next.
    pub fn uninitialised(
        architecture: Architecture,
        spec: impl Into<NetworkSpec>,
        device: Device,
    ) -> Network {
        let (spec, scope) = (spec.into(), Scope::root());
        let model = architecture.build(&scope, &spec);
        let mut state = scope.finish_uninitialised();
        move_to(&mut state.entries, device);
        Network { body: Body::Layers { architecture, spec, model }, device, state }
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
        let state = State::of(script.entries(device));
        Ok(Network { body: Body::Script(script), device, state })
    }

    /// An independent network with the same state: values, dtypes, memory layout, device, and which
    /// parameters need a gradient. Gradients are not copied.
    ///
    /// # Errors
    /// A TorchScript module cannot be copied.
    pub fn deep_copy(&self) -> Result<Network, ScriptError> {
        self.deep_copy_on(self.device)
    }

    fn deep_copy_on(&self, device: Device) -> Result<Network, ScriptError> {
        match &self.body {
            Body::Layers { architecture, spec, .. } => {
                let (architecture, spec, scope) = (*architecture, spec.clone(), Scope::root());
                let model = architecture.build(&scope, &spec);
                let mut state = scope.finish_uninitialised();
                for (own, original) in state.entries.iter_mut().zip(&self.state.entries) {
                    let original_values = original.tensor.detach();
                    own.tensor.set_data(&original_values.to_device_(
                        device,
                        original_values.kind(),
                        false,
                        true,
                    ));
                    if original.role == Role::Parameter {
                        let _ = own.tensor.set_requires_grad(original.tensor.requires_grad());
                    }
                }
                Ok(Network { body: Body::Layers { architecture, spec, model }, device, state })
            }
            Body::Script(script) => {
                let copy = script.copy()?;
                let state = State::of(copy.entries(device));
                Ok(Network { body: Body::Script(copy), device, state })
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
            Body::Layers { model, .. } => Ok(model.forward_t(images, train)),
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
            Body::Layers { model, .. } => Ok(model.forward_train(images)),
            Body::Script(script) => {
                let logits = script.forward_t(images, true)?;
                Ok(TrainOutputs { logits, embedding: None, auxiliary: Vec::new() })
            }
        }
    }

    /// Images `[N, C, H, W]` → the features of the backbone: a feature map `[N, D, H', W']`; of
    /// vision transformers, tokens `[N, 1 + patches, D]` after the last norm, the class token
    /// first. Swin's feature map, also after the last norm, has its channels innermost in memory.
    ///
    /// # Errors
    /// A TorchScript module has no such part.
    pub fn forward_features(&self, images: &Tensor, train: bool) -> Result<Tensor, ScriptError> {
        Ok(self.model()?.forward_features(images, train))
    }

    /// Features → embedding `[N, D]`: their mean or maximum over height and width, or the class
    /// token. Of `alexnet` and `vgg…` it is the pooled feature map, flattened; of `squeezenet…`,
    /// whose classifier is a convolution, the feature map itself, `[N, D, H', W']`.
    ///
    /// # Errors
    /// As [`Network::forward_features`].
    pub fn pool(&self, features: &Tensor) -> Result<Tensor, ScriptError> {
        Ok(self.model()?.pool(features))
    }

    /// Embedding → logits `[N, K]`, by all that torchvision calls the classifier: norms, dropout
    /// and hidden layers included.
    ///
    /// # Errors
    /// As [`Network::forward_features`].
    pub fn forward_head(&self, embedding: &Tensor, train: bool) -> Result<Tensor, ScriptError> {
        Ok(self.model()?.forward_head(embedding, train))
    }

    /// D, the width of the embedding.
    ///
    /// # Errors
    /// As [`Network::forward_features`].
    pub fn num_features(&self) -> Result<i64, ScriptError> {
        Ok(self.model()?.num_features())
    }

    fn model(&self) -> Result<&Model, ScriptError> {
        match &self.body {
            Body::Layers { model, .. } => Ok(model),
            Body::Script(script) => Err(script.has_no_parts()),
        }
    }

    /// The network itself as the root of its tree of modules.
    pub fn root(&self) -> Module<'_> {
        Module::new(&self.state.root, &self.state.entries)
    }

    /// All modules in the order of PyTorch's `named_modules()`: see [`Module::visit`].
    pub fn modules(&self) -> Vec<Module<'_>> {
        let mut modules = Vec::new();
        self.root().visit(&mut |module| modules.push(module));
        modules
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
    /// `[C, H, W]`: its running variance would be NaN (PyTorch's own refuses such a batch).
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
        if self.device.is_cuda() && matches!(self.body, Body::Layers { .. }) {
            // cuDNN does not say what it makes of the variance of one value.
            return self.deep_copy_on(Device::Cpu)?.single_value_batch_norm([channels, height, width]);
        }
        let buffers = self.buffers();
        let before: Vec<Tensor> = buffers.iter().map(|(_, buffer)| buffer.copy()).collect();
        let image = Tensor::zeros([1, channels, height, width], (Kind::Float, self.device));
        let passed = tch::no_grad(|| self.try_forward_train(&image).map(drop));
        let is_nan =
            |buffer: &Tensor| buffer.is_floating_point() && buffer.isfinite().all().int64_value(&[]) == 0;
        let modules = self.modules().into_iter();
        let single = modules.filter(|module| module.buffers().any(|(_, buffer)| is_nan(buffer)));
        let name = single.map(|module| module.name().to_owned()).next();
        for ((_, buffer), before) in buffers.into_iter().zip(before) {
            tch::no_grad(|| buffer.shallow_clone().copy_(&before));
        }
        passed.map(|()| name)
    }

    /// Has batch norms take their mean and variance over the images of all `processes` in training
    /// (`torch.nn.SyncBatchNorm`). Whether there are any; those of a TorchScript module cannot.
    pub fn synchronise_batch_norms(&self, processes: &Arc<ProcessGroup>) -> bool {
        // Once for a network.
        let _ = self.state.together.set(Arc::clone(processes));
        matches!(self.body, Body::Layers { .. })
            && self.modules().iter().any(|module| module.kind() == ModuleKind::BatchNorm2d)
    }

    /// Lays the weights of convolutions out with their channels innermost (`torch.channels_last`),
    /// which convolutions of images laid out alike are faster with in some precisions and on some
    /// devices. Before the first backward pass: an optimizer's state has the layout of its
    /// parameters.
    ///
    /// # Errors
    /// No memory.
    pub fn to_channels_last(&self) -> Result<(), torch_ext::Error> {
        for (_, mut parameter) in self.parameters().into_iter().filter(|(_, tensor)| tensor.dim() == 4) {
            let laid_out = tch::no_grad(|| torch_ext::channels_last(&parameter))?;
            parameter.set_data(&laid_out);
        }
        Ok(())
    }

    /// Names of the parameters of layers that have an output for each class.
    pub fn head(&self) -> impl Iterator<Item = &str> {
        self.state.entries.iter().filter(|entry| entry.is_head).map(|entry| entry.name.as_str())
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

    /// What training changes in the forward pass now: statistics of batch norms that are not frozen,
    /// and their numbers of batches; of a TorchScript module all that may be such (shallow clones).
    pub fn running_statistics(&self) -> Vec<RunningStatistic> {
        let is_script = matches!(self.body, Body::Script(_));
        // A frozen batch norm keeps its statistics; other buffers are constants.
        let changes = |module: &Module<'_>| {
            module.kind() == ModuleKind::BatchNorm2d
                && module.parameters().all(|(_, parameter)| parameter.requires_grad())
        };
        let modules = self.modules().into_iter().filter(|module| is_script || changes(module));
        let buffers = modules.flat_map(Module::own).filter(|entry| entry.role == Role::Buffer);
        let is_statistic =
            |entry: &&Entry| entry.tensor.is_floating_point() || entry.name.ends_with("num_batches_tracked");
        buffers
            .filter(is_statistic)
            .map(|entry| RunningStatistic { tensor: entry.tensor.shallow_clone(), momentum: entry.momentum })
            .collect()
    }

    fn with_role(&self, wanted: impl Fn(Role) -> bool) -> Vec<(String, Tensor)> {
        self.state
            .entries
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
        for entry in &self.state.entries {
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
            self.state.entries.iter().map(|entry| entry.name.as_str()).collect();
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
            for entry in &self.state.entries {
                if let Some(tensor) = given.get(entry.name.as_str()) {
                    entry.tensor.shallow_clone().copy_(tensor);
                }
            }
        });
        Ok(())
    }

    /// Elements of all parameters.
    pub fn num_parameters(&self) -> usize {
        self.state.entries.iter().filter(|e| e.role == Role::Parameter).map(|e| e.tensor.numel()).sum()
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
