//! Which images are right, by group → the accuracy of each group, with an interval.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ml_core::metrics::intervals::{DEFAULT_LEVEL, Interval, clopper_pearson};
use ml_data::table::{Align, printable, table};
use serde::{Deserialize, Serialize};

/// How well a group is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// Its name.
    pub group: String,
    /// Its images.
    pub count: u64,
    /// Of these, the ones predicted right.
    pub correct: u64,
    /// The 95 % Clopper-Pearson interval of the accuracy, fractions. Images of one group may be more
    /// alike than it supposes.
    pub interval: [f64; 2],
}

impl GroupResult {
    /// A fraction.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.count.max(1) as f64
    }

    /// As it stands in a report.
    pub fn json(&self) -> serde_json::Value {
        let GroupResult { group, count, correct, interval } = self;
        serde_json::json!({"group": group, "count": count, "correct": correct, "interval": interval})
    }
}

/// Of images by the name of their group and whether they are right; the lowest accuracy first, then
/// by name.
pub fn by_group<'a>(images: impl Iterator<Item = (&'a str, bool)>) -> Vec<GroupResult> {
    let mut counts: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for (group, correct) in images {
        let [count, right] = counts.entry(group).or_default();
        *count += 1;
        *right += u64::from(correct);
    }
    let result = |(group, [count, correct]): (&str, [u64; 2])| {
        let Interval { lower, upper } = clopper_pearson(correct, count, DEFAULT_LEVEL);
        GroupResult { group: group.to_owned(), count, correct, interval: [lower, upper] }
    };
    let mut results: Vec<GroupResult> = counts.into_iter().map(result).collect();
    results.sort_by(|one, other| one.accuracy().total_cmp(&other.accuracy()));
    results
}

/// A table of the first `limit`.
pub fn text(groups: &[GroupResult], limit: usize) -> String {
    let mut out = String::new();
    if groups.is_empty() {
        return out;
    }
    let shown = groups.len().min(limit);
    let _ = match groups.len() {
        all if shown < all => writeln!(out, "\nthe {shown} groups with the lowest accuracy, of {all}:"),
        _ => writeln!(out, "\nby group:"),
    };
    let mut rows = vec![["  group", "images", "accuracy", "95 % interval"].map(str::to_owned)];
    for group in &groups[..shown] {
        let [low, high] = group.interval;
        rows.push([
            format!("  {}", printable(&group.group)),
            group.count.to_string(),
            format!("{:.4}", group.accuracy()),
            format!("{low:.4} to {high:.4}"),
        ]);
    }
    out.push_str(&table(&rows, [Align::Left, Align::Right, Align::Right, Align::Right]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_worst_first_with_exact_intervals() {
        let images = [("b", true), ("a", false), ("a", true), ("b", true), ("c", true), ("a", false)];
        let found = by_group(images.into_iter());
        let names: Vec<&str> = found.iter().map(|group| group.group.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((found[0].count, found[0].correct), (3, 1));
        // scipy.stats.binomtest(1, 3).proportion_ci(0.95, "exact")
        assert!((found[0].interval[0] - 0.008_403_758_66).abs() < 1e-9);
        assert!((found[0].interval[1] - 0.905_700_675_95).abs() < 1e-9);
        let shown = text(&found, 2);
        assert!(shown.contains("the 2 groups with the lowest accuracy, of 3:"), "{shown}");
        assert!(text(&found, 3).contains("by group:"));
        assert_eq!(text(&[], 3), "");
    }
}
