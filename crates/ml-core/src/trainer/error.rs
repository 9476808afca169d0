//! Why training ended.

use crate::checkpoint::CheckpointError;
use crate::distributed::DistributedError;
use crate::evaluation::EvaluationError;
use crate::features::FeatureError;
use crate::loader::{CacheError, LoaderError};
use crate::loss::LossError;
use crate::network::{ForwardError, FreezeError, NetworkError, ScriptError};
use crate::optimizer::{GroupError, OptimizerError};
use crate::policy::TimeLimit;
use crate::run::RunError;
use crate::torch_error::TorchError;
use crate::trainer::ReportError;
use crate::weights::WeightsError;
use ml_data::dataset::shell_quoted;
use ml_data::text::listed;
use ml_data::transform::UnresolvedStatistics;
use ml_data::transform::statistics::StatisticsError;
use torch_file::ValueError;

/// Names that a message lists.
const LISTED: usize = 8;

/// Why training ended.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// An image cannot be read.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The statistics that `normalize: auto` stands for are not known.
    #[error("transforms: {0}")]
    Statistics(#[from] UnresolvedStatistics),
    /// They cannot be computed from the training images.
    #[error("normalize: auto: {0}")]
    Images(#[from] StatisticsError),
    /// More training images cannot be read than `data.on_error: skip` allows.
    #[error(
        "normalize: auto: {count} training images cannot be read, and data.max_skipped is {limit}; `ml-split check {}` \
         names them", shell_quoted(.root)
    )]
    TooManyUnreadable {
        /// Images.
        count: usize,
        /// Configured.
        limit: usize,
        /// The data folder.
        root: std::path::PathBuf,
    },
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run cannot be written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Weights of another network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Weights to start from cannot be had, or are of another network.
    #[error(transparent)]
    StartWeights(#[from] WeightsError),
    /// A TorchScript file cannot be found, or not be trained with.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The forward pass failed in the middle of training.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The loss does not take such targets.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The forward pass over the validation split failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// libtorch cannot do what a step, or the network's beginning, takes.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Optimizer state of other parameters, or a failed update.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// What is to be frozen is not there.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// A pattern of `optimizer.param_groups` matches nothing.
    #[error(transparent)]
    Groups(#[from] GroupError),
    /// A value in the checkpoint is missing or of another type.
    #[error("the checkpoint: {0}")]
    Value(#[from] ValueError),
    /// Progress could not be recorded.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The loss or the gradient is infinite or not a number; the weights were not updated.
    #[error(
        "{} at epoch {epoch}, step {step}, before the update: nothing after it would mean anything{}. Try a lower \
         learning rate (it is {lr}), or look at the images of this batch: {}",
        not_finite(*.loss, *.grad_norm), already(*.times), listed(.images, LISTED)
    )]
    NotFinite {
        /// Mean over the batch.
        loss: f64,
        /// Norm of the gradients over all parameters.
        grad_norm: f64,
        /// Counted from 1.
        epoch: u64,
        /// Optimizer steps done before.
        step: u64,
        /// The learning rate of this step.
        lr: f64,
        /// Skips or rollbacks before this one.
        times: u64,
        /// Paths in the batch.
        images: Vec<String>,
    },
    /// An update has made weights that are infinite or not a number; they were not saved.
    #[error(
        "`{name}` is no longer finite after the update at epoch {epoch}, step {step}; it was not saved. Try a lower \
         learning rate, or training.divergence.action=rollback"
    )]
    Weights {
        /// The first such tensor.
        name: String,
        /// Counted from 1.
        epoch: u64,
        /// Optimizer steps done.
        step: u64,
    },
    /// The loss over the validation split is infinite or not a number; the epoch was not saved.
    #[error(
        "the validation loss is {loss} after epoch {epoch}, step {step}: the weights are of no use. Try a lower learning \
         rate, or training.divergence.action=rollback"
    )]
    Validation {
        /// Mean over the split.
        loss: f64,
        /// Counted from 1.
        epoch: u64,
        /// Optimizer steps done.
        step: u64,
    },
    /// A checkpoint with numbers in it that mean nothing.
    #[error("the checkpoint contains NaN or Inf, in `{name}`: use an earlier checkpoint of the run")]
    NotFiniteState {
        /// The first such tensor.
        name: String,
    },
    /// No thread can be had for writing checkpoints.
    #[error("cannot start the thread that writes checkpoints: {0}")]
    Thread(std::io::Error),
    /// `model.num_classes` and the data set disagree.
    #[error(
        "model.num_classes: is {given}, but the data set has {found} classes ({}); leave it at auto", listed(.classes, LISTED)
    )]
    ClassCount {
        /// Configured.
        given: usize,
        /// In the data set.
        found: usize,
        /// Their names.
        classes: Vec<String>,
    },
    /// A class weight for each class, no more, no less.
    #[error("{key}: has {given} numbers, but the data set has {found} classes")]
    ClassWeights {
        /// The setting.
        key: &'static str,
        /// Configured.
        given: usize,
        /// In the data set.
        found: usize,
    },
    /// `data.drop_last` leaves nothing.
    #[error(
        "data.drop_last leaves out the only batch: there are {samples} training images, and training.batch_size is {batch_size}"
    )]
    NoFullBatch {
        /// Training images.
        samples: usize,
        /// Configured.
        batch_size: usize,
    },
    /// Some process would have nothing to do.
    #[error(
        "an epoch has {batches} batches of {batch_size} images, fewer than the {processes} processes: take a smaller \
         training.batch_size, which is that of each process, or fewer processes"
    )]
    FewerBatches {
        /// Training batches an epoch.
        batches: usize,
        /// Configured.
        batch_size: usize,
        /// Of this training.
        processes: usize,
    },
    /// No step would be of as many batches as the configuration says.
    #[error("{}", accumulation(*.accumulated, (*.batches, *.batch_size), *.processes, *.most))]
    Accumulation {
        /// Configured.
        accumulated: usize,
        /// Training batches an epoch.
        batches: usize,
        /// Images in each.
        batch_size: usize,
        /// Of this training.
        processes: usize,
        /// What could be configured.
        most: usize,
    },
    /// The other processes are lost, or differ.
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// A batch of one image, which a batch norm can do nothing with.
    #[error("{}", single_image(*.samples, *.batch_size, .reason))]
    SingleImage {
        /// Training images an epoch.
        samples: usize,
        /// Configured.
        batch_size: usize,
        /// What goes wrong.
        reason: String,
    },
    /// `training.sam` is for a process that trains alone.
    #[error(
        "training.sam: is not for several processes, and there are {processes}; set it to null, or train with one process"
    )]
    Sam {
        /// Of this training.
        processes: usize,
    },
    /// `training.feature_cache` asks for what cannot be.
    #[error("{key}: {reason}")]
    FeatureCache {
        /// The setting.
        key: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// The teacher cannot be used.
    #[error("{key}: {reason}")]
    Teacher {
        /// The setting.
        key: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// The teacher has given NaN or Inf.
    #[error(
        "the outputs of the teacher (training.distillation.teacher) contain NaN or Inf at step {step}; look at the images \
         of this batch: {}", listed(.images, LISTED)
    )]
    TeacherNotFinite {
        /// Optimizer steps done before.
        step: u64,
        /// Paths in the batch.
        images: Vec<String>,
    },
    /// An epoch does not fit into `training.max_time`.
    #[error(
        "training.max_time: is {limit}, shorter than one epoch: its first {steps} of {per_epoch} steps took {seconds:.1} s, \
         so that all of them and the validation take about {needed:.0} s. Give it more, or make epochs shorter (fewer or \
         smaller images, a smaller network)"
    )]
    TimeLimit {
        /// Configured.
        limit: TimeLimit,
        /// Done.
        steps: u64,
        /// Of training so far.
        seconds: f64,
        /// Steps of an epoch.
        per_epoch: u64,
        /// Seconds of an epoch, as estimated.
        needed: f64,
    },
    /// The same, found before the training.
    #[error(
        "training.max_time: is {limit}, shorter than one epoch, whose training steps alone take about {epoch} here. Give \
         it at least {least}, or make epochs shorter (fewer or smaller images, a smaller network); `--preset auto \
         --time_limit {limit}` chooses settings by the time"
    )]
    EpochTime {
        /// Configured.
        limit: TimeLimit,
        /// What the steps of an epoch take, in words.
        epoch: String,
        /// What an epoch fits into, with its validation.
        least: TimeLimit,
    },
    /// Features cannot be kept.
    #[error(transparent)]
    Features(FeatureError),
    /// Decoded images cannot be kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The checkpoint belongs to another run.
    #[error("the checkpoint does not fit: {what} is {found} there, and {expected} here")]
    Mismatch {
        /// Which property.
        what: &'static str,
        /// In the checkpoint.
        found: String,
        /// In this run.
        expected: String,
    },
}

