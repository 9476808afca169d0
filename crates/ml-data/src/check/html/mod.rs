//! A report → one HTML page that needs no other file: styles and images are in it, and it has no
//! script.
//!
//! File and class names are untrusted: all text passes through [`escape`], and the page's own
//! policy forbids scripts and everything that is not in the page. Its size is bounded: each section
//! shows at most so many images and lines, and says how many it leaves out.

mod charts;
mod findings;
mod thumbnails;

use std::fmt::Write;

use super::finding::Severity;
use super::listing::Form;
use super::report::Report;
use crate::dataset::REPORT_FILES;
use crate::text::grouped;

const STYLE: &str = include_str!("style.css");

/// How the page begins, by which it is known as ours.
pub(super) const HTML_START: &str = "<!doctype html>\n<!-- dataset report by ml-split";

/// The report as one HTML page that needs no other file. The images that it shows are read again,
/// so it takes a moment; it is at most about 6 MB, and says how much it leaves out.
pub fn to_html(report: &Report) -> String {
    let mut html = String::from(HTML_START);
    let root = escape(&report.root);
    // Writing to a string cannot fail.
    let _ = write!(
        html,
        " -->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Dataset report: {root}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Dataset report</h1>\n<p class=\"path soft\">{root}</p>\n"
    );
    html += &verdict(report);
    html += &tiles(report);
    html += &findings::overview(report);
    html += &charts::classes(report);
    html += &charts::sizes(report);
    html += &findings::sections(report);
    let _ = write!(
        html,
        "<footer>Made by {}. All findings, without images, are in {}.</footer>\n</main>\n</body>\n</html>\n",
        escape(&report.created_by),
        REPORT_FILES[0]
    );
    html
}

fn verdict(report: &Report) -> String {
    let count = |severity| report.count(severity);
    let (class, text) = if count(Severity::Error) > 0 {
        ("error", "Not fit for training: errors make training fail or its metrics wrong.")
    } else if count(Severity::Warning) > 0 {
        ("warning", "Fit for training; the warnings are worth a look.")
    } else {
        ("ok", "Fit for training: nothing is wrong.")
    };
    format!("<div class=\"verdict {class}\">{text}</div>\n")
}

fn tiles(report: &Report) -> String {
    let form = match report.form {
        Form::ClassFolders => "not split".to_owned(),
        Form::ImageFolder | Form::IndexFiles => format!("in {} splits", report.splits.len()),
    };
    let mut tiles = vec![
        ("", grouped(report.images), form),
        ("", grouped(report.usable), "can be read".to_owned()),
        ("", grouped(report.classes.len()), "classes".to_owned()),
        ("", bytes(report.bytes), "on disk".to_owned()),
    ];
    if let Some(sizes) = &report.sizes {
        let median = format!("{} × {}", sizes.median_width, sizes.median_height);
        tiles.push(("", median, "median pixels".to_owned()));
    }
    for severity in Severity::ALL {
        let count = report.count(severity);
        let class = if count > 0 { severity.name() } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        tiles.push((class, grouped(count), format!("{}{plural}", severity.name())));
    }
    tiles[0].2 = format!("images, {}", tiles[0].2);
    let tile = |(class, value, label): &(&str, String, String)| {
        format!("<div class=\"tile {class}\"><b>{value}</b><span>{label}</span></div>\n")
    };
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

/// Text for HTML, in elements and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escaped, with the middle of a very long text left out.
fn short(text: &str) -> String {
    const ENDS: usize = 120;
    let length = text.chars().count();
    if length <= 2 * ENDS + 20 {
        return escape(text);
    }
    let start: String = text.chars().take(ENDS).collect();
    let end: String = text.chars().skip(length - ENDS).collect();
    format!("{}…{}", escape(&start), escape(&end))
}

fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if value < 10.0 && unit != "B" {
                format!("{value:.1} {unit}")
            } else {
                format!("{value:.0} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escape("<img src='x' onerror=\"a&b\">"),
            "&lt;img src=&#39;x&#39; onerror=&quot;a&amp;b&quot;&gt;"
        );
        let long = short(&"<&".repeat(400));
        assert!(long.contains('…') && !long.contains('<') && long.len() < 1300, "{long}");
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [12, 1_500, 25_000_000, 3_100_000_000_000].map(bytes),
            ["12 B", "1.5 kB", "25 MB", "3.1 TB"]
        );
    }
}
