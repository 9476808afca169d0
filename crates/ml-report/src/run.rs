//! What belongs into a run folder beside the trainer's own files: TensorBoard events, and the
//! reports of the evaluation at its end.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ml_core::device::num_threads;
use ml_core::evaluation::Analysis;
use ml_core::metrics::{ConfusionMatrix, MetricSums};
use ml_core::run::{Status, SwaSummary, unix_seconds};
use ml_core::trainer::{
    Embedded, EpochMetrics, EpochReport, Evaluated, EvaluatedLabels, ReportError, Reporter, RunStart,
    StepReport,
};
use ml_data::dataset::Split;
use ml_data::transform::Pipeline;

use super::board::BoardReporter;
use super::classification::EvaluationReport;
use super::label_report::LabelReport;

/// Writes `tensorboard/` and `report/` of a run.
#[derive(Default)]
#[allow(missing_debug_implementations)]
pub struct RunReporter {
    /// Of the run that has started.
    board: Option<BoardReporter>,
    /// What TensorBoard's files took.
    spent: Duration,
    keep_probabilities: bool,
}

impl Drop for RunReporter {
    fn drop(&mut self) {
        tracing::debug!("TensorBoard's files took {:.3} s", self.spent.as_secs_f64());
    }
}

impl RunReporter {
    /// Also keeps all probabilities of the validation images, for the evaluation of all folds
    /// together.
    #[must_use]
    pub fn with_probabilities(mut self) -> RunReporter {
        self.keep_probabilities = true;
        self
    }

    /// Tells the board, if there is one, and counts the time.
    fn board<E>(&mut self, tell: impl FnOnce(&mut BoardReporter) -> Result<(), E>) -> Result<(), E> {
        let Some(board) = &mut self.board else { return Ok(()) };
        let started = Instant::now();
        let told = tell(board);
        self.spent += started.elapsed();
        told
    }
}

impl Reporter for RunReporter {
    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        let RunStart { config, train, .. } = *start;
        let mut board = BoardReporter::start(start, unix_seconds()).map_err(ReportError::new)?;
        let pipeline = Pipeline::new(&config.transforms.train).map_err(ReportError::new)?;
        board.show_samples(train, &pipeline, config.seed);
        self.board = Some(board);
        Ok(())
    }

    fn batches_done(&mut self, count: usize, sums: Option<&MetricSums>) -> Result<(), ReportError> {
        self.board(|board| board.batches_done(count, sums))
    }

    fn stepped(&mut self, step: &StepReport<'_>) -> Result<(), ReportError> {
        self.board(|board| board.stepped(step))
    }

    fn validated(
        &mut self,
        step: u64,
        pairs: &ConfusionMatrix,
        classes: &[String],
    ) -> Result<(), ReportError> {
        self.board(|board| board.validated(step, pairs, classes))
    }

    fn embedded(&mut self, embedded: &Embedded<'_>) -> Result<(), ReportError> {
        self.board(|board| board.embedded(embedded))
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        report: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        self.board(|board| board.epoch_finished(history, report).map(drop))?;
        Ok(ControlFlow::Continue(()))
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.board(|board| board.rolled_back(history))
    }

    fn averaged(&mut self, epoch: u64, average: &SwaSummary) -> Result<(), ReportError> {
        self.board(|board| board.averaged(epoch, average))
    }

    fn evaluated(&mut self, evaluated: &Evaluated<'_>) -> Result<(), ReportError> {
        let Evaluated { run, split, classes, index, evaluation, groups, epoch } = *evaluated;
        let analysis = &Analysis::new(evaluation, classes, num_threads());
        let split_name = split.name();
        let report = EvaluationReport { split: split_name, classes, index, evaluation, analysis, groups };
        let files = report.write(&run.report_dir()).map_err(ReportError::new)?;
        if self.keep_probabilities && split == Split::Val && files.probabilities.is_none() {
            report.write_probabilities(&run.report_dir()).map_err(ReportError::new)?;
        }
        self.board(|board| board.evaluation(&report, epoch, unix_seconds())).map_err(ReportError::new)
    }

    fn evaluated_labels(&mut self, evaluated: &EvaluatedLabels<'_>) -> Result<(), ReportError> {
        let EvaluatedLabels { run, split, classes, index, evaluation, thresholds, epoch } = *evaluated;
        let metrics = &evaluation.metrics(thresholds, num_threads());
        let report = LabelReport { split: split.name(), classes, index, evaluation, thresholds, metrics };
        report.write(&run.report_dir()).map_err(ReportError::new)?;
        self.board(|board| board.labels(&report, epoch, unix_seconds())).map_err(ReportError::new)
    }

    fn run_ended(&mut self, status: Status) -> Result<(), ReportError> {
        self.board(|board| board.run_ended(status))
    }
}
