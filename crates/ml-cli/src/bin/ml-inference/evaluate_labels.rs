//! Images with several labels each → the metrics of a model that gives them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ml_cli::interrupt::Interrupt;
use ml_core::dataset::Labelled;
use ml_core::device::num_threads;
use ml_core::inference::LoadedModel;
use ml_core::metrics::multilabel::ClassThresholds;
use ml_report::label_report::{LabelReport, LabelReportFiles};

use crate::args::Args;

/// Evaluates the model; what to print, and the files that were written into `reports`.
pub fn run(
    args: &Args,
    model: &LoadedModel,
    thresholds: &ClassThresholds,
    labelled: &Labelled,
    reports: Option<&Path>,
    interrupt: &Interrupt,
) -> anyhow::Result<(String, Vec<PathBuf>)> {
    let (index, batch_size) = (Arc::clone(&labelled.index), args.batch_size.get());
    let evaluation = model.evaluate_labels(index, batch_size, args.num_workers(), || interrupt.flow())?;
    let metrics = evaluation.metrics(thresholds, num_threads());
    let report = LabelReport {
        split: labelled.name,
        classes: model.classes(),
        index: &labelled.index,
        evaluation: &evaluation,
        thresholds,
        metrics: &metrics,
    };
    let text = if args.json { report.json().to_string() } else { report.text().trim_end().to_owned() };
    let written = reports.map(|folder| report.write(folder)).transpose()?;
    let files = written.map(|LabelReportFiles { text, json, predictions, probabilities, mistakes }| {
        [text, json, predictions].into_iter().chain(probabilities).chain([mistakes]).collect::<Vec<PathBuf>>()
    });
    Ok((text, files.unwrap_or_default()))
}
