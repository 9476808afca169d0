//! Ranges of numbers → axes with ticks at round numbers; long curves → fewer points.

use super::format;

/// Points of a curve that are drawn.
pub(crate) const MAX_POINTS: usize = 600;
/// Points kept of a bucket: the first, the lowest, the highest, the last and a gap.
const KEPT: usize = 5;
/// Larger numbers are drawn at this one, so that differences stay finite.
const HUGE: f64 = 1e300;

/// What the numbers of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Any number.
    Number,
    /// Fractions, shown in percent.
    Percent,
    /// Whole numbers.
    Whole,
}

/// An axis: its ends and its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Value at the left or at the bottom.
    pub low: f64,
    /// Value at the right or at the top.
    pub high: f64,
    /// Values and their texts.
    pub ticks: Vec<(f64, String)>,
    /// Whether distances are ratios.
    pub is_log: bool,
}

impl Axis {
    /// A linear axis over finite `values`, from tick to tick.
    pub fn over(values: impl Iterator<Item = f64>, unit: Unit) -> Axis {
        let (low, high) = extent(values).unwrap_or((0.0, 1.0));
        if unit == Unit::Whole && low < high {
            // Ticks at round numbers within; the curve takes the whole width.
            let (ticks, step) = nice_ticks(low, high, 6, true);
            let inside = ticks.into_iter().filter(|tick| (low..=high).contains(tick));
            return Axis { low, high, ticks: with_text(inside, step, unit), is_log: false };
        }
        let (low, high) = if low < high { (low, high) } else { around(low, unit) };
        let (ticks, step) = nice_ticks(low, high, 5, unit == Unit::Whole);
        let ends = (ticks[0], ticks[ticks.len() - 1]);
        // Fractions stay within 0 to 100 %.
        let ticks = ticks.into_iter();
        match unit {
            Unit::Whole => {
                let inside = ticks.filter(|tick| (low..=high).contains(tick));
                Axis { low, high, ticks: with_text(inside, step, unit), is_log: false }
            }
            _ => Axis { low: ends.0, high: ends.1, ticks: with_text(ticks, step, unit), is_log: false },
        }
    }

    /// A linear axis of a fixed range.
    pub fn fixed(low: f64, high: f64, unit: Unit) -> Axis {
        let (ticks, step) = nice_ticks(low, high, 5, false);
        Axis { low, high, ticks: with_text(ticks.into_iter(), step, unit), is_log: false }
    }

    /// A logarithmic axis if a quarter of the positive `values` are less than a 50th of the
    /// largest, else a linear one: a few small values do not make a logarithmic axis.
    pub fn log_if_wide(values: impl Iterator<Item = f64> + Clone) -> Axis {
        let mut positive: Vec<f64> =
            values.clone().filter(|value| value.is_finite() && *value > 0.0).collect();
        positive.sort_by(f64::total_cmp);
        match (positive.first(), positive.get(positive.len() / 4), positive.last()) {
            (Some(low), Some(quarter), Some(high)) if high / quarter > 50.0 => Axis::log(*low, *high),
            _ => Axis::over(values, Unit::Number),
        }
    }

    /// A logarithmic axis from power to power of ten around a range of positive numbers.
    pub fn log(low: f64, high: f64) -> Axis {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let every = ((last - first) as usize).div_ceil(6).max(1);
        let ticks = (first..=last).rev().step_by(every).map(|power| {
            let value = 10_f64.powi(power);
            (value, format::significant(value, 1))
        });
        let mut ticks: Vec<(f64, String)> = ticks.collect();
        ticks.reverse();
        Axis { low: 10_f64.powi(first), high: 10_f64.powi(last), ticks, is_log: true }
    }

    /// Where `value` is, 0 at the low end and 1 at the high end; none for what cannot be drawn.
    pub fn place(&self, value: f64) -> Option<f64> {
        if !value.is_finite() || (self.is_log && value <= 0.0) {
            return None;
        }
        let map = |value: f64| if self.is_log { value.log10() } else { value.clamp(-HUGE, HUGE) };
        let (low, high) = (map(self.low), map(self.high));
        Some(((map(value) - low) / (high - low)).clamp(0.0, 1.0))
    }
}

/// The smallest and the largest of the finite values.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).map(|value| value.clamp(-HUGE, HUGE)).fold(
        None,
        |ends, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        },
    )
}

/// A range around a single value.
fn around(value: f64, unit: Unit) -> (f64, f64) {
    match unit {
        Unit::Whole => (value - 0.5, value + 0.5),
        Unit::Percent if (0.05..=0.95).contains(&value) => (value - 0.05, value + 0.05),
        Unit::Percent if value > 0.5 => (0.9, value.max(1.0)),
        Unit::Percent => (value.min(0.0), 0.1),
        Unit::Number if value == 0.0 => (-1.0, 1.0),
        Unit::Number => (value - value.abs() / 2.0, value + value.abs() / 2.0),
    }
}

fn with_text(ticks: impl Iterator<Item = f64>, step: f64, unit: Unit) -> Vec<(f64, String)> {
    ticks.map(|tick| (tick, tick_text(tick, step, unit))).collect()
}

