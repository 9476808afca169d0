//! A folder of class folders, or a CSV of labels → its images and which of them must stay together
//! ([`Source`]). [`Source::plan`] splits them.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::duplicates::{self, Hash};
use super::error::DatasetError;
use super::groups::{Grouping, Groups};
use super::labels::{self, Labels, Problems};
use super::manifest::Policy;
use super::scan::{ClassFolder, Scan, locate, require_folder, scan};
use super::split_error::SplitError;
use super::{SPLITS_FOLDER, Split};
use crate::pool;

/// Images of known classes. Every class has an image.
#[derive(Clone, Debug)]
pub struct Source {
    /// To which index lines are relative: the folder that holds `raw/` or the class folders, or the
    /// CSV's root.
    pub(super) root: PathBuf,
    /// The default place for `splits/`.
    pub(super) home: PathBuf,
    /// From the root to the class folders: `raw`, or `.`.
    pub(super) images: &'static str,
    pub(super) scan: Scan,
    /// Number of each class's first image: images are numbered through all classes.
    pub(super) offsets: Vec<usize>,
    /// Of each image, in bytes.
    pub(super) sizes: Vec<u64>,
    pub(super) groups: Groups,
    /// SHA-256 of images that were read as a whole, by number, ascending.
    pub(super) hashes: Vec<(u32, Hash)>,
    pub(super) grouping: Option<Grouping>,
    pub(super) duplicates: Option<Policy>,
    pub(super) csv: Option<Csv>,
    pub(super) warnings: Vec<String>,
}

/// What a CSV says beyond path and label.
#[derive(Clone, Debug)]
pub(super) struct Csv {
    pub path: PathBuf,
    pub sha256: String,
    /// Of each image, empty if it stands alone; none without the column.
    pub groups: Option<Vec<String>>,
    /// Of each image; none without the column.
    pub splits: Option<Vec<Split>>,
    pub others: Vec<String>,
}

