//! What differs between the images that were split and those that are there.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use super::SHOWN;
use super::files::{Images, Stat};
use crate::dataset::error::DatasetError;
use crate::dataset::images::{self, IMAGES_FILE};
use crate::dataset::label_sets::Task;
use crate::dataset::labels::{self, CsvOptions};
use crate::dataset::manifest::{CsvLabels, Manifest};
use crate::dataset::scan::scan;
use crate::dataset::source::{Source, join};
use crate::dataset::{Dataset, SPLITS_FOLDER, Sample};

/// How a data folder differs from what was split. At least one thing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Images with another size, and examples.
    pub resized: (usize, Vec<String>),
    /// Images that no split knows, and examples.
    pub added: (usize, Vec<String>),
    /// Images that the CSV of labels (or the class folders) no longer names, and examples.
    pub removed: (usize, Vec<String>),
    /// Images to which the CSV gives another label, and examples.
    pub relabelled: (usize, Vec<String>),
    /// Anything else, in words.
    pub others: Vec<String>,
    /// The command that splits the images again.
    pub again: String,
}

impl Changes {
    fn is_empty(&self) -> bool {
        let Changes { resized, added, removed, relabelled, others, again: _ } = self;
        [resized, added, removed, relabelled].iter().all(|(count, _)| *count == 0) && others.is_empty()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = [
            (&self.resized, "have another size"),
            (&self.added, "are new and in no split"),
            (&self.removed, "are no longer in the CSV"),
            (&self.relabelled, "have another label"),
        ];
        let told = told.into_iter().filter(|((count, _), _)| *count > 0).map(|((count, first), what)| {
            let more = if *count > first.len() { ", …" } else { "" };
            format!("{count} image(s) {what} ({}{more})", first.join(", "))
        });
        let all: Vec<String> = told.chain(self.others.iter().cloned()).collect();
        let again = &self.again;
        write!(
            f,
            "the data set was changed after it was split: {}; to split it again run `{again}`",
            all.join("; ")
        )
    }
}

fn note(what: &mut (usize, Vec<String>), path: &str) {
    what.0 += 1;
    if what.1.len() < SHOWN {
        what.1.push(path.to_owned());
    }
}

/// `untouched`: whether the sizes are the manifest's; none if it does not say.
pub(super) fn find(
    dataset: &Dataset,
    images: &Images<'_>,
    stats: &[Stat],
    untouched: Option<bool>,
) -> Result<Option<Changes>, DatasetError> {
    let Some(manifest) = &dataset.manifest else { return Ok(None) };
    let mut changes = Changes { again: dataset.divided_again().unwrap_or_default(), ..Changes::default() };
    if untouched == Some(false) {
        sizes(dataset, images, stats, &mut changes)?;
    }
    match &manifest.labels {
        _ if dataset.task() == Task::MultiLabel => relabelled_sets(dataset, manifest, images, &mut changes),
        Some(labels) => relabelled(dataset, labels, images, &mut changes),
        None => added(dataset, manifest, images, stats, &mut changes),
    }
    Ok((!changes.is_empty()).then_some(changes))
}

fn sizes(
    dataset: &Dataset,
    images: &Images<'_>,
    stats: &[Stat],
    changes: &mut Changes,
) -> Result<(), DatasetError> {
    let path = dataset.root.join(SPLITS_FOLDER).join(IMAGES_FILE);
    let known = if path.exists() { images::read(&path)? } else { Vec::new() };
    let known: HashMap<&str, u64> = known.iter().map(|known| (known.path.as_str(), known.bytes)).collect();
    for (image, stat) in (0..).zip(stats) {
        let path = images.sample(image).path.to_string_lossy();
        if *stat != Stat::MISSING && known.get(path.as_ref()).is_some_and(|bytes| *bytes != stat.bytes) {
            note(&mut changes.resized, &path);
        }
    }
    // What is missing is reported by itself.
    if changes.resized.0 == 0 && !stats.contains(&Stat::MISSING) {
        changes.others.push("names or sizes are not those that were split".to_owned());
    }
    Ok(())
}

