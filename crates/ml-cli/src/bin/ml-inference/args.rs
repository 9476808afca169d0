//! Flags.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ml_cli::exit::usage;
use ml_cli::flags::{ConsoleArgs, CsvArgs, SplitName, path, positive_number, whole_number};
use ml_core::dataset::{CsvOptions, Split, Task};
use ml_core::device::{DeviceChoice, PrecisionChoice};
use ml_core::inference::{ImageOptions, UseEma};
use ml_core::transform::{FitMode, MAX_SIDE, Normalize};

const EXAMPLES: &str = "\
Examples:
  ml-inference --checkpoint runs/base                        evaluate the best model on the run's test split
  ml-inference --checkpoint runs/base/best.pt --split val --json
  ml-inference --checkpoint runs/base --data_dir other/      evaluate it on other labelled images
  ml-inference --checkpoint runs/base rose.jpg tulip.png     predict files
  ml-inference --checkpoint runs/base photos/ 'more/*.jpg'   predict a folder (with all below it) and a pattern
  ml-inference --checkpoint runs/base photos/ --format csv --output predictions.csv
  ml-inference --checkpoint runs/base photos/ --max_error 0.02    answers that it is not sure of are `uncertain`
  ml-inference --checkpoint runs/tags photos/ --threshold 0.5     all classes of at least this probability
  ml-inference --weights resnet50:DEFAULT cat.jpg            published weights, without a run
  ml-inference --weights resnet50:DEFAULT --data_dir imagenet/val
  ml-inference --weights net.pth --architecture resnet20 --classes names.txt --data_dir cifar10/test

Labels and transforms come from the checkpoint, or are those of the published weights. Flags take - or _ alike.
Exit codes: 0 done, 1 failed or an image could not be read, 2 usage, 130/143 interrupted.
`ml-inference completions <SHELL>` prints completions for bash, zsh, fish, elvish or powershell.";