impl Source {
    /// Lists `image_dir`, a folder of class folders, or one that holds only such a folder called
    /// `raw`.
    ///
    /// # Errors
    /// It cannot be listed, is already an ImageFolder tree, has no classes, or a class without
    /// images.
    pub fn open(image_dir: &Path) -> Result<Source, DatasetError> {
        require_folder(image_dir)?;
        let (root, images) = locate(image_dir)?;
        let folder = join(&root, images);
        require_folder(&folder)?;
        // Beside class folders, `splits` holds the index files; below raw/ it can only be meant as
        // a class.
        let scan = scan(&folder, if images == "." { &[SPLITS_FOLDER] } else { &[] })?;
        check_classes(&scan, folder)?;
        let source = Source::new(root.clone(), root, images, scan);
        let sizes = pool::map_small(source.len(), |image| {
            let path = source.image_path(image as u32);
            match fs::metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                    Err(DatasetError::DanglingLink { path })
                }
                status => status.map(|status| status.len()).map_err(DatasetError::io(path)),
            }
        })?;
        Ok(Source { sizes, ..source })
    }

    /// Reads a CSV of labels: columns `path,label` and perhaps `group,split`, in any order. Paths
    /// are relative to `root`, by default the CSV's folder.
    ///
    /// # Errors
    /// The CSV cannot be read or has lines that cannot be used (all are counted), or an image is
    /// missing.
    pub fn open_csv(csv: &Path, root: Option<&Path>) -> Result<Source, DatasetError> {
        let home = match csv.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let root = root.unwrap_or(home);
        require_folder(root)?;
        let Labels { classes, mut rows, has_groups, has_splits, others, sha256 } = labels::read(csv)?;
        rows.sort_unstable_by(|a, b| (a.class, &a.path).cmp(&(b.class, &b.path)));
        let sizes =
            pool::map_small(rows.len(), |i| Ok::<_, DatasetError>(size_of(&root.join(&rows[i].path))))?;
        let mut missing: Vec<_> = rows
            .iter()
            .zip(&sizes)
            .filter_map(|(row, size)| Some((row.line, &row.path, size.as_ref().err()?)))
            .collect();
        missing.sort_unstable();
        let mut problems = Problems::default();
        missing.into_iter().for_each(|(line, path, why)| problems.add(line, || format!("`{path}` {why}")));
        problems.none(csv)?;
        let mut scan = Scan::default();
        let (mut groups, mut splits) = (Vec::new(), Vec::new());
        let mut rows = rows.into_iter().peekable();
        for (number, name) in (0..).zip(classes) {
            let mut images = Vec::new();
            while let Some(row) = rows.next_if(|row| row.class == number) {
                images.push(row.path);
                groups.extend(has_groups.then_some(row.group));
                splits.extend(row.split);
            }
            scan.classes.push(ClassFolder { name, images });
        }
        let csv = Csv {
            path: csv.to_owned(),
            sha256,
            groups: has_groups.then_some(groups),
            splits: has_splits.then_some(splits),
            others,
        };
        let sizes = sizes.into_iter().flatten().collect();
        let source = Source::new(root.to_owned(), home.to_owned(), ".", scan);
        Ok(Source { sizes, csv: Some(csv), ..source })
    }

    fn new(root: PathBuf, home: PathBuf, images: &'static str, scan: Scan) -> Source {
        let mut next = 0;
        let mut offset = |class: &ClassFolder| {
            next += class.images.len();
            next - class.images.len()
        };
        Source {
            offsets: scan.classes.iter().map(&mut offset).collect(),
            root,
            home,
            images,
            scan,
            sizes: Vec::new(),
            groups: Groups::default(),
            hashes: Vec::new(),
            grouping: None,
            duplicates: None,
            csv: None,
            warnings: Vec::new(),
        }
    }

    /// Keeps the images that `grouping` puts into one group together, across classes too.
    ///
    /// # Errors
    /// The column `group` is requested, and there is none.
    pub fn group_by(&mut self, grouping: &Grouping) -> Result<(), SplitError> {
        let count = self.len();
        let column = match (grouping, self.csv.as_mut().map(|csv| csv.groups.take())) {
            (Grouping::Column, Some(Some(column))) => Some(column),
            (Grouping::Column, _) => return Err(SplitError::NoGroupColumn { path: self.image_dir() }),
            _ => None,
        };
        let mut alone = Vec::new();
        let mut groups = std::mem::take(&mut self.groups);
        for image in 0..count as u32 {
            let key = match &column {
                Some(column) => Some(column[image as usize].as_str()).filter(|key| !key.is_empty()),
                None => grouping.key(self.image(image), self.csv.is_none()),
            };
            match key {
                Some(key) => groups.put(count, image, key),
                None => alone.push(image),
            }
        }
        self.groups = groups;
        self.grouping = Some(grouping.clone());
        if let Some(&first) = alone.first() {
            let (lone, path) = (alone.len(), self.image_path(first));
            self.warnings.push(format!(
                "{lone} image(s) are in no group by `{}` and count as groups of their own, first {}",
                grouping.name(),
                path.display()
            ));
        }
        Ok(())
    }

    /// Reads the images that may have the same content, and keeps those that have it together.
    /// `stop` is asked before each image.
    ///
    /// # Errors
    /// `stop` said so.
    pub fn keep_duplicates_together(&mut self, stop: impl Fn() -> bool + Sync) -> Result<(), SplitError> {
        let folder = join(&self.root, self.images);
        let path = |image| folder.join(self.image(image));
        let found = duplicates::exact(&self.sizes, path, stop).map_err(|_| SplitError::Interrupted)?;
        let count = self.len();
        let mut crossing: Vec<[u32; 2]> = Vec::new();
        for set in &found.sets {
            set.windows(2).for_each(|pair| self.groups.join(count, pair[0], pair[1]));
            let other = set.iter().find(|image| self.class_of(**image) != self.class_of(set[0]));
            crossing.extend(other.map(|other| [set[0], *other]));
        }
        if let Some(&[a, b]) = crossing.first() {
            self.warnings.push(format!(
                "{} image(s) lie in several classes with the same content, so some labels are wrong, first {} and {}",
                crossing.len(),
                self.image_path(a).display(),
                self.image_path(b).display()
            ));
        }
        if let Some((first, error)) = found.unreadable.first() {
            self.warnings.push(format!(
                "{} image(s) cannot be read and are taken for no duplicates, first {}: {error}",
                found.unreadable.len(),
                self.image_path(*first).display()
            ));
        }
        self.hashes = found.hashes;
        self.duplicates = Some(Policy::KeepTogether);
        Ok(())
    }

    /// Keeps the images of each set together; paths are those of index lines, relative to
    /// [`Source::root`].
    ///
    /// # Errors
    /// A path that is no image of this source.
    pub fn keep_together<P: AsRef<str>>(&mut self, sets: &[Vec<P>]) -> Result<(), SplitError> {
        let count = self.len();
        for set in sets {
            let numbers = set.iter().map(|path| self.number(path.as_ref())).collect::<Result<Vec<_>, _>>()?;
            numbers.windows(2).for_each(|pair| self.groups.join(count, pair[0], pair[1]));
        }
        Ok(())
    }

    /// The number of the image with this index line.
    fn number(&self, line: &str) -> Result<u32, SplitError> {
        let path = match self.images {
            "." => Some(line),
            images => line.strip_prefix(images).and_then(|path| path.strip_prefix('/')),
        };
        let find = |path: &str| {
            self.scan.classes.iter().zip(&self.offsets).find_map(|(class, offset)| {
                let place = class.images.binary_search_by(|image| image.as_str().cmp(path)).ok()?;
                Some((offset + place) as u32)
            })
        };
        path.and_then(find).ok_or_else(|| SplitError::NoSuchImage { path: line.to_owned() })
    }

    /// The folder that holds the class folders; with labels from a CSV, that file.
    pub fn image_dir(&self) -> PathBuf {
        match &self.csv {
            Some(csv) => csv.path.clone(),
            None => join(&self.root, self.images),
        }
    }

    /// What index lines are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Class names, sorted bytewise.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.scan.classes.iter().map(|class| class.name.as_str())
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.scan.classes.iter().map(|class| class.images.len()).sum()
    }

    /// Never: every class has an image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many files were left out because their names do not end as images' do, by ending.
    pub fn ignored(&self) -> &BTreeMap<String, usize> {
        &self.scan.ignored
    }

    /// Columns of the CSV that were left out.
    pub fn ignored_columns(&self) -> &[String] {
        self.csv.as_ref().map_or(&[], |csv| &csv.others)
    }

    /// Whether a CSV says which group each image is in.
    pub fn has_group_column(&self) -> bool {
        self.csv.as_ref().is_some_and(|csv| csv.groups.is_some())
    }

    /// Whether a CSV says which split each image is in: then [`Source::plan_given`] takes them.
    pub fn has_split_column(&self) -> bool {
        self.csv.as_ref().is_some_and(|csv| csv.splits.is_some())
    }

    pub(super) fn class_of(&self, image: u32) -> usize {
        self.offsets.partition_point(|offset| *offset <= image as usize) - 1
    }

    /// Relative to the class folders' folder.
    pub(super) fn image(&self, image: u32) -> &str {
        let class = self.class_of(image);
        &self.scan.classes[class].images[image as usize - self.offsets[class]]
    }

    pub(super) fn image_path(&self, image: u32) -> PathBuf {
        join(&self.root, self.images).join(self.image(image))
    }
}

fn check_classes(scan: &Scan, folder: PathBuf) -> Result<(), DatasetError> {
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
    if scan.classes.iter().all(|class| class.images.is_empty()) {
        return Err(DatasetError::NoImages { path: folder });
    }
    match scan.classes.iter().find(|class| class.images.is_empty()) {
        Some(class) => {
            let path = folder.join(&class.name);
            Err(DatasetError::EmptyClass { class: class.name.clone(), path })
        }
        None => Ok(()),
    }
}

/// Bytes of an image that a CSV names, or why it is none.
fn size_of(path: &Path) -> Result<u64, String> {
    match fs::metadata(path) {
        Ok(status) if status.is_file() => Ok(status.len()),
        Ok(_) => Err("is not a file".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err("does not exist".to_owned()),
        Err(error) => Err(format!("cannot be looked at: {error}")),
    }
}

pub(super) fn join(root: &Path, images: &str) -> PathBuf {
    if images == "." { root.to_owned() } else { root.join(images) }
}
