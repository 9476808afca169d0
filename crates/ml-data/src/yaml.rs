//! Values → YAML that every reader takes for the same values: those of YAML 1.1 (`PyYAML`) and those
//! of YAML 1.2.
//!
//! The versions differ in what they take unquoted text for: in 1.1 `no` is false, `1:30` is 90 and
//! `1e-5` is text. So whatever might be taken for something else is in quotes, keys included, and
//! numbers are written as both read them. Every YAML file that is written comes from here.

use serde::Serialize;
use serde_yaml::{Number, Value};

/// Longest key, in bytes, that may stand on a line with its value.
const LONGEST_KEY: usize = 1000;

/// A value as the text of a YAML file.
///
/// # Errors
/// It cannot be YAML.
pub fn to_string(value: &impl Serialize) -> Result<String, serde_yaml::Error> {
    Ok(lines(&serde_yaml::to_value(value)?).into_iter().map(|line| line + "\n").collect())
}

/// A value on one line.
pub fn inline(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => quoted(text),
        Value::Sequence(items) => format!("[{}]", joined(items.iter().map(inline).collect())),
        Value::Mapping(entries) => {
            let entry = |(key, value): (&Value, &Value)| format!("{}: {}", inline(key), inline(value));
            format!("{{{}}}", joined(entries.iter().map(entry).collect()))
        }
        Value::Tagged(tagged) => format!("{} {}", tagged.tag, inline(&tagged.value)),
    }
}

/// A string as a key or a value on one line: as it is, or in quotes if a reader might take it for
/// something else.
pub fn quoted(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if text.chars().all(is_shown) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{}\"", text.chars().map(escaped).collect::<String>())
    }
}

/// Collections line by line.
fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Mapping(entries) if !entries.is_empty() => entries
            .iter()
            .flat_map(|(key, value)| {
                let key = inline(key);
                let (key, indent) = match value {
                    _ if key.len() > LONGEST_KEY => (format!("? {key}\n:"), "  "),
                    // Items stand at the depth of their key.
                    Value::Sequence(_) => (key + ":", ""),
                    _ => (key + ":", "  "),
                };
                nested(&key, indent, value)
            })
            .collect(),
        Value::Sequence(items) if !items.is_empty() => items
            .iter()
            .flat_map(|item| {
                let mut lines = lines(item);
                for (number, line) in lines.iter_mut().enumerate() {
                    line.insert_str(0, if number == 0 { "- " } else { "  " });
                }
                lines
            })
            .collect(),
        other => vec![inline(other)],
    }
}

/// A key, and its value beside or below it.
fn nested(key: &str, indent: &str, value: &Value) -> Vec<String> {
    let is_below = match value {
        Value::Mapping(entries) => !entries.is_empty(),
        Value::Sequence(items) => !items.is_empty(),
        _ => false,
    };
    if !is_below {
        return vec![format!("{key} {}", inline(value))];
    }
    let below = lines(value).into_iter().map(|line| format!("{indent}{line}"));
    std::iter::once(key.to_owned()).chain(below).collect()
}

/// With a point and a signed exponent, without which YAML 1.1 reads text.
fn number_text(number: &Number) -> String {
    let Some(value) = number.as_f64().filter(|value| number.is_f64() && value.is_finite()) else {
        // Whole numbers, `.inf`, `.nan`.
        return number.to_string();
    };
    let text = format!("{value:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let point = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{digits}{point}e{sign}{exponent}")
}

/// Whether every reader takes the text, without quotes, for this very text, in any place.
fn is_plain(text: &str) -> bool {
    let indicators = "-?:,[]{}#&*!|>'\"%@`=<~";
    let is_apart = |c: char| c.is_whitespace() || indicators.contains(c);
    !text.starts_with(is_apart)
        && !text.ends_with(char::is_whitespace)
        && !text.contains([':', '#', ',', '[', ']', '{', '}'])
        && text.chars().all(is_shown)
        && !is_word(text)
        && !is_number(text)
        && !text.starts_with("...")
}

