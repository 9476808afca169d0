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
use crate::output::{Output, quietly};

/// With more classes than that, the table on stdout shows the worst of them only.
const ALL_CLASSES_UP_TO: usize = 40;
const WORST: usize = 20;

/// Evaluates the model on a split.
pub fn run(args: &Args, model: &LoadedModel, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let Labelled { index, name, notes, left_out, groups, .. } = open_data(args, model)?;
    if args.console.quiet == 0 {
        notes.iter().for_each(tell);
        if !left_out.is_empty() {
            tell(format_args!("left out: {left_out}"));
        }
    }
    let reports = report_folder(args, model)?;
    let evaluated = model.evaluate(
        Arc::clone(&index),
        args.batch_size.get(),
        args.num_workers(),
        args.top_k.get(),
        |_| interrupt.flow(),
    );
    let evaluation = match (evaluated, interrupt.exit_code()) {
        (Err(InferenceError::Evaluation(EvaluationError::Interrupted)), Some(code)) => {
            tell("interrupted");
            return Ok(code);
        }
        (evaluated, _) => evaluated?,
    };
    let classes = model.classes();
    let analysis = &Analysis::new(&evaluation, classes, num_threads());
    let (index, evaluation, groups) = (&*index, &evaluation, groups.as_deref());
    let report = EvaluationReport { split: name, classes, index, evaluation, analysis, groups };
    let text = if args.json {
        report.json().to_string()
    } else {
        let worst = (model.classes().len() > ALL_CLASSES_UP_TO).then_some(WORST);
        report.text(worst).trim_end().to_owned()
    };
    // The reports first: stdout may be closed early.
    if let Some(folder) = &reports {
        let files = report.write(folder)?;
        if args.console.quiet == 0 {
            files.all().iter().for_each(|path| tell(format_args!("wrote {}", path.display())));
        }
        if args.output.is_none() {
            rewrite_page(args, model);
        }
    }
    let mut out = Output::open(None)?;
    quietly(out.line(&text).and_then(|()| out.finish()))
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
        .open_labelled(&data_dir, args.split(), args.fold, &args.csv.options())
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
