//! Flags → overrides.

use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use clap_complete::Shell;
use ml_cli::flags::{ConsoleArgs, NO_HEADING, normalized_args, path};
use ml_core::config::{ConfigError, Override, Source, parse_set};
use serde_yaml::Value;

// Lines of at most 80 columns, so that no terminal wraps them.
const EXAMPLES: &str = "\
Examples:
  ml-train --data_dir data/flowers --time_limit 20m   choose settings, say why
  ml-train --preset finetune_photos --data_dir data/flowers
  ml-train --init_config data/flowers > my.yaml       write a commented config
  ml-train --config my.yaml --lr 0.01                 a flag wins over the file
  ml-train --architecture resnet50 --weights DEFAULT  from ImageNet weights
  ml-train --set optimizer.name=adamw --set scheduler.name=cosine
  ml-train --config my.yaml --print_config            show every setting
  ml-train --config my.yaml --summary                 show layers and memory
  ml-train --config my.yaml --plot_schedule           draw the learning rate
  ml-train --config my.yaml --find_lr                 suggest a learning rate
  ml-train --config my.yaml --find_batch_size         suggest a batch size
  ml-train --benchmark resnet18,resnet50              measure networks here
  ml-train --resume runs/base                         resume an interrupted run
  ml-train --resume runs/base --num_epochs 50         train a run for longer
  ml-train --config my.yaml --resume auto             resume, or start a new run
  ml-train --config my.yaml --fold all                train every fold
  ml-train --config my.yaml --nproc 2                 train with two processes
  ml-train --soup runs/a runs/b runs/c                average their weights

Flags may be written with - or _.
Exit codes: 0 completed, 1 failed, 2 wrong usage or configuration,
  130/143 interrupted with the state saved.
ml-train completions SHELL prints completions for bash, zsh, fish, elvish or
  powershell.";

/// What cannot be given with a flag that measures something before a run: runs, several processes,
/// other flags that stop, and what takes the terminal.
const NOT_MEASURED: [&str; 13] = [
    "resume",
    "run_name",
    "seeds",
    "nproc",
    "ui",
    "init_config",
    "print_config",
    "print_schema",
    "summary",
    "plot_schedule",
    "list_architectures",
    "dry_run",
    "all_ranks",
];

