//! Text for people: aligned columns and names that cannot disturb a terminal.

use unicode_width::UnicodeWidthStr;

/// `text` with control characters (an escape sequence in a file name, a line break) shown as
/// `\u{1b}`.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
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

/// Rows as lines with aligned columns, three spaces between them, none at the ends of lines.
pub fn table<const N: usize>(rows: &[[String; N]], align: [Align; N]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
    let mut out = String::new();
    for row in rows {
        let cells: [String; N] =
            std::array::from_fn(|column| pad(&row[column], widths[column], align[column]));
        out.push_str(cells.join("   ").trim_end());
        out.push('\n');
    }
    out
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
    }
}