/// Nothing, or a word for a truth value or for null.
fn is_word(text: &str) -> bool {
    let words = ["", "null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether some reader may take the text for a number or a time.
fn is_number(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let number = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let all = |text: &str, allowed: &str| text.chars().all(|c| c.is_ascii_digit() || allowed.contains(c));
    if matches!(number, ".inf" | ".nan" | "inf" | "nan" | "infinity") {
        return true;
    }
    if let Some(digits) = ["0x", "0o", "0b"].iter().find_map(|prefix| number.strip_prefix(prefix)) {
        return all(digits, "abcdef_");
    }
    if !number.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    // 2026-11-29, perhaps with a time.
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    if digits == 4 && number[digits..].starts_with('-') && all(&number[digits..], "-:.tz+ \t") {
        return true;
    }
    // 1_000, 1.5, 1e3, 1:30.
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    all(mantissa, "_,.:")
        && mantissa.matches('.').count() <= 1
        && !exponent.is_empty()
        && all(exponent, "+-_")
}

/// Whether a character is visible, or a space, and does not move what stands beside it.
fn is_shown(c: char) -> bool {
    let is_odd = matches!(c,
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}'
        | '\u{ffff}');
    !c.is_control() && !is_odd
}

fn escaped(c: char) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if is_shown(c) => c.to_string(),
        c if u32::from(c) < 0x1_0000 => format!("\\u{:04X}", u32::from(c)),
        c => format!("\\U{:08X}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Names that some reader takes for something else, or that need care.
    const ODD: [&str; 66] = [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "Y",
        "N",
        "NO",
        "Yes",
        "True",
        "false",
        "~",
        "null",
        "Null",
        "",
        " ",
        "1",
        "-1",
        "+1",
        "017",
        "0o17",
        "0x1f",
        "0b11",
        "1_000",
        "1,000",
        "1.5",
        "1.",
        ".5",
        "1e3",
        "1e-3",
        "1E+3",
        "1.0e3",
        "1:30",
        "190:20:30",
        "190:20:30.15",
        ".inf",
        "-.INF",
        ".nan",
        ".NaN",
        "2026-11-29",
        "2026-11-29T10:15:00+01:00",
        "2026-11-29 10:15:00",
        "=",
        "<<",
        "- a",
        "-",
        "---",
        "...",
        "? a",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "@a",
        "`a`",
        "%a",
        "!a",
        "&a",
        "*a",
        " a",
        "a ",
        "[a",
        "{a}",
        "'a'",
        "\"a\"",
    ];

    /// Those that stay as they are.
    const PLAIN: [&str; 14] = [
        "a",
        "a b",
        "data/flowers",
        "0.1.0",
        "tulip-2",
        "a's",
        "3d",
        "1e",
        "resnet18",
        "12ab",
        "é",
        "猫",
        "e3",
        "now",
    ];

    #[test]
    fn names_that_could_be_something_else_are_in_quotes_and_come_back() {
        let controls =
            ["a\nb", "a\tb", "\u{85}", "a\u{2028}b", "\u{202e}x", "\u{feff}a", "\u{1b}[1m", "\\ \" \u{0}"];
        for text in ODD.into_iter().chain(controls) {
            let yaml = quoted(text);
            assert!(yaml.starts_with(['\'', '"']), "{text:?}: {yaml}");
            assert_eq!(serde_yaml::from_str::<String>(&yaml).unwrap(), text, "{yaml}");
            let map = BTreeMap::from([(text, text)]);
            for text in [to_string(&map).unwrap(), inline(&serde_yaml::to_value(&map).unwrap())] {
                let read: BTreeMap<String, String> = serde_yaml::from_str(&text).unwrap();
                assert!(
                    read.iter().all(|(key, value)| map.get(key.as_str()) == Some(&value.as_str())),
                    "{text}"
                );
            }
        }
        for text in PLAIN {
            assert_eq!(quoted(text), text);
            assert_eq!(serde_yaml::from_str::<Value>(text).unwrap(), Value::String(text.to_owned()));
        }
    }

    #[test]
    fn numbers_are_written_as_both_versions_read_them() {
        let numbers = [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (1e-5, "1.0e-5"),
            (3.4e-8, "3.4e-8"),
            (1e16, "1.0e+16"),
            (f64::INFINITY, ".inf"),
        ];
        for (number, text) in numbers {
            assert_eq!(inline(&Value::from(number)), text);
            assert_eq!(serde_yaml::from_str::<f64>(text).unwrap(), number);
        }
        assert_eq!(inline(&Value::from(u64::MAX)), u64::MAX.to_string());
    }

    #[test]
    fn collections_are_laid_out_line_by_line() {
        let text = "a: 1\nb:\n- x\n- c: []\n  d: {}\n- - 1\n  - 2\ne:\n  f: null\n  g:\n  - true\n";
        let value: Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(to_string(&value).unwrap(), text);
        let long = BTreeMap::from([("k".repeat(2000), vec![1, 2])]);
        let text = to_string(&long).unwrap();
        assert_eq!(serde_yaml::from_str::<BTreeMap<String, Vec<i32>>>(&text).unwrap(), long, "{text}");
    }
}
