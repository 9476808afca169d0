//! A split of the run's data, or other images with labels → metrics on stdout and the reports in
//! the run folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use ml_cli::console::tell;
use ml_cli::exit::{UsageError, usage};
use ml_cli::interrupt::Interrupt;
use ml_core::dataset::{Labelled, Split};
use ml_core::device::num_threads;
use ml_core::evaluation::{Analysis, EvaluationError};
use ml_core::inference::{InferenceError, LoadedModel, run_folder};
use ml_core::run::{GroupKind, Run, RunGroup};
use ml_report::classification::EvaluationReport;
use ml_report::run_report::{self, RunReportError};

use crate::args::Args;
use crate::evaluate_labels;
use crate::output::{Output, quietly};

/// With more classes than that, the table on stdout shows the worst of them only.
const ALL_CLASSES_UP_TO: usize = 40;
const WORST: usize = 20;

/// Evaluates the model on a split.
pub fn run(args: &Args, model: &LoadedModel, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let labelled = open_data(args, model)?;
    if args.console.quiet == 0 {
        labelled.notes.iter().for_each(tell);
        if !labelled.left_out.is_empty() {
            tell(format_args!("left out: {}", labelled.left_out));
        }
    }
    let reports = report_folder(args, model)?;
    // The reports first: stdout may be closed early.
    let evaluated = match model.thresholds() {
        Some(thresholds) => {
            evaluate_labels::run(args, model, thresholds, &labelled, reports.as_deref(), interrupt)
        }
        None => of_classes(args, model, &labelled, reports.as_deref(), interrupt),
    };
    let (text, files) = match (evaluated, interrupt.exit_code()) {
        (Err(error), Some(code)) if is_interruption(&error) => {
            tell("interrupted");
            return Ok(code);
        }
        (evaluated, _) => evaluated?,
    };
    if reports.is_some() {
        if args.console.quiet == 0 {
            files.iter().for_each(|path| tell(format_args!("wrote {}", path.display())));
        }
        if args.output.is_none() {
            rewrite_page(args, model);
        }
    }
    let mut out = Output::open(None)?;
    quietly(out.line(&text).and_then(|()| out.finish()))
}

fn is_interruption(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<InferenceError>();
    matches!(error, Some(InferenceError::Evaluation(EvaluationError::Interrupted)))
}

/// Evaluates a model that gives an image one class; what to print, and the files that were written
/// into `reports`.
fn of_classes(
    args: &Args,
    model: &LoadedModel,
    labelled: &Labelled,
    reports: Option<&Path>,
    interrupt: &Interrupt,
) -> anyhow::Result<(String, Vec<PathBuf>)> {
    let Labelled { index, name, groups, .. } = labelled;
    let evaluation = &model.evaluate(
        Arc::clone(index),
        args.batch_size.get(),
        args.num_workers(),
        args.top_k.get(),
        |_| interrupt.flow(),
    )?;
    let classes = model.classes();
    let analysis = &Analysis::new(evaluation, classes, num_threads());
    let groups = groups.as_deref();
    let report = EvaluationReport { split: name, classes, index, evaluation, analysis, groups };
    let text = if args.json {
        report.json().to_string()
    } else {
        let worst = (classes.len() > ALL_CLASSES_UP_TO).then_some(WORST);
        report.text(worst).trim_end().to_owned()
    };
    let files = reports.map(|folder| report.write(folder)).transpose()?;
    let files = files.map(|files| files.all().into_iter().map(Path::to_owned).collect::<Vec<PathBuf>>());
    Ok((text, files.unwrap_or_default()))
}

/// Writes the page of the run again, which shows what was just evaluated. A run that has no summary
/// has none.
fn rewrite_page(args: &Args, model: &LoadedModel) {
    let Some(folder) = run_folder(model.path()) else { return };
    let page = Run::open(folder).map_err(RunReportError::from).and_then(|run| run_report::write(&run));
    match page {
        Ok(page) if args.console.quiet == 0 => tell(format_args!("wrote {}", page.display())),
        Ok(_) => {}
        Err(error) => tell(format_args!("warning: the page of the run was not written again: {error}")),
    }
}

pub fn open_data(args: &Args, model: &LoadedModel) -> anyhow::Result<Labelled> {
    if let Some(flag) = args.labels_flag().filter(|_| model.thresholds().is_none()) {
        return usage(format!("{flag} is for models with several labels an image, and this one gives one"));
    }
    let group = RunGroup::open(model.path())?.filter(|group| group.kind() == GroupKind::Folds);
    if let Some(group) =
        group.filter(|_| args.data_dir.is_none() && args.split().is_some_and(|split| split != Split::Test))
    {
        let report = group.report_dir().join("classification_report_out_of_fold.txt");
        return usage(format!(
            "each fold was trained with the others' validation images; what it says of its own is in {}; evaluate \
             all folds with --split test, or other images with --data_dir",
            report.display()
        ));
    }
    let data_dir = match (&args.data_dir, model.data_dir()) {
        (Some(given), _) => given.clone(),
        (None, Some(of_run)) if of_run.is_dir() => of_run,
        (None, Some(of_run)) => {
            return usage(format!(
                "the run's data folder {} is not here; say where it is with --data_dir, or name images to predict",
                of_run.display()
            ));
        }
        (None, None) => {
            return usage(
                "nothing says where labelled images lie; use --data_dir, or name images to predict",
            );
        }
    };
    model
        .open_labelled(&data_dir, args.split(), args.fold, &args.csv_options())
        .map_err(|error| if error.is_usage() { UsageError(error.into()).into() } else { error.into() })
}

/// Where the reports go, found writable; nowhere if they would not be those of the run.
fn report_folder(args: &Args, model: &LoadedModel) -> anyhow::Result<Option<PathBuf>> {
    let of_run = run_folder(model.path()).map(|folder| folder.join("report"));
    let is_best = model.path().file_name().is_some_and(|name| name == "best.pt");
    let folder = match (&args.output, of_run) {
        (Some(given), _) => given.clone(),
        (None, Some(folder)) if is_best && args.data_dir.is_none() && args.fold.is_none() => folder,
        (None, _) => {
            if args.console.quiet == 0 {
                tell(
                    "no reports are written: they would not be those of a run's best.pt on its own data; \
                     --output DIR writes them there",
                );
            }
            return Ok(None);
        }
    };
    probe(&folder).with_context(|| {
        format!("cannot write reports into {}; choose another folder with --output", folder.display())
    })?;
    Ok(Some(folder))
}

/// Fails now rather than after the evaluation, and leaves nothing that was not there.
fn probe(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() && !folder.is_dir() {
        bail!("it is not a folder");
    }
    let is_new = !folder.exists();
    fs::create_dir_all(folder)?;
    atomic_file::probe(folder)?;
    if is_new {
        fs::remove_dir(folder)?;
    }
    Ok(())
}
