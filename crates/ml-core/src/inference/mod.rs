//! A checkpoint + images → predictions, or the metrics of a whole split.
//!
//! Labels and the evaluation transform come from the checkpoint, so images are seen as validation
//! saw them.

mod model;
mod predict;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::evaluation::EvaluationError;
use crate::loader::LoaderError;
use crate::network::{NetworkError, ScriptError};
use crate::torch_error::TorchError;

pub use tch::Device;

pub use model::{LoadedModel, UseEma, checkpoint_file};
pub use predict::{Outcome, PredictOptions};

/// Why there are no predictions. Messages name the checkpoint or the image.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A run folder was given that has no checkpoint yet.
    #[error("{}: no best.pt in this folder; give the checkpoint file, or a run folder with a completed epoch", path.display())]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// The checkpoint can be read, but what it says cannot be used.
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
    /// The run's TorchScript file cannot be found, or fails.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The data folder has other classes than the network was trained on.
    #[error(
        "{}: its classes are not those of the checkpoint: {difference}; give the data that the network was trained for",
        path.display()
    )]
    Classes {
        /// The data folder.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// Batches cannot be made at all.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// libtorch cannot do what the network or a batch takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The evaluation failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
}

impl InferenceError {
    /// Whether what was requested is wrong, rather than that doing it failed.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            InferenceError::NoCheckpoint { .. }
                | InferenceError::Classes { .. }
                | InferenceError::Script(ScriptError::NotFound { .. })
        ) || matches!(self, InferenceError::Checkpoint(error) if error.is_not_found())
    }
}

/// What differs between the classes of a checkpoint and those of a data folder, if anything.
pub fn class_difference(checkpoint: &[String], data: &[String]) -> Option<String> {
    if checkpoint == data {
        return None;
    }
    let only_in = |these: &[String], those: &[String], what: &str| {
        let lacking: Vec<&String> = these.iter().filter(|name| !those.contains(name)).collect();
        let shown: Vec<String> = lacking.iter().take(5).map(|name| format!("`{name}`")).collect();
        let more = if lacking.len() > 5 { format!(" and {} more", lacking.len() - 5) } else { String::new() };
        (!lacking.is_empty()).then(|| format!("only in the {what}: {}{more}", shown.join(", ")))
    };
    let parts: Vec<String> = [only_in(checkpoint, data, "checkpoint"), only_in(data, checkpoint, "data")]
        .into_iter()
        .flatten()
        .collect();
    if parts.is_empty() {
        let place = checkpoint.iter().zip(data).position(|(a, b)| a != b).unwrap_or(0);
        return Some(format!(
            "they stand in another order: class {place} is `{}` in the checkpoint, `{}` in the data",
            checkpoint[place], data[place]
        ));
    }
    Some(parts.join("; "))
}

/// The run folder that a checkpoint lies in, if it does: the folder beside has the run's
/// `config.yaml`.
pub fn run_folder(checkpoint: &Path) -> Option<&Path> {
    let folder = checkpoint.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.join("config.yaml").is_file().then_some(folder)
}
