//! Flags.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ml_cli::exit::usage;
use ml_cli::flags::{ConsoleArgs, CsvArgs, path, positive_number, whole_number};
use ml_core::dataset::Split;
use ml_core::device::DeviceChoice;
use ml_core::inference::UseEma;

const EXAMPLES: &str = "\
Examples:
  ml-inference --checkpoint runs/base                        evaluate the best model on the run's test split
  ml-inference --checkpoint runs/base/best.pt --split val --json
  ml-inference --checkpoint runs/base --data_dir other/      evaluate it on other labelled images
  ml-inference --checkpoint runs/base rose.jpg tulip.png     predict files
  ml-inference --checkpoint runs/base photos/ 'more/*.jpg'   predict a folder (with all below it) and a pattern
  ml-inference --checkpoint runs/base photos/ --format csv --output predictions.csv

Labels and transforms come from the checkpoint. Flags take - or _ alike.
Exit codes: 0 done, 1 failed or an image could not be read, 2 usage, 130/143 interrupted.
`ml-inference completions <SHELL>` prints completions for bash, zsh, fish, elvish or powershell.";

/// Evaluate a trained model, or predict the classes of images
#[derive(Parser, Debug)]
#[command(name = "ml-inference", version, after_help = EXAMPLES, rename_all = "snake_case")]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Checkpoint file, or run folder (its best.pt)
    #[arg(short, long, value_parser = path(), value_name = "PATH", required = true)]
    pub checkpoint: Option<PathBuf>,
    /// Images to predict: files, folders, patterns; without any, a split is evaluated
    #[arg(value_name = "IMAGE")]
    pub inputs: Vec<PathBuf>,

    /// Split to evaluate [default: test, or all where nothing is split]
    #[arg(long, value_enum, value_name = "SPLIT", help_heading = "Evaluation")]
    pub split: Option<SplitName>,
    /// Labelled images, instead of the run's: a data folder, a folder of class folders, or a CSV;
    /// classes are matched by name
    #[arg(long, value_parser = path(), value_name = "PATH", help_heading = "Evaluation")]
    pub data_dir: Option<PathBuf>,
    /// Fold, instead of the run's
    #[arg(long, allow_negative_numbers = true, value_name = "K", value_parser = whole_number::<u32>, help_heading = "Evaluation")]
    pub fold: Option<u32>,

    /// How predictions are printed [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Prediction")]
    pub format: Option<Format>,
    /// What to do about an image that cannot be read: tell and go on, or stop
    #[arg(long, value_enum, default_value_t = OnError::Skip, value_name = "WHAT", help_heading = "Prediction")]
    pub on_error: OnError,

    /// Use the average of the weights, where the run kept one (training.ema): auto does if the run
    /// was judged by it
    #[arg(long, value_enum, default_value_t = Ema::Auto, value_name = "WHEN")]
    pub ema: Ema,
    /// File for predictions (else stdout); folder for the reports of an evaluation (else the run's
    /// report/)
    #[arg(short, long, value_parser = path(), value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Print JSON: the report as one object, or predictions as --format jsonl does
    #[arg(long)]
    pub json: bool,
    /// How many of the most probable classes to give
    #[arg(long, default_value = "5", allow_negative_numbers = true, value_name = "K", value_parser = positive_number)]
    pub top_k: NonZeroUsize,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE", value_parser = parse_device)]
    pub device: DeviceChoice,
    /// Threads that compute on a CPU [default: as many as the process may use processors]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = positive_number)]
    pub threads: Option<NonZeroUsize>,
    /// Images that go through the network together
    #[arg(long, default_value = "32", allow_negative_numbers = true, value_name = "N", value_parser = positive_number)]
    pub batch_size: NonZeroUsize,
    /// Threads that decode [default: one a core, at most 8]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = parse_workers)]
    pub num_workers: Option<usize>,

    #[command(flatten)]
    pub csv: CsvArgs,
    #[command(flatten)]
    pub console: ConsoleArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: Shell },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    Train,
    Val,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns
    Table,
    /// With a header
    Csv,
    /// A JSON object a line
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ema {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    Skip,
    Fail,
}

fn parse_device(text: &str) -> Result<DeviceChoice, String> {
    text.parse()
}

/// More threads than that are a slip of the fingers.
const MAX_WORKERS: usize = 1024;

fn parse_workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= MAX_WORKERS => Ok(count),
        _ => Err(format!("must be a whole number from 0 to {MAX_WORKERS}")),
    }
}

impl Args {
    /// Flags that do not go together.
    ///
    /// # Errors
    /// Names the flag.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.inputs.is_empty() {
            if self.format.is_some() {
                return usage("--format is for predictions; name images, or use --json for the evaluation");
            }
            return Ok(());
        }
        for (given, flag) in [
            (self.split.is_some(), "--split"),
            (self.data_dir.is_some(), "--data_dir"),
            (self.fold.is_some(), "--fold"),
            (self.csv.first_given().is_some(), self.csv.first_given().unwrap_or_default()),
        ] {
            if given {
                return usage(format!("{flag} is for evaluations; leave it out, or the images"));
            }
        }
        if self.json && self.format.is_some_and(|format| format != Format::Jsonl) {
            return usage("--json and --format contradict each other; leave one out");
        }
        Ok(())
    }

    pub fn split(&self) -> Option<Split> {
        self.split.map(|split| match split {
            SplitName::Train => Split::Train,
            SplitName::Val => Split::Val,
            SplitName::Test => Split::Test,
        })
    }

    pub fn averaged(&self) -> UseEma {
        match self.ema {
            Ema::Auto => UseEma::Auto,
            Ema::Always => UseEma::Always,
            Ema::Never => UseEma::Never,
        }
    }

    pub fn format(&self) -> Format {
        self.format.unwrap_or(if self.json { Format::Jsonl } else { Format::Table })
    }

    pub fn num_workers(&self) -> usize {
        self.num_workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from).min(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn flags_of_the_other_kind_are_refused() {
        let check = |rest: &[&str]| {
            let all = ["ml-inference", "--checkpoint", "x"].iter().chain(rest);
            Args::try_parse_from(all).unwrap().check().map_err(|error| error.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["--split", "val", "--json"]), Ok(()));
        assert!(check(&["--format", "csv"]).unwrap_err().contains("--format"));
        assert!(check(&["a.png", "--split", "val"]).unwrap_err().contains("--split"));
        assert!(check(&["a.png", "--json", "--format", "csv"]).unwrap_err().contains("--json"));
        assert_eq!(check(&["a.png", "--json"]), Ok(()));
    }
}
