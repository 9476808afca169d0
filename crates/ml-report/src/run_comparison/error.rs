//! Why runs cannot be compared, and what to do about it.

use std::path::{Path, PathBuf};

use ml_core::run::RunError;
use ml_data::dataset::{ALL, shell_quoted};

use crate::write::ReportError;

/// Why there is no comparison. Names of classes and images are printable.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// Fewer than two runs.
    #[error("{0} run given; a comparison takes two or more: `ml-visualise compare runs/a runs/b`")]
    TooFew(usize),
    /// A run was given twice.
    #[error("{} and {} are the same run; give each run once", first.display(), second.display())]
    Twice {
        /// As it was given first.
        first: PathBuf,
        /// As it was given again.
        second: PathBuf,
    },
    /// A split that does not exist.
    #[error("`{0}` is no split; choose test, val, train or all")]
    UnknownSplit(String),
    /// A summary cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A configuration cannot be read.
    #[error(
        "{}: {reason} ml-train {version} made this run, and this is version {}; where the run is newer, use \
         its version",
        run.display(), env!("CARGO_PKG_VERSION")
    )]
    Settings {
        /// The run's folder.
        run: PathBuf,
        /// A sentence.
        reason: String,
        /// Of the program that made the run.
        version: String,
    },
    /// A run was not evaluated on the split.
    #[error(
        "{}: there are no predictions of the {split} split ({} and its classification report); train the run \
         to its end, or evaluate it: {}",
        run.display(), predictions_file(split), evaluate(run, split)
    )]
    NoPredictions {
        /// The run's folder.
        run: PathBuf,
        /// Name of the split.
        split: String,
    },
    /// No split was evaluated in all runs.
    #[error("no split was evaluated in every run: {found}; evaluate one in all, such as: {command}")]
    NoCommonSplit {
        /// The splits of each run.
        found: String,
        /// What evaluates the first run that lacks one.
        command: String,
    },
    /// Predictions or a classification report cannot be read, or contradict each other.
    #[error("{reason} Evaluate the run again: {command}")]
    Evaluation {
        /// A sentence with the file, and the line where there is one.
        reason: String,
        /// What writes both files again.
        command: String,
    },
    /// Images have one label in a run and several in another.
    #[error(
        "the images of {} have several labels (data.task: multi_label) and those of {} one; compare runs of one kind",
        several.display(), one.display()
    )]
    Tasks {
        /// A run of images with several labels.
        several: PathBuf,
        /// A run of images with one.
        one: PathBuf,
    },
    /// Folds of images with several labels.
    #[error(
        "{}: images have several labels (data.task: multi_label), and folds of such runs are not compared together; \
         compare single runs",
        folder.display()
    )]
    LabelFolds {
        /// The folder of the runs.
        folder: PathBuf,
    },
    /// Several labels cannot be told apart.
    #[error("the class `{class}` has in its name what separates labels (|); rename it")]
    Separator {
        /// Its name.
        class: String,
    },
    /// Runs with different classes.
    #[error("{first} and {second} have different classes: {differences}; compare runs with the same classes")]
    Classes {
        /// Name of a run.
        first: String,
        /// Name of another.
        second: String,
        /// Which classes only one has.
        differences: String,
    },
    /// Images have one class in a run and another in the next.
    #[error(
        "{count} of the images are labelled differently in {first} and {second}, such as {path}: {labels}; \
         evaluate both with the same labels, or leave these images out with --common"
    )]
    Labels {
        /// Name of a run.
        first: String,
        /// Name of another.
        second: String,
        /// Number of images.
        count: usize,
        /// One of them, as the first run has it.
        path: String,
        /// Its labels.
        labels: String,
    },
    /// The runs did not predict the same images.
    #[error(
        "the runs did not predict the same images: {numbers}; compare the common images only with --common"
    )]
    DifferentImages {
        /// Images of each run, and how many all have.
        numbers: String,
    },
    /// The page cannot be written.
    #[error(transparent)]
    Write(#[from] ReportError),
    /// No image was predicted by all runs.
    #[error("the runs have no image in common: {numbers}; evaluate them on the same images")]
    NothingCommon {
        /// Images of each run, and how many all have.
        numbers: String,
    },
}

impl ComparisonError {
    /// Whether what was requested is wrong, rather than a file.
    pub fn is_usage(&self) -> bool {
        match self {
            ComparisonError::Run(error) => error.is_usage(),
            ComparisonError::Settings { .. }
            | ComparisonError::Evaluation { .. }
            | ComparisonError::Write(_) => false,
            _ => true,
        }
    }
}

/// `report/predictions_<split>.csv`.
fn predictions_file(split: &str) -> String {
    format!("report/predictions_{split}.csv")
}

/// The command that evaluates a run on a split.
pub(super) fn evaluate(run: &Path, split: &str) -> String {
    let command = format!("ml-inference --checkpoint {}", shell_quoted(run));
    if split == ALL { command } else { format!("{command} --split {split}") }
}
