//! Opening a data folder: which kind it is, its indices, and what is wrong with it if it is of no
//! kind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::class_names::{KnownClasses, class_names, refuse_same_names, renamed_class};
use super::error::DatasetError;
use super::hold_out::hold_out;
use super::label_sets::{LabelSets, Task};
use super::manifest::{Layout, Manifest, Method, SplitEntry, inside};
use super::scan::{ClassFolder, Scan, folders, require_folder, scan};
use super::split_folders::{SplitFolders, split_named};
use super::{
    Dataset, Index, LeftOut, MANIFEST_FILE, OpenOptions, RAW_FOLDER, SPLITS_FOLDER, Sample, Split,
    shell_quoted,
};
use crate::files;
use crate::table::printable_path;
use crate::text::grouped;

pub(super) fn open(data_dir: &Path, options: &OpenOptions) -> Result<Dataset, DatasetError> {
    require_folder(data_dir)?;
    // A manifest decides: beside it, `train` may be the name of a class.
    if is_indexed(data_dir) {
        return open_indexed(data_dir, options);
    }
    match split_folders(data_dir)? {
        Some(folders) if folders.get(Split::Train).is_some() => match options.fold {
            Some(fold) => Err(DatasetError::NoFolds { path: data_dir.to_owned(), fold }),
            None => open_folders(data_dir, &folders, options),
        },
        _ => Err(diagnose(data_dir)?),
    }
}

/// Whether `ml-split` wrote index files into it.
pub(super) fn is_indexed(data_dir: &Path) -> bool {
    data_dir.join(SPLITS_FOLDER).join(MANIFEST_FILE).exists()
}

/// The splits of an ImageFolder tree.
pub(super) fn split_folders(data_dir: &Path) -> Result<Option<SplitFolders>, DatasetError> {
    let mut names = folders(data_dir)?;
    // Where a tree was itself split, its index files lie in it.
    names.retain(|name| name != SPLITS_FOLDER);
    SplitFolders::find(data_dir, &names)
}

/// What to do with a folder that is no data folder.
fn diagnose(data_dir: &Path) -> Result<DatasetError, DatasetError> {
    let is_folder = |name: &str| data_dir.join(name).is_dir();
    let path = data_dir.to_owned();
    let images = if is_folder(RAW_FOLDER) { data_dir.join(RAW_FOLDER) } else { path.clone() };
    if is_folder(SPLITS_FOLDER) {
        return Ok(DatasetError::MissingIndex { path: path.join(SPLITS_FOLDER).join(MANIFEST_FILE), images });
    }
    if let Some(data_dir) = data_folder_above(data_dir) {
        return Ok(DatasetError::GiveParent { path, data_dir });
    }
    if let Some(data_dir) = data_folder_below(data_dir)? {
        return Ok(DatasetError::GiveChild { path, data_dir });
    }
    if let Some(splits) = split_folders(data_dir)? {
        let beside = splits.iter().map(|(_, name)| name.to_owned()).next().unwrap_or_default();
        let remedy = "move some of each class's images there".to_owned();
        return Ok(DatasetError::MissingSplit { path: path.join(Split::Train.name()), beside, remedy });
    }
    let scan = scan(&images, &[])?;
    Ok(if scan.classes.is_empty() {
        DatasetError::NoClasses { path: images, loose: scan.loose }
    } else if scan.classes.iter().all(|class| class.images.is_empty()) {
        DatasetError::NoImages { path: images }
    } else {
        DatasetError::NotSplit { path, images }
    })
}

/// The parent, if that is a data folder that `folder` is a part of.
fn data_folder_above(folder: &Path) -> Option<PathBuf> {
    let real = folder.canonicalize().ok()?;
    let (parent, name) = (real.parent()?, real.file_name()?.to_str()?);
    let is_part = if is_indexed(parent) {
        name == RAW_FOLDER || name == SPLITS_FOLDER
    } else {
        split_named(name).is_some()
            && split_folders(parent).ok().flatten().is_some_and(|splits| {
                splits.get(Split::Train).is_some() && splits.iter().any(|(_, split)| split == name)
            })
    };
    // As the user would type it.
    is_part.then(|| match folder.parent() {
        Some(above) if above != Path::new("") => above.to_owned(),
        _ if folder.file_name().is_some() => PathBuf::from("."),
        _ => parent.to_owned(),
    })
}

