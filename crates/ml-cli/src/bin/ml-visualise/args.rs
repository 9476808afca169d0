//! Flags.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ml_cli::flags::{ConsoleArgs, SplitName};
use ml_core::device::DeviceChoice;
use ml_report::tensorboard::projector::MAX_POINTS;

const EXAMPLES: &str = "\
Examples:
  ml-visualise                                   all runs in runs/
  ml-visualise runs/base                         one run
  ml-visualise --port 0                          any free port
  ml-visualise --host 0.0.0.0                    reachable from other machines
  ml-visualise report runs/base                  write runs/base/report/report.html
  ml-visualise runs --filter 'val_accuracy>0.9'  list runs
  ml-visualise compare runs/base runs/lr_0.01    which is better, and on which images
  ml-visualise samples runs/base                 images as training sees them
  ml-visualise launch runs -- --samples_per_plugin images=100   flags of TensorBoard's own

Flags take - or _ alike. Exit codes: 0 done, 1 failed, 2 usage, 130/143 interrupted.
`ml-visualise completions <SHELL>` prints completions for bash, zsh, fish, elvish or powershell.";

/// Show one run, or all of them, in TensorBoard, or write a report of it
#[derive(Parser, Debug)]
#[command(name = "ml-visualise", version, after_help = EXAMPLES, rename_all = "snake_case")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub launch: LaunchArgs,

    #[command(flatten)]
    pub console: ConsoleArgs,
}

/// Flags of `launch`, and of no command.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct LaunchArgs {
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
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show one run, or all of them, in TensorBoard; what happens without a command too
    Launch(LaunchArgs),
    /// Write report/report.html of runs: curves, metrics with intervals, confused classes, mistakes,
    /// likely wrong labels, calibration, settings, time
    Report {
        /// Run folders
        #[arg(value_name = "RUN", required = true)]
        runs: Vec<PathBuf>,
    },
    /// List runs as a table: sorted, filtered, or for programs
    Runs(RunsArgs),
    /// Draw the curves of runs: in the terminal, and as a PNG
    Curves(CurvesArgs),
    /// Compare runs on the same images: settings, metrics, tests of the difference, images that only
    /// one gets right
    Compare(CompareArgs),
    /// Draw images as training sees them: the first column as validation would, the others augmented
    Samples(SamplesArgs),
    /// Show where the network looks (Grad-CAM): in given images, or in some of the run's that it
    /// predicts right and wrong
    Cam(CamArgs),
    /// Write what the network makes of each image, its embedding: a NumPy file, and a table of the
    /// images
    Embed(EmbedArgs),
    /// Remove what is no longer needed below a folder of runs, after showing what that is
    Clean(CleanArgs),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: Shell },
}

/// Flags of `runs`.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
#[expect(clippy::doc_markdown, reason = "these are the texts of --help, which shows backticks as they are")]
pub struct RunsArgs {
    /// Folder of runs
    #[arg(value_name = "FOLDER", default_value = "runs")]
    pub folder: PathBuf,
    /// Columns, with commas between them: names as in the table, or keys of the configuration such as
    /// optimizer.weight_decay
    #[arg(long, value_name = "NAMES")]
    pub columns: Option<String>,
    /// Column to sort by; with a - before it the largest first [default: -val_accuracy]
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true, default_value = "-val_accuracy")]
    pub sort: String,
    /// Only runs of which this holds, such as 'val_accuracy>0.9' or 'network~resnet' (may be repeated)
    #[arg(long, value_name = "CONDITION")]
    pub filter: Vec<String>,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = TableFormat::Table, value_name = "FORMAT")]
    pub format: TableFormat,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Aligned columns
    Table,
    /// With a header
    Csv,
    /// A list of objects
    Json,
}

/// Flags of `curves`.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct CurvesArgs {
    /// Run folders
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Also draw them into this PNG
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Draw with ASCII characters alone
    #[arg(long)]
    pub ascii: bool,
}

/// Flags of `compare`.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct CompareArgs {
    /// Run folders, two or more
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// Split [default: test where all runs were evaluated on it, else val]
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<String>,
    /// Compare on the images that all runs predicted, where these differ
    #[arg(long)]
    pub common: bool,
    /// HTML page to write
    #[arg(short, long, default_value = "comparison.html", value_name = "FILE")]
    pub output: PathBuf,
}

