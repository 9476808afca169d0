//! Who is told what a training run does, and may stop it.

use std::ops::ControlFlow;
use std::time::Duration;

use ml_data::dataset::{Index, Split};

use super::EpochMetrics;
use crate::config::Config;
use crate::evaluation::{Embeddings, Evaluation, LabelEvaluation};
use crate::metrics::multilabel::ClassThresholds;
use crate::metrics::{ConfusionMatrix, MetricSums};
use crate::network::Network;
use crate::run::{Run, Status, SwaSummary};
use crate::weights::Event;

/// A report could not be written; the message names the file.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReportError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

impl ReportError {
    /// For `map_err`.
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> ReportError {
        ReportError(Box::new(error))
    }
}

/// What the batches are gone through for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What frozen layers make of the images is computed, to be kept.
    Features,
    /// Training steps.
    Train,
    /// The validation split after an epoch.
    Validate,
    /// Batch norms of averaged weights are computed, after the last epoch.
    BatchNorm,
    /// What the best weights make of training images is looked at, after training.
    Embed,
    /// A split after training.
    Evaluate,
}

/// A run that is about to train.
#[derive(Clone, Copy, Debug)]
pub struct RunStart<'a> {
    /// Its folder, claimed.
    pub run: &'a Run,
    /// Its configuration, complete.
    pub config: &'a Config,
    /// The training split.
    pub train: &'a Index,
    /// The validation split.
    pub val: &'a Index,
    /// Completed epochs of a resumed run.
    pub history: &'a [EpochMetrics],
    /// Optimizer steps of a resumed run that are done.
    pub step: u64,
}

/// Where an epoch stands.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// Optimizer steps of the run that are done.
    pub step: u64,
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// Sums over the epoch so far.
    pub sums: &'a MetricSums,
    /// Learning rates of the last step, of each group of parameters.
    pub lrs: &'a [f64],
    /// With the gradients of the last step.
    pub network: &'a Network,
    /// How long of the epoch training waited for data so far, in this process.
    pub waited: Duration,
}

/// What is said about an epoch besides its metrics.
#[derive(Clone, Copy, Debug)]
pub struct EpochReport {
    /// Epochs of the whole run.
    pub num_epochs: u64,
    /// Whether this epoch is the best so far.
    pub improved: bool,
    /// Wall-clock time of the epoch, validation included.
    pub elapsed: Duration,
    /// How long of it training waited for data.
    pub waited: Duration,
}

/// The best weights on a split, after training.
#[derive(Clone, Copy, Debug)]
pub struct Evaluated<'a> {
    /// The run's folder.
    pub run: &'a Run,
    /// Which split.
    pub split: Split,
    /// Names of the classes, in order.
    pub classes: &'a [String],
    /// The samples that were evaluated.
    pub index: &'a Index,
    /// What came out.
    pub evaluation: &'a Evaluation,
    /// The group of each of the samples, empty of one that stands alone; none without groups.
    pub groups: Option<&'a [String]>,
    /// The epoch of the weights, counted from 1.
    pub epoch: u64,
}

/// The best weights on a split whose images have several labels, after training.
#[derive(Clone, Copy, Debug)]
pub struct EvaluatedLabels<'a> {
    /// The run's folder.
    pub run: &'a Run,
    /// Which split.
    pub split: Split,
    /// Names of the classes, in order.
    pub classes: &'a [String],
    /// The samples that were evaluated.
    pub index: &'a Index,
    /// What came out.
    pub evaluation: &'a LabelEvaluation,
    /// From which probability on a class is predicted, fitted on the validation split.
    pub thresholds: &'a ClassThresholds,
    /// The epoch of the weights, counted from 1.
    pub epoch: u64,
}

/// What the best weights make of some training images, after training.
#[derive(Clone, Copy, Debug)]
pub struct Embedded<'a> {
    /// The run's folder.
    pub run: &'a Run,
    /// Names of the classes, in order.
    pub classes: &'a [String],
    /// The images.
    pub index: &'a Index,
    /// Their embeddings.
    pub embeddings: &'a Embeddings,
}

/// Listens to a training run. Every method may be left out. An error of any of them ends the run:
/// what is kept on disk could not be written.
pub trait Reporter {
    /// Published weights are being fetched; `name` is their file's.
    fn fetching(&mut self, name: &str, event: Event<'_>) {
        let _ = (name, event);
    }

