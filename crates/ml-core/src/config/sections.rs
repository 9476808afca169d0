//! The sections of the configuration that belong to no single module.

use std::path::PathBuf;

use ml_data::dataset::{DEFAULT_VAL_FRACTION, Dataset, DatasetError, OpenOptions, Task};
use ml_data::setting::Auto;
use ml_data::transform::{Fit, TransformConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::{DeviceChoice, PrecisionChoice};
use crate::distributed::DistributedConfig;
use crate::features::FeatureCacheConfig;
use crate::loader::{CacheKind, OnError, SamplingConfig};
use crate::loss::{DistillationConfig, JensenShannonConfig};
use crate::optimizer::{AgcConfig, EmaConfig, SamConfig, SwaConfig};
use crate::policy::{
    BatchScheduleConfig, CheckpointConfig, DivergenceConfig, EarlyStoppingConfig, ProgressiveResizingConfig,
    TensorBoardConfig, TimeLimit,
};

/// The keys whose values are paths; the weights may also be a name.
pub(super) const PATHS: [&str; 5] =
    ["data.data_dir", "data.cache_dir", "model.weights", "model.path", "training.distillation.teacher"];

/// Where the images are and how they are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The data folder: `train/<class>/…` and `val/<class>/…`, or `raw/<class>/…` beside `splits/`
    /// made by `ml-split`. `Training`, `valid`, `Testing` and the like count as splits too.
    pub data_dir: PathBuf,
    /// How many labels an image has: `single_label` (one) or `multi_label` (any number, or none),
    /// as the data folder was split.
    pub task: Task,
    /// Which fold of a data folder split with `ml-split --folds K`: 0 to K−1; null without folds.
    pub fold: Option<u32>,
    /// Of a data folder without validation images: the share of each class's training images that
    /// validate, above 0 and below 1. Which ones follows from `seed`.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub val_fraction: f64,
    /// Threads that decode images; `auto` takes one a core, 0 decodes in the training thread. Never
    /// changes results.
    pub num_workers: Auto<usize>,
    /// Where decoded images (after `resize`, if there is one) are kept between epochs: `none`,
    /// `ram`, or `disk`, for later runs too. Never changes results.
    pub cache: CacheKind,
    /// How much the cache may hold, in GB; null takes half of the memory or of the disk space that
    /// is free. Images that do not fit are decoded in every epoch.
    pub cache_max_gb: Option<f64>,
    /// The folder of the disk cache; null takes `.ml-cache` in the data folder.
    pub cache_dir: Option<PathBuf>,
    /// How training images are drawn: `shuffle`, `balanced` (each class equally often) or
    /// `weighted`.
    pub sampling: SamplingConfig,
    /// Leaves out an epoch's last training batch if it is not full.
    pub drop_last: bool,
    /// What happens when an image cannot be read: `fail` ends the run and names the image; `skip`
    /// warns, once for each, and continues without it.
    pub on_error: OnError,
    /// With `on_error: skip`: more unreadable images than this in a split end the run.
    pub max_skipped: usize,
    /// What happens when images with the same content, or of one group, are in two of train, val
    /// and test: `fail`, `warn`, or `ignore`, which does not look for them.
    pub on_leak: Reaction,
    /// What happens when the images are not those that `ml-split` split (other sizes, new ones,
    /// other labels): `fail`, `warn`, or `ignore`. A missing image fails too, unless `on_error` is
    /// `skip`.
    pub on_change: Reaction,
}

/// What is done about something that is wrong with the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    /// The run does not start.
    Fail,
    /// A warning, and the run continues.
    Warn,
    /// It is not checked.
    Ignore,
}

impl Default for DataConfig {
    fn default() -> DataConfig {
        DataConfig {
            data_dir: PathBuf::from("data/flowers"),
            task: Task::SingleLabel,
            fold: None,
            val_fraction: DEFAULT_VAL_FRACTION,
            num_workers: Auto::Auto,
            cache: CacheKind::None,
            cache_max_gb: None,
            cache_dir: None,
            sampling: SamplingConfig::default(),
            drop_last: false,
            on_error: OnError::Fail,
            max_skipped: 100,
            on_leak: Reaction::Fail,
            on_change: Reaction::Warn,
        }
    }
}

impl DataConfig {
    /// What decides which images of the data folder are in which split.
    pub fn open_options(&self, seed: u64) -> OpenOptions {
        let multi_label = self.task == Task::MultiLabel;
        OpenOptions { fold: self.fold, val_fraction: self.val_fraction, seed, multi_label }
    }

    /// Opens the data folder.
    ///
    /// # Errors
    /// It cannot be used, or its images have one label where `task` says several, or several where it
    /// says one.
    pub fn open(&self, seed: u64) -> Result<Dataset, DatasetError> {
        let dataset = Dataset::open(&self.data_dir, &self.open_options(seed))?;
        if self.task == Task::MultiLabel && dataset.task() == Task::SingleLabel {
            return Err(DatasetError::SingleLabel { path: self.data_dir.clone() });
        }
        Ok(dataset)
    }
}

