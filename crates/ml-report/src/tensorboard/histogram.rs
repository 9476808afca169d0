//! Values (weights, gradients) → a histogram in TensorBoard.
//!
//! In: f32 values, in any number of pieces. Out: their number, extremes, sums and counts in the
//! buckets that TensorFlow's and PyTorch's writers use: limits at 0 and at ±1e-12 · 1.1^i below
//! 1e20, and one bucket beyond at either end.
//!
//! A value finds its bucket without a search: the upper bits of its magnitude (exponent and the
//! first five of the mantissa) name a cell, cells are narrower than buckets, so that at most one
//! limit lies in a cell, and one comparison says on which side of it the value is.

use std::sync::LazyLock;

use tensorboard_proto::summary::{HistogramProto, Summary_Value};

use super::{EventError, EventWriter};

/// Counts of values in exponential buckets. NaN and Inf are counted apart and are in nothing else.
#[derive(Clone, Debug)]
pub struct Histogram {
    min: f32,
    max: f32,
    num: u64,
    non_finite: u64,
    sum: f64,
    sum_squares: f64,
    /// Of the values in `limits[i - 1]..limits[i]` of [`BUCKETS`].
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Histogram {
        let counts = vec![0; BUCKETS.limits.len()];
        Histogram {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            num: 0,
            non_finite: 0,
            sum: 0.0,
            sum_squares: 0.0,
            counts,
        }
    }
}

impl Histogram {
    /// Of all `values`.
    pub fn of(values: impl IntoIterator<Item = f32>) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    /// Counts `values` as well.
    pub fn add(&mut self, values: impl IntoIterator<Item = f32>) {
        let buckets = &*BUCKETS;
        for value in values {
            let magnitude = value.to_bits() & MAGNITUDE;
            if magnitude >= INFINITY {
                self.non_finite += 1;
                continue;
            }
            let below = buckets.limits_up_to(magnitude);
            let bucket = if value < 0.0 { buckets.zero - below } else { buckets.zero + 1 + below };
            if let Some(count) = self.counts.get_mut(bucket) {
                *count += 1;
            }
            self.num += 1;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            let value = f64::from(value);
            self.sum += value;
            self.sum_squares += value * value;
        }
    }

    /// How many values there are, without NaN and Inf.
    pub fn num(&self) -> u64 {
        self.num
    }

    /// How many were NaN or Inf.
    pub fn non_finite(&self) -> u64 {
        self.non_finite
    }

    /// Upper limits, ascending, and counts, as they are written. The first bucket is empty: its
    /// limit is where the second one begins. Empty buckets in a row are one.
    fn buckets(&self) -> Vec<(f64, u64)> {
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for (&limit, &count) in BUCKETS.limits.iter().zip(&self.counts) {
            match buckets.last_mut() {
                Some((last, 0)) if count == 0 => *last = limit,
                _ => buckets.push((limit, count)),
            }
        }
        if buckets.last().is_some_and(|&(_, count)| count == 0) {
            buckets.pop();
        }
        buckets
    }
}

impl EventWriter {
    /// Adds a histogram; nothing if it has no values, since TensorBoard cannot show that.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_histogram(
        &mut self,
        tag: &str,
        histogram: &Histogram,
        step: u64,
        wall_time: f64,
    ) -> Result<(), EventError> {
        if histogram.num == 0 {
            return Ok(());
        }
        let (limits, counts) =
            histogram.buckets().into_iter().map(|(limit, count)| (limit, count as f64)).unzip();
        let mut message = HistogramProto::new();
        message.set_min(histogram.min.into());
        message.set_max(histogram.max.into());
        message.set_num(histogram.num as f64);
        message.set_sum(histogram.sum);
        message.set_sum_squares(histogram.sum_squares);
        message.set_bucket_limit(limits);
        message.set_bucket(counts);
        let mut entry = Summary_Value::new();
        entry.set_tag(tag.into());
        entry.set_histo(message);
        self.add(entry, step, wall_time)
    }
}

/// Of an f32: all bits but the sign.
const MAGNITUDE: u32 = 0x7fff_ffff;
/// The magnitude of Inf; those of NaN are larger.
const INFINITY: u32 = 0x7f80_0000;
/// What a magnitude is shifted by to name its cell: five bits of the mantissa remain.
const CELL: u32 = 18;

static BUCKETS: LazyLock<Buckets> = LazyLock::new(Buckets::new);

