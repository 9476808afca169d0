//! Runs over folds or seeds → `summary.yaml`, `report/report.html` and, of folds, what each image's
//! network that did not train on it says of it.
//!
//! In: a [`RunGroup`] whose runs have ended, with the reports of their evaluations. Out: the files of
//! the group's `report/`.

mod out_of_fold;

pub use out_of_fold::OUT_OF_FOLD;

use std::path::{Path, PathBuf};

use ml_core::metrics::intervals::{DEFAULT_LEVEL, MeanEstimate};
use ml_core::run::{
    GroupKind, GroupMember, GroupSummary, MemberSummary, Run, RunGroup, SpreadSummary, Status,
};

use crate::html::{self, Findings, Fold, FoldKind, Folds, Interval, MetricKind, Part, SplitMetrics, Spread};
use crate::run_report::{Evaluations, LabelEvaluations, RunReportError, status};
use crate::write::{make_folder, replace};

/// What the runs of a group have come to, and writes it as the group's `summary.yaml`.
///
/// # Errors
/// It cannot be written.
pub fn summarise(group: &RunGroup) -> Result<GroupSummary, RunReportError> {
    let members = group.members();
    let ended: Vec<_> = members
        .iter()
        .filter_map(|member| member.summary.as_ref())
        .filter(|summary| summary.status.is_final())
        .collect();
    let spread = |figures: Vec<Option<f64>>| {
        let figures: Vec<f64> = figures.into_iter().flatten().collect();
        MeanEstimate::new(&figures, DEFAULT_LEVEL).map(|of| SpreadSummary {
            mean: of.mean,
            sd: of.sd,
            interval: of.interval.map(|of| [of.lower.max(0.0), of.upper.min(1.0)]),
        })
    };
    let of = |member: &GroupMember| {
        let summary = member.summary.as_ref();
        MemberSummary {
            name: member.name.clone(),
            status: summary.map(|summary| summary.status),
            best_val_accuracy: summary.and_then(|summary| summary.best_val_accuracy),
            test_accuracy: summary.and_then(|summary| summary.test_accuracy),
            best_val_map: summary.and_then(|summary| summary.best_val_map),
            test_map: summary.and_then(|summary| summary.test_map),
        }
    };
    let runs: Vec<MemberSummary> = members.iter().map(of).collect();
    let open = runs.iter().find(|run| !run.status.is_some_and(Status::is_final));
    let summary = GroupSummary {
        status: open.map_or(Status::Completed, |run| run.status.unwrap_or(Status::Interrupted)),
        kind: group.kind(),
        val_accuracy: spread(ended.iter().map(|summary| summary.best_val_accuracy).collect()),
        test_accuracy: spread(ended.iter().map(|summary| summary.test_accuracy).collect()),
        val_map: spread(ended.iter().map(|summary| summary.best_val_map).collect()),
        test_map: spread(ended.iter().map(|summary| summary.test_map).collect()),
        runs,
    };
    group.write_summary(&summary)?;
    Ok(summary)
}

/// Writes the report of a group, and of folds the evaluation of all images together; where the
/// report is.
///
/// # Errors
/// No run has begun, a summary cannot be read, or a file cannot be written.
pub fn write(group: &RunGroup) -> Result<PathBuf, RunReportError> {
    make_folder(&group.report_dir())?;
    let (mut folds, data_dir) = folds(group)?;
    if group.kind() == GroupKind::Folds {
        match out_of_fold(group, &data_dir)? {
            Ok((metrics, findings)) => {
                folds.out_of_fold = Part::Present(metrics);
                folds.findings = findings;
            }
            Err(reason) => folds.out_of_fold = Part::Missing(reason),
        }
    }
    let path = group.report_dir().join("report.html");
    replace(&path, html::render_folds(&folds).as_bytes())?;
    Ok(path)
}

