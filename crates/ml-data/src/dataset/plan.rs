//! Images and how to split them → their splits ([`Plan`]), not yet written.

use sha2::{Digest, Sha256};

use super::divide::{Division, TEST, TRAIN, VAL, divide};
use super::images;
use super::iterative;
use super::labels::CsvOptions;
use super::manifest::{CsvLabels, GroupsEntry, Layout, Manifest, Method, SplitEntry, version_for};
use super::source::Source;
use super::split_error::{GivenLeak, SplitError};
use super::stratify;

/// Images split, in memory.
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

    /// What was split.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What the user should know, a line each: classes that a split lacks, empty files, loose
    /// images.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The lines of the index file `name`.txt.
    pub fn lines(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, text)| text.lines())
    }

    /// The text of `pictures.csv`.
    pub(super) fn images(&self) -> String {
        let source = &self.source;
        let prefix = prefix(source.images);
        let paths = source.scan.classes.iter().flat_map(|class| &class.images);
        let mut numbered: Vec<(&str, u32)> = paths.map(String::as_str).zip(0..).collect();
        numbered.sort_unstable();
        let mut hashes = vec![None; source.len()];
        source.hashes.iter().for_each(|(image, hash)| hashes[*image as usize] = Some(hash));
        let mut groups = vec![""; source.len()];
        for set in source.groups.clone().sets() {
            let name = group_name(source, &set);
            set.iter().for_each(|image| groups[*image as usize] = name);
        }
        images::text(
            &prefix,
            numbered.into_iter().map(|(path, image)| {
                let at = image as usize;
                // A group of one image is one all the same: others of it may come.
                let group = if groups[at].is_empty() { source.groups.name(image) } else { Some(groups[at]) };
                (path, source.sizes[at], group.unwrap_or(""), hashes[at])
            }),
        )
    }
}

/// What a set is called: the first name that one of its images has, or else its first image.
fn group_name<'a>(source: &'a Source, set: &[u32]) -> &'a str {
    set.iter().find_map(|image| source.groups.name(*image)).unwrap_or_else(|| source.image(set[0]))
}

fn prefix(images: &str) -> String {
    if images == "." { String::new() } else { format!("{images}/") }
}

impl Source {
    /// Divides the images; writes nothing. The result is a function of the names, of what must stay
    /// together, of how to split and of `seed`.
    ///
    /// # Errors
    /// How to split makes no sense, a class is too small for folds, or a split would be empty.
    pub fn plan(mut self, division: &Division, seed: u64) -> Result<Plan, SplitError> {
        if let Some(multi) = &self.multi {
            let groups = self.groups.sets();
            let images = iterative::Images {
                sets: &multi.sets,
                num_classes: multi.classes.len(),
                groups: &groups,
                seed,
            };
            let parts = iterative::assign(&images, &division.shares()?);
            return self.finish(division.method(), seed, &[parts], &groups);
        }
        let lengths = self.lengths();
        let alone = divide(&lengths, division, seed)?;
        let sets = self.groups.sets();
        if sets.is_empty() {
            return self.finish(division.method(), seed, &alone, &sets);
        }
        let (parts, folds) = match *division {
            Division::Ratio(_) => (3, 0),
            Division::Folds { folds, .. } => (folds as usize + 1, folds as usize),
        };
        let count = |parts_of: &Vec<u16>| {
            let mut counts = vec![0; parts];
            parts_of.iter().for_each(|part| counts[*part as usize] += 1);
            counts
        };
        let targets: Vec<Vec<u32>> = alone.iter().map(count).collect();
        let task = stratify::Task { sizes: &lengths, targets: &targets, groups: &sets, folds, seed };
        let parts = stratify::assign(&task);
        self.finish(division.method(), seed, &parts, &sets)
    }

