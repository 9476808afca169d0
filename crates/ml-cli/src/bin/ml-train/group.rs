//! `--fold all` and `--seeds`: a run for each fold or seed in folders below one, their report, and how
//! they are continued.

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use ml_cli::exit;
use ml_core::config::{Config, Override, Source};
use ml_core::dataset::{Dataset, DatasetError};
use ml_core::distributed::World;
use ml_core::run::{GroupKind, GroupSummary, INCIDENTAL, RunGroup, SpreadSummary};
use ml_data::dataset::shell_quoted;
use ml_report::run::RunReporter;
use ml_report::run_group;

use crate::args::Args;
use crate::preset::run_name;
use crate::resolve::usage;
use crate::train::{Ended, Process, Request, Terminal, interrupted};

/// Runs to train.
pub struct Group {
    kind: GroupKind,
    values: Vec<u64>,
    name: String,
    config: Config,
}

impl Group {
    /// What `--fold all` or `--seeds` asks for; none without them. `config` is that of the first run.
    ///
    /// # Errors
    /// The configuration is wrong, or the data folder is not split into folds.
    pub fn new(args: &Args, overrides: &[Override], config: &Config) -> anyhow::Result<Option<Group>> {
        let all_folds = args.shortcuts.all_folds();
        let (kind, named) = match (all_folds, args.seeds) {
            (false, None) => return Ok(None),
            (true, Some(_)) => {
                return Err(usage(anyhow::anyhow!(
                    "--seeds and --fold all: one of them; folds differ in their images as it is"
                )));
            }
            (true, None) => (GroupKind::Folds, ("data.fold", "all".to_owned())),
            (false, Some(count)) => (GroupKind::Seeds, ("seeds", count.to_string())),
        };
        if let Some(target) = &args.resume {
            return Err(usage(anyhow::anyhow!(
                "--fold all: begins new runs; the folder of several is continued by --resume {} alone",
                target.display()
            )));
        }
        let values = match args.seeds {
            None => (0..u64::from(num_folds(config)?)).collect(),
            Some(count) => (0..count.get()).map(|place| config.seed.wrapping_add(place)).collect(),
        };
        let mut overrides = overrides.to_vec();
        overrides.retain(|given| given.path != named.0);
        overrides.push(Override {
            path: named.0.to_owned(),
            value: named.1.into(),
            source: Source::Flag("--fold"),
            argument: None,
        });
        let name = args.run_name.clone().unwrap_or_else(|| run_name(args, &overrides));
        Ok(Some(Group { kind, values, name, config: config.clone() }))
    }

    /// Claims the folder and trains all runs.
    ///
    /// # Errors
    /// The folder cannot be claimed, or a run does not complete.
    pub fn run(self, args: &Args, terminal: &Terminal, process: Process<'_>) -> anyhow::Result<ExitCode> {
        let Group { kind, values, name, config } = self;
        let exactly = args.run_name.is_some();
        let group = RunGroup::claim(&args.runs_dir, &name, exactly, (kind, values), &config);
        let group = group.map_err(|error| if error.is_usage() { usage(error) } else { error.into() })?;
        train(&group, &[], args, terminal, process)
    }
}

/// Continues the group that `--resume` names; none if that is something else.
///
/// # Errors
/// Settings were given, or a run does not complete.
pub fn resume(
    args: &Args,
    overrides: &[Override],
    terminal: &Terminal,
    process: Process<'_>,
) -> anyhow::Result<Option<ExitCode>> {
    let Some(folder) = &args.resume else { return Ok(None) };
    let Some(group) = RunGroup::open(folder)? else { return Ok(None) };
    let is_setting = |given: &Override| !INCIDENTAL.contains(&given.path.as_str());
    let has_settings = args.config.is_some() || overrides.iter().any(is_setting) || args.run_name.is_some();
    if has_settings || args.rewind || args.allow_changes || args.dry_run || args.print_config {
        return Err(usage(anyhow::anyhow!(
            "--resume {0}: several runs are continued as they are; to change or look at one, give its folder, as in \
             --resume {0}/{1}",
            folder.display(),
            group.members().first().map(|member| member.name.clone()).unwrap_or_default()
        )));
    }
    train(&group, overrides, args, terminal, process).map(Some)
}

