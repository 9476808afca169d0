//! Flags → what to search, where, and for how long.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use ml_cli::flags::{ConsoleArgs, path, positive_number};
use ml_search::parse_duration;

// Lines of at most 80 columns, so that no terminal wraps them.
const EXAMPLES: &str = "\
Examples:
  ml-search search.yaml                       search; writes searches/search
  ml-search search.yaml --output searches/lr  write there
  ml-search search.yaml --trials 5            fewer trials than the file says
  ml-search search.yaml --dry_run             check the file, train nothing
  ml-search --resume searches/lr              resume an interrupted search
  ml-search --resume searches/lr --trials 60  search for longer

A search.yaml:
  config: base.yaml
  space:
    optimizer.lr: {log_uniform: [0.0001, 0.1]}
    training.batch_size: {choice: [32, 64, 128]}
  metric: val_accuracy
  budget: {trials: 30, time: 2h}

Flags may be written with - or _.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration,
  130/143 interrupted with the state saved.
ml-search completions SHELL prints completions for bash, zsh, fish, elvish or
  powershell.";

/// Search for hyperparameters: train many short runs that differ in some keys of a configuration
#[derive(Parser, Debug)]
#[command(name = "ml-search", version, after_help = EXAMPLES, rename_all = "snake_case")]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// YAML file that says what is searched, and how
    #[arg(required_unless_present = "resume", value_parser = path(), value_name = "SEARCH_YAML")]
    pub search: Option<PathBuf>,
    /// Folder of a new search [default: searches/ and the name of the file]
    #[arg(short, long, value_parser = path(), value_name = "DIR", conflicts_with = "resume")]
    pub output: Option<PathBuf>,
    /// Resume the search in this folder
    #[arg(long, value_parser = path(), value_name = "DIR", conflicts_with = "search")]
    pub resume: Option<PathBuf>,
    /// Trials in all (budget.trials)
    #[arg(long, value_name = "N", value_parser = positive_number)]
    pub trials: Option<NonZeroUsize>,
    /// Time in all, as in 90m or 2h (budget.time)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub time: Option<f64>,
    /// Check the file and its configuration, then stop before the first trial
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Print the result as JSON: the best trial
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub console: ConsoleArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: Shell },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent_and_the_examples_are_understood() {
        Args::command().debug_assert();
        let lines = EXAMPLES.lines().filter(|line| line.starts_with("  ml-search "));
        for line in lines {
            assert!(line.len() <= 80, "{line}");
            let words = line.trim().split("  ").next().unwrap().split(' ');
            Args::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        assert!(Args::try_parse_from(["ml-search"]).is_err());
        assert!(Args::try_parse_from(["ml-search", "a.yaml", "--resume", "b"]).is_err());
        assert!(Args::try_parse_from(["ml-search", "a.yaml", "--time", "2"]).is_err());
    }
}
