//! A run's steps → the folder `steps` beside its epochs' events: curves over optimizer steps,
//! histograms of weights and gradients, and confusion matrices.
//!
//! A resumed run goes on in a new file and says where from: TensorBoard then forgets what was written
//! of later steps.

use std::path::Path;
use std::time::{Duration, Instant};

use ml_core::metrics::{ConfusionMatrix, MetricSums};
use ml_core::network::Network;
use ml_core::policy::TensorBoardConfig;
use ml_core::run::unix_seconds;
use ml_core::trainer::StepReport;
use ml_data::setting::Auto;
use tch::Tensor;

use super::{BoardError, classes};
use crate::figures;
use crate::tensorboard::{EventError, EventWriter, Histogram};

/// Until what was written is handed to the system.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);
/// Of the time since the start, histograms may take this share.
const SHARE: f64 = 0.004;
/// The time since the start grows by this factor between two histograms, so that their files stay
/// small however long a run takes.
const GROWTH: f64 = 1.05;
/// Seconds between two histograms at least, where a share of the time decides.
const LEAST_GAP: f64 = 1.0;
/// Classes of a confusion matrix: of more, those that are confused most often are drawn.
const CLASSES: usize = 100;
/// What a value of a histogram takes, before one was written.
const SECONDS_A_VALUE: f64 = 5e-8;
/// What drawing a confusion matrix takes, before one was drawn.
const SECONDS_A_MATRIX: f64 = 0.1;

/// Writes what is said of steps.
pub(super) struct Steps {
    writer: EventWriter,
    /// The curve of the share of images that are right.
    pub accuracy: &'static str,
    /// Between two points of a curve.
    interval: Duration,
    started: Instant,
    written: Instant,
    flushed: Instant,
    /// The sums of the epoch when the last point was written.
    last: (u64, MetricSums),
    histograms: Histograms,
    matrices: Schedule,
}