/// Into how many folds the data folder is split.
fn num_folds(config: &Config) -> anyhow::Result<u32> {
    let mut options = config.data.open_options(config.seed);
    options.fold = None;
    match Dataset::open(&config.data.data_dir, &options) {
        Err(DatasetError::FoldNeeded { folds, .. }) => Ok(folds),
        Err(error) => Err(usage(error)),
        Ok(_) => Err(usage(anyhow::anyhow!(
            "--fold all: {} is not split into folds; make them with `ml-split --folds K`",
            config.data.data_dir.display()
        ))),
    }
}

/// Trains what is left of the runs, and writes their report. `overrides` change where they train.
fn train(
    group: &RunGroup,
    overrides: &[Override],
    args: &Args,
    terminal: &Terminal,
    process: Process<'_>,
) -> anyhow::Result<ExitCode> {
    let members = group.members();
    for (place, member) in members.iter().enumerate() {
        let (name, count) = (&member.name, members.len());
        if member.summary.as_ref().is_some_and(|summary| summary.status.is_final()) {
            tracing::info!("{name} ({} of {count}): done", place + 1);
            continue;
        }
        tracing::info!("{name} ({} of {count})", place + 1);
        run_group::summarise(group)?;
        let reporter = match group.kind() {
            GroupKind::Folds => RunReporter::default().with_probabilities(),
            GroupKind::Seeds => RunReporter::default(),
        };
        let process = if place == 0 { process } else { Process { started: Instant::now(), ..process } };
        let world = Rc::new(World::alone());
        let request = Request::of_group(group, member, overrides)?;
        let ended = request.train(&world, args, terminal, process, reporter);
        run_group::summarise(group)?;
        if let Ended::Interrupted(_) = ended? {
            tracing::warn!(
                "interrupted; the state is saved. Resume with: ml-train --resume {}",
                shell_quoted(group.folder())
            );
            return Ok(interrupted(process.stop));
        }
    }
    let report = run_group::write(group)?;
    tracing::info!("report: {}", report.display());
    conclude(args, group.folder(), &run_group::summarise(group)?)
}

fn conclude(args: &Args, folder: &Path, summary: &GroupSummary) -> anyhow::Result<ExitCode> {
    for run in &summary.runs {
        let is_of_labels = run.best_val_map.is_some();
        let (what, val, test) = if is_of_labels {
            ("mAP", run.best_val_map, run.test_map)
        } else {
            ("accuracy", run.best_val_accuracy, run.test_accuracy)
        };
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        tracing::info!("{}: validation {what} {}, test {what} {}", run.name, figure(val), figure(test));
    }
    let spreads = match summary.val_map {
        Some(_) => [("validation mAP", summary.val_map), ("test mAP", summary.test_map)],
        None => [("validation accuracy", summary.val_accuracy), ("test accuracy", summary.test_accuracy)],
    };
    for (what, spread) in spreads {
        let Some(SpreadSummary { mean, sd, interval }) = spread else { continue };
        let sd = sd.map_or_else(String::new, |sd| format!(" ± {sd:.4}"));
        let interval = interval.map_or_else(String::new, |[low, high]| {
            format!(", 95 % interval of the mean {low:.4} to {high:.4}")
        });
        tracing::info!("mean {what} {mean:.4}{sd}{interval}");
    }
    tracing::info!("results: {}", folder.display());
    if args.json {
        let mut json = serde_json::to_value(summary)?;
        json["run"] = serde_json::Value::String(folder.display().to_string());
        return exit::print(&json.to_string());
    }
    exit::print(&folder.display().to_string())
}
