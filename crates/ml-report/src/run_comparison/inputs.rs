//! Run folders → what a comparison takes of them ([`Input`]), and the split that is compared.

use std::path::{Path, PathBuf};

use ml_core::run::{Run, RunGroup, Summary};
use ml_data::dataset::{Task, shell_quoted};
use ml_data::files::real;

use super::error::{ComparisonError, evaluate};
use super::rows::{self, Row};
use crate::html::{Curves, Part, Setting};
use crate::run_group::OUT_OF_FOLD;
use crate::run_report::{EvaluationFile, SPLITS, curves, label_report_path, listed, settings};

/// Splits that are compared unless another is given: those that a training does not fit to.
const DEFAULT_SPLITS: [&str; 2] = ["test", "val"];

/// A run of a comparison, with its evaluation.
pub(super) struct Input<E = EvaluationFile> {
    /// Its folder's name; its path where another run's folder has the same name.
    pub name: String,
    /// The last part of its data folder.
    pub data_set: String,
    /// The whole configuration.
    pub settings: Vec<Setting>,
    /// By epoch.
    pub curves: Part<Curves>,
    /// Of the split that is compared.
    pub evaluation: E,
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
    let folders: Vec<&Path> = runs.iter().map(Run::folder).collect();
    check(&folders)?;
    let split = self::split(runs, split)?;
    runs.iter().zip(names(&folders)).map(|(run, name)| input(run, name, split)).collect()
}

/// Whether the images of a run have several labels, as far as can be known.
pub(super) fn has_labels(run: &Run) -> bool {
    let is_evaluated = |split: &&str| label_report_path(&run.report_dir(), split).is_file();
    SPLITS.iter().any(is_evaluated) || settings(run).is_ok_and(|config| config.data.task == Task::MultiLabel)
}

/// The split that was asked for, or the first that all runs have.
///
/// # Errors
/// A run lacks it, or there is none.
pub(super) fn split(runs: &[Run], name: Option<&str>) -> Result<&'static str, ComparisonError> {
    match name {
        Some(name) => asked(runs, name),
        None => best_split(runs),
    }
}

/// Folders of runs over folds, and what each image's network that was not trained with it predicted.
///
/// # Errors
/// There are fewer than two, or one twice; or what is needed of one is missing or damaged.
pub(super) fn read_folds(groups: &[RunGroup]) -> Result<Vec<Input>, ComparisonError> {
    let folders: Vec<&Path> = groups.iter().map(RunGroup::folder).collect();
    check(&folders)?;
    groups.iter().zip(names(&folders)).map(|(group, name)| input_of_folds(group, name)).collect()
}

pub(super) fn check(folders: &[&Path]) -> Result<(), ComparisonError> {
    if folders.len() < 2 {
        return Err(ComparisonError::TooFew(folders.len()));
    }
    refuse_twice(folders)
}

fn refuse_twice(folders: &[&Path]) -> Result<(), ComparisonError> {
    let mut seen: Vec<(PathBuf, &Path)> = Vec::new();
    for &folder in folders {
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
    let report = report_path(run, split).is_file() || label_report_path(&run.report_dir(), split).is_file();
    report && predictions_path(run, split).is_file()
}

fn report_path(run: &Run, split: &str) -> PathBuf {
    run.report_dir().join(format!("classification_report_{split}.json"))
}

fn predictions_path(run: &Run, split: &str) -> PathBuf {
    run.report_dir().join(format!("predictions_{split}.csv"))
}

/// Names that tell the runs apart.
pub(super) fn names(folders: &[&Path]) -> Vec<String> {
    let short: Vec<String> = folders.iter().map(|folder| last_part(folder)).collect();
    let is_unique = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    let whole = |folder: &Path| folder.to_string_lossy().into_owned();
    folders
        .iter()
        .zip(&short)
        .map(|(folder, name)| if is_unique(name) { name.clone() } else { whole(folder) })
        .collect()
}

pub(super) fn last_part(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn input(run: &Run, name: String, split: &str) -> Result<Input, ComparisonError> {
    let summary = run.read_summary()?;
    let settings = settings_of(run, &summary)?;
    let damaged = |reason| ComparisonError::Evaluation { reason, command: evaluate(run.folder(), split) };
    let evaluation = EvaluationFile::read(&report_path(run, split)).map_err(damaged)?;
    let rows = rows::read(&predictions_path(run, split), &evaluation).map_err(damaged)?;
    let curves = curves(run, summary.best_epoch);
    Ok(assembled(name, &summary, settings, curves, (evaluation, rows)))
}

fn input_of_folds(group: &RunGroup, name: String) -> Result<Input, ComparisonError> {
    let first = Run::open(&group.run_folders().into_iter().next().unwrap_or_default())?;
    if has_labels(&first) {
        return Err(ComparisonError::LabelFolds { folder: group.folder().to_owned() });
    }
    let summary = first.read_summary()?;
    let mut settings = settings_of(&first, &summary)?;
    settings.retain(|setting| setting.key != group.kind().key());
    let command = format!("ml-visualise report {}", shell_quoted(group.folder()));
    let damaged = |reason| ComparisonError::Evaluation { reason, command: command.clone() };
    let report = group.report_dir();
    let evaluation = report.join(format!("classification_report_{OUT_OF_FOLD}.json"));
    let evaluation = EvaluationFile::read(&evaluation).map_err(damaged)?;
    let rows = rows::read(&report.join(format!("predictions_{OUT_OF_FOLD}.csv")), &evaluation);
    let rows = rows.map_err(damaged)?;
    let curves = Part::Missing("Each fold has curves of its own.".to_owned());
    Ok(assembled(name, &summary, settings, curves, (evaluation, rows)))
}

/// The whole configuration of a run.
pub(super) fn settings_of(run: &Run, summary: &Summary) -> Result<Vec<Setting>, ComparisonError> {
    settings(run).and_then(|config| listed(&config)).map_err(|reason| ComparisonError::Settings {
        run: run.folder().to_owned(),
        reason,
        version: summary.version.clone(),
    })
}

fn assembled(
    name: String,
    summary: &Summary,
    settings: Vec<Setting>,
    curves: Part<Curves>,
    (evaluation, rows): (EvaluationFile, Vec<Row>),
) -> Input {
    let data_dir = Path::new(&summary.data_dir);
    // Earlier versions did not write it.
    let is_known = evaluation.root != Path::new("");
    Input {
        name,
        data_set: last_part(data_dir),
        settings,
        curves,
        root: if is_known { evaluation.root.clone() } else { data_dir.to_owned() },
        evaluation,
        rows,
    }
}