/// Train an image classifier into runs/NAME: best.pt, last.pt, metrics, logs, reports
#[derive(Parser, Debug)]
#[command(name = "ml-train", version, after_help = EXAMPLES, rename_all = "snake_case", rename_all_env = "snake_case")]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
#[expect(clippy::doc_markdown, reason = "these are the texts of --help, which shows backticks as they are")]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// YAML file; only the keys it changes
    #[arg(short, long, value_parser = path(), value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings to begin with, which --config and flags override: auto, fast, balanced and best choose
    /// them for the images and say why; others see --list_presets; none takes the defaults. With a data
    /// folder and nothing else, auto
    #[arg(long, value_name = "NAME", conflicts_with = "init_config")]
    pub preset: Option<String>,
    /// Any key of the configuration: key.path=value, such as
    /// training.tensorboard.histograms_every_steps=100 (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    #[command(flatten)]
    pub shortcuts: Shortcuts,

    /// Resume a run: its folder, a .pt file in it, or auto (the newest unfinished run of this
    /// configuration, or the one that --run_name names; a new run where there is none); or start a
    /// new run from another program's training state
    #[arg(long, value_parser = path(), value_name = "PATH|auto", help_heading = "Runs")]
    pub resume: Option<PathBuf>,
    /// Let --resume continue an older state in its own run folder, which keeps what it replaces in
    /// rewound/; without it a new run continues it
    #[arg(long, requires = "resume", help_heading = "Runs")]
    pub rewind: bool,
    /// Let --resume continue with a changed setting, though the result is then not exact
    #[arg(long, requires = "resume", help_heading = "Runs")]
    pub allow_changes: bool,
    /// Folder in which run folders are made
    #[arg(long, value_parser = path(), value_name = "DIR", default_value = "runs", help_heading = "Runs")]
    pub runs_dir: PathBuf,
    /// Name of the run folder, instead of one made of the overrides; must not exist, except with
    /// --resume auto
    #[arg(long, value_name = "NAME", help_heading = "Runs")]
    pub run_name: Option<String>,

    /// Train N runs that differ in their seeds: seed, seed + 1, ...
    #[arg(long, value_name = "N", conflicts_with = "resume", help_heading = "Runs")]
    pub seeds: Option<NonZeroU64>,

    /// Train with N processes on this machine, each with a GPU or a share of the processors: as
    /// torchrun --standalone --nproc-per-node N --no-python ml-train ... does
    #[arg(long, value_name = "N", help_heading = "Several processes")]
    pub nproc: Option<NonZeroUsize>,
    /// Show the log of all processes, not only of rank 0
    #[arg(long, help_heading = "Several processes")]
    pub all_ranks: bool,

    /// Average the checkpoints (or the best.pt of run folders) of one network that are better
    /// together: in the order of their validation accuracy (mAP with several labels an image), each
    /// that does not lower that of the average (greedy model soup), then stop
    #[arg(
        long,
        value_parser = path(),
        value_name = "CKPT",
        num_args = 1..,
        help_heading = "Averaging",
        conflicts_with_all = ["config", "preset", "resume", "run_name", "seeds", "nproc", "init_config", "print_config", "print_schema", "summary", "plot_schedule", "list_architectures", "dry_run"]
    )]
    pub soup: Vec<PathBuf>,
    /// File that --soup writes, which ml-inference --checkpoint takes
    #[arg(
        long,
        value_parser = path(),
        value_name = "FILE",
        default_value = "soup.pt",
        requires = "soup",
        help_heading = "Averaging"
    )]
    pub output: PathBuf,

    /// Print a commented configuration to start with, made from what the images of a data folder
    /// show, then stop
    #[arg(
        long,
        value_parser = path(),
        value_name = "DATA_DIR",
        help_heading = "Inspect",
        conflicts_with_all = ["config", "resume", "run_name", "print_config", "print_schema", "dry_run", "json"]
    )]
    pub init_config: Option<PathBuf>,
    /// Show the configuration and where each value comes from, then stop
    #[arg(long, help_heading = "Inspect")]
    pub print_config: bool,
    /// Print a JSON Schema of the configuration for editors, then stop
    #[arg(long, help_heading = "Inspect")]
    pub print_schema: bool,
    /// Show the network's layers with shapes, parameters and multiply-adds, and the memory of a
    /// training step, then stop
    #[arg(
        long,
        help_heading = "Inspect",
        conflicts_with_all = ["resume", "run_name", "init_config", "print_config", "print_schema", "dry_run"]
    )]
    pub summary: bool,
    /// Draw the learning rate over the steps of the training into a PNG file, by default
    /// schedule.png, then stop
    #[arg(
        long,
        value_parser = path(),
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = "schedule.png",
        help_heading = "Inspect",
        conflicts_with_all = ["resume", "run_name", "init_config", "print_config", "print_schema", "summary", "dry_run", "json"]
    )]
    pub plot_schedule: Option<PathBuf>,
    /// Train some steps with a growing learning rate, print the one to train with, and draw the loss
    /// over it into a PNG file, by default lr_finder.png, then stop
    #[arg(
        long,
        value_parser = path(),
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = "lr_finder.png",
        help_heading = "Inspect",
        conflicts_with_all = NOT_MEASURED
    )]
    pub find_lr: Option<PathBuf>,
    /// Try batch sizes, show images a second and memory of each, and print the one to train with, then
    /// stop
    #[arg(long, help_heading = "Inspect", conflicts_with_all = NOT_MEASURED, conflicts_with = "find_lr")]
    pub find_batch_size: bool,
    /// Measure networks on random images of the configured size, some usual ones or those named with
    /// commas between, and show the images a second of each, then stop
    #[arg(
        long,
        value_name = "NAMES",
        num_args = 0..=1,
        default_missing_value = "",
        help_heading = "Inspect",
        conflicts_with_all = NOT_MEASURED,
        conflicts_with_all = ["find_lr", "find_batch_size"]
    )]
    pub benchmark: Option<String>,
    /// List the networks that --architecture may name, with parameters, GFLOPs, usual image size
    /// and published weights, then stop
    #[arg(
        long,
        help_heading = "Inspect",
        conflicts_with_all = ["config", "resume", "run_name", "init_config", "print_config", "print_schema", "summary", "dry_run"]
    )]
    pub list_architectures: bool,
    /// List what --preset may name, then stop
    #[arg(
        long,
        help_heading = "Inspect",
        conflicts_with_all = ["config", "preset", "resume", "run_name", "init_config", "print_config", "print_schema", "summary", "dry_run", "json"]
    )]
    pub list_presets: bool,
    /// Check configuration, data, device and network, then stop before training
    #[arg(long, help_heading = "Inspect")]
    pub dry_run: bool,

    /// Print the result as JSON: of a run its summary.yaml, or what --summary, --find_lr,
    /// --find_batch_size, --benchmark or --list_architectures shows
    #[arg(long, help_heading = NO_HEADING)]
    pub json: bool,

    /// How progress is shown: as lines and bars, or as a dashboard that fills the terminal
    #[arg(long, value_enum, default_value_t = Ui::Lines, value_name = "WHAT", help_heading = NO_HEADING)]
    pub ui: Ui,

    #[command(flatten)]
    pub console: ConsoleArgs,
}

