//! A folder of class folders, or a CSV of labels → its images and which of them must stay together
//! ([`Source`]). [`Source::plan`] splits them.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::class_names::{class_names, refuse_same_names};
use super::duplicates::{self, Hash};
use super::error::DatasetError;
use super::groups::{Grouping, Groups};
use super::label_sets::{LabelSets, Task};
use super::labels::find::{Finder, Found};
use super::labels::{self, CsvOptions, Labels, Problems, Row};
use super::manifest::Policy;
use super::scan::{ClassFolder, Scan, locate, require_folder, scan};
use super::split_error::SplitError;
use super::split_folders::SplitFolders;
use super::{SPLITS_FOLDER, Split};
use crate::files::LeftOut;
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
    /// Where an image may have several labels; `scan` then has all images in one class without a
    /// name.
    pub(super) multi: Option<MultiLabels>,
    pub(super) warnings: Vec<String>,
    /// Index lines of images that were left out, sorted.
    pub(super) excluded: Vec<String>,
    /// Class names by the index lines of images that lie in another class folder.
    pub(super) relabelled: HashMap<String, String>,
    pub(super) notes: Vec<String>,
}

/// The labels of images that may have several.
#[derive(Clone, Debug)]
pub(super) struct MultiLabels {
    /// Sorted bytewise.
    pub classes: Vec<String>,
    /// Of each image.
    pub sets: LabelSets,
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
    /// How it was read, but for the root.
    pub options: CsvOptions,
}

impl Source {
    /// Lists `image_dir`, a folder of class folders, or one that holds only such a folder called
    /// `raw`.
    ///
    /// # Errors
    /// It cannot be listed, is already an ImageFolder tree, has no classes, or a class without
    /// images.
    pub fn open(image_dir: &Path) -> Result<Source, DatasetError> {
        Source::list(image_dir)?.with_sizes()
    }

    /// As [`Source::open`], without the images' sizes.
    pub(super) fn list(image_dir: &Path) -> Result<Source, DatasetError> {
        require_folder(image_dir)?;
        let (root, images) = locate(image_dir)?;
        let folder = join(&root, images);
        require_folder(&folder)?;
        // Beside class folders, `splits` holds the index files; below raw/ it can only be meant as
        // a class.
        let scan = scan(&folder, if images == "." { &[SPLITS_FOLDER] } else { &[] })?;
        check_classes(&scan, folder)?;
        Ok(Source::new(root.clone(), root, images, scan))
    }

    /// The images of a folder of class folders that was listed.
    ///
    /// # Errors
    /// An image's size cannot be looked up.
    pub(super) fn of_scan(folder: PathBuf, mut scan: Scan) -> Result<Source, DatasetError> {
        scan.classes.retain(|class| !class.images.is_empty());
        Source::new(folder.clone(), folder, ".", scan).with_sizes()
    }

    fn with_sizes(self) -> Result<Source, DatasetError> {
        let source = self;
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

    /// Reads a CSV of labels: columns `path,label` and perhaps `group,split`, in any order, or
    /// others as `options` and their contents tell.
    ///
    /// # Errors
    /// The CSV cannot be read or has lines that cannot be used (all are counted), or an image is
    /// missing.
    pub fn open_csv(csv: &Path, options: &CsvOptions) -> Result<Source, DatasetError> {
        let (home, root) = (labels::folder_of(csv), options.root_of(csv));
        require_folder(root)?;
        let Labels { classes, rows, has_groups, has_splits, others, mut notes, sha256 } =
            labels::read(csv, options)?;
        let mut files = files_of(csv, options, rows, &mut notes)?;
        files.sort_unstable_by(|(a, _), (b, _)| (a.class, &a.path).cmp(&(b.class, &b.path)));
        let (rows, sizes): (Vec<Row>, Vec<u64>) = files.into_iter().unzip();
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
            options: CsvOptions { root: None, ..options.clone() },
        };
        let source = Source::new(root.to_owned(), home.to_owned(), ".", scan);
        Ok(Source { sizes, csv: Some(csv), notes, ..source })
    }

