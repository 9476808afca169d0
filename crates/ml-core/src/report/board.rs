//! A run's epochs as TensorBoard scalars.

use std::path::Path;

use super::tensorboard::{EventError, EventWriter};
use crate::trainer::{EpochMetrics, EpochReport, ReportError, Reporter};

/// Writes the scalars of each epoch: `Loss/{train,val}`, `Accuracy/{train,val}`, `Learning_Rate`.
#[allow(missing_debug_implementations)]
pub struct BoardReporter {
    writer: EventWriter,
    written: usize,
}

impl BoardReporter {
    /// Starts the events of a run in `folder` anew: those of earlier processes are removed, and `history` is
    /// written again with the times it had, so that a resumed run has neither gaps nor doubles.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn start(folder: &Path, history: &[EpochMetrics], wall_time: f64) -> Result<BoardReporter, EventError> {
        let mut reporter = BoardReporter { writer: EventWriter::replace(folder, wall_time)?, written: 0 };
        reporter.catch_up(history)?;
        Ok(reporter)
    }

    /// The writer, for what else a run has to show.
    pub fn writer(&mut self) -> &mut EventWriter {
        &mut self.writer
    }

    fn catch_up(&mut self, history: &[EpochMetrics]) -> Result<(), EventError> {
        for m in &history[self.written.min(history.len())..] {
            for (tag, value) in [
                ("Loss/train", m.train_loss),
                ("Loss/val", m.val_loss),
                ("Accuracy/train", m.train_accuracy),
                ("Accuracy/val", m.val_accuracy),
                ("Learning_Rate", m.lr),
            ] {
                self.writer.add_scalar(tag, value, m.epoch, m.wall_time)?;
            }
        }
        self.written = history.len();
        self.writer.flush()
    }
}

impl Reporter for BoardReporter {
    fn epoch_finished(&mut self, history: &[EpochMetrics], _: &EpochReport) -> Result<(), ReportError> {
        self.catch_up(history).map_err(|error| ReportError(Box::new(error)))
    }
}
