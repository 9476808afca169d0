//! A [`Plan`] → files. Everything is written beside its place and then renamed, so that a set of splits
//! is there as a whole or not at all; what another program made is never replaced.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use atomic_file::folder_of;

use super::error::DatasetError;
use super::manifest::{Layout, Manifest, Method};
use super::plan::Plan;
use super::split_error::SplitError;
use super::suffix::is_image;
use super::{CACHE_FOLDER, IMAGES_FILE, MANIFEST_FILE, REPORT_FILES, SPLITS_FOLDER, SplitEntry};
use crate::files;
use crate::pool;

/// What stands in a tree of folders for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A second name of the same file: no space, survives moving either, same file system only.
    Hard,
    /// A pointer to the image's absolute path: no space, breaks if the image moves.
    Symbolic,
    /// A file of its own.
    Copy,
}

/// Where the splits lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The folder of index files, or the tree.
    pub path: PathBuf,
    /// What [`Dataset::open`](super::Dataset::open) takes.
    pub data_dir: PathBuf,
    /// The same splits were there already and were left alone.
    pub unchanged: bool,
}

impl Plan {
    /// Where [`Plan::write_index`] would write, without looking whether it may.
    pub fn index_place(&self, output: Option<&Path>) -> Written {
        let data_dir = output.unwrap_or(&self.source.home).to_owned();
        Written { path: data_dir.join(SPLITS_FOLDER), data_dir, unchanged: false }
    }

