//! Several processes that train together: who this one is, and what those do that have no run.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, anyhow};
use ml_cli::exit;
use ml_cli::flags::command_line;
use ml_core::config::Override;
use ml_core::distributed::{self, Environment, World};
use ml_core::job::{self, Job, JobError, JobOptions, Placement, Start};
use ml_core::trainer::{NoReporter, Outcome};

use crate::args::Args;
use crate::resolve::{config_text, resolve, usage};
use crate::train::{Process, classified, interrupted};

/// Becomes torchrun, with this program as its `count` processes.
///
/// # Errors
/// There is no torchrun, or this is one of its processes already.
pub fn launch(count: NonZeroUsize) -> anyhow::Result<ExitCode> {
    if environment()?.is_some() {
        return Err(usage(anyhow!("--nproc: this is one of several processes already; leave the flag out")));
    }
    let program = std::env::current_exe().context("the program does not find itself")?;
    let args = without_nproc(std::env::args_os().skip(1));
    let mut command =
        distributed::torchrun(count, &program, args).map_err(|error| usage(anyhow!("--nproc: {error}")))?;
    // Does not come back.
    Err(anyhow::Error::new(command.exec()).context("torchrun cannot be started"))
}

/// `args` without `--nproc N` or `--nproc=N`.
fn without_nproc(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut left = Vec::new();
    let mut is_value = false;
    for arg in args {
        if std::mem::take(&mut is_value) {
            continue;
        }
        match arg.to_str() {
            Some("--nproc") => is_value = true,
            Some(text) if text.starts_with("--nproc=") => {}
            _ => left.push(arg),
        }
    }
    left
}

/// What the launcher says of this process; none of one that is alone.
///
/// # Errors
/// Its variables make no sense.
pub fn environment() -> anyhow::Result<Option<Environment>> {
    Environment::of_process().map_err(usage)
}

/// All processes: this one alone without an `environment`.
///
/// # Errors
/// They cannot be reached.
pub fn join(
    environment: Option<Environment>,
    args: &Args,
    overrides: &[Override],
) -> anyhow::Result<Rc<World>> {
    let Some(environment) = environment else { return Ok(Rc::new(World::alone())) };
    if args.shortcuts.all_folds() || args.seeds.is_some() {
        return Err(usage(anyhow!("--fold all, --seeds: several processes train one run at a time")));
    }
    if environment.rank == 0 && environment.max_restarts > 0 && args.resume.is_none() {
        tracing::warn!(
            "--max-restarts {}: after a failure, a run goes on only with --run_name NAME --resume auto; without them, it \
             begins anew, or is refused",
            environment.max_restarts
        );
    }
    // Of a run that is resumed, the timeout is not known yet.
    let timeout = resolve(args, overrides).map(|resolved| resolved.config.training.distributed);
    let timeout = timeout.unwrap_or_default().timeout();
    World::join(environment, timeout).map(Rc::new).map_err(classified_distributed)
}

/// Waits until all have come, with the same settings.
///
/// # Errors
/// They do not come, or differ.
pub fn check(world: &World, args: &Args) -> anyhow::Result<()> {
    let settings = [
        ("settings (command line)", command_line()),
        ("settings (--config)", config_text(args)?.unwrap_or_default()),
    ];
    world.check_alike(&settings).map_err(classified_distributed)
}

fn classified_distributed(error: distributed::DistributedError) -> anyhow::Error {
    classified(JobError::from(error))
}

/// Trains with rank 0, which has the run.
///
/// # Errors
/// Anything that keeps the run from completing.
pub fn take_part(world: &Rc<World>, args: &Args, process: Process<'_>) -> anyhow::Result<ExitCode> {
    let config = job::told_config(world).map_err(classified)?;
    let Process { stop, started } = process;
    let (placement, dry_run, notes) = (Placement::Elsewhere, args.dry_run, Vec::new());
    let options = JobOptions { placement, dry_run, started, command: None, notes };
    let job = match Job::prepare_among(Rc::clone(world), config, Start::Fresh, options, &mut NoReporter, stop)
    {
        Err(JobError::Interrupted) => return Ok(interrupted(stop)),
        prepared => prepared.map_err(classified)?,
    };
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    match job.take_part(stop).map_err(classified)? {
        Outcome::Interrupted => Ok(interrupted(stop)),
        Outcome::Completed | Outcome::EarlyStopped => Ok(ExitCode::SUCCESS),
    }
}

/// What `body` gives. Of an error the others are told; one that they have told first is theirs to show.
pub fn among(world: &World, body: impl FnOnce() -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let error = match body() {
        Ok(code) => return Ok(code),
        Err(error) => error,
    };
    if world.tell_failure(&error) {
        return Err(error);
    }
    tracing::debug!("{error:#}");
    Ok(exit::code(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_that_starts_processes_is_not_theirs() {
        let args = ["--nproc", "2", "--lr", "1", "--nproc=3", "--seed", "5"].map(OsString::from);
        assert_eq!(without_nproc(args.into_iter()), ["--lr", "1", "--seed", "5"]);
    }
}
