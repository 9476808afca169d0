//! Opening a data folder: which kind it is, its indices, and what is wrong with it if it is of no
//! kind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::error::DatasetError;
use super::manifest::{Layout, Manifest, Method, SplitEntry, inside};
use super::scan::{require_folder, scan};
use super::{Dataset, Index, MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER, Sample, Split};

pub(super) fn open(data_dir: &Path, fold: Option<u32>) -> Result<Dataset, DatasetError> {
    require_folder(data_dir)?;
    let is_folder = |name: &str| data_dir.join(name).is_dir();
    // A manifest decides: beside it, `train` may be the name of a class.
    if data_dir.join(SPLITS_FOLDER).join(MANIFEST_FILE).exists() {
        open_indexed(data_dir, fold)
    } else if is_folder("train") && is_folder("val") {
        match fold {
            Some(fold) => Err(DatasetError::NoFolds { path: data_dir.to_owned(), fold }),
            None => open_folders(data_dir),
        }
    } else {
        Err(diagnose(data_dir))
    }
}

/// What to do with a folder that is no data folder.
fn diagnose(data_dir: &Path) -> DatasetError {
    let is_folder = |name: &str| data_dir.join(name).is_dir();
    let path = data_dir.to_owned();
    let images = if is_folder(RAW_FOLDER) { data_dir.join(RAW_FOLDER) } else { path.clone() };
    if is_folder(SPLITS_FOLDER) {
        return DatasetError::MissingIndex { path: path.join(SPLITS_FOLDER).join(MANIFEST_FILE), images };
    }
    if let Some(data_dir) = data_folder_above(data_dir) {
        return DatasetError::GiveParent { path, data_dir };
    }
    let scan = match scan(&images, &[]) {
        Ok(scan) => scan,
        Err(error) => return error,
    };
    let names: Vec<&str> = scan.classes.iter().map(|class| class.name.as_str()).collect();
    let other = ["valid", "validation", "dev"].into_iter().find(|name| names.contains(name));
    let is_tree = |name: &&str| ["train", "val", "test"].contains(name) || Some(*name) == other;
    if names.is_empty() {
        DatasetError::NoClasses { path: images, loose: scan.loose }
    } else if scan.classes.iter().all(|class| class.images.is_empty()) {
        DatasetError::NoImages { path: images }
    } else if names.iter().all(is_tree) && (names.contains(&"train") || names.contains(&"val")) {
        let (missing, beside) = if names.contains(&"train") { ("val", "train") } else { ("train", "val") };
        let remedy = match other {
            Some(other) if missing == "val" => format!("rename `{other}` to `val`"),
            _ => "move some of each class's images there".to_owned(),
        };
        DatasetError::MissingSplit { path: path.join(missing), beside: beside.to_owned(), remedy }
    } else {
        DatasetError::NotSplit { path, images }
    }
}

/// The parent, if that is a data folder that `folder` is a part of.
fn data_folder_above(folder: &Path) -> Option<PathBuf> {
    let real = folder.canonicalize().ok()?;
    let (parent, name) = (real.parent()?, real.file_name()?);
    let indexed = parent.join(SPLITS_FOLDER).join(MANIFEST_FILE).exists();
    let tree = parent.join("train").is_dir() && parent.join("val").is_dir();
    let is_part = indexed && (name == RAW_FOLDER || name == SPLITS_FOLDER)
        || tree && Split::ALL.iter().any(|split| name == split.name());
    // As the user would type it.
    is_part.then(|| match folder.parent() {
        Some(above) if above != Path::new("") => above.to_owned(),
        _ if folder.file_name().is_some() => PathBuf::from("."),
        _ => parent.to_owned(),
    })
}

