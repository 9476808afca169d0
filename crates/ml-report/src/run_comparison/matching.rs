//! Several runs → the images that are compared, and each run's row of them.
//!
//! Where all runs read one folder and list the same paths, a path is an image. Else images are the
//! same if their files are, by SHA-256. Files that can no longer be read are matched by path if all
//! runs read one folder or list the same paths, and left out otherwise.

use std::collections::HashSet;
use std::path::PathBuf;

use ml_data::files::real;
use ml_data::table::printable;

use super::content::{ContentHash, Contents};
use super::error::ComparisonError;
use super::inputs::Input;
use super::overlap::{Conflict, Identified, Identity, Overlap};
use super::rows::Row;

/// The images that are compared.
pub(super) struct Matched {
    /// A list for each run, all of one length and not empty: the row of each image.
    pub rows: Vec<Vec<usize>>,
    /// Whether these are all images of all runs.
    pub is_complete: bool,
    /// How they were matched and what is left out, sentences.
    pub notes: Vec<String>,
}

impl Matched {
    /// The rows of a run, in the order of the images; `inputs` are those that were matched.
    pub fn of<'a, E>(&'a self, inputs: &'a [Input<E>], run: usize) -> impl Iterator<Item = &'a Row> {
        self.rows[run].iter().map(move |&row| &inputs[run].rows[row])
    }
}

/// Matches the images of `inputs`, whose `classes` are numbered alike; with `common`, those that
/// not all runs have are left out.
///
/// # Errors
/// The images or their labels differ and `common` is not set, or no image is common.
pub(super) fn match_images<E>(
    inputs: &[Input<E>],
    classes: &[String],
    common: bool,
) -> Result<Matched, ComparisonError> {
    let by_path = Overlap::new(&inputs.iter().map(by_path).collect::<Vec<_>>());
    let is_one_folder = is_one_folder(inputs);
    if by_path.is_complete && !by_path.rows[0].is_empty() && is_one_folder {
        return Ok(Matched { rows: by_path.rows, is_complete: true, notes: Vec::new() });
    }
    let hashes = hashes(inputs);
    let unreadable = Unreadable::of(inputs, &hashes, is_one_folder);
    let identified = inputs.iter().zip(&hashes).map(|(input, hashes)| by_content(input, hashes, &unreadable));
    let by_content = Overlap::new(&identified.collect::<Vec<_>>());
    let numbers = numbers(inputs, &by_path, &by_content, &unreadable);
    if let Some(one) = by_content.conflicts.first().filter(|_| !common) {
        return Err(labels_differ(inputs, classes, one, by_content.conflicts.len()));
    }
    if by_content.rows[0].is_empty() {
        return Err(ComparisonError::NothingCommon { numbers });
    }
    if !by_content.is_complete && !common {
        return Err(ComparisonError::DifferentImages { numbers });
    }
    let mut notes = vec!["Images were matched by content (SHA-256 of their files).".to_owned()];
    notes.extend(unreadable.note());
    if !by_content.is_complete {
        notes.push(format!("Only common images are compared: {numbers}."));
    }
    if !by_content.conflicts.is_empty() {
        let count = images(by_content.conflicts.len());
        notes.push(format!("{count} left out because the labels differ between the runs."));
    }
    Ok(Matched { rows: by_content.rows, is_complete: by_content.is_complete, notes })
}

fn by_path<E>(input: &Input<E>) -> Identified<'_> {
    (&input.rows, input.rows.iter().map(|row| Some(Identity::Path(&row.path))).collect())
}

fn by_content<'a, E>(
    input: &'a Input<E>,
    hashes: &[Option<ContentHash>],
    unreadable: &Unreadable<'_>,
) -> Identified<'a> {
    let identity = |(row, hash): (&'a Row, &Option<ContentHash>)| {
        let is_by_path = unreadable.by_path.contains(row.path.as_str());
        if is_by_path { Some(Identity::Path(&row.path)) } else { hash.map(Identity::Content) }
    };
    (&input.rows, input.rows.iter().zip(hashes).map(identity).collect())
}