/// The only folder in `folder`, if that is a data folder: archives often hold one.
fn data_folder_below(folder: &Path) -> Result<Option<PathBuf>, DatasetError> {
    let mut names = folders(folder)?;
    let (Some(name), true) = (names.pop(), names.is_empty()) else { return Ok(None) };
    let below = folder.join(name);
    let is_tree = || Ok(split_folders(&below)?.is_some_and(|splits| splits.get(Split::Train).is_some()));
    Ok(if is_indexed(&below) || is_tree()? { Some(below) } else { None })
}

/// One split of a tree.
struct Listed {
    split: Split,
    /// What the split's folder is called.
    name: String,
    scan: Scan,
}

/// What the folder of one split holds.
pub(super) fn list_split(data_dir: &Path, name: &str) -> Result<Scan, DatasetError> {
    let folder = data_dir.join(name);
    require_folder(&folder)?;
    let mut found = scan(&folder, &[])?;
    // Where a split was itself split, its index files lie in it.
    if let Some(place) = found.classes.iter().position(|class| class.name == SPLITS_FOLDER) {
        if !found.classes[place].images.is_empty() {
            return Err(DatasetError::Reserved { path: folder.join(SPLITS_FOLDER) });
        }
        found.classes.remove(place);
    }
    Ok(found)
}

/// A tree with training images.
fn open_folders(
    data_dir: &Path,
    folders: &SplitFolders,
    options: &OpenOptions,
) -> Result<Dataset, DatasetError> {
    let mut notes = folders.notes();
    let mut left_out = LeftOut::default();
    files::list(data_dir, &mut left_out).map_err(DatasetError::io(data_dir))?;
    let mut lists = Vec::new();
    for (split, name) in folders.iter() {
        let scan = list_split(data_dir, name)?;
        lists.push(Listed { split, name: name.to_owned(), scan });
    }
    let trained_on = class_names(&lists[0].scan);
    refuse_same_names(&data_dir.join(&lists[0].name), &trained_on)?;
    let known = KnownClasses::new(&trained_on);
    lists.retain(|list| match unlabelled(data_dir, list, &known) {
        Some(note) => {
            notes.push(note);
            false
        }
        None => true,
    });
    for list in &mut lists {
        left_out.add(&list.scan.left_out);
        for class in &mut list.scan.classes {
            if let Some((_, name)) = known.same(&class.name) {
                notes.push(renamed_class(&list.name, &class.name, name));
                name.clone_into(&mut class.name);
            }
        }
    }
    let mut classes: Vec<String> = lists.iter().flat_map(|list| class_names(&list.scan)).collect();
    classes.sort_unstable();
    classes.dedup();
    for Listed { split, name, scan } in &lists {
        let folder = data_dir.join(name);
        if scan.classes.is_empty() {
            return Err(DatasetError::NoClasses { path: folder, loose: scan.loose });
        }
        if scan.classes.iter().all(|class| class.images.is_empty()) {
            return Err(DatasetError::NoImages { path: folder });
        }
        if *split == Split::Train {
            let filled = |name: &String| {
                scan.classes.iter().any(|class| class.name == *name && !class.images.is_empty())
            };
            if let Some(class) = classes.iter().find(|name| !filled(name)) {
                return Err(DatasetError::EmptyClass { class: class.clone(), path: folder.join(class) });
            }
        }
    }
    let held_out = if lists.iter().any(|list| list.split == Split::Val) {
        None
    } else {
        let folder = data_dir.join(&lists[0].name);
        Some(hold_out(&folder, &lists[0].scan, options.val_fraction, options.seed)?)
    };
    let mut indices = Vec::new();
    for Listed { split, name, scan } in lists {
        let number = |class: &ClassFolder| classes.binary_search(&class.name).unwrap_or_default() as u32;
        let numbers: Vec<u32> = scan.classes.iter().map(number).collect();
        let samples = samples_of(&name, scan, &numbers);
        let Some(held_out) = held_out.as_ref().filter(|_| split == Split::Train) else {
            indices.push(Index { root: data_dir.to_owned(), split, samples, label_sets: None });
            continue;
        };
        let all = samples.len();
        let is_held_out = |sample: &Sample| {
            let path = sample.path.to_str().and_then(|path| path.strip_prefix(&name)?.strip_prefix('/'));
            path.is_some_and(|path| held_out.contains(path))
        };
        let (val, train): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(is_held_out);
        notes.push(format!(
            "there is no validation split: {} of the {} images in {name} validate ({} % of each class, from seed \
             {}; data.val_fraction sets another share, ml-split makes a lasting split)",
            grouped(val.len()),
            grouped(all),
            percent(options.val_fraction),
            options.seed
        ));
        for (split, samples) in [(Split::Train, train), (Split::Val, val)] {
            indices.push(Index { root: data_dir.to_owned(), split, samples, label_sets: None });
        }
    }
    let mut dataset = assemble(data_dir, classes, indices)?;
    dataset.notes = notes;
    dataset.left_out = left_out;
    Ok(dataset)
}

