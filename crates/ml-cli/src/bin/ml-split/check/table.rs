//! A report → what stdout says: kinds with an example each, then classes.

use std::path::Path;

use ml_data::check::{Form, Output, Report, Severity};
use ml_data::dataset::shell_quoted;

/// Longer examples are cut.
const EXAMPLE: usize = 100;

/// Findings by kind, classes, a summary, and what to run next on `dir`, which was examined.
pub fn text(report: &Report, output: Option<&Output>, dir: &Path) -> String {
    let mut parts = Vec::new();
    if !report.kinds.is_empty() {
        parts.push(kinds(report));
    }
    if !report.classes.is_empty() {
        parts.push(classes(report));
    }
    let severities = Severity::ALL.map(|severity| counted(report.count(severity), severity.name()));
    let mut summary = format!(
        "{}, {} of them usable, in {}: {}",
        counted(report.images, "image"),
        report.usable,
        counted_classes(report.classes.len()),
        severities.join(", ")
    );
    if let Some(output) = output {
        let [json, html] = output.paths();
        summary += &format!("\nwritten: {}\n         {}", html.display(), json.display());
    }
    if report.form == Form::ClassFolders && report.usable > 0 {
        let first = if report.count(Severity::Error) > 0 { "mend the errors, then " } else { "" };
        let dir = shell_quoted(dir);
        summary += &format!(
            "\nnext:    {first}ml-split {dir} --check (divides; copies and what looks alike stay together)"
        );
    }
    parts.push(summary);
    parts.join("\n\n")
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn counted_classes(count: usize) -> String {
    if count == 1 { "1 class".to_owned() } else { format!("{count} classes") }
}

fn kinds(report: &Report) -> String {
    let mut rows = vec![["severity", "finding", "count", "example"].map(str::to_owned).to_vec()];
    for kind in &report.kinds {
        let example = kind.example.as_deref().unwrap_or(&kind.message);
        let example = match example.char_indices().nth(EXAMPLE) {
            Some((end, _)) => format!("{}…", &example[..end]),
            None => example.to_owned(),
        };
        rows.push(vec![
            kind.severity.name().to_owned(),
            kind.kind.title().to_owned(),
            kind.count.to_string(),
            example,
        ]);
    }
    aligned(&rows, &[false, false, true, false])
}

fn classes(report: &Report) -> String {
    let mut title = vec!["class".to_owned()];
    title.extend(report.splits.iter().cloned());
    title.extend(["images", "unreadable", "copies", "alike", "median px"].map(str::to_owned));
    let mut to_right = vec![true; title.len()];
    to_right[0] = false;
    let mut rows = vec![title];
    for class in &report.classes {
        let mut row = vec![class.name.clone()];
        row.extend(
            report.splits.iter().map(|split| class.splits.get(split).copied().unwrap_or(0).to_string()),
        );
        let unreadable = class.images - class.usable;
        let counts = [class.images, unreadable, class.duplicates, class.near_duplicates];
        row.extend(counts.map(|count| count.to_string()));
        row.push(match class.usable {
            0 => "-".to_owned(),
            _ => format!("{}x{}", class.median_width, class.median_height),
        });
        rows.push(row);
    }
    aligned(&rows, &to_right)
}

/// Columns under each other, a line under the title.
fn aligned(rows: &[Vec<String>], to_right: &[bool]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..to_right.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(to_right).map(|((cell, &width), right)| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    let rule = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    lines.insert(1, "-".repeat(rule));
    lines.join("\n")
}