/// `train/`, `val/`, `test/`.
fn open_folders(data_dir: &Path) -> Result<Dataset, DatasetError> {
    let mut scans = Vec::new();
    for split in Split::ALL {
        let folder = data_dir.join(split.name());
        if split == Split::Test && !folder.exists() {
            continue;
        }
        require_folder(&folder)?;
        let mut found = scan(&folder, &[])?;
        // Where a split was itself split, its index files lie in it.
        if let Some(place) = found.classes.iter().position(|class| class.name == SPLITS_FOLDER) {
            if !found.classes[place].images.is_empty() {
                return Err(DatasetError::Reserved { path: folder.join(SPLITS_FOLDER) });
            }
            found.classes.remove(place);
        }
        scans.push((split, folder, found));
    }
    let mut classes: Vec<String> =
        scans.iter().flat_map(|(_, _, scan)| scan.classes.iter().map(|class| class.name.clone())).collect();
    classes.sort_unstable();
    classes.dedup();
    let mut indices = Vec::new();
    for (split, folder, scan) in scans {
        if scan.classes.is_empty() {
            return Err(DatasetError::NoClasses { path: folder, loose: scan.loose });
        }
        if scan.classes.iter().all(|class| class.images.is_empty()) {
            return Err(DatasetError::NoImages { path: folder });
        }
        if split == Split::Train {
            let filled = |name: &String| {
                scan.classes.iter().any(|class| class.name == *name && !class.images.is_empty())
            };
            if let Some(class) = classes.iter().find(|name| !filled(name)) {
                return Err(DatasetError::EmptyClass { class: class.clone(), path: folder.join(class) });
            }
        }
        let mut samples = Vec::with_capacity(scan.classes.iter().map(|class| class.images.len()).sum());
        for class in scan.classes {
            let number = classes.binary_search(&class.name).unwrap_or_default() as u32;
            samples.extend(class.images.into_iter().map(|image| Sample {
                path: PathBuf::from(format!("{}/{image}", split.name())).into_boxed_path(),
                class: number,
            }));
        }
        sort(&mut samples);
        indices.push(Index { root: data_dir.to_owned(), split, samples });
    }
    assemble(data_dir, classes, indices)
}

/// `splits/manifest.yaml` and its index files.
fn open_indexed(data_dir: &Path, fold: Option<u32>) -> Result<Dataset, DatasetError> {
    let splits = data_dir.join(SPLITS_FOLDER);
    let path = splits.join(MANIFEST_FILE);
    let bad = |problem: String| DatasetError::Manifest { path: path.clone(), problem };
    let text = fs::read(&path).map_err(DatasetError::io(&path))?;
    let text = crate::files::decode_text(text).map_err(|error| bad(format!("is damaged: {error}")))?;
    let manifest = Manifest::parse(&text, &path)?;
    if manifest.layout != Layout::Index {
        return Err(bad("layout: must be `index` in a folder called splits".to_owned()));
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
        let mut samples = self.samples(&path, bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes))?;
        if samples.is_empty() {
            return Err(DatasetError::NoImages { path });
        }
        self.check_counts(&path, entry, &samples)?;
        let changed =
            |expected: &String| !expected.eq_ignore_ascii_case(&hex::encode(Sha256::digest(&bytes)));
        if entry.index_sha256.as_ref().is_some_and(changed) {
            let problem = "was edited after it was written (its SHA-256 is not the manifest's index_sha256)";
            return Err(DatasetError::Changed { path, problem: problem.to_owned() });
        }
        sort(&mut samples);
        if let Some(pair) = samples.windows(2).find(|pair| pair[0].path == pair[1].path) {
            let problem = format!("lists `{}` twice", pair[0].path.display());
            return Err(DatasetError::Changed { path, problem });
        }
        Ok(Index { root: self.root.to_owned(), split, samples })
    }

    fn samples(&self, path: &Path, bytes: &[u8]) -> Result<Vec<Sample>, DatasetError> {
        let mut numbers: Vec<(&str, u32)> =
            self.manifest.classes.iter().map(String::as_str).zip(0..).collect();
        numbers.sort_unstable();
        let prefix = match self.manifest.images.as_str() {
            "." => String::new(),
            images => format!("{images}/"),
        };
        let labelled = self.manifest.labels.is_some();
        // Exactly as many as are needed: growing would take half as much again.
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        let mut samples = Vec::with_capacity(lines);
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
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
            if !inside(text) {
                return Err(bad(format!(
                    "`{text}` must be a path below {}, without `..`",
                    self.root.display()
                )));
            }
            let first_folder = || Some(text.strip_prefix(&prefix)?.split_once('/')?.0);
            let Some(class) = label.or_else(first_folder) else {
                return Err(bad(format!("`{text}` is not of the form {prefix}<class>/<image>")));
            };
            let Ok(place) = numbers.binary_search_by(|(name, _)| (*name).cmp(class)) else {
                return Err(bad(format!("the class `{class}` is not in the manifest's classes")));
            };
            samples.push(Sample { path: Path::new(text).into(), class: numbers[place].1 });
        }
        Ok(samples)
    }

    fn check_counts(&self, path: &Path, entry: &SplitEntry, samples: &[Sample]) -> Result<(), DatasetError> {
        let mut counts = vec![0; self.manifest.classes.len()];
        for sample in samples {
            counts[sample.class as usize] += 1;
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
        fold: None,
        manifest: None,
        fingerprint: OnceLock::new(),
    })
}

fn bytes(sample: &Sample) -> &[u8] {
    sample.path.as_os_str().as_encoded_bytes()
}

/// Bytewise by the whole path: the order of `Path` is another, part by part.
fn sort(samples: &mut [Sample]) {
    if !samples.is_sorted_by(|a, b| bytes(a) <= bytes(b)) {
        samples.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
    }
}
