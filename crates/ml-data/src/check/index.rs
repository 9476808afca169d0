//! `splits/`: where the pictures are, and in which split each is. Reads leniently what training reads strictly,
//! so that one wrong line is one finding.

use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Kind;
use super::listing::Listing;
use crate::dataset::{MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER};

/// Takes the root and the folder of class folders from the manifest, or guesses `raw` as told.
pub(super) fn locate_images(listing: &mut Listing, raw: bool) {
    let path = Path::new(SPLITS_FOLDER).join(MANIFEST_FILE);
    let manifest = fs::read_to_string(listing.root.join(&path))
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
    listing.images = vec![(images, None)];
}

/// Gives each listed picture its split. The files are sorted.
pub(super) fn assign_splits(listing: &mut Listing) {
    let folder = listing.data_dir.join(SPLITS_FOLDER);
    let names = match super::walk::entries(&folder) {
        Ok(entries) => entries,
        Err(error) => return listing.find(Kind::BrokenSplits, Path::new(SPLITS_FOLDER), error.to_string()),
    };
    let mut names: Vec<String> = names
        .into_iter()
        .filter_map(|entry| Some(entry.name.to_str()?.strip_suffix(".txt")?.to_owned()))
        .collect();
    // The training side of a fold is what its other files do not list: checked last, it names no split.
    names.sort_by_key(|name| (is_fold_train(name), order(name)));
    if names.is_empty() {
        listing.find(Kind::BrokenSplits, Path::new(SPLITS_FOLDER), "there are no index files");
    }
    for name in names {
        let path = folder.join(format!("{name}.txt"));
        match fs::read(&path) {
            Ok(bytes) => read_index(listing, &name, &bytes),
            Err(error) => {
                let path = Path::new(SPLITS_FOLDER).join(format!("{name}.txt"));
                listing.find(Kind::BrokenSplits, &path, error.to_string());
            }
        }
    }
    note_unlisted(listing);
}

/// Pictures that no index file lists.
fn note_unlisted(listing: &mut Listing) {
    let unlisted: Vec<usize> =
        (0..listing.files.len()).filter(|i| listing.files[*i].split.is_none()).collect();
    for picture in unlisted {
        let finding = listing.about(Kind::NotInSplit, picture, "no index file lists it");
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

/// `fold_3_val` is shown as `fold 3`: each picture is validated in one fold, and trained on in all the others.
fn split_name(name: &str) -> String {
    let fold = name.strip_prefix("fold_").and_then(|rest| rest.strip_suffix("_val"));
    fold.map_or_else(|| name.to_owned(), |fold| format!("fold {fold}"))
}

fn read_index(listing: &mut Listing, name: &str, bytes: &[u8]) {
    let index = Path::new(SPLITS_FOLDER).join(format!("{name}.txt"));
    let own_split = (!is_fold_train(name)).then(|| {
        listing.splits.push(split_name(name));
        listing.splits.len() as u32 - 1
    });
    // The side that a fold's training file must keep away from.
    let validated = name.strip_suffix("_train").map(|fold| split_name(&format!("{fold}_val")));
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let Ok(text) = str::from_utf8(line) else {
            listing.find(Kind::BrokenSplits, &index, format!("line {number} is not valid UTF-8"));
            continue;
        };
        let path = Path::new(text);
        let Some(picture) = listing.position(path) else {
            not_listed(listing, &index, number, path);
            continue;
        };
        let earlier = listing.files[picture].split;
        match (own_split, earlier) {
            (Some(split), None) => listing.files[picture].split = Some(split),
            (Some(split), Some(earlier)) => {
                let (one, two) = (&listing.splits[earlier as usize], &listing.splits[split as usize]);
                let message = format!("is listed in {one} and again in {two}");
                let finding = listing.about(Kind::ListedTwice, picture, message);
                listing.findings.push(finding);
            }
            (None, Some(earlier)) => {
                let split = &listing.splits[earlier as usize];
                if split == "test" || validated.as_ref() == Some(split) {
                    let message = format!("is listed in {split} and again in {name}");
                    let finding = listing.about(Kind::ListedTwice, picture, message);
                    listing.findings.push(finding);
                }
            }
            (None, None) => {
                let message = format!("line {number} lists a picture that is in no other index file");
                listing.find(Kind::BrokenSplits, &index, message);
            }
        }
    }
}

/// A line that names none of the listed pictures.
fn not_listed(listing: &mut Listing, index: &Path, number: usize, path: &Path) {
    let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if inside && fs::symlink_metadata(listing.root.join(path)).is_err() {
        let message = format!("{} line {number} lists it, and it is not there", index.display());
        return listing.find(Kind::Missing, path, message);
    }
    let message =
        format!("line {number} lists `{}`, which is no picture in a class folder", super::shown(path));
    listing.find(Kind::BrokenSplits, index, message);
}
