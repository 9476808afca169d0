//! ml-inference: a checkpoint or weights → the metrics of labelled images, or the classes of images.
//!
//! Stdout is the result (tables, CSV, JSON), stderr the conversation.

// Printing panics where nobody listens.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod evaluate;
mod evaluate_labels;
mod inputs;
mod label_lines;
mod model;
mod output;
mod predict;
mod ranks;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context;
use clap::CommandFactory;
use ml_cli::console::tell;
use ml_cli::exit::{self, UsageError, finish, leave, print_completions};
use ml_cli::flags::parse;
use ml_cli::interrupt::Interrupt;
use ml_core::dataset::LeftOut;
use ml_core::device::{self, Neighbours};
use ml_core::distributed::{DistributedConfig, World};

use args::{Args, Command};
use inputs::Inputs;

fn main() -> ! {
    device::keep_freed_memory();
    let args: Args = parse();
    leave(finish(|| run(&args)))
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Completions { shell }) = args.command {
        return print_completions(shell, &mut Args::command());
    }
    args.check()?;
    // What was typed is checked before anything slow begins.
    let Inputs { images, left_out } = inputs::expand(&args.inputs)?;
    let interrupt = Interrupt::install().context("cannot catch signals")?;
    device::tell_warnings(|text| tell(format_args!("warning: libtorch: {text}")))?;
    let world = Rc::new(ranks::join()?);
    world.when_others_end(|reason| exit::abort(reason));
    let result = infer(&world, args, &images, &left_out, &interrupt);
    match &result {
        Err(error) if !world.tell_failure(error) => Ok(exit::code(error)),
        _ => result,
    }
}

/// Evaluates or predicts, with the other processes of `world`, of which rank 0 tells what was found.
fn infer(
    world: &Rc<World>,
    args: &Args,
    images: &[PathBuf],
    left_out: &LeftOut,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    ranks::check(world)?;
    let neighbours = Neighbours { place: world.local_rank(), count: world.local_size() };
    let device = device::resolve_among(args.device, args.threads.map(NonZeroUsize::get), neighbours)
        .map_err(|error| UsageError(error.into()))?;
    if let Some(warning) = &device.warning {
        tell(format_args!("warning: {warning}"));
    }
    let model = match model::open(args, device.device, interrupt)? {
        ControlFlow::Continue(model) => model,
        ControlFlow::Break(code) => return Ok(code),
    };
    world.connect(device.device, &DistributedConfig::default())?;
    let model = model.among(Rc::clone(world));
    if !world.is_first() {
        return ranks::take_part(args, &model, images, interrupt);
    }
    if args.console.quiet == 0 {
        model::introduce(&model, &device.description);
        if !left_out.is_empty() {
            tell(format_args!("left out: {left_out}"));
        }
    }
    if images.is_empty() {
        evaluate::run(args, &model, interrupt)
    } else {
        predict::run(args, &model, images, interrupt)
    }
}
