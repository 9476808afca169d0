//! YAML + sparse overrides → one validated [`Config`]. Opens no files.
//!
//! Layers are merged, later ones winning: the defaults, a preset, a YAML file, the overrides (`--set`,
//! flags). Each value remembers where it came from ([`Resolved::sources`]); everything that is
//! wrong is reported at once, by file and line and YAML path ([`ConfigError`]). What a file of
//! weights implies is asked of the caller ([`resolve`]). The composed structs live beside the code
//! that uses them.

mod check;
mod decided;
mod differences;
mod file;
mod fit;
mod jensen_shannon;
mod layers;
mod lines;
mod merge;
mod model;
mod print;
mod problem;
mod resolve;
mod schema;
mod sections;
mod statistics;
mod suggestions;
mod task;
mod warnings;
mod weights;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use differences::differences;
pub use layers::{Override, ReadOrigin, Resolved, parse_set};
pub use model::{BaseModel, ModelConfig, TorchScriptModel};
pub use print::annotated;
pub use problem::{ConfigError, Problem, Source};
pub use resolve::{resolve, resolve_at, resolve_over};
pub use schema::schema;
pub use sections::{DataConfig, Reaction, TrainingConfig, TransformsConfig};
pub(crate) use suggestions::unknown_name;

use crate::loss::LossConfig;
use crate::optimizer::OptimizerConfig;
use crate::optimizer::schedule::{EpochSteps, SchedulerConfig};
use crate::policy::Monitor;
use ml_data::geometry::Size;
use ml_data::transform::TransformConfig;

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

    /// Optimizer steps of an epoch over `samples` training images, of `processes` together.
    pub fn steps_per_epoch(&self, samples: usize, processes: usize) -> usize {
        let batches = self.num_batches(samples, processes, self.training.batch_size);
        batches.div_ceil(self.training.gradient_accumulation_steps * processes)
    }

    /// Batches of an epoch over `samples` training images in batches of `batch_size`, of `processes`
    /// together.
    pub fn num_batches(&self, samples: usize, processes: usize, batch_size: usize) -> usize {
        let batch_size = batch_size.max(1);
        let batches = if self.data.drop_last { samples / batch_size } else { samples.div_ceil(batch_size) };
        // Then all processes take part with every batch.
        let is_even = processes > 1 && self.training.distributed.sync_batch_norm;
        if is_even { batches - batches % processes } else { batches }
    }

    /// Optimizer steps of each epoch, as [`Config::steps_per_epoch`] counts them.
    pub fn epoch_steps(&self, samples: usize, processes: usize) -> EpochSteps {
        let accumulated = self.training.gradient_accumulation_steps * processes;
        let of = |batch_size| self.num_batches(samples, processes, batch_size).div_ceil(accumulated);
        let parts = self.training.batch_schedule.iter().flat_map(|schedule| &schedule.batch_sizes);
        parts.fold(EpochSteps::constant(of(self.training.batch_size)), |steps, part| {
            steps.then(part.from_epoch, of(part.batch_size))
        })
    }
}

impl TrainingConfig {
    /// The number of epochs; none where a limit takes its place.
    pub fn whole_epochs(&self) -> Option<usize> {
        (self.max_steps.is_none() && self.max_time.is_none()).then_some(self.num_epochs)
    }

    /// The batch size in `epoch`, counted from 0.
    pub fn batch_size_in(&self, epoch: u64) -> usize {
        let schedule = self.batch_schedule.as_ref();
        schedule.map_or(self.batch_size, |schedule| schedule.batch_size(self.batch_size, epoch))
    }

    /// All batch sizes, that of the last epochs at the end.
    pub fn batch_sizes(&self) -> Vec<usize> {
        let parts = self.batch_schedule.iter().flat_map(|schedule| &schedule.batch_sizes);
        let mut epochs: Vec<u64> = std::iter::once(0).chain(parts.map(|part| part.from_epoch)).collect();
        if let Some(num_epochs) = self.whole_epochs() {
            epochs.retain(|&epoch| epoch == 0 || epoch < num_epochs as u64);
        }
        epochs.into_iter().map(|epoch| self.batch_size_in(epoch)).collect()
    }

    /// What the learning rate is multiplied by in `epoch`, counted from 0, for its batch size.
    pub fn lr_factor_in(&self, epoch: u64) -> f64 {
        let schedule = self.batch_schedule.as_ref();
        schedule.map_or(1.0, |schedule| schedule.lr_factor(self.batch_size, epoch))
    }

    /// The size of training images in `epoch`, counted from 0, where `transform` is that of the
    /// training split; none where it is that of `transform` in all epochs.
    pub fn image_size_in(&self, transform: &TransformConfig, epoch: u64) -> Option<Size> {
        let (config, full) = (self.progressive_resizing.as_ref()?, transform.output_size()?);
        Some(config.size(full, epoch, self.num_epochs as u64))
    }

    /// All sizes of training images; none as there.
    pub fn image_sizes(&self, transform: &TransformConfig) -> Vec<Size> {
        let parts = self.progressive_resizing.as_ref().zip(transform.output_size());
        parts.map_or_else(Vec::new, |(config, full)| config.all_sizes(full, self.num_epochs as u64))
    }

    /// The metric by which the best epoch is chosen.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.checkpoint.monitor, self.checkpoint.mode, self.ema.is_some())
    }
}

#[cfg(test)]
mod tests;