    /// What [`Plan::write_index`] would do; writes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn check_index(&self, output: Option<&Path>, force: bool) -> Result<Written, SplitError> {
        Ok(self.prepare_index(output, force)?.0)
    }

    /// Writes index files and manifest into `splits/` beside the images, or in `output`, a folder
    /// that becomes a data folder of its own: its manifest says where the images are.
    ///
    /// A `splits/` with the same contents is left alone; a different one is replaced only with
    /// `force`.
    ///
    /// # Errors
    /// Something else is there, `output` lies among the images, or the file system refuses.
    pub fn write_index(&self, output: Option<&Path>, force: bool) -> Result<Written, SplitError> {
        let (place, manifest) = self.prepare_index(output, force)?;
        if place.unchanged {
            return Ok(place);
        }
        let folder = Unfinished::beside(&place.path)?;
        for (name, text) in self.index_files(&yaml(&manifest)?, &self.images()) {
            write_file(&folder.path.join(name), text)?;
        }
        folder.finish(&place.path)?;
        Ok(place)
    }

    /// The place, which may be written to unless it is unchanged, and the manifest for it.
    fn prepare_index(&self, output: Option<&Path>, force: bool) -> Result<(Written, Manifest), SplitError> {
        let mut place = self.index_place(output);
        let mut manifest = self.manifest.clone();
        if let Some(output) = output {
            refuse_file(output)?;
            self.refuse_inside(output)?;
        }
        let root = canonical(self.source.root())?;
        let data_dir = real(&place.data_dir)?;
        if data_dir != root {
            manifest.root = Some(manifest_path(root)?);
        }
        if let (Some(labels), Some(csv)) = (&mut manifest.labels, &self.source.csv) {
            let csv = canonical(&csv.path)?;
            labels.csv = manifest_path(csv.strip_prefix(&data_dir).unwrap_or(&csv).to_owned())?;
        }
        refuse_file(&place.path)?;
        if place.path.symlink_metadata().is_ok() {
            place.unchanged =
                same_files(&place.path, &manifest, &self.index_files(&yaml(&manifest)?, &self.images()))?;
            if !place.unchanged {
                check_ours(&place.path)?;
                if !force {
                    return Err(SplitError::Exists { path: place.path });
                }
            }
        }
        Ok((place, manifest))
    }

    /// Names and contents.
    fn index_files<'a>(&'a self, manifest: &'a str, images: &'a str) -> Vec<(String, &'a str)> {
        let texts = self.files.iter().map(|(name, text)| (format!("{name}.txt"), text.as_str()));
        texts.chain([(IMAGES_FILE.to_owned(), images), (MANIFEST_FILE.to_owned(), manifest)]).collect()
    }

    /// Where [`Plan::write_folders`] would write: `output`, or the data folder's name with `_split`
    /// beside it.
    ///
    /// # Errors
    /// The data folder cannot be found any more.
    pub fn folders_place(&self, output: Option<&Path>) -> Result<Written, SplitError> {
        let path = if let Some(output) = output {
            output.to_owned()
        } else {
            // `.` and `..` have no name to add to.
            let home = &self.source.home;
            let real = canonical(home)?;
            let root = if home.file_name().is_some() { home } else { &real };
            let mut name = real.file_name().unwrap_or_default().to_owned();
            name.push("_split");
            root.with_file_name(name)
        };
        Ok(Written { data_dir: path.clone(), path, unchanged: false })
    }

    /// What [`Plan::write_folders`] would do; writes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn check_folders(&self, output: Option<&Path>, force: bool) -> Result<Written, SplitError> {
        if matches!(self.manifest.method, Method::Folds { .. }) {
            return Err(SplitError::FoldsAsFolders);
        }
        if self.source.multi.is_some() {
            return Err(SplitError::MultiLabelAsFolders);
        }
        if self.source.csv.is_some() {
            self.check_names_for_folders()?;
        }
        let place = self.folders_place(output)?;
        refuse_file(&place.path)?;
        self.refuse_inside(&place.path)?;
        // An empty folder is taken by nothing: the tree replaces it.
        let empty = fs::read_dir(&place.path).is_ok_and(|mut entries| entries.next().is_none());
        if !empty && place.path.symlink_metadata().is_ok() {
            check_our_tree(&place.path)?;
            if !force {
                return Err(SplitError::Exists { path: place.path });
            }
        }
        Ok(place)
    }

    /// A tree is listed by its names, which a CSV need not keep to.
    fn check_names_for_folders(&self) -> Result<(), SplitError> {
        let unfit = |name: &str, problem| Err(SplitError::UnfitForFolders { name: name.to_owned(), problem });
        for class in &self.manifest.classes {
            if class == SPLITS_FOLDER || class.starts_with('.') {
                return unfit(class, "is a reserved or hidden name of a class");
            }
        }
        for (path, _) in
            self.files.iter().flat_map(|(_, text)| text.lines()).filter_map(|l| l.rsplit_once('\t'))
        {
            let name = path.rsplit('/').next().unwrap_or(path);
            if path.split('/').any(|part| part.starts_with('.')) {
                return unfit(path, "has a hidden name");
            }
            if !is_image(OsStr::new(name)) {
                return unfit(path, "does not end as the name of an image");
            }
        }
        Ok(())
    }

    /// Makes an ImageFolder tree, `<split>/<class>/…`, with the images' names as they are, and the
    /// manifest. `stop` is asked before each image: once it says so, everything is left as it was.
    ///
    /// # Errors
    /// The plan has folds, the place is taken (`force` replaces a tree that this function made),
    /// lies among the images, the file system refuses, or `stop` stopped it.
    pub fn write_folders(
        &self,
        output: Option<&Path>,
        link: Link,
        force: bool,
        stop: impl Fn() -> bool + Sync,
    ) -> Result<Written, SplitError> {
        let place = self.check_folders(output, force)?;
        let root = canonical(self.source.root())?;
        let mut manifest = self.manifest.clone();
        manifest.layout = Layout::Folders;
        manifest.root = Some(manifest_path(root.clone())?);
        for split in &mut manifest.splits {
            split.index_sha256 = None;
        }
        let tree = Unfinished::beside(&place.path)?;
        for ((name, text), SplitEntry { counts, .. }) in self.files.iter().zip(&manifest.splits) {
            let folder = tree.path.join(name);
            for (class, _) in counts.iter().filter(|(_, count)| **count > 0) {
                let folder = folder.join(class);
                fs::create_dir_all(&folder).map_err(SplitError::output(folder))?;
            }
            let lines: Vec<&str> = text.lines().collect();
            let prefix = if self.source_is_raw() { "raw/" } else { "" };
            pool::map(lines.len(), |i| {
                if stop() {
                    return Err(SplitError::Interrupted);
                }
                let (image, place) = match lines[i].rsplit_once('\t') {
                    Some((image, class)) if self.source.csv.is_some() => {
                        (image, folder.join(class).join(image))
                    }
                    _ => {
                        let below = lines[i].strip_prefix(prefix).unwrap_or(lines[i]);
                        // One from another class folder keeps that folder's name below its class:
                        // both may have an image of this name.
                        let class = self.source.relabelled.get(lines[i]).map_or("", String::as_str);
                        (lines[i], folder.join(class).join(below))
                    }
                };
                place_image(&root.join(image), &place, link)
            })?;
        }
        write_file(&tree.path.join(MANIFEST_FILE), &yaml(&manifest)?)?;
        tree.finish(&place.path)?;
        Ok(place)
    }

    fn source_is_raw(&self) -> bool {
        self.manifest.images != "."
    }

    /// The output must not become a class.
    fn refuse_inside(&self, output: &Path) -> Result<(), SplitError> {
        // With labels from a CSV no folder is a class.
        if self.source.csv.is_some() {
            return Ok(());
        }
        let images = canonical(&self.source.image_dir())?;
        let output_path = real(output)?;
        // Beside class folders, the output may be the folder itself: `splits` is reserved there.
        let allowed = output_path == images && !self.source_is_raw();
        if output_path.starts_with(&images) && !allowed {
            return Err(SplitError::OutputInside {
                path: output.to_owned(),
                images: self.source.image_dir(),
            });
        }
        Ok(())
    }
}

