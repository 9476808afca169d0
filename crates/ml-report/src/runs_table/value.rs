//! A cell of the table → a value with a type: how it is compared, and how it is written.
//!
//! Whole numbers stay exact, for a seed takes all of 64 bits.

use std::cmp::Ordering;

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Not known.
    Missing,
    /// A whole number.
    Whole(u64),
    /// Any other number, NaN and Inf too.
    Number(f64),
    /// Anything else.
    Text(String),
}

impl Value {
    /// The value of a key of the configuration; a number if it is written as JSON writes one.
    pub fn of_setting(text: &str) -> Value {
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(serde_json::Value::Null) => Value::Missing,
            Ok(serde_json::Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
                (Some(whole), _) => Value::Whole(whole),
                (None, Some(number)) => Value::Number(number),
                (None, None) => Value::Text(text.to_owned()),
            },
            _ => Value::Text(text.to_owned()),
        }
    }

    /// The number that a person wrote; none for NaN, Inf and what is no number.
    pub fn of_operand(text: &str) -> Option<Value> {
        let number = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Number);
        text.parse().ok().map(Value::Whole).or_else(number)
    }

    /// Whether it is known, and not NaN.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::Missing) && !self.is_nan()
    }

    pub fn is_nan(&self) -> bool {
        matches!(self, Value::Number(number) if number.is_nan())
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Value::Whole(_) | Value::Number(_))
    }

    /// With every digit; empty if it is missing.
    pub fn exact(&self) -> String {
        match self {
            Value::Missing => String::new(),
            Value::Whole(number) => number.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
        }
    }

    /// Numbers by size, texts by [`natural`] order; none between a number and a text, or where
    /// something is missing or NaN.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Whole(a), Value::Whole(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(natural(a, b)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    /// The number, if it is kept as a whole one.
    pub fn whole(&self) -> Option<u64> {
        if let Value::Whole(number) = self { Some(*number) } else { None }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Value::Whole(number) => Some(*number as f64),
            Value::Number(number) => Some(*number),
            Value::Missing | Value::Text(_) => None,
        }
    }
}

/// `run_2` before `run_10`: digits by the number that they make, letters without regard to case.
/// Different texts are never equal.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (digits, others) = (leading_digits(left), leading_digits(right));
        let order = if digits.is_empty() || others.is_empty() {
            let (mut x, mut y) = (left.chars(), right.chars());
            match (x.next(), y.next()) {
                (None, None) => return a.cmp(b),
                (c, d) => {
                    (left, right) = (x.as_str(), y.as_str());
                    c.map(lower).cmp(&d.map(lower))
                }
            }
        } else {
            (left, right) = (&left[digits.len()..], &right[others.len()..]);
            let (x, y) = (digits.trim_start_matches('0'), others.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_natural_order() {
        let mut names = ["run_10", "Run_2", "run_02", "run_2", "run", "a1b20", "a1b3", "", "日本"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "a1b3", "a1b20", "run", "Run_2", "run_02", "run_2", "run_10", "日本"]);
        // More digits than any number type has.
        assert_eq!(natural(&"9".repeat(400), &format!("1{}", "0".repeat(400))), Ordering::Less);
    }

    #[test]
    fn settings_are_numbers_only_if_they_are_written_as_numbers() {
        let whole = u64::MAX.to_string();
        for (text, value) in [
            ("0.001", Value::Number(0.001)),
            ("-1", Value::Number(-1.0)),
            (whole.as_str(), Value::Whole(u64::MAX)),
            ("null", Value::Missing),
            ("007", Value::Text("007".into())),
            ("NaN", Value::Text("NaN".into())),
            ("1e999", Value::Text("1e999".into())),
            ("[0.1]", Value::Text("[0.1]".into())),
            ("", Value::Text(String::new())),
        ] {
            assert_eq!(Value::of_setting(text), value, "{text}");
        }
    }
}
