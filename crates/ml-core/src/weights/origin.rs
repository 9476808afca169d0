//! What weights to start from bring along beside tensors: the images that they are used to.

use std::path::{Path, PathBuf};

use ml_data::transform::TransformConfig;
use serde::Deserialize;
use torch_file::read_without_tensors;

use super::table::Published;
use crate::checkpoint::{CheckpointError, is_checkpoint};

/// How images were made for the network that weights come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The transforms that it was trained with.
    pub train: TransformConfig,
    /// Those that it was validated with.
    pub val: TransformConfig,
    /// Those that it was tested with.
    pub test: TransformConfig,
    /// Whether it changes its input: see [`crate::network::NetworkSpec::transform_input`].
    pub transform_input: bool,
}

/// Why it is not known what a file's weights are used to.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The file cannot be read, or is of a newer version of this program.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The transforms in its configuration are not understood.
    #[error("{}: its `config.transforms` cannot be used: {source}; use another checkpoint", path.display())]
    Transforms {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: serde_json::Error,
    },
}

/// `config.transforms` of a checkpoint.
#[derive(Deserialize)]
struct Transforms {
    train: TransformConfig,
    val: TransformConfig,
    test: TransformConfig,
}

impl Origin {
    /// That of a checkpoint of ours, whose tensors are not read; other files do not tell. A file
    /// that is not there has none either: it is refused where its weights are loaded, and a run
    /// that has them no longer needs it.
    ///
    /// # Errors
    /// The file is damaged, cannot be read, is no file of weights, or is of a newer version of this
    /// program.
    pub fn read(path: &Path) -> Result<Option<Origin>, OriginError> {
        let outline = match read_without_tensors(path) {
            Ok(outline) => outline,
            Err(torch_file::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(CheckpointError::from(error).into()),
        };
        if !is_checkpoint(&outline).map_err(|error| error.in_file(path))? {
            return Ok(None);
        }
        let config = outline.get("config").and_then(|config| config.value().to_plain_json());
        let config = config.map_err(|error| CheckpointError::from(error).in_file(path))?;
        let Some(transforms) = config.get("transforms") else { return Ok(None) };
        let Transforms { train, val, test } = Transforms::deserialize(transforms)
            .map_err(|source| OriginError::Transforms { path: path.to_owned(), source })?;
        // A run writes it down; what `auto` was would be told by yet another file.
        let transform_input = config.pointer("/model/transform_input") == Some(&true.into());
        Ok(Some(Origin { train, val, test, transform_input }))
    }

    /// That of weights that torchvision publishes.
    pub fn of_published(published: &Published) -> Origin {
        Origin {
            train: published.train_transform(),
            val: published.eval_transform(),
            test: published.eval_transform(),
            // Of the networks that can, torchvision builds those with published weights so.
            transform_input: true,
        }
    }
}