/// Writes the evaluation of all images together, and gives what it shows, or why there is none.
fn out_of_fold(
    group: &RunGroup,
    data_dir: &Path,
) -> Result<Result<(SplitMetrics, Findings), String>, RunReportError> {
    let found = match out_of_fold::evaluate(group) {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    found.write(&group.report_dir())?;
    Ok(out_of_fold::shown(&group.report_dir(), data_dir))
}

/// What the page shows but for the images of all folds together, and the data folder.
fn folds(group: &RunGroup) -> Result<(Folds, PathBuf), RunReportError> {
    let mut rows = Vec::new();
    let mut any = None;
    for (member, folder) in group.members().into_iter().zip(group.run_folders()) {
        let name = member.name.replace('_', " ");
        let Some(summary) = member.summary else {
            let status = html::Status::Interrupted("It has not begun.".to_owned());
            let metrics = Part::Missing("It has not begun.".to_owned());
            rows.push(Fold { name, link: None, status, best_epoch: None, metrics });
            continue;
        };
        rows.push(Fold {
            name,
            link: Some(format!("../{}/report/report.html", member.name)),
            status: status(&summary),
            best_epoch: summary.best_epoch,
            metrics: metrics(group.kind(), &Run::open(&folder)?),
        });
        any = Some(summary);
    }
    let Some(summary) = any else {
        // There is a first run, which says what is wrong with it.
        let first = group.run_folders().into_iter().next().unwrap_or_default();
        return Err(Run::open(&first).map(drop).err().map_or_else(
            || RunReportError::NothingBegun { path: group.folder().to_owned() },
            RunReportError::from,
        ));
    };
    let data_dir = Path::new(&summary.data_dir);
    let file_name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let folds = Folds {
        name: file_name(group.folder()),
        kind: match group.kind() {
            GroupKind::Folds => FoldKind::CrossValidation,
            GroupKind::Seeds => FoldKind::Seeds,
        },
        network: summary.architecture.clone(),
        data_set: file_name(data_dir),
        spread: spread(&rows),
        folds: rows,
        out_of_fold: Part::Omitted,
        findings: Findings::default(),
        date: summary.updated.replace('T', " "),
        program: format!("ml-train {}", summary.version),
    };
    Ok((folds, data_dir.to_owned()))
}

/// Of the images that the run did not train with: of folds the ones held out, of seeds those of the
/// test split where there is one.
fn metrics(kind: GroupKind, run: &Run) -> Part<SplitMetrics> {
    let evaluations = Evaluations::read(&run.report_dir());
    let found = match kind {
        GroupKind::Folds => evaluations.of_split("val"),
        GroupKind::Seeds => evaluations.main(),
    };
    if let Some(found) = found {
        return Part::Present(found.metrics());
    }
    let labels = LabelEvaluations::read(&run.report_dir());
    let found = match kind {
        GroupKind::Folds => labels.of_split("val"),
        GroupKind::Seeds => labels.main(),
    };
    match found {
        Some(found) => Part::Present(found.metrics()),
        None => Part::Missing("Nothing was evaluated yet.".to_owned()),
    }
}

/// The mean of each metric that all runs have.
fn spread(rows: &[Fold]) -> Vec<Spread> {
    let known: Vec<&SplitMetrics> = rows
        .iter()
        .filter_map(|row| match &row.metrics {
            Part::Present(metrics) => Some(metrics),
            _ => None,
        })
        .collect();
    let Some(first) = known.first() else { return Vec::new() };
    let of = |kind| {
        let values: Option<Vec<f64>> =
            known.iter().map(|metrics| metrics.get(kind).map(|estimate| estimate.value)).collect();
        let found = MeanEstimate::new(&values?, DEFAULT_LEVEL)?;
        // Student's t does not know that no figure but the loss is more than 1.
        let most = if kind == MetricKind::Loss { f64::INFINITY } else { 1.0 };
        let interval = found.interval.map(|of| Interval { low: of.lower, high: of.upper.min(most) });
        Some(Spread { kind, mean: found.mean, sd: found.sd?, interval })
    };
    first.metrics.iter().filter_map(|metric| of(metric.kind)).collect()
}
