//! A run → what TensorBoard shows: curves, samples, settings and, when it has ended, what its best
//! weights say.

mod classes;
mod evaluated;
mod hparams;
mod labels;
mod steps;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::PathBuf;

use ml_data::dataset::{Index, Task};
use ml_data::decode::{self, Pixels};
use ml_data::rng::{Purpose, stream};
use ml_data::transform::Pipeline;

use ml_core::metrics::{ConfusionMatrix, MetricSums};
use ml_core::run::{Status, SwaSummary, unix_seconds};
use ml_core::trainer::{Embedded, EpochMetrics, EpochReport, ReportError, Reporter, RunStart, StepReport};

use crate::classification::EvaluationReport;
use crate::label_report::LabelReport;
use crate::samples::tile;
use crate::tensorboard::{EventError, EventWriter, SessionStatus};
use crate::{embeddings, figures};
use hparams::Settings;
use steps::Steps;

/// Writes the scalars of each epoch: `Loss/{train,val}`, `Accuracy/{train,val}`, `Learning_Rate`,
/// and with EMA weights `Loss/val_ema`, `Accuracy/val_ema`; of the average of the last epochs, at the
/// last one, `Loss/val_swa` and `Accuracy/val_swa`. With several labels an image, mAP, F1, Hamming
/// loss and subset accuracy are in the place of the accuracy.
#[allow(missing_debug_implementations)]
pub struct BoardReporter {
    folder: PathBuf,
    writer: EventWriter,
    settings: Settings,
    steps: Steps,
    /// The first epoch that the average of the last ones has.
    averaged_from: Option<u64>,
    written: usize,
    /// `Samples/train`, and when it was made.
    samples: Option<(Pixels, f64)>,
    /// What it is to be made of.
    pending: Option<Samples>,
}

struct Samples {
    /// Places in the index, and files.
    images: Vec<(usize, PathBuf)>,
    pipeline: Pipeline,
    seed: u64,
}

impl BoardReporter {
    /// Starts the events of a run's epochs anew: those of earlier processes are removed, and the
    /// history is written again with the times it had, so that a resumed run has neither gaps nor
    /// doubles. The events of steps go on where they were.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn start(start: &RunStart<'_>, wall_time: f64) -> Result<BoardReporter, EventError> {
        let RunStart { run, config, history, step, .. } = *start;
        let folder = run.tensorboard_dir();
        let mut writer = EventWriter::replace(&folder, wall_time)?;
        let settings = Settings::new(config, wall_time);
        settings.write(&mut writer)?;
        let mut steps = Steps::start(&folder.join("steps"), step, &config.training.tensorboard)?;
        if config.data.task == Task::MultiLabel {
            steps.accuracy = labels::SUBSET_ACCURACY;
        }
        let (samples, pending) = (None, None);
        let swa = config.training.swa.as_ref();
        let averaged_from = swa.map(|swa| swa.first_epoch(config.training.num_epochs));
        let written = 0;
        let mut reporter =
            BoardReporter { folder, writer, settings, steps, averaged_from, written, samples, pending };
        reporter.catch_up(history)?;
        Ok(reporter)
    }

    /// Shows images of `index` as the network sees them in its first epoch, as `Samples/train`:
    /// once the first batch is done, so that training need not wait for it.
    pub fn show_samples(&mut self, index: &Index, pipeline: &Pipeline, seed: u64) {
        let step = (index.samples.len() / SAMPLES).max(1);
        let places = (0..index.samples.len()).step_by(step).take(SAMPLES);
        let images = places.map(|place| (place, index.root.join(&index.samples[place].path))).collect();
        self.pending = Some(Samples { images, pipeline: pipeline.clone(), seed });
    }

    fn make_samples(&mut self) -> Result<(), BoardError> {
        let Some(Samples { images, pipeline, seed }) = self.pending.take() else { return Ok(()) };
        let Some((height, width)) = pipeline.output_size() else { return Ok(()) };
        // An image that cannot be read is the loader's business, which fails or skips it.
        let mut bytes = Vec::new();
        let tiles: Vec<Pixels> = images
            .into_iter()
            .filter_map(|(place, path)| {
                let mut rng = stream(seed, Purpose::Augmentation, 0, place as u64);
                decode::read(&path, &mut bytes, |encoded| pipeline.load(encoded, &mut rng)).ok()
            })
            .collect();
        if tiles.is_empty() {
            return Ok(());
        }
        self.samples = Some((tile(&tiles, [width, height], COLUMNS), unix_seconds()));
        Ok(self.write_samples()?)
    }

    fn write_samples(&mut self) -> Result<(), EventError> {
        let Some((sheet, wall_time)) = &self.samples else { return Ok(()) };
        self.writer.add_rgb("Samples/train", &sheet.data, [sheet.width, sheet.height], 0, *wall_time)
    }

    /// Begins a new file of events with what is left of the history.
    fn restart(&mut self, history: &[EpochMetrics]) -> Result<(), EventError> {
        self.writer = EventWriter::replace(&self.folder, unix_seconds())?;
        self.settings.write(&mut self.writer)?;
        self.written = 0;
        self.catch_up(history)?;
        self.write_samples()
    }

    /// Shows an evaluation.
    ///
    /// # Errors
    /// The events cannot be written.
    pub fn evaluation(
        &mut self,
        report: &EvaluationReport<'_>,
        epoch: u64,
        wall_time: f64,
    ) -> Result<(), BoardError> {
        // A run that only had this left to do has no batches.
        self.make_samples()?;
        evaluated::write(&mut self.writer, report, epoch, wall_time)
    }

    /// Shows an evaluation of images with several labels.
    ///
    /// # Errors
    /// The events cannot be written.
    pub fn labels(&mut self, report: &LabelReport<'_>, epoch: u64, wall_time: f64) -> Result<(), BoardError> {
        self.make_samples()?;
        labels::write(&mut self.writer, report, epoch, wall_time)
    }

    fn write_average(&mut self, epoch: u64, average: &SwaSummary) -> Result<(), EventError> {
        let wall_time = unix_seconds();
        for (tag, value) in [("Loss/val_swa", average.val_loss), ("Accuracy/val_swa", average.val_accuracy)] {
            self.writer.add_scalar(tag, value, epoch, wall_time)?;
        }
        let taken = if average.is_best { "`best.pt` is" } else { "`best.pt` is a single epoch, better than" };
        let from = self.averaged_from.map_or_else(String::new, |first| format!(" from epoch {first} on"));
        let n = average.n_averaged;
        let text = format!("{taken} the average of the weights of {n} epochs{from} (`training.swa`).");
        self.writer.add_text("Averaged_Weights", &text, epoch, wall_time)?;
        self.writer.flush()
    }

    fn catch_up(&mut self, history: &[EpochMetrics]) -> Result<(), EventError> {
        for m in &history[self.written.min(history.len())..] {
            let losses = [("Loss/train", m.train_loss), ("Loss/val", m.val_loss), ("Learning_Rate", m.lr)];
            let averaged = m.ema.map(|ema| ("Loss/val_ema", ema.val_loss));
            let scalars = match m.labels {
                Some(found) => labels::scalars(m, &found),
                None => accuracies(m),
            };
            for (tag, value) in losses.into_iter().chain(averaged).chain(scalars) {
                self.writer.add_scalar(tag, value, m.epoch, m.wall_time)?;
            }
        }
        self.written = history.len();
        self.writer.flush()
    }
}

