//! Progress on stderr: a bar on a terminal, a plain line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ml_data::check::Progress;

/// Between two plain lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// Shows how far the examination is.
pub struct Meter {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
}

impl Meter {
    /// `interactive`: a bar may be drawn.
    pub fn start(total: usize, interactive: bool) -> Meter {
        let style = ProgressStyle::with_template("{prefix:.bold} {bar:24} {pos}/{len} {msg} {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = interactive.then(|| {
            let bar = ProgressBar::new(total as u64).with_style(style.progress_chars("━━─"));
            bar.set_prefix("check");
            bar
        });
        Meter { bar, started: Instant::now(), last_line: Instant::now() }
    }

    pub fn show(&mut self, progress: Progress) {
        let Progress { done, total, unusable } = progress;
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            let bad = if unusable > 0 { format!("{unusable} unreadable, ") } else { String::new() };
            bar.set_message(format!("{bad}{rate:.0} images/s"));
        } else if self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            let left = (total - done) as f64 / rate.max(1e-9);
            tracing::info!(
                "check: {done}/{total} images, {unusable} unreadable, {rate:.0} images/s, {left:.0} s left"
            );
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        tracing::debug!("check: {:.1} s", self.started.elapsed().as_secs_f64());
    }
}
