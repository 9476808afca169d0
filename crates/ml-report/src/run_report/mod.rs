//! A run folder → its `report/report.html`.
//!
//! In: `config.yaml`, `summary.yaml`, `metrics.csv`, the reports of evaluations, and the images that
//! they name, where these can still be read. Out: one file, see [`html`]. What a run lacks (a run
//! that was killed, copied, or made by an earlier version) is said in its place.

mod attention;
mod averages;
mod data;
mod evaluations;
mod findings;
mod images;
mod labels;
mod setup;
#[cfg(test)]
mod testing;
mod trust;

use std::path::{Path, PathBuf};

use ml_core::run::{Run, RunError, Status, Summary};
use ml_data::dataset::shell_quoted;

use crate::html::{self, Estimate, Header, Headline, MetricKind, Part, Report};
use crate::write::{ReportError, make_folder, replace};
pub(crate) use data::{Evaluation as EvaluationFile, PredictionRow, rows};
pub(crate) use evaluations::{Evaluations, SPLITS, predictions};
pub(crate) use findings::{findings, label_issues};
pub(crate) use images::Thumbnails;
pub(crate) use labels::{
    LabelEvaluation, LabelEvaluations, label_rows, mistakes, report_path as label_report_path,
};
pub use setup::curves;
pub(crate) use setup::{listed, settings};
pub(crate) use trust::{calibration, selective};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunReportError {
    /// There is no run, or its summary cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// None of the runs over folds or seeds has begun.
    #[error("{}: none of its runs has begun; continue with `ml-train --resume {}`", path.display(), shell_quoted(path))]
    NothingBegun {
        /// The folder of the runs.
        path: PathBuf,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Write(#[from] ReportError),
}

/// Writes the report of a run; where it is.
///
/// # Errors
/// There is no run, its summary cannot be read, or the file cannot be written.
pub fn write(run: &Run) -> Result<PathBuf, RunReportError> {
    let page = html::render(&report(run)?);
    make_folder(&run.report_dir())?;
    let path = run.report_dir().join("report.html");
    replace(&path, page.as_bytes())?;
    Ok(path)
}

/// What the report of a run shows.
///
/// # Errors
/// The summary is missing or cannot be read.
pub fn report(run: &Run) -> Result<Report, RunReportError> {
    let summary = run.read_summary()?;
    let evaluations = Evaluations::read(&run.report_dir());
    let main = evaluations.main();
    let labels = LabelEvaluations::read(&run.report_dir());
    let settings = setup::settings(run);
    let headline = main.map(headline).or_else(|| labels.main().and_then(label_headline));
    let classes = main.map(|evaluation| evaluation.classes.len());
    let classes = classes.or_else(|| labels.main().map(|evaluation| evaluation.classes.len()));
    let classes = classes.unwrap_or_default() as u64;
    let mut report = Report::new(header(run, &summary, headline, classes));
    report.setup = setup::setup(run, &summary, &settings, classes);
    report.curves = setup::curves(run, summary.best_epoch);
    if let Part::Present(curves) = &mut report.curves {
        curves.averages = averages::averages(run, &summary, &settings);
    }
    report.timing = setup::timing(&summary);
    report.environment = setup::environment(&summary, &settings);
    evaluations.fill(&mut report, &summary);
    labels.fill(&mut report, &summary);
    report.attention = attention::attention(run, &summary);
    Ok(report)
}

/// The accuracy.
fn headline(evaluation: &data::Evaluation) -> Headline {
    let kind = MetricKind::Accuracy;
    let plain = Estimate { value: evaluation.accuracy, interval: None };
    Headline {
        split: evaluation.split.clone(),
        kind,
        estimate: evaluation.metrics().get(kind).unwrap_or(plain),
        images: evaluation.num_samples,
    }
}

/// The mean average precision; none where no image has a label.
fn label_headline(evaluation: &LabelEvaluation) -> Option<Headline> {
    let kind = MetricKind::MeanAp;
    let estimate = evaluation.metrics().get(kind)?;
    Some(Headline { split: evaluation.split.clone(), kind, estimate, images: evaluation.num_samples })
}

fn header(run: &Run, summary: &Summary, headline: Option<Headline>, classes: u64) -> Header {
    let data_dir = Path::new(&summary.data_dir);
    let data_set = data_dir.file_name().unwrap_or(data_dir.as_os_str()).to_string_lossy().into_owned();
    let name = run.folder().file_name().unwrap_or(run.folder().as_os_str());
    Header {
        name: name.to_string_lossy().into_owned(),
        status: status(summary),
        network: summary.architecture.clone(),
        data_set,
        classes,
        headline,
        date: summary.updated.replace('T', " "),
        program: format!("ml-train {}", summary.version),
    }
}

pub(crate) fn status(summary: &Summary) -> html::Status {
    let epochs = match summary.epochs {
        1 => "1 epoch".to_owned(),
        count => format!("{count} epochs"),
    };
    match summary.status {
        Status::Completed => html::Status::Completed,
        Status::EarlyStopped => {
            html::Status::EarlyStopped(format!("{} no longer improved after {epochs}.", summary.monitor))
        }
        Status::Interrupted => {
            html::Status::Interrupted(format!("Stopped after {epochs}; ml-train --resume continues it."))
        }
        Status::Running => html::Status::Interrupted(format!(
            "The run was still going when this was written, or was killed; {epochs} are done."
        )),
        Status::Failed => html::Status::Failed(summary.error.clone().unwrap_or_default()),
    }
}

/// Why a figure is missing.
pub(crate) fn again() -> String {
    "An earlier version evaluated this run; ml-inference does it again.".to_owned()
}

/// A part, or why it is missing.
pub(crate) fn part<T>(found: Result<T, String>) -> Part<T> {
    match found {
        Ok(part) => Part::Present(part),
        Err(reason) => Part::Missing(reason),
    }
}
