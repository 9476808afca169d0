//! Any folder or CSV of images with labels → an index of them with the class numbers of a model
//! ([`Labelled`]), to measure what the model makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::class_names::{KnownClasses, class_names, refuse_same_names, renamed_class};
use super::error::DatasetError;
use super::label_sets::{LabelSets, Task};
use super::labels::CsvOptions;
use super::open::{is_indexed, list_split, samples_of, sort, split_folders};
use super::scan::{Scan, locate, require_folder, scan};
use super::source::{MultiLabels, Source, join};
use super::{Dataset, Index, LeftOut, OpenOptions, SPLITS_FOLDER, Sample, Split};
use crate::table::printable;
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
    /// See [`Dataset::groups`].
    pub groups: Option<Vec<String>>,
}

/// The classes of a model, in order, and other names that some go by, each with its class's place:
/// ImageNet's folders are called by `WordNet` ids, for example.
#[derive(Clone, Copy, Debug)]
pub struct ModelClasses<'a> {
    /// In order.
    pub names: &'a [String],
    /// Another name, and the place of its class.
    pub synonyms: &'a [(&'a str, usize)],
}

impl Labelled {
    /// As [`Labelled::open_with`], where classes go by their own names alone.
    ///
    /// # Errors
    /// As there.
    pub fn open(
        path: &Path,
        classes: &[String],
        split: Option<Split>,
        options: &OpenOptions,
        csv: &CsvOptions,
    ) -> Result<Labelled, DatasetError> {
        Labelled::open_with(path, ModelClasses { names: classes, synonyms: &[] }, split, options, csv)
    }

    /// Opens `path`: a data folder (whole, or with the test split alone), a folder of class
    /// folders, or a CSV of labels. `classes` are the model's; images are matched with them by
    /// name, or by a synonym. `split` chooses among splits: by default the test split, and everything
    /// where nothing is split.
    ///
    /// With [`OpenOptions::multi_label`] images have several labels: `path` is a data folder that
    /// was split so, a folder of class folders in which links put images into several, or a CSV
    /// with several labels a line.
    ///
    /// # Errors
    /// There are no images with labels, a class is not the model's, there is no such split, or the
    /// images have one label each where several are expected, or the other way round; see
    /// [`DatasetError`].
    pub fn open_with(
        path: &Path,
        classes: ModelClasses<'_>,
        split: Option<Split>,
        options: &OpenOptions,
        csv: &CsvOptions,
    ) -> Result<Labelled, DatasetError> {
        let chosen = split.unwrap_or(Split::Test);
        let known = KnownClasses::new(classes.names).with_synonyms(classes.synonyms);
        let task = if options.multi_label { Task::MultiLabel } else { Task::SingleLabel };
        if path.is_file() {
            return open_csv(path, &known, split, csv, task);
        }
        require_folder(path)?;
        if is_indexed(path) {
            let dataset = Dataset::open(path, options).map_err(|error| match error {
                DatasetError::MultiLabel { path } => {
                    DatasetError::OtherTask { path, found: Task::MultiLabel }
                }
                error => error,
            })?;
            if dataset.task() != task {
                return Err(DatasetError::OtherTask { path: path.to_owned(), found: dataset.task() });
            }
            return of_dataset(dataset, &known, chosen);
        }
        if let Some(folders) = split_folders(path)? {
            if task == Task::MultiLabel {
                return Err(DatasetError::OtherTask { path: path.to_owned(), found: Task::SingleLabel });
            }
            let fold_of_tree = options.fold.filter(|_| folders.get(Split::Train).is_some());
            let is_held_out = chosen == Split::Val && folders.get(Split::Val).is_none();
            // Of the training images, what validation left depends on it too.
            let is_divided = chosen == Split::Train && folders.get(Split::Val).is_none();
            if fold_of_tree.is_some() || folders.get(Split::Train).is_some() && (is_held_out || is_divided) {
                return of_dataset(Dataset::open(path, options)?, &known, chosen);
            }
            let Some(name) = folders.get(chosen) else {
                return Err(no_such_split(path, chosen, |split| folders.get(split).is_some()));
            };
            let scan = list_split(path, name)?;
            let mut labelled = of_scan(path, name, scan, &known, chosen)?;
            labelled.notes.splice(0..0, folders.notes());
            return Ok(labelled);
        }
        if let Some(split) = split {
            return Err(no_such_split(path, split, |_| false));
        }
        if task == Task::MultiLabel {
            return open_links(path, &known);
        }
        let (root, images) = locate(path)?;
        let folder = join(&root, images);
        let scan = scan(&folder, if images == "." { &[SPLITS_FOLDER] } else { &[] })?;
        let labelled = of_scan(&folder, "", scan, &known, Split::Test)?;
        Ok(Labelled { name: ALL, ..labelled })
    }
}

