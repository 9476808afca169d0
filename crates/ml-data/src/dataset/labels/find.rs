//! Paths as a CSV has them → files that are there: with an ending that was left out, or in another
//! Unicode normalization; and what is near where there is none.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dataset::is_image;
use crate::dataset::suffix::SUFFIXES;
use crate::files;
use crate::text::shell_quoted;
use crate::unicode::nfc;

/// A file that a path of a CSV stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataset) struct Found {
    /// Relative to the root, as the file is called.
    pub path: String,
    pub bytes: u64,
    /// The ending that was added.
    pub suffix: Option<String>,
    /// Whether the CSV writes it in another Unicode normalization.
    pub renormalized: bool,
}

/// Looks files up below a root.
pub(in crate::dataset) struct Finder<'a> {
    root: &'a Path,
    /// With its dot.
    suffix: Option<String>,
    /// Folders that were listed.
    listed: Mutex<HashMap<String, Arc<Folder>>>,
}

/// Names in a folder.
#[derive(Default)]
struct Folder {
    names: Vec<String>,
    /// Their places, by their normalized form.
    by_name: HashMap<String, Vec<usize>>,
    /// Those of images, by the normalized form of what stands before their endings.
    by_stem: HashMap<String, Vec<usize>>,
}

impl Folder {
    fn of(names: Vec<String>) -> Folder {
        let mut folder = Folder::default();
        for (place, name) in names.iter().enumerate() {
            let form = nfc(name);
            if let Some((stem, _)) = form.rsplit_once('.').filter(|_| is_image(name.as_ref())) {
                folder.by_stem.entry(stem.to_owned()).or_default().push(place);
            }
            folder.by_name.entry(form.into_owned()).or_default().push(place);
        }
        Folder { names, ..folder }
    }

    fn listed<'a>(&'a self, places: Option<&'a Vec<usize>>) -> Vec<&'a str> {
        places.into_iter().flatten().map(|place| self.names[*place].as_str()).collect()
    }

    /// Names that are equal to `name` but for their normalization.
    fn same(&self, name: &str) -> Vec<&str> {
        self.listed(self.by_name.get(&*nfc(name)))
    }

    /// Images that are called `name` with an ending.
    fn completed(&self, name: &str) -> Vec<&str> {
        self.listed(self.by_stem.get(&*nfc(name)))
    }
}

