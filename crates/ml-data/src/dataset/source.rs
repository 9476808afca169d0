//! A folder of class folders → its pictures ([`Source`]) → their division ([`Plan`]), not yet written.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::divide::{Division, TEST, TRAIN, VAL, divide};
use super::error::{DatasetError, SplitError};
use super::manifest::{FORMAT_VERSION, Layout, Manifest, Method, SplitEntry};
use super::scan::{Scan, has_class_folders, in_parallel, require_folder, scan};
use super::{RAW_FOLDER, SPLITS_FOLDER, hex};

/// A folder of class folders and what lies in it. Every class has a picture.
#[derive(Clone, Debug)]
pub struct Source {
    /// The folder that holds `raw/` or the class folders, and to which index lines are relative.
    root: PathBuf,
    /// From the root to the class folders: `raw`, or `.`.
    images: &'static str,
    scan: Scan,
    /// Of each picture, in bytes.
    sizes: Vec<Vec<u64>>,
}

impl Source {
    /// Lists `image_dir`, a folder of class folders, or one that holds only such a folder called `raw`.
    ///
    /// # Errors
    /// It cannot be listed, is already an ImageFolder tree, has no classes, or a class without pictures.
    pub fn open(image_dir: &Path) -> Result<Source, DatasetError> {
        require_folder(image_dir)?;
        let (root, images) = locate(image_dir)?;
        let folder = join(&root, images);
        require_folder(&folder)?;
        // Beside class folders, `splits` holds the index files; below raw/ it can only be meant as a class.
        let scan = scan(&folder, if images == "." { &[SPLITS_FOLDER] } else { &[] })?;
        if scan.classes.iter().any(|class| class.name == SPLITS_FOLDER) {
            return Err(DatasetError::Reserved { path: folder.join(SPLITS_FOLDER) });
        }
        if scan.classes.is_empty() {
            return Err(DatasetError::NoClasses { path: folder, loose: scan.loose });
        }
        let names: Vec<&str> = scan.classes.iter().map(|class| class.name.as_str()).collect();
        let is_split = |name: &&&str| ["train", "val", "valid", "validation", "test"].contains(name);
        if names.len() > 1 && names.contains(&"train") && names.iter().all(|name| is_split(&name)) {
            let found = names.into_iter().map(str::to_owned).collect();
            return Err(DatasetError::AlreadySplit { path: folder, found });
        }
        if scan.classes.iter().all(|class| class.pictures.is_empty()) {
            return Err(DatasetError::NoPictures { path: folder });
        }
        if let Some(class) = scan.classes.iter().find(|class| class.pictures.is_empty()) {
            let path = folder.join(&class.name);
            return Err(DatasetError::EmptyClass { class: class.name.clone(), path });
        }
        let sizes = in_parallel(scan.classes.len(), |class| {
            let size = |picture: &String| {
                let path = folder.join(picture);
                match fs::metadata(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                        Err(DatasetError::DanglingLink { path })
                    }
                    status => status.map(|status| status.len()).map_err(DatasetError::io(path)),
                }
            };
            scan.classes[class].pictures.iter().map(size).collect()
        })?;
        Ok(Source { root, images, scan, sizes })
    }

    /// The folder that holds the class folders.
    pub fn image_dir(&self) -> PathBuf {
        join(&self.root, self.images)
    }

    /// What index lines are relative to; the default place for `splits/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Class names, sorted bytewise.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.scan.classes.iter().map(|class| class.name.as_str())
    }

    /// How many files were left out because their names do not end as pictures' do, by ending.
    pub fn ignored(&self) -> &BTreeMap<String, usize> {
        &self.scan.ignored
    }

    /// Divides the pictures; writes nothing. The result is a function of the names, the division and `seed`.
    ///
    /// # Errors
    /// The division makes no sense, a class is too small for folds, or a split would be empty.
    pub fn plan(self, division: &Division, seed: u64) -> Result<Plan, SplitError> {
        let lengths: Vec<usize> = self.scan.classes.iter().map(|class| class.pictures.len()).collect();
        let parts = divide(&lengths, division, seed)?;
        let method = division.method();
        let total = lengths.iter().sum();
        let mut files = Vec::new();
        let mut splits = Vec::new();
        for (name, members) in members(&method) {
            let chosen = |class: usize, picture: usize| members(parts[class][picture]);
            let (text, entry) = self.split(&name, chosen);
            if entry.total == 0 {
                return Err(SplitError::EmptySplit { total, split: name });
            }
            files.push((name, text));
            splits.push(entry);
        }
        for (class, &pictures) in self.scan.classes.iter().zip(&lengths) {
            let has = |entry: &SplitEntry| entry.counts.get(&class.name).is_some_and(|count| *count > 0);
            if !splits.iter().filter(|entry| entry.name.ends_with("train")).all(has) {
                return Err(SplitError::TooFew { class: class.name.clone(), pictures });
            }
        }
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            created_by: concat!("ml-split ", env!("CARGO_PKG_VERSION")).to_owned(),
            layout: Layout::Index,
            seed,
            method,
            root: None,
            images: self.images.to_owned(),
            classes: self.classes().map(str::to_owned).collect(),
            total,
            splits,
        };
        let warnings = self.warnings(&manifest);
        Ok(Plan { source: self, manifest, files, warnings })
    }

    /// Lines and counts of the pictures that are `chosen`.
    fn split(&self, name: &str, chosen: impl Fn(usize, usize) -> bool) -> (String, SplitEntry) {
        let prefix = if self.images == "." { String::new() } else { format!("{}/", self.images) };
        let mut lines = Vec::new();
        let mut counts = BTreeMap::new();
        for (class, folder) in self.scan.classes.iter().enumerate() {
            let before = lines.len();
            let pictures = folder.pictures.iter().zip(&self.sizes[class]).enumerate();
            lines.extend(pictures.filter(|(i, _)| chosen(class, *i)).map(|(_, picture)| picture));
            counts.insert(folder.name.clone(), lines.len() - before);
        }
        // `a-b/…` sorts before `a/…`, so the order of lines is not that of classes.
        lines.sort_unstable();
        let mut text = String::new();
        let mut hash = Sha256::new();
        for (path, bytes) in &lines {
            text.extend([&prefix, path.as_str(), "\n"]);
            hash.update(format!("{bytes} {prefix}{path}\n"));
        }
        let entry = SplitEntry {
            name: name.to_owned(),
            total: lines.len(),
            index_sha256: Some(hex(&Sha256::digest(&text))),
            pictures_sha256: Some(hex(&hash.finalize())),
            counts,
        };
        (text, entry)
    }

    fn warnings(&self, manifest: &Manifest) -> Vec<String> {
        let mut warnings = Vec::new();
        if let [only] = self.scan.classes.as_slice() {
            warnings.push(format!(
                "there is only one class, `{}`: is {} the folder that holds the class folders?",
                only.name,
                self.image_dir().display()
            ));
        }
        if self.scan.loose > 0 {
            let folder = self.image_dir();
            warnings.push(format!(
                "{} pictures lie right in {}, in no class folder, and are left out",
                self.scan.loose,
                folder.display()
            ));
        }
        let empty = |(class, i): (usize, usize)| self.sizes[class][i] == 0;
        let all =
            (0..self.sizes.len()).flat_map(|class| (0..self.sizes[class].len()).map(move |i| (class, i)));
        let empty: Vec<_> = all.filter(|place| empty(*place)).collect();
        if let Some(&(class, i)) = empty.first() {
            let path = self.image_dir().join(&self.scan.classes[class].pictures[i]);
            let count = empty.len();
            warnings.push(format!(
                "{count} picture(s) have 0 bytes and cannot be read, first {}",
                path.display()
            ));
        }
        for class in &self.scan.classes {
            let lacks = |entry: &&SplitEntry| entry.counts[&class.name] == 0;
            let missing: Vec<_> =
                manifest.splits.iter().filter(lacks).map(|entry| entry.name.as_str()).collect();
            if !missing.is_empty() {
                warnings.push(format!(
                    "class `{}` has {} picture(s), too few for every split: none in {}",
                    class.name,
                    class.pictures.len(),
                    missing.join(", ")
                ));
            }
        }
        warnings
    }
}