/// At most two places, none of them for nothing.
fn percent(fraction: f64) -> String {
    let text = format!("{:.2}", fraction * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The images of a split's folder, sorted; `numbers` are those of its classes.
pub(super) fn samples_of(folder: &str, scan: Scan, numbers: &[u32]) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(scan.classes.iter().map(|class| class.images.len()).sum());
    for (class, &number) in scan.classes.into_iter().zip(numbers) {
        samples.extend(class.images.into_iter().map(|image| {
            Sample {
                path: PathBuf::from(if folder.is_empty() { image } else { format!("{folder}/{image}") })
                    .into_boxed_path(),
                class: number,
            }
        }));
    }
    sort(&mut samples);
    samples
}

/// Why a test folder is left out of training: its images have no labels, or there are none. Many
/// data sets of competitions come so, some with all test images in one folder of any name.
fn unlabelled(data_dir: &Path, list: &Listed, known: &KnownClasses<'_>) -> Option<String> {
    if list.split != Split::Test {
        return None;
    }
    let filled: Vec<&ClassFolder> =
        list.scan.classes.iter().filter(|class| !class.images.is_empty()).collect();
    let is_known = |class: &ClassFolder| {
        known.place(&class.name).or(known.same(&class.name).map(|(place, _)| place)).is_some()
    };
    let images = list.scan.loose + filled.iter().map(|class| class.images.len()).sum::<usize>();
    let labelled = match filled[..] {
        [] => false,
        [class] => is_known(class),
        _ => true,
    };
    if labelled {
        return None;
    }
    let folder = data_dir.join(&list.name);
    Some(if images == 0 {
        format!("{}: there are no images, so there is no test split", printable_path(&folder))
    } else {
        format!(
            "{}: {} images without class folders are not used, so there is no test split; predict them with \
             `ml-inference --checkpoint RUN {}`",
            printable_path(&folder),
            grouped(images),
            shell_quoted(&folder)
        )
    })
}

/// `splits/manifest.yaml` and its index files.
fn open_indexed(data_dir: &Path, options: &OpenOptions) -> Result<Dataset, DatasetError> {
    let fold = options.fold;
    let splits = data_dir.join(SPLITS_FOLDER);
    let path = splits.join(MANIFEST_FILE);
    let bad = |problem: String| DatasetError::Manifest { path: path.clone(), problem };
    let text = fs::read(&path).map_err(DatasetError::io(&path))?;
    let text = crate::files::decode_text(text).map_err(|error| bad(format!("is damaged: {error}")))?;
    let manifest = Manifest::parse(&text, &path)?;
    if manifest.layout != Layout::Index {
        return Err(bad("layout: must be `index` in a folder called splits".to_owned()));
    }
    if manifest.task == Task::MultiLabel && !options.multi_label {
        return Err(DatasetError::MultiLabel { path: data_dir.to_owned() });
    }
    let prefix = fold_prefix(data_dir, &manifest.method, fold)?;
    let root = manifest.root.as_ref().map_or_else(|| data_dir.to_owned(), PathBuf::from);
    let images = if manifest.images == "." { root.clone() } else { root.join(&manifest.images) };
    if !images.is_dir() {
        let key = if manifest.root.is_some() { "root" } else { "images" };
        return Err(bad(format!("{key}: there is no folder {}", images.display())));
    }
    let reader = Reader { splits: &splits, manifest: &manifest, root: &root, images: &images };
    let mut indices = Vec::new();
    for split in Split::ALL {
        let name = if split == Split::Test { "test".to_owned() } else { format!("{prefix}{}", split.name()) };
        match manifest.split(&name) {
            Some(entry) => indices.push(reader.read(split, entry)?),
            None if split == Split::Test => {}
            None => return Err(bad(format!("splits: there is no entry called `{name}`"))),
        }
    }
    refuse_leaks(&splits, &prefix, &indices)?;
    let mut dataset = assemble(data_dir, manifest.classes.clone(), indices)?;
    dataset.fold = fold;
    dataset.manifest = Some(Box::new(manifest));
    Ok(dataset)
}

/// What stands before `train` and `val` in the index files' names.
fn fold_prefix(data_dir: &Path, method: &Method, fold: Option<u32>) -> Result<String, DatasetError> {
    let path = data_dir.to_owned();
    match (method, fold) {
        (Method::Ratio { .. } | Method::Given { .. }, None) => Ok(String::new()),
        (Method::Ratio { .. } | Method::Given { .. }, Some(fold)) => {
            Err(DatasetError::NoFolds { path, fold })
        }
        (Method::Folds { folds, .. }, None) => Err(DatasetError::FoldNeeded { path, folds: *folds }),
        (Method::Folds { folds, .. }, Some(fold)) if fold >= *folds => {
            Err(DatasetError::NoSuchFold { path, fold, folds: *folds })
        }
        (Method::Folds { .. }, Some(fold)) => Ok(format!("fold_{fold}_")),
    }
}

/// What index files are read against.
struct Reader<'a> {
    splits: &'a Path,
    manifest: &'a Manifest,
    root: &'a Path,
    images: &'a Path,
}

