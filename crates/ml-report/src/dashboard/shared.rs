//! A [`Dashboard`] that the training loop, the log and the screen share.
//!
//! In: changes of the state, and bytes of the log. Out: the state for each frame; and the log on
//! stderr as long as no screen is up, with what the screen has shown of it once that is gone.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::log::LineBuffer;
use super::patience::{lock_within_patience, write_unless_stalled};
use super::state::Dashboard;

/// A dashboard's state, for several threads. Cloning it gives another handle.
#[derive(Clone, Debug)]
pub struct SharedDashboard(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    dashboard: Dashboard,
    buffer: LineBuffer,
    /// Whether a screen shows the log.
    is_up: bool,
    /// Grows with each change.
    revision: u64,
}

impl SharedDashboard {
    /// Of a run about which nothing is known yet. Times count from `now`.
    pub fn new(now: Instant) -> SharedDashboard {
        let dashboard = Dashboard::new(now);
        SharedDashboard(Arc::new(Mutex::new(Shared {
            dashboard,
            buffer: LineBuffer::default(),
            is_up: false,
            revision: 0,
        })))
    }

    /// Changes the state. `change` must not write to the log, which would wait for it for ever.
    pub fn update(&self, change: impl FnOnce(&mut Dashboard)) {
        let mut shared = self.lock();
        change(&mut shared.dashboard);
        shared.revision += 1;
    }

    /// A writer for lines of the log.
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }

    /// A number that grows with each change.
    pub(super) fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub(super) fn view(&self, look: impl FnOnce(&Dashboard)) {
        look(&self.lock().dashboard);
    }

    /// From now on the log goes into the state.
    pub(super) fn screen_is_up(&self) {
        self.lock().is_up = true;
    }

    /// From now on the log goes to stderr, and so do the lines that a screen has shown. It does
    /// nothing where the state is not free for a moment: a thread that panics may hold it.
    pub(super) fn screen_is_gone(&self) {
        let Some(mut shared) = lock_within_patience(&self.0) else { return };
        if std::mem::take(&mut shared.is_up) {
            // With stderr gone, nobody could be told.
            let _ = write_unless_stalled(shared.take_log().as_bytes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The log that the screen has shown, as text for stderr.
    fn take_log(&mut self) -> String {
        let Shared { dashboard, buffer, .. } = self;
        buffer.flush(|line| dashboard.log_line(line));
        let (dropped, lines) = dashboard.log.take();
        let mut text = String::new();
        if dropped > 0 {
            text = format!("({dropped} earlier lines of the log are in the run's log file only)\n");
        }
        lines.iter().for_each(|line| text.extend([line, "\n"]));
        text
    }
}

/// Writes lines of the log into the dashboard while a screen is up, to stderr otherwise.
#[derive(Clone, Debug)]
pub struct LogWriter(SharedDashboard);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shared = self.0.lock();
        if !shared.is_up {
            drop(shared);
            return io::stderr().write(bytes);
        }
        let Shared { dashboard, buffer, revision, .. } = &mut *shared;
        buffer.write(bytes, |line| dashboard.log_line(line));
        *revision += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_goes_into_the_state_while_a_screen_is_up() {
        let shared = SharedDashboard::new(Instant::now());
        shared.screen_is_up();
        let mut writer = shared.log_writer();
        writer.write_all(b"one\nbeg").unwrap();
        let latest = |shared: &SharedDashboard| {
            let mut latest = None;
            shared.view(|dashboard| latest = dashboard.log.latest_first().next().map(str::to_owned));
            latest
        };
        assert_eq!((latest(&shared).as_deref(), shared.revision()), (Some("one"), 1));
        writer.clone().write_all(b"un\nopen").unwrap();
        assert_eq!((latest(&shared).as_deref(), shared.revision()), (Some("begun"), 2));
        assert_eq!(shared.lock().take_log(), "one\nbegun\nopen\n");
        assert_eq!((latest(&shared), shared.lock().take_log()), (None, String::new()));
        (0..201).for_each(|_| writer.write_all(b"more\n").unwrap());
        assert!(shared.lock().take_log().starts_with("(1 earlier lines"));
    }
}
