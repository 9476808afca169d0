//! A folder of class folders → its classes and their images' names, sorted bytewise. Folders below
//! a class folder count to the class; links to folders are followed; what is hidden or left behind
//! by a system is passed over ([`LeftOut`]).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::error::DatasetError;
use super::suffix::is_image;
use super::{RAW_FOLDER, REPORT_FILES, SPLITS_FOLDER};
use crate::files::{self, Entry, EntryKind, LeftOut};
use crate::pool;

/// One class.
#[derive(Clone, Debug)]
pub(super) struct ClassFolder {
    /// The folder's name.
    pub name: String,
    /// Relative to the class folder's parent (`<class>/…`, `/` between folders), sorted bytewise.
    pub images: Vec<String>,
}

/// What a folder of class folders holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    /// Sorted bytewise by name.
    pub classes: Vec<ClassFolder>,
    /// What is passed over; reports of an examination are not counted.
    pub left_out: LeftOut,
    /// Images right in the folder, which have no class.
    pub loose: usize,
}

/// Lists `images`; folders named in `skip` are left out.
pub(super) fn scan(images: &Path, skip: &[&str]) -> Result<Scan, DatasetError> {
    let mut scan = Scan::default();
    let mut names = Vec::new();
    for (name, kind) in entries(images, &mut scan.left_out)? {
        match kind {
            Kind::Folder { .. } if !skip.iter().any(|skipped| name == *skipped) => {
                names.push(utf8(images, &name)?);
            }
            Kind::Folder { .. } => {}
            Kind::Image => scan.loose += 1,
            Kind::Other if REPORT_FILES.iter().any(|report| name == *report) => {}
            Kind::Other => scan.left_out.add_file(&name),
        }
    }
    names.sort_unstable();
    let found = pool::map(names.len(), |i| {
        let mut walk = Walk::default();
        walk.folder(&images.join(&names[i]), &names[i])?;
        walk.images.sort_unstable();
        Ok(walk)
    })?;
    for (name, walk) in names.into_iter().zip(found) {
        scan.left_out.add(&walk.left_out);
        scan.classes.push(ClassFolder { name, images: walk.images });
    }
    Ok(scan)
}

enum Kind {
    Folder { linked: bool },
    Image,
    Other,
}

/// Names in a folder, without what is passed over. Links are looked up only where their name is not
/// that of an image: a link called an image is taken for one.
fn entries(folder: &Path, left_out: &mut LeftOut) -> Result<Vec<(OsString, Kind)>, DatasetError> {
    let found = files::list(folder, left_out).map_err(DatasetError::io(folder))?;
    let kind = |Entry { name, kind }: Entry| {
        let image = is_image(&name);
        let kind = match kind {
            EntryKind::Folder => Kind::Folder { linked: false },
            EntryKind::File | EntryKind::Link if image => Kind::Image,
            EntryKind::Link if folder.join(&name).is_dir() => Kind::Folder { linked: true },
            _ => Kind::Other,
        };
        (name, kind)
    };
    Ok(found.into_iter().map(kind).collect())
}

/// Whether `folder` has folders, and no images right in it.
pub(super) fn has_class_folders(folder: &Path) -> Result<bool, DatasetError> {
    if !folder.is_dir() {
        return Ok(false);
    }
    let entries = entries(folder, &mut LeftOut::default())?;
    let has = |wanted: fn(&Kind) -> bool| entries.iter().any(|(_, kind)| wanted(kind));
    Ok(has(|kind| matches!(kind, Kind::Folder { .. })) && !has(|kind| matches!(kind, Kind::Image)))
}

/// Names of the folders in `folder`, without what is passed over, sorted bytewise.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let entries = entries(folder, &mut LeftOut::default())?.into_iter();
    let folders = entries.filter(|(_, kind)| matches!(kind, Kind::Folder { .. }));
    folders.map(|(name, _)| utf8(folder, &name)).collect()
}

#[derive(Default)]
struct Walk {
    images: Vec<String>,
    left_out: LeftOut,
    /// Real paths of the folders from which links were followed on the way here.
    jumps: Vec<PathBuf>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, relative: &str) -> Result<(), DatasetError> {
        for (name, kind) in entries(folder, &mut self.left_out)? {
            match kind {
                Kind::Image => {
                    let name = utf8(folder, &name)?;
                    self.images.push(format!("{relative}/{name}"));
                }
                Kind::Folder { linked } => {
                    let name = utf8(folder, &name)?;
                    let (path, relative) = (folder.join(&name), format!("{relative}/{name}"));
                    if !linked {
                        self.folder(&path, &relative)?;
                        continue;
                    }
                    let here = folder.canonicalize().map_err(DatasetError::io(folder))?;
                    let target = path.canonicalize().map_err(DatasetError::io(&path))?;
                    self.jumps.push(here);
                    if self.jumps.iter().any(|passed| passed.starts_with(&target)) {
                        return Err(DatasetError::LinkLoop { path });
                    }
                    self.folder(&path, &relative)?;
                    self.jumps.pop();
                }
                Kind::Other => self.left_out.add_file(&name),
            }
        }
        Ok(())
    }
}

/// A name that can stand on a line of a text file.
fn utf8(folder: &Path, name: &OsString) -> Result<String, DatasetError> {
    let problem = match name.to_str() {
        None => "is not valid UTF-8",
        Some(text) if text.contains(['\n', '\r']) => "contains a line break",
        Some(text) => return Ok(text.to_owned()),
    };
    Err(DatasetError::Name { path: folder.join(name), problem })
}

/// Fails unless `path` is a folder that can be looked at.
pub(crate) fn require_folder(path: &Path) -> Result<(), DatasetError> {
    match fs::metadata(path) {
        Ok(status) if status.is_dir() => Ok(()),
        Ok(_) => Err(DatasetError::NotAFolder { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(DatasetError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(DatasetError::Io { path: path.to_owned(), source }),
    }
}

/// The folder above, if `dir` is called `raw`. A link called so counts by that name; `.` and `..`
/// count by what they are.
pub(crate) fn parent_of_raw(dir: &Path) -> Result<Option<PathBuf>, DatasetError> {
    let named = match dir.components().next_back() {
        Some(Component::Normal(_)) => dir.to_owned(),
        _ => dir.canonicalize().map_err(DatasetError::io(dir))?,
    };
    Ok((named.file_name() == Some(OsStr::new(RAW_FOLDER))).then(|| match named.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }))
}

/// The root, and the folder of class folders in it.
pub(super) fn locate(image_dir: &Path) -> Result<(PathBuf, &'static str), DatasetError> {
    if let Some(parent) = parent_of_raw(image_dir)? {
        return Ok((parent, RAW_FOLDER));
    }
    let raw = image_dir.join(RAW_FOLDER);
    if raw.is_dir() {
        let folders = folders(image_dir)?.into_iter();
        match folders.filter(|name| name != RAW_FOLDER && name != SPLITS_FOLDER).min() {
            None => return Ok((image_dir.to_owned(), RAW_FOLDER)),
            Some(other) if has_class_folders(&raw)? => {
                return Err(DatasetError::RawBesideOthers { path: image_dir.to_owned(), other });
            }
            Some(_) => {}
        }
    }
    Ok((image_dir.to_owned(), "."))
}
