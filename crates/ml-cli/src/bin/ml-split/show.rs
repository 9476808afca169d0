//! Splits → what stdout says: a table, or JSON.

use std::collections::BTreeMap;

use ml_data::dataset::{GroupsEntry, Manifest, Method, Plan, SplitEntry, Task, Written};
use ml_data::table::{Align, aligned, printable, printable_path, rule};
use ml_data::text::{grouped, shell_quoted};
use serde::Serialize;

/// What was done.
pub struct Outcome<'a> {
    pub plan: &'a Plan,
    pub written: &'a Written,
    pub dry_run: bool,
}

/// The form of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    /// written, unchanged, or `dry_run`.
    status: &'static str,
    image_dir: String,
    /// For `ml-train --data_dir`.
    data_dir: String,
    /// The folder of index files, or the tree.
    path: String,
    seed: u64,
    /// `multi_label`; absent with one label an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'static str>,
    /// Labels of all images, and images without one; absent with one label an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Labels>,
    method: &'a Method,
    classes: &'a [String],
    total: usize,
    splits: &'a [SplitEntry],
    /// What stays together; null if nothing does.
    groups: Option<&'a GroupsEntry>,
    /// Share of each split (or of each fold's validation images), and what was requested; empty for
    /// splits that a CSV gave.
    shares: Vec<Share>,
    warnings: &'a [String],
}

/// The labels of images that may have several.
#[derive(Serialize)]
struct Labels {
    /// Of all images.
    total: usize,
    /// Labels an image, on average.
    cardinality: f64,
    /// Images without a label.
    without: usize,
}

/// How far a split is from what was requested.
#[derive(Serialize)]
struct Share {
    split: String,
    /// Fraction of all images.
    got: f64,
    asked: f64,
    /// The class of the largest deviation.
    farthest_class: String,
    /// Fraction of its images.
    farthest: f64,
}

impl Outcome<'_> {
    pub fn json(&self) -> anyhow::Result<String> {
        let Manifest { seed, method, classes, total, splits, groups, .. } = self.plan.manifest();
        Ok(serde_json::to_string_pretty(&Json {
            status: self.status(),
            image_dir: self.plan.source().image_dir().display().to_string(),
            data_dir: self.written.data_dir.display().to_string(),
            path: self.written.path.display().to_string(),
            seed: *seed,
            task: self.plan.source().label_sets().map(|_| Task::MultiLabel.name()),
            labels: self.labels(),
            method,
            classes,
            total: *total,
            splits,
            groups: groups.as_ref(),
            shares: shares(self.plan.manifest()),
            warnings: self.plan.warnings(),
        })?)
    }

    fn labels(&self) -> Option<Labels> {
        let sets = self.plan.source().label_sets()?;
        let (total, images) = (sets.num_labels(), sets.len().max(1));
        Some(Labels { total, cardinality: total as f64 / images as f64, without: sets.num_empty() })
    }

    /// How many labels images have, and how near each split is to its share.
    fn labels_in_words(&self) -> Vec<String> {
        let Some(Labels { total, cardinality, without }) = self.labels() else { return Vec::new() };
        let mut lines = vec![format!(
            "{} labels on {} images, {cardinality:.2} each; {} without a label",
            grouped(total),
            grouped(self.plan.manifest().total),
            grouped(without)
        )];
        lines.extend(shares_in_words(self.plan.manifest()));
        lines.push(String::new());
        lines
    }

    fn status(&self) -> &'static str {
        match (self.dry_run, self.written.unchanged) {
            (true, _) => "dry_run",
            (false, true) => "unchanged",
            (false, false) => "written",
        }
    }

    /// Classes by splits, where it was written, and what to run next.
    pub fn table(&self) -> String {
        let manifest = self.plan.manifest();
        let columns: Vec<(String, &SplitEntry)> = manifest.splits.iter().filter_map(column).collect();
        let mut rows = vec![
            std::iter::once("class".to_owned())
                .chain(columns.iter().map(|(title, _)| title.clone()))
                .chain(["total".to_owned()])
                .collect::<Vec<_>>(),
        ];
        let mut row = |name: &str, counts: Vec<usize>| {
            let total: usize = counts.iter().sum();
            let cells = counts.iter().chain([&total]).map(|count| grouped(*count));
            rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
        };
        for class in &manifest.classes {
            row(
                class,
                columns.iter().map(|(_, entry)| entry.counts.get(class).copied().unwrap_or(0)).collect(),
            );
        }
        row("total", columns.iter().map(|(_, entry)| entry.total).collect());
        let mut text = ruled(&rows);
        let path = printable_path(&self.written.path);
        let data_dir = shell_quoted(&self.written.data_dir);
        let mut lines = vec![String::new()];
        let mut next = match manifest.task {
            Task::SingleLabel => format!("next:    ml-train --data_dir {data_dir}"),
            Task::MultiLabel => format!("next:    ml-split check {data_dir}"),
        };
        lines.extend(groups_in_words(manifest));
        lines.extend(self.labels_in_words());
        if matches!(manifest.method, Method::Folds { .. }) {
            lines.push(
                "A fold's column is its validation split; it is trained on all the other folds.".to_owned(),
            );
            if manifest.task == Task::SingleLabel {
                next += " --fold 0";
            }
        }
        match self.status() {
            "dry_run" => lines.push(format!("dry run: nothing was written; this would be {path}")),
            "unchanged" => {
                lines.extend([format!("{path}: unchanged, the same splits were there already"), next]);
            }
            _ => lines.extend([format!("written: {path}"), next]),
        }
        text += &lines.join("\n");
        text
    }
}

