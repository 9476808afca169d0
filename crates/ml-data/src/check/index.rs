//! `splits/`: where the images are, and in which split each is. Reads leniently what training reads
//! strictly, so that one wrong line is one finding.
//!
//! Where the labels come from a CSV, the lines also say which images there are, and of which class
//! each is.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Kind;
use super::listing::{File, Listing};
use crate::dataset::manifest::inside;
use crate::dataset::{MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER, Task};
use crate::files;

/// Takes the root and the folder of class folders from the manifest, or guesses `raw` as given.
/// Whether labels come from a CSV: then no folder is a class.
pub(super) fn locate_images(listing: &mut Listing, raw: bool) -> bool {
    let path = Path::new(SPLITS_FOLDER).join(MANIFEST_FILE);
    let manifest = files::read_text(&listing.root.join(&path))
        .map_err(|error| error.to_string())
        .and_then(|text| serde_yaml::from_str::<serde_yaml::Value>(&text).map_err(|error| error.to_string()));
    let text = |key: &str| manifest.as_ref().ok()?.get(key)?.as_str().map(PathBuf::from);
    let images = match text("images") {
        Some(images) if images == Path::new(".") => PathBuf::new(),
        Some(images) => images,
        None => PathBuf::from(if raw { RAW_FOLDER } else { "" }),
    };
    let root = text("root");
    match &manifest {
        Err(problem) => {
            let problem = problem.lines().next().unwrap_or_default();
            listing.find(Kind::BrokenSplits, &path, format!("the manifest is damaged: {problem}"));
        }
        Ok(manifest) if manifest.get("images").is_none() => {
            listing.find(Kind::BrokenSplits, &path, "the manifest lacks `images`");
        }
        Ok(_) => {}
    }
    if let Some(root) = root {
        listing.root = root;
    }
    let manifest = manifest.unwrap_or_default();
    let multi_label = manifest
        .get("task")
        .and_then(|task| task.as_str())
        .is_some_and(|task| task == Task::MultiLabel.name());
    let labelled = multi_label || manifest.get("labels").is_some_and(|labels| !labels.is_null());
    listing.multi_label = multi_label;
    if multi_label {
        // Those without images too.
        let classes = manifest.get("classes").and_then(|classes| classes.as_sequence()).into_iter().flatten();
        for class in classes.filter_map(|class| class.as_str()) {
            listing.class(OsStr::new(class), Path::new(""));
        }
    }
    listing.images = if labelled { Vec::new() } else { vec![(images, None)] };
    labelled
}

/// Gives each listed image its split. The files are sorted; with labels from a CSV they are those
/// of the lines.
pub(super) fn assign_splits(listing: &mut Listing, labelled: bool) {
    let folder = listing.data_dir.join(SPLITS_FOLDER);
    let names = match files::entries(&folder) {
        Ok(entries) => entries,
        Err(error) => return listing.find(Kind::BrokenSplits, Path::new(SPLITS_FOLDER), error.to_string()),
    };
    let mut names: Vec<String> = names
        .into_iter()
        .filter_map(|entry| Some(entry.name.to_str()?.strip_suffix(".txt")?.to_owned()))
        .collect();
    // The training side of a fold is what its other files do not list: checked last, it names no
    // split.
    names.sort_by_key(|name| (is_fold_train(name), order(name)));
    if names.is_empty() {
        listing.find(Kind::BrokenSplits, Path::new(SPLITS_FOLDER), "there are no index files");
    }
    let mut texts = Vec::new();
    for name in names {
        let path = index_path(&name);
        match fs::read(folder.join(format!("{name}.txt"))) {
            Ok(bytes) => texts.push((name, bytes)),
            Err(error) => listing.find(Kind::BrokenSplits, &path, error.to_string()),
        }
    }
    let form = match (labelled, listing.multi_label) {
        (false, _) => Lines::Paths,
        (true, false) => Lines::Labelled,
        (true, true) => Lines::MultiLabel,
    };
    if form != Lines::Paths {
        list_labelled(listing, &texts, form);
    }
    for (name, bytes) in &texts {
        read_index(listing, name, bytes, form);
    }
    note_unlisted(listing);
}

/// Relative to the data folder.
fn index_path(name: &str) -> PathBuf {
    Path::new(SPLITS_FOLDER).join(format!("{name}.txt"))
}

/// The lines that are not empty, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    // Windows editors write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}

/// Whether `path` stays below what it is relative to, as opening a data folder wants it.
fn is_inside(path: &Path) -> bool {
    path.to_str().is_some_and(inside)
}

/// What lines of index files hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// A path.
    Paths,
    /// A path, a tab, its class.
    Labelled,
    /// A path, and a tab and a class for each of its labels.
    MultiLabel,
}

/// A line of an index file: its path, and its classes if it says them.
fn parse(line: &[u8], form: Lines) -> Result<(&Path, Vec<&str>), &'static str> {
    let text = str::from_utf8(line).map_err(|_| "is not valid UTF-8")?;
    match form {
        Lines::Paths => Ok((Path::new(text), Vec::new())),
        Lines::Labelled => {
            let (path, class) = text.rsplit_once('\t').ok_or("is not of the form <path><tab><class>")?;
            Ok((Path::new(path), vec![class]))
        }
        Lines::MultiLabel => {
            let mut fields = text.split('\t');
            let path = Path::new(fields.next().unwrap_or_default());
            Ok((path, fields.collect()))
        }
    }
}