/// Of images with one label.
fn accuracies(m: &EpochMetrics) -> Vec<(&'static str, f64)> {
    let averaged = m.ema.map(|ema| ("Accuracy/val_ema", ema.val_accuracy));
    let accuracies = [("Accuracy/train", m.train_accuracy), ("Accuracy/val", m.val_accuracy)];
    accuracies.into_iter().chain(averaged).collect()
}

impl Reporter for BoardReporter {
    fn batches_done(&mut self, _: usize, _: Option<&MetricSums>) -> Result<(), ReportError> {
        self.make_samples().map_err(ReportError::new)
    }

    fn stepped(&mut self, step: &StepReport<'_>) -> Result<(), ReportError> {
        self.steps.stepped(step).map_err(ReportError::new)
    }

    fn validated(
        &mut self,
        step: u64,
        pairs: &ConfusionMatrix,
        classes: &[String],
    ) -> Result<(), ReportError> {
        self.steps.validated(step, pairs, classes).map_err(ReportError::new)
    }

    fn embedded(&mut self, embedded: &Embedded<'_>) -> Result<(), ReportError> {
        let Embedded { classes, index, embeddings, .. } = *embedded;
        embeddings::project(&self.folder, "train", embeddings, index, classes, POINTS)
            .map_err(ReportError::new)?;
        Ok(())
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        _: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        self.catch_up(history).map_err(ReportError::new)?;
        self.steps.flush().map_err(ReportError::new)?;
        Ok(ControlFlow::Continue(()))
    }

    fn averaged(&mut self, epoch: u64, average: &SwaSummary) -> Result<(), ReportError> {
        self.write_average(epoch, average).map_err(ReportError::new)
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.restart(history).map_err(ReportError::new)?;
        let step = history.last().map_or(0, |last| last.step);
        self.steps.restart(step).map_err(ReportError::new)
    }

    fn run_ended(&mut self, status: Status) -> Result<(), ReportError> {
        let status = match status {
            Status::Completed | Status::EarlyStopped => SessionStatus::Success,
            Status::Failed => SessionStatus::Failure,
            Status::Running | Status::Interrupted => return Ok(()),
        };
        self.writer.add_session_end(status, unix_seconds()).map_err(ReportError::new)?;
        self.writer.flush().map_err(ReportError::new)?;
        self.steps.flush().map_err(ReportError::new)
    }
}

/// A run's events could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The events.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The confusion matrix.
    #[error("cannot draw the confusion matrix: {0}")]
    Figure(#[from] figures::FigureError),
}

/// Images on the sheet of samples.
const SAMPLES: usize = 32;
/// Of them in a row.
const COLUMNS: u32 = 8;
/// Images in the projector at most.
const POINTS: usize = 500;