impl Reader<'_> {
    fn read(&self, split: Split, entry: &SplitEntry) -> Result<Index, DatasetError> {
        let path = self.splits.join(format!("{}.txt", entry.name));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(DatasetError::MissingIndex { path, images: self.images.to_owned() });
            }
            Err(source) => return Err(DatasetError::Io { path, source }),
        };
        // Windows editors write a byte order mark.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let index = match self.manifest.task {
            Task::SingleLabel => {
                let mut samples = self.samples(&path, text)?;
                sort(&mut samples);
                Index { root: self.root.to_owned(), split, samples, label_sets: None }
            }
            Task::MultiLabel => self.multi_label(&path, split, text)?,
        };
        if index.samples.is_empty() {
            return Err(DatasetError::NoImages { path });
        }
        self.check_counts(&path, entry, &index)?;
        let changed =
            |expected: &String| !expected.eq_ignore_ascii_case(&hex::encode(Sha256::digest(&bytes)));
        if entry.index_sha256.as_ref().is_some_and(changed) {
            let problem = "was edited after it was written (its SHA-256 is not the manifest's index_sha256)";
            return Err(DatasetError::Changed { path, problem: problem.to_owned() });
        }
        if let Some(pair) = index.samples.windows(2).find(|pair| pair[0].path == pair[1].path) {
            let problem = format!("lists `{}` twice", pair[0].path.display());
            return Err(DatasetError::Changed { path, problem });
        }
        Ok(index)
    }

    /// Where an image may have several labels: lines of its path, and a tab and a class for each.
    fn multi_label(&self, path: &Path, split: Split, bytes: &[u8]) -> Result<Index, DatasetError> {
        let numbers = self.numbers();
        let mut rows: Vec<(Sample, Vec<u32>)> = Vec::new();
        for (number, line) in lines(bytes) {
            let bad = |problem: String| DatasetError::Line { path: path.to_owned(), line: number, problem };
            let text = str::from_utf8(line).map_err(|_| bad("is not valid UTF-8".to_owned()))?;
            let mut fields = text.split('\t');
            let image = fields.next().unwrap_or_default();
            self.check_path(image).map_err(bad)?;
            let labels = fields.map(|class| number_of(&numbers, class)).collect::<Result<Vec<_>, _>>();
            let labels = labels.map_err(bad)?;
            let class = labels.iter().min().copied().unwrap_or_default();
            rows.push((Sample { path: Path::new(image).into(), class }, labels));
        }
        rows.sort_by(|(a, _), (b, _)| self::bytes(a).cmp(self::bytes(b)));
        let (samples, labels): (Vec<Sample>, Vec<Vec<u32>>) = rows.into_iter().unzip();
        let label_sets: LabelSets = labels.into_iter().collect();
        Ok(Index { root: self.root.to_owned(), split, samples, label_sets: Some(Arc::new(label_sets)) })
    }

    /// Names of classes in ascending order, with their numbers.
    fn numbers(&self) -> Vec<(&str, u32)> {
        let mut numbers: Vec<(&str, u32)> =
            self.manifest.classes.iter().map(String::as_str).zip(0..).collect();
        numbers.sort_unstable();
        numbers
    }

    fn check_path(&self, path: &str) -> Result<(), String> {
        if inside(path) {
            return Ok(());
        }
        Err(format!("`{path}` must be a path below {}, without `..`", self.root.display()))
    }

    fn samples(&self, path: &Path, bytes: &[u8]) -> Result<Vec<Sample>, DatasetError> {
        let numbers = self.numbers();
        let prefix = match self.manifest.images.as_str() {
            "." => String::new(),
            images => format!("{images}/"),
        };
        let labelled = self.manifest.labels.is_some();
        // Exactly as many as are needed: growing would take half as much again.
        let mut samples = Vec::with_capacity(lines(bytes).count());
        for (number, line) in lines(bytes) {
            let bad = |problem: String| DatasetError::Line { path: path.to_owned(), line: number, problem };
            let Ok(text) = str::from_utf8(line) else {
                return Err(bad("is not valid UTF-8".to_owned()));
            };
            let (text, label) = match text.rsplit_once('\t') {
                Some((text, label)) if labelled => (text, Some(label)),
                None if labelled => {
                    return Err(bad(format!("`{text}` is not of the form <path><tab><class>")));
                }
                _ => (text, None),
            };
            self.check_path(text).map_err(bad)?;
            let first_folder = || Some(text.strip_prefix(&prefix)?.split_once('/')?.0);
            let Some(class) = label.or_else(first_folder) else {
                return Err(bad(format!("`{text}` is not of the form {prefix}<class>/<image>")));
            };
            let class = number_of(&numbers, class).map_err(bad)?;
            samples.push(Sample { path: Path::new(text).into(), class });
        }
        Ok(samples)
    }

    fn check_counts(&self, path: &Path, entry: &SplitEntry, index: &Index) -> Result<(), DatasetError> {
        let mut counts = vec![0; self.manifest.classes.len()];
        for class in (0..index.samples.len()).flat_map(|sample| index.labels(sample)) {
            counts[*class as usize] += 1;
        }
        for (class, found) in self.manifest.classes.iter().zip(counts) {
            let expected = entry.counts.get(class).copied().unwrap_or(0);
            if found != expected {
                let problem =
                    format!("lists {found} images of class `{class}`, and the manifest says {expected}");
                return Err(DatasetError::Changed { path: path.to_owned(), problem });
            }
            if found == 0 && entry.name.ends_with("train") {
                return Err(DatasetError::EmptyClass { class: class.clone(), path: path.to_owned() });
            }
        }
        Ok(())
    }
}

