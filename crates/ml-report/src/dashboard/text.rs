//! Numbers and foreign text → short plain text that cannot disturb a terminal.
//!
//! In: seconds, bytes, metrics, lines of the log. Out: strings without control characters.

use ml_data::table::{printable, width};

/// `text` on one line: colours removed, tabs as spaces, other control characters shown as
/// [`printable`] does.
pub(super) fn plain(text: &str) -> String {
    printable(&without_colors(text).replace('\t', "    "))
}

/// Without the sequences that set colours and styles: `ESC [`, digits and semicolons, `m`.
fn without_colors(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out.push_str(before);
        let parameters = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = parameters.strip_prefix('m').unwrap_or_else(|| {
            out.push_str("\x1b[");
            after
        });
    }
    out + rest
}

/// Cuts a line into pieces of at most `columns` columns of a terminal, one at least.
pub(super) fn wrap(line: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let columns_of_char = width(c.encode_utf8(&mut [0; 4]));
        if used + columns_of_char > columns && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        used += columns_of_char;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

/// `4.2 s`, `42 s`, `12:05`, `1:03:20`, `2 d 04:12:00`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{minutes}:{:02}", whole % 60),
        3600..86_400 => format!("{hours}:{minutes:02}:{:02}", whole % 60),
        _ => format!("{days} d {hours:02}:{minutes:02}:{:02}", whole % 60),
    }
}

/// Four decimals, or an exponent where they would say nothing or be too many.
pub(super) fn metric(value: f64) -> String {
    let is_plain = value == 0.0 || (1e-4..1e5).contains(&value.abs()) || !value.is_finite();
    if is_plain { format!("{value:.4}") } else { format!("{value:.3e}") }
}

/// For people, as they count: in powers of 1000.
pub(super) fn bytes(count: u64) -> String {
    if count < 1_000_000_000 {
        return format!("{:.0} MB", count as f64 / 1e6);
    }
    format!("{:.1} GB", count as f64 / 1e9)
}

/// `83 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_go_and_other_sequences_are_shown() {
        assert_eq!(plain("10:15 | \x1b[31mERROR   \x1b[0m | a\tb"), "10:15 | ERROR    | a    b");
        assert_eq!(plain("\x1b[1;38;5;9mx\x1b[m\x1b[2J\x1b["), "x\\u{1b}[2J\\u{1b}[");
        assert_eq!(plain("\x1b]0;title\x07\r\u{9b}2J\u{202e}"), {
            "\\u{1b}]0;title\\u{7}\\r\\u{9b}2J\\u{202e}"
        });
    }

    #[test]
    fn lines_are_cut_by_columns() {
        assert_eq!(wrap("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrap("日本語", 5), ["日本", "語"]);
        // Wider than the terminal, yet shown.
        assert_eq!(wrap("日本", 1), ["日", "本"]);
        assert_eq!((wrap("", 4), wrap("ab", 0)), (vec![String::new()], wrap("ab", 1)));
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.04, 9.94, 9.96, 59.4, 59.6, 725.0, 3800.4, 187_920.0].map(duration);
        assert_eq!(texts, ["0.0 s", "9.9 s", "10 s", "59 s", "1:00", "12:05", "1:03:20", "2 d 04:12:00"]);
        assert_eq!([-1.0, f64::NAN, f64::INFINITY].map(duration), ["0.0 s", "?", "?"]);
        let texts = [0.0, 0.123_456, 1.5e-7, 123_456.0, f64::NAN].map(metric);
        assert_eq!(texts, ["0.0000", "0.1235", "1.500e-7", "1.235e5", "NaN"]);
        assert_eq!([bytes(850_000_000), bytes(3_420_000_000), percent(0.125)], ["850 MB", "3.4 GB", "12 %"]);
    }
}
