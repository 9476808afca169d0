//! `train.log` of a run folder: a file of its own, no link, so that a run can be moved and lie on a
//! file system without links. What an earlier day logged is renamed to `train.<date>.log`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing_appender::rolling::{RollingFileAppender, Rotation};

/// Days of log files kept in a run folder.
const LOG_FILES: usize = 14;
const PREFIX: &str = "train";
const SUFFIX: &str = "log";

/// Appends to today's file.
#[derive(Debug)]
pub(crate) struct LogFile {
    folder: PathBuf,
    /// Of the file that is open.
    day: Date,
    file: RollingFileAppender,
}

impl LogFile {
    /// Opens `folder/train.log`.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub(crate) fn open(folder: &Path) -> io::Result<LogFile> {
        let path = current(folder);
        match fs::symlink_metadata(&path) {
            // A link to the day's file, as earlier versions made it.
            Ok(status) if status.is_symlink() => fs::remove_file(&path)?,
            Ok(status) => {
                let day = status.modified().map_or_else(|_| today(), date);
                if day != today() {
                    // A file that cannot be renamed is added to.
                    let _ = rotate(folder, day);
                }
            }
            Err(_) => {}
        }
        Ok(LogFile { folder: folder.to_owned(), day: today(), file: append(folder)? })
    }

    /// Starts another file if `today` is another day than that of the open one.
    fn turn_to(&mut self, today: Date) -> io::Result<()> {
        if today == self.day {
            return Ok(());
        }
        let ended = std::mem::replace(&mut self.day, today);
        rotate(&self.folder, ended)?;
        self.file = append(&self.folder)?;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A file that cannot be renamed is kept: nothing of the log is lost.
        let _ = self.turn_to(today());
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn current(folder: &Path) -> PathBuf {
    folder.join(format!("{PREFIX}.{SUFFIX}"))
}

fn today() -> Date {
    jiff::Zoned::now().date()
}

/// The day of `time` where we are.
fn date(time: SystemTime) -> Date {
    jiff::Timestamp::try_from(time).map_or_else(|_| today(), |time| time.to_zoned(TimeZone::system()).date())
}

fn append(folder: &Path) -> io::Result<RollingFileAppender> {
    RollingFileAppender::builder()
        .rotation(Rotation::NEVER)
        .filename_prefix(PREFIX)
        .filename_suffix(SUFFIX)
        .build(folder)
        .map_err(io::Error::other)
}

/// Gives `train.log` the name of its day, and deletes the oldest files.
fn rotate(folder: &Path, day: Date) -> io::Result<()> {
    let old = folder.join(format!("{PREFIX}.{day}.{SUFFIX}"));
    if old.exists() {
        // Two files of one day, after the clock or the time zone changed.
        let text = fs::read(current(folder))?;
        fs::File::options().append(true).open(&old)?.write_all(&text)?;
        fs::remove_file(current(folder))?;
    } else {
        fs::rename(current(folder), old)?;
    }
    let mut days = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let day = name.strip_prefix("train.").and_then(|rest| rest.strip_suffix(".log"));
        days.extend(day.and_then(|day| day.parse::<Date>().ok()));
    }
    days.sort_unstable();
    // One of them is the new `train.log`.
    for day in days.iter().rev().skip(LOG_FILES - 1) {
        fs::remove_file(folder.join(format!("{PREFIX}.{day}.{SUFFIX}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_log_is_a_file_that_survives_a_move_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        fs::create_dir(&here).unwrap();
        writeln!(LogFile::open(&here).unwrap(), "one").unwrap();
        fs::rename(&here, &there).unwrap();
        assert!(!fs::symlink_metadata(current(&there)).unwrap().is_symlink());
        writeln!(LogFile::open(&there).unwrap(), "two").unwrap();
        assert_eq!(read(current(&there)), "one\ntwo\n");
        assert_eq!(fs::read_dir(&there).unwrap().count(), 1);
    }

    #[test]
    fn a_link_of_an_earlier_version_is_replaced_and_its_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("train.2026-01-02.log");
        fs::write(&old, "old\n").unwrap();
        std::os::unix::fs::symlink("/nowhere/train.2026-01-02.log", current(folder.path())).unwrap();
        writeln!(LogFile::open(folder.path()).unwrap(), "new").unwrap();
        assert_eq!((read(old), read(current(folder.path()))), ("old\n".to_owned(), "new\n".to_owned()));
    }

    #[test]
    fn earlier_days_get_files_of_their_own_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let first: Date = "2026-03-01".parse().unwrap();
        let mut log = LogFile::open(folder.path()).unwrap();
        log.day = first;
        for number in 0..20 {
            log.turn_to(first.saturating_add(jiff::Span::new().days(number))).unwrap();
            writeln!(log.file, "day {number}").unwrap();
        }
        assert_eq!(read(current(folder.path())), "day 19\n");
        assert_eq!(read(folder.path().join("train.2026-03-19.log")), "day 18\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), LOG_FILES);
        assert!(!folder.path().join("train.2026-03-06.log").exists());
        // What lies there from another day is set aside at the start, too.
        drop(log);
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24 * 365);
        fs::File::options().append(true).open(current(folder.path())).unwrap().set_modified(time).unwrap();
        writeln!(LogFile::open(folder.path()).unwrap(), "today").unwrap();
        assert_eq!(read(current(folder.path())), "today\n");
    }
}
