//! Of each image, what the network says that did not train on it: the folds' validation splits
//! together → one evaluation.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ml_core::device::num_threads;
use ml_core::evaluation::{Analysis, Evaluation};
use ml_core::run::RunGroup;
use ml_data::dataset::{Index, Sample, Split};

use crate::classification::EvaluationReport;
use crate::html::{Findings, Part, SplitMetrics};
use crate::npy;
use crate::run_report::{
    EvaluationFile, PredictionRow, again, calibration, findings, label_issues, part, predictions, rows,
    selective,
};
use crate::write::ReportError;

/// What stands in the names of the files.
pub const OUT_OF_FOLD: &str = "out_of_fold";

/// All folds' validation images.
pub struct OutOfFold {
    classes: Vec<String>,
    index: Index,
    evaluation: Evaluation,
    analysis: Analysis,
    /// Of each image; none without groups.
    groups: Option<Vec<String>>,
}

/// The probabilities of each fold's validation images that its run has kept.
///
/// # Errors
/// A fold has no evaluation yet, or they do not go together; says so in a sentence.
pub fn evaluate(group: &RunGroup) -> Result<OutOfFold, String> {
    let mut classes: Vec<String> = Vec::new();
    let (mut root, mut samples) = (PathBuf::new(), Vec::new());
    let (mut probabilities, mut targets, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for folder in group.run_folders() {
        let report = folder.join("report");
        let evaluation = EvaluationFile::read(&report.join("classification_report_val.json"))?;
        let names: Vec<String> = evaluation.classes.iter().map(|class| class.class.clone()).collect();
        if classes.is_empty() {
            (classes, root) = (names, evaluation.root);
        } else if classes != names || root != evaluation.root {
            return Err(format!("{} is of other classes or images than the folds before.", folder.display()));
        }
        let numbers: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        let predicted: Vec<PredictionRow> = rows(&report.join("predictions_val.csv"))?;
        probabilities.extend(npy::read(&probabilities_file(&report), predicted.len(), classes.len())?);
        for row in predicted {
            let number = numbers.get(row.label.as_str());
            let class =
                *number.ok_or_else(|| format!("{}: no class is called {}.", report.display(), row.label))?;
            targets.push(class);
            groups.push(row.group);
            samples.push(Sample { path: Path::new(&row.path).into(), class: class as u32 });
        }
    }
    let evaluation = Evaluation::from_probabilities(&probabilities, classes.len(), &targets);
    let analysis = Analysis::new(&evaluation, &classes, num_threads());
    let index = Index { root, split: Split::Val, samples, label_sets: None };
    let groups = groups.iter().any(|group| !group.is_empty()).then_some(groups);
    Ok(OutOfFold { classes, index, evaluation, analysis, groups })
}

/// What the files that [`OutOfFold::write`] has written into `folder` show: metrics with intervals,
/// and what is said of images. The splits of the folds are in `data_dir`.
///
/// # Errors
/// They cannot be read; says so in a sentence.
pub fn shown(folder: &Path, data_dir: &Path) -> Result<(SplitMetrics, Findings), String> {
    let evaluation = EvaluationFile::read(&folder.join(format!("classification_report_{OUT_OF_FOLD}.json")))?;
    let predicted = predictions(folder, &evaluation);
    // Each fold has other training images.
    let mut found = findings(&evaluation, &predicted, |_, _| None);
    let note = "The probabilities of each image are those of its fold, at the temperature of that fold.";
    found.calibration = part(calibration(&evaluation, note.to_owned()).ok_or_else(again));
    let no_threshold = "Each fold has a threshold of its own: see the reports of the runs.";
    found.selective = part(selective(&evaluation, Err(no_threshold.to_owned())).ok_or_else(again));
    found.label_issues = part(label_issues(&[&evaluation], folder, data_dir));
    found.out_of_distribution = Part::Missing(
        "Each fold compares images with its own training images: see the reports of the runs.".to_owned(),
    );
    Ok((evaluation.metrics(), found))
}

/// Where a run over a fold keeps the probabilities `[N, K]` of its validation images.
fn probabilities_file(report_dir: &Path) -> PathBuf {
    report_dir.join("probabilities_val.npy")
}

impl OutOfFold {
    /// Writes the reports of an evaluation, and the probabilities `[N, K]`, however many.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        if self.report().write(folder)?.probabilities.is_none() {
            self.report().write_probabilities(folder)?;
        }
        Ok(())
    }

    fn report(&self) -> EvaluationReport<'_> {
        EvaluationReport {
            split: OUT_OF_FOLD,
            classes: &self.classes,
            index: &self.index,
            evaluation: &self.evaluation,
            analysis: &self.analysis,
            groups: self.groups.as_deref(),
        }
    }
}