impl From<FeatureError> for TrainError {
    fn from(error: FeatureError) -> TrainError {
        match error {
            FeatureError::Loader(error) => error.into(),
            FeatureError::Forward(error) => error.into(),
            error => TrainError::Features(error),
        }
    }
}

impl TrainError {
    /// Whether the device's memory, or the machine's, is too small.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            TrainError::Torch(error)
            | TrainError::Forward(ForwardError::Torch(error))
            | TrainError::Optimizer(OptimizerError::Step(error)) => matches!(error, TorchError::Memory(_)),
            // It has the words of libtorch, with what failed before them.
            TrainError::Forward(ForwardError::Script(error)) => error.to_string().contains("out of memory"),
            _ => false,
        }
    }

    /// Whether what was requested is wrong, rather than the run.
    pub fn is_usage(&self) -> bool {
        match self {
            TrainError::ClassCount { .. }
            | TrainError::Loss(_)
            | TrainError::Freeze(_)
            | TrainError::Groups(_)
            | TrainError::ClassWeights { .. }
            | TrainError::NoFullBatch { .. }
            | TrainError::SingleImage { .. }
            | TrainError::FeatureCache { .. }
            | TrainError::Sam { .. }
            | TrainError::Teacher { .. }
            | TrainError::TimeLimit { .. }
            | TrainError::EpochTime { .. }
            | TrainError::FewerBatches { .. }
            | TrainError::Accumulation { .. }
            | TrainError::Mismatch { .. } => true,
            TrainError::Distributed(error) => error.is_usage(),
            TrainError::Run(error) => error.is_usage(),
            TrainError::StartWeights(error) => error.is_usage(),
            TrainError::Script(error) => error.is_usage(),
            _ => false,
        }
    }
}