/// A split of an opened data folder.
fn of_dataset(dataset: Dataset, known: &KnownClasses<'_>, split: Split) -> Result<Labelled, DatasetError> {
    let Some(index) = dataset.index(split) else {
        return Err(no_such_split(&dataset.root, split, |split| dataset.index(split).is_some()));
    };
    let mut notes = dataset.notes.clone();
    let groups = dataset.groups(split)?;
    let index = if dataset.classes == known.names() {
        Arc::clone(index)
    } else {
        // What a split lacks need not be known.
        let counts = dataset.class_counts(split);
        let used = (0..).zip(&dataset.classes).filter(|(class, _)| counts[*class] > 0);
        let mut numbers = vec![0; dataset.classes.len()];
        for (class, name) in used {
            numbers[class] = number(&dataset.root, name, known, &mut notes)?;
        }
        let samples = index.samples.iter();
        let renumbered =
            |labels: &[u32]| -> Vec<u32> { labels.iter().map(|label| numbers[*label as usize]).collect() };
        let label_sets = index
            .label_sets
            .as_ref()
            .map(|sets| Arc::new(sets.iter().map(renumbered).collect::<LabelSets>()));
        let samples = samples
            .map(|Sample { path, class }| Sample { path: path.clone(), class: numbers[*class as usize] });
        Arc::new(Index { root: index.root.clone(), split, samples: samples.collect(), label_sets })
    };
    Ok(Labelled { index, name: split.name(), root: dataset.root, notes, left_out: dataset.left_out, groups })
}

/// The class folders of `name` in `root`, or of `root` itself.
fn of_scan(
    root: &Path,
    name: &str,
    mut scan: Scan,
    known: &KnownClasses<'_>,
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
        numbers.push(number(&folder, class, known, &mut notes)?);
    }
    if scan.loose > 0 {
        notes.push(format!(
            "{} image(s) right in {} have no class and are left out",
            scan.loose,
            folder.display()
        ));
    }
    let left_out = std::mem::take(&mut scan.left_out);
    let samples = samples_of(name, scan, &numbers);
    let index = Arc::new(Index { root: root.to_owned(), split, samples, label_sets: None });
    Ok(Labelled { index, name: split.name(), root: root.to_owned(), notes, left_out, groups: None })
}

/// A folder of class folders in which links put images into several.
fn open_links(path: &Path, known: &KnownClasses<'_>) -> Result<Labelled, DatasetError> {
    let source = Source::open_multi_label(path)?;
    let Some(multi) = source.multi.as_ref().filter(|multi| multi.sets.iter().any(|set| set.len() > 1)) else {
        return Err(DatasetError::OtherTask { path: path.to_owned(), found: Task::SingleLabel });
    };
    let mut notes = source.notes().to_vec();
    let (samples, sets) = with_label_sets(path, &source, multi, |_| true, known, &mut notes)?;
    let root = join(source.root(), source.images);
    let index =
        Arc::new(Index { root: root.clone(), split: Split::Test, samples, label_sets: Some(Arc::new(sets)) });
    let left_out = source.scan.left_out.clone();
    Ok(Labelled { index, name: ALL, root, notes, left_out, groups: None })
}

/// The images that are wanted, by their numbers, and their labels.
fn with_label_sets(
    path: &Path,
    source: &Source,
    multi: &MultiLabels,
    is_wanted: impl Fn(usize) -> bool,
    known: &KnownClasses<'_>,
    notes: &mut Vec<String>,
) -> Result<(Vec<Sample>, LabelSets), DatasetError> {
    let images = source.scan.classes.iter().flat_map(|class| &class.images).enumerate();
    let (places, paths): (Vec<usize>, Vec<&String>) = images.filter(|(image, _)| is_wanted(*image)).unzip();
    let sets = multi.sets.select(places);
    let counts = sets.counts(multi.classes.len());
    let mut numbers = vec![0; multi.classes.len()];
    // What the wanted images lack need not be known.
    for (class, name) in multi.classes.iter().enumerate().filter(|(class, _)| counts[*class] > 0) {
        numbers[class] = number(path, name, known, notes)?;
    }
    let renumbered =
        |labels: &[u32]| -> Vec<u32> { labels.iter().map(|label| numbers[*label as usize]).collect() };
    let sets: LabelSets = sets.iter().map(renumbered).collect();
    let sample = |(image, labels): (&String, &[u32])| Sample {
        path: Path::new(image).into(),
        class: labels.first().copied().unwrap_or_default(),
    };
    let samples = paths.into_iter().zip(sets.iter()).map(sample).collect();
    Ok((samples, sets))
}