/// `--ui`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ui {
    /// A line an epoch, and a bar
    Lines,
    /// Curves, rates, time left, memory and the log
    Tui,
}

#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: Shell },
}

/// Flags for the keys that people change most; the rest go through `--set`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Configuration", rename_all = "snake_case")]
#[expect(clippy::doc_markdown, reason = "these are the texts of --help, which shows backticks as they are")]
pub struct Shortcuts {
    /// Data folder (data.data_dir)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Fold of a folder split with ml-split --folds (data.fold); all trains a run for each
    #[arg(long, value_name = "K|all", allow_hyphen_values = true)]
    pub fold: Option<String>,
    /// Threads that decode images (data.num_workers)
    #[arg(long, value_name = "N|auto", allow_hyphen_values = true)]
    pub num_workers: Option<String>,
    /// Network, see --list_architectures (model.architecture)
    #[arg(long, value_name = "NAME")]
    pub architecture: Option<String>,
    /// Weights to start from: DEFAULT or another name of torchvision's, a .pt, .pth or .safetensors
    /// file, or null (model.weights)
    #[arg(long, value_name = "NAME|FILE")]
    pub weights: Option<String>,
    /// Batch size (training.batch_size)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub batch_size: Option<String>,
    /// Number of epochs (training.num_epochs)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub num_epochs: Option<String>,
    /// Optimizer steps of the training, in place of epochs (training.max_steps)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub max_steps: Option<String>,
    /// Time of the training, in place of epochs: 90s, 20m, 1h30m (training.max_time)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub time_limit: Option<String>,
    /// Learning rate (optimizer.lr)
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub lr: Option<String>,
    /// Momentum of SGD (optimizer.momentum)
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub momentum: Option<String>,
    /// Weight decay (optimizer.weight_decay)
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub weight_decay: Option<String>,
    /// Epochs between learning-rate decays (scheduler.step_size)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub step_size: Option<String>,
    /// Learning-rate decay factor (scheduler.gamma)
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub gamma: Option<String>,
    /// Device: auto, cpu, cuda or cuda:N (training.device)
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Threads that compute on a CPU: auto or a number (training.threads)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub threads: Option<String>,
    /// Precision: auto, fp32, tf32, bf16 or fp16 (training.precision)
    #[arg(long, value_name = "NAME")]
    pub precision: Option<String>,
    /// Random seed (seed)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub seed: Option<String>,
}

impl Args {
    /// The flag that measures something before a run, if one is given.
    pub fn measures(&self) -> Option<&'static str> {
        let flags = [
            ("--find_lr", self.find_lr.is_some()),
            ("--find_batch_size", self.find_batch_size),
            ("--benchmark", self.benchmark.is_some()),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    /// What the command line overrides: `--set` first, flags after, so that flags win.
    ///
    /// # Errors
    /// A `--set` that is no `key.path=value`.
    pub fn overrides(&self) -> Result<Vec<Override>, ConfigError> {
        let mut overrides = self.set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>, _>>()?;
        for (given, argument) in overrides.iter_mut().zip(set_arguments(&normalized_args())) {
            given.argument = Some(argument);
        }
        overrides.extend(self.shortcuts.overrides());
        Ok(overrides)
    }
}

/// Which arguments of a command line are the values of `--set`; the program's name is argument 0.
fn set_arguments(args: &[OsString]) -> Vec<usize> {
    let values = args.iter().take_while(|arg| *arg != "--").enumerate().filter_map(|(index, arg)| {
        let text = arg.to_str()?;
        if text == "--set" { Some(index + 1) } else { text.starts_with("--set=").then_some(index) }
    });
    values.collect()
}

impl Shortcuts {
    /// Whether a run for each fold is wanted.
    pub fn all_folds(&self) -> bool {
        self.fold.as_deref() == Some("all")
    }