    /// Takes the splits that the CSV gives. `accept_leaks`: a group, or images with the same
    /// content, may be in two of them; a warning says so.
    ///
    /// # Errors
    /// There is no column `split`, a split is empty, or images that belong together are separated.
    pub fn plan_given(mut self, accept_leaks: bool) -> Result<Plan, SplitError> {
        let splits = self.csv.as_mut().and_then(|csv| csv.splits.take());
        let splits = splits.ok_or_else(|| SplitError::NoSplitColumn { path: self.image_dir() })?;
        let parts: Vec<Vec<u16>> = self
            .offsets
            .iter()
            .zip(self.lengths())
            .map(|(first, length)| splits[*first..first + length].iter().map(|split| *split as u16).collect())
            .collect();
        let sets = self.groups.sets();
        let leaks = |set: &&Vec<u32>| set.iter().any(|i| splits[*i as usize] != splits[set[0] as usize]);
        let leaking: Vec<&Vec<u32>> = sets.iter().filter(leaks).collect();
        if let Some(set) = leaking.first() {
            let other = set.iter().find(|i| splits[**i as usize] != splits[set[0] as usize]);
            let leak = GivenLeak {
                path: self.image_dir(),
                count: leaking.len(),
                group: other
                    .and_then(|i| self.groups.name(*i).filter(|name| self.groups.name(set[0]) == Some(*name)))
                    .map(str::to_owned),
                first: (self.image(set[0]).to_owned(), splits[set[0] as usize].name()),
                second: other
                    .map(|i| (self.image(*i).to_owned(), splits[*i as usize].name()))
                    .unwrap_or_default(),
            };
            if !accept_leaks {
                return Err(SplitError::GivenLeak(Box::new(leak)));
            }
            self.warnings.push(leak.to_string());
        }
        let test = splits.contains(&super::Split::Test);
        self.finish(Method::Given { test }, 0, &parts, &sets)
    }

    fn lengths(&self) -> Vec<usize> {
        self.scan.classes.iter().map(|class| class.images.len()).collect()
    }

    /// Index files and manifest for images that are in these parts.
    fn finish(
        self,
        method: Method,
        seed: u64,
        parts: &[Vec<u16>],
        sets: &[Vec<u32>],
    ) -> Result<Plan, SplitError> {
        let total = self.len();
        let mut files = Vec::new();
        let mut splits = Vec::new();
        for (name, members) in members(&method) {
            let chosen = |class: usize, image: usize| members(parts[class][image]);
            let (text, entry) = self.split(&name, chosen);
            if entry.total == 0 {
                return Err(self.empty_split(&method, name, sets));
            }
            files.push((name, text));
            splits.push(entry);
        }
        self.check_trained(&splits, sets)?;
        let by = self.grouping.as_ref().map(|grouping| grouping.name().to_owned());
        let groups = (by.is_some() || !sets.is_empty()).then(|| GroupsEntry {
            by,
            count: sets.len(),
            largest: sets.iter().map(Vec::len).max().unwrap_or(1),
        });
        let mut manifest = Manifest {
            format_version: 0,
            created_by: concat!("ml-split ", env!("CARGO_PKG_VERSION")).to_owned(),
            layout: Layout::Index,
            seed,
            method,
            task: self.task(),
            root: None,
            images: self.images.to_owned(),
            labels: self.csv.as_ref().map(|csv| CsvLabels {
                csv: csv.path.display().to_string(),
                sha256: csv.sha256.clone(),
                options: Some(csv.options.clone()).filter(|options| *options != CsvOptions::default()),
            }),
            duplicates: self.duplicates,
            groups,
            excluded: self.excluded.clone(),
            classes: self.classes().map(str::to_owned).collect(),
            total,
            splits,
        };
        manifest.format_version = version_for(&manifest);
        let mut warnings = self.warnings.clone();
        warnings.extend(self.further_warnings(&manifest));
        Ok(Plan { source: self, manifest, files, warnings })
    }

    fn empty_split(&self, method: &Method, split: String, sets: &[Vec<u32>]) -> SplitError {
        let total = self.len();
        if matches!(method, Method::Given { .. }) {
            return SplitError::NoGivenImages { path: self.image_dir(), split };
        }
        match sets.iter().max_by_key(|set| set.len()) {
            None => SplitError::EmptySplit { total, split },
            Some(set) => SplitError::GroupTooLarge {
                problem: format!("the {split} split would be empty"),
                group: group_name(self, set).to_owned(),
                images: set.len(),
                of: format!("{total} images"),
            },
        }
    }

    /// Every class must be in everything that is trained on.
    fn check_trained(&self, splits: &[SplitEntry], sets: &[Vec<u32>]) -> Result<(), SplitError> {
        for (number, (class, size)) in self.class_sizes().into_iter().enumerate() {
            let has = |entry: &SplitEntry| entry.counts.get(class).is_some_and(|count| *count > 0);
            let lacking = splits.iter().find(|entry| entry.name.ends_with("train") && !has(entry));
            let Some(lacking) = lacking else { continue };
            let within = |set: &Vec<u32>| set.iter().filter(|image| self.has_label(**image, number)).count();
            let largest = sets.iter().map(|set| (within(set), set)).max_by_key(|(count, _)| *count);
            return Err(match largest.filter(|(count, _)| *count > 1) {
                Some((images, set)) => SplitError::GroupTooLarge {
                    problem: format!("class `{class}` would have no images in {}", lacking.name),
                    group: group_name(self, set).to_owned(),
                    images,
                    of: format!("the class's {size}"),
                },
                None => SplitError::TooFew { class: class.to_owned(), images: size },
            });
        }
        Ok(())
    }

