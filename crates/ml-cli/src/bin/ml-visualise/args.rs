//! Flags.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use ml_cli::flags::ConsoleArgs;

const EXAMPLES: &str = "\
Examples:
  ml-visualise                                   all runs in runs/
  ml-visualise runs/base                         one run
  ml-visualise --port 0                          any free port
  ml-visualise --host 0.0.0.0                    reachable from other machines
  ml-visualise report runs/base                  write runs/base/report/report.html
  ml-visualise runs -- --samples_per_plugin images=100   flags of TensorBoard's own

Flags take - or _ alike. Exit codes: 0 done, 1 failed, 2 usage, 130/143 interrupted.
`ml-visualise completions <SHELL>` prints completions for bash, zsh, fish, elvish or powershell.";

/// Show one run, or all of them, in TensorBoard, or write a report of it
#[derive(Parser, Debug)]
#[command(name = "ml-visualise", version, after_help = EXAMPLES, rename_all = "snake_case")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Run folder, or folder of runs
    #[arg(value_name = "FOLDER", default_value = "runs")]
    pub folder: PathBuf,
    /// Port to listen on; 0 for any that is free
    #[arg(long, default_value_t = 6006, allow_negative_numbers = true, value_name = "PORT", value_parser = parse_port)]
    pub port: u16,
    /// Address to listen on; 0.0.0.0 for other machines too
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub host: String,
    /// Print the command, then stop
    #[arg(long, visible_alias = "dry_run")]
    pub print_command: bool,
    /// Passed on to TensorBoard
    #[arg(last = true, value_name = "TENSORBOARD FLAGS")]
    pub more: Vec<OsString>,

    #[command(flatten)]
    pub console: ConsoleArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write report/report.html of runs: curves, metrics with intervals, confused classes, mistakes,
    /// likely wrong labels, calibration, settings, time
    Report {
        /// Run folders
        #[arg(value_name = "RUN", required = true)]
        runs: Vec<PathBuf>,
    },
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: Shell },
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}", u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
