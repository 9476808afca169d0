//! Progress on stderr: a bar on a terminal, a plain line now and then elsewhere.
//!
//! In: what a run reports, kept in a [`Dashboard`]. Out: text with the same estimates of the time
//! that is left as the dashboard's.

use std::ops::ControlFlow;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use ml_core::metrics::MetricSums;
use ml_core::trainer::{EpochMetrics, EpochReport, LabelFigures, Phase, ReportError, Reporter, RunStart};
use ml_core::weights::Event;

use super::console::{Console, PLAIN_INTERVAL};
use super::dashboard::{self, Dashboard, RunInfo, duration};
use super::download::DownloadProgress;
use super::numbers::significant;

/// Waiting for data longer than this share of an epoch is worth a warning.
const STARVED: f64 = 0.5;
/// Seconds below which a time that is left is not worth a word.
const SOON: f64 = 1.0;

/// Shows a run's progress.
#[derive(Debug)]
pub struct Progress {
    console: Console,
    bar: ProgressBar,
    state: Dashboard,
    last_line: Instant,
    download: Option<DownloadProgress>,
}

impl Progress {
    /// `batch_size` turns batches into images a second.
    pub fn new(console: Console, batch_size: usize, num_epochs: usize) -> Progress {
        let now = Instant::now();
        let mut state = Dashboard::new(now);
        let info = RunInfo { batch_size, num_epochs: num_epochs as u64, ..RunInfo::default() };
        state.run_started(info, Vec::new());
        Progress { console, bar: ProgressBar::hidden(), state, last_line: now, download: None }
    }

    fn remove_bar(&mut self) {
        self.bar.finish_and_clear();
        self.console.bars.remove(&self.bar);
        self.bar = ProgressBar::hidden();
    }
}