fn place_image(from: &Path, to: &Path, link: Link) -> Result<(), SplitError> {
    let attempt = || match link {
        // The link's own target, should the image be a link: a hard link to a relative one would
        // break.
        Link::Hard => fs::hard_link(fs::canonicalize(from)?, to),
        Link::Symbolic => std::os::unix::fs::symlink(from, to),
        Link::Copy => atomic_file::copy(from, to),
    };
    let result = match attempt() {
        // Folders below the class folder are made when they are met.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = to.parent().unwrap_or(to);
            fs::create_dir_all(folder).and_then(|()| attempt())
        }
        result => result,
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::CrossesDevices => SplitError::OtherDevice { from: from.to_owned(), to: to.to_owned() },
        ErrorKind::PermissionDenied | ErrorKind::Unsupported if link != Link::Copy => {
            SplitError::NoLinks { to: to.to_owned(), source: error }
        }
        _ => SplitError::Image { from: from.to_owned(), to: to.to_owned(), source: error },
    })
}

/// A folder under a hidden name, removed unless it is finished.
struct Unfinished {
    path: PathBuf,
    /// Folders above that were made for it, the lowest first.
    made: Vec<PathBuf>,
    done: bool,
}

impl Unfinished {
    fn beside(place: &Path) -> Result<Unfinished, SplitError> {
        let parent = folder_of(place);
        let made = parent.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        let path = atomic_file::beside(place).map_err(SplitError::output(place))?;
        let unfinished = Unfinished { path, made, done: false };
        fs::create_dir_all(parent).map_err(SplitError::output(parent))?;
        atomic_file::remove_abandoned(place).map_err(SplitError::output(parent))?;
        fs::create_dir(&unfinished.path).map_err(SplitError::output(place))?;
        Ok(unfinished)
    }

