//! What lies in a data folder, before any image is read.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::finding::{Finding, Kind};
use super::names::shown;
use crate::files::LeftOut;

/// The kind of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Class folders, not split.
    ClassFolders,
    /// `train/<class>/…`, `val/<class>/…`.
    ImageFolder,
    /// Class folders and index files in `splits/`.
    IndexFiles,
}

/// One image file.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to [`Listing::root`].
    pub path: PathBuf,
    /// In `0..classes.len()`; means nothing where images may have several labels.
    pub class: u32,
    /// Where images may have several labels: their numbers, ascending.
    pub labels: Vec<u32>,
    /// In `0..splits.len()`; absent if it is in none.
    pub split: Option<u32>,
}

/// The images of a data folder, and what was found wrong while listing them.
#[derive(Debug)]
pub(super) struct Listing {
    /// Where reports go and `splits/` lies.
    pub data_dir: PathBuf,
    /// What paths are relative to: the same, unless the manifest says otherwise.
    pub root: PathBuf,
    pub form: Form,
    /// Whether images may have several labels.
    pub multi_label: bool,
    /// Folders that hold class folders, relative to the root, with the split that they are.
    pub images: Vec<(PathBuf, Option<u32>)>,
    /// As [`shown`], in order of discovery until [`Listing::sort`].
    pub classes: Vec<String>,
    /// Folder of each class, relative to the root: the first found.
    pub class_folders: Vec<PathBuf>,
    pub splits: Vec<String>,
    pub files: Vec<File>,
    pub findings: Vec<Finding>,
    /// Hidden files, and what systems leave behind; other files are findings of their own.
    pub left_out: LeftOut,
    numbers: BTreeMap<OsString, u32>,
}

impl Listing {
    pub(super) fn new(data_dir: &Path, form: Form) -> Listing {
        Listing {
            data_dir: data_dir.to_owned(),
            root: data_dir.to_owned(),
            form,
            multi_label: false,
            images: Vec::new(),
            classes: Vec::new(),
            class_folders: Vec::new(),
            splits: Vec::new(),
            files: Vec::new(),
            findings: Vec::new(),
            left_out: LeftOut::default(),
            numbers: BTreeMap::new(),
        }
    }

    /// The class called `name`, which is new if it was not met before.
    pub(super) fn class(&mut self, name: &OsStr, folder: &Path) -> u32 {
        let next = self.classes.len() as u32;
        let number = *self.numbers.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.classes.push(shown(Path::new(name)));
            self.class_folders.push(folder.to_owned());
        }
        number
    }

    /// The classes of a file.
    pub(super) fn classes_of<'a>(&self, file: &'a File) -> &'a [u32] {
        if self.multi_label { &file.labels } else { std::slice::from_ref(&file.class) }
    }

    /// Adds a finding about a path of this folder.
    pub(super) fn find(&mut self, kind: Kind, path: &Path, message: impl Into<String>) {
        self.findings.push(Finding { path: Some(shown(path)), ..Finding::new(kind, message) });
    }

    /// A finding about one image.
    pub(super) fn about(&self, kind: Kind, image: usize, message: impl Into<String>) -> Finding {
        let file = &self.files[image];
        Finding {
            path: Some(shown(&file.path)),
            class: (!self.multi_label).then(|| self.classes[file.class as usize].clone()),
            split: file.split.map(|split| self.splits[split as usize].clone()),
            images: vec![image as u32],
            ..Finding::new(kind, message)
        }
    }

    /// Files bytewise by path.
    pub(super) fn sort(&mut self) {
        self.files.sort_unstable_by(|a, b| key(&a.path).cmp(key(&b.path)));
    }

    /// The number of the file at `path`; the files are sorted.
    pub(super) fn position(&self, path: &Path) -> Option<usize> {
        self.files.binary_search_by(|file| key(&file.path).cmp(key(path))).ok()
    }
}

fn key(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
