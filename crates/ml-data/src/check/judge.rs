//! Facts → findings and numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::duplicates::Duplicates;
use super::examine::{Facts, Seen};
use super::finding::{Finding, Kind, Severity};
use super::header::Mode;
use super::listing::Listing;
use super::report::{FORMAT_VERSION, KindCount, Listed, Report, ShownGroups, Sizes};
use super::stats::median;
use super::{Options, classes, label_sets, shown};
use crate::decode::Oddity;
use crate::transform::Size;
use crate::transform::crop_loss::CropLoss;

/// Width by height this many times the median's, or its inverse, is odd.
const ODD_SHAPE: f64 = 3.0;
/// A side (the root of the area) this many times the median's, or its inverse, is odd.
const ODD_SIZE: f64 = 4.0;
/// A shorter side below this is very small where the median's is at least twice as long.
const SMALL_SIDE: u32 = 32;
/// A shorter side below this is always very small.
const TINY_SIDE: u32 = 8;

pub(super) fn judge(
    mut listing: Listing,
    facts: &[Facts],
    duplicates: Duplicates,
    options: &Options,
) -> Report {
    let sizes = sizes(facts.iter().filter_map(|facts| facts.seen.as_ref().ok()));
    let mut findings = std::mem::take(&mut listing.findings);
    findings.extend(of_images(&listing, facts, sizes.as_ref()));
    findings.extend(copies(&listing, &duplicates));
    let classes = classes::summarize(&listing, facts, &duplicates);
    findings.extend(classes::judge(&listing, &classes, options));
    findings.extend(label_sets::judge(&listing));
    let seen = facts.iter().filter_map(|facts| facts.seen.as_ref().ok());
    let crop_loss = CropLoss::of(seen.map(|seen| Size { height: seen.height, width: seen.width }));
    if let Some(warning) = crop_loss.warning() {
        let message = format!("{warning}; consider transforms.fit: pad");
        findings.push(Finding::new(Kind::CropLoss, message));
    }
    if duplicates.cut {
        findings.push(Finding::new(Kind::SearchCut, "too many images look alike to compare them all"));
    }
    findings.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    // Of folds, every index file lists an image; one is enough.
    findings.dedup_by(|b, a| a.kind == Kind::Missing && b.kind == Kind::Missing && a.path == b.path);
    let size = |facts: &Facts| facts.seen.as_ref().ok().map(|seen| (seen.width, seen.height));
    let multi_label = listing.multi_label;
    let files = listing.files.into_iter().zip(facts);
    let mut report = Report {
        format_version: FORMAT_VERSION,
        created_by: concat!("ml-split ", env!("CARGO_PKG_VERSION")).to_owned(),
        root: shown(&listing.root),
        form: listing.form,
        images: facts.len(),
        usable: facts.iter().filter(|facts| facts.seen.is_ok()).count(),
        bytes: facts.iter().map(|facts| facts.bytes).sum(),
        counts: Severity::ALL
            .into_iter()
            .map(|severity| (severity.name(), count(&findings, severity)))
            .collect(),
        kinds: kinds(&findings),
        splits: listing.splits,
        classes,
        sizes,
        duplicates: ShownGroups { exact: Vec::new(), same_pixels: Vec::new(), near: Vec::new() },
        findings,
        base: listing.root,
        class_names: listing.classes,
        files: files
            .map(|(file, facts)| Listed {
                path: file.path,
                class: (!multi_label).then_some(file.class),
                split: file.split,
                size: size(facts),
            })
            .collect(),
        groups: duplicates,
    };
    report.duplicates = report.shown_groups();
    report
}

/// What is to be said of each image by itself.
fn of_images(listing: &Listing, facts: &[Facts], sizes: Option<&Sizes>) -> Vec<Finding> {
    let usual = usual_mode(facts);
    let mut findings = Vec::new();
    for (i, facts) in facts.iter().enumerate() {
        match &facts.seen {
            Err((kind, problem)) => findings.push(listing.about(*kind, i, problem.clone())),
            Ok(seen) => {
                let problems = content(seen).into_iter().chain(size(seen, sizes)).chain(color(seen, usual));
                findings.extend(problems.map(|(kind, message)| listing.about(kind, i, message)));
            }
        }
    }
    findings
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

fn kinds(findings: &[Finding]) -> Vec<KindCount> {
    let by_kind = findings.chunk_by(|a, b| a.kind == b.kind);
    let row = |same: &[Finding]| KindCount {
        kind: same[0].kind,
        severity: same[0].severity,
        count: same.len(),
        example: same.iter().find_map(|finding| finding.path.clone()),
        message: same[0].message.clone(),
    };
    by_kind.map(row).collect()
}

fn sizes<'a>(seen: impl Iterator<Item = &'a Seen>) -> Option<Sizes> {
    let (widths, heights): (Vec<u32>, Vec<u32>) = seen.map(|seen| (seen.width, seen.height)).unzip();
    Some(Sizes {
        min: [*widths.iter().min()?, *heights.iter().min()?],
        max: [*widths.iter().max()?, *heights.iter().max()?],
        median_width: median(widths),
        median_height: median(heights),
    })
}

/// The most common way of storing colours.
fn usual_mode(facts: &[Facts]) -> Option<Mode> {
    let mut counts: BTreeMap<Mode, usize> = BTreeMap::new();
    for mode in facts.iter().filter_map(|facts| facts.seen.as_ref().ok()?.mode) {
        *counts.entry(mode).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(mode, _)| mode)
}

