//! `--resume`: what to go on with, and whether what was changed lets it go on exactly.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use ml_cli::exit;
use ml_core::checkpoint::{self, Checkpoint, CheckpointError};
use ml_core::config::{self, Config, Override, Resolved, Source, differences};
use ml_core::network::ScriptFile;
use ml_core::policy::{Action, EarlyStoppingConfig};
use ml_core::run::{INCIDENTAL, Run, RunLock, Status};
use ml_core::trainer::{Changes, ExternalCheckpoint};

use crate::args::Args;

/// Keys that, besides [`INCIDENTAL`] ones, may change when a run goes on: they cannot change a step
/// that is done.
const CHANGEABLE: [&str; 4] = ["data.data_dir", "data.on_error", "data.max_skipped", "training.num_epochs"];

/// Likewise, unless a run rolls back when it diverges: then they say where to.
const CADENCE: [&str; 4] = [
    "training.checkpoint.every_epochs",
    "training.checkpoint.every_steps",
    "training.checkpoint.every_minutes",
    "training.checkpoint.keep_top_k",
];

/// What a run begins with.
#[derive(Debug)]
pub struct Beginning {
    pub resolved: Resolved,
    /// The run to go on with, and its lock unless this is only a look; a new one is made otherwise.
    pub run: Option<(Run, Option<RunLock>)>,
    pub state: Option<State>,
    /// The run folder or the file that the state is from; a TorchScript file may lie beside it.
    pub place: Option<PathBuf>,
    /// The state is not the run's newest, or goes on with changes: it is to be saved before the
    /// first step.
    pub is_unsaved: bool,
    pub changes: Changes,
}

/// A training state to go on from.
#[derive(Debug)]
pub enum State {
    Own(Box<Checkpoint>),
    ExternalCheckpoint(ExternalCheckpoint, PathBuf),
}

/// What the command line asks for: a new run, or one to go on with.
///
/// # Errors
/// The configuration is wrong; or there is no such run, another process trains it, its state cannot
/// be read, it has nothing left to do, or a changed key would break exactness.
pub fn find(args: &Args, overrides: &[Override]) -> anyhow::Result<Beginning> {
    let changes = if args.allow_changes { Changes::Allowed } else { Changes::Refused };
    let new = |resolved, state| Beginning {
        resolved,
        run: None,
        is_unsaved: Option::is_some(&state),
        place: args.resume.clone().filter(|_| Option::is_some(&state)),
        state,
        changes,
    };
    let Some(target) = &args.resume else { return Ok(new(crate::resolve(args, overrides)?, None)) };
    if target == Path::new("auto") {
        let resolved = with_script_as_it_is(crate::resolve(args, overrides)?);
        let run = match &args.run_name {
            Some(name) => Run::named(&args.runs_dir, name)?,
            None => newest(args, &resolved)?,
        };
        return match run {
            Some(run) => go_on(args, run, |_| Ok(resolved), None, changes),
            None => Ok(new(resolved, None)),
        };
    }
    if !target.exists() {
        return exit::usage(format!("--resume {}: there is no such run or file", target.display()));
    }
    let wanted = |base: &str| match &args.config {
        Some(_) => crate::resolve(args, overrides),
        None => config::resolve(Some((base, Source::Run)), overrides).map_err(crate::usage),
    };
    match Run::open(target) {
        Ok(_) if args.run_name.is_some() => {
            exit::usage("--run_name: a resumed run keeps its folder; leave the flag out")
        }
        Ok(run) => {
            let is_last = target.is_dir() || (target.file_name() == run.last_path().file_name());
            go_on(args, run, wanted, (!is_last).then_some(target), changes)
        }
        Err(_) if target.is_file() => match loose_state(target)? {
            State::Own(checkpoint) => {
                let own = configuration_of(&checkpoint)?;
                let mut resolved = wanted(&checkpoint.config.to_string())?;
                resolved.keep_statistics(&own);
                resolved.keep_script(&own);
                refuse_changes(&own, &resolved.config, changes)?;
                Ok(new(resolved, Some(State::Own(checkpoint))))
            }
            external @ State::ExternalCheckpoint(..) => {
                Ok(new(crate::resolve(args, overrides)?, Some(external)))
            }
        },
        Err(error) => Err(error.into()),
    }
}

/// With the content of the TorchScript file written down, if it can be read: a run of another
/// program is another run.
fn with_script_as_it_is(mut resolved: Resolved) -> Resolved {
    let model = resolved.config.model.script().filter(|model| model.sha256.is_none());
    if let Some(file) = model.and_then(|model| ScriptFile::find(std::slice::from_ref(&model.path), None).ok())
    {
        resolved.config = resolved.config.with_script(&file);
    }
    resolved
}

/// A file that lies in no run folder: of this program or another.
fn loose_state(path: &Path) -> anyhow::Result<State> {
    let in_file = |error: CheckpointError| {
        let error = error.in_file(path);
        if error.is_usage() { crate::usage(error) } else { error.into() }
    };
    let value = checkpoint::read(path).map_err(in_file)?;
    if value.field().optional("format_version").is_ok_and(|version| version.is_some()) {
        return Ok(State::Own(Box::new(Checkpoint::from_value(&value).map_err(in_file)?)));
    }
    Ok(State::ExternalCheckpoint(ExternalCheckpoint::from_value(&value).map_err(in_file)?, path.to_owned()))
}

/// What a checkpoint was trained with.
fn configuration_of(checkpoint: &Checkpoint) -> anyhow::Result<Config> {
    let resolved = config::resolve(Some((&checkpoint.config.to_string(), Source::Run)), &[]);
    Ok(resolved.context("the checkpoint's configuration")?.config)
}

