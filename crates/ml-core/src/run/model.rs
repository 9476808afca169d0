//! A checkpoint → the network that it is, and what its images go through.

use std::path::{Path, PathBuf};

use ml_data::transform::{Pipeline, TransformConfig};
use tch::Device;

use super::script_copies;
use crate::checkpoint::{Checkpoint, not_finite};
use crate::config::ModelConfig;
use crate::network::{Architecture, Network, NetworkError, NetworkSpec, ScriptError, ScriptFile};
use crate::torch_error::{TorchError, catch_torch_panic};

/// The model of a checkpoint.
#[derive(Debug)]
pub struct StoredModel {
    /// The architecture's name, or the TorchScript file's.
    pub name: String,
    /// With the checkpoint's weights.
    pub network: Network,
    /// The evaluation transform, whose images have one size.
    pub pipeline: Pipeline,
}

/// A checkpoint can be read, but its model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoredModelError {
    /// What it says cannot be used.
    #[error("{}: `{key}` {problem}", path.display())]
    Content {
        /// The checkpoint.
        path: PathBuf,
        /// Where in it.
        key: &'static str,
        /// What is wrong there.
        problem: String,
    },
    /// The weights do not suit the architecture.
    #[error("{}: {source}", path.display())]
    Network {
        /// The checkpoint.
        path: PathBuf,
        /// Which of them.
        source: NetworkError,
    },
    /// Its TorchScript file cannot be found, or fails.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// libtorch cannot do what the network takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl StoredModel {
    /// That of `checkpoint`, which was read from the file `path`; with the EMA weights if `averaged`.
    ///
    /// # Errors
    /// Its parts do not suit each other, or its weights contain NaN or Inf.
    pub fn of(
        checkpoint: &Checkpoint,
        path: &Path,
        averaged: bool,
        device: Device,
    ) -> Result<StoredModel, StoredModelError> {
        let content = |key: &'static str, problem: String| StoredModelError::Content {
            path: path.to_owned(),
            key,
            problem,
        };
        if let Some(name) = not_finite(checkpoint.weights(averaged)) {
            return Err(content("model_state_dict", format!("contains NaN or Inf, in `{name}`")));
        }
        if checkpoint.classes.is_empty() {
            return Err(content("classes", "is empty".into()));
        }
        let transform: TransformConfig = serde_json::from_value(checkpoint.eval_transform.clone())
            .map_err(|error| content("eval_transform", format!("cannot be used: {error}")))?;
        if let Some((key, problem)) = transform.problems().into_iter().next() {
            return Err(content("eval_transform", format!("cannot be used: {key} {problem}")));
        }
        let pipeline = Pipeline::new(&transform)
            .map_err(|error| content("eval_transform", format!("cannot be used: {error}")))?;
        let Some((height, width)) = pipeline.output_size() else {
            return Err(content("eval_transform", "leaves images at different sizes".into()));
        };
        let shape = [pipeline.channels() as i64, i64::from(height), i64::from(width)];
        let (name, network) = catch_torch_panic(|| -> Result<_, StoredModelError> {
            let (name, network) = network(checkpoint, path, shape, device)?;
            network
                .load_state_dict(checkpoint.weights(averaged))
                .map_err(|source| StoredModelError::Network { path: path.to_owned(), source })?;
            Ok((name, network))
        })??;
        Ok(StoredModel { name, network, pipeline })
    }
}

/// The network of `checkpoint` and its name, with any weights, for images of this shape `[C, H,
/// W]`.
fn network(
    checkpoint: &Checkpoint,
    path: &Path,
    shape: [i64; 3],
    device: Device,
) -> Result<(String, Network), StoredModelError> {
    let content = |key: &'static str, problem: String| StoredModelError::Content {
        path: path.to_owned(),
        key,
        problem,
    };
    let [in_channels, height, width] = shape;
    let num_classes = checkpoint.classes.len() as i64;
    let unusable = |key| move |error| content(key, format!("cannot be used: {error}"));
    if checkpoint.config.pointer("/model/type").is_some_and(|kind| kind == "torchscript") {
        let model = ModelConfig::of_checkpoint(&checkpoint.config).map_err(unusable("config.model"))?;
        let name = model.name().into_owned();
        let Some(model) = model.script() else { return Err(content("config.model", "is another".into())) };
        let mut places = script_copies(path);
        places.push(model.path.clone());
        let file = ScriptFile::find(&places, model.sha256.as_deref())?;
        let network = Network::from_script(&file, num_classes, device)?;
        network.dry_run(shape, false)?;
        return Ok((name, network));
    }
    let architecture = checkpoint.config.pointer("/model/architecture").cloned().unwrap_or_default();
    let architecture: Architecture =
        serde_json::from_value(architecture).map_err(unusable("config.model.architecture"))?;
    if let Some(problem) = architecture.size_problem((height as u32, width as u32)) {
        return Err(content("eval_transform", format!("gives {height} x {width} pixels; {problem}")));
    }
    let spec = NetworkSpec {
        in_channels,
        image_size: Some((height, width)),
        transform_input: checkpoint.config.pointer("/model/transform_input") == Some(&true.into()),
        ..NetworkSpec::from(num_classes)
    };
    Ok((architecture.name().to_owned(), Network::uninitialised(architecture, spec, device)))
}