/// Images in class folders that no split knows.
fn added(dataset: &Dataset, manifest: &Manifest, images: &Images<'_>, stats: &[Stat], changes: &mut Changes) {
    let root = manifest.root.as_ref().map_or_else(|| dataset.root.clone(), PathBuf::from);
    let folder = join(&root, &manifest.images);
    let there = match scan(&folder, if manifest.images == "." { &[SPLITS_FOLDER] } else { &[] }) {
        Ok(there) => there,
        // What was opened does not need it.
        Err(error) => {
            changes.others.push(error.to_string());
            return;
        }
    };
    // If all that are known are there, a number tells whether others are.
    let found: usize = there.classes.iter().map(|class| class.images.len()).sum();
    if found == images.len() + manifest.excluded.len() && !stats.contains(&Stat::MISSING) {
        return;
    }
    let prefix = if manifest.images == "." { String::new() } else { format!("{}/", manifest.images) };
    let is_known = |line: &str| {
        let of = |sample: &Sample| sample.path.as_os_str().as_encoded_bytes().cmp(line.as_bytes());
        images.indices.iter().any(|index| index.samples.binary_search_by(of).is_ok())
    };
    for image in there.classes.iter().flat_map(|class| &class.images) {
        let line = format!("{prefix}{image}");
        if !is_known(&line) && manifest.excluded.binary_search(&line).is_err() {
            note(&mut changes.added, &line);
        }
    }
}

/// What the CSV says now.
fn relabelled(dataset: &Dataset, labels: &CsvLabels, images: &Images<'_>, changes: &mut Changes) {
    let path = dataset.root.join(&labels.csv);
    let now = match labels::sha256(&path) {
        Ok(hash) if hash.eq_ignore_ascii_case(&labels.sha256) => return,
        Ok(_) => {
            let options = labels.options.clone().unwrap_or_default();
            Source::open_csv(&path, &CsvOptions { root: Some(dataset.train.root.clone()), ..options })
        }
        Err(error) => Err(error),
    };
    let now = match now {
        Ok(now) => now,
        Err(error) => {
            changes.others.push(error.to_string());
            return;
        }
    };
    let mut left: BTreeMap<&str, &str> = now
        .scan
        .classes
        .iter()
        .flat_map(|class| class.images.iter().map(|image| (image.as_str(), class.name.as_str())))
        .collect();
    for image in 0..images.len() as u32 {
        let sample = images.sample(image);
        let path = sample.path.to_string_lossy();
        match left.remove(path.as_ref()) {
            None => note(&mut changes.removed, &path),
            Some(label) if label != dataset.classes[sample.class as usize] => {
                note(&mut changes.relabelled, &path);
            }
            Some(_) => {}
        }
    }
    left.keys().for_each(|path| note(&mut changes.added, path));
    if changes.is_empty() {
        changes.others.push(format!("{} was edited (its labels are the same)", path.display()));
    }
}

/// What the CSV or the class folders say now, where an image may have several labels.
fn relabelled_sets(dataset: &Dataset, manifest: &Manifest, images: &Images<'_>, changes: &mut Changes) {
    let root = &dataset.train.root;
    let now = match &manifest.labels {
        None => Source::open_multi_label(&join(root, &manifest.images)),
        Some(labels) => {
            let path = dataset.root.join(&labels.csv);
            match labels::sha256(&path) {
                Ok(hash) if hash.eq_ignore_ascii_case(&labels.sha256) => return,
                Ok(_) => {
                    let options = labels.options.clone().unwrap_or_default();
                    Source::open_csv_multi_label(&path, &CsvOptions { root: Some(root.clone()), ..options })
                }
                Err(error) => Err(error),
            }
        }
    };
    let now = match now {
        Ok(now) => now,
        Err(error) => {
            changes.others.push(error.to_string());
            return;
        }
    };
    let prefix = if manifest.images == "." { String::new() } else { format!("{}/", manifest.images) };
    let mut left: BTreeMap<String, Vec<&str>> = (0..now.len() as u32)
        .map(|image| (format!("{prefix}{}", now.image(image)), now.labels_of(image)))
        .collect();
    for image in 0..images.len() as u32 {
        let path = images.sample(image).path.to_string_lossy();
        let known = images.labels(image).iter().map(|class| dataset.classes[*class as usize].as_str());
        let known: Vec<&str> = known.collect();
        match left.remove(&*path) {
            None => note(&mut changes.removed, &path),
            Some(labels) if labels != known => note(&mut changes.relabelled, &path),
            Some(_) => {}
        }
    }
    let is_new = |path: &&String| manifest.excluded.binary_search(path).is_err();
    left.keys().filter(is_new).for_each(|path| note(&mut changes.added, path));
}
