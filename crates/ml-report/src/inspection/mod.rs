//! A configuration → what its network is made of, what an image costs, and how much memory a
//! training step takes.
//!
//! One image goes through, and libtorch reports which operators ran and on which tensors. So it is
//! the same for every network, TorchScript modules too.

mod cost;
mod layers;
mod list;
mod memory;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;
use tch::{Device, Kind, Tensor};

pub use layers::LayerRow;
pub use list::{Listed, Table, architectures};
pub use memory::StepMemory;

use ml_core::config::{Config, ModelConfig};
use ml_core::loss::LossError;
use ml_core::network::{ForwardError, FreezeError, Network, ScriptError, ScriptFile};
use ml_core::optimizer::{GroupError, OptimizerError};
use ml_core::torch_error::{TorchError, catch_torch_panic};

/// What a configuration's network is made of and costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The network's name.
    pub network: String,
    /// The image's shape `[C, H, W]`.
    #[serde(rename = "picture")]
    pub image: [i64; 3],
    /// Logits an image.
    pub num_classes: i64,
    /// In the order in which they run, in evaluation mode.
    pub layers: Vec<LayerRow>,
    /// Elements of parameters that need gradients.
    pub trainable_parameters: u64,
    /// Elements of the other parameters.
    pub frozen_parameters: u64,
    /// Elements of parameters that are of no use in evaluation, as those of auxiliary heads;
    /// counted above too.
    pub unused_parameters: u64,
    /// Elements of buffers.
    pub buffers: u64,
    /// Multiplications with an addition, in convolutions and products of matrices, for one image
    /// forward.
    pub multiply_adds: u64,
    /// Of a training step.
    pub memory: StepMemory,
}

/// Why a configuration cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// The transforms leave images at their own sizes.
    #[error(
        "transforms.train leaves images at their own sizes, and what a network costs depends on the size; give one, as \
         in --set transforms.train.resize=[224,224]"
    )]
    NoSize,
    /// The loss has weights for other classes.
    #[error("{key}: has {given} numbers for {expected} classes")]
    ClassWeights {
        /// In the configuration.
        key: &'static str,
        /// Configured.
        given: usize,
        /// Of the network.
        expected: i64,
    },
    /// The TorchScript file cannot be used.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The forward pass failed.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The loss does not take these targets.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Nothing can be frozen as requested.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// A pattern of `optimizer.param_groups` matches nothing.
    #[error(transparent)]
    Groups(#[from] GroupError),
    /// What runs cannot be recorded.
    #[error(transparent)]
    Record(#[from] torch_ext::Error),
    /// An error of libtorch in a small step.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// An error of the optimizer.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
}

impl InspectionError {
    /// Whether the request is wrong, rather than that it failed.
    pub fn is_usage(&self) -> bool {
        match self {
            InspectionError::NoSize
            | InspectionError::ClassWeights { .. }
            | InspectionError::Freeze(_)
            | InspectionError::Groups(_) => true,
            InspectionError::Script(error) => error.is_usage(),
            InspectionError::Record(_)
            | InspectionError::Forward(_)
            | InspectionError::Loss(_)
            | InspectionError::Torch(_)
            | InspectionError::Optimizer(_) => false,
        }
    }
}

/// Inspects the network of `config`, on the CPU. Without `num_classes`, a TorchScript file's own
/// number of classes counts, and other networks have 1000.
///
/// # Errors
/// The configuration does not say of which size images are, or a TorchScript file cannot be used.
pub fn inspect(config: &Config, num_classes: Option<usize>) -> Result<Inspection, InspectionError> {
    catch_torch_panic(|| inspect_or_panic(config, num_classes))?
}

fn inspect_or_panic(config: &Config, num_classes: Option<usize>) -> Result<Inspection, InspectionError> {
    let size = config.transforms.train.output_size().ok_or(InspectionError::NoSize)?;
    let channels = config.transforms.train.channels.count() as i64;
    let image = [channels, i64::from(size.height), i64::from(size.width)];
    let network = network(config, num_classes, image)?;
    let (layers, logits) = layers::of(&network, &images(1, image))?;
    let num_classes = logits.size()[1];
    if let Some((key, given)) =
        config.loss.num_class_weights().filter(|&(_, given)| given as i64 != num_classes)
    {
        return Err(InspectionError::ClassWeights { key, given, expected: num_classes });
    }
    let elements = |tensors: Vec<(String, Tensor)>, wanted: &dyn Fn(&Tensor) -> bool| {
        tensors.iter().filter(|(_, tensor)| wanted(tensor)).map(|(_, tensor)| tensor.numel() as u64).sum()
    };
    let trainable_parameters = elements(network.parameters(), &|tensor| tensor.requires_grad());
    let frozen_parameters = elements(network.parameters(), &|tensor| !tensor.requires_grad());
    let used: u64 = layers.iter().map(|row| row.parameters).sum();
    Ok(Inspection {
        network: config.model.name().into_owned(),
        image,
        num_classes,
        multiply_adds: layers.iter().map(|row| row.multiply_adds).sum(),
        layers,
        trainable_parameters,
        frozen_parameters,
        unused_parameters: trainable_parameters + frozen_parameters - used,
        buffers: elements(network.buffers(), &|_| true),
        memory: memory::of_step(config, &network, num_classes, image)?,
    })
}

fn network(config: &Config, num_classes: Option<usize>, image: [i64; 3]) -> Result<Network, InspectionError> {
    let num_classes = num_classes.map(|count| count as i64);
    match &config.model {
        ModelConfig::Base(base) => {
            let spec = base.spec(&config.transforms.train, num_classes.unwrap_or(1000) as usize);
            let network = Network::new(base.architecture, spec, config.seed as i64, Device::Cpu);
            network.freeze(&base.freeze)?;
            Ok(network)
        }
        ModelConfig::TorchScript(model) => {
            let file = ScriptFile::find(std::slice::from_ref(&model.path), model.sha256.as_deref())?;
            let network = Network::from_script(&file, num_classes, Device::Cpu)?;
            network.dry_run(image, true)?;
            Ok(network)
        }
    }
}

/// `[count, C, H, W]`: numbers without meaning.
fn images(count: i64, [channels, height, width]: [i64; 3]) -> Tensor {
    let all = count * channels * height * width;
    Tensor::linspace(-1.0, 1.0, all, (Kind::Float, Device::Cpu)).view([count, channels, height, width])
}
