//! What belongs into a run folder beside the trainer's own files: TensorBoard events, and the
//! reports of the evaluation at its end.

use std::ops::ControlFlow;

use ml_core::device::num_threads;
use ml_core::evaluation::Analysis;
use ml_core::metrics::MetricSums;
use ml_core::run::unix_seconds;
use ml_core::trainer::{EpochMetrics, EpochReport, Evaluated, ReportError, Reporter, RunStart};
use ml_data::transform::Pipeline;

use super::board::BoardReporter;
use super::classification::EvaluationReport;

/// Writes `tensorboard/` and `report/` of a run.
#[derive(Default)]
#[allow(missing_debug_implementations)]
pub struct RunReporter {
    /// Of the run that has started.
    board: Option<BoardReporter>,
}

impl Reporter for RunReporter {
    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        let RunStart { run, config, train, history } = *start;
        let mut board = BoardReporter::start(&run.tensorboard_dir(), history, unix_seconds())
            .map_err(ReportError::new)?;
        let pipeline = Pipeline::new(&config.transforms.train).map_err(ReportError::new)?;
        board.show_samples(train, &pipeline, config.seed);
        self.board = Some(board);
        Ok(())
    }

    fn batches_done(&mut self, count: usize, sums: Option<&MetricSums>) -> Result<(), ReportError> {
        self.board.as_mut().map_or(Ok(()), |board| board.batches_done(count, sums))
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        report: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        match &mut self.board {
            Some(board) => board.epoch_finished(history, report),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.board.as_mut().map_or(Ok(()), |board| board.rolled_back(history))
    }

    fn evaluated(&mut self, evaluated: &Evaluated<'_>) -> Result<(), ReportError> {
        let Evaluated { run, split, classes, index, evaluation, epoch } = *evaluated;
        let analysis = &Analysis::new(evaluation, classes, num_threads());
        let report = EvaluationReport { split: split.name(), classes, index, evaluation, analysis };
        report.write(&run.report_dir()).map_err(ReportError::new)?;
        match &mut self.board {
            Some(board) => board.evaluation(&report, epoch, unix_seconds()).map_err(ReportError::new),
            None => Ok(()),
        }
    }
}
