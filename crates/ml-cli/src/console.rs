//! stderr is the conversation: log lines, warnings, errors.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tracing::{Event, Level, Subscriber};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::flags::{ColorChoice, ConsoleArgs};

/// Days of log files kept in a run folder.
const LOG_FILES: usize = 14;

/// Whether stderr is coloured: as asked, else on a terminal without `NO_COLOR`.
pub fn colored(choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// A line on stderr. Nobody can be told that it cannot be written: a closed stderr must not end
/// what goes well.
pub fn tell(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
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
    file: Arc<Mutex<Option<RollingFileAppender>>>,
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
    /// Adds `folder/train.log` (a link to today's file), at level DEBUG.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn also_to_file(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot make the log folder", folder.display()))?;
        // The link to the newest file holds the path as given: a relative one would lead nowhere.
        let folder =
            &folder.canonicalize().with_context(|| format!("{}: cannot find it again", folder.display()))?;
        let appender = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("train")
            .filename_suffix("log")
            .latest_symlink("train.log")
            .max_log_files(LOG_FILES)
            .build(folder)
            .with_context(|| format!("{}: cannot make the log file", folder.display()))?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(appender);
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
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
