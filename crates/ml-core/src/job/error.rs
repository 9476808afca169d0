//! Why a training run did not begin, or ended.

use ml_data::dataset::DatasetError;
use ml_data::transform::UnresolvedStatistics;
use ml_data::transform::statistics::StatisticsError;

use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::device::DeviceError;
use crate::distributed::{DistributedError, World};
use crate::evaluation::EvaluationError;
use crate::loader::LoaderError;
use crate::network::NetworkError;
use crate::run::RunError;
use crate::trainer::{ReportError, TrainError};

/// Why a training run did not begin, or ended.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration in a run or a checkpoint is not one of this program.
    #[error("the checkpoint's configuration: {0}")]
    StoredConfig(ConfigError),
    /// The data folder cannot be used.
    #[error("--data_dir (data.data_dir): {0}")]
    Data(#[source] DatasetError),
    /// Images are not there, or cannot be looked at.
    #[error(transparent)]
    Audit(DatasetError),
    /// The images are not as they were, or not as the configuration demands.
    #[error("{0}")]
    Refused(String),
    /// What is requested cannot be done.
    #[error("{0}")]
    Usage(String),
    /// The requested device is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The run folder cannot be made, read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Building the trainer, or training.
    #[error("{0}{advice}", advice = train_advice(.0))]
    Train(#[from] TrainError),
    /// Evaluating the best weights.
    #[error("{0}{advice}", advice = evaluation_advice(.0))]
    Evaluation(#[from] EvaluationError),
    /// The best weights are of another network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// `transforms.test` cannot be applied.
    #[error("transforms.test: {0}")]
    Transform(#[from] UnresolvedStatistics),
    /// A report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The other processes are lost, or differ.
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// libtorch refuses a setting.
    #[error(transparent)]
    Torch(#[from] torch_ext::Error),
    /// A signal asked to stop before the first step; nothing was written.
    #[error("interrupted before the first step")]
    Interrupted,
}

impl JobError {
    /// With the reason, where all that is known is that the connection to another process is lost.
    pub(super) fn explained(self, world: &World) -> JobError {
        let message = match &self {
            JobError::Train(TrainError::Torch(error)) => error.to_string(),
            JobError::Train(TrainError::Optimizer(error)) => error.to_string(),
            _ => return self,
        };
        if world.is_alone() || !DistributedError::is_loss_of_peer(&message) {
            return self;
        }
        world.explain(&message).into()
    }

    /// Whether what is requested is wrong, rather than that doing it failed.
    pub fn is_usage(&self) -> bool {
        match self {
            JobError::Config(_) | JobError::Usage(_) | JobError::Device(_) => true,
            JobError::Data(error) | JobError::Audit(error) => error.is_usage(),
            JobError::Run(error) => error.is_usage(),
            JobError::Train(error) => error.is_usage(),
            JobError::Distributed(error) => error.is_usage(),
            _ => false,
        }
    }
}

/// An image that cannot be read may also be left out.
const LEAVE_OUT: &str =
    ", or leave such images out with --set data.on_error=skip (`ml-split check` finds all of them)";

fn train_advice(error: &TrainError) -> &'static str {
    match error {
        TrainError::Loader(LoaderError::Decode(_)) | TrainError::Images(StatisticsError::Image(_)) => {
            LEAVE_OUT
        }
        TrainError::Evaluation(error) => evaluation_advice(error),
        _ => "",
    }
}

fn evaluation_advice(error: &EvaluationError) -> &'static str {
    if matches!(error, EvaluationError::Loader(LoaderError::Decode(_))) { LEAVE_OUT } else { "" }
}
