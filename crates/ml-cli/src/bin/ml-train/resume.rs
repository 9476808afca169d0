//! `--resume`: which run to go on with, and whether what was changed lets it go on exactly.

use std::path::Path;

use anyhow::Context;
use ml_cli::exit;
use ml_core::checkpoint::Checkpoint;
use ml_core::config::{self, Override, Resolved, Source};
use ml_core::run::{Run, Status};

use crate::args::Args;

/// Keys that may change when a run goes on: they cannot change a step that is already determined.
const CHANGEABLE: [&str; 5] =
    ["data.data_dir", "data.num_workers", "data.cache", "training.device", "training.num_epochs"];

/// A run to go on with.
#[derive(Debug)]
pub struct Resumption {
    pub run: Run,
    pub checkpoint: Checkpoint,
    pub resolved: Resolved,
}

/// The run that `--resume` names, or `None` to start anew.
///
/// # Errors
/// There is no such run, it has nothing left to do, or a changed key would break exactness.
pub fn find(args: &Args, overrides: &[Override]) -> anyhow::Result<Option<Resumption>> {
    let Some(target) = &args.resume else { return Ok(None) };
    if args.run_name.is_some() {
        return exit::usage("--run_name: a resumed run keeps its folder; leave the flag out");
    }
    if target == Path::new("auto") {
        return newest(args, overrides);
    }
    if args.config.is_some() {
        return exit::usage(
            "--config: a resumed run goes on with its own configuration; change single keys with flags or --set",
        );
    }
    refuse_changes(overrides)?;
    let run = Run::open(target)?;
    let text = run.read_config()?;
    let resolved = config::resolve(Some((&text, Source::Run)), overrides).map_err(crate::usage)?;
    let file = if target.is_file() { target.clone() } else { run.last_path() };
    let checkpoint = Checkpoint::load(&file)?;
    let (done, wanted) = (checkpoint.epoch, resolved.config.training.num_epochs as u64);
    if done >= wanted {
        return exit::usage(format!(
            "{}: all {done} epochs of this run are done; to train longer give more, as in --num_epochs {}",
            run.folder().display(),
            done * 2
        ));
    }
    Ok(Some(Resumption { run, checkpoint, resolved }))
}

fn refuse_changes(overrides: &[Override]) -> anyhow::Result<()> {
    let refused: Vec<&str> =
        overrides.iter().map(|o| o.path.as_str()).filter(|path| !CHANGEABLE.contains(path)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    exit::usage(format!(
        "--resume: {} cannot change in a run that goes on exactly; start a new run instead (with --weights for its weights)",
        refused.join(", ")
    ))
}

/// `--resume auto`: the newest unfinished run of this very configuration.
fn newest(args: &Args, overrides: &[Override]) -> anyhow::Result<Option<Resumption>> {
    let resolved = crate::resolve(args, overrides)?;
    let mut found: Option<(std::time::SystemTime, Run)> = None;
    let entries = match std::fs::read_dir(&args.runs_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot read", args.runs_dir.display())),
    };
    for entry in entries {
        let folder = entry.with_context(|| format!("{}: cannot read", args.runs_dir.display()))?.path();
        let Ok(run) = Run::open(&folder) else { continue };
        let Ok(saved) = std::fs::metadata(run.last_path()).and_then(|file| file.modified()) else { continue };
        let unfinished = run.read_summary().is_ok_and(|summary| summary.status != Status::Completed);
        let same = run
            .read_config()
            .ok()
            .and_then(|text| config::resolve(Some((&text, Source::Run)), &[]).ok())
            .is_some_and(|other| crate::same_results(&other.config, &resolved.config));
        if unfinished && same && found.as_ref().is_none_or(|(newest, _)| saved > *newest) {
            found = Some((saved, run));
        }
    }
    let Some((_, run)) = found else {
        tracing::info!(
            "--resume auto: no unfinished run of this configuration in {}; starting anew",
            args.runs_dir.display()
        );
        return Ok(None);
    };
    let checkpoint = Checkpoint::load(&run.last_path())?;
    Ok(Some(Resumption { run, checkpoint, resolved }))
}
