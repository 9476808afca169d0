//! What a trainer tells while it works.

use std::time::Duration;

use crate::metrics::MetricSums;
use crate::trainer::EpochMetrics;

/// A report could not be written; the message names the file.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReportError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// What the batches are gone through for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Training steps.
    Train,
    /// The validation split after an epoch.
    Validate,
    /// A split after training.
    Evaluate,
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

/// Listens to a trainer. Every method may be left out.
pub trait Reporter {
    /// `num_batches` will follow, of which `first` are done already.
    fn phase_started(&mut self, phase: Phase, epoch: u64, num_batches: usize, first: usize) {
        let _ = (phase, epoch, num_batches, first);
    }

    /// `count` batches more are done; `totals` comes now and then.
    ///
    /// # Errors
    /// What is kept on disk cannot be written: training ends.
    fn batches_done(&mut self, count: usize, totals: Option<&MetricSums>) -> Result<(), ReportError> {
        let _ = (count, totals);
        Ok(())
    }

    /// All batches of the phase are done.
    fn phase_finished(&mut self) {}

    /// `history` holds all epochs so far, this one last.
    ///
    /// # Errors
    /// What is kept on disk cannot be written: training ends.
    fn epoch_finished(&mut self, history: &[EpochMetrics], report: &EpochReport) -> Result<(), ReportError> {
        let _ = (history, report);
        Ok(())
    }

    /// The run has gone back to an earlier checkpoint; `history` holds the epochs that are left.
    ///
    /// # Errors
    /// What is kept on disk cannot be written: training ends.
    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        let _ = history;
        Ok(())
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReporter;

impl Reporter for NoReporter {}

/// Tells each of several.
impl Reporter for Vec<&mut dyn Reporter> {
    fn phase_started(&mut self, phase: Phase, epoch: u64, num_batches: usize, first: usize) {
        self.iter_mut().for_each(|reporter| reporter.phase_started(phase, epoch, num_batches, first));
    }

    fn batches_done(&mut self, count: usize, totals: Option<&MetricSums>) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.batches_done(count, totals))
    }

    fn phase_finished(&mut self) {
        self.iter_mut().for_each(|reporter| reporter.phase_finished());
    }

    fn epoch_finished(&mut self, history: &[EpochMetrics], report: &EpochReport) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.epoch_finished(history, report))
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.iter_mut().try_for_each(|reporter| reporter.rolled_back(history))
    }
}