impl Reporter for Progress {
    fn fetching(&mut self, name: &str, event: Event<'_>) {
        let download = || DownloadProgress::new(self.console.clone(), name);
        self.download.get_or_insert_with(download).show(event);
    }

    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        self.download = None;
        let history = dashboard::history(start.history, start.config.training.monitor());
        let batch_schedule = start.config.training.batch_schedule.clone();
        self.state.run_started(RunInfo { batch_schedule, ..self.state.info.clone() }, history);
        Ok(())
    }

    fn phase_started(&mut self, phase: Phase, epoch: u64, num_batches: usize, first: usize) {
        self.last_line = Instant::now();
        self.state.phase_started(phase, epoch, num_batches, first, self.last_line);
        if self.console.interactive {
            let style = ProgressStyle::with_template("{prefix:.bold} {bar:16} {pos}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(num_batches as u64).with_style(style.progress_chars("━━─"));
            self.bar = self.console.bars.add(bar);
            self.bar.set_prefix(label(&self.state));
            self.bar.set_position(first as u64);
        }
    }

    fn batches_done(&mut self, count: usize, sums: Option<&MetricSums>) -> Result<(), ReportError> {
        let now = Instant::now();
        let metrics = sums.map(|sums| (sums.loss(), sums.accuracy()));
        self.state.batches_done(count, metrics, now);
        if self.console.interactive {
            self.bar.set_message(moment(&self.state, now));
            self.bar.inc(count as u64);
        } else if self.last_line.elapsed() >= PLAIN_INTERVAL
            && let Some(phase) = &self.state.phase
        {
            self.last_line = now;
            let (done, all) = (phase.done, phase.num_batches);
            tracing::info!("{}: {done}/{all} batches, {}", label(&self.state), moment(&self.state, now));
        }
        Ok(())
    }

    fn phase_finished(&mut self) {
        self.remove_bar();
        self.state.phase_finished();
        let rate = self.state.images_per_second().unwrap_or(0.0);
        tracing::debug!("{}: {rate:.0} images/s", label(&self.state));
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.remove_bar();
        self.state.rolled_back(history.len());
        Ok(())
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        report: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        let Some(m) = history.last() else { return Ok(ControlFlow::Continue(())) };
        let seconds = report.elapsed.as_secs_f64();
        let waited = report.waited.as_secs_f64();
        self.state.info.num_epochs = report.num_epochs;
        self.state.epoch_finished(dashboard::completed(m, report));
        let left = self.state.run_seconds_left(Instant::now()).filter(|left| *left >= SOON);
        let left = left.map_or_else(String::new, |left| format!(", {} left", duration(left)));
        let all = match report.num_epochs {
            0 => String::new(),
            all => format!("/{all}"),
        };
        tracing::info!(
            "epoch {}{all}: {}{}, lr {}, {seconds:.1} s ({:.0} % waiting for data){left}",
            m.epoch,
            figures(m),
            if report.improved { " (best)" } else { "" },
            significant(m.lr),
            100.0 * waited / seconds.max(1e-9),
        );
        if waited > STARVED * seconds && seconds > 5.0 {
            tracing::warn!(
                "training waited for data most of the time; more --num_workers, smaller images on disk, or a \
                 smaller transforms.train.resize would help"
            );
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// `train loss 0.4100 accuracy 0.8730, val loss 0.3213 accuracy 0.8765`; with several labels an image
/// mAP and F1 on the validation images in place of accuracies.
fn figures(m: &EpochMetrics) -> String {
    let figure = |name: &str, value: f64| format!(" {name} {value:.4}");
    let [train, val, ema] = match m.labels {
        Some(LabelFigures { map, micro_f1, macro_f1, .. }) => [
            String::new(),
            format!(" mAP {map:.4} micro F1 {micro_f1:.4} macro F1 {macro_f1:.4}"),
            m.ema.and_then(|ema| ema.val_map).map_or_else(String::new, |map| figure("mAP", map)),
        ],
        None => [
            figure("accuracy", m.train_accuracy),
            figure("accuracy", m.val_accuracy),
            m.ema.map_or_else(String::new, |ema| figure("accuracy", ema.val_accuracy)),
        ],
    };
    let ema = m.ema.map(|found| format!(", EMA weights loss {:.4}{ema}", found.val_loss)).unwrap_or_default();
    format!("train loss {:.4}{train}, val loss {:.4}{val}{ema}", m.train_loss, m.val_loss)
}

/// `epoch 3/25 validation`.
fn label(state: &Dashboard) -> String {
    let Some(phase) = &state.phase else { return String::new() };
    let epoch = || match state.info.num_epochs {
        0 => format!("epoch {}", phase.epoch + 1),
        all => format!("epoch {}/{all}", phase.epoch + 1),
    };
    match phase.phase {
        Phase::Features => "features".to_owned(),
        Phase::Train => epoch(),
        Phase::Validate => epoch() + " validation",
        Phase::BatchNorm => "batch norms".to_owned(),
        Phase::Embed => "embeddings".to_owned(),
        Phase::Evaluate => "evaluation".to_owned(),
    }
}

/// `loss 0.3213 accuracy 0.8765, 835 images/s, 35 s left (run 23:21)`, without what is not known.
fn moment(state: &Dashboard, now: Instant) -> String {
    let metrics = state.phase.as_ref().and_then(|phase| Some((phase.loss?, phase.accuracy?)));
    let parts = [
        metrics.map(|(loss, accuracy)| format!("loss {loss:.4} accuracy {accuracy:.4}")),
        state.images_per_second().map(|rate| format!("{rate:.0} images/s")),
        left(state, now),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Until the phase ends, and in brackets until the run does, if that is later.
fn left(state: &Dashboard, now: Instant) -> Option<String> {
    let phase = state.phase.as_ref()?;
    let seconds = phase.seconds_left(now)?;
    let of_epoch = matches!(phase.phase, Phase::Train | Phase::Validate);
    let of_run = of_epoch.then(|| state.run_seconds_left(now)).flatten();
    let of_run = of_run.filter(|of_run| *of_run >= seconds + SOON);
    let of_run = of_run.map_or_else(String::new, |of_run| format!(" (run {})", duration(of_run)));
    Some(format!("{} left{of_run}", duration(seconds)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ml_core::policy::{BatchScheduleConfig, BatchSizeFrom};

    use super::*;
    use crate::dashboard::{Epoch, EpochTime};

    #[test]
    fn bars_and_lines_say_when_the_phase_and_when_the_run_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = Dashboard::new(start);
        let info = RunInfo { num_epochs: 4, batch_size: 32, ..RunInfo::default() };
        state.run_started(info, Vec::new());
        assert_eq!((label(&state), moment(&state, start)), (String::new(), String::new()));
        state.phase_started(Phase::Train, 0, 100, 0, at(10));
        assert_eq!(moment(&state, at(10)), "");
        state.batches_done(25, Some((0.5, 0.25)), at(35));
        // 1 s a batch: 75 s of this epoch, and 100 s for each of three.
        assert_eq!(label(&state), "epoch 1/4");
        let expected = "loss 0.5000 accuracy 0.2500, 32 images/s, 1:10 left (run 6:10)";
        assert_eq!(moment(&state, at(40)), expected);
        // What the batch did not report is still known.
        state.batches_done(1, None, at(36));
        assert!(moment(&state, at(36)).starts_with("loss 0.5000 accuracy 0.2500, 32 images/s, "));

        let time = EpochTime { elapsed: Duration::from_secs(110), waited: Duration::ZERO };
        for epoch in 1..=3 {
            state.epoch_finished(Epoch {
                epoch,
                train_loss: 1.0,
                train_accuracy: 0.5,
                val_loss: 1.0,
                val_accuracy: 0.5,
                lr: 0.1,
                improved: false,
                time: Some(time),
            });
        }
        state.phase_started(Phase::Train, 3, 100, 0, at(300));
        state.phase_finished();
        state.phase_started(Phase::Validate, 3, 20, 0, at(400));
        state.batches_done(10, None, at(405));
        // The last phase of the last epoch: the run ends with it.
        assert_eq!(
            (label(&state), left(&state, at(405))),
            ("epoch 4/4 validation".into(), Some("5.0 s left".into()))
        );
        state.phase_started(Phase::Embed, 3, 20, 0, at(500));
        state.batches_done(10, None, at(505));
        assert_eq!(moment(&state, at(505)), "64 images/s, 5.0 s left");
    }

    #[test]
    fn the_rate_is_that_of_the_epochs_batch_size() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let part = BatchSizeFrom { from_epoch: 2, batch_size: 96 };
        let batch_schedule =
            BatchScheduleConfig { batch_sizes: vec![part], ..BatchScheduleConfig::default() };
        let mut state = Dashboard::new(start);
        let batch_schedule = Some(batch_schedule);
        state.run_started(RunInfo { batch_size: 32, batch_schedule, ..RunInfo::default() }, Vec::new());
        let mut rate = |phase, epoch| {
            state.phase_started(phase, epoch, 20, 0, at(0));
            state.batches_done(2, None, at(4));
            state.images_per_second()
        };
        assert_eq!(rate(Phase::Train, 1), Some(16.0));
        assert_eq!(rate(Phase::Train, 2), Some(48.0));
        assert_eq!(rate(Phase::Validate, 2), Some(16.0));
    }
}
