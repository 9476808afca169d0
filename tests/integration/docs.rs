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
