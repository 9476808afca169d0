//! `summary.yaml`: what became of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A class of fewer training images is named in a summary.
pub const FEW_IMAGES: usize = 20;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Training, or killed without a chance to say otherwise.
    Running,
    /// All epochs done, the test split evaluated if there is one.
    Completed,
    /// Early stopping has ended it, the test split evaluated if there is one.
    EarlyStopped,
    /// Stopped by a signal; resumable.
    Interrupted,
    /// Ended by an error.
    Failed,
}

impl Status {
    /// Whether there is nothing left to do.
    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::EarlyStopped)
    }
}

/// Seconds of the epochs that were done from their beginning to their end, summed over resumptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSummary {
    /// How many.
    pub epochs: u64,
    /// Training, with what it waited for.
    pub train_seconds: f64,
    /// Of these, waiting for images.
    pub waiting_seconds: f64,
    /// Validation, and the writing of what follows it.
    pub validation_seconds: f64,
}

impl std::ops::Add for TimeSummary {
    type Output = TimeSummary;

    fn add(self, other: TimeSummary) -> TimeSummary {
        TimeSummary {
            epochs: self.epochs + other.epochs,
            train_seconds: self.train_seconds + other.train_seconds,
            waiting_seconds: self.waiting_seconds + other.waiting_seconds,
            validation_seconds: self.validation_seconds + other.validation_seconds,
        }
    }
}

/// What writing checkpoints cost in the process that wrote last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSummary {
    /// How many.
    pub count: u64,
    /// Seconds that training stood still for them, in all.
    pub paused_seconds: f64,
    /// The longest of these pauses.
    pub longest_pause_seconds: f64,
    /// Seconds of writing beside the training.
    pub writing_seconds: f64,
}

/// The average of the last epochs (`training.swa`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwaSummary {
    /// How many epochs are averaged.
    pub n_averaged: u64,
    /// Mean loss on the validation split.
    pub val_loss: f64,
    /// Accuracy there.
    pub val_accuracy: f64,
    /// Share of it whose class is among the five most probable.
    pub val_top5_accuracy: f64,
    /// With several labels an image: mean average precision there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_map: Option<f64>,
    /// Whether `best.pt` is the average rather than the best epoch.
    pub is_best: bool,
}

/// Images in each split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSizes {
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
    /// Test images; 0 without a test split.
    pub test: usize,
}

/// The content of `summary.yaml`. Accuracies are fractions, times local with offset, durations
/// seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Where the run stands.
    pub status: Status,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The checkpoint or run that a new run continued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<String>,
    /// Epochs completed.
    pub epochs: u64,
    /// Optimizer steps done.
    pub steps: u64,
    /// The best epoch, counted from 1: that of `best.pt`, unless that is the average of several.
    pub best_epoch: Option<u64>,
    /// The metric that chose it (`training.checkpoint.monitor`).
    #[serde(default)]
    pub monitor: String,
    /// Its value at that epoch.
    #[serde(default)]
    pub best_figure: Option<f64>,
    /// Validation accuracy of `best.pt`.
    pub best_val_accuracy: Option<f64>,
    /// With several labels an image: its mean average precision there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_val_map: Option<f64>,
    /// The average of the last epochs, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swa: Option<SwaSummary>,
    /// Accuracy of `best.pt` on the test split.
    pub test_accuracy: Option<f64>,
    /// With several labels an image: its mean average precision on the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_map: Option<f64>,
    /// Why the probabilities of `best.pt` are not calibrated, if they could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_calibrated: Option<String>,
    /// Why `best.pt` does not tell images unlike those of training, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_ood_scores: Option<String>,
    /// When the run began.
    pub started: String,
    /// When this file was written.
    pub updated: String,
    /// Seconds of training, summed over resumptions.
    pub seconds: f64,
    /// Seconds from the start of the process to the end of its first optimizer step.
    pub seconds_to_first_step: Option<f64>,
    /// Seconds that evaluating `best.pt` took after the last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_seconds: Option<f64>,
    /// Where the time of its epochs went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeSummary>,
    /// What writing checkpoints cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<CheckpointSummary>,
    /// The command that began the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What it ran on and why.
    pub device: String,
    /// What is known of the machine: its operating system, processor and GPU driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machine: BTreeMap<String, String>,
    /// Elements of all parameters.
    pub parameters: u64,
    /// Of these, the ones that are trained; with `model.freeze` fewer than all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainable_parameters: Option<u64>,
    /// The most memory that the process held at once, in bytes; not that of a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// The network's name.
    pub architecture: String,
    /// The data folder.
    pub data_dir: String,
    /// SHA-256 over classes and samples.
    pub dataset_fingerprint: String,
    /// Images in each split.
    pub dataset: DatasetSizes,
    /// Classes with fewer training images than [`FEW_IMAGES`], and how many those have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub few_images: BTreeMap<String, u64>,
    /// Training images of each class, in the order of the classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_images: Vec<u64>,
    /// What was kept together when the images were split, in words; none if they were split singly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_together: Option<String>,
    /// Version of this program.
    pub version: String,
    /// Version of libtorch.
    pub libtorch: String,
}