fn accumulation(
    accumulated: usize,
    (batches, batch_size): (usize, usize),
    processes: usize,
    most: usize,
) -> String {
    let each = if processes == 1 { String::new() } else { format!(", in each of {processes} processes") };
    format!(
        "training.gradient_accumulation_steps: is {accumulated}{each}, longer than an epoch of {batches} batches of \
         {batch_size} images; set it to at most {most}, or lower training.batch_size"
    )
}

fn single_image(samples: usize, batch_size: usize, reason: &str) -> String {
    if batch_size == 1 {
        return format!(
            "training.batch_size is 1, and {reason}. Choose a larger training.batch_size, or larger images"
        );
    }
    format!(
        "{samples} training images in batches of {batch_size} leave a last batch of one, and {reason}. Leave that batch \
         out with --set data.drop_last=true, or choose another training.batch_size"
    )
}

fn not_finite(loss: f64, grad_norm: f64) -> String {
    if !loss.is_finite() {
        format!("the loss is {loss}")
    } else if grad_norm.is_finite() {
        format!("the gradient's norm is {grad_norm}, too large for an update")
    } else {
        format!("the gradient's norm is {grad_norm} (the loss is {loss})")
    }
}

fn already(times: u64) -> String {
    if times == 0 { String::new() } else { format!(" (skipped or rolled back {times} times before)") }
}