/// How long, how much at once, and on what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Batch size: images a step, at least 1.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Number of epochs, at least 1.
    #[schemars(range(min = 1))]
    pub num_epochs: usize,
    /// Optimizer steps after which the training ends, at least 1, in place of `num_epochs`; the last
    /// epoch may be cut. Null trains whole epochs.
    #[schemars(range(min = 1))]
    pub max_steps: Option<u64>,
    /// Time after which the training ends, in place of `num_epochs`: `90s`, `20m`, `1h30m` or a
    /// number of seconds. Schedules end with it, as estimated from the time that steps take. Null
    /// sets no limit.
    pub max_time: Option<TimeLimit>,
    /// Trains on small images first, whose size grows over the epochs; null trains on those of
    /// `transforms.train` from the start.
    pub progressive_resizing: Option<ProgressiveResizingConfig>,
    /// Other batch sizes from some epochs on; null keeps `batch_size`.
    pub batch_schedule: Option<BatchScheduleConfig>,
    /// `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, or `cuda:N`.
    pub device: DeviceChoice,
    /// Threads that compute on a CPU, at least 1; `auto` takes as many as the process may use
    /// processors.
    pub threads: Auto<usize>,
    /// Precision of the forward and backward pass: `fp32`, `tf32` (CUDA), or mixed with 32-bit
    /// weights: `bf16`, `fp16` (CUDA, with a gradient scaler). `auto` takes what is faster for this
    /// network on this device, as measured once.
    pub precision: PrecisionChoice,
    /// Lays images and weights out with their channels innermost (PyTorch's
    /// `torch.channels_last`); `auto` measures it together with `precision`.
    pub channels_last: Auto<bool>,
    /// Batches whose gradients are added up for one optimizer step, at least 1. The step is that of
    /// one batch with all their images; the last step of an epoch takes the batches that are left.
    #[schemars(range(min = 1))]
    pub gradient_accumulation_steps: usize,
    /// Gradients are scaled so that their norm, taken over all parameters, is at most this; null
    /// leaves them.
    pub max_grad_norm: Option<f64>,
    /// Each element of the gradients is limited to this, up and down; null leaves them. Not
    /// together with `max_grad_norm`.
    pub max_grad_value: Option<f64>,
    /// Adaptive gradient clipping: gradients are scaled so that their norm is at most a share of
    /// that of their weights, unit by unit; null leaves them. Not together with the others.
    pub agc: Option<AgcConfig>,
    /// Sharpness-aware minimisation: each step takes the gradient where the loss nearby is about the
    /// largest, which takes a second forward and backward pass; null does not.
    pub sam: Option<SamConfig>,
    /// The backward pass computes what is within the network's blocks once more, so that it need not
    /// be kept: less memory, more time, the same results.
    pub gradient_checkpointing: bool,
    /// Stops when the monitored metric no longer improves; null trains all epochs.
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// Keeps an average of the weights and validates it beside them; null keeps none.
    pub ema: Option<EmaConfig>,
    /// Averages the weights at the ends of the last epochs, and validates them once at the end; null
    /// does not.
    pub swa: Option<SwaConfig>,
    /// Has the network learn from the outputs of a trained one, its teacher, beside the labels; null
    /// does not.
    pub distillation: Option<DistillationConfig>,
    /// Has the predictions for several views of each image agree, the first clean, the others augmented
    /// by `transforms.train` (AugMix's consistency loss); null shows one view of each.
    pub jensen_shannon: Option<JensenShannonConfig>,
    /// Whether what frozen layers make of images is computed once and kept: `auto` where the result
    /// is the same to the bit, `on`, `off`, or `{views: 8}`: so many augmented views of each
    /// training image, in turn.
    pub feature_cache: FeatureCacheConfig,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
    /// What happens when a loss or a gradient is not finite.
    pub divergence: DivergenceConfig,
    /// How often curves and histograms over the steps are written for TensorBoard.
    pub tensorboard: TensorBoardConfig,
    /// How several processes train together (`torchrun`, `--nproc`).
    pub distributed: DistributedConfig,
}

impl Default for TrainingConfig {
    fn default() -> TrainingConfig {
        TrainingConfig {
            batch_size: 32,
            num_epochs: 25,
            max_steps: None,
            max_time: None,
            progressive_resizing: None,
            batch_schedule: None,
            device: DeviceChoice::Auto,
            threads: Auto::Auto,
            precision: PrecisionChoice::Auto,
            channels_last: Auto::Auto,
            gradient_accumulation_steps: 1,
            max_grad_norm: None,
            max_grad_value: None,
            agc: None,
            sam: None,
            gradient_checkpointing: false,
            early_stopping: None,
            ema: None,
            swa: None,
            distillation: None,
            jensen_shannon: None,
            feature_cache: FeatureCacheConfig::default(),
            checkpoint: CheckpointConfig::default(),
            divergence: DivergenceConfig::default(),
            tensorboard: TensorBoardConfig::default(),
            distributed: DistributedConfig::default(),
        }
    }
}

/// The transforms of each split. One given in a file replaces the default as a whole; a `test` that
/// is not given follows `val`. With weights of torchvision's the defaults are theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformsConfig {
    /// Training images.
    pub train: TransformConfig,
    /// Validation images; also what `ml-inference` does to new images.
    pub val: TransformConfig,
    /// Test images.
    pub test: TransformConfig,
    /// How images of any shape get the network's size, in all splits: `crop` (the shorter side is
    /// resized, the middle cut out), `pad` (the longer side is resized, the rest padded), `squash`
    /// (both sides are resized), or `{mode: pad, fill: 0}`. Sets `resize`, `letterbox` and the crops
    /// of each split, and is null once it has; null leaves them as they are.
    #[serde(deserialize_with = "Fit::read")]
    #[schemars(schema_with = "Fit::schema")]
    pub fit: Option<Fit>,
}

impl Default for TransformsConfig {
    fn default() -> TransformsConfig {
        TransformsConfig {
            train: TransformConfig::default_train(),
            val: TransformConfig::default_eval(),
            test: TransformConfig::default_eval(),
            fit: None,
        }
    }
}