struct Buckets {
    /// Upper limits of all buckets, ascending: `f64::MIN`, negative ones, 0, positive ones,
    /// `f64::MAX`. The first bucket is always empty.
    limits: Vec<f64>,
    /// The place of the limit 0.
    zero: usize,
    /// Of each positive limit the least f32 that is not below it, as bits.
    thresholds: Vec<u32>,
    /// Of each cell how many limits are not above its start.
    cells: Vec<u16>,
}

impl Buckets {
    fn new() -> Buckets {
        // Multiplied one by one, as the other writers do, so that the limits are theirs to the bit.
        let positive: Vec<f64> =
            std::iter::successors(Some(1e-12), |limit| Some(limit * 1.1)).take_while(|&l| l < 1e20).collect();
        let negative = positive.iter().rev().map(|limit| -limit);
        let limits = std::iter::once(f64::MIN).chain(negative).chain([0.0]);
        let limits = limits.chain(positive.iter().copied()).chain([f64::MAX]).collect();
        let thresholds: Vec<u32> = positive.iter().map(|&limit| bits_from(limit)).collect();
        let cells = 0..=INFINITY >> CELL;
        let cells = cells.map(|cell| thresholds.partition_point(|&t| t <= cell << CELL) as u16).collect();
        Buckets { limits, zero: positive.len() + 1, thresholds, cells }
    }

    /// How many positive limits are not above the magnitude. None of them is an f32 itself, so that
    /// it does not matter to which bucket a limit belongs, and both signs are alike.
    fn limits_up_to(&self, magnitude: u32) -> usize {
        let before = self.cells.get((magnitude >> CELL) as usize).map_or(0, |&before| usize::from(before));
        before + usize::from(self.thresholds.get(before).is_some_and(|&limit| limit <= magnitude))
    }
}

/// The bits of the least f32 that is not below a positive `limit`.
fn bits_from(limit: f64) -> u32 {
    let nearest = limit as f32;
    nearest.to_bits() + u32::from(f64::from(nearest) < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bucket by its definition.
    fn searched(value: f32) -> usize {
        BUCKETS.limits.partition_point(|&limit| limit <= f64::from(value))
    }

    fn found(value: f32) -> usize {
        Histogram::of([value]).counts.iter().position(|&count| count == 1).unwrap()
    }

    #[test]
    fn every_value_beside_a_limit_or_a_cells_edge_is_in_the_bucket_that_a_search_finds() {
        assert!(BUCKETS.thresholds.windows(2).all(|pair| pair[1] >> CELL > pair[0] >> CELL));
        let limits = BUCKETS.thresholds.iter().copied();
        let cells = (0..INFINITY >> CELL).map(|cell| cell << CELL);
        for edge in limits.chain(cells).chain([INFINITY - 1]) {
            for bits in edge.saturating_sub(2)..=(edge + 2).min(INFINITY - 1) {
                for value in [f32::from_bits(bits), -f32::from_bits(bits)] {
                    assert_eq!(found(value), searched(value), "{value:e}");
                }
            }
        }
        assert!(BUCKETS.limits.iter().all(|&l| l == 0.0 || f64::from(l as f32) != l));
    }

    #[test]
    fn nan_and_inf_are_counted_apart() {
        let histogram = Histogram::of([f32::NAN, 1.0, f32::INFINITY, -2.0, f32::NEG_INFINITY, -f32::NAN]);
        assert_eq!((histogram.num(), histogram.non_finite()), (2, 4));
        assert_eq!(
            (histogram.min, histogram.max, histogram.sum, histogram.sum_squares),
            (-2.0, 1.0, -1.0, 5.0)
        );
        assert_eq!(histogram.counts.iter().sum::<u64>(), 2);
    }

    #[test]
    fn empty_buckets_in_a_row_are_one_and_the_outermost_hold_the_largest_values() {
        let buckets = Histogram::of([f32::MIN, -0.0, 0.0, f32::MAX]).buckets();
        let counts: Vec<u64> = buckets.iter().map(|&(_, count)| count).collect();
        assert_eq!(counts, [0, 1, 0, 2, 0, 1]);
        assert_eq!(
            [buckets[0].0, buckets[2].0, buckets[3].0, buckets[5].0],
            [f64::MIN, 0.0, 1e-12, f64::MAX]
        );
        assert!(Histogram::of([]).buckets().is_empty());
    }
}
