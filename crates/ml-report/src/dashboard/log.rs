//! Bytes of the log → its latest lines, in bounded memory.
//!
//! In: what a log writer is given, in pieces of any length. Out: whole lines, the latest of which
//! are kept until they are taken.

use std::collections::VecDeque;

/// Lines that are kept.
const MAX_LINES: usize = 200;
/// Bytes of a line; a longer one is broken.
const MAX_LINE_BYTES: usize = 4096;

/// The latest lines of a log, as they were written: not fit for a terminal unless their writer saw
/// to that.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    lines: VecDeque<String>,
    dropped: u64,
}

impl LogLines {
    /// Adds a line, of which at most 4096 bytes are kept; of more than 200, the oldest goes.
    pub fn push(&mut self, line: &str) {
        let end = (0..=MAX_LINE_BYTES.min(line.len())).rev().find(|&end| line.is_char_boundary(end));
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line.get(..end.unwrap_or(0)).unwrap_or_default().to_owned());
    }

    /// The lines, the latest first.
    pub fn latest_first(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().rev().map(String::as_str)
    }

    /// Removes all lines, the oldest first, and says how many before them were not kept.
    pub(super) fn take(&mut self) -> (u64, Vec<String>) {
        (std::mem::take(&mut self.dropped), self.lines.drain(..).collect())
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    partial: Vec<u8>,
}

impl LineBuffer {
    /// Adds bytes; `line` is called with each line that they complete.
    pub fn write(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for &byte in bytes {
            // A long line is broken before a character of UTF-8, if there is one nearby.
            let length = self.partial.len();
            let starts_char = byte & 0xc0 != 0x80;
            let is_full = length >= MAX_LINE_BYTES || (length >= MAX_LINE_BYTES - 3 && starts_char);
            if byte == b'\n' || is_full {
                self.finish(&mut line);
            }
            if byte != b'\n' {
                self.partial.push(byte);
            }
        }
    }

    /// Completes a line that was begun.
    pub fn flush(&mut self, mut line: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            self.finish(&mut line);
        }
    }

    fn finish(&mut self, line: &mut impl FnMut(&str)) {
        line(&String::from_utf8_lossy(&self.partial));
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let (mut buffer, mut lines) = (LineBuffer::default(), Vec::new());
        pieces.iter().for_each(|piece| buffer.write(piece, |line| lines.push(line.to_owned())));
        buffer.flush(|line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn lines_are_whole_however_they_are_written() {
        assert_eq!(lines_of(&[b"one\ntw", b"o\n\nthr\xc3", b"\xa9e"]), ["one", "two", "", "thr\u{e9}e"]);
        assert_eq!(lines_of(&[b"\xff\n"]), ["\u{fffd}"]);
        let long = "\u{e9}".repeat(5000);
        let lines = lines_of(&[long.as_bytes(), b"\n"]);
        assert_eq!(lines.concat(), long);
        assert!(lines.len() == 3 && lines.iter().all(|line| line.len() <= MAX_LINE_BYTES));
        assert_eq!(lines_of(&[&[0x80; 10_000]]).len(), 3);
    }

    #[test]
    fn the_latest_lines_are_kept_and_the_others_counted() {
        let mut log = LogLines::default();
        (0..203).for_each(|number| log.push(&number.to_string()));
        log.push(&"\u{e9}".repeat(3000));
        assert_eq!(log.latest_first().nth(1), Some("202"));
        assert_eq!(log.latest_first().next().map(str::len), Some(MAX_LINE_BYTES));
        let (dropped, lines) = log.take();
        assert_eq!((dropped, lines.len(), lines[0].as_str()), (4, 200, "4"));
        assert_eq!(log.take(), (0, Vec::new()));
    }
}
