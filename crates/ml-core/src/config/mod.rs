//! YAML + sparse overrides → one validated [`Config`].
//!
//! Three layers are merged, later ones winning: the defaults, a YAML file, the overrides (`--set`,
//! flags). Each value remembers where it came from ([`Resolved::sources`]); everything that is
//! wrong is reported at once, by YAML path ([`ConfigError`]). The composed structs live beside the
//! code that uses them.

mod layers;
mod model;
mod print;
mod schema;
mod sections;
mod statistics;
mod weights;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Device;

pub use layers::{ConfigError, Override, Problem, Resolved, Source, differences, parse_set, resolve};
pub use model::{BaseModel, ModelConfig, TorchScriptModel};
pub use print::annotated;
pub use schema::schema;
pub use sections::{DataConfig, Precision, Reaction, TrainingConfig, TransformsConfig};

use crate::loader::{Budget, CacheError, CacheKind, LoaderOptions, OnError, Order, Unreadable};
use crate::loss::LossConfig;
use crate::optimizer::schedule::SchedulerConfig;
use crate::optimizer::{EmaConfig, OptimizerConfig};
use crate::policy::{EarlyStoppingConfig, Monitor};
use ml_data::dataset::CACHE_FOLDER;
use ml_data::setting::Auto;
use ml_data::transform::{Size, TransformConfig};

/// Everything that determines a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where all randomness comes from: the same seed gives the same run.
    pub seed: u64,
    /// Use only deterministic algorithms (on CUDA this costs speed; the CPU is deterministic
    /// anyway).
    pub deterministic: bool,
    /// Where the images are and how they are read.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How the weights are updated.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes.
    pub scheduler: SchedulerConfig,
    /// How long, how much at once, and on what.
    pub training: TrainingConfig,
    /// What is done to the images.
    pub transforms: TransformsConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            seed: 42,
            deterministic: false,
            data: DataConfig::default(),
            model: ModelConfig::default(),
            loss: LossConfig::default(),
            optimizer: OptimizerConfig::default(),
            scheduler: SchedulerConfig::default(),
            training: TrainingConfig::default(),
            transforms: TransformsConfig::default(),
        }
    }
}

/// The defaults as a commented file, `configs/default.yaml`.
pub const DEFAULT_YAML: &str = include_str!("../../../../configs/default.yaml");

impl Config {
    /// Threads that decode images; `auto` is one a core.
    pub fn num_workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.data.num_workers.unwrap_or_else(cores)
    }

    /// How images are loaded for evaluation on `device`.
    pub fn evaluation_options(&self, device: Device) -> LoaderOptions {
        let limit = self.data.max_skipped;
        LoaderOptions {
            seed: self.seed,
            unreadable: match self.data.on_error {
                OnError::Fail => Unreadable::Fail,
                OnError::Skip => Unreadable::LeaveOut { limit },
            },
            ..LoaderOptions::sequential(self.training.batch_size, self.num_workers(), device)
        }
    }

    /// How images of `num_classes` classes are loaded for training on `device`.
    pub fn training_options(&self, device: Device, num_classes: usize) -> LoaderOptions {
        let limit = self.data.max_skipped;
        LoaderOptions {
            order: Order::Drawn { sampling: self.data.sampling.clone(), seed: self.seed },
            drop_last: self.data.drop_last,
            unreadable: match self.data.on_error {
                OnError::Fail => Unreadable::Fail,
                OnError::Skip => Unreadable::Replace { limit },
            },
            num_classes,
            ..self.evaluation_options(device)
        }
    }

    /// What is out of range or contradictory, as (YAML path, message).
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut section = |name: &str, problems: Vec<(String, String)>| {
            found.extend(problems.into_iter().map(|(key, message)| (format!("{name}.{key}"), message)));
        };
        section("loss", self.loss.problems());
        section("optimizer", self.optimizer.problems());
        section("scheduler", self.scheduler.problems());
        section("transforms.train", self.transforms.train.problems());
        section("transforms.val", self.transforms.val.problems());
        section("transforms.test", self.transforms.test.problems());
        section("transforms", self.transforms.problems());
        section("training", self.training.problems());
        section("model", self.model.problems());
        section("model", self.model.channel_problems(self.transforms.train.channels.count()));
        section("data", self.data.problems());
        found.extend(too_large(&serde_json::to_value(self).unwrap_or_default(), ""));
        if found.is_empty() {
            found.extend(self.size_problems());
        }
        found
    }

    /// Images of sizes that the network does not take; what a TorchScript module needs shows when
    /// it runs.
    fn size_problems(&self) -> Vec<(String, String)> {
        let Some(architecture) = self.model.base().map(|base| base.architecture) else { return Vec::new() };
        let train = self.transforms.train.output_size();
        let differs = |size: Size| {
            let train = train.filter(|&train| train != size && architecture.has_fixed_size())?;
            let (name, Size { height, width }) = (architecture.name(), train);
            Some(format!("{name} takes one size, and transforms.train gives {height}x{width}"))
        };
        let splits = [
            ("train", &self.transforms.train),
            ("val", &self.transforms.val),
            ("test", &self.transforms.test),
        ];
        splits
            .into_iter()
            .filter_map(|(split, transform)| {
                let size @ Size { height, width } = transform.output_size()?;
                let problem = architecture.size_problem((height, width)).or_else(|| differs(size))?;
                Some((
                    format!("transforms.{split}"),
                    format!("gives images of {height}x{width} (height x width); {problem}"),
                ))
            })
            .collect()
    }

    /// What looks like an oversight but may be meant; one line each.
    pub fn warnings(&self) -> Vec<String> {
        let size =
            |transform: &TransformConfig| transform.output_size().map(|size| (size.height, size.width));
        let (train, val, test) =
            (size(&self.transforms.train), size(&self.transforms.val), size(&self.transforms.test));
        let mut warnings = Vec::new();
        if train != val {
            warnings.push(format!(
                "transforms: training images are {}, validation images {}; give transforms.val if this is not meant",
                size_text(train),
                size_text(val)
            ));
        }
        if val != test {
            warnings.push(format!(
                "transforms: validation images are {}, test images {}; give transforms.test if this is not meant",
                size_text(val),
                size_text(test)
            ));
        }
        let TransformsConfig { train, val, test } = &self.transforms;
        for (split, transform) in [("val", val), ("test", test)] {
            if transform.normalize != train.normalize {
                warnings.push(format!(
                    "transforms: transforms.{split}.normalize is not that of the training images; give both alike if this is not meant"
                ));
            }
        }
        if let Some((choice, origin)) = self.model.base().and_then(BaseModel::origin) {
            let theirs = &origin.transforms.train;
            if train.channels == theirs.channels && train.normalize != theirs.normalize {
                warnings.push(format!(
                    "transforms: transforms.train.normalize is not what the weights {} were trained with; leave `transforms` out, or give {}",
                    choice,
                    serde_json::to_string(&theirs.normalize).unwrap_or_default()
                ));
            }
        }
        warnings
    }
}