impl Steps {
    /// Goes on in `folder` after `step` steps.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn start(folder: &Path, step: u64, config: &TensorBoardConfig) -> Result<Steps, EventError> {
        let mut writer = EventWriter::create(folder, unix_seconds())?;
        writer.add_restart(step, unix_seconds())?;
        let now = Instant::now();
        let last = (0, MetricSums::default());
        let interval = Duration::try_from_secs_f64(config.scalars_every_seconds).unwrap_or(Duration::MAX);
        let histograms = Histograms::new(config.histograms_every_steps, step);
        let matrices = Schedule::default();
        let accuracy = "Accuracy/train";
        let (started, written, flushed) = (now, now, now);
        Ok(Steps { writer, accuracy, interval, started, written, flushed, last, histograms, matrices })
    }

    /// The run has gone back to `step`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn restart(&mut self, step: u64) -> Result<(), EventError> {
        self.last = (0, MetricSums::default());
        self.histograms.restart(step);
        self.writer.add_restart(step, unix_seconds())
    }

    /// Writes a point of each curve, and histograms, if it is time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn stepped(&mut self, report: &StepReport<'_>) -> Result<(), EventError> {
        if self.written.elapsed() >= self.interval {
            self.written = Instant::now();
            self.add_points(report)?;
        }
        let StepReport { step, network, .. } = *report;
        let estimate = 2.0 * network.num_parameters() as f64 * SECONDS_A_VALUE;
        if self.histograms.is_due(step, self.started.elapsed(), estimate) {
            let began = Instant::now();
            self.add_histograms(network, step, unix_seconds())?;
            self.histograms.done(step, self.started.elapsed(), began.elapsed());
        }
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flushed = Instant::now();
            self.writer.flush()?;
        }
        Ok(())
    }

    fn add_points(&mut self, report: &StepReport<'_>) -> Result<(), EventError> {
        let StepReport { step, epoch, sums, lrs, .. } = *report;
        let before = if self.last.0 == epoch { self.last.1 } else { MetricSums::default() };
        self.last = (epoch, *sums);
        let (images, wall_time) = (sums.count.saturating_sub(before.count), unix_seconds());
        let mean = |sum: f64, divisor: f64| (divisor > 0.0).then(|| sum / divisor);
        let loss = mean(sums.loss_sum - before.loss_sum, sums.loss_divisor - before.loss_divisor);
        let accuracy = mean(sums.correct.saturating_sub(before.correct) as f64, images as f64);
        let mut points: Vec<(String, f64)> = Vec::new();
        points.extend(loss.map(|loss| ("Loss/train".to_owned(), loss)));
        points.extend(accuracy.map(|accuracy| (self.accuracy.to_owned(), accuracy)));
        match lrs {
            &[lr] => points.push(("Learning_Rate".to_owned(), lr)),
            lrs => {
                let of_group = |(group, lr): (usize, &f64)| (format!("Learning_Rate/group_{group}"), *lr);
                points.extend(lrs.iter().enumerate().map(of_group));
            }
        }
        for (tag, value) in points {
            self.writer.add_scalar(&tag, value, step, wall_time)?;
        }
        Ok(())
    }

    /// Draws the confusion matrix of the validation split after `step` steps, if it is time.
    ///
    /// # Errors
    /// It cannot be drawn, or the file cannot be written.
    pub fn validated(
        &mut self,
        step: u64,
        pairs: &ConfusionMatrix,
        names: &[String],
    ) -> Result<(), BoardError> {
        if !self.matrices.is_due(self.started.elapsed(), SECONDS_A_MATRIX) {
            return Ok(());
        }
        let began = Instant::now();
        let mut title = format!("Confusion matrix, val split, step {step}");
        if names.len() > CLASSES {
            title += &format!(", the {CLASSES} most confused of {} classes", names.len());
        }
        let (pairs, names) = classes::most_confused(pairs, names, CLASSES);
        let figure = figures::confusion_matrix(&pairs, &names, &title)?;
        let size = [figure.width, figure.height];
        self.writer.add_rgb("Confusion_Matrix/val", &figure.rgb, size, step, unix_seconds())?;
        self.matrices.done(self.started.elapsed(), began.elapsed());
        Ok(())
    }

    /// Hands what was written to the system.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<(), EventError> {
        self.writer.flush()
    }

    fn add_histograms(&mut self, network: &Network, step: u64, wall_time: f64) -> Result<(), EventError> {
        for (name, parameter) in network.parameters() {
            let gradient = parameter.grad();
            let gradient = gradient.defined().then_some(gradient);
            for (kind, tensor) in [("Weights", Some(parameter.detach())), ("Gradients", gradient)] {
                let Some(values) = tensor.as_ref().and_then(values) else { continue };
                let histogram = Histogram::of(values);
                if histogram.num() > 0 {
                    let tag = format!("{kind}/{}", name.replace('.', "/"));
                    self.writer.add_histogram(&tag, &histogram, step, wall_time)?;
                }
            }
        }
        Ok(())
    }
}

/// All values; none where the device does not answer, which the next step will tell.
fn values(tensor: &Tensor) -> Option<Vec<f32>> {
    let host = torch_ext::to_host(&tensor.to_kind(tch::Kind::Float)).ok()?;
    Vec::try_from(host.flatten(0, -1)).ok()
}

/// When histograms are due.
#[derive(Debug)]
enum Histograms {
    ByShare(Schedule),
    /// Every so many steps; the last were of step `last`.
    EverySteps {
        steps: u64,
        last: u64,
    },
    Never,
}

impl Histograms {
    /// From `step` on.
    fn new(every: Auto<usize>, step: u64) -> Histograms {
        match every {
            Auto::Auto => Histograms::ByShare(Schedule::default()),
            Auto::Value(0) => Histograms::Never,
            Auto::Value(steps) => Histograms::EverySteps { steps: steps as u64, last: step },
        }
    }

    /// A step between those that are reported counts at the next that is.
    fn is_due(&self, step: u64, elapsed: Duration, estimate: f64) -> bool {
        match self {
            Histograms::ByShare(schedule) => schedule.is_due(elapsed, estimate),
            Histograms::EverySteps { steps, last } => step / steps > last / steps,
            Histograms::Never => false,
        }
    }

    fn done(&mut self, step: u64, elapsed: Duration, took: Duration) {
        match self {
            Histograms::ByShare(schedule) => schedule.done(elapsed, took),
            Histograms::EverySteps { last, .. } => *last = step,
            Histograms::Never => {}
        }
    }