/// Shares of the columns, beside those that were requested.
fn shares(manifest: &Manifest) -> Vec<Share> {
    let asked = |entry: &SplitEntry| match (&manifest.method, entry.name.as_str()) {
        (Method::Ratio { train, .. }, "train") => Some(*train),
        (Method::Ratio { val, .. }, "val") => Some(*val),
        (Method::Ratio { test, .. } | Method::Folds { test, .. }, "test") => Some(*test),
        (Method::Ratio { .. } | Method::Given { .. }, _) => None,
        (Method::Folds { folds, test }, _) => Some((1.0 - test) / f64::from(*folds)),
    };
    let mut totals: BTreeMap<&String, usize> = BTreeMap::new();
    for (class, count) in manifest.splits.iter().filter_map(column).flat_map(|(_, entry)| &entry.counts) {
        *totals.entry(class).or_default() += count;
    }
    let share = |(split, entry): (String, &SplitEntry)| {
        let asked = asked(entry)?;
        let shares = entry.counts.iter().map(|(class, count)| (class, *count as f64 / totals[class] as f64));
        let farthest = shares.max_by(|(_, a), (_, b)| (a - asked).abs().total_cmp(&(b - asked).abs()));
        let (farthest_class, farthest) = farthest.map(|(class, share)| (class.clone(), share))?;
        let got = entry.total as f64 / manifest.total as f64;
        Some(Share { split, got, asked, farthest_class, farthest })
    };
    manifest.splits.iter().filter_map(column).filter_map(share).collect()
}

/// What stayed together, and what that did to the shares.
fn groups_in_words(manifest: &Manifest) -> Vec<String> {
    let Some(groups) = manifest.groups.as_ref().filter(|groups| groups.count > 0) else { return Vec::new() };
    let mut why: Vec<&str> = groups.by.as_deref().into_iter().collect();
    why.extend(manifest.duplicates.map(|_| "same content"));
    let by = if why.is_empty() { String::new() } else { format!(" (by {})", why.join(", ")) };
    let mut lines = vec![format!(
        "{} groups of 2 or more images stay together{by}; the largest has {}",
        grouped(groups.count),
        grouped(groups.largest)
    )];
    // Where images have several labels, the shares are told anyway.
    if manifest.task == Task::SingleLabel {
        lines.extend(shares_in_words(manifest));
        lines.push(String::new());
    }
    lines
}

fn shares_in_words(manifest: &Manifest) -> Vec<String> {
    let line = |share: Share| {
        let [got, asked, class] =
            [share.got, share.asked, share.farthest].map(|share| format!("{:.2} %", share * 100.0));
        format!(
            "{}: {got} of the images, {asked} requested; largest deviation: class {} with {class}",
            share.split,
            printable(&share.farthest_class)
        )
    };
    shares(manifest).into_iter().map(line).collect()
}

/// A fold is shown by its validation images: every image is then in one column.
fn column(entry: &SplitEntry) -> Option<(String, &SplitEntry)> {
    match entry.name.strip_prefix("fold_") {
        None => Some((entry.name.clone(), entry)),
        Some(fold) => fold.strip_suffix("_val").map(|number| (format!("fold {number}"), entry)),
    }
}

/// The first column to the left, numbers to the right; a rule under the title and above the last
/// row.
fn ruled(rows: &[Vec<String>]) -> String {
    let mut align = vec![Align::Right; rows.first().map_or(0, Vec::len)];
    align[..1].fill(Align::Left);
    let mut lines = aligned(rows, &align, 2);
    let rule = rule(&lines);
    lines.insert(lines.len() - 1, rule.clone());
    lines.insert(1, rule);
    lines.into_iter().map(|line| line + "\n").collect()
}