/// Evaluate a trained model, or predict the classes of images
#[derive(Parser, Debug)]
#[expect(clippy::doc_markdown, reason = "these are the texts of --help, which shows backticks as they are")]
#[command(name = "ml-inference", version, after_help = EXAMPLES, rename_all = "snake_case")]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Checkpoint file, or run folder (its best.pt)
    #[arg(short, long, value_parser = path(), value_name = "PATH")]
    pub checkpoint: Option<PathBuf>,
    /// Weights without a run: torchvision's by name (resnet50:DEFAULT), or a state dict in a file,
    /// with --architecture; FILE:key names one of several in it
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["checkpoint", "ema"])]
    pub weights: Option<String>,
    /// Images to predict: files, folders, patterns; without any, a split is evaluated
    #[arg(value_name = "IMAGE")]
    pub inputs: Vec<PathBuf>,

    /// Network that the weights are of: ml-train --list_architectures
    #[arg(long, value_name = "NAME", help_heading = "Weights")]
    pub architecture: Option<String>,
    /// File with the names of the classes, one a line or as a JSON list [default: ImageNet's for
    /// 1000 logits, else class_0, class_1, …]
    #[arg(long, value_parser = path(), value_name = "FILE", help_heading = "Weights")]
    pub classes: Option<PathBuf>,
    /// How many labels an image has. multi_label: any number, and the probabilities are the sigmoid
    /// of the logits [default: single_label]
    #[arg(long, value_enum, value_name = "TASK", help_heading = "Weights")]
    pub task: Option<TaskName>,
    /// Side of the images that the network sees, in pixels [default: that of the published weights,
    /// or 32 for networks for small images]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = parse_side, help_heading = "Weights")]
    pub image_size: Option<u32>,
    /// How images of another shape become square: crop, pad or squash [default: that of the published
    /// weights, which is crop]
    #[arg(long, value_name = "MODE", value_parser = parse_fit, help_heading = "Weights")]
    pub fit: Option<FitMode>,
    /// Mean of red, green and blue that is subtracted, 0 to 1 [default: as --image_size]
    #[arg(long, num_args = 3, allow_negative_numbers = true, value_names = ["R", "G", "B"], requires = "std", help_heading = "Weights")]
    pub mean: Option<Vec<f64>>,
    /// Standard deviation that they are divided by
    #[arg(long, num_args = 3, allow_negative_numbers = true, value_names = ["R", "G", "B"], requires = "mean", help_heading = "Weights")]
    pub std: Option<Vec<f64>>,

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

    /// With several labels an image: columns of the CSV that hold 0 and 1, a class each [default:
    /// all but the path's, if they do]
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…", help_heading = "Evaluation")]
    pub label_columns: Option<Vec<String>>,
    /// With several labels an image: what separates them in the CSV's column of labels [default: |]
    #[arg(long, value_name = "TEXT", conflicts_with = "label_columns", help_heading = "Evaluation")]
    pub label_separator: Option<String>,

    /// How predictions are printed [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Prediction")]
    pub format: Option<Format>,
    /// Answer `uncertain` where the model is not sure enough, so that on the run's validation images
    /// at most this share of the other answers was wrong (0.02 is 2 %), and where an image is unlike
    /// anything seen in training
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", value_parser = parse_share, help_heading = "Prediction")]
    pub max_error: Option<f64>,
    /// What to do about an image that cannot be read: tell and go on, or stop
    #[arg(long, value_enum, default_value_t = OnError::Skip, value_name = "WHAT", help_heading = "Prediction")]
    pub on_error: OnError,

    /// With several labels an image: predict all classes of at least this probability [default:
    /// that of each class that was fitted to the run's validation images; 0.5 for --weights]
    #[arg(long, allow_negative_numbers = true, value_name = "P", value_parser = parse_threshold)]
    pub threshold: Option<f32>,
    /// Use the average of the weights, where the run kept one (training.ema): auto does if the run
    /// was judged by it
    #[arg(long, value_enum, default_value_t = Ema::Auto, value_name = "WHEN")]
    pub ema: Ema,
    /// Probabilities at the temperature that was fitted to the run's validation images, where there
    /// is one, or the network's own
    #[arg(long, value_enum, default_value_t = CalibrationChoice::Auto, value_name = "WHEN")]
    pub calibration: CalibrationChoice,
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
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Number format of the computation: auto (the one that the run was validated in; fp32 for
    /// --weights), fp32, tf32 (CUDA), bf16 or fp16 (CUDA)
    #[arg(long, default_value = "auto", value_name = "PRECISION")]
    pub precision: PrecisionChoice,
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
pub enum Format {
    /// Aligned columns
    Table,
    /// With a header
    Csv,
    /// A JSON object a line
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TaskName {
    SingleLabel,
    MultiLabel,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CalibrationChoice {
    Auto,
    Off,
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("must be a number of at least 0 and below 1".to_owned()),
    }
}

fn parse_threshold(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(threshold) if (0.0..=1.0).contains(&threshold) => Ok(threshold),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

fn parse_side(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(side) if (1..=MAX_SIDE).contains(&side) => Ok(side),
        _ => Err(format!("must be a whole number from 1 to {MAX_SIDE}")),
    }
}

fn parse_fit(text: &str) -> Result<FitMode, String> {
    let modes = [FitMode::Crop, FitMode::Pad, FitMode::Squash];
    modes.into_iter().find(|mode| mode.name() == text).ok_or_else(|| "must be crop, pad or squash".to_owned())
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
        if self.checkpoint.is_none() && self.weights.is_none() {
            return usage("no model is given: --checkpoint RUN, or --weights NAME such as resnet50:DEFAULT");
        }
        if self.max_error.is_some() && self.calibration == CalibrationChoice::Off {
            return usage("--max_error is about calibrated probabilities; leave out --calibration off");
        }
        for (given, flag) in [
            (self.architecture.is_some(), "--architecture"),
            (self.classes.is_some(), "--classes"),
            (self.task.is_some(), "--task"),
            (self.image_size.is_some(), "--image_size"),
            (self.fit.is_some(), "--fit"),
            (self.mean.is_some(), "--mean"),
        ] {
            if given && self.weights.is_none() {
                return usage(format!("{flag} belongs to --weights; a checkpoint brings its own"));
            }
        }
        if self.inputs.is_empty() {
            if self.format.is_some() {
                return usage("--format is for predictions; name images, or use --json for the evaluation");
            }
            if self.max_error.is_some() {
                return usage("--max_error is for predictions; name images, or leave it out");
            }
            return Ok(());
        }
        for (given, flag) in [
            (self.split.is_some(), "--split"),
            (self.data_dir.is_some(), "--data_dir"),
            (self.fold.is_some(), "--fold"),
            (self.labels_flag().is_some(), self.labels_flag().unwrap_or_default()),
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

    /// How a CSV of labelled images is read.
    pub fn csv_options(&self) -> CsvOptions {
        CsvOptions {
            label_columns: self.label_columns.clone(),
            label_separator: self.label_separator.clone(),
            ..self.csv.options()
        }
    }

    /// Which of the flags on several labels in a CSV was given.
    pub fn labels_flag(&self) -> Option<&'static str> {
        let columns = self.label_columns.as_ref().map(|_| "--label_columns");
        columns.or(self.label_separator.as_ref().map(|_| "--label_separator"))
    }

    pub fn split(&self) -> Option<Split> {
        self.split.map(Split::from)
    }

    pub fn averaged(&self) -> UseEma {
        match self.ema {
            Ema::Auto => UseEma::Auto,
            Ema::Always => UseEma::Always,
            Ema::Never => UseEma::Never,
        }
    }

    /// How many labels an image has, for weights.
    pub fn task(&self) -> Task {
        match self.task {
            None | Some(TaskName::SingleLabel) => Task::SingleLabel,
            Some(TaskName::MultiLabel) => Task::MultiLabel,
        }
    }

    /// What is said of the images that weights see.
    pub fn images(&self) -> ImageOptions {
        let normalize = self.mean.clone().zip(self.std.clone());
        ImageOptions {
            image_size: self.image_size,
            fit: self.fit,
            normalize: normalize.map(|(mean, std)| Normalize { mean, std }),
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
        assert!(check(&["a.png", "--task", "multi_label"]).unwrap_err().contains("--task"));
        assert_eq!(check(&["a.png", "--threshold", "0.5"]), Ok(()));
    }
}
