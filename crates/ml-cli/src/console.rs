//! stderr is the conversation: log lines, warnings, errors.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use ml_data::table::printable_lines;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::escapes;
use crate::flags::{ColorChoice, ConsoleArgs};
use crate::log_file::LogFile;

/// Whether stderr is coloured: as requested, else on a terminal that takes escape sequences.
pub fn colored(choice: ColorChoice) -> bool {
    choice == ColorChoice::Always || redraws(choice)
}

/// Whether progress bars are drawn, which move the cursor: on a terminal that takes escape
/// sequences, unless neither colours nor notes are wanted. Elsewhere plain lines show progress.
pub fn draws_bars(args: &ConsoleArgs) -> bool {
    args.quiet == 0 && redraws(args.color)
}

/// Whether escape sequences other than requested colours may be written to stderr.
fn redraws(choice: ColorChoice) -> bool {
    let wanted = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => escapes::wanted(),
    };
    wanted && io::stderr().is_terminal()
}

/// This process's number among those of one training.
static RANK: OnceLock<usize> = OnceLock::new();

/// Begins every line on stderr with `rank N: ` from here on, unless that is 0. To be called once, first
/// thing.
pub fn set_rank(rank: usize) {
    let _ = RANK.set(rank);
}

/// The process's number among those of one training; 0 of one that is alone.
pub fn rank() -> usize {
    RANK.get().copied().unwrap_or(0)
}

/// `text` with what every line of this process begins with.
fn prefixed(text: &str) -> String {
    match rank() {
        0 => text.to_owned(),
        rank => text.split_inclusive('\n').map(|line| format!("rank {rank}: {line}")).collect(),
    }
}

/// stderr for the log of a process that is not the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RankWriter;

impl Write for RankWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(prefixed(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A message on stderr, in which names of files and classes cannot disturb the terminal. A closed
/// stderr must not end what goes well, so that it cannot be written is not reported.
pub fn tell(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", prefixed(&printable_lines(&line.to_string())));
}

/// An error and its causes on stderr, each once, never a backtrace.
pub fn print_error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    tell(format_args!("error: {text}"));
}

/// The running log, to which a run's file can be added once its folder is there.
#[derive(Clone, Debug, Default)]
pub struct Log {
    file: Arc<Mutex<Option<LogFile>>>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Starts the log: lines `2026-11-23 10:15:00 | INFO     | …` to `writer` (stderr, or what steps
/// aside for a progress bar). Call it once, first thing.
pub fn start_log<W>(args: &ConsoleArgs, writer: W) -> Log
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match (args.verbose, args.quiet) {
        (0, 0) => LevelFilter::INFO,
        (1, _) => LevelFilter::DEBUG,
        (2.., _) => LevelFilter::TRACE,
        (_, 1) => LevelFilter::WARN,
        (_, 2..) => LevelFilter::ERROR,
    };
    let log = Log::default();
    let file_writer = log.clone();
    let file = tracing_subscriber::fmt::layer()
        .event_format(Line { colored: false })
        .with_ansi(false)
        .with_writer(move || file_writer.clone())
        .with_filter(LevelFilter::DEBUG);
    let console = tracing_subscriber::fmt::layer()
        .event_format(Line { colored: colored(args.color) })
        .with_writer(writer)
        .with_filter(level);
    // A second start (in tests) keeps the first.
    let _ = tracing_subscriber::registry().with(file).with(console).try_init();
    log
}

impl Log {
    /// Adds `folder/train.log`, at level DEBUG; earlier days' lines lie in `train.<date>.log`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn also_to_file(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot make the log folder", folder.display()))?;
        let file = LogFile::open(folder)
            .with_context(|| format!("{}: cannot make the log file", folder.display()))?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }
}

/// `time | LEVEL    | message`.
struct Line {
    colored: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let name = match level {
            Level::WARN => "WARNING",
            Level::ERROR => "ERROR",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            _ => "TRACE",
        };
        write!(writer, "{} | ", jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S"))?;
        if self.colored {
            let color = match level {
                Level::ERROR => "31",
                Level::WARN => "33",
                Level::INFO => "32",
                _ => "36",
            };
            write!(writer, "\x1b[{color}m{name:<8}\x1b[0m | ")?;
        } else {
            write!(writer, "{name:<8} | ")?;
        }
        let mut message = String::new();
        ctx.field_format().format_fields(Writer::new(&mut message), event)?;
        writeln!(writer, "{}", printable_lines(&message))
    }
}
