//! Figures and findings of classes.

use std::collections::BTreeMap;

use super::Options;
use super::duplicates::Duplicates;
use super::examine::Facts;
use super::finding::{Finding, Kind};
use super::listing::Listing;
use super::report::ClassSummary;
use super::shown;
use super::stats::median;

/// One row a class, sorted by name.
pub(super) fn summarize(listing: &Listing, facts: &[Facts], duplicates: &Duplicates) -> Vec<ClassSummary> {
    let mut sides: Vec<(Vec<u32>, Vec<u32>)> = vec![Default::default(); listing.classes.len()];
    let mut rows: Vec<ClassSummary> = listing.classes.iter().map(|name| row(name)).collect();
    for (file, facts) in listing.files.iter().zip(facts) {
        for class in listing.classes_of(file) {
            let (row, sides) = (&mut rows[*class as usize], &mut sides[*class as usize]);
            row.images += 1;
            if let Some(split) = file.split {
                *row.splits.entry(listing.splits[split as usize].clone()).or_default() += 1;
            }
            if let Ok(seen) = &facts.seen {
                row.usable += 1;
                sides.0.push(seen.width);
                sides.1.push(seen.height);
            }
        }
    }
    let mut is_copy = vec![false; facts.len()];
    for member in duplicates.exact.iter().chain(&duplicates.pixels).flatten() {
        is_copy[*member as usize] = true;
    }
    let classes = |member: u32| listing.classes_of(&listing.files[member as usize]);
    for class in (0..).zip(&is_copy).filter(|(_, copy)| **copy).flat_map(|(member, _)| classes(member)) {
        rows[*class as usize].duplicates += 1;
    }
    let near = duplicates.near.iter().flatten().filter(|member| !is_copy[**member as usize]);
    for class in near.flat_map(|member| classes(*member)) {
        rows[*class as usize].near_duplicates += 1;
    }
    for (row, (widths, heights)) in rows.iter_mut().zip(sides) {
        (row.median_width, row.median_height) = (median(widths), median(heights));
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

fn row(name: &str) -> ClassSummary {
    ClassSummary {
        name: name.to_owned(),
        images: 0,
        usable: 0,
        splits: BTreeMap::new(),
        duplicates: 0,
        near_duplicates: 0,
        median_width: 0,
        median_height: 0,
    }
}

pub(super) fn judge(listing: &Listing, classes: &[ClassSummary], options: &Options) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut find = |kind: Kind, class: &ClassSummary, split: Option<&str>, message: String| {
        let place = listing.classes.iter().position(|name| *name == class.name);
        // With labels from a CSV a class has no folder.
        let path = place
            .map(|place| &listing.class_folders[place])
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(|folder| shown(folder));
        let (class, split) = (Some(class.name.clone()), split.map(str::to_owned));
        found.push(Finding { path, class, split, ..Finding::new(kind, message) });
    };
    let trained_on = listing.splits.iter().find(|split| *split == "train");
    for class in classes {
        if class.usable == 0 {
            let message = if class.images == 0 {
                "the class has no images".to_owned()
            } else {
                format!("none of the class's {} images can be read", class.images)
            };
            find(Kind::EmptyClass, class, None, message);
            continue;
        }
        if trained_on.is_some_and(|train| !class.splits.contains_key(train)) {
            let message = "the class has no images to train on".to_owned();
            find(Kind::EmptyClass, class, trained_on.map(String::as_str), message);
        }
        if class.usable < options.tiny_class {
            let (usable, enough) = (class.usable, options.tiny_class);
            let message = format!("the class has {usable} usable images; fewer than {enough} are too few");
            find(Kind::TinyClass, class, None, message);
        }
        for split in
            listing.splits.iter().filter(|split| *split != "train" && !class.splits.contains_key(*split))
        {
            let message = format!("the class has no images in {split}");
            find(Kind::MissingInSplit, class, Some(split), message);
        }
    }
    let filled = || classes.iter().filter(|class| class.usable > 0);
    if let (Some(most), Some(least)) =
        (filled().max_by_key(|class| class.usable), filled().min_by_key(|class| class.usable))
    {
        let ratio = most.usable as f64 / least.usable as f64;
        if ratio >= options.imbalance {
            let message = format!(
                "`{}` has {ratio:.0} times the images of `{}` ({} and {})",
                most.name, least.name, most.usable, least.usable
            );
            find(Kind::Imbalance, least, None, message);
        }
        if classes.len() == 1 {
            find(Kind::OneClass, most, None, "it is the only class".to_owned());
        }
    }
    found
}