    /// Renames it to `place`; what is there is replaced, and put back should that fail.
    fn finish(mut self, place: &Path) -> Result<(), SplitError> {
        let old = old_beside(place);
        let replaced = match fs::rename(place, &old) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(SplitError::output(place)(error)),
        };
        if let Err(error) = fs::rename(&self.path, place) {
            if replaced {
                fs::rename(&old, place).map_err(SplitError::output(old))?;
            }
            return Err(SplitError::output(place)(error));
        }
        self.done = true;
        if replaced {
            fs::remove_dir_all(&old).map_err(SplitError::output(&old))?;
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            // The error that led here is the one to report.
            let _ = fs::remove_dir_all(&self.path);
            for folder in &self.made {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// `.<name>.old-<process>`, for what is replaced: hidden, so that no scan takes it for a
/// class. It is whole, so it is not deleted should this process be killed before it is put back.
fn old_beside(place: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(format!(".old-{}", std::process::id()));
    place.with_file_name(name)
}

fn write_file(path: &Path, text: &str) -> Result<(), SplitError> {
    let write = || {
        let mut file = fs::File::create_new(path)?;
        file.write_all(text.as_bytes())?;
        atomic_file::sync_file(&file)
    };
    write().map_err(SplitError::output(path))
}

fn yaml(manifest: &Manifest) -> Result<String, SplitError> {
    crate::yaml::to_string(manifest).map_err(|error| SplitError::io(MANIFEST_FILE)(io::Error::other(error)))
}

/// Whether `folder` holds just these files with these contents, whichever version of the program
/// wrote them.
fn same_files(folder: &Path, manifest: &Manifest, files: &[(String, &str)]) -> Result<bool, SplitError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(false) };
    if entries.count() != files.len() {
        return Ok(false);
    }
    for (name, text) in files {
        let path = folder.join(name);
        let there = match files::read_text(&path) {
            Ok(there) => there,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
                return Ok(false);
            }
            Err(error) => return Err(SplitError::io(path)(error)),
        };
        let same = if name == MANIFEST_FILE {
            Manifest::parse(&there, &path).is_ok_and(|mut there| {
                there.created_by.clone_from(&manifest.created_by);
                there == *manifest
            })
        } else {
            there == *text
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Nothing, or a folder, may be at the place of a folder.
fn refuse_file(path: &Path) -> Result<(), SplitError> {
    match fs::metadata(path) {
        Ok(status) if !status.is_dir() => Err(SplitError::OutputNotAFolder { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// A folder of index files holds nothing else.
fn check_ours(folder: &Path) -> Result<(), SplitError> {
    let stranger = |stranger: String| Err(SplitError::NotOurs { path: folder.to_owned(), stranger });
    for entry in fs::read_dir(folder).map_err(SplitError::io(folder))? {
        let entry = entry.map_err(SplitError::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = match name.strip_suffix(".txt") {
            None => name == MANIFEST_FILE || name == IMAGES_FILE,
            Some(stem) => matches!(stem, "train" | "val" | "test") || stem.starts_with("fold_"),
        };
        if !known || entry.path().is_dir() {
            return stranger(name);
        }
    }
    Ok(())
}

/// A tree that this module made has its manifest, and nothing beside its splits but what an audit
/// remembers and the reports of an examination.
fn check_our_tree(folder: &Path) -> Result<(), SplitError> {
    let stranger =
        |stranger: &str| Err(SplitError::NotOurs { path: folder.to_owned(), stranger: stranger.to_owned() });
    let path = folder.join(MANIFEST_FILE);
    let made = files::read_text(&path).is_ok_and(|text| {
        Manifest::parse(&text, &path).is_ok_and(|manifest| manifest.layout == Layout::Folders)
    });
    for entry in fs::read_dir(folder).map_err(SplitError::io(folder))? {
        let entry = entry.map_err(SplitError::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = REPORT_FILES.contains(&name.as_str())
            || matches!(name.as_str(), "train" | "val" | "test" | MANIFEST_FILE | CACHE_FOLDER);
        if !made || !known {
            return stranger(&name);
        }
    }
    Ok(())
}

/// A path that YAML can hold.
fn manifest_path(path: PathBuf) -> Result<String, SplitError> {
    let problem = "is not valid UTF-8, so the manifest cannot hold it";
    path.into_os_string()
        .into_string()
        .map_err(|path| DatasetError::Name { path: path.into(), problem }.into())
}

fn canonical(path: &Path) -> Result<PathBuf, SplitError> {
    path.canonicalize().map_err(SplitError::io(path))
}

fn real(path: &Path) -> Result<PathBuf, SplitError> {
    files::real(path).map_err(SplitError::io(path))
}
