//! Any folder or CSV of images with labels → an index of them with the class numbers of a model
//! ([`Labelled`]), to measure what the model makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::class_names::{class_names, refuse_same_names, renamed_class, same_name};
use super::error::DatasetError;
use super::labels::CsvOptions;
use super::open::{is_indexed, list_split, samples_of, sort, split_folders};
use super::scan::{Scan, locate, require_folder, scan};
use super::source::{Source, join};
use super::{Dataset, Index, LeftOut, OpenOptions, SPLITS_FOLDER, Sample, Split};
use crate::text::listed;

/// What everything is called where nothing is split.
pub const ALL: &str = "all";
/// Classes that a message names.
const SHOWN: usize = 8;

/// Images with labels that a model knows.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The images; a class's number is its place among the model's. Classes may be missing.
    pub index: Arc<Index>,
    /// `train`, `val`, `test`, or `all` of what is not split.
    pub name: &'static str,
    /// What was opened.
    pub root: PathBuf,
    /// What the user should know about how it was understood, a line each.
    pub notes: Vec<String>,
    /// What lies in the folder and is passed over.
    pub left_out: LeftOut,
}

impl Labelled {
    /// Opens `path`: a data folder (whole, or with the test split alone), a folder of class
    /// folders, or a CSV of labels. `classes` are the model's; images are matched with them by
    /// name. `split` chooses among splits: by default the test split, and everything where nothing
    /// is split.
    ///
    /// # Errors
    /// There are no images with labels, a class is not the model's, or there is no such split; see
    /// [`DatasetError`].
    pub fn open(
        path: &Path,
        classes: &[String],
        split: Option<Split>,
        options: &OpenOptions,
        csv: &CsvOptions,
    ) -> Result<Labelled, DatasetError> {
        let chosen = split.unwrap_or(Split::Test);
        if path.is_file() {
            return open_csv(path, classes, split, csv);
        }
        require_folder(path)?;
        if is_indexed(path) {
            return of_dataset(Dataset::open(path, options)?, classes, chosen);
        }
        if let Some(folders) = split_folders(path)? {
            let fold_of_tree = options.fold.filter(|_| folders.get(Split::Train).is_some());
            let is_held_out = chosen == Split::Val && folders.get(Split::Val).is_none();
            // Of the training images, what validation left depends on it too.
            let is_divided = chosen == Split::Train && folders.get(Split::Val).is_none();
            if fold_of_tree.is_some() || folders.get(Split::Train).is_some() && (is_held_out || is_divided) {
                return of_dataset(Dataset::open(path, options)?, classes, chosen);
            }
            let Some(name) = folders.get(chosen) else {
                let found = folders.iter().map(|(split, _)| split.name()).collect();
                return Err(DatasetError::NoSuchSplit { path: path.to_owned(), split: chosen.name(), found });
            };
            let scan = list_split(path, name)?;
            let mut labelled = of_scan(path, name, scan, classes, chosen)?;
            labelled.notes.splice(0..0, folders.notes());
            return Ok(labelled);
        }
        if let Some(split) = split {
            let found = Vec::new();
            return Err(DatasetError::NoSuchSplit { path: path.to_owned(), split: split.name(), found });
        }
        let (root, images) = locate(path)?;
        let folder = join(&root, images);
        let scan = scan(&folder, if images == "." { &[SPLITS_FOLDER] } else { &[] })?;
        let labelled = of_scan(&folder, "", scan, classes, Split::Test)?;
        Ok(Labelled { name: ALL, ..labelled })
    }
}

/// A split of an opened data folder.
fn of_dataset(dataset: Dataset, classes: &[String], split: Split) -> Result<Labelled, DatasetError> {
    let Some(index) = dataset.index(split) else {
        let found = Split::ALL.into_iter().filter(|split| dataset.index(*split).is_some());
        return Err(DatasetError::NoSuchSplit {
            path: dataset.root.clone(),
            split: split.name(),
            found: found.map(Split::name).collect(),
        });
    };
    let mut notes = dataset.notes.clone();
    let index = if dataset.classes == classes {
        Arc::clone(index)
    } else {
        // What a split lacks need not be known.
        let counts = dataset.class_counts(split);
        let used = (0..).zip(&dataset.classes).filter(|(class, _)| counts[*class] > 0);
        let mut numbers = vec![0; dataset.classes.len()];
        for (class, name) in used {
            numbers[class] = number(&dataset.root, name, classes, &mut notes)?;
        }
        let samples = index.samples.iter();
        let samples = samples
            .map(|Sample { path, class }| Sample { path: path.clone(), class: numbers[*class as usize] });
        Arc::new(Index { root: index.root.clone(), split, samples: samples.collect() })
    };
    Ok(Labelled { index, name: split.name(), root: dataset.root, notes, left_out: dataset.left_out })
}

