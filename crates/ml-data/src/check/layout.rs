//! Which kind of data folder it is, and its listing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::CheckError;
use super::finding::Kind;
use super::index;
use super::listing::Listing;
use super::walk::{self, Entry, EntryKind};
use crate::dataset::scan::{is_image, parent_of_raw, require_folder};
use crate::dataset::{DatasetError, MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER};

/// Names of folders that are splits when nothing else lies beside them.
const SPLIT_NAMES: [&str; 6] = ["train", "val", "valid", "validation", "dev", "test"];

/// The kind of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Class folders, not divided.
    ClassFolders,
    /// `train/<class>/…`, `val/<class>/…`.
    ImageFolder,
    /// Class folders and index files in `splits/`.
    IndexFiles,
}

/// Lists `dir`; whatever is wrong below it becomes findings.
pub(super) fn survey(dir: &Path) -> Result<Listing, CheckError> {
    require_folder(dir)?;
    let io = |source| DatasetError::Io { path: dir.to_owned(), source };
    let data_dir = parent_of_raw(dir)?;
    let is_raw_itself = data_dir.is_some();
    let data_dir = data_dir.unwrap_or_else(|| dir.to_owned());
    let entries = walk::entries(dir).map_err(io)?;
    let manifest = data_dir.join(SPLITS_FOLDER).join(MANIFEST_FILE).exists();
    let mut listing = Listing::new(&data_dir, Form::ClassFolders);
    let mut labelled = false;
    if manifest {
        listing.form = Form::IndexFiles;
        labelled = index::locate_images(&mut listing, is_raw_itself || holds_raw(&data_dir, &entries));
    } else if let Some(splits) = if is_raw_itself { None } else { split_folders(&entries) } {
        listing.form = Form::ImageFolder;
        listing.images = splits.iter().map(PathBuf::from).zip((0..).map(Some)).collect();
        listing.splits = splits;
    } else {
        let raw = is_raw_itself || holds_raw(&data_dir, &entries);
        listing.images = vec![(PathBuf::from(if raw { RAW_FOLDER } else { "" }), None)];
        if raw && !is_raw_itself {
            for name in folders(&entries).filter(|name| *name != RAW_FOLDER) {
                let message = "stands beside `raw`, which has class folders of its own, and is not examined";
                listing.find(Kind::BesideRaw, Path::new(name), message);
            }
        }
    }
    for (folder, split) in listing.images.clone() {
        walk::images(&mut listing, &folder, split);
    }
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

fn folders(entries: &[Entry]) -> impl Iterator<Item = &OsStr> {
    entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::Folder { .. }))
        .map(|entry| entry.name.as_os_str())
        .filter(|name| *name != SPLITS_FOLDER)
}

/// Whether `raw` holds the class folders: it is the only folder, or has folders and no images right
/// in it.
fn holds_raw(data_dir: &Path, entries: &[Entry]) -> bool {
    let raw = OsStr::new(RAW_FOLDER);
    folders(entries).eq([raw])
        || folders(entries).any(|name| name == raw)
            && walk::entries(&data_dir.join(RAW_FOLDER)).is_ok_and(|inside| {
                folders(&inside).next().is_some()
                    && !inside.iter().any(|entry| entry.kind.is_file() && is_image(&entry.name))
            })
}

/// The splits of an ImageFolder tree: `train` and `val` beside whatever else, or nothing but split
/// names.
fn split_folders(entries: &[Entry]) -> Option<Vec<String>> {
    let names: Vec<&OsStr> = folders(entries).collect();
    let found: Vec<String> =
        SPLIT_NAMES.into_iter().filter(|name| names.contains(&OsStr::new(name))).map(str::to_owned).collect();
    let has = |name: &str| found.iter().any(|found| found == name);
    (has("train") && has("val") || found.len() == names.len() && has("train") && found.len() > 1)
        .then_some(found)
}
