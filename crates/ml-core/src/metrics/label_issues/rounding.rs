//! Sums and roundings that come out as NumPy's and cleanlab's do, to the bit.

use std::ops::Range;

/// The sum of `value(index)` over `indices`, added up in pairs of halves: Higham, "The accuracy of
/// floating point summation" (1993). The blocks are NumPy's, so the rounding is its too.
pub(super) fn pairwise_sum(indices: Range<usize>, value: &impl Fn(usize) -> f64) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    let Range { start, end } = indices;
    let count = end - start;
    if count < LANES {
        return (start..end).map(value).fold(0.0, |sum, value| sum + value);
    }
    if count > BLOCK {
        let half = count / 2 / LANES * LANES;
        return pairwise_sum(start..start + half, value) + pairwise_sum(start + half..end, value);
    }
    let whole = start + count / LANES * LANES;
    let mut lanes: [f64; LANES] = std::array::from_fn(|lane| value(start + lane));
    for index in (start + LANES..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += value(index + lane);
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    (whole..end).map(value).fold(sum, |sum, value| sum + value)
}

/// `values` as whole numbers with the same sum (rounded): each is rounded, halves to even, and
/// those that rounding moved most are moved back by 1. Of equals, the last are raised and the first
/// lowered.
pub(super) fn round_preserving_sum(values: &[f64]) -> Vec<f64> {
    let mut rounded: Vec<f64> = values.iter().map(|value| value.round_ties_even()).collect();
    let sum = pairwise_sum(0..values.len(), &|index| values[index]).round_ties_even();
    loop {
        let lacking = sum - rounded.iter().sum::<f64>();
        // Also where a value is NaN.
        if lacking.is_nan() || lacking.abs() < 0.5 || values.is_empty() {
            return rounded;
        }
        let mut order: Vec<(f64, usize)> =
            values.iter().zip(&rounded).map(|(value, rounded)| value - rounded).zip(0..).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        if lacking > 0.0 {
            order.reverse();
        }
        for &(_, index) in order.iter().take(lacking.abs() as usize) {
            rounded[index] += lacking.signum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_the_rounded_values_is_that_of_the_values() {
        assert_eq!(round_preserving_sum(&[1.4, 1.4, 1.2]), [1.0, 2.0, 1.0]);
        assert_eq!(round_preserving_sum(&[1.6, 1.6, 1.8]), [1.0, 2.0, 2.0]);
        assert_eq!(round_preserving_sum(&[0.5, 1.5, 2.0]), [0.0, 2.0, 2.0]);
        assert_eq!(round_preserving_sum(&[0.0; 3]), [0.0; 3]);
        assert!(round_preserving_sum(&[]).is_empty());
    }

    #[test]
    fn a_sum_in_pairs_adds_every_value_once() {
        for count in [0, 1, 7, 8, 9, 128, 129, 1000, 12_345] {
            let sum = pairwise_sum(3..3 + count, &|index| index as f64);
            assert_eq!(sum, (3..3 + count).sum::<usize>() as f64);
        }
    }
}
