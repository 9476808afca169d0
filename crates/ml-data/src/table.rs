//! Text for people: aligned columns and names that cannot disturb a terminal.

use std::path::Path;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `text` with control characters (an escape sequence in a file name, a line break) shown as
/// `\u{1b}`, and so are the invisible characters that reorder or hide what stands beside them.
pub fn printable(text: &str) -> String {
    escaped(text, |c| c.is_control() || is_invisible(c))
}

/// A path as [`printable`] text, for messages.
pub fn printable_path(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// As [`printable`], for text of several lines: line breaks and tabs are left.
pub fn printable_lines(text: &str) -> String {
    escaped(text, |c| !matches!(c, '\n' | '\t') && (c.is_control() || is_invisible(c)))
}

fn escaped(text: &str, is_hostile: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Separators of lines and paragraphs, and format characters (category Cf): those of bidirectional
/// text, of zero width, tags.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
        | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// Where text stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right.
    Right,
}

/// Fills `text` with spaces up to `width` columns of a terminal.
pub fn pad(text: &str, width: usize, align: Align) -> String {
    let spaces = " ".repeat(width.saturating_sub(text.width()));
    match align {
        Align::Left => format!("{text}{spaces}"),
        Align::Right => format!("{spaces}{text}"),
    }
}

/// Columns of a terminal that `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Rows as lines with aligned columns, three spaces between them.
pub fn table<const N: usize>(rows: &[[String; N]], align: [Align; N]) -> String {
    aligned(rows, &align, 3).into_iter().map(|line| line + "\n").collect()
}

/// Rows, each with as many cells as `align` has columns → lines with aligned columns, `gap` spaces
/// between them, none at the ends of lines. Cells are made [`printable`].
pub fn aligned<R: AsRef<[String]>>(rows: &[R], align: &[Align], gap: usize) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.as_ref().iter().map(|cell| printable(cell)).collect()).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..align.len()).map(widest).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(align);
        let cells: Vec<String> = cells.map(|((cell, &width), &align)| pad(cell, width, align)).collect();
        cells.join(&" ".repeat(gap)).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// `text` in at most `limit` columns of a terminal, with `…` for what is left out of its middle.
pub fn shortened(text: &str, limit: usize) -> String {
    if text.width() <= limit {
        return text.to_owned();
    }
    let room = limit.saturating_sub(1);
    let begin: String = fitting(text.chars(), room.div_ceil(2)).into_iter().collect();
    let end: String = fitting(text.chars().rev(), room - begin.width().min(room)).into_iter().rev().collect();
    if limit == 0 { String::new() } else { format!("{begin}…{end}") }
}

/// The first of the characters, as many as fit into `limit` columns.
fn fitting(chars: impl Iterator<Item = char>, limit: usize) -> Vec<char> {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken <= limit
    };
    chars.take_while(fits).collect()
}

/// A line of dashes as wide as the widest of `lines`.
pub fn rule(lines: &[String]) -> String {
    "-".repeat(lines.iter().map(|line| line.width()).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let rows = [["a".to_owned(), "10".to_owned()], ["日本".to_owned(), "2".to_owned()]];
        assert_eq!(table(&rows, [Align::Left, Align::Right]), "a      10\n日本    2\n");
    }

    #[test]
    fn control_characters_in_names_are_shown_not_obeyed() {
        assert_eq!(printable("a\x1b[31mb\nü"), "a\\u{1b}[31mb\\nü");
        assert_eq!(printable_lines("a\x1b\n\tb\r"), "a\\u{1b}\n\tb\\r");
        // A file name that a terminal would show as `cod.exe`.
        assert_eq!(printable("\u{202e}exe.doc\u{200b}"), "\\u{202e}exe.doc\\u{200b}");
        let rows = [["\x1b[31mred", "1"], ["a", "10"]].map(|row| row.map(str::to_owned).to_vec());
        let lines = aligned(&rows, &[Align::Left, Align::Right], 2);
        assert_eq!(lines, ["\\u{1b}[31mred   1", "a              10"]);
        assert_eq!(rule(&lines), "-".repeat(17));
    }

    #[test]
    fn long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(shortened("batch_32_lr_0.01", 16), "batch_32_lr_0.01");
        assert_eq!(shortened("batch_32_lr_0.01", 9), "batc…0.01");
        // Half of a wide character does not fit.
        assert_eq!(shortened("日本日本", 6), "日…本");
        assert_eq!([shortened("abc", 1), shortened("abc", 0)], ["…", ""]);
    }
}
