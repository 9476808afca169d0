//! Metrics of each class, the worst first.

use std::cmp::Ordering;

use maud::{Markup, html};

use super::format::{self, NONE, SPACE, decimal, name};
use super::page::{clamped, left_out, scroll};
use super::results::{ClassRow, ClassTable, Groups};
use super::value::Part;
use crate::groups::GroupedBy;

/// Rows outside the fold-out.
const WORST: usize = 30;
/// Rows altogether.
const ROWS: usize = 2_000;
/// Groups.
const GROUPS: usize = 50;
/// Classes with few images that are named.
const FEW: usize = 50;

/// The worst classes, the rest, and those with few training images.
pub(super) fn classes(table: &ClassTable) -> Markup {
    let mut rows: Vec<&ClassRow> = table.rows.iter().collect();
    rows.sort_by(|a, b| worst_first(a, b));
    let (worst, rest) = rows.split_at(rows.len().min(WORST));
    let rest = &rest[..rest.len().min(ROWS - WORST)];
    html! {
        p {
            "Each class against the others, on the " (name(&table.split)) " split; the lowest F1 first."
        }
        (class_table("Per-class metrics", table, worst))
        @if !rest.is_empty() {
            details {
                summary { "The other classes (" (format::count(rest.len() as u64)) ")" }
                (class_table("Per-class metrics of the other classes", table, rest))
                (left_out(rows.len() as u64, ROWS, "class"))
            }
        }
        (few_images(table))
    }
}

/// By F1; classes without images say nothing about the network and come last.
fn worst_first(a: &ClassRow, b: &ClassRow) -> Ordering {
    let key = |row: &ClassRow| (row.support == 0, if row.f1.is_nan() { f64::INFINITY } else { row.f1 });
    key(a).partial_cmp(&key(b)).unwrap_or(Ordering::Equal)
}

fn class_table(label: &str, table: &ClassTable, rows: &[&ClassRow]) -> Markup {
    let has_ap = table.rows.iter().any(|row| row.ap.is_some());
    let has_auc = table.rows.iter().any(|row| row.auc.is_some());
    let has_threshold = table.rows.iter().any(|row| row.threshold.is_some());
    let has_train = table.rows.iter().any(|row| row.train_images.is_some());
    let option = |value: Option<f64>| value.map_or(NONE.into(), |value| decimal(value, 3));
    let table = html! {
        table.numbers.classes {
            thead {
                tr {
                    th scope="col" { "Class" }
                    th scope="col" { "F1" }
                    th scope="col" { "Precision" }
                    th scope="col" { "Recall" }
                    @if has_ap { th scope="col" { abbr title="average precision" { "AP" } } }
                    @if has_auc { th scope="col" { abbr title="area under the ROC curve" { "AUC" } } }
                    @if has_threshold { th scope="col" { "Threshold" } }
                    th scope="col" { "Images" }
                    @if has_train { th scope="col" { "Train images" } }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" { (clamped(&row.class)) }
                        td.bar style=(share(row.f1)) { (decimal(row.f1, 3)) }
                        td { (decimal(row.precision, 3)) }
                        td { (decimal(row.recall, 3)) }
                        @if has_ap { td { (option(row.ap)) } }
                        @if has_auc { td { (option(row.auc)) } }
                        @if has_threshold { td { (option(row.threshold)) } }
                        td { (format::count(row.support)) }
                        @if has_train { td { (row.train_images.map_or(NONE.into(), format::count)) } }
                    }
                }
            }
        }
    };
    scroll(label, &table)
}

/// What [`groups`] is called.
pub(super) fn groups_title(groups: &Part<Groups>) -> &'static str {
    match groups {
        Part::Present(Groups { by: GroupedBy::Folder, .. }) => "Accuracy by folder",
        _ => "Accuracy by group",
    }
}

/// The groups with the lowest accuracy.
pub(super) fn groups(groups: &Groups) -> Markup {
    let noun = groups.by.noun();
    let table = html! {
        table.numbers {
            thead { tr {
                th scope="col" { (match groups.by { GroupedBy::Group => "Group", GroupedBy::Folder => "Folder" }) }
                th scope="col" { "Images" }
                th scope="col" { "Accuracy" }
                th scope="col" { "95" (SPACE) "% interval" }
            } }
            tbody { @for (group, images, accuracy) in groups.rows.iter().take(GROUPS) { tr {
                th scope="row" { (clamped(group)) }
                td { (format::count(*images)) }
                td.bar style=(share(accuracy.value)) { (format::percent(accuracy.value)) }
                td { (accuracy.interval.map_or(NONE.into(), format::percent_range)) }
            } } }
        }
    };
    html! {
        p {
            "On the " (name(&groups.split)) " split; the lowest accuracy first. Images of a " (noun) " may be more alike than "
            "the intervals suppose."
        }
        (scroll(&format!("Accuracy by {noun}"), &table))
        (left_out(groups.rows.len() as u64, GROUPS, noun))
    }
}

/// A fraction as a variable of the style sheet.
pub(super) fn share(value: f64) -> String {
    let value = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
    format!("--s:{:.1}%", value * 100.0)
}

fn few_images(table: &ClassTable) -> Markup {
    let images = |row: &ClassRow| row.train_images.filter(|count| *count < table.few_images);
    let mut few: Vec<(u64, &str)> =
        table.rows.iter().filter_map(|row| Some((images(row)?, row.class.as_str()))).collect();
    few.sort_unstable();
    html! {
        @if !few.is_empty() {
            h3 { "Classes with few images" }
            p {
                (format::counted(few.len() as u64, "class")) " with fewer than "
                (format::count(table.few_images)) " training images. Their metrics are uncertain; more images help most here."
            }
            ul.inline {
                @for (count, class) in few.iter().take(FEW) { li { (name(class)) " (" (format::count(*count)) ")" } }
            }
            (left_out(few.len() as u64, FEW, "class"))
        }
    }
}