/// Multiples of 1, 2 or 5 times a power of ten, about `count` of them, from the last one not above
/// `low` to the first one not below `high`; and the distance between them.
pub(crate) fn nice_ticks(low: f64, high: f64, count: usize, whole: bool) -> (Vec<f64>, f64) {
    let span = (high - low).max(f64::MIN_POSITIVE * 1e10);
    let rough = span / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let mut step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
    if whole {
        step = step.map(|step| step.max(1.0));
    }
    let step = step.unwrap_or(10.0 * power);
    // The tolerance is for ends that are ticks but for rounding.
    let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
    let steps = (last - first).clamp(1.0, 1000.0) as u64;
    ((0..=steps).map(|place| (first + place as f64) * step).collect(), step)
}

/// The number at a tick, with as many decimals as the step needs.
fn tick_text(value: f64, step: f64, unit: Unit) -> String {
    let (value, step) = if unit == Unit::Percent { (value * 100.0, step * 100.0) } else { (value, step) };
    if value.abs() < step / 1e6 {
        return if unit == Unit::Percent { format!("0{}%", format::SPACE) } else { "0".into() };
    }
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
    let text = if decimals > 5 || value.abs() >= 1e7 {
        format::significant(value, 3)
    } else {
        format::decimal(value, decimals)
    };
    if unit == Unit::Percent { format!("{text}{}%", format::SPACE) } else { text }
}

/// At most [`MAX_POINTS`] of the points, in order. The lowest and the highest value stay, as do
/// the ends; of many gaps (NaN) some.
pub(crate) fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let buckets = MAX_POINTS / KEPT;
    let mut kept = Vec::with_capacity(MAX_POINTS);
    for bucket in 0..buckets {
        let (start, end) = (bucket * points.len() / buckets, (bucket + 1) * points.len() / buckets);
        kept.extend(of_bucket(&points[start..end]).into_iter().map(|place| points[start + place]));
    }
    kept
}

/// Places of the points that represent `bucket`.
fn of_bucket(bucket: &[(f64, f64)]) -> Vec<usize> {
    let finite = || bucket.iter().enumerate().filter(|(_, point)| point.1.is_finite());
    let lowest = finite().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
    let highest = finite().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
    let gap = bucket.iter().position(|point| !point.1.is_finite());
    let mut places = vec![0, bucket.len() - 1];
    places.extend(lowest.into_iter().chain(highest).map(|(place, _)| place));
    places.extend(gap);
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_range() {
        let axis = Axis::over([0.13, 2.2].into_iter(), Unit::Number);
        assert_eq!(texts(&axis), ["0", "0.5", "1.0", "1.5", "2.0", "2.5"]);
        let axis = Axis::over([0.71, 0.953].into_iter(), Unit::Percent);
        assert_eq!(
            texts(&axis),
            ["70\u{a0}%", "75\u{a0}%", "80\u{a0}%", "85\u{a0}%", "90\u{a0}%", "95\u{a0}%", "100\u{a0}%"]
        );
        let axis = Axis::over((1..=10_000).map(f64::from), Unit::Whole);
        assert_eq!(texts(&axis), ["2,000", "4,000", "6,000", "8,000", "10,000"]);
        assert_eq!((axis.low, axis.high), (1.0, 10_000.0));
        assert_eq!(texts(&Axis::fixed(0.0, 1.0, Unit::Number)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn one_value_no_value_and_extreme_values_have_an_axis() {
        let axis = Axis::over([1.0].into_iter(), Unit::Whole);
        assert_eq!((texts(&axis), axis.place(1.0)), (vec!["1"], Some(0.5)));
        for values in
            [vec![], vec![f64::NAN], vec![0.0], vec![1.0, 1.0], vec![-1e308, 1e308], vec![1e-320, 2e-320]]
        {
            for unit in [Unit::Number, Unit::Percent, Unit::Whole] {
                let axis = Axis::over(values.iter().copied(), unit);
                assert!(axis.low < axis.high && axis.ticks.len() < 20, "{values:?} {unit:?} {axis:?}");
            }
        }
    }

    #[test]
    fn an_axis_over_decades_is_logarithmic() {
        let axis = Axis::log_if_wide([0.005, 3.4e-8, 3.4e-8].into_iter());
        assert_eq!(texts(&axis), ["1e-8", "1e-7", "1e-6", "1e-5", "0.0001", "0.001", "0.01"]);
        assert_eq!((axis.place(1e-5), axis.place(0.0), axis.place(f64::NAN)), (Some(0.5), None, None));
        assert!(!Axis::log_if_wide([0.1, 0.01].into_iter()).is_log);
        assert!(!Axis::log_if_wide([0.005, 0.004, 0.003, 0.002, 0.001, 3.4e-8].into_iter()).is_log);
    }

    #[test]
    fn thinning_keeps_the_extremes_the_ends_and_the_gaps() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|x| (f64::from(x), f64::from(x % 7))).collect();
        points[1234].1 = 99.0;
        points[8765].1 = -99.0;
        points[5000].1 = f64::NAN;
        let thinned = thin(&points);
        assert!(thinned.len() <= MAX_POINTS, "{}", thinned.len());
        for kept in [0, 1234, 8765, 9999] {
            assert!(thinned.contains(&points[kept]), "{kept}");
        }
        assert!(thinned.iter().any(|point| point.1.is_nan()));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thin(&points[..600]).len(), 600);
    }
}
