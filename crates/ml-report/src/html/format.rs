//! Numbers and text from outside → text of one form throughout the report.

use maud::{Markup, html};

use super::results::MetricKind;
use super::value::{Estimate, Interval};

/// Between a number and its unit.
pub(crate) const SPACE: char = '\u{a0}';
/// For a value that is missing or not defined.
pub(super) const NONE: &str = "–";
/// Characters of a name that are kept.
const NAME_LIMIT: usize = 300;

/// `12,345`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 image`, `12,345 images`.
pub(super) fn counted(value: u64, singular: &str) -> String {
    match (value, singular.strip_suffix("ss")) {
        (1, _) => format!("1 {singular}"),
        (_, Some(_)) => format!("{} {singular}es", count(value)),
        _ => format!("{} {singular}s", count(value)),
    }
}

/// A number with `decimals` digits after the point, `−1,234.5`.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    if value.abs() >= 1e12 {
        return significant(value, 4);
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A fraction as `93.2 %`.
pub(super) fn percent(value: f64) -> String {
    if value.is_finite() { format!("{}{SPACE}%", decimal(value * 100.0, 1)) } else { NONE.into() }
}

/// `91.5 to 94.7 %`.
pub(super) fn percent_range(interval: Interval) -> String {
    format!("{} to {}", decimal(interval.low * 100.0, 1), percent(interval.high))
}

/// `0.0049`, `3.427e-8`: `digits` significant digits without trailing zeros.
pub(super) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let short = |text: String| -> String {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    let scientific = format!("{:.*e}", digits.saturating_sub(1), value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let text = if (-4..6).contains(&power) {
        short(format!("{value:.*}", (digits as i32 - 1 - power).max(0) as usize))
    } else {
        format!("{}e{power}", short(mantissa.to_owned()))
    };
    text.replacen('-', if text.starts_with('-') { "−" } else { "-" }, 1)
}

/// `0.4 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`, `3 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.into();
    }
    if seconds < 59.95 {
        return format!("{}{SPACE}s", decimal(seconds, 1));
    }
    let whole = seconds.round() as u64;
    let (minutes, hours) = (whole / 60, whole / 3600);
    match hours {
        0 => format!("{minutes}{SPACE}min {:02}{SPACE}s", whole % 60),
        1..48 => format!("{hours}{SPACE}h {:02}{SPACE}min", minutes % 60),
        _ => format!("{}{SPACE}d {}{SPACE}h", count(hours / 24), hours % 24),
    }
}

/// `512 B`, `3.9 GiB`.
pub(crate) fn bytes(value: u64) -> String {
    if value < 1024 {
        return format!("{value}{SPACE}B");
    }
    let mut size = value as f64 / 1024.0;
    let mut unit = "KiB";
    for larger in ["MiB", "GiB", "TiB"] {
        if size >= 1023.95 {
            size /= 1024.0;
            unit = larger;
        }
    }
    format!("{}{SPACE}{unit}", decimal(size, 1))
}

/// `0.0312`, `< 0.0001`.
pub(crate) fn p_value(value: f64) -> String {
    if value < 0.0001 { format!("<{SPACE}0.0001") } else { decimal(value, 4) }
}

/// The number of a metric.
pub(super) fn metric(kind: MetricKind, value: f64) -> String {
    match kind {
        MetricKind::Accuracy
        | MetricKind::TopK(_)
        | MetricKind::BalancedAccuracy
        | MetricKind::SubsetAccuracy => percent(value),
        MetricKind::Loss | MetricKind::HammingLoss => decimal(value, 4),
        _ => decimal(value, 3),
    }
}

/// The interval of a metric, `0.912 to 0.945`.
pub(super) fn metric_range(kind: MetricKind, interval: Interval) -> String {
    match kind {
        MetricKind::Accuracy | MetricKind::TopK(_) | MetricKind::BalancedAccuracy => percent_range(interval),
        _ => format!("{} to {}", metric(kind, interval.low), metric(kind, interval.high)),
    }
}

/// A value with its interval below it.
pub(super) fn estimate(kind: MetricKind, estimate: Estimate) -> Markup {
    html! {
        (metric(kind, estimate.value))
        @if let Some(interval) = estimate.interval {
            br; small { (metric_range(kind, interval)) }
        }
    }
}

/// A name of a class, path or the like: set apart from the text around it in its direction, and
/// shortened in the middle where it is very long.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (plain(text)) } }
}

/// The same without markup.
pub(super) fn plain(text: &str) -> String {
    let text = printable(text, false);
    if text.trim().is_empty() { "(no name)".into() } else { shorten(&text, NAME_LIMIT) }
}

/// Text on several lines, such as a command, at most `limit` characters of it.
pub(super) fn lines(text: &str, limit: usize) -> String {
    shorten(&printable(text, true), limit)
}

/// At most `limit` characters, with `…` for those in the middle.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let total = text.chars().count();
    if total <= limit {
        return text.to_owned();
    }
    let (begin, end) = ((limit - 1).div_ceil(2), (limit - 1) / 2);
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(total - end)).collect()
}

/// With spaces for white space, and `�` for control characters and those that reorder others.
fn printable(text: &str, keep_lines: bool) -> String {
    text.chars()
        .map(|c| match c {
            '\n' if keep_lines => '\n',
            '\n' | '\r' | '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_fixed_decimals() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(11_200_000)],
            ["0", "999", "1,000", "11,200,000"]
        );
        assert_eq!(
            [counted(1, "class"), counted(2, "class"), counted(0, "image")],
            ["1 class", "2 classes", "0 images"]
        );
        assert_eq!(percent(0.93245), "93.2\u{a0}%");
        assert_eq!(
            [decimal(-0.00001, 2), decimal(-1234.567, 1), decimal(f64::NAN, 1)],
            ["0.00", "−1,234.6", "–"]
        );
        assert_eq!(
            [significant(0.004_948, 4), significant(3.4274e-8, 4), significant(0.1, 4)],
            ["0.004948", "3.427e-8", "0.1"]
        );
        assert_eq!([significant(100.0, 4), significant(0.0, 4), significant(-2.5, 3)], ["100", "0", "−2.5"]);
    }

    #[test]
    fn durations_and_sizes_use_the_unit_that_fits() {
        assert_eq!(duration(0.44), "0.4\u{a0}s");
        assert_eq!(duration(59.99), "1\u{a0}min 00\u{a0}s");
        assert_eq!(duration(7_620.0), "2\u{a0}h 07\u{a0}min");
        assert_eq!(duration(273_600.0), "3\u{a0}d 4\u{a0}h");
        assert_eq!([bytes(12), bytes(4_200_000_000)], ["12\u{a0}B", "3.9\u{a0}GiB"]);
    }

    #[test]
    fn names_are_one_line_without_characters_that_reorder_others() {
        assert_eq!(plain("a\nb\u{202e}c\0"), "a b\u{fffd}c\u{fffd}");
        assert_eq!(plain(" "), "(no name)");
        let long = plain(&"x".repeat(1000));
        assert_eq!((long.chars().count(), long.contains('…')), (NAME_LIMIT, true));
    }
}
