//! Lists of images that are left out of a split, or get another label: those that `ml-train` finds
//! likely wrong (`label_issues_<split>.csv`), or lists of one's own.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use super::scan::ClassFolder;
use super::source::Source;
use super::split_error::SplitError;

/// The column of paths.
const PATH: &str = "path";
/// The column of new labels; without one, `label` is.
const SUGGESTED: &str = "suggested";
const LABEL: &str = "label";

/// The images that the CSV `file` names in its column `path`; without such a header, each line is a
/// path.
///
/// # Errors
/// The file cannot be read, or is no CSV.
pub fn read_paths(file: &Path) -> Result<Vec<String>, SplitError> {
    let text = read(file)?;
    let has_header = text.lines().next().is_some_and(|line| column(line.split(','), PATH).is_some());
    if !has_header {
        return Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
    }
    Ok(columns(file, &text, &[PATH])?.into_iter().map(|[path, ..]| path).collect())
}

/// The images that the CSV `file` names in its column `path`, and the labels of its column
/// `suggested`, or `label` if there is no such column.
///
/// # Errors
/// The file cannot be read, is no CSV, or lacks the columns.
pub fn read_labels(file: &Path) -> Result<Vec<(String, String)>, SplitError> {
    let text = read(file)?;
    let header = text.lines().next().unwrap_or_default();
    let label = if column(header.split(','), SUGGESTED).is_some() { SUGGESTED } else { LABEL };
    Ok(columns(file, &text, &[PATH, label])?.into_iter().map(|[path, label]| (path, label)).collect())
}

fn read(file: &Path) -> Result<String, SplitError> {
    let list = |reason: String| SplitError::List { path: file.to_owned(), reason };
    let text = fs::read_to_string(file).map_err(|error| list(error.to_string()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Where a column stands.
fn column<'a>(mut header: impl Iterator<Item = &'a str>, name: &str) -> Option<usize> {
    header.position(|column| column.trim().trim_matches('"') == name)
}

/// The fields of one or two columns, row by row.
fn columns(file: &Path, text: &str, names: &[&str]) -> Result<Vec<[String; 2]>, SplitError> {
    let list = |reason: String| SplitError::List { path: file.to_owned(), reason };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| list(error.to_string()))?.clone();
    let place =
        |name: &&str| column(header.iter(), name).ok_or_else(|| list(format!("it has no column `{name}`")));
    let places = names.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| list(error.to_string()))?;
        let field = |number: usize| {
            places.get(number).and_then(|place| row.get(*place)).unwrap_or_default().trim().to_owned()
        };
        rows.push([field(0), field(1)]);
    }
    Ok(rows)
}

impl Source {
    /// Leaves out the images with these index lines; how many. Before anything is grouped.
    ///
    /// # Errors
    /// A path that is no image of this source, or no image is left.
    pub fn exclude(&mut self, paths: &[String]) -> Result<usize, SplitError> {
        let excluded = paths.iter().map(|path| Ok::<_, SplitError>((self.number(path)?, None)));
        let count = self.correct(&excluded.collect::<Result<_, _>>()?)?;
        self.excluded.extend(paths.iter().cloned());
        self.excluded.sort_unstable();
        self.excluded.dedup();
        Ok(count)
    }

    /// Gives the images with these index lines other labels; how many get another one. Before
    /// anything is grouped.
    ///
    /// # Errors
    /// A path that is no image of this source, a label that no image has, or images may have several
    /// labels.
    pub fn relabel(&mut self, labels: &[(String, String)]) -> Result<usize, SplitError> {
        if self.multi.is_some() {
            return Err(SplitError::RelabelMultiLabel);
        }
        let class_names: Vec<String> = self.classes().map(str::to_owned).collect();
        let mut corrected = HashMap::new();
        for (path, label) in labels {
            let class = class_names.iter().position(|name| name == label);
            let class =
                class.ok_or_else(|| SplitError::NoSuchClass { path: path.clone(), label: label.clone() })?;
            let image = self.number(path)?;
            if self.class_of(image) != class {
                corrected.insert(image, Some(class));
                self.relabelled.insert(path.clone(), label.clone());
            }
        }
        self.correct(&corrected)
    }