fn open_csv(
    path: &Path,
    known: &KnownClasses<'_>,
    split: Option<Split>,
    csv: &CsvOptions,
    task: Task,
) -> Result<Labelled, DatasetError> {
    let source = match task {
        Task::SingleLabel => Source::open_csv(path, csv)?,
        Task::MultiLabel => Source::open_csv_multi_label(path, csv)?,
    };
    let mut notes = source.notes().to_vec();
    let splits = source.csv.as_ref().and_then(|csv| csv.splits.as_deref());
    let wanted = match (splits, split) {
        (None, Some(split)) => return Err(no_such_split(path, split, |_| false)),
        (None, None) => None,
        (Some(splits), split) => {
            let chosen = split.unwrap_or(Split::Test);
            if !splits.contains(&chosen) {
                return Err(no_such_split(path, chosen, |split| splits.contains(&split)));
            }
            Some(chosen)
        }
    };
    let is_wanted = |image: usize| match (splits, wanted) {
        (Some(splits), Some(wanted)) => splits[image] == wanted,
        _ => true,
    };
    let (samples, label_sets) = match &source.multi {
        None => (one_label_each(path, &source, is_wanted, known, &mut notes)?, None),
        Some(multi) => {
            let (samples, sets) = with_label_sets(path, &source, multi, is_wanted, known, &mut notes)?;
            if sets.iter().all(|labels| labels.len() == 1) {
                notes
                    .push("each image has one label; any other that is predicted counts as wrong".to_owned());
            }
            (samples, Some(Arc::new(sets)))
        }
    };
    let (root, split) = (source.root().to_owned(), wanted.unwrap_or(Split::Test));
    let index = Arc::new(Index { root, split, samples, label_sets });
    let name = wanted.map_or(ALL, Split::name);
    let (root, left_out) = (path.to_owned(), LeftOut::default());
    Ok(Labelled { index, name, root, notes, left_out, groups: None })
}

/// The images that are wanted, by their numbers, with a class each.
fn one_label_each(
    path: &Path,
    source: &Source,
    is_wanted: impl Fn(usize) -> bool,
    known: &KnownClasses<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Sample>, DatasetError> {
    let mut samples = Vec::new();
    for (class, first) in source.scan.classes.iter().zip(&source.offsets) {
        let images = class.images.iter().enumerate().filter(|(place, _)| is_wanted(first + place));
        let mut images = images.peekable();
        if images.peek().is_none() {
            continue;
        }
        let number = number(path, &class.name, known, notes)?;
        samples.extend(images.map(|(_, image)| Sample { path: Path::new(image).into(), class: number }));
    }
    sort(&mut samples);
    Ok(samples)
}

fn no_such_split(path: &Path, split: Split, is_there: impl Fn(Split) -> bool) -> DatasetError {
    let found = Split::ALL.into_iter().filter(|split| is_there(*split)).map(Split::name);
    DatasetError::NoSuchSplit { path: path.to_owned(), split: split.name(), found: found.collect() }
}

/// The place of `class` among the known ones.
fn number(
    path: &Path,
    class: &str,
    known: &KnownClasses<'_>,
    notes: &mut Vec<String>,
) -> Result<u32, DatasetError> {
    if let Some(place) = known.place(class) {
        return Ok(place as u32);
    }
    if let Some((place, name)) = known.same(class) {
        notes.push(renamed_class(&path.display().to_string(), class, name));
        return Ok(place as u32);
    }
    let mut names: Vec<&String> = known.names().iter().collect();
    // The likeliest first.
    let near = |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &class.to_lowercase());
    names.sort_by_cached_key(|name| near(name));
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", printable(name))).collect();
    let known = listed(&names, SHOWN);
    let hint = if is_synset(class) { SYNSET } else { "" };
    Err(DatasetError::UnknownClass { path: path.to_owned(), class: class.to_owned(), known, hint })
}

/// What a class is called like that a model without ImageNet's classes does not know.
const SYNSET: &str = " (it looks like a WordNet id, as ImageNet's folders are called, which a model with ImageNet's class \
                      names understands)";

/// Whether a name looks like a `WordNet` id of a noun: `n01440764`.
fn is_synset(name: &str) -> bool {
    let digits = name.strip_prefix('n').unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
}
