//! Which kind of data folder it is, and its listing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::CheckError;
use super::finding::{Finding, Kind};
use super::index;
use super::listing::{Form, Listing};
use super::walk;
use crate::dataset::scan::{parent_of_raw, require_folder};
use crate::dataset::split_folders::SplitFolders;
use crate::dataset::{DatasetError, MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER, Split, is_image};
use crate::files::{self, Entry, EntryKind, LeftOut};
use crate::unicode::skeleton;

/// Lists `dir`; whatever is wrong below it becomes findings.
pub(super) fn survey(dir: &Path) -> Result<Listing, CheckError> {
    require_folder(dir)?;
    let io = |source| DatasetError::Io { path: dir.to_owned(), source };
    let data_dir = parent_of_raw(dir)?;
    let is_raw_itself = data_dir.is_some();
    let data_dir = data_dir.unwrap_or_else(|| dir.to_owned());
    let mut left_out = LeftOut::default();
    let folders = folders(dir, files::list(dir, &mut left_out).map_err(io)?);
    let manifest = data_dir.join(SPLITS_FOLDER).join(MANIFEST_FILE).exists();
    let mut listing = Listing::new(&data_dir, Form::ClassFolders);
    let mut labelled = false;
    if manifest {
        listing.form = Form::IndexFiles;
        labelled = index::locate_images(&mut listing, is_raw_itself || holds_raw(&data_dir, &folders));
    } else if let Some(splits) = if is_raw_itself { None } else { split_folders(dir, &folders)? } {
        listing.form = Form::ImageFolder;
        let splits: Vec<(Split, &str)> = splits.iter().collect();
        listing.images = splits.iter().map(|(_, name)| PathBuf::from(name)).zip((0..).map(Some)).collect();
        listing.splits = splits.iter().map(|(split, _)| split.name().to_owned()).collect();
        listing.left_out.add(&left_out);
    } else {
        let raw = is_raw_itself || holds_raw(&data_dir, &folders);
        listing.images = vec![(PathBuf::from(if raw { RAW_FOLDER } else { "" }), None)];
        if raw && !is_raw_itself {
            for name in folders.iter().filter(|name| *name != RAW_FOLDER) {
                let message = "stands beside `raw`, which has class folders of its own, and is not examined";
                listing.find(Kind::BesideRaw, Path::new(name), message);
            }
        }
    }
    for (folder, split) in listing.images.clone() {
        walk::images(&mut listing, &folder, split);
    }
    if !listing.left_out.is_empty() {
        let message = listing.left_out.to_string();
        listing.findings.push(Finding::new(Kind::LeftOut, message));
    }
    find_same_looks(&mut listing);
    listing.sort();
    if manifest {
        index::assign_splits(&mut listing, labelled);
    }
    if listing.files.is_empty() {
        let folder = listing.images.first().map(|(folder, _)| folder.clone()).unwrap_or_default();
        let message = if labelled {
            "no index file lists an image that is there"
        } else {
            "there are no images in class folders"
        };
        listing.find(Kind::NoImages, &folder, message);
    }
    Ok(listing)
}

/// Names of the folders among `entries` of `folder`, links to folders included.
fn folders(folder: &Path, entries: Vec<Entry>) -> Vec<OsString> {
    let is_folder = |entry: &Entry| match entry.kind {
        EntryKind::Folder => true,
        EntryKind::Link => folder.join(&entry.name).is_dir(),
        EntryKind::File | EntryKind::Other => false,
    };
    let folders = entries.into_iter().filter(is_folder).map(|entry| entry.name);
    folders.filter(|name| name != SPLITS_FOLDER).collect()
}

/// Whether `raw` holds the class folders: it is the only folder, or has folders and no images right
/// in it.
fn holds_raw(data_dir: &Path, names: &[OsString]) -> bool {
    if !names.iter().any(|name| name == RAW_FOLDER) {
        return false;
    }
    if names.len() == 1 {
        return true;
    }
    let raw = data_dir.join(RAW_FOLDER);
    let is_image_file =
        |entry: &Entry| matches!(entry.kind, EntryKind::File | EntryKind::Link) && is_image(&entry.name);
    files::entries(&raw)
        .is_ok_and(|inside| !inside.iter().any(is_image_file) && !folders(&raw, inside).is_empty())
}

/// The splits of an ImageFolder tree.
fn split_folders(dir: &Path, names: &[OsString]) -> Result<Option<SplitFolders>, DatasetError> {
    let names: Vec<&str> = names.iter().filter_map(|name| name.to_str()).collect();
    SplitFolders::find(dir, &names)
}

/// Classes whose names cannot be told from each other by looking at them.
fn find_same_looks(listing: &mut Listing) {
    let mut names: Vec<(String, usize)> =
        listing.classes.iter().enumerate().map(|(class, name)| (skeleton(name), class)).collect();
    names.sort_unstable();
    for pair in names.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let [first, second] = [pair[0].1, pair[1].1].map(|class| &listing.classes[class]);
        let message = format!(
            "the class `{second}` looks like the class `{first}`, and is written differently ({} and {})",
            second.escape_unicode(),
            first.escape_unicode()
        );
        let finding = Finding { class: Some(second.clone()), ..Finding::new(Kind::SameLooks, message) };
        listing.findings.push(finding);
    }
}