    /// Puts images into other classes, or none.
    fn correct(&mut self, corrected: &HashMap<u32, Option<usize>>) -> Result<usize, SplitError> {
        struct Image {
            size: u64,
            group: Option<String>,
            split: Option<super::Split>,
        }
        let mut by_class: Vec<BTreeMap<String, Image>> =
            self.scan.classes.iter().map(|_| BTreeMap::new()).collect();
        let csv = self.csv.as_ref();
        for image in 0..self.len() as u32 {
            let class = match corrected.get(&image) {
                None => self.class_of(image),
                Some(None) => continue,
                Some(Some(class)) => *class,
            };
            let place = image as usize;
            let of = Image {
                size: self.sizes[place],
                group: csv.and_then(|csv| Some(csv.groups.as_ref()?[place].clone())),
                split: csv.and_then(|csv| Some(csv.splits.as_ref()?[place])),
            };
            by_class[class].insert(self.image(image).to_owned(), of);
        }
        if let Some(multi) = &mut self.multi {
            // In one class, the images that are left keep their order.
            let is_left = |image: &usize| corrected.get(&(*image as u32)) != Some(&None);
            multi.sets = multi.sets.select((0..multi.sets.len()).filter(is_left));
        }
        let names = self.scan.classes.iter().map(|class| class.name.clone());
        let (mut classes, mut sizes, mut groups, mut splits) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (name, images) in names.zip(by_class) {
            if images.is_empty() {
                self.warnings.push(format!("no image of the class `{name}` is left"));
                continue;
            }
            let mut class = ClassFolder { name, images: Vec::new() };
            for (path, Image { size, group, split }) in images {
                class.images.push(path);
                sizes.push(size);
                groups.extend(group);
                splits.extend(split);
            }
            classes.push(class);
        }
        if classes.is_empty() {
            return Err(SplitError::NothingLeft);
        }
        let mut next = 0;
        self.offsets.clear();
        for class in &classes {
            self.offsets.push(next);
            next += class.images.len();
        }
        self.scan.classes = classes;
        self.sizes = sizes;
        if let Some(csv) = &mut self.csv {
            csv.groups = csv.groups.is_some().then_some(groups);
            csv.splits = csv.splits.is_some().then_some(splits);
        }
        Ok(corrected.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(place: &Path) -> Source {
        for path in ["raw/cat/1.png", "raw/cat/2.png", "raw/dog/1.png", "raw/dog/3.png"] {
            let path = place.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.to_string_lossy().as_bytes()).unwrap();
        }
        Source::open(&place.join("raw")).unwrap()
    }

    fn images(source: &Source) -> Vec<(String, String)> {
        let names: Vec<String> = source.classes().map(str::to_owned).collect();
        let all = 0..source.len() as u32;
        all.map(|image| (names[source.class_of(image)].clone(), source.image(image).to_owned())).collect()
    }

    #[test]
    fn listed_images_are_left_out_and_others_stay_what_they_are() {
        let place = tempfile::tempdir().unwrap();
        let mut found = source(place.path());
        let list = place.path().join("list.csv");
        fs::write(&list, "path,label,suggested,self_confidence\nraw/cat/2.png,cat,dog,0.01\n").unwrap();
        assert_eq!(found.exclude(&read_paths(&list).unwrap()).unwrap(), 1);
        let left = [("cat", "cat/1.png"), ("dog", "dog/1.png"), ("dog", "dog/3.png")];
        assert_eq!(images(&found), left.map(|(class, path)| (class.to_owned(), path.to_owned())));
        // A plain list, and a class that is gone.
        fs::write(&list, "raw/cat/1.png\n\n").unwrap();
        assert_eq!(found.exclude(&read_paths(&list).unwrap()).unwrap(), 1);
        assert_eq!(found.classes().collect::<Vec<_>>(), ["dog"]);
        let error = found.exclude(&["raw/cat/1.png".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("raw/cat/1.png"), "{error}");
        let all = ["raw/dog/1.png".to_owned(), "raw/dog/3.png".to_owned()];
        assert!(matches!(found.exclude(&all), Err(SplitError::NothingLeft)));
    }

    #[test]
    fn listed_images_get_the_suggested_label() {
        let place = tempfile::tempdir().unwrap();
        let mut found = source(place.path());
        let list = place.path().join("list.csv");
        fs::write(&list, "path,label,suggested\nraw/cat/2.png,cat,dog\nraw/dog/1.png,cat,dog\n").unwrap();
        assert_eq!(found.relabel(&read_labels(&list).unwrap()).unwrap(), 1, "one is a dog already");
        let now = [("cat", "cat/1.png"), ("dog", "cat/2.png"), ("dog", "dog/1.png"), ("dog", "dog/3.png")];
        assert_eq!(images(&found), now.map(|(class, path)| (class.to_owned(), path.to_owned())));
        fs::write(&list, "path,label\nraw/cat/2.png,bird\n").unwrap();
        let error = found.relabel(&read_labels(&list).unwrap()).unwrap_err().to_string();
        assert!(error.contains("bird"), "{error}");
        fs::write(&list, "file,class\nraw/cat/2.png,bird\n").unwrap();
        let error = read_labels(&list).unwrap_err().to_string();
        assert!(error.contains("list.csv") && error.contains("`path`"), "{error}");
    }
}
