//! What a run resumes from, and whether what was changed lets it resume exactly.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{ExistingRun, JobError, Resume, Start};
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::config::{self, Config, ConfigError, Resolved, Source, TrainingConfig, differences};
use crate::network::ScriptFile;
use crate::policy::{Action, EarlyStoppingConfig, TimeLimit};
use crate::run::{INCIDENTAL, Run, RunError, RunLock, Status};
use crate::trainer::{ExternalCheckpoint, ResumeMode, resolve_teacher};
use crate::weights::Origin;

/// Keys that, besides [`INCIDENTAL`] ones, may change when a run resumes: they cannot change a step
/// that is done.
const CHANGEABLE: [&str; 7] = [
    "data.data_dir",
    // Its content counts.
    "training.distillation.teacher",
    "data.on_error",
    "data.max_skipped",
    "training.num_epochs",
    "training.max_steps",
    "training.max_time",
];

/// Likewise, unless a run rolls back when it diverges: then they say where to.
const CADENCE: [&str; 4] = [
    "training.checkpoint.every_epochs",
    "training.checkpoint.every_steps",
    "training.checkpoint.every_minutes",
    "training.checkpoint.keep_top_k",
];

/// The configuration that the caller wants, laid over the stored text of a run; or, with none, over
/// nothing.
pub type Resolve<'a> = &'a dyn Fn(Option<&str>) -> Result<Resolved, ConfigError>;

/// What to resume from, and how.
#[derive(Clone, Copy, Debug)]
pub struct ResumeOptions<'a> {
    /// A run folder, a checkpoint, or `auto`: the newest unfinished run of the configuration.
    pub target: &'a Path,
    /// The folder of run folders.
    pub runs_dir: &'a Path,
    /// The name of the run folder that is wanted.
    pub run_name: Option<&'a str>,
    /// What may differ.
    pub mode: ResumeMode,
    /// Whether an older state is continued in its own run, which puts aside what it holds, rather
    /// than in a new one.
    pub rewind: bool,
    /// Whether this is only a look: no lock is taken, and nothing repaired.
    pub looks: bool,
}

/// What a run begins with, and as what.
#[derive(Debug)]
pub struct Resumed {
    /// The configuration.
    pub resolved: Resolved,
    /// What it begins with.
    pub start: Start,
    /// The run that is continued in its own folder; none begins a new one.
    pub existing: Option<ExistingRun>,
    /// The run whose older state a new run continues, which is named after it.
    pub parent: Option<Run>,
}

/// Finds what to resume from.
///
/// # Errors
/// There is no such run or file, another process trains the run, its state cannot be read, it has
/// nothing left to do, or a changed key would break exactness.
pub fn resume(options: ResumeOptions<'_>, resolve: Resolve<'_>) -> Result<Resumed, JobError> {
    let target = options.target;
    if target == Path::new("auto") {
        return auto(options, resolve);
    }
    if !target.exists() {
        return usage(format!("--resume {}: there is no such run or file", target.display()));
    }
    match Run::open(target) {
        Ok(run) => {
            let is_last = target.is_dir() || target.file_name() == run.last_path().file_name();
            if is_last { newest_state(options, run, resolve) } else { state_of(options, run, resolve) }
        }
        Err(_) if target.is_file() => loose(target, options.mode, resolve),
        Err(error) => Err(error.into()),
    }
}

/// Why a run that has trained `done` epochs, and `steps` steps, does not resume, and what would make
/// it; `early` is what has stopped it.
pub(super) fn nothing_left(
    done: u64,
    steps: u64,
    wanted: &TrainingConfig,
    early: Option<&EarlyStoppingConfig>,
) -> String {
    let longer = "to train longer give more, as in";
    if let Some(early) = early {
        return format!(
            "the run has stopped early after epoch {done}; to resume give it more patience, as in \
             --set training.early_stopping.patience={}",
            early.patience.saturating_mul(2)
        );
    }
    if wanted.max_steps.is_some_and(|most| steps >= most) {
        let twice = steps.saturating_mul(2);
        return format!("all {steps} steps of the run are done; {longer} --max_steps {twice}");
    }
    if let Some(limit) = wanted.max_time {
        let twice = TimeLimit::from_seconds(2.0 * limit.seconds());
        return format!("the time of the run is over ({limit}); {longer} --time_limit {twice}");
    }
    format!("all {done} epochs of the run are done; {longer} --num_epochs {}", done.saturating_mul(2))
}

fn usage<T>(message: impl Into<String>) -> Result<T, JobError> {
    Err(JobError::Usage(message.into()))
}

