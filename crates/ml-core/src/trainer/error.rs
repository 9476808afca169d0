//! Why training ended.

use crate::checkpoint::CheckpointError;
use crate::loader::LoaderError;
use crate::network::NetworkError;
use crate::optimizer::OptimizerError;
use crate::run::RunError;
use crate::trainer::ReportError;
use crate::value::ValueError;

/// Why training ended.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A picture cannot be read.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run cannot be written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Weights of another network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Optimizer state of other parameters, or a failed update.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// A value in the checkpoint is missing or of another type.
    #[error("the checkpoint: {0}")]
    Value(#[from] ValueError),
    /// Progress could not be recorded.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The loss is infinite or not a number.
    #[error(
        "the loss is {loss} at epoch {epoch}, step {step}, before the update: nothing after it would mean anything. \
         Try a lower learning rate (it is {lr}), or look at the pictures of this batch: {}", listed(.pictures)
    )]
    NotFinite {
        /// The value.
        loss: f64,
        /// Counted from 1.
        epoch: u64,
        /// Optimizer steps done before.
        step: u64,
        /// The learning rate of this step.
        lr: f64,
        /// Paths in the batch.
        pictures: Vec<String>,
    },
    /// `model.num_classes` and the data set disagree.
    #[error(
        "model.num_classes: is {given}, but the data set has {found} classes ({}); leave it at auto", listed(.classes)
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
    #[error("loss.class_weights: has {given} numbers, but the data set has {found} classes")]
    ClassWeights {
        /// Configured.
        given: usize,
        /// In the data set.
        found: usize,
    },
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

/// The first few, and how many more.
fn listed(items: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = items[..items.len().min(SHOWN)].join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(", and {} more", items.len() - SHOWN));
    }
    text
}
