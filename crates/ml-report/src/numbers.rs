//! A number → short text, the same wherever it is printed.

/// Four significant digits without trailing zeros; small and large numbers with an exponent
/// (`3.4e-8`), as Python prints them.
pub(crate) fn significant(value: f64) -> String {
    let text = format!("{value:.3e}");
    let Ok(rounded) = text.parse::<f64>() else { return text };
    let size = rounded.abs();
    if size.is_finite() && size != 0.0 && !(1e-4..1e7).contains(&size) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rates_are_shown_short() {
        assert_eq!(significant(0.1), "0.1");
        assert_eq!(significant(0.000_123_456), "0.0001235");
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(3.4e-8), "3.4e-8");
        assert_eq!(significant(9.876_54e-5), "9.877e-5");
        assert_eq!(significant(1e-30), "1e-30");
    }
}
