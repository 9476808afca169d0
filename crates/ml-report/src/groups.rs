//! Which images are right, by group or folder → the accuracy of each, with an interval.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::path::{Component, Path};

use ml_core::metrics::intervals::{DEFAULT_LEVEL, Interval, clopper_pearson};
use ml_data::dataset::Index;
use ml_data::table::{Align, printable, table};
use serde::{Deserialize, Serialize};

/// What the images of a split are told apart by, besides their classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupedBy {
    /// The groups that the data folder was split with.
    #[default]
    Group,
    /// The folders that they lie in, below those of their classes.
    Folder,
}

impl GroupedBy {
    /// `group` or `folder`.
    pub fn noun(self) -> &'static str {
        match self {
            GroupedBy::Group => "group",
            GroupedBy::Folder => "folder",
        }
    }
}

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

/// The folder that each image of `index` lies in, below that of its class or, where the folders are
/// no classes, below the data folder; `.` of one that lies there itself. None where that says nothing:
/// all lie in one, each has one of its own, or the folders are the classes under other names.
pub fn folders(index: &Index, classes: &[String]) -> Option<Vec<String>> {
    let class_names: HashSet<&str> = classes.iter().map(String::as_str).collect();
    let folders: Vec<String> =
        index.samples.iter().map(|sample| folder_of(&sample.path, &class_names)).collect();
    let different: BTreeSet<&str> = folders.iter().map(String::as_str).collect();
    let with_class: BTreeSet<(&str, u32)> =
        folders.iter().zip(&index.samples).map(|(folder, sample)| (folder.as_str(), sample.class)).collect();
    let present: BTreeSet<u32> = index.samples.iter().map(|sample| sample.class).collect();
    let are_classes = with_class.len() == different.len() && different.len() == present.len();
    (different.len() > 1 && different.len() < folders.len() && !are_classes).then_some(folders)
}

/// The folder of a relative path, below the first that has a class's name.
fn folder_of(path: &Path, class_names: &HashSet<&str>) -> String {
    let names: Vec<&str> = path
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    let below = names.iter().position(|name| class_names.contains(name)).map_or(0, |place| place + 1);
    let names = &names[below..];
    if names.is_empty() { ".".to_owned() } else { names.join("/") }
}

/// A table of the first `limit`.
pub fn text(by: GroupedBy, groups: &[GroupResult], limit: usize) -> String {
    let noun = by.noun();
    let mut out = String::new();
    if groups.is_empty() {
        return out;
    }
    let shown = groups.len().min(limit);
    let _ = match groups.len() {
        all if shown < all => writeln!(out, "\nthe {shown} {noun}s with the lowest accuracy, of {all}:"),
        _ => writeln!(out, "\nby {noun}:"),
    };
    let mut rows = vec![[&format!("  {noun}"), "images", "accuracy", "95 % interval"].map(str::to_owned)];
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
    use std::path::PathBuf;

    use ml_data::dataset::{Sample, Split};

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
        let shown = text(GroupedBy::Group, &found, 2);
        assert!(shown.contains("the 2 groups with the lowest accuracy, of 3:"), "{shown}");
        assert!(text(GroupedBy::Folder, &found, 3).contains("by folder:"));
        assert_eq!(text(GroupedBy::Group, &[], 3), "");
    }

    #[test]
    fn folders_below_those_of_the_classes_are_told_where_they_say_something() {
        let found = |images: &[(&str, u32)]| {
            let samples = images
                .iter()
                .map(|&(path, class)| Sample { path: PathBuf::from(path).into(), class })
                .collect();
            let index = Index { root: PathBuf::from("data"), split: Split::Val, samples, label_sets: None };
            folders(&index, &["cat".to_owned(), "dog".to_owned()])
        };
        let sites =
            [("val/cat/a/1.png", 0), ("val/cat/b/2.png", 0), ("val/dog/a/3.png", 1), ("dog/4.png", 1)];
        assert_eq!(found(&sites).unwrap(), ["a", "b", "a", "."]);
        // A corrected label does not make a folder of the wrong class's.
        assert_eq!(found(&[("cat/1.png", 0), ("cat/2.png", 1), ("dog/3.png", 1)]), None);
        let flat = [("north/1.png", 0), ("north/2.png", 1), ("south/bay/3.png", 1)];
        assert_eq!(found(&flat).unwrap(), ["north", "north", "south/bay"]);
        assert_eq!(found(&[("n1/1.png", 0), ("n1/2.png", 0), ("n2/3.png", 1)]), None);
        assert_eq!(found(&[("cat/x/1.png", 0), ("dog/x/2.png", 1)]), None);
        assert_eq!(found(&[("cat/x/1.png", 0), ("cat/y/2.png", 0)]), None);
        let breeds = [("cat/x/1.png", 0), ("cat/y/2.png", 0), ("dog/z/3.png", 1), ("dog/z/4.png", 1)];
        assert_eq!(found(&breeds).unwrap(), ["x", "y", "z", "z"]);
    }
}