/// The images that lines with classes name, each once. What is wrong with a line is reported when
/// its split is read.
fn list_labelled(listing: &mut Listing, texts: &[(String, Vec<u8>)], form: Lines) {
    let mut seen = HashSet::new();
    for (_, line) in texts.iter().flat_map(|(_, bytes)| lines(bytes)) {
        let Ok((path, classes)) = parse(line, form) else { continue };
        let labels = numbers(listing, &classes);
        if seen.insert(path) && is_inside(path) && listing.root.join(path).is_file() {
            let class = labels.first().copied().unwrap_or_default();
            let labels = if form == Lines::MultiLabel { labels } else { Vec::new() };
            listing.files.push(File { path: path.to_owned(), class, labels, split: None });
        }
    }
    listing.sort();
}

/// The numbers of classes, ascending, each once.
fn numbers(listing: &mut Listing, classes: &[&str]) -> Vec<u32> {
    let mut numbers: Vec<u32> =
        classes.iter().map(|class| listing.class(OsStr::new(class), Path::new(""))).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Images that no index file lists.
fn note_unlisted(listing: &mut Listing) {
    let unlisted: Vec<usize> =
        (0..listing.files.len()).filter(|i| listing.files[*i].split.is_none()).collect();
    for image in unlisted {
        let finding = listing.about(Kind::NotInSplit, image, "no index file lists it");
        listing.findings.push(finding);
    }
}

fn is_fold_train(name: &str) -> bool {
    name.starts_with("fold_") && name.ends_with("_train")
}

/// `train`, `val`, then others by name.
fn order(name: &str) -> (usize, String) {
    let place = ["train", "val", "test"].iter().position(|split| *split == name).unwrap_or(3);
    (place, name.to_owned())
}

/// `fold_3_val` is shown as `fold 3`: each image is validated in one fold, and trained on in all
/// the others.
fn split_name(name: &str) -> String {
    let fold = name.strip_prefix("fold_").and_then(|rest| rest.strip_suffix("_val"));
    fold.map_or_else(|| name.to_owned(), |fold| format!("fold {fold}"))
}

fn read_index(listing: &mut Listing, name: &str, bytes: &[u8], form: Lines) {
    let index = index_path(name);
    let own_split = (!is_fold_train(name)).then(|| {
        listing.splits.push(split_name(name));
        listing.splits.len() as u32 - 1
    });
    // The side that a fold's training file must keep away from.
    let validated = name.strip_suffix("_train").map(|fold| split_name(&format!("{fold}_val")));
    for (number, line) in lines(bytes) {
        let (path, classes) = match parse(line, form) {
            Ok(parsed) => parsed,
            Err(problem) => {
                listing.find(Kind::BrokenSplits, &index, format!("line {number} {problem}"));
                continue;
            }
        };
        let Some(image) = listing.position(path) else {
            not_listed(listing, &index, number, path, form != Lines::Paths);
            continue;
        };
        match form {
            Lines::Paths => {}
            Lines::Labelled => check_class(listing, &index, number, image, classes[0]),
            Lines::MultiLabel => check_labels(listing, &index, number, image, &classes),
        }
        let earlier = listing.files[image].split;
        match (own_split, earlier) {
            (Some(split), None) => listing.files[image].split = Some(split),
            (Some(split), Some(earlier)) => {
                let (one, two) = (earlier as usize, split as usize);
                let (one, two) = (listing.splits[one].clone(), listing.splits[two].clone());
                listed_twice(listing, image, &one, &two);
            }
            (None, Some(earlier)) => {
                let split = listing.splits[earlier as usize].clone();
                if split == "test" || validated.as_ref() == Some(&split) {
                    listed_twice(listing, image, &split, name);
                }
            }
            (None, None) => {
                let message = format!("line {number} lists an image that is in no other index file");
                listing.find(Kind::BrokenSplits, &index, message);
            }
        }
    }
}

fn listed_twice(listing: &mut Listing, image: usize, one: &str, two: &str) {
    let finding = listing.about(Kind::ListedTwice, image, format!("is listed in {one} and again in {two}"));
    listing.findings.push(finding);
}

/// All lines about an image give it one class.
fn check_class(listing: &mut Listing, index: &Path, number: usize, image: usize, class: &str) {
    let known = &listing.classes[listing.files[image].class as usize];
    if *known != super::shown(Path::new(class)) {
        let message = format!(
            "line {number} gives `{}` the class `{}`, and another line `{known}`",
            super::shown(&listing.files[image].path),
            super::shown(Path::new(class))
        );
        listing.find(Kind::BrokenSplits, index, message);
    }
}

/// All lines about an image give it the same labels.
fn check_labels(listing: &mut Listing, index: &Path, number: usize, image: usize, classes: &[&str]) {
    let labels = numbers(listing, classes);
    if labels != listing.files[image].labels {
        let image = super::shown(&listing.files[image].path);
        let message = format!("line {number} gives `{image}` other labels than another line");
        listing.find(Kind::BrokenSplits, index, message);
    }
}

/// A line that names none of the listed images.
fn not_listed(listing: &mut Listing, index: &Path, number: usize, path: &Path, labelled: bool) {
    if is_inside(path) && fs::symlink_metadata(listing.root.join(path)).is_err() {
        let message = format!("{} line {number} lists it, and it is not there", index.display());
        return listing.find(Kind::Missing, path, message);
    }
    let what = if labelled { "file below the folder of images" } else { "image in a class folder" };
    let message = format!("line {number} lists `{}`, which is no {what}", super::shown(path));
    listing.find(Kind::BrokenSplits, index, message);
}
