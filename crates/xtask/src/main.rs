//! Set-up and chores: `cargo xtask setup|demo|test|bench`.
//!
//! In: a clone of the repository on a machine with Rust, a C++ compiler and Python 3. Out: `.venv` (Python
//! packages, libtorch among them), `.libtorch` (a link that every cargo command finds), programs, reports.
//! This crate must not depend on libtorch, since it is what installs it.

mod bench;
mod check;
mod demo;
mod setup;
mod shell;
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
    /// Set up and compare speed and memory with PyTorch
    Bench(bench::Args),
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
        Command::Bench(args) => bench::run(&shell, &args),
    }
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
