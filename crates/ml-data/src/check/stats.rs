//! Numbers about numbers.

/// The middle one, the lower of two.
pub(super) fn median(mut values: Vec<u32>) -> u32 {
    let middle = values.len().saturating_sub(1) / 2;
    if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
}
