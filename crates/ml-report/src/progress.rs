//! Progress on stderr: a bar on a terminal, a plain line now and then elsewhere.

use std::ops::ControlFlow;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use ml_core::metrics::MetricSums;
use ml_core::trainer::{EpochMetrics, EpochReport, Phase, ReportError, Reporter, RunStart};
use ml_core::weights::Event;

use super::console::{Console, PLAIN_INTERVAL};
use super::download::DownloadProgress;
use super::html::format::{SPACE, duration};

/// Waiting for data longer than this share of an epoch is worth a warning.
const STARVED: f64 = 0.5;

/// Shows a run's progress.
#[derive(Debug)]
pub struct Progress {
    console: Console,
    bar: ProgressBar,
    batch_size: usize,
    num_epochs: usize,
    phase: Phase,
    epoch: u64,
    done: usize,
    num_batches: usize,
    started: Instant,
    resumed_at: usize,
    last_line: Instant,
    download: Option<DownloadProgress>,
    /// Seconds of the epochs of this process, and how many these are.
    epochs_timed: (f64, u32),
}

impl Progress {
    /// `batch_size` turns batches into images a second.
    pub fn new(console: Console, batch_size: usize, num_epochs: usize) -> Progress {
        let now = Instant::now();
        Progress {
            console,
            bar: ProgressBar::hidden(),
            batch_size,
            num_epochs,
            phase: Phase::Train,
            epoch: 0,
            done: 0,
            num_batches: 0,
            started: now,
            resumed_at: 0,
            last_line: now,
            download: None,
            epochs_timed: (0.0, 0),
        }
    }

    fn images_per_second(&self) -> f64 {
        let images = (self.done - self.resumed_at) * self.batch_size;
        images as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    fn remove_bar(&mut self) {
        self.bar.finish_and_clear();
        self.console.bars.remove(&self.bar);
        self.bar = ProgressBar::hidden();
    }

    fn label(&self) -> String {
        match self.phase {
            Phase::Features => "features".to_owned(),
            Phase::Train => format!("epoch {}/{}", self.epoch + 1, self.num_epochs),
            Phase::Validate => format!("epoch {}/{} validation", self.epoch + 1, self.num_epochs),
            Phase::Embed => "embeddings".to_owned(),
            Phase::Evaluate => "evaluation".to_owned(),
        }
    }
}

impl Reporter for Progress {
    fn fetching(&mut self, name: &str, event: Event<'_>) {
        let download = || DownloadProgress::new(self.console.clone(), name);
        self.download.get_or_insert_with(download).show(event);
    }

    fn run_started(&mut self, _: &RunStart<'_>) -> Result<(), ReportError> {
        self.download = None;
        Ok(())
    }

    fn phase_started(&mut self, phase: Phase, epoch: u64, num_batches: usize, first: usize) {
        self.phase = phase;
        self.epoch = epoch;
        self.done = first;
        self.resumed_at = first;
        self.num_batches = num_batches;
        self.started = Instant::now();
        self.last_line = Instant::now();
        if self.console.interactive {
            let style = ProgressStyle::with_template("{prefix:.bold} {bar:24} {pos}/{len} {msg} {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(num_batches as u64).with_style(style.progress_chars("━━─"));
            self.bar = self.console.bars.add(bar);
            self.bar.set_prefix(self.label());
            self.bar.set_position(first as u64);
            self.bar.reset_eta();
        }
    }

    fn batches_done(&mut self, count: usize, sums: Option<&MetricSums>) -> Result<(), ReportError> {
        self.done += count;
        if self.console.interactive {
            self.bar.inc(count as u64);
            if let Some(sums) = sums {
                self.bar.set_message(format!(
                    "loss {:.4} accuracy {:.4} {:.0} images/s",
                    sums.loss(),
                    sums.accuracy(),
                    self.images_per_second()
                ));
            }
        } else if self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            let rate = self.images_per_second();
            let left = (self.num_batches - self.done) as f64 * self.batch_size as f64 / rate.max(1e-9);
            let metrics = sums
                .map_or_else(String::new, |t| format!("loss {:.4} accuracy {:.4}, ", t.loss(), t.accuracy()));
            tracing::info!(
                "{}: {}/{} batches, {metrics}{rate:.0} images/s, {left:.0} s left",
                self.label(),
                self.done,
                self.num_batches
            );
        }
        Ok(())
    }

    fn phase_finished(&mut self) {
        self.remove_bar();
        tracing::debug!("{}: {:.0} images/s", self.label(), self.images_per_second());
    }

    fn rolled_back(&mut self, _: &[EpochMetrics]) -> Result<(), ReportError> {
        self.remove_bar();
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
        self.epochs_timed = (self.epochs_timed.0 + seconds, self.epochs_timed.1 + 1);
        let mean = self.epochs_timed.0 / f64::from(self.epochs_timed.1);
        let left = mean * report.num_epochs.saturating_sub(m.epoch) as f64;
        let left = match left {
            left if left < 1.0 => String::new(),
            left => format!(", {} left", duration(left).replace(SPACE, " ")),
        };
        tracing::info!(
            "epoch {}/{}: train loss {:.4} accuracy {:.4}, val loss {:.4} accuracy {:.4}{}{}, lr {}, {seconds:.1} s ({:.0} % waiting for data){left}",
            m.epoch,
            report.num_epochs,
            m.train_loss,
            m.train_accuracy,
            m.val_loss,
            m.val_accuracy,
            m.ema.map_or_else(String::new, |ema| format!(
                ", EMA weights loss {:.4} accuracy {:.4}",
                ema.val_loss, ema.val_accuracy
            )),
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

/// Four significant digits without trailing zeros; small and large numbers with an exponent
/// (`3.4e-8`), as Python prints them.
pub(crate) fn significant(value: f64) -> String {
    let text = format!("{value:.3e}");
    let Ok(rounded) = text.parse::<f64>() else { return text };
    let size = rounded.abs();
    if size.is_finite() && size != 0.0 && !(1e-4..1e7).contains(&size) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rates_are_shown_short() {
        assert_eq!(significant(0.1), "0.1");
        assert_eq!(significant(0.000_123_456), "0.0001235");
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(3.4e-8), "3.4e-8");
        assert_eq!(significant(9.876_54e-5), "9.877e-5");
        assert_eq!(significant(1e-30), "1e-30");
    }
}