impl<'a> Finder<'a> {
    /// For files below `root`; `suffix` is added to names, with or without its dot.
    pub(in crate::dataset) fn new(root: &'a Path, suffix: Option<&str>) -> Finder<'a> {
        let dotted =
            |suffix: &str| if suffix.starts_with('.') { suffix.to_owned() } else { format!(".{suffix}") };
        Finder { root, suffix: suffix.map(dotted), listed: Mutex::default() }
    }

    /// The file of this path.
    ///
    /// # Errors
    /// There is none: why, and what is near.
    pub(in crate::dataset) fn find(&self, path: &str) -> Result<Found, String> {
        let with_suffix = self.suffix.as_ref().map(|suffix| format!("{path}{suffix}"));
        let written = with_suffix.as_deref().unwrap_or(path);
        let as_it_is = self.look_up(written);
        let found = |path: String, bytes, suffix, renormalized| Found { path, bytes, suffix, renormalized };
        match as_it_is {
            Ok(Some(bytes)) => return Ok(found(written.to_owned(), bytes, self.suffix.clone(), false)),
            Ok(None) => {}
            // The ending may be in the CSV after all.
            Err(why) => return Err(why),
        }
        if with_suffix.is_some()
            && let Ok(Some(bytes)) = self.look_up(path)
        {
            return Ok(found(path.to_owned(), bytes, None, false));
        }
        let Some(folder) = self.folder_of(written) else {
            let folder = written.rsplit_once('/').map_or("", |(folder, _)| folder);
            return Err(format!("does not exist: there is no folder `{folder}` in {}", self.root.display()));
        };
        let name = written.rsplit_once('/').map_or(written, |(_, name)| name);
        let listed = self.list(&folder);
        if let [only] = listed.same(name)[..]
            && let Ok(Some(bytes)) = self.look_up(&join(&folder, only))
        {
            return Ok(found(join(&folder, only), bytes, self.suffix.clone(), true));
        }
        let completed = listed.completed(name);
        if let [only] = completed[..]
            && let Ok(Some(bytes)) = self.look_up(&join(&folder, only))
        {
            let (stem, suffix) = only.rsplit_once('.').unwrap_or((only, ""));
            return Ok(found(join(&folder, only), bytes, Some(format!(".{suffix}")), stem != name));
        }
        if completed.len() > 1 {
            return Err(format!("stands for {}; choose with --suffix", completed.join(" and ")));
        }
        let is_folder = self.root.join(written).is_dir();
        Err(if is_folder { "is not a file" } else { "does not exist" }.to_owned())
    }

    /// A file that `path`, which does not exist, may be meant to name.
    pub(in crate::dataset) fn near(&self, path: &str) -> Option<String> {
        let folder = self.folder_of(path)?;
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        if self.root.join(path).exists() {
            return None;
        }
        near(&self.list(&folder).names, name).map(|near| join(&folder, near))
    }

    /// Bytes of the file at `path`; none if there is nothing.
    fn look_up(&self, path: &str) -> Result<Option<u64>, String> {
        match fs::metadata(self.root.join(path)) {
            Ok(status) if status.is_file() => Ok(Some(status.len())),
            // A folder may be called as a file is without its ending.
            Ok(_) if is_image(path.as_ref()) => Err("is not a file".to_owned()),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(format!("cannot be looked at: {error}")),
        }
    }

    /// The folder of `path` as it is called; none if there is none.
    fn folder_of(&self, path: &str) -> Option<String> {
        let Some((folder, _)) = path.rsplit_once('/') else { return Some(String::new()) };
        if self.root.join(folder).is_dir() {
            return Some(folder.to_owned());
        }
        let mut real = String::new();
        for part in folder.split('/') {
            let listed = self.list(&real);
            let [only] = listed.same(part)[..] else { return None };
            real = join(&real, only);
        }
        self.root.join(&real).is_dir().then_some(real)
    }

    /// A folder's names; none if it cannot be listed.
    fn list(&self, folder: &str) -> Arc<Folder> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let names = listed.entry(folder.to_owned()).or_insert_with(|| {
            let entries = files::entries(&self.root.join(folder)).unwrap_or_default().into_iter();
            Arc::new(Folder::of(entries.filter_map(|entry| entry.name.into_string().ok()).collect()))
        });
        Arc::clone(names)
    }

    /// Where files of this path are, if not below the root: in a folder beside or below it.
    pub(in crate::dataset) fn other_root(&self, path: &str) -> Option<String> {
        let above = self.root.join("..");
        let roots = [(self.root.to_owned(), ""), (above, "../")].into_iter().flat_map(|(folder, prefix)| {
            let names = files::entries(&folder).unwrap_or_default().into_iter();
            names.map(move |entry| (folder.join(&entry.name), prefix, entry.name))
        });
        for (root, prefix, name) in roots {
            let mut candidates = vec![path.to_owned()];
            if !is_image(path.as_ref()) {
                candidates.extend(SUFFIXES.iter().map(|suffix| format!("{path}.{suffix}")));
            }
            if candidates.iter().any(|path| root.join(path).is_file()) {
                let given = Path::new(prefix).join(name);
                let beside_csv = if self.root == Path::new(".") { given } else { self.root.join(given) };
                return Some(shell_quoted(&beside_csv));
            }
        }
        None
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The name that is most like this one, if it is much like it.
fn near<'a>(names: &'a [String], name: &str) -> Option<&'a str> {
    let lower = nfc(name).to_lowercase();
    let stem = |name: &str| name.rsplit_once('.').map_or(name.to_owned(), |(stem, _)| stem.to_owned());
    if let Some(same) = names.iter().find(|other| nfc(other).to_lowercase() == lower) {
        return Some(same);
    }
    let is_other_ending =
        |other: &&String| is_image(other.as_str().as_ref()) && stem(&other.to_lowercase()) == stem(&lower);
    if let Some(same) = names.iter().find(is_other_ending) {
        return Some(same);
    }
    // Numbered names are all near each other.
    let distance = |other: &String| strsim::damerau_levenshtein(&stem(&other.to_lowercase()), &stem(&lower));
    let letters = |name: &str| name.chars().filter(|c| !c.is_ascii_digit()).count();
    if letters(&stem(&lower)) < 5 || names.len() > 10_000 {
        return None;
    }
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    let same_number = names.iter().filter(|other| digits(other) == digits(&lower));
    same_number
        .map(|other| (distance(other), other))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, other)| other.as_str())
}
