//! Images that may have several labels → a [`Source`]: a CSV with several labels a line, or class
//! folders that hold links to one image.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Split;
use super::error::DatasetError;
use super::label_sets::LabelSets;
use super::labels::{self, CsvOptions, Row, SetLabels};
use super::scan::{ClassFolder, Scan, require_folder};
use super::source::{Csv, MultiLabels, Source, files_of};
use crate::pool;

impl Source {
    /// Reads a CSV of several labels an image: one column of labels with `|` between them, or one
    /// column of 0 and 1 for each class; otherwise as [`Source::open_csv`].
    ///
    /// # Errors
    /// As there; and a column of classes that holds other values, or labels that another separator
    /// separates.
    pub fn open_csv_multi_label(csv: &Path, options: &CsvOptions) -> Result<Source, DatasetError> {
        let (home, root) = (labels::folder_of(csv), options.root_of(csv));
        require_folder(root)?;
        let SetLabels { classes, rows, sets, has_groups, has_splits, others, mut notes, sha256 } =
            labels::read_sets(csv, options)?;
        let mut files = files_of(csv, options, rows, &mut notes)?;
        files.sort_unstable_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let sets = sets.select(files.iter().map(|(row, _)| row.class as usize));
        let sizes = files.iter().map(|(_, bytes)| *bytes).collect();
        let mut images = Vec::with_capacity(files.len());
        let (mut groups, mut splits): (Vec<String>, Vec<Split>) = (Vec::new(), Vec::new());
        for (Row { path, group, split, .. }, _) in files {
            images.push(path);
            groups.extend(has_groups.then_some(group));
            splits.extend(split);
        }
        let csv = Csv {
            path: csv.to_owned(),
            sha256,
            groups: has_groups.then_some(groups),
            splits: has_splits.then_some(splits),
            others,
            options: CsvOptions { root: None, ..options.clone() },
        };
        let source = Source::new(root.to_owned(), home.to_owned(), ".", one_class(images, Scan::default()));
        Ok(Source { sizes, csv: Some(csv), multi: Some(MultiLabels { classes, sets }), notes, ..source })
    }

    /// As [`Source::open`], where an image that lies in several class folders has all their labels:
    /// symbolic links to one file, and hard links of one, are one image. It is known by its first
    /// path that is no symbolic link, or else by its first. Copies are images of their own.
    ///
    /// # Errors
    /// As there; and an image that cannot be looked up, or whose path holds a tab.
    pub fn open_multi_label(image_dir: &Path) -> Result<Source, DatasetError> {
        let listed = Source::list(image_dir)?;
        let classes: Vec<String> = listed.classes().map(str::to_owned).collect();
        let files = pool::map_small(listed.len(), |image| look_up(listed.image_path(image as u32)))?;
        let mut places: HashMap<(u64, u64), usize> = HashMap::new();
        let mut images: Vec<Linked> = Vec::new();
        for (image, file) in (0..).zip(files) {
            let (path, class) = (listed.image(image), listed.class_of(image) as u32);
            if path.contains('\t') {
                let problem = "contains a tab";
                return Err(DatasetError::Name { path: listed.image_path(image), problem });
            }
            let place = *places.entry(file.identity).or_insert(images.len());
            match images.get_mut(place) {
                None => images.push(Linked {
                    path: path.to_owned(),
                    bytes: file.bytes,
                    is_link: file.is_link,
                    labels: vec![class],
                }),
                Some(known) => {
                    known.labels.push(class);
                    let is_better = (file.is_link, path) < (known.is_link, known.path.as_str());
                    if is_better {
                        (known.path, known.is_link) = (path.to_owned(), file.is_link);
                    }
                }
            }
        }
        images.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let sets: LabelSets = images.iter().map(|image| &image.labels).collect();
        let sizes = images.iter().map(|image| image.bytes).collect();
        let several = sets.iter().filter(|labels| labels.len() > 1).count();
        let note = format!(
            "{several} of {} images lie in several class folders, by links to one file, and have their labels{}",
            images.len(),
            if several == 0 { "; one label an image is --task single_label" } else { "" }
        );
        let paths = images.into_iter().map(|image| image.path).collect();
        let Source { root, home, images, scan, .. } = listed;
        let source = Source::new(root, home, images, one_class(paths, scan));
        Ok(Source { sizes, multi: Some(MultiLabels { classes, sets }), notes: vec![note], ..source })
    }
}

/// What a path in a class folder leads to.
struct Looked {
    /// Device and inode.
    identity: (u64, u64),
    bytes: u64,
    is_link: bool,
}

/// An image and the class folders that it lies in.
struct Linked {
    path: String,
    bytes: u64,
    is_link: bool,
    labels: Vec<u32>,
}

fn look_up(path: PathBuf) -> Result<Looked, DatasetError> {
    let is_link = path.is_symlink();
    match fs::metadata(&path) {
        Ok(status) => Ok(Looked { identity: (status.dev(), status.ino()), bytes: status.len(), is_link }),
        Err(error) if error.kind() == ErrorKind::NotFound && is_link => {
            Err(DatasetError::DanglingLink { path })
        }
        Err(source) => Err(DatasetError::Io { path, source }),
    }
}

/// All images in one class without a name.
fn one_class(images: Vec<String>, scan: Scan) -> Scan {
    Scan { classes: vec![ClassFolder { name: String::new(), images }], ..scan }
}

#[cfg(test)]
mod tests;
