//! Values by epoch → a line of blocks, ▁ for the lowest and █ for the highest.

/// Blocks, the mark of a value that is NaN or Inf.
pub(super) struct Blocks {
    /// From the lowest to the highest.
    levels: [char; 8],
    /// For NaN and Inf.
    not_finite: char,
}

/// Of Unicode.
pub(super) const UNICODE: Blocks =
    Blocks { levels: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'], not_finite: '×' };
/// More ink for more.
pub(super) const ASCII: Blocks = Blocks { levels: ['.', ':', '-', '=', '+', '*', '#', '@'], not_finite: 'x' };

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bin {
    /// No epoch.
    Empty,
    /// The mean of its epochs.
    Mean(f64),
    /// An epoch of it is NaN or Inf.
    NotFinite,
}

/// At most `columns` bins over the epochs `first..=last`, each of as many of them as the others, or
/// nearly. A value that is not finite makes its whole bin so, for it must not be overlooked.
///
/// `points`: epochs and their values, in any order; those outside are left out.
pub(super) fn bins(
    points: impl Iterator<Item = (u64, f64)>,
    (first, last): (u64, u64),
    columns: usize,
) -> Vec<Bin> {
    let span = u128::from(last.saturating_sub(first)) + 1;
    let columns = columns.min(usize::try_from(span).unwrap_or(usize::MAX));
    // How many values, and their mean.
    let mut sums = vec![(0.0, Bin::Empty); columns];
    for (epoch, value) in points.filter(|(epoch, _)| (first..=last).contains(epoch)) {
        let place = u128::from(epoch - first) * columns as u128 / span;
        let Some((count, bin)) = sums.get_mut(place as usize) else { continue };
        *count += 1.0;
        *bin = match *bin {
            Bin::Empty if value.is_finite() => Bin::Mean(value),
            // Divided first: a difference of large numbers is not finite.
            Bin::Mean(mean) if value.is_finite() => Bin::Mean(mean + (value / *count - mean / *count)),
            _ => Bin::NotFinite,
        };
    }
    sums.into_iter().map(|(_, bin)| bin).collect()
}

/// The lowest and the highest mean.
pub(super) fn range<'a>(bins: impl Iterator<Item = &'a Bin>) -> Option<(f64, f64)> {
    bins.fold(None, |range, bin| match (bin, range) {
        (Bin::Mean(mean), None) => Some((*mean, *mean)),
        (Bin::Mean(mean), Some((low, high))) => Some((mean.min(low), mean.max(high))),
        _ => range,
    })
}

/// A character for each bin; a value in the middle of `range` if that is a single one.
pub(super) fn line(bins: &[Bin], range: Option<(f64, f64)>, blocks: &Blocks) -> String {
    let block = |bin: &Bin| match (bin, range) {
        (Bin::NotFinite, _) => blocks.not_finite,
        (Bin::Mean(mean), Some((low, high))) => {
            // Halved, so that differences stay finite.
            let share = (mean / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
            let place = if share.is_finite() { (share * 7.0).round() as usize } else { 3 };
            blocks.levels.get(place).copied().unwrap_or(' ')
        }
        _ => ' ',
    };
    bins.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[f64], columns: usize) -> String {
        let points = (1..).zip(values.iter().copied());
        let bins = bins(points, (1, values.len() as u64), columns);
        line(&bins, range(bins.iter()), &UNICODE)
    }

    #[test]
    fn the_lowest_and_the_highest_value_have_the_ends_of_the_scale() {
        assert_eq!(drawn(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 80), "▁▂▃▄▅▆▇█");
        assert_eq!(drawn(&[2.0, -1.0, 2.0], 80), "█▁█");
        assert_eq!(drawn(&[-1e308, 1e308], 80), "▁█");
        assert_eq!(drawn(&[0.5, 0.5], 80), "▄▄");
        assert_eq!(drawn(&[0.5], 80), "▄");
        assert_eq!(drawn(&[f64::MIN_POSITIVE / 4.0, 0.0], 80), "█▁");
    }

    #[test]
    fn more_epochs_than_columns_are_averaged() {
        let points: Vec<(u64, f64)> = (1..=10).map(|epoch| (epoch, epoch as f64)).collect();
        let means = |columns| bins(points.iter().copied(), (1, 10), columns);
        assert_eq!(means(2), [Bin::Mean(3.0), Bin::Mean(8.0)]);
        let sizes = means(3);
        assert_eq!(sizes.len(), 3);
        assert!(matches!(sizes[0], Bin::Mean(mean) if (mean - 2.5).abs() < 1e-12), "{sizes:?}");
        assert_eq!(means(10).len(), 10);
        assert_eq!(means(0), []);
        let large = bins([(1, f64::MAX), (2, f64::MAX), (3, f64::MIN)].into_iter(), (1, 3), 1);
        assert!(matches!(large[..], [Bin::Mean(mean)] if mean.is_finite()), "{large:?}");
    }

    #[test]
    fn what_is_not_finite_or_not_there_is_a_gap() {
        assert_eq!(drawn(&[1.0, f64::NAN, 0.0, f64::INFINITY], 80), "█×▁×");
        // One of a hundred is still seen.
        let mut values = vec![1.0; 100];
        values[37] = f64::NAN;
        assert_eq!(drawn(&values, 4), "▄×▄▄");
        let apart = bins([(u64::MAX, 1.0), (1, 0.0)].into_iter(), (1, u64::MAX), 3);
        assert_eq!(apart, [Bin::Mean(0.0), Bin::Empty, Bin::Mean(1.0)]);
        assert_eq!(line(&apart, range(apart.iter()), &ASCII), ". @");
    }
}