fn content(seen: &Seen) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    if let Some(suffix) = seen.suffix_of {
        found.push((
            Kind::WrongSuffix,
            format!("named as {}, and is a {} file", suffix.name(), seen.format.name()),
        ));
    }
    match (seen.oddity, seen.one_color) {
        // Says why it has one colour, if it has.
        (Some(oddity @ Oddity::NarrowRange { .. }), _) => found.push((Kind::NarrowRange, oddity.to_string())),
        (Some(oddity @ Oddity::OnlyAlpha), _) => found.push((Kind::OnlyAlpha, oddity.to_string())),
        (None, Some([r, g, b])) => {
            found.push((Kind::OneColor, format!("every pixel is #{r:02x}{g:02x}{b:02x}")));
        }
        (None, None) => {}
    }
    if seen.oriented {
        found.push((
            Kind::ExifOrientation,
            "is stored turned or mirrored; EXIF says how it is meant".to_owned(),
        ));
    }
    if seen.animated {
        found.push((Kind::Animated, "has several frames or pages; the first is used".to_owned()));
    }
    found
}

fn size(seen: &Seen, sizes: Option<&Sizes>) -> Vec<(Kind, String)> {
    let Some(sizes) = sizes else { return Vec::new() };
    let Seen { width, height, .. } = *seen;
    let (usual_width, usual_height) = (sizes.median_width, sizes.median_height);
    let told = format!("{width} x {height} pixels; the median is {usual_width} x {usual_height}");
    let (shorter, usual_shorter) = (width.min(height), usual_width.min(usual_height));
    let ratio = |a: f64, b: f64| (a / b).max(b / a);
    let shape = |width: u32, height: u32| f64::from(width) / f64::from(height);
    let side = |width: u32, height: u32| (f64::from(width) * f64::from(height)).sqrt();
    let mut found = Vec::new();
    if shorter < TINY_SIDE || shorter < SMALL_SIDE && usual_shorter >= 2 * SMALL_SIDE {
        found.push((Kind::VerySmall, told.clone()));
    } else if ratio(side(width, height), side(usual_width, usual_height)) >= ODD_SIZE {
        found.push((Kind::OddSize, told.clone()));
    }
    if ratio(shape(width, height), shape(usual_width, usual_height)) >= ODD_SHAPE {
        found.push((Kind::OddShape, told));
    }
    found
}

fn color(seen: &Seen, usual: Option<Mode>) -> Option<(Kind, String)> {
    let (mode, usual) = (seen.mode?, usual?);
    (mode != usual).then(|| (Kind::ColorMix, format!("is {}; most are {}", mode.name(), usual.name())))
}

/// A finding a group, or two if it crosses both classes and splits.
fn copies(listing: &Listing, duplicates: &Duplicates) -> Vec<Finding> {
    use Kind::{Duplicate, DuplicateAcrossClasses, DuplicateAcrossSplits};
    use Kind::{NearDuplicate, NearDuplicateAcrossClasses, NearDuplicateAcrossSplits};
    let same = [DuplicateAcrossSplits, DuplicateAcrossClasses, Duplicate];
    let alike = [NearDuplicateAcrossSplits, NearDuplicateAcrossClasses, NearDuplicate];
    let mut found = Vec::new();
    for (groups, kinds, what) in [
        (&duplicates.exact, same, "are the same file"),
        (&duplicates.pixels, same, "have the same pixels in different files"),
        (&duplicates.near, alike, "look alike"),
    ] {
        for group in groups {
            found.extend(crossings(listing, group, kinds, what));
        }
    }
    found
}

fn crossings(listing: &Listing, group: &[u32], kinds: [Kind; 3], what: &str) -> Vec<Finding> {
    let members = || group.iter().map(|member| &listing.files[*member as usize]);
    let splits: BTreeSet<u32> = members().filter_map(|file| file.split).collect();
    let sets: BTreeSet<&[u32]> = members().map(|file| listing.classes_of(file)).collect();
    let classes: BTreeSet<u32> = sets.iter().copied().flatten().copied().collect();
    let list = |numbers: &BTreeSet<u32>, names: &[String]| {
        let names: Vec<&str> = numbers.iter().map(|number| names[*number as usize].as_str()).collect();
        names.join(", ")
    };
    let (across_splits, across_classes) = (splits.len() > 1, sets.len() > 1);
    let message = |place: &str| format!("{} images {what}{place}", group.len());
    let mut found = Vec::new();
    if across_splits {
        let place = format!(", in the splits {}", list(&splits, &listing.splits));
        found.push((kinds[0], message(&place)));
    }
    if across_classes {
        let what = if listing.multi_label { "with different labels, in all" } else { "in the classes" };
        let place = format!(", {what} {}", list(&classes, &listing.classes));
        found.push((kinds[1], message(&place)));
    }
    if !across_splits && !across_classes {
        found.push((kinds[2], message("")));
    }
    let finding = |(kind, message)| {
        let mut finding = listing.about(kind, group[0] as usize, message);
        if across_classes {
            finding.class = None;
        }
        if across_splits {
            finding.split = None;
        }
        finding.paths = members().map(|file| shown(&file.path)).collect();
        finding.images = group.to_vec();
        finding
    };
    found.into_iter().map(finding).collect()
}
