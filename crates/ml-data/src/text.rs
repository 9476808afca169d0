//! Numbers and lists in messages for people.

use std::fmt::Display;

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

#[cfg(test)]
mod tests {
    use super::*;

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