/// The lines that are not empty, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}

/// The number of a class among the names, which are in ascending order.
fn number_of(numbers: &[(&str, u32)], class: &str) -> Result<u32, String> {
    let place = numbers.binary_search_by(|(name, _)| (*name).cmp(class));
    place
        .map(|place| numbers[place].1)
        .map_err(|_| format!("the class `{class}` is not in the manifest's classes"))
}

/// No image may be in two splits; indices are sorted.
fn refuse_leaks(splits: &Path, prefix: &str, indices: &[Index]) -> Result<(), DatasetError> {
    let file = |split: Split| match split {
        Split::Test => splits.join("test.txt"),
        _ => splits.join(format!("{prefix}{}.txt", split.name())),
    };
    for (i, first) in indices.iter().enumerate() {
        for second in &indices[i + 1..] {
            let (mut a, mut b) = (first.samples.iter().peekable(), second.samples.iter().peekable());
            while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
                match bytes(left).cmp(bytes(right)) {
                    std::cmp::Ordering::Less => a.next(),
                    std::cmp::Ordering::Greater => b.next(),
                    std::cmp::Ordering::Equal => {
                        return Err(DatasetError::Leak {
                            image: left.path.display().to_string(),
                            first: file(first.split),
                            second: file(second.split),
                        });
                    }
                };
            }
        }
    }
    Ok(())
}

fn assemble(data_dir: &Path, classes: Vec<String>, indices: Vec<Index>) -> Result<Dataset, DatasetError> {
    let mut indices = indices.into_iter().map(Arc::new);
    let (Some(train), Some(val)) = (indices.next(), indices.next()) else {
        return Err(DatasetError::NoImages { path: data_dir.to_owned() });
    };
    Ok(Dataset {
        root: data_dir.to_owned(),
        classes,
        train,
        val,
        test: indices.next(),
        notes: Vec::new(),
        left_out: LeftOut::default(),
        fold: None,
        manifest: None,
        fingerprint: OnceLock::new(),
    })
}

fn bytes(sample: &Sample) -> &[u8] {
    sample.path.as_os_str().as_encoded_bytes()
}

/// Bytewise by the whole path: the order of `Path` is another, part by part.
pub(super) fn sort(samples: &mut [Sample]) {
    if !samples.is_sorted_by(|a, b| bytes(a) <= bytes(b)) {
        samples.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
    }
}
