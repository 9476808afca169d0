//! Several processes that share the images.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use ml_cli::console::set_rank;
use ml_cli::exit::UsageError;
use ml_cli::flags::command_line;
use ml_cli::interrupt::Interrupt;
use ml_core::distributed::{DistributedError, Environment, World};
use ml_core::evaluation::EvaluationError;
use ml_core::inference::{InferenceError, LoadedModel};

use crate::args::Args;
use crate::{evaluate, predict};

/// All processes, as the launcher says.
///
/// # Errors
/// They cannot be reached.
pub fn join() -> anyhow::Result<World> {
    let environment = Environment::of_process().map_err(classified)?;
    set_rank(environment.as_ref().map_or(0, |environment| environment.rank));
    World::join_as_launched(environment).map_err(classified)
}

/// Waits until all have come, with the same command line.
///
/// # Errors
/// They do not come, or differ.
pub fn check(world: &World) -> anyhow::Result<()> {
    world.check_alike(&[("settings (command line)", command_line())]).map_err(classified)
}

fn classified(error: DistributedError) -> anyhow::Error {
    if error.is_usage() { UsageError(error.into()).into() } else { error.into() }
}

/// Computes this process's share of what rank 0 tells.
///
/// # Errors
/// As of rank 0.
pub fn take_part(
    args: &Args,
    model: &LoadedModel,
    images: &[PathBuf],
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    if images.is_empty() {
        let data = evaluate::open_data(args, model)?;
        let (index, batch_size, num_workers) = (data.index, args.batch_size.get(), args.num_workers());
        let evaluated = if model.thresholds().is_some() {
            model.evaluate_labels(index, batch_size, num_workers, || interrupt.flow()).map(drop)
        } else {
            let top_k = args.top_k.get();
            model.evaluate(index, batch_size, num_workers, top_k, |_| interrupt.flow()).map(drop)
        };
        match (evaluated, interrupt.exit_code()) {
            (Err(InferenceError::Evaluation(EvaluationError::Interrupted)), Some(code)) => return Ok(code),
            (evaluated, _) => evaluated?,
        }
    } else {
        // Rank 0 tells when to stop.
        model.predict(images, predict::options(args, model), |_, _| ControlFlow::Continue(()))?;
    }
    Ok(ExitCode::SUCCESS)
}
