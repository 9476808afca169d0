//! The user's book: what it refers to is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::{read, workspace};

/// README.md and the pages under docs/, relative to the workspace.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(workspace().join("docs")).unwrap();
    let names = docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    names
        .filter(|page| page.extension().is_some_and(|suffix| suffix == "md"))
        .chain(["README.md".into()])
        .collect()
}

/// As GitHub makes them from headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    headings
        .map(|heading| {
            heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    let pages: BTreeMap<PathBuf, String> =
        pages().into_iter().map(|page| (page.clone(), read(workspace().join(page)))).collect();
    let link = Regex::new(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)").unwrap();
    let (mut broken, mut seen) = (Vec::new(), 0);
    for (page, text) in &pages {
        for found in link.captures_iter(text).filter(|found| !found[1].contains("://")) {
            seen += 1;
            let target = match &found[1] {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            // `..` leads out of docs/ again.
            let target = target.strip_prefix("docs/..").map(PathBuf::from).unwrap_or(target);
            let is_there = match found.get(2) {
                None => workspace().join(&target).exists(),
                Some(anchor) => {
                    pages.get(&target).is_some_and(|text| anchors(text).contains(anchor.as_str()))
                }
            };
            if !is_there {
                broken.push(format!("{}: {}", page.display(), &found[0]));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(seen > 20, "only {seen} links were found");
}

/// The files that a page links to, in order, without anchors.
fn linked(page: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)#:\s]+)\)").unwrap();
    let text = read(workspace().join(page));
    link.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_book_lists_every_page_exactly_once_and_its_introduction_lists_the_same() {
    let mut pages: Vec<String> = pages()
        .iter()
        .filter_map(|page| page.strip_prefix("docs").ok())
        .map(|page| page.display().to_string())
        .filter(|page| page != "SUMMARY.md")
        .collect();
    pages.sort();
    let summary = linked("docs/SUMMARY.md");
    let mut listed = summary.clone();
    listed.sort();
    assert_eq!(listed, pages, "mdBook shows only what docs/SUMMARY.md lists");
    assert_eq!(summary[0], "README.md");

    let introduction = linked("docs/README.md");
    let chapters: Vec<&String> = introduction.iter().filter(|page| !page.starts_with("..")).collect();
    assert_eq!(chapters, summary[1..].iter().collect::<Vec<_>>());
    assert!(read(workspace().join("book.toml")).contains("src = \"docs\""));
}

#[test]
fn lines_end_at_100_columns_outside_code_and_tables() {
    let mut long = Vec::new();
    for page in pages() {
        let mut in_code = false;
        for (number, line) in read(workspace().join(&page)).lines().enumerate() {
            in_code ^= line.trim_start().starts_with("```");
            let may_be_long = in_code || line.starts_with(['|', '<', '!']);
            if !may_be_long && line.chars().count() > 100 {
                long.push(format!("{}:{}", page.display(), number + 1));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn the_program_in_the_library_page_is_the_example_that_is_run() {
    let page = std::fs::read_to_string(workspace().join("docs/library.md")).unwrap();
    let example = workspace().join("crates/ml-core/examples/train_digits.rs");
    let example = std::fs::read_to_string(example).unwrap();
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shown: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    assert!(shown.len() > 5, "{shown:?}");
    for line in shown {
        assert!(
            example.lines().any(|of_example| of_example.trim() == line),
            "`{line}` is not in the example"
        );
    }
}