/// `run` in its own folder, from `file` or its newest state; from the start if it was killed before
/// the first.
fn go_on(
    args: &Args,
    run: Run,
    wanted: impl FnOnce(&str) -> anyhow::Result<Resolved>,
    file: Option<&PathBuf>,
    changes: Changes,
) -> anyhow::Result<Beginning> {
    // Who only looks changes nothing.
    let looks = args.dry_run || args.print_config;
    let lock = if looks { None } else { Some(RunLock::take(run.folder())?) };
    if lock.is_some() {
        run.remove_leftovers()?;
    }
    let text = run.read_config()?;
    let mut resolved = wanted(&text)?;
    let checkpoint = match file {
        Some(file) => Some(Checkpoint::load(file)?),
        None => run.newest_state(lock.is_some())?,
    };
    // The configuration in the folder may have been edited; the one in the checkpoint tells what
    // was trained.
    let own = match &checkpoint {
        Some(checkpoint) => configuration_of(checkpoint)?,
        None => config::resolve(Some((&text, Source::Run)), &[]).map_err(crate::usage)?.config,
    };
    resolved.keep_statistics(&own);
    resolved.keep_script(&own);
    refuse_changes(&own, &resolved.config, changes)?;
    if file.is_none() {
        refuse_finished(&run, &own, &resolved.config, checkpoint.as_ref())?;
    }
    let is_unsaved = file.is_some() || changes == Changes::Allowed;
    let state = checkpoint.map(|checkpoint| State::Own(Box::new(checkpoint)));
    let place = Some(run.folder().to_owned());
    Ok(Beginning { resolved, run: Some((run, lock)), state, place, is_unsaved, changes })
}

fn refuse_changes(own: &Config, wanted: &Config, changes: Changes) -> anyhow::Result<()> {
    let rolls_back = own.training.divergence.action == Action::Rollback;
    let mut changed = differences(own, wanted);
    changed.retain(|path| {
        let cadence = CADENCE.contains(&path.as_str()) && !rolls_back;
        let free = INCIDENTAL.contains(&path.as_str()) || CHANGEABLE.contains(&path.as_str());
        !free && !cadence && !path.starts_with("training.early_stopping")
    });
    if changed.is_empty() {
        return Ok(());
    }
    let changed = changed.join(", ");
    if changes == Changes::Allowed {
        tracing::warn!(
            "--allow_changes: {changed} changed; the result is neither that of the old configuration nor of the new one"
        );
        return Ok(());
    }
    exit::usage(format!(
        "--resume: {changed} cannot change in a run that goes on exactly; start a new run (with --weights for its \
         weights), or accept an inexact one with --allow_changes"
    ))
}

fn refuse_finished(
    run: &Run,
    own: &Config,
    wanted: &Config,
    checkpoint: Option<&Checkpoint>,
) -> anyhow::Result<()> {
    let Some(status) =
        run.read_summary().ok().map(|summary| summary.status).filter(|status| status.is_final())
    else {
        return Ok(());
    };
    let folder = run.folder().display();
    let done = checkpoint.map_or(0, |checkpoint| checkpoint.epoch);
    if status == Status::EarlyStopped && own.training.early_stopping == wanted.training.early_stopping {
        return exit::usage(format!(
            "{folder}: {}",
            nothing_left(done, own.training.early_stopping.as_ref())
        ));
    }
    if status == Status::Completed && done >= wanted.training.num_epochs as u64 {
        return exit::usage(format!("{folder}: {}", nothing_left(done, None)));
    }
    Ok(())
}

/// Why a run that has trained `done` epochs does not go on, and what would make it; `early` is what
/// has stopped it.
pub fn nothing_left(done: u64, early: Option<&EarlyStoppingConfig>) -> String {
    match early {
        Some(early) => format!(
            "the run has stopped early after epoch {done}; to go on give it more patience, as in \
             --set training.early_stopping.patience={}",
            early.patience.saturating_mul(2)
        ),
        None => format!(
            "all {done} epochs of the run are done; to train longer give more, as in --num_epochs {}",
            done.saturating_mul(2)
        ),
    }
}

/// `--resume auto`: the newest unfinished run of this very configuration.
fn newest(args: &Args, wanted: &Resolved) -> anyhow::Result<Option<Run>> {
    let mut found: Option<(SystemTime, Run)> = None;
    let cannot_read = || format!("{}: cannot read", args.runs_dir.display());
    let entries = match std::fs::read_dir(&args.runs_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(cannot_read),
    };
    for entry in entries {
        let Ok(run) = Run::open(&entry.with_context(cannot_read)?.path()) else { continue };
        let Ok(text) = run.read_config() else { continue };
        let Ok(own) = config::resolve(Some((&text, Source::Run)), &[]) else { continue };
        let mut wanted = wanted.clone();
        wanted.keep_statistics(&own.config);
        wanted.keep_script(&own.config);
        let same =
            differences(&own.config, &wanted.config).iter().all(|path| INCIDENTAL.contains(&path.as_str()));
        // Killed before its first summary, a run has none.
        let finished = run.read_summary().is_ok_and(|summary| summary.status.is_final());
        let time = [run.last_path(), run.config_path()]
            .iter()
            .find_map(|path| path.metadata().ok()?.modified().ok());
        let newer = found.as_ref().is_none_or(|(newest, _)| time > Some(*newest));
        if let (true, false, true, Some(time)) = (same, finished, newer, time) {
            found = Some((time, run));
        }
    }
    if found.is_none() {
        tracing::info!(
            "--resume auto: no unfinished run of this configuration in {}; starting anew",
            args.runs_dir.display()
        );
    }
    Ok(found.map(|(_, run)| run))
}
