//! What weights to start from bring along: the images that they are used to.

use serde::Deserialize;

use super::{BaseModel, ModelConfig, TransformsConfig};
use crate::weights::{Choice, Published};
use torch_file::read_without_tensors;

/// How images were made for the network that weights come from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The transforms that it was trained and evaluated with.
    pub transforms: TransformsConfig,
    /// Whether it changes its input: see [`crate::network::NetworkSpec::transform_input`].
    transform_input: bool,
}

impl Origin {
    /// That of weights of torchvision's, or in a checkpoint of ours; other files do not tell. What
    /// is wrong with a file is told where its weights are loaded.
    pub fn of(choice: &Choice) -> Option<Origin> {
        match choice {
            Choice::Published(published) => Some(Origin::of_published(published)),
            Choice::File(path) => {
                let config =
                    read_without_tensors(path).ok()?.get("config").ok()?.value().to_plain_json().ok()?;
                let transforms = TransformsConfig::deserialize(config.get("transforms")?).ok()?;
                // A run writes it down; what `auto` was would be told by yet another file.
                let transform_input = config.pointer("/model/transform_input") == Some(&true.into());
                Some(Origin { transforms, transform_input })
            }
        }
    }

    fn of_published(published: &Published) -> Origin {
        Origin {
            transforms: TransformsConfig {
                train: published.train_transform(),
                val: published.eval_transform(),
                test: published.eval_transform(),
            },
            // Of the networks that can, torchvision builds those with published weights so.
            transform_input: true,
        }
    }
}

impl BaseModel {
    /// The weights to start from and their origin, where it is known.
    pub(super) fn origin(&self) -> Option<(Choice, Origin)> {
        let choice = self.choice().ok().flatten()?;
        let origin = Origin::of(&choice)?;
        Some((choice, origin))
    }

    /// Whether the network changes its input: see [`crate::network::NetworkSpec::transform_input`].
    pub fn transforms_input(&self) -> bool {
        self.architecture.has_input_transform()
            && self
                .transform_input
                .unwrap_or_else(|| self.origin().is_some_and(|(_, origin)| origin.transform_input))
    }
}

impl ModelConfig {
    /// Writes down what `model.weights` decides: which weights `DEFAULT` is, so that it means the
    /// same in every later version, and what the network does with its input.
    pub(super) fn settle_weights(&mut self) {
        let ModelConfig::Base(base) = self else { return };
        if base.architecture.has_input_transform() {
            base.transform_input = Some(base.transforms_input());
        }
        if let Ok(Some(Choice::Published(published))) = base.choice() {
            base.weights = Some(published.member.to_owned());
        }
    }
}