fn auto(options: ResumeOptions<'_>, resolve: Resolve<'_>) -> Result<Resumed, JobError> {
    let resolved = with_teacher_as_it_is(with_script_as_it_is(resolve(None)?));
    let run = match options.run_name {
        Some(name) => Run::named(options.runs_dir, name)?,
        None => newest_run(options.runs_dir, &resolved)?,
    };
    match run {
        Some(run) => continue_run(options, run, &|_| Ok(resolved.clone()), None, false),
        None => {
            let start = Start::of(&resolved.config)?;
            Ok(Resumed { resolved, start, existing: None, parent: None })
        }
    }
}

/// With the content of the TorchScript file written down, if it can be read: a run of another
/// program is another run.
fn with_script_as_it_is(mut resolved: Resolved) -> Resolved {
    let model = resolved.config.model.script().filter(|model| model.sha256.is_none());
    let file = model.and_then(|model| ScriptFile::find(std::slice::from_ref(&model.path), None).ok());
    if let Some(file) = file {
        resolved.config = resolved.config.with_script(&file);
    }
    resolved
}

/// Likewise of the teacher of distillation.
fn with_teacher_as_it_is(mut resolved: Resolved) -> Resolved {
    if let Ok(Some(config)) = resolve_teacher(&resolved.config, None) {
        resolved.config = config;
    }
    resolved
}

/// A run from its newest state, in its own folder.
fn newest_state(options: ResumeOptions<'_>, run: Run, resolve: Resolve<'_>) -> Result<Resumed, JobError> {
    if options.run_name.is_some() {
        return usage("--run_name: a resumed run keeps its folder; leave the flag out");
    }
    continue_run(options, run, resolve, None, false)
}

/// A run from one of its checkpoints: in its own folder if that is its newest state or the run is
/// to be rewound, else as a new run, so that nothing that came after it is lost.
fn state_of(options: ResumeOptions<'_>, run: Run, resolve: Resolve<'_>) -> Result<Resumed, JobError> {
    let checkpoint = Checkpoint::load(options.target)?;
    let newest = match run.newest_state(false) {
        Err(RunError::NoState { .. }) => None,
        newest => newest?,
    };
    let position = |state: &Checkpoint| (state.epoch, state.step, state.batch_in_epoch);
    let is_newest = newest.is_some_and(|newest| position(&newest) == position(&checkpoint));
    if is_newest && options.run_name.is_none() {
        return continue_run(options, run, resolve, Some(checkpoint), false);
    }
    if options.rewind {
        if options.run_name.is_some() {
            return usage("--run_name: a run that is rewound keeps its folder; leave the flag out");
        }
        return continue_run(options, run, resolve, Some(checkpoint), true);
    }
    let own = configuration_of(&checkpoint)?;
    let mut resolved = resolve(Some(&run.read_config()?))?;
    resolved.keep_decided(&own);
    refuse_changes(&own, &resolved.config, options.mode)?;
    tracing::info!(
        "{} is not the newest state of its run: a new run continues it (--rewind continues it in its own folder)",
        options.target.display()
    );
    let resume = Resume { checkpoint, from: options.target.to_owned(), is_saved: false, mode: options.mode };
    let start = Start::Resume(Box::new(resume));
    Ok(Resumed { resolved, start, existing: None, parent: Some(run) })
}

/// `run` in its own folder, from the state `given` or its newest; from the start if it was killed
/// before the first. `rewinds`: what it holds of later epochs is put aside.
fn continue_run(
    options: ResumeOptions<'_>,
    run: Run,
    resolve: Resolve<'_>,
    given: Option<Checkpoint>,
    rewinds: bool,
) -> Result<Resumed, JobError> {
    // Who only looks changes nothing.
    let lock = if options.looks { None } else { Some(RunLock::take(run.folder())?) };
    if lock.is_some() {
        run.remove_leftovers()?;
    }
    let text = run.read_config()?;
    let mut resolved = resolve(Some(&text))?;
    let is_given = given.is_some();
    let checkpoint = match given {
        Some(given) => Some(given),
        None => run.newest_state(lock.is_some())?,
    };
    // The configuration in the folder may have been edited; the one in the checkpoint tells what
    // was trained.
    let own = match &checkpoint {
        Some(checkpoint) => configuration_of(checkpoint)?,
        None => config::resolve(Some((&text, Source::Run)), &[], &Origin::read)?.config,
    };
    resolved.keep_decided(&own);
    refuse_changes(&own, &resolved.config, options.mode)?;
    if !rewinds {
        refuse_finished(&run, &own, &resolved.config, checkpoint.as_ref())?;
    }
    let start = match checkpoint {
        // Killed before its first state, a run begins as its configuration says.
        None => Start::of(&resolved.config)?,
        Some(checkpoint) => Start::Resume(Box::new(Resume {
            checkpoint,
            from: run.folder().to_owned(),
            is_saved: !is_given && options.mode == ResumeMode::Exact,
            mode: options.mode,
        })),
    };
    Ok(Resumed { resolved, start, existing: Some(ExistingRun { run, lock, rewinds }), parent: None })
}