    fn overrides(&self) -> Vec<Override> {
        let Shortcuts {
            data_dir,
            fold,
            num_workers,
            architecture,
            weights,
            batch_size,
            num_epochs,
            max_steps,
            time_limit,
            lr,
            momentum,
            weight_decay,
            step_size,
            gamma,
            device,
            threads,
            precision,
            seed,
        } = self;
        [
            ("--data_dir", "data.data_dir", data_dir, Kind::Text),
            ("--fold", "data.fold", fold, Kind::Yaml),
            ("--num_workers", "data.num_workers", num_workers, Kind::Yaml),
            ("--architecture", "model.architecture", architecture, Kind::Text),
            ("--weights", "model.weights", weights, Kind::TextOrNull),
            ("--batch_size", "training.batch_size", batch_size, Kind::Yaml),
            ("--num_epochs", "training.num_epochs", num_epochs, Kind::Yaml),
            ("--max_steps", "training.max_steps", max_steps, Kind::Yaml),
            ("--time_limit", "training.max_time", time_limit, Kind::Yaml),
            ("--lr", "optimizer.lr", lr, Kind::Yaml),
            ("--momentum", "optimizer.momentum", momentum, Kind::Yaml),
            ("--weight_decay", "optimizer.weight_decay", weight_decay, Kind::Yaml),
            ("--step_size", "scheduler.step_size", step_size, Kind::Yaml),
            ("--gamma", "scheduler.gamma", gamma, Kind::Yaml),
            ("--device", "training.device", device, Kind::Text),
            ("--threads", "training.threads", threads, Kind::Yaml),
            ("--precision", "training.precision", precision, Kind::Text),
            ("--seed", "seed", seed, Kind::Yaml),
        ]
        .into_iter()
        .filter_map(|(flag, path, text, kind)| {
            let text = text.as_deref()?;
            // What is only looked at is the first run.
            let text = if flag == "--fold" && self.all_folds() { "0" } else { text };
            Some(Override {
                path: path.to_owned(),
                value: kind.value(text),
                source: Source::Flag(flag),
                argument: None,
            })
        })
        .collect()
    }
}

/// How a flag's text becomes a value. Numbers go the way of YAML, so that one check serves files
/// and flags.
enum Kind {
    Text,
    /// Text, but `null`.
    TextOrNull,
    Yaml,
}

impl Kind {
    fn value(&self, text: &str) -> Value {
        let plain = || Value::String(text.to_owned());
        match self {
            Kind::TextOrNull if text == "null" => Value::Null,
            Kind::Text | Kind::TextOrNull => plain(),
            // YAML spells these `.nan` and `.inf`; people don't.
            Kind::Yaml => match text.to_ascii_lowercase().as_str() {
                "nan" => Value::from(f64::NAN),
                "inf" | "+inf" => Value::from(f64::INFINITY),
                "-inf" => Value::from(f64::NEG_INFINITY),
                _ => serde_yaml::from_str(text).unwrap_or_else(|_| plain()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, CommandFactory};

    use super::*;

    fn help() -> String {
        Args::command().term_width(100).render_long_help().to_string()
    }

    /// The flags that a section of the help lists.
    fn flags(section: &str) -> Vec<String> {
        let help = help();
        let lines = help.lines().skip_while(|line| *line != format!("{section}:")).skip(1);
        let lines = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
        lines
            // Texts stand further to the right.
            .filter(|line| line.find('-').is_some_and(|start| start <= 6 && line[..start].trim().is_empty()))
            .filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")))
            .map(|word| word.trim_end_matches('.'))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_help_lists_each_flag_under_its_heading() {
        assert_eq!(
            flags("Options"),
            [
                "--config",
                "--preset",
                "--set",
                "--json",
                "--ui",
                "--verbose",
                "--quiet",
                "--color",
                "--help",
                "--version"
            ]
        );
        assert_eq!(
            flags("Runs"),
            ["--resume", "--rewind", "--allow_changes", "--runs_dir", "--run_name", "--seeds"]
        );
        assert_eq!(flags("Several processes"), ["--nproc", "--all_ranks"]);
        assert_eq!(flags("Averaging"), ["--soup", "--output"]);
        assert_eq!(flags("Inspect").first().map(String::as_str), Some("--init_config"));
        let shortcuts = Shortcuts::augment_args(clap::Command::new("shortcuts"));
        let all: Vec<String> =
            shortcuts.get_arguments().filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect();
        assert!(all.len() > 10);
        assert_eq!(flags("Configuration"), all);
    }

    #[test]
    fn the_help_has_no_markup_and_its_examples_are_not_wrapped() {
        let help = help();
        assert!(!help.contains('`'), "{help}");
        for line in EXAMPLES.lines() {
            assert!(line.len() <= 80 && help.lines().any(|shown| shown == line), "{line}\n{help}");
        }
    }

    #[test]
    fn the_values_of_set_are_found_on_the_command_line() {
        let args = ["ml-train", "--lr", "1", "--set", "a=1", "--set=b=2", "--set", "c=--set", "--", "--set"];
        assert_eq!(set_arguments(&args.map(OsString::from)), [4, 5, 7]);
    }
}
