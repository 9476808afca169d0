//! Progress on stderr: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use ml_core::metrics::MetricSums;
use ml_core::trainer::{EpochMetrics, EpochReport, Phase, ReportError, Reporter};

/// Between two plain lines where there is no terminal.
pub(super) const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// Waiting for data longer than this share of an epoch is worth a warning.
const STARVED: f64 = 0.5;

/// stderr, shared by the bar and the log lines, so that neither breaks the other.
#[derive(Clone, Debug)]
pub struct Console {
    pub(super) bars: MultiProgress,
    pub(super) interactive: bool,
}

impl Console {
    /// Bars are drawn only if stderr is a terminal and `bars` are wanted.
    pub fn new(bars: bool) -> Console {
        let interactive = bars && io::stderr().is_terminal();
        let target = if interactive { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Console { bars: MultiProgress::with_draw_target(target), interactive }
    }

    /// A writer for log lines that steps aside for the bar.
    pub fn writer(&self) -> ConsoleWriter {
        ConsoleWriter { bars: self.bars.clone() }
    }
}

/// Writes to stderr between two drawings of the bar.
#[derive(Clone, Debug)]
pub struct ConsoleWriter {
    bars: MultiProgress,
}

impl Write for ConsoleWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

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
            Phase::Train => format!("epoch {}/{}", self.epoch + 1, self.num_epochs),
            Phase::Validate => format!("epoch {}/{} validation", self.epoch + 1, self.num_epochs),
            Phase::Evaluate => "evaluation".to_owned(),
        }
    }
}

impl Reporter for Progress {
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

    fn batches_done(&mut self, count: usize, totals: Option<&MetricSums>) -> Result<(), ReportError> {
        self.done += count;
        if self.console.interactive {
            self.bar.inc(count as u64);
            if let Some(totals) = totals {
                self.bar.set_message(format!(
                    "loss {:.4} accuracy {:.4} {:.0} images/s",
                    totals.loss(),
                    totals.accuracy(),
                    self.images_per_second()
                ));
            }
        } else if self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            let rate = self.images_per_second();
            let left = (self.num_batches - self.done) as f64 * self.batch_size as f64 / rate.max(1e-9);
            let figures = totals
                .map_or_else(String::new, |t| format!("loss {:.4} accuracy {:.4}, ", t.loss(), t.accuracy()));
            tracing::info!(
                "{}: {}/{} batches, {figures}{rate:.0} images/s, {left:.0} s left",
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

    fn epoch_finished(&mut self, history: &[EpochMetrics], report: &EpochReport) -> Result<(), ReportError> {
        let Some(m) = history.last() else { return Ok(()) };
        let seconds = report.elapsed.as_secs_f64();
        let waited = report.waited.as_secs_f64();
        tracing::info!(
            "epoch {}/{}: train loss {:.4} accuracy {:.4}, val loss {:.4} accuracy {:.4}{}{}, lr {}, {seconds:.1} s ({:.0} % waiting for data)",
            m.epoch,
            report.num_epochs,
            m.train_loss,
            m.train_accuracy,
            m.val_loss,
            m.val_accuracy,
            m.ema.map_or_else(String::new, |ema| format!(
                ", averaged weights loss {:.4} accuracy {:.4}",
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
        Ok(())
    }
}

/// Four significant digits without trailing zeros.
fn significant(value: f64) -> String {
    let text = format!("{value:.3e}");
    text.parse::<f64>().map_or(text, |rounded| rounded.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rates_are_shown_short() {
        assert_eq!(significant(0.1), "0.1");
        assert_eq!(significant(0.000_123_456), "0.0001235");
        assert_eq!(significant(0.0), "0");
    }
}