    fn restart(&mut self, step: u64) {
        if let Histograms::EverySteps { last, .. } = self {
            *last = step;
        }
    }
}

/// When something is due that may take a share of the time.
#[derive(Debug, Default)]
struct Schedule {
    /// Seconds that all took.
    spent: f64,
    /// Seconds of one, by the last.
    cost: Option<f64>,
    /// Seconds after the start before which there is none.
    next: f64,
}

impl Schedule {
    /// `estimate` is what the first may take, in seconds.
    fn is_due(&self, elapsed: Duration, estimate: f64) -> bool {
        let cost = self.cost.unwrap_or(estimate);
        let elapsed = elapsed.as_secs_f64();
        elapsed >= self.next.max(LEAST_GAP) && self.spent + cost <= SHARE * elapsed
    }

    fn done(&mut self, elapsed: Duration, took: Duration) {
        self.spent += took.as_secs_f64();
        self.cost = Some(took.as_secs_f64());
        let elapsed = elapsed.as_secs_f64();
        self.next = (elapsed * GROWTH).max(elapsed + LEAST_GAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_come_every_so_many_steps_or_never() {
        let due = |every, from: u64, reported: &[u64]| {
            let mut histograms = Histograms::new(Auto::Value(every), from);
            let mut found = Vec::new();
            for &step in reported {
                if histograms.is_due(step, Duration::ZERO, 1.0) {
                    histograms.done(step, Duration::ZERO, Duration::ZERO);
                    found.push(step);
                }
            }
            found
        };
        assert_eq!(due(10, 0, &[3, 9, 10, 11, 25, 29, 30]), [10, 25, 30]);
        // A resumed run has written those of its step.
        assert_eq!(due(10, 20, &[21, 29, 33]), [33]);
        assert_eq!(due(1, 0, &[1, 2]), [1, 2]);
        assert!(due(0, 0, &[1, 2, 1000]).is_empty());
        let mut histograms = Histograms::new(Auto::Value(10), 0);
        histograms.done(40, Duration::ZERO, Duration::ZERO);
        histograms.restart(15);
        assert!(histograms.is_due(20, Duration::ZERO, 1.0));
    }

    #[test]
    fn of_many_classes_the_matrix_shows_those_that_are_confused_most() {
        let folder = tempfile::tempdir().unwrap();
        let mut steps = Steps::start(folder.path(), 0, &TensorBoardConfig::default()).unwrap();
        let names: Vec<String> = (0..120).map(|class| format!("c{class}")).collect();
        let mut pairs = ConfusionMatrix::new(120);
        (0..120).for_each(|class| pairs.add_many(class, (class + 1) % 120, 5));
        // A matrix takes a share of the time since the start.
        steps.started = Instant::now().checked_sub(Duration::from_mins(5)).unwrap();
        steps.validated(7, &pairs, &names).unwrap();
        steps.flush().unwrap();
        let found = test_support::python_json("tensorboard_read.py", &[folder.path()]);
        assert_eq!(found["images"]["Confusion_Matrix/val"][0][0], 7);
    }

    #[test]
    fn histograms_take_a_small_share_of_the_time_and_grow_rarer() {
        let (mut schedule, mut count, mut second) = (Schedule::default(), 0, 0);
        // A day, looked at every second; each takes a fifth of a second.
        while second < 86_400 {
            second += 1;
            let elapsed = Duration::from_secs(second);
            if schedule.is_due(elapsed, 0.2) {
                count += 1;
                schedule.done(elapsed, Duration::from_millis(200));
                assert!(schedule.spent <= SHARE * second as f64);
            }
        }
        assert!((100..400).contains(&count), "{count}");
        // However little one takes.
        let mut schedule = Schedule::default();
        let due = |schedule: &Schedule, millis| schedule.is_due(Duration::from_millis(millis), 0.0);
        assert!(!due(&schedule, 900) && due(&schedule, 1000));
        schedule.done(Duration::from_secs(1), Duration::ZERO);
        assert!(!due(&schedule, 1900) && due(&schedule, 2000));
    }
}