/// Whole numbers that a checkpoint cannot hold: Python's files have signed ones.
fn too_large(tree: &serde_json::Value, path: &str) -> Vec<(String, String)> {
    match tree {
        serde_json::Value::Number(number)
            if number.as_u64().is_some_and(|number| i64::try_from(number).is_err()) =>
        {
            vec![(path.to_owned(), format!("must be at most {}, got {number}", i64::MAX))]
        }
        serde_json::Value::Object(entries) => entries
            .iter()
            .flat_map(|(key, value)| {
                too_large(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") })
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn size_text(size: Option<(u32, u32)>) -> String {
    size.map_or_else(|| "of varying size".to_owned(), |(height, width)| format!("{height}x{width}"))
}

impl TrainingConfig {
    /// The figure that tells which epoch is the best.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.checkpoint.monitor, self.checkpoint.mode, self.ema.is_some())
    }

    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (key, value) in [
            ("batch_size", self.batch_size),
            ("num_epochs", self.num_epochs),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
        ] {
            if value == 0 {
                found.push((key.to_owned(), "must be at least 1, got 0".to_owned()));
            }
        }
        if let Some(norm) = self.max_grad_norm.filter(|norm| !(norm.is_finite() && *norm > 0.0)) {
            found.push(("max_grad_norm".to_owned(), format!("must be null or positive, got {norm}")));
        }
        if self.checkpoint.monitor.is_of_ema() && self.ema.is_none() {
            found.push((
                "checkpoint.monitor".to_owned(),
                format!("{} needs averaged weights; set training.ema", self.checkpoint.monitor.name()),
            ));
        }
        let mut section = |name: &str, problems: Vec<(String, String)>| {
            found.extend(problems.into_iter().map(|(key, message)| (format!("{name}.{key}"), message)));
        };
        section("checkpoint", self.checkpoint.problems());
        section("divergence", self.divergence.problems());
        section("ema", self.ema.as_ref().map_or_else(Vec::new, EmaConfig::problems));
        section(
            "early_stopping",
            self.early_stopping.as_ref().map_or_else(Vec::new, EarlyStoppingConfig::problems),
        );
        found
    }
}

/// More threads than that are a slip of the fingers.
const MAX_WORKERS: usize = 1024;

impl DataConfig {
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if let Auto::Value(given) = self.num_workers
            && given > MAX_WORKERS
        {
            let message = format!("must be `auto` or at most {MAX_WORKERS}, got {given}");
            found.push(("num_workers".to_owned(), message));
        }
        if let Some(given) = self.cache_max_gb.filter(|given| !(given.is_finite() && *given >= 0.0)) {
            found.push(("cache_max_gb".to_owned(), format!("must be null or from 0 up, got {given}")));
        }
        let sampling = self.sampling.problems().into_iter();
        found.extend(sampling.map(|(key, message)| (format!("sampling.{key}"), message)));
        found
    }
}

impl DataConfig {
    /// The folder of the disk cache of the data folder `root`.
    pub fn cache_dir(&self, root: &Path) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| root.join(CACHE_FOLDER))
    }

    /// How much the caches of all splits may hold together; none without a cache.
    ///
    /// # Errors
    /// The cache's folder cannot be made.
    pub fn cache_budget(&self, root: &Path) -> Result<Option<Budget>, CacheError> {
        let given = self.cache_max_gb.map(|gb| Budget::new((gb * 1e9) as u64));
        Ok(match (self.cache, given) {
            (CacheKind::None, _) => None,
            (_, Some(given)) => Some(given),
            (CacheKind::Ram, None) => Some(Budget::half_of_memory()),
            (CacheKind::Disk, None) => Some(Budget::half_of_disk(&self.cache_dir(root))?),
        })
    }
}

impl TransformsConfig {
    /// What the transforms of the splits must have in common.
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (split, transform) in [("val", &self.val), ("test", &self.test)] {
            for (key, given) in [("mixup", transform.mixup), ("cutmix", transform.cutmix)] {
                if given.is_some() {
                    let message = format!("is for training only; write transforms.train.{key}");
                    found.push((format!("{split}.{key}"), message));
                }
            }
            let (own, train) = (transform.channels.count(), self.train.channels.count());
            if own != train {
                let message = format!("must be that of transforms.train, {train}, got {own}");
                found.push((format!("{split}.channels"), message));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
