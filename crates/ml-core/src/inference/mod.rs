//! A checkpoint or weights + images → predictions, or the metrics of a whole split.
//!
//! Labels and the evaluation transform come from the checkpoint, so images are seen as validation
//! saw them. Weights alone ([`WeightsSource`]) have neither: these are those of the published
//! weights, or are given.

mod classes;
mod ensemble;
mod explain;
mod from_weights;
mod labels;
mod model;
mod open;
mod precision;
mod predict;
mod soup;
mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::attribution::AttributionError;
use crate::checkpoint::CheckpointError;
use crate::distributed::DistributedError;
use crate::evaluation::EvaluationError;
use crate::loader::LoaderError;
use crate::network::ScriptError;
use crate::run::{RunError, StoredModelError};
use crate::torch_error::TorchError;
use crate::weights::WeightsError;

pub use tch::Device;

pub use classes::{ClassesError, read_classes};
pub use explain::{Explanation, Explanations};
pub use from_weights::WeightsOptions;
pub use model::{LoadedModel, UseEma, checkpoint_file};
pub use predict::{Outcome, PredictOptions};
pub use soup::{Soup, SoupError, SoupOptions, SoupStep, greedy_soup};
pub use source::{ImageOptions, WeightsSource};

/// Why there are no predictions. Messages name the checkpoint or the image.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The other processes are lost, or differ.
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A run folder was given that has no checkpoint yet.
    #[error("{}: no best.pt in this folder; give the checkpoint file, or a run folder with a completed epoch", path.display())]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of several runs cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Runs whose probabilities should be averaged do not go together.
    #[error("{}: {problem}", path.display())]
    Ensemble {
        /// The folder of the runs.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The checkpoint can be read, but its model cannot be used.
    #[error(transparent)]
    Model(#[from] StoredModelError),
    /// What was requested contradicts itself or the weights.
    #[error("{0}")]
    Usage(String),
    /// The weights cannot be had, or are of another network.
    #[error("{source}{fits}")]
    Weights {
        /// Why.
        source: Box<WeightsError>,
        /// The networks that they are of, as a line of its own, or nothing.
        fits: String,
    },
    /// The names of classes cannot be used.
    #[error(transparent)]
    Classes(#[from] ClassesError),
    /// Batches cannot be made at all.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// libtorch cannot do what the network or a batch takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The evaluation failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// A prediction cannot be explained.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
}

impl InferenceError {
    /// Whether what was requested is wrong, rather than that doing it failed.
    pub fn is_usage(&self) -> bool {
        match self {
            InferenceError::NoCheckpoint { .. }
            | InferenceError::Ensemble { .. }
            | InferenceError::Usage(_)
            | InferenceError::Classes(_)
            | InferenceError::Model(StoredModelError::Script(ScriptError::NotFound { .. })) => true,
            InferenceError::Checkpoint(error) => error.is_not_found(),
            InferenceError::Weights { source, .. } => source.is_usage(),
            _ => false,
        }
    }
}

impl From<WeightsError> for InferenceError {
    fn from(source: WeightsError) -> InferenceError {
        InferenceError::Weights { source: Box::new(source), fits: String::new() }
    }
}

/// The run folder that a checkpoint lies in, if it does: the folder beside has the run's
/// `config.yaml`.
pub fn run_folder(checkpoint: &Path) -> Option<&Path> {
    let folder = checkpoint.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.join("config.yaml").is_file().then_some(folder)
}
