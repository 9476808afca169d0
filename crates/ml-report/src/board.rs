//! A run's epochs as TensorBoard scalars.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ml_data::dataset::Index;
use ml_data::decode::{self, Pixels};
use ml_data::rng::{Purpose, stream};
use ml_data::transform::Pipeline;

use super::classification::EvaluationReport;
use super::figures;
use super::tensorboard::{EventError, EventWriter};
use ml_core::metrics::MetricSums;
use ml_core::run::unix_seconds;
use ml_core::trainer::{EpochMetrics, EpochReport, ReportError, Reporter};

/// Writes the scalars of each epoch: `Loss/{train,val}`, `Accuracy/{train,val}`, `Learning_Rate`,
/// and with EMA weights `Loss/val_ema`, `Accuracy/val_ema`.
#[allow(missing_debug_implementations)]
pub struct BoardReporter {
    folder: PathBuf,
    writer: EventWriter,
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
    /// Starts the events of a run in `folder` anew: those of earlier processes are removed, and
    /// `history` is written again with the times it had, so that a resumed run has neither gaps nor
    /// doubles.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn start(
        folder: &Path,
        history: &[EpochMetrics],
        wall_time: f64,
    ) -> Result<BoardReporter, EventError> {
        let writer = EventWriter::replace(folder, wall_time)?;
        let mut reporter =
            BoardReporter { folder: folder.to_owned(), writer, written: 0, samples: None, pending: None };
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
        self.samples = Some((tile(&tiles, width, height), unix_seconds()));
        Ok(self.write_samples()?)
    }

    fn write_samples(&mut self) -> Result<(), EventError> {
        let Some((sheet, wall_time)) = &self.samples else { return Ok(()) };
        self.writer.add_rgb("Samples/train", &sheet.data, [sheet.width, sheet.height], 0, *wall_time)
    }

    /// Begins a new file of events with what is left of the history.
    fn restart(&mut self, history: &[EpochMetrics]) -> Result<(), EventError> {
        self.writer = EventWriter::replace(&self.folder, unix_seconds())?;
        self.written = 0;
        self.catch_up(history)?;
        self.write_samples()
    }

    /// Shows an evaluation: `Confusion_Matrix/<split>`, and `Test/Accuracy` if it is the test
    /// split.
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
        let figure =
            figures::confusion_matrix(&report.evaluation.confusion, report.classes, &report.title())?;
        let tag = format!("Confusion_Matrix/{}", report.split);
        self.writer.add_rgb(&tag, &figure.rgb, [figure.width, figure.height], epoch, wall_time)?;
        if report.split == "test" {
            self.writer.add_scalar("Test/Accuracy", report.evaluation.sums.accuracy(), epoch, wall_time)?;
        }
        Ok(self.writer.flush()?)
    }

    fn catch_up(&mut self, history: &[EpochMetrics]) -> Result<(), EventError> {
        for m in &history[self.written.min(history.len())..] {
            let averaged = m
                .ema
                .into_iter()
                .flat_map(|ema| [("Loss/val_ema", ema.val_loss), ("Accuracy/val_ema", ema.val_accuracy)]);
            let scalars = [
                ("Loss/train", m.train_loss),
                ("Loss/val", m.val_loss),
                ("Accuracy/train", m.train_accuracy),
                ("Accuracy/val", m.val_accuracy),
                ("Learning_Rate", m.lr),
            ];
            for (tag, value) in scalars.into_iter().chain(averaged) {
                self.writer.add_scalar(tag, value, m.epoch, m.wall_time)?;
            }
        }
        self.written = history.len();
        self.writer.flush()
    }
}

impl Reporter for BoardReporter {
    fn batches_done(&mut self, _: usize, _: Option<&MetricSums>) -> Result<(), ReportError> {
        self.make_samples().map_err(ReportError::new)
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        _: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        self.catch_up(history).map_err(ReportError::new)?;
        Ok(ControlFlow::Continue(()))
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.restart(history).map_err(ReportError::new)
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

/// Images of one size side by side, row by row.
fn tile(tiles: &[Pixels], width: u32, height: u32) -> Pixels {
    let rows = (tiles.len() as u32).div_ceil(COLUMNS).max(1);
    let mut sheet = Pixels {
        width: width * COLUMNS,
        height: height * rows,
        data: vec![0; (width * COLUMNS * height * rows * 3) as usize],
    };
    for (place, tile) in (0u32..).zip(tiles) {
        let (left, top) = (place % COLUMNS * width, place / COLUMNS * height);
        for (row, line) in (0u32..).zip(tile.data.chunks_exact(width as usize * 3)) {
            let start = (((top + row) * sheet.width + left) * 3) as usize;
            sheet.data[start..start + line.len()].copy_from_slice(line);
        }
    }
    sheet
}
