//! A report → what stdout says: kinds with an example each, then classes.

use std::path::Path;

use ml_data::check::{Form, Output, Report, Severity};
use ml_data::table::{Align, aligned, printable_path, rule};
use ml_data::text::shell_quoted;

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
        let [html, json] = [html, json].map(|path| printable_path(&path));
        summary += &format!("\nwritten: {html}\n         {json}");
    }
    if report.form == Form::ClassFolders && report.usable > 0 {
        let first = if report.count(Severity::Error) > 0 { "fix the errors, then " } else { "" };
        let dir = shell_quoted(dir);
        summary += &format!(
            "\nnext:    {first}ml-split {dir} --check (splits; copies and near-duplicates stay together)"
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
    ruled(&rows, &[Align::Left, Align::Left, Align::Right, Align::Left])
}

fn classes(report: &Report) -> String {
    let mut title = vec!["class".to_owned()];
    title.extend(report.splits.iter().cloned());
    title.extend(["images", "unreadable", "copies", "alike", "median px"].map(str::to_owned));
    let mut align = vec![Align::Right; title.len()];
    align[0] = Align::Left;
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
    ruled(&rows, &align)
}

/// Columns under each other, a rule under the title.
fn ruled(rows: &[Vec<String>], align: &[Align]) -> String {
    let mut lines = aligned(rows, align, 2);
    lines.insert(1, rule(&lines));
    lines.join("\n")
}
