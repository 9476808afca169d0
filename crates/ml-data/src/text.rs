//! Numbers and lists in messages for people.

use std::fmt::Display;
use std::path::Path;

use crate::table::printable;

/// A whole number that is not negative: `12,345`.
pub fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| str::from_utf8(part).ok()).collect();
    parts.join(",")
}

/// The first `shown` of them, and how many more there are: `a, b, and 3 more`.
pub fn listed(items: &[String], shown: usize) -> String {
    let mut text = items[..items.len().min(shown)].join(", ");
    if items.len() > shown {
        text.push_str(&format!(", and {} more", items.len() - shown));
    }
    text
}

/// A path as a shell takes it: in quotes where it needs them, and with control characters as
/// escapes, so that a terminal shows it on one line.
pub fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    if printable(&text) == text {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if printable(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() => quoted.push(c),
            c => quoted.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\x{byte:02x}"))),
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_quoted_paths_as_they_are() {
        for (path, quoted) in [
            ("data/flowers", "data/flowers"),
            ("my data", "'my data'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("a\nb'\\\u{202e}", r"$'a\x0ab\'\\\xe2\x80\xae'"),
        ] {
            assert_eq!(shell_quoted(Path::new(path)), quoted);
        }
        let path = "a\n\x1b[31m b'c\\\u{202e}é";
        let command = format!("printf %s {}", shell_quoted(Path::new(path)));
        let printed = std::process::Command::new("bash").args(["-c", &command]).output().unwrap().stdout;
        assert_eq!(String::from_utf8(printed).unwrap(), path);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn long_lists_say_how_much_they_leave_out() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&items, 3), "a, b, c");
        assert_eq!(listed(&items, 2), "a, b, and 1 more");
        assert_eq!(listed(&[], 2), "");
    }
}