/// Flags of `samples`.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct SamplesArgs {
    /// Run folder, or a configuration (.yaml)
    #[arg(value_name = "RUN|CONFIG")]
    pub of: PathBuf,
    /// Data folder, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Images, one a row
    #[arg(long, default_value = "8", value_name = "N")]
    pub images: NonZeroUsize,
    /// Epochs, a column each
    #[arg(long, default_value = "7", value_name = "N")]
    pub epochs: NonZeroUsize,
    /// PNG to write [default: report/samples.png of the run, samples.png of a configuration]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Flags of `cam`.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct CamArgs {
    /// Run folder or checkpoint
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Images [default: some of the run's own, into its report/cam/]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Class to explain, instead of the predicted one
    #[arg(long, value_name = "NAME", requires = "images")]
    pub class: Option<String>,
    /// Folder to write into
    #[arg(short, long, default_value = "cam", value_name = "DIR")]
    pub output: PathBuf,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
}

/// Flags of `embed`.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct EmbedArgs {
    /// Run folder or checkpoint
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Split [default: test, or all where nothing is split]
    #[arg(long, value_enum, value_name = "SPLIT")]
    pub split: Option<SplitName>,
    /// Labelled images, instead of the run's
    #[arg(long, value_name = "PATH")]
    pub data_dir: Option<PathBuf>,
    /// Folder to write into, also what TensorBoard reads [default: the run's report/ and tensorboard/]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Images that TensorBoard's projector shows at most, evenly from all
    #[arg(long, default_value = "5000", value_name = "N", value_parser = parse_points)]
    pub points: NonZeroUsize,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Images that go through the network together
    #[arg(long, default_value = "32", value_name = "N")]
    pub batch_size: NonZeroUsize,
}

/// Flags of `clean`.
#[derive(clap::Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct CleanArgs {
    /// Folder of runs, or one run
    #[arg(value_name = "FOLDER", default_value = "runs")]
    pub folder: PathBuf,
    /// Also last.pt, previous.pt and rollback.pt of runs that have ended: they can then not be
    /// trained for longer
    #[arg(long)]
    pub checkpoints: bool,
    /// Also rewound/, what runs held before --rewind
    #[arg(long)]
    pub rewound: bool,
    /// Remove without asking
    #[arg(short, long)]
    pub yes: bool,
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}", u16::MAX))
}

fn parse_points(text: &str) -> Result<NonZeroUsize, String> {
    let points = text.parse().ok().filter(|points: &NonZeroUsize| points.get() <= MAX_POINTS);
    points.ok_or_else(|| {
        format!("must be a whole number from 1 to {MAX_POINTS}, the most that the projector shows")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    /// The command lines of the help, without what is said about them.
    fn examples() -> Vec<Vec<String>> {
        let lines = EXAMPLES.lines().filter_map(|line| line.strip_prefix("  "));
        let command = |line: &str| line.split("  ").next().unwrap().replace('\'', "");
        lines.map(|line| command(line).split(' ').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn the_examples_of_the_help_are_understood() {
        assert!(examples().len() > 8);
        for example in examples() {
            let args = Args::try_parse_from(&example).unwrap_or_else(|error| panic!("{example:?}: {error}"));
            if example.contains(&"--".to_owned()) {
                let Some(Command::Launch(launch)) = args.command else { panic!("{example:?}: {args:?}") };
                assert_eq!(launch.folder, PathBuf::from("runs"));
                assert_eq!(launch.more, ["--samples_per_plugin", "images=100"]);
            }
        }
    }

    #[test]
    fn more_points_than_the_projector_shows_are_refused_before_anything_is_written() {
        let parsed =
            |points: &str| Args::try_parse_from(["ml-visualise", "embed", "run", "--points", points]);
        for good in ["1", "100000"] {
            assert!(parsed(good).is_ok(), "{good}");
        }
        for wrong in ["0", "100001", "many"] {
            let error = parsed(wrong).unwrap_err().to_string();
            assert!(error.contains("from 1 to 100000"), "{error}");
        }
    }
}