    /// The run's folder is claimed, and nothing is trained yet.
    ///
    /// # Errors
    /// Files beside the run's own cannot be written.
    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        let _ = start;
        Ok(())
    }

    /// `num_batches` will follow, of which `first` are done already.
    fn phase_started(&mut self, phase: Phase, epoch: u64, num_batches: usize, first: usize) {
        let _ = (phase, epoch, num_batches, first);
    }

    /// `count` batches more are done; `sums` comes now and then.
    ///
    /// # Errors
    /// What is kept on disk cannot be written.
    fn batches_done(&mut self, count: usize, sums: Option<&MetricSums>) -> Result<(), ReportError> {
        let _ = (count, sums);
        Ok(())
    }

    /// Now and then after a step, at most ten times a second.
    ///
    /// # Errors
    /// What is kept on disk cannot be written.
    fn stepped(&mut self, step: &StepReport<'_>) -> Result<(), ReportError> {
        let _ = step;
        Ok(())
    }

    /// All batches of the phase are done.
    fn phase_finished(&mut self) {}

    /// True and predicted classes of the validation split after `step` steps, where there are few
    /// classes.
    ///
    /// # Errors
    /// What is kept on disk cannot be written.
    fn validated(
        &mut self,
        step: u64,
        pairs: &ConfusionMatrix,
        classes: &[String],
    ) -> Result<(), ReportError> {
        let _ = (step, pairs, classes);
        Ok(())
    }

    /// What the best weights make of some training images.
    ///
    /// # Errors
    /// What is kept on disk cannot be written.
    fn embedded(&mut self, embedded: &Embedded<'_>) -> Result<(), ReportError> {
        let _ = embedded;
        Ok(())
    }

    /// `history` holds all epochs so far, this one last. `Break` stops the run, which can be
    /// resumed: what a search does with one that is not promising.
    ///
    /// # Errors
    /// What is kept on disk cannot be written.
    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        report: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        let _ = (history, report);
        Ok(ControlFlow::Continue(()))
    }

    /// The run has gone back to an earlier checkpoint; `history` holds the epochs that are left.
    ///
    /// # Errors
    /// What is kept on disk cannot be written.
    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        let _ = history;
        Ok(())
    }

    /// The average of the last epochs (`training.swa`) is validated, after the last `epoch`, counted
    /// from 1: also said of a run that is resumed after that.
    ///
    /// # Errors
    /// What is kept on disk cannot be written.
    fn averaged(&mut self, epoch: u64, average: &SwaSummary) -> Result<(), ReportError> {
        let _ = (epoch, average);
        Ok(())
    }

    /// The best weights were evaluated.
    ///
    /// # Errors
    /// A report cannot be written.
    fn evaluated(&mut self, evaluated: &Evaluated<'_>) -> Result<(), ReportError> {
        let _ = evaluated;
        Ok(())
    }

    /// The best weights were evaluated on images with several labels.
    ///
    /// # Errors
    /// A report cannot be written.
    fn evaluated_labels(&mut self, evaluated: &EvaluatedLabels<'_>) -> Result<(), ReportError> {
        let _ = evaluated;
        Ok(())
    }

    /// The run has ended: it is complete, has stopped early, or has failed. Nothing follows. One
    /// that was interrupted has not ended.
    ///
    /// # Errors
    /// What is kept on disk cannot be written; of a run that has failed, nobody is told.
    fn run_ended(&mut self, status: Status) -> Result<(), ReportError> {
        let _ = status;
        Ok(())
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReporter;

impl Reporter for NoReporter {}

/// Tells each of several.
impl Reporter for Vec<&mut dyn Reporter> {
    fn fetching(&mut self, name: &str, event: Event<'_>) {
        self.iter_mut().for_each(|reporter| reporter.fetching(name, event));
    }

    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.run_started(start))
    }

    fn phase_started(&mut self, phase: Phase, epoch: u64, num_batches: usize, first: usize) {
        self.iter_mut().for_each(|reporter| reporter.phase_started(phase, epoch, num_batches, first));
    }

    fn batches_done(&mut self, count: usize, sums: Option<&MetricSums>) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.batches_done(count, sums))
    }

    fn stepped(&mut self, step: &StepReport<'_>) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.stepped(step))
    }

    fn phase_finished(&mut self) {
        self.iter_mut().for_each(|reporter| reporter.phase_finished());
    }

    fn validated(
        &mut self,
        step: u64,
        pairs: &ConfusionMatrix,
        classes: &[String],
    ) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.validated(step, pairs, classes))
    }

    fn embedded(&mut self, embedded: &Embedded<'_>) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.embedded(embedded))
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        report: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        let mut flow = ControlFlow::Continue(());
        for reporter in self.iter_mut() {
            // All are told, whichever of them stops.
            if reporter.epoch_finished(history, report)?.is_break() {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.rolled_back(history))
    }

    fn averaged(&mut self, epoch: u64, average: &SwaSummary) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.averaged(epoch, average))
    }

    fn evaluated(&mut self, evaluated: &Evaluated<'_>) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.evaluated(evaluated))
    }

    fn evaluated_labels(&mut self, evaluated: &EvaluatedLabels<'_>) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.evaluated_labels(evaluated))
    }

    fn run_ended(&mut self, status: Status) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.run_ended(status))
    }
}
