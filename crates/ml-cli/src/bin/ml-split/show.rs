//! A division → what stdout says: a table, or JSON.

use ml_data::dataset::{Manifest, Method, Plan, SplitEntry, Written, shell_quoted};
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
    method: &'a Method,
    classes: &'a [String],
    total: usize,
    splits: &'a [SplitEntry],
    warnings: &'a [String],
}

impl Outcome<'_> {
    pub fn json(&self) -> anyhow::Result<String> {
        let Manifest { seed, method, classes, total, splits, .. } = self.plan.manifest();
        Ok(serde_json::to_string_pretty(&Json {
            status: self.status(),
            image_dir: self.plan.source().image_dir().display().to_string(),
            data_dir: self.written.data_dir.display().to_string(),
            path: self.written.path.display().to_string(),
            seed: *seed,
            method,
            classes,
            total: *total,
            splits,
            warnings: self.plan.warnings(),
        })?)
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
        let mut text = aligned(&rows);
        let path = self.written.path.display();
        let data_dir = shell_quoted(&self.written.data_dir);
        let mut lines = vec![String::new()];
        let mut next = format!("next:    ml-train --data_dir {data_dir}");
        if matches!(manifest.method, Method::Folds { .. }) {
            lines.push(
                "A fold's column is its validation split; it is trained on all the other folds.".to_owned(),
            );
            next += " --fold 0";
        }
        match self.status() {
            "dry_run" => lines.push(format!("dry run: nothing was written; this would be {path}")),
            "unchanged" => {
                lines.extend([format!("{path}: unchanged, the same splits were there already"), next])
            }
            _ => lines.extend([format!("written: {path}"), next]),
        }
        text += &lines.join("\n");
        text
    }
}

/// A fold is shown by its validation pictures: every picture is then in one column.
fn column(entry: &SplitEntry) -> Option<(String, &SplitEntry)> {
    match entry.name.strip_prefix("fold_") {
        None => Some((entry.name.clone(), entry)),
        Some(fold) => fold.strip_suffix("_val").map(|number| (format!("fold {number}"), entry)),
    }
}

/// The first column to the left, numbers to the right; a line under the title and above the last row.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1));
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        if number == 1 || number + 1 == rows.len() {
            text.extend([&rule, "\n"]);
        }
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.extend([cells.collect::<Vec<_>>().join("  ").trim_end(), "\n"]);
    }
    text
}

/// `12,345`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
