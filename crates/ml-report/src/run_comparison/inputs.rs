//! Run folders → what a comparison takes of them ([`Input`]), and the split that is compared.

use std::path::{Path, PathBuf};

use ml_core::run::Run;
use ml_data::files::real;

use super::error::{ComparisonError, evaluate};
use super::rows::{self, Row};
use crate::html::{Curves, Part, Setting};
use crate::run_report::{EvaluationFile, SPLITS, curves, listed, settings};

/// Splits that are compared unless another is given: those that a training does not fit to.
const DEFAULT_SPLITS: [&str; 2] = ["test", "val"];

/// A run of a comparison.
pub(super) struct Input {
    /// Its folder's name; its path where another run's folder has the same name.
    pub name: String,
    /// The last part of its data folder.
    pub data_set: String,
    /// The whole configuration.
    pub settings: Vec<Setting>,
    /// By epoch.
    pub curves: Part<Curves>,
    /// Of the split that is compared.
    pub evaluation: EvaluationFile,
    /// The folder that the paths of `rows` are relative to.
    pub root: PathBuf,
    /// A row for each image.
    pub rows: Vec<Row>,
}

/// The runs, and what they predicted of `split`, or of the test split if all have it, else of the
/// validation split.
///
/// # Errors
/// There are fewer than two runs, or one twice; or what is needed of one is missing or damaged.
pub(super) fn read(runs: &[Run], split: Option<&str>) -> Result<Vec<Input>, ComparisonError> {
    if runs.len() < 2 {
        return Err(ComparisonError::TooFew(runs.len()));
    }
    refuse_twice(runs)?;
    let split = match split {
        Some(name) => asked(runs, name)?,
        None => best_split(runs)?,
    };
    runs.iter().zip(names(runs)).map(|(run, name)| input(run, name, split)).collect()
}

fn refuse_twice(runs: &[Run]) -> Result<(), ComparisonError> {
    let mut seen: Vec<(PathBuf, &Path)> = Vec::new();
    for folder in runs.iter().map(Run::folder) {
        let place = real(folder).unwrap_or_else(|_| folder.to_owned());
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == place) {
            return Err(ComparisonError::Twice { first: (*first).to_owned(), second: folder.to_owned() });
        }
        seen.push((place, folder));
    }
    Ok(())
}

fn asked(runs: &[Run], name: &str) -> Result<&'static str, ComparisonError> {
    let Some(split) = SPLITS.into_iter().find(|known| *known == name) else {
        return Err(ComparisonError::UnknownSplit(name.to_owned()));
    };
    match runs.iter().find(|run| !has(run, split)) {
        None => Ok(split),
        Some(run) => Err(no_predictions(run, split)),
    }
}

fn best_split(runs: &[Run]) -> Result<&'static str, ComparisonError> {
    let in_all = |split: &&str| runs.iter().all(|run| has(run, split));
    if let Some(split) = DEFAULT_SPLITS.into_iter().find(in_all) {
        return Ok(split);
    }
    let found = |run: &Run| SPLITS.into_iter().filter(|split| has(run, split)).collect::<Vec<_>>().join(", ");
    if let Some(run) = runs.iter().find(|run| found(run).is_empty()) {
        return Err(no_predictions(run, DEFAULT_SPLITS[0]));
    }
    let list = runs.iter().map(|run| format!("{} has {}", run.folder().display(), found(run)));
    let lacking = runs.iter().find(|run| !has(run, DEFAULT_SPLITS[1])).unwrap_or(&runs[0]);
    Err(ComparisonError::NoCommonSplit {
        found: list.collect::<Vec<_>>().join("; "),
        command: evaluate(lacking.folder(), DEFAULT_SPLITS[1]),
    })
}

fn no_predictions(run: &Run, split: &str) -> ComparisonError {
    ComparisonError::NoPredictions { run: run.folder().to_owned(), split: split.to_owned() }
}

fn has(run: &Run, split: &str) -> bool {
    report_path(run, split).is_file() && predictions_path(run, split).is_file()
}

fn report_path(run: &Run, split: &str) -> PathBuf {
    run.report_dir().join(format!("classification_report_{split}.json"))
}

fn predictions_path(run: &Run, split: &str) -> PathBuf {
    run.report_dir().join(format!("predictions_{split}.csv"))
}

/// Names that tell the runs apart.
fn names(runs: &[Run]) -> Vec<String> {
    let short: Vec<String> = runs.iter().map(|run| last_part(run.folder())).collect();
    let is_unique = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    let whole = |run: &Run| run.folder().to_string_lossy().into_owned();
    runs.iter()
        .zip(&short)
        .map(|(run, name)| if is_unique(name) { name.clone() } else { whole(run) })
        .collect()
}

fn last_part(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn input(run: &Run, name: String, split: &str) -> Result<Input, ComparisonError> {
    let summary = run.read_summary()?;
    let settings = settings(run).and_then(|config| listed(&config));
    let settings = settings.map_err(|reason| ComparisonError::Settings {
        run: run.folder().to_owned(),
        reason,
        version: summary.version.clone(),
    })?;
    let damaged = |reason| ComparisonError::Evaluation { reason, command: evaluate(run.folder(), split) };
    let evaluation = EvaluationFile::read(&report_path(run, split)).map_err(damaged)?;
    let rows = rows::read(&predictions_path(run, split), &evaluation).map_err(damaged)?;
    let data_dir = Path::new(&summary.data_dir);
    // Earlier versions did not write it.
    let is_known = evaluation.root != Path::new("");
    Ok(Input {
        name,
        data_set: last_part(data_dir),
        settings,
        curves: curves(run, summary.best_epoch),
        root: if is_known { evaluation.root.clone() } else { data_dir.to_owned() },
        evaluation,
        rows,
    })
}