fn is_one_folder<E>(inputs: &[Input<E>]) -> bool {
    let mut roots = inputs.iter().map(|input| real(&input.root).ok());
    let first: Option<PathBuf> = roots.next().flatten();
    first.is_some() && roots.all(|root| root == first)
}

fn hashes<E>(inputs: &[Input<E>]) -> Vec<Vec<Option<ContentHash>>> {
    let mut contents = Contents::default();
    let mut of_run =
        |input: &Input<E>| input.rows.iter().map(|row| contents.get(input.root.join(&row.path))).collect();
    inputs.iter().map(&mut of_run).collect()
}

/// Files that cannot be read.
struct Unreadable<'a> {
    /// The number in each run, with the run's name; runs without any are left out.
    counts: Vec<(usize, &'a str)>,
    /// Paths of images that are matched by path: those that a run cannot read, where all runs read
    /// one folder or list the same paths.
    by_path: HashSet<&'a str>,
}

impl<'a> Unreadable<'a> {
    fn of<E>(
        inputs: &'a [Input<E>],
        hashes: &[Vec<Option<ContentHash>>],
        is_one_folder: bool,
    ) -> Unreadable<'a> {
        let paths: Vec<HashSet<&str>> =
            inputs.iter().map(|input| input.rows.iter().map(|row| row.path.as_str()).collect()).collect();
        let is_one_list = paths.iter().all(|list| list == &paths[0]);
        let (mut counts, mut lost) = (Vec::new(), HashSet::new());
        for (input, hashes) in inputs.iter().zip(hashes) {
            let of_run = input.rows.iter().zip(hashes).filter(|(_, hash)| hash.is_none());
            let of_run: Vec<&str> = of_run.map(|(row, _)| row.path.as_str()).collect();
            if !of_run.is_empty() {
                counts.push((of_run.len(), input.name.as_str()));
            }
            lost.extend(of_run);
        }
        Unreadable { counts, by_path: if is_one_folder || is_one_list { lost } else { HashSet::new() } }
    }

    /// What is said of them, a sentence.
    fn note(&self) -> Option<String> {
        let list = self.list()?;
        Some(if self.by_path.is_empty() {
            format!("Files that can no longer be read are left out: {list}.")
        } else {
            format!("Files that can no longer be read were matched by path: {list}.")
        })
    }

    fn list(&self) -> Option<String> {
        let counts = self.counts.iter().map(|(count, name)| format!("{count} of {}", printable(name)));
        (!self.counts.is_empty()).then(|| counts.collect::<Vec<_>>().join(", "))
    }
}

/// Images of each run, and how many are common.
fn numbers<E>(
    inputs: &[Input<E>],
    by_path: &Overlap,
    by_content: &Overlap,
    unreadable: &Unreadable<'_>,
) -> String {
    let of_runs = inputs.iter().map(|input| format!("{} has {}", printable(&input.name), input.rows.len()));
    let mut text = format!(
        "{}; {} are common by content, {} by path",
        of_runs.collect::<Vec<_>>().join(", "),
        by_content.rows[0].len(),
        by_path.rows[0].len()
    );
    if let Some(list) = unreadable.list() {
        text.push_str(&format!("; files that cannot be read: {list}"));
    }
    text
}

fn labels_differ<E>(
    inputs: &[Input<E>],
    classes: &[String],
    one: &Conflict,
    count: usize,
) -> ComparisonError {
    let (first, second) = (&inputs[0], &inputs[one.run]);
    let (ours, theirs) = (&first.rows[one.first], &second.rows[one.other]);
    let [ours_class, theirs_class] = [ours, theirs].map(|row| printable(&classes[row.label]));
    ComparisonError::Labels {
        first: first.name.clone(),
        second: second.name.clone(),
        count,
        path: printable(&ours.path),
        labels: format!("`{ours_class}` and `{theirs_class}`"),
    }
}

fn images(count: usize) -> String {
    if count == 1 { "1 image is".to_owned() } else { format!("{count} images are") }
}