/// The class folders of `name` in `root`, or of `root` itself.
fn of_scan(
    root: &Path,
    name: &str,
    mut scan: Scan,
    classes: &[String],
    split: Split,
) -> Result<Labelled, DatasetError> {
    let folder = if name.is_empty() { root.to_owned() } else { root.join(name) };
    scan.classes.retain(|class| !class.images.is_empty());
    if scan.classes.is_empty() {
        return Err(if scan.loose > 0 {
            DatasetError::NoLabels { path: folder, loose: scan.loose }
        } else {
            DatasetError::NoImages { path: folder }
        });
    }
    let names = class_names(&scan);
    refuse_same_names(&folder, &names)?;
    let mut notes = Vec::new();
    let mut numbers = Vec::new();
    for class in &names {
        numbers.push((class.clone(), number(&folder, class, classes, &mut notes)?));
    }
    if scan.loose > 0 {
        notes.push(format!(
            "{} image(s) right in {} have no class and are left out",
            scan.loose,
            folder.display()
        ));
    }
    let left_out = std::mem::take(&mut scan.left_out);
    let find =
        |class: &str| numbers.iter().find(|(name, _)| name == class).map(|(_, number)| *number as usize);
    let mut samples = samples_of(name, scan, find);
    sort(&mut samples);
    let index = Arc::new(Index { root: root.to_owned(), split, samples });
    Ok(Labelled { index, name: split.name(), root: root.to_owned(), notes, left_out })
}

fn open_csv(
    path: &Path,
    classes: &[String],
    split: Option<Split>,
    csv: &CsvOptions,
) -> Result<Labelled, DatasetError> {
    let source = Source::open_csv(path, csv)?;
    let mut notes = source.notes().to_vec();
    let splits = source.csv.as_ref().and_then(|csv| csv.splits.as_deref());
    let wanted = match (splits, split) {
        (None, Some(split)) => {
            let found = Vec::new();
            return Err(DatasetError::NoSuchSplit { path: path.to_owned(), split: split.name(), found });
        }
        (None, None) => None,
        (Some(splits), split) => {
            let chosen = split.unwrap_or(Split::Test);
            if !splits.contains(&chosen) {
                let found = Split::ALL.into_iter().filter(|split| splits.contains(split));
                return Err(DatasetError::NoSuchSplit {
                    path: path.to_owned(),
                    split: chosen.name(),
                    found: found.map(Split::name).collect(),
                });
            }
            Some(chosen)
        }
    };
    let is_wanted = |image: usize| match (splits, wanted) {
        (Some(splits), Some(wanted)) => splits[image] == wanted,
        _ => true,
    };
    let mut samples = Vec::new();
    for (class, first) in source.scan.classes.iter().zip(&source.offsets) {
        let images = class.images.iter().enumerate().filter(|(place, _)| is_wanted(first + place));
        let mut images = images.peekable();
        if images.peek().is_none() {
            continue;
        }
        let number = number(path, &class.name, classes, &mut notes)?;
        samples.extend(images.map(|(_, image)| Sample { path: Path::new(image).into(), class: number }));
    }
    sort(&mut samples);
    let index =
        Arc::new(Index { root: source.root().to_owned(), split: wanted.unwrap_or(Split::Test), samples });
    let name = wanted.map_or(ALL, Split::name);
    Ok(Labelled { index, name, root: path.to_owned(), notes, left_out: LeftOut::default() })
}

/// The place of `class` among `classes`.
fn number(
    path: &Path,
    class: &str,
    classes: &[String],
    notes: &mut Vec<String>,
) -> Result<u32, DatasetError> {
    let place = |name: &str| classes.iter().position(|known| known == name);
    if let Some(place) = place(class) {
        return Ok(place as u32);
    }
    if let Some(known) = same_name(classes, class) {
        notes.push(renamed_class(&path.display().to_string(), class, known));
        return Ok(place(known).unwrap_or_default() as u32);
    }
    let mut known: Vec<String> = classes.to_vec();
    // The likeliest first.
    let near = |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &class.to_lowercase());
    known.sort_by_cached_key(|name| near(name));
    let known: Vec<String> =
        known.iter().map(|name| format!("`{}`", crate::table::printable(name))).collect();
    Err(DatasetError::UnknownClass {
        path: path.to_owned(),
        class: class.to_owned(),
        known: listed(&known, SHOWN),
    })
}
