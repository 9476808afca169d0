//! ml-inference: a checkpoint or weights → the metrics of labelled images, or the classes of images.
//!
//! Stdout is the result (tables, CSV, JSON), stderr the conversation.

// Printing panics where nobody listens.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod evaluate;
mod inputs;
mod model;
mod output;
mod predict;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use ml_cli::console::tell;
use ml_cli::exit::{UsageError, finish, leave, print_completions};
use ml_cli::flags::parse;
use ml_cli::interrupt::Interrupt;
use ml_core::device;

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
    let device = device::resolve(args.device, args.threads.map(NonZeroUsize::get))
        .map_err(|error| UsageError(error.into()))?;
    if let Some(warning) = &device.warning {
        tell(format_args!("warning: {warning}"));
    }
    let model = match model::open(args, device.device, &interrupt)? {
        ControlFlow::Continue(model) => model,
        ControlFlow::Break(code) => return Ok(code),
    };
    if args.console.quiet == 0 {
        model::introduce(&model, &device.description);
        if !left_out.is_empty() {
            tell(format_args!("left out: {left_out}"));
        }
    }
    if images.is_empty() {
        evaluate::run(args, &model, &interrupt)
    } else {
        predict::run(args, &model, &images, &interrupt)
    }
}
