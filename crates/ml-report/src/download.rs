//! The progress of a file that is fetched: a bar on a terminal, a plain line now and then
//! elsewhere.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::console::{Console, PLAIN_INTERVAL};
use ml_core::weights::Event;

/// Shows a transfer.
#[derive(Debug)]
pub struct DownloadProgress {
    console: Console,
    bar: ProgressBar,
    name: String,
    /// The bytes that were there at the beginning, once they are known.
    first: Option<u64>,
    last_line: Instant,
}

impl DownloadProgress {
    /// `name` is the file's.
    pub fn new(console: Console, name: &str) -> DownloadProgress {
        let bar = ProgressBar::hidden();
        DownloadProgress { console, bar, name: name.to_owned(), first: None, last_line: Instant::now() }
    }

    /// Shows what has happened.
    pub fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Progress { done, total } => self.progress(done, total),
            Event::Retry { reason, wait } => {
                tracing::warn!("{}: {reason}; trying again in {} s", self.name, wait.as_secs_f64());
            }
            Event::OtherProcess => {
                tracing::info!("{}: another process is fetching it; waiting for that one", self.name);
            }
            Event::Idle => {}
        }
    }

    fn progress(&mut self, done: u64, total: Option<u64>) {
        if self.first.is_none() {
            self.first = Some(done);
            if done > 0 {
                tracing::info!("{}: continuing after the {} that were there", self.name, megabytes(done));
            }
            if self.console.interactive {
                let template = "{prefix:.bold} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
                let style = ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("━━─");
                self.bar = self.console.bars.add(ProgressBar::new(total.unwrap_or(done)).with_style(style));
                self.bar.set_prefix(self.name.clone());
                self.bar.set_position(done);
                self.bar.reset_eta();
            }
        }
        if self.console.interactive {
            self.bar.set_length(total.unwrap_or(done));
            self.bar.set_position(done);
        } else if self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            let of = total.map_or_else(String::new, |total| format!(" of {}", megabytes(total)));
            tracing::info!("{}: {}{of}", self.name, megabytes(done));
        }
    }
}

impl Drop for DownloadProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.console.bars.remove(&self.bar);
    }
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