    /// Name and number of images of each class.
    fn class_sizes(&self) -> Vec<(&str, usize)> {
        let sizes = match &self.multi {
            Some(multi) => multi.sets.counts(multi.classes.len()),
            None => self.lengths(),
        };
        self.classes().zip(sizes).collect()
    }

    fn has_label(&self, image: u32, class: usize) -> bool {
        match &self.multi {
            Some(multi) => multi.sets.of(image as usize).contains(&(class as u32)),
            None => self.class_of(image) == class,
        }
    }

    /// Lines and counts of the images that are `chosen`.
    fn split(&self, name: &str, chosen: impl Fn(usize, usize) -> bool) -> (String, SplitEntry) {
        let prefix = prefix(self.images);
        let names: Vec<&str> = self.classes().collect();
        let mut counts = vec![0; names.len()];
        let mut lines: Vec<(&str, u64, u32, u32)> = Vec::new();
        for (class, folder) in self.scan.classes.iter().enumerate() {
            let first = self.offsets[class];
            let images = folder.images.iter().enumerate().filter(|(i, _)| chosen(class, *i));
            lines.extend(
                images.map(|(i, path)| {
                    (path.as_str(), self.sizes[first + i], class as u32, (first + i) as u32)
                }),
            );
        }
        // `a-b/…` sorts before `a/…`, so the order of lines is not that of classes.
        lines.sort_unstable();
        let mut text = String::new();
        let mut hash = Sha256::new();
        for (path, bytes, class, image) in &lines {
            text.extend([prefix.as_str(), path]);
            let labels = match &self.multi {
                Some(multi) => multi.sets.of(*image as usize),
                None => std::slice::from_ref(class),
            };
            for label in labels {
                counts[*label as usize] += 1;
                if self.csv.is_some() || self.multi.is_some() {
                    text.extend(["\t", names[*label as usize]]);
                }
            }
            text.push('\n');
            hash.update(format!("{bytes} {prefix}{path}\n"));
        }
        let entry = SplitEntry {
            name: name.to_owned(),
            total: lines.len(),
            index_sha256: Some(hex::encode(Sha256::digest(&text))),
            pictures_sha256: Some(hex::encode(hash.finalize())),
            counts: names.iter().map(|name| (*name).to_owned()).zip(counts).collect(),
        };
        (text, entry)
    }

    fn further_warnings(&self, manifest: &Manifest) -> Vec<String> {
        let mut warnings = Vec::new();
        let classes = self.class_sizes();
        if let ([(only, _)], None) = (&classes[..], &self.csv) {
            warnings.push(format!(
                "there is only one class, `{only}`: is {} the folder that holds the class folders?",
                self.image_dir().display()
            ));
        }
        if self.scan.loose > 0 {
            warnings.push(format!(
                "{} images lie right in {}, in no class folder, and are left out",
                self.scan.loose,
                self.image_dir().display()
            ));
        }
        let count = self.sizes.iter().filter(|bytes| **bytes == 0).count();
        if let Some(first) = self.sizes.iter().position(|bytes| *bytes == 0) {
            let path = self.image_path(first as u32);
            warnings
                .push(format!("{count} image(s) have 0 bytes and cannot be read, first {}", path.display()));
        }
        for (class, size) in classes {
            let lacks = |entry: &&SplitEntry| entry.counts[class] == 0;
            let missing: Vec<_> =
                manifest.splits.iter().filter(lacks).map(|entry| entry.name.as_str()).collect();
            if !missing.is_empty() {
                let grouped = manifest.groups.as_ref().is_some_and(|groups| groups.count > 0);
                warnings.push(format!(
                    "class `{class}` has {size} image(s){}, too few for every split: none in {}",
                    if grouped { ", some of which stay together" } else { "" },
                    missing.join(", ")
                ));
            }
        }
        warnings
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
        Method::Given { test } => {
            let all = [("train", TRAIN), ("val", VAL), ("test", TEST)];
            let used = if test { &all[..] } else { &all[..2] };
            used.iter().map(|(name, part)| ((*name).to_owned(), exactly(*part))).collect()
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

#[cfg(test)]
mod tests;
