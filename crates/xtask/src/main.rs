//! Set-up and chores: `cargo xtask setup|demo|test|structure|bench|reference|corpus|chaos|fuzz`.
//!
//! In: a clone of the repository on a machine with Rust, a C++ compiler and Python 3. Out: `.venv`
//! (Python packages, libtorch among them), `.libtorch` (a link that every cargo command finds),
//! programs, reports. This crate must not depend on libtorch, since it is what installs it.

mod bench;
mod chaos;
mod check;
mod corpus;
mod demo;
mod gpu;
mod reference;
mod setup;
mod shell;
mod structure;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up and chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install libtorch and what else the programs need into .venv (repeat it at any time)
    Setup {
        /// Also install what the tests compare with (PyTorch in Python, torchvision, scikit-learn)
        #[arg(long)]
        test: bool,
        #[command(flatten)]
        options: setup::Options,
    },
    /// Set up, build in release, and train, evaluate and use a classifier of handwritten digits
    Demo(setup::Options),
    /// Set up and run every check: formatting, lints, documentation, tests
    Test(setup::Options),
    /// Check that crates and modules import in one direction, without circles between files
    Structure,
    /// Set up and compare speed and memory with PyTorch
    Bench(bench::Args),
    /// Set up and compare the networks with torchvision's: names, initial weights, logits,
    /// gradients
    Reference(reference::Args),
    /// Decode the images that other packages test with, and compare them with Pillow's
    Corpus(corpus::Args),
    /// Kill and resume training again and again, and compare the result with that of a run left
    /// alone
    Chaos(chaos::Args),
    /// Set up, build, and pack what checks and times the programs on a machine with a GPU
    Gpu(gpu::Args),
    /// Read a million mutated checkpoints, and as many mutated images
    Fuzz {
        /// How many of each
        #[arg(long, default_value_t = 1_000_000)]
        inputs: u64,
        /// Of the random numbers that mutate them
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        options: setup::Options,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let shell = shell::Shell::at_workspace_root()?;
    match command {
        Command::Setup { test, options } => {
            let wanted = if test { setup::Purpose::Test } else { setup::Purpose::Run };
            setup::run(&shell, wanted, &options)?;
            eprintln!("Next: `cargo xtask demo`, or `cargo build --release`.");
            Ok(())
        }
        Command::Demo(options) => demo::run(&shell, &options),
        Command::Test(options) => check::run(&shell, &options),
        Command::Structure => structure::run(shell.root()),
        Command::Bench(args) => bench::run(&shell, &args),
        Command::Reference(args) => reference::run(&shell, &args),
        Command::Corpus(args) => corpus::run(&shell, &args),
        Command::Chaos(args) => chaos::run(&shell, &args),
        Command::Gpu(args) => gpu::run(&shell, &args),
        Command::Fuzz { inputs, seed, options } => fuzz(&shell, inputs, seed, &options),
    }
}

/// The tests that the suite leaves out for their length.
fn fuzz(shell: &shell::Shell, inputs: u64, seed: u64, options: &setup::Options) -> anyhow::Result<()> {
    let shell = setup::run(shell, setup::Purpose::Test, options)?;
    for (package, test) in
        [("torch-file", "a_million_mutated_files"), ("ml-data", "a_million_mutated_images")]
    {
        let mut command = shell.command("cargo");
        command.args(["test", "--package", package, "--lib", "--", "--ignored", "--nocapture", test]);
        command.env("FUZZ_INPUTS", inputs.to_string()).env("FUZZ_SEED", seed.to_string());
        shell::check(&mut command, &format!("cargo test {test}_never_panic"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