/// Pictures divided, in memory.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) source: Source,
    pub(super) manifest: Manifest,
    /// Name and text of each index file.
    pub(super) files: Vec<(String, String)>,
    warnings: Vec<String>,
}

impl Plan {
    /// What `manifest.yaml` will say.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What was divided.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What the user should know, a line each: classes that a split lacks, empty files, loose pictures.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The lines of the index file `name`.txt.
    pub fn lines(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, text)| text.lines())
    }
}

type Members = Box<dyn Fn(u16) -> bool>;

/// Names of the index files, and which parts are in each.
fn members(method: &Method) -> Vec<(String, Members)> {
    let exactly = |wanted: u16| -> Members { Box::new(move |part| part == wanted) };
    match *method {
        Method::Ratio { test, .. } => {
            let mut splits = vec![("train".to_owned(), exactly(TRAIN)), ("val".to_owned(), exactly(VAL))];
            if test > 0.0 {
                splits.push(("test".to_owned(), exactly(TEST)));
            }
            splits
        }
        Method::Folds { folds, test } => {
            let folds = folds as u16;
            let mut splits = Vec::new();
            if test > 0.0 {
                splits.push(("test".to_owned(), exactly(folds)));
            }
            for fold in 0..folds {
                let train: Members = Box::new(move |part| part != fold && part != folds);
                splits.push((format!("fold_{fold}_train"), train));
                splits.push((format!("fold_{fold}_val"), exactly(fold)));
            }
            splits
        }
    }
}

/// The root, and the folder of class folders in it.
fn locate(image_dir: &Path) -> Result<(PathBuf, &'static str), DatasetError> {
    // A link called raw counts by that name; `.` and `..` count by what they are.
    let named = match image_dir.components().next_back() {
        Some(Component::Normal(_)) => image_dir.to_owned(),
        _ => image_dir.canonicalize().map_err(DatasetError::io(image_dir))?,
    };
    if named.file_name() == Some(OsStr::new(RAW_FOLDER)) {
        let parent = match named.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        return Ok((parent.to_owned(), RAW_FOLDER));
    }
    let raw = image_dir.join(RAW_FOLDER);
    if raw.is_dir() {
        let others =
            scan_names(image_dir)?.into_iter().filter(|name| name != RAW_FOLDER && name != SPLITS_FOLDER);
        match others.min() {
            None => return Ok((image_dir.to_owned(), RAW_FOLDER)),
            Some(other) if has_class_folders(&raw)? => {
                let other = other.to_string_lossy().into_owned();
                return Err(DatasetError::RawBesideOthers { path: image_dir.to_owned(), other });
            }
            Some(_) => {}
        }
    }
    Ok((image_dir.to_owned(), "."))
}

/// Names of the folders in `folder` that are not hidden.
fn scan_names(folder: &Path) -> Result<Vec<std::ffi::OsString>, DatasetError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(DatasetError::io(folder))? {
        let entry = entry.map_err(DatasetError::io(folder))?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b".") && entry.path().is_dir() {
            names.push(name);
        }
    }
    Ok(names)
}

fn join(root: &Path, images: &str) -> PathBuf {
    if images == "." { root.to_owned() } else { root.join(images) }
}
