//! Several run folders → a comparison of the runs on the same images: a page and a text.
//!
//! In: of each run `config.yaml`, `summary.yaml`, `metrics.csv`, and of one split the classification
//! report and the predictions; the image files, where paths alone do not say that images are the
//! same. Out: a [`Comparison`] with settings, metrics side by side, curves, and for pairs of runs
//! McNemar's test, the interval of the difference and images that only one gets right; or a
//! [`ComparisonError`] that says what to do. Nothing is written before all is computed.

mod classes;
mod content;
mod error;
mod inputs;
mod labels;
mod matching;
mod overlap;
mod pairs;
mod results;
mod rows;
mod text;

#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

use ml_core::run::{Run, RunGroup};
use ml_data::files::real;

use crate::html::{ComparedRun, Comparison, Part, SplitMetrics, render_comparison};
use crate::write::{make_folder, replace};
use inputs::Input;
use matching::Matched;

pub use error::ComparisonError;
pub use text::text;

/// What is compared.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `test`, `val`, `train` or `all`; by default the test split if all runs were evaluated on it,
    /// else the validation split.
    pub split: Option<String>,
    /// Whether runs that predicted different images are compared on those that all predicted.
    pub common: bool,
    /// The date that the page shows; empty for none.
    pub date: String,
}

/// Compares two or more runs.
///
/// # Errors
/// See [`ComparisonError`].
pub fn compare(runs: &[Run], options: &Options) -> Result<Comparison, ComparisonError> {
    let several = runs.iter().position(inputs::has_labels);
    let one = runs.iter().position(|run| !inputs::has_labels(run));
    match (several, one) {
        (Some(_), None) => labels::compare(runs, options),
        (Some(several), Some(one)) => Err(ComparisonError::Tasks {
            several: runs[several].folder().to_owned(),
            one: runs[one].folder().to_owned(),
        }),
        (None, _) => compared_inputs(inputs::read(runs, options.split.as_deref())?, options),
    }
}

/// Compares two or more folders of runs over folds by what each image's network that was not trained
/// with it predicted; the split of the options is not looked at.
///
/// # Errors
/// See [`ComparisonError`].
pub fn compare_folds(groups: &[RunGroup], options: &Options) -> Result<Comparison, ComparisonError> {
    let mut found = compared_inputs(inputs::read_folds(groups)?, options)?;
    found
        .notes
        .push("Each image was predicted by the run of its fold, which was not trained with it.".to_owned());
    Ok(found)
}

fn compared_inputs(mut inputs: Vec<Input>, options: &Options) -> Result<Comparison, ComparisonError> {
    let classes = classes::unify(&mut inputs)?;
    let matched = matching::match_images(&inputs, &classes, options.common)?;
    let metrics: Vec<SplitMetrics> =
        (0..inputs.len()).map(|run| metrics(&inputs, run, &matched, &classes)).collect();
    let (pairs, best) = pairs::tests(&inputs, &matched, &classes);
    let mut notes = matched.notes.clone();
    if !matched.is_complete {
        notes.push(
            "Metrics are computed on these images, and only those that predicted classes give.".to_owned(),
        );
    }
    notes.extend(notes_on_tests(pairs.len(), best.map(|best| inputs[best].name.as_str())));
    Ok(Comparison {
        data_set: data_sets(&inputs),
        runs: inputs.into_iter().zip(metrics).map(|(input, metrics)| compared(input, metrics)).collect(),
        pairs: Part::Present(pairs),
        by_map: false,
        notes,
        date: options.date.clone(),
        program: format!("ml-visualise {}", env!("CARGO_PKG_VERSION")),
    })
}

/// Writes the page of a comparison of `runs`, with links to those of their reports that are there.
///
/// # Errors
/// [`ComparisonError::Write`]; what was there before is untouched then.
pub fn write(comparison: Comparison, runs: &[Run], path: &Path) -> Result<(), ComparisonError> {
    write_linked(comparison, runs.iter().map(Run::report_dir), path)
}

/// The same of a comparison of folders of runs.
///
/// # Errors
/// As [`write()`].
pub fn write_folds(comparison: Comparison, groups: &[RunGroup], path: &Path) -> Result<(), ComparisonError> {
    write_linked(comparison, groups.iter().map(RunGroup::report_dir), path)
}

fn write_linked(
    mut comparison: Comparison,
    reports: impl Iterator<Item = PathBuf>,
    path: &Path,
) -> Result<(), ComparisonError> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    make_folder(folder)?;
    for (compared, report) in comparison.runs.iter_mut().zip(reports) {
        let report = report.join("report.html");
        compared.link = report.is_file().then(|| relative(folder, &report)).flatten();
    }
    Ok(replace(path, render_comparison(&comparison).as_bytes())?)
}

/// As in the report of the run, or where images are left out, computed on those that are compared.
fn metrics(inputs: &[Input], run: usize, matched: &Matched, classes: &[String]) -> SplitMetrics {
    let evaluation = &inputs[run].evaluation;
    if matched.is_complete {
        return evaluation.metrics();
    }
    let rows: Vec<_> = matched.of(inputs, run).collect();
    results::metrics(&evaluation.split, &rows, classes)
}

fn compared<E>(input: Input<E>, metrics: SplitMetrics) -> ComparedRun {
    let Input { name, settings, curves, .. } = input;
    ComparedRun { name, link: None, settings, metrics: Part::Present(metrics), curves }
}

/// What the tests do not say.
fn notes_on_tests(pairs: usize, best: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(best) = best {
        notes.push(format!(
            "With more than {} runs, each is tested only against the one of highest accuracy on these \
             images: {best}.",
            pairs::ALL_PAIRS_UP_TO
        ));
    }
    if pairs > 1 {
        notes.push(format!("Each p-value is of its pair alone, not corrected for {pairs} tests."));
    }
    notes.push(
        "The tests are about these trained networks on images like these; with another seed, a training \
         gives another network."
            .to_owned(),
    );
    notes
}

/// The names of the data sets, each once.
fn data_sets<E>(inputs: &[Input<E>]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for input in inputs {
        if !names.contains(&input.data_set.as_str()) {
            names.push(&input.data_set);
        }
    }
    names.join(", ")
}

/// `file` as seen from `folder`; none where it is not UTF-8.
fn relative(folder: &Path, file: &Path) -> Option<String> {
    let (folder, file) = (real(folder).ok()?, real(file).ok()?);
    let shared = folder.components().zip(file.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(file.components().skip(shared)).collect();
    path.to_str().map(str::to_owned)
}