    pub(super) fn new(root: PathBuf, home: PathBuf, images: &'static str, scan: Scan) -> Source {
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
            multi: None,
            warnings: Vec::new(),
            excluded: Vec::new(),
            relabelled: HashMap::new(),
            notes: Vec::new(),
        }
    }

    /// What the user should know about how it was read, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
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
            let other = set.iter().find(|image| !self.same_labels(**image, set[0]));
            crossing.extend(other.map(|other| [set[0], *other]));
        }
        if let Some(&[a, b]) = crossing.first() {
            let what = if self.multi.is_some() {
                "have different labels and the same content"
            } else {
                "lie in several classes with the same content"
            };
            self.warnings.push(format!(
                "{} image(s) {what}, so some labels are wrong, first {} and {}",
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
    pub(super) fn number(&self, line: &str) -> Result<u32, SplitError> {
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
        let is_single = self.multi.is_none();
        let several = self.multi.iter().flat_map(|multi| &multi.classes);
        let single = self.scan.classes.iter().filter(move |_| is_single).map(|class| &class.name);
        several.chain(single).map(String::as_str)
    }

    /// How many labels an image has.
    pub fn task(&self) -> Task {
        if self.multi.is_some() { Task::MultiLabel } else { Task::SingleLabel }
    }

    /// The labels of images that may have several.
    pub fn label_sets(&self) -> Option<&LabelSets> {
        self.multi.as_ref().map(|multi| &multi.sets)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.scan.classes.iter().map(|class| class.images.len()).sum()
    }

    /// Never: every class has an image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What lies beside the images and is passed over.
    pub fn left_out(&self) -> &LeftOut {
        &self.scan.left_out
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

    /// The classes of an image: one, or any number where it may have several labels.
    pub(super) fn labels_of(&self, image: u32) -> Vec<&str> {
        match &self.multi {
            Some(multi) => {
                let labels = multi.sets.of(image as usize).iter();
                labels.map(|class| multi.classes[*class as usize].as_str()).collect()
            }
            None => vec![self.scan.classes[self.class_of(image)].name.as_str()],
        }
    }

    fn same_labels(&self, a: u32, b: u32) -> bool {
        match &self.multi {
            Some(multi) => multi.sets.of(a as usize) == multi.sets.of(b as usize),
            None => self.class_of(a) == self.class_of(b),
        }
    }

    /// Where an image has one label.
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
    if let Some(splits) = SplitFolders::find(&folder, &names)? {
        let found: Vec<String> = splits.iter().map(|(_, name)| name.to_owned()).collect();
        return Err(DatasetError::AlreadySplit { path: folder, found });
    }
    refuse_same_names(&folder, &class_names(scan))?;
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

/// The rows of a CSV with their files' names and sizes.
pub(super) fn files_of(
    csv: &Path,
    options: &CsvOptions,
    rows: Vec<Row>,
    notes: &mut Vec<String>,
) -> Result<Vec<(Row, u64)>, DatasetError> {
    let finder = Finder::new(options.root_of(csv), options.suffix.as_deref());
    let found = pool::map_small(rows.len(), |i| Ok::<_, DatasetError>(finder.find(&rows[i].path)))?;
    refuse_missing(csv, &finder, &rows, &found)?;
    let found: Vec<Found> = found.into_iter().flatten().collect();
    notes.extend(found_notes(&rows, &found));
    let files: Vec<(Row, u64)> = rows
        .into_iter()
        .zip(found)
        .map(|(row, found)| (Row { path: found.path, ..row }, found.bytes))
        .collect();
    refuse_doubles(csv, &files)?;
    Ok(files)
}

/// Rows of images that are not there, with what is near.
fn refuse_missing(
    csv: &Path,
    finder: &Finder<'_>,
    rows: &[Row],
    found: &[Result<Found, String>],
) -> Result<(), DatasetError> {
    let missing = rows.iter().zip(found).filter_map(|(row, found)| Some((row, found.as_ref().err()?)));
    let mut problems = Problems::default();
    for (row, why) in missing {
        problems.add(row.line, || {
            let near = finder.near(&row.path).map(|near| format!("; there is `{near}`"));
            format!("`{}` {why}{}", row.path, near.unwrap_or_default())
        });
    }
    if found.iter().all(Result::is_err)
        && let Some(root) = rows.first().and_then(|row| finder.other_root(&row.path))
    {
        problems.hint(format!("the images are in {root}: give --image_root {root}"));
    }
    problems.none(csv)
}

/// How paths of the CSV differ from the files' names.
fn found_notes(rows: &[Row], found: &[Found]) -> Vec<String> {
    let renormalized = found.iter().filter(|found| found.renormalized).count();
    let completed: Vec<&Found> = rows
        .iter()
        .zip(found)
        .filter(|(row, found)| found.suffix.is_some() && row.path != found.path)
        .map(|(_, found)| found)
        .collect();
    let mut notes = Vec::new();
    if let Some(first) = completed.first() {
        let mut suffixes: Vec<&str> = completed.iter().filter_map(|found| found.suffix.as_deref()).collect();
        suffixes.sort_unstable();
        suffixes.dedup();
        notes.push(format!(
            "{} path(s) of the CSV are without the ending of their file ({}), first {}",
            completed.len(),
            suffixes.join(", "),
            first.path
        ));
    }
    if renormalized > 0 {
        notes.push(format!(
            "{renormalized} path(s) of the CSV are written in another Unicode normalization than their file"
        ));
    }
    notes
}

/// Two rows of one file, which different paths may lead to.
fn refuse_doubles(csv: &Path, files: &[(Row, u64)]) -> Result<(), DatasetError> {
    let mut lines = HashMap::with_capacity(files.len());
    let mut problems = Problems::default();
    for (row, _) in files {
        if let Some(earlier) = lines.insert(row.path.as_str(), row.line) {
            let (first, second) = (row.line.min(earlier), row.line.max(earlier));
            problems.add(second, || format!("`{}` is on line {first} already", row.path));
        }
    }
    problems.none(csv)
}

pub(super) fn join(root: &Path, images: &str) -> PathBuf {
    if images == "." { root.to_owned() } else { root.join(images) }
}
