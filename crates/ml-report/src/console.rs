//! stderr, shared by bars and log lines.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};

/// Between two plain lines where there is no terminal.
pub(super) const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// stderr, shared by the bar and the log lines, so that neither breaks the other.
#[derive(Clone, Debug)]
pub struct Console {
    pub(super) bars: MultiProgress,
    pub(super) interactive: bool,
}

impl Console {
    /// `interactive`: stderr is a terminal on which bars may be drawn; without, plain lines show
    /// progress.
    pub fn new(interactive: bool) -> Console {
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