/// A file that lies in no run folder, of this program or another: a new run continues it.
fn loose(path: &Path, mode: ResumeMode, resolve: Resolve<'_>) -> Result<Resumed, JobError> {
    // Another file should have been named.
    let in_file = |error: CheckpointError| match error.in_file(path) {
        error if error.is_usage() => JobError::Usage(error.to_string()),
        error => error.into(),
    };
    let value = checkpoint::read(path).map_err(in_file)?;
    if !value.field().optional("format_version").is_ok_and(|version| version.is_some()) {
        let external = ExternalCheckpoint::from_value(&value).map_err(in_file)?;
        let start = Start::External(external, path.to_owned());
        return Ok(Resumed { resolved: resolve(None)?, start, existing: None, parent: None });
    }
    let checkpoint = Checkpoint::from_value(&value).map_err(in_file)?;
    let own = configuration_of(&checkpoint)?;
    let mut resolved = resolve(Some(&checkpoint.config.to_string()))?;
    resolved.keep_decided(&own);
    refuse_changes(&own, &resolved.config, mode)?;
    let resume = Resume { checkpoint, from: path.to_owned(), is_saved: false, mode };
    let start = Start::Resume(Box::new(resume));
    Ok(Resumed { resolved, start, existing: None, parent: None })
}

/// What a checkpoint was trained with.
fn configuration_of(checkpoint: &Checkpoint) -> Result<Config, JobError> {
    let resolved = config::resolve(Some((&checkpoint.config.to_string(), Source::Run)), &[], &Origin::read);
    Ok(resolved.map_err(JobError::StoredConfig)?.config)
}

fn refuse_changes(own: &Config, wanted: &Config, mode: ResumeMode) -> Result<(), JobError> {
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
    if mode == ResumeMode::AllowChanges {
        tracing::warn!(
            "--allow_changes: {changed} changed; the result is neither that of the old configuration nor of the new one"
        );
        return Ok(());
    }
    usage(format!(
        "--resume: {changed} cannot change in a run that resumes exactly; start a new run (with --weights for its \
         weights), or accept an inexact one with --allow_changes"
    ))
}

fn refuse_finished(
    run: &Run,
    own: &Config,
    wanted: &Config,
    checkpoint: Option<&Checkpoint>,
) -> Result<(), JobError> {
    let status = run.read_summary().ok().map(|summary| summary.status);
    let Some(status) = status.filter(|status| status.is_final()) else { return Ok(()) };
    let folder = run.folder().display();
    let done = checkpoint.map_or(0, |checkpoint| checkpoint.epoch);
    if status == Status::EarlyStopped && own.training.early_stopping == wanted.training.early_stopping {
        let early = own.training.early_stopping.as_ref();
        return usage(format!("{folder}: {}", nothing_left(done, 0, &wanted.training, early)));
    }
    let steps = checkpoint.map_or(0, |checkpoint| checkpoint.step);
    let (before, wanted) = (&own.training, &wanted.training);
    // How many steps a longer time makes is for the trainer to say.
    let is_over = match wanted.whole_epochs() {
        Some(epochs) => done >= epochs as u64,
        None => {
            wanted.max_steps.is_some_and(|most| steps >= most)
                || wanted.max_time.is_some_and(|limit| {
                    before.max_time.is_some_and(|before| limit.seconds() <= before.seconds())
                        && wanted.max_steps == before.max_steps
                })
        }
    };
    if status == Status::Completed && is_over {
        return usage(format!("{folder}: {}", nothing_left(done, steps, wanted, None)));
    }
    Ok(())
}

/// The newest unfinished run of this very configuration.
fn newest_run(runs_dir: &Path, wanted: &Resolved) -> Result<Option<Run>, JobError> {
    let mut found: Option<(SystemTime, Run)> = None;
    for folder in folders(runs_dir)? {
        let Ok(run) = Run::open(&folder) else { continue };
        let Ok(text) = run.read_config() else { continue };
        let Ok(own) = config::resolve(Some((&text, Source::Run)), &[], &Origin::read) else { continue };
        let mut wanted = wanted.clone();
        wanted.keep_decided(&own.config);
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
            "--resume auto: no unfinished run of this configuration in {}; starting a new one",
            runs_dir.display()
        );
    }
    Ok(found.map(|(_, run)| run))
}

fn folders(runs_dir: &Path) -> Result<Vec<PathBuf>, RunError> {
    let read =
        |error: std::io::Error| RunError::Read { path: runs_dir.to_owned(), message: error.to_string() };
    match std::fs::read_dir(runs_dir) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(read)?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(read(error)),
    }
}
