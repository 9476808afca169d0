//! `model`: which network is trained.

use std::borrow::Cow;
use std::path::PathBuf;

use ml_data::setting::Auto;
use ml_data::transform::TransformConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, Resolved, Source};
use crate::network::{Architecture, Freeze, NetworkSpec, ScriptFile};
use crate::weights::{Choice, UnknownWeights};

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ModelConfig {
    /// A network of this library, by name.
    Base(BaseModel),
    /// A network made in Python, as a TorchScript file.
    #[serde(rename = "torchscript")]
    TorchScript(TorchScriptModel),
}

/// A network of this library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseModel {
    /// The network's name, as torchvision has it.
    pub architecture: Architecture,
    /// Weights to start from: a name of torchvision's (`DEFAULT`, `IMAGENET1K_V2`,
    /// `ResNet50_Weights.IMAGENET1K_V2`), which are fetched, or a file (`.pt`, `.pth`,
    /// `.safetensors`): ours, or one of Python's, where `FILE:key` names one of several weights;
    /// null starts from random weights.
    pub weights: Option<String>,
    /// Number of classes; `auto` takes the data set's.
    pub num_classes: Auto<usize>,
    /// Channels of an image, 1 to 64; `auto` takes those of the transforms.
    pub in_channels: Auto<usize>,
    /// Whether images normalised with ImageNet's numbers are changed to those of mean 0.5 and
    /// deviation 0.5 in front of `googlenet` or `inception_v3`; null does what the weights to start
    /// from want: torchvision's want it.
    pub transform_input: Option<bool>,
    /// Which layers keep the weights they begin with: `none`; `backbone`, all but the head;
    /// `until:<name>`, all in front of the layer of this name. Frozen batch norms keep their
    /// statistics.
    pub freeze: Freeze,
    /// Epochs after which the frozen layers are trained too; null never.
    pub unfreeze_epoch: Option<u64>,
    /// Probability of dropout, at least 0 and below 1; null is the network's own.
    pub dropout: Option<f64>,
    /// Probability, at least 0 and below 1, with which the last residual branch is left out for an
    /// image in training, and earlier ones more rarely (stochastic depth); null is the network's
    /// own.
    pub drop_path: Option<f64>,
}

/// A network made in Python. Its weights are those in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TorchScriptModel {
    /// The file that `torch.jit.script(net).save(path)` wrote. It is a program: use only one that
    /// you trust.
    pub path: PathBuf,
    /// SHA-256 that the file must have, in hexadecimal digits; null takes any file, and a run
    /// writes its own down.
    pub sha256: Option<String>,
    /// Number of classes, of which the network must give logits; `auto` takes the data set's.
    pub num_classes: Auto<usize>,
}

impl Default for BaseModel {
    fn default() -> BaseModel {
        BaseModel {
            architecture: Architecture::Resnet18,
            weights: None,
            num_classes: Auto::Auto,
            in_channels: Auto::Auto,
            transform_input: None,
            freeze: Freeze::None,
            unfreeze_epoch: None,
            dropout: None,
            drop_path: None,
        }
    }
}

impl BaseModel {
    /// What goes into the network and comes out of it; `train` makes the training images.
    pub fn spec(&self, train: &TransformConfig, num_classes: usize) -> NetworkSpec {
        NetworkSpec {
            in_channels: train.channels.count() as i64,
            image_size: train.output_size().map(|size| (size.height.into(), size.width.into())),
            transform_input: self.transforms_input(),
            dropout: self.dropout,
            drop_path: self.drop_path,
            ..NetworkSpec::from(num_classes as i64)
        }
    }

    /// What `weights` names.
    ///
    /// # Errors
    /// A name that is not known for this network, and no path.
    pub fn choice(&self) -> Result<Option<Choice>, UnknownWeights> {
        let given = self.weights.as_deref();
        given.map(|given| Choice::read(given, self.architecture.name())).transpose()
    }

    /// What is frozen in the epoch after so many are done.
    pub fn freeze_after(&self, epochs: u64) -> &Freeze {
        let is_over = self.unfreeze_epoch.is_some_and(|unfreeze_epoch| epochs >= unfreeze_epoch);
        if is_over { &Freeze::None } else { &self.freeze }
    }
}

impl Default for TorchScriptModel {
    fn default() -> TorchScriptModel {
        TorchScriptModel { path: PathBuf::new(), sha256: None, num_classes: Auto::Auto }
    }
}

impl Default for ModelConfig {
    fn default() -> ModelConfig {
        ModelConfig::Base(BaseModel::default())
    }
}

impl ModelConfig {
    /// The description of a network of this library, if it is one.
    pub fn base(&self) -> Option<&BaseModel> {
        match self {
            ModelConfig::Base(base) => Some(base),
            ModelConfig::TorchScript(_) => None,
        }
    }

    /// The description of a TorchScript file, if it is one.
    pub fn script(&self) -> Option<&TorchScriptModel> {
        match self {
            ModelConfig::Base(_) => None,
            ModelConfig::TorchScript(script) => Some(script),
        }
    }

    /// Number of classes; `auto` takes the data set's.
    pub fn num_classes(&self) -> Auto<usize> {
        match self {
            ModelConfig::Base(base) => base.num_classes,
            ModelConfig::TorchScript(script) => script.num_classes,
        }
    }

    /// For people: the architecture's name, or the file's.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            ModelConfig::Base(base) => base.architecture.name().into(),
            ModelConfig::TorchScript(script) => {
                let file = script.path.file_name().unwrap_or_default().to_string_lossy();
                format!("{file} (TorchScript)").into()
            }
        }
    }

    /// What distinguishes it from other networks: the architecture's name, or the content of the
    /// file.
    pub fn identity(&self) -> Cow<'static, str> {
        match self {
            ModelConfig::Base(base) => base.architecture.name().into(),
            ModelConfig::TorchScript(script) => match &script.sha256 {
                Some(hash) => format!("the TorchScript file with SHA-256 {hash}").into(),
                None => "a TorchScript file".into(),
            },
        }
    }

    /// What a checkpoint's configuration says of its network.
    ///
    /// # Errors
    /// It says nothing that is understood.
    pub fn of_checkpoint(config: &serde_json::Value) -> Result<ModelConfig, serde_json::Error> {
        let mut model = config.get("model").cloned().unwrap_or_default();
        if let Some(keys) = model.as_object_mut()
            && !keys.contains_key("type")
        {
            keys.insert("type".to_owned(), "base".into());
        }
        serde_json::from_value(model)
    }
}

impl Config {
    /// This configuration with the content of its TorchScript file written down.
    #[must_use]
    pub fn with_script(&self, file: &ScriptFile) -> Config {
        let mut resolved = self.clone();
        if let ModelConfig::TorchScript(script) = &mut resolved.model {
            script.sha256 = Some(file.sha256().to_owned());
        }
        resolved
    }
}

impl Resolved {
    /// Where this leaves open which content its TorchScript file has, and `run`, which is resumed,
    /// has written it down: takes that.
    pub(super) fn keep_script(&mut self, run: &Config) {
        if let (ModelConfig::TorchScript(own), ModelConfig::TorchScript(run)) =
            (&mut self.config.model, &run.model)
            && own.sha256.is_none()
            && run.sha256.is_some()
        {
            own.sha256.clone_from(&run.sha256);
            self.sources.insert("model.sha256".to_owned(), Source::Run);
        }
    }
}
