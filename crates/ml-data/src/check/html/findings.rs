//! The overview of kinds, and a section for each: images, groups side by side, or lines.

use std::collections::BTreeSet;

use super::thumbnails::{self, Thumbnails};
use super::{escape, short};
use crate::check::finding::{Finding, Severity};
use crate::check::report::Report;
use crate::check::shown;
use crate::text::grouped;

/// Images of a section.
const IMAGES: usize = 24;
/// Groups of a section, and images of a group.
const GROUPS: usize = 12;
const MEMBERS: usize = 6;
/// Lines of a section without images.
const LINES: usize = 40;

/// A table of the kinds, each a link to its section.
pub(super) fn overview(report: &Report) -> String {
    if report.kinds.is_empty() {
        return String::new();
    }
    let row = |kind: &crate::check::KindCount| {
        format!(
            "<tr><td><span class=\"badge {0}\">{0}</span></td><td><a href=\"#{1}\">{2}</a></td>\
             <td class=\"n\">{3}</td><td class=\"path soft\">{4}</td></tr>\n",
            kind.severity.name(),
            kind.kind.name(),
            escape(kind.kind.title()),
            grouped(kind.count),
            kind.example.as_deref().map_or_else(String::new, short),
        )
    };
    format!(
        "<h2>Findings</h2>\n<div class=\"card scroll\"><table>\n<tr><th></th><th>Kind</th><th class=\"n\">Count</th><th>Example</th></tr>\n{}</table></div>\n",
        report.kinds.iter().map(row).collect::<String>()
    )
}

/// Errors, warnings, notes.
pub(super) fn sections(report: &Report) -> String {
    let by_kind: Vec<&[Finding]> = report.findings.chunk_by(|a, b| a.kind == b.kind).collect();
    let wanted: BTreeSet<u32> = by_kind.iter().flat_map(|same| shown_images(same)).collect();
    let thumbnails = thumbnails::make(report, &wanted);
    let mut html = String::new();
    for severity in Severity::ALL {
        let same: Vec<_> = by_kind.iter().filter(|same| same[0].severity == severity).collect();
        if same.is_empty() {
            continue;
        }
        let title = match severity {
            Severity::Error => "Errors",
            Severity::Warning => "Warnings",
            Severity::Note => "Notes",
        };
        html += &format!("<h2>{title}</h2>\n");
        same.into_iter().for_each(|same| html += &section(report, same, &thumbnails));
    }
    html
}

/// Whether a kind is shown as groups, and how many findings of it are shown.
fn is_grouped(same: &[Finding]) -> bool {
    same.iter().any(|finding| !finding.paths.is_empty())
}

fn shown_images(same: &[Finding]) -> Vec<u32> {
    let (findings, members) = if is_grouped(same) { (GROUPS, MEMBERS) } else { (IMAGES, 1) };
    same.iter().take(findings).flat_map(|finding| finding.images.iter().take(members).copied()).collect()
}

fn section(report: &Report, same: &[Finding], thumbnails: &Thumbnails) -> String {
    let kind = same[0].kind;
    let has_images = shown_images(same).iter().any(|image| thumbnails.contains_key(image));
    let (limit, body) = if is_grouped(same) {
        let groups: String =
            same.iter().take(GROUPS).map(|finding| group(report, finding, thumbnails)).collect();
        (GROUPS, format!("<div class=\"groups\">\n{groups}</div>\n"))
    } else if has_images {
        let figures: String =
            same.iter().take(IMAGES).map(|finding| figure_of(report, finding, thumbnails)).collect();
        (IMAGES, format!("<div class=\"grid\">\n{figures}</div>\n"))
    } else {
        let lines: String = same.iter().take(LINES).map(line).collect();
        (LINES, format!("<ul class=\"list\">\n{lines}</ul>\n"))
    };
    format!(
        "<section class=\"card\" id=\"{}\"><h3><span class=\"badge {1}\">{1}</span>{2}<span class=\"count\">{3}</span></h3>\n\
         <p class=\"soft\">{4}</p>\n{body}{5}</section>\n",
        kind.name(),
        kind.severity().name(),
        escape(kind.title()),
        grouped(same.len()),
        escape(kind.meaning()),
        left_out(same.len(), limit, "in dataset_report.json"),
    )
}

fn left_out(count: usize, limit: usize, place: &str) -> String {
    if count <= limit {
        return String::new();
    }
    format!("<p class=\"more\">{} more are left out here; they are {place}.</p>\n", grouped(count - limit))
}

fn group(report: &Report, finding: &Finding, thumbnails: &Thumbnails) -> String {
    let member = |image: &u32| {
        let file = &report.files[*image as usize];
        let name = short(&shown(&file.path));
        figure(*image, &tags(report, *image), &format!("<div class=\"path\">{name}</div>"), thumbnails)
    };
    let figures: String = finding.images.iter().take(MEMBERS).map(member).collect();
    let wide = if finding.images.len() > 2 { " wide" } else { "" };
    format!(
        "<div class=\"group{wide}\"><div>{}</div><div class=\"grid\">\n{figures}</div>\n{}</div>\n",
        escape(&finding.message),
        left_out(finding.images.len(), MEMBERS, "in dataset_report.json"),
    )
}

/// Class, split and size of an image.
fn tags(report: &Report, image: u32) -> String {
    let file = &report.files[image as usize];
    let class = file.class.map(|class| report.class_names[class as usize].clone());
    let split = file.split.map(|split| report.splits[split as usize].clone());
    let size = file.size.map(|(width, height)| format!("{width} × {height}"));
    let tag = |text: String| format!("<span class=\"tag\">{}</span>", short(&text));
    split.into_iter().chain(class).chain(size).map(tag).collect()
}

fn figure_of(report: &Report, finding: &Finding, thumbnails: &Thumbnails) -> String {
    let path = short(finding.path.as_deref().unwrap_or_default());
    let text =
        format!("<div class=\"path\">{path}</div><div class=\"why\">{}</div>", short(&finding.message));
    match finding.images.first() {
        Some(image) => figure(*image, &tags(report, *image), &text, thumbnails),
        None => {
            format!("<figure><div class=\"shot\">no image</div><figcaption>{text}</figcaption></figure>\n")
        }
    }
}

fn figure(image: u32, tags: &str, text: &str, thumbnails: &Thumbnails) -> String {
    let image = thumbnails.get(&image).map_or("cannot be shown", String::as_str);
    format!("<figure><div class=\"shot\">{image}</div><figcaption>{tags}{text}</figcaption></figure>\n")
}

fn line(finding: &Finding) -> String {
    let path = finding
        .path
        .as_deref()
        .map_or_else(String::new, |path| format!("<div class=\"path\">{}</div>", short(path)));
    let place = finding.class.iter().chain(&finding.split);
    let tags: String = place.map(|text| format!("<span class=\"tag\">{}</span>", short(text))).collect();
    format!("<li>{path}{tags}<span class=\"soft\">{}</span></li>\n", short(&finding.message))
}
