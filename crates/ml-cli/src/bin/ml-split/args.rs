//! Flags → what to split, how, and where to write it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ml_cli::exit::{UsageError, usage};
use ml_cli::flags::{ConsoleArgs, CsvArgs, path, whole_number};
use ml_data::dataset::{
    CsvOptions, DEFAULT_RATIO, DEFAULT_SEED, DEFAULT_TEST_RATIO, Division, Grouping, Link, Ratio,
};

use crate::check::args::{CheckArgs, FirstArgs};

const EXAMPLES: &str = "\
Examples:
  ml-split data/flowers/raw                            70 % train, 15 % val, 15 % test; writes data/flowers/splits
  ml-split data/flowers/raw --ratio 0.8 0.1 0.1        other shares (or 80 10 10)
  ml-split data/flowers/raw --ratio 0.8 0.2            no test split
  ml-split data/flowers/raw --folds 5                  5 folds of 85 %, and one test split of 15 % for all of them
  ml-split data/flowers/raw --folds 5 --test_ratio 0   5 folds of everything, no test split
  ml-split data/scans/raw --group_by folder            CLASS/PATIENT/…: each patient in one split, in whatever classes
  ml-split data/scans/raw --group_by '(patient_\\d+)'   likewise, by what the path says
  ml-split data/scans/labels.csv                       labels from columns path,label and perhaps group,split
  ml-split isic.csv --csv_path_column image_id --csv_label_column dx --image_root images --suffix .jpg
  ml-split tags.csv --task multi_label                 several labels an image
  ml-split data/flowers/raw --dry_run                  show the numbers, write nothing
  ml-split data/flowers/raw --check                    read every image first, and refuse if one cannot be read
  ml-split check data/flowers                          look for damaged images, duplicates, leaks; write a report
  ml-split data/flowers/raw --force --exclude runs/base/report/label_issues_val.csv    without likely wrong labels
  ml-split data/flowers/raw --layout folders --link symlink --output data/flowers_tree

Then train with `ml-train --data_dir data/flowers`. Images are not moved, and read only to find duplicates and by
--check. The same images, flags and seed give the same splits. Flags take - or _ alike. Exit codes: 0 done, 1 failed,
2 usage.
`ml-split completions <SHELL>` prints completions for bash, zsh, fish, elvish or powershell.";

/// Divide a folder of class folders, or the images of a CSV, into training, validation and test
/// images
///
/// Each class is split in the same proportions, to exact counts, or as close as groups that stay
/// together allow.
#[derive(Parser, Debug)]
#[command(name = "ml-split", version, after_help = EXAMPLES, rename_all = "snake_case")]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
#[expect(clippy::doc_markdown, reason = "these are the texts of --help, which shows backticks as they are")]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Folder with one folder of images a class, or a CSV with columns of paths and labels, perhaps
    /// groups and splits
    #[arg(required = true, value_name = "IMAGE_DIR")]
    pub image_dir: Option<PathBuf>,

    /// Shares of train, val and test, or of train and val; they sum to 1 or to 100 [default: 0.7
    /// 0.15 0.15]
    #[arg(long, num_args = 1.., value_delimiter = ',', allow_negative_numbers = true, value_name = "SHARE", value_parser = parse_share)]
    pub ratio: Option<Vec<f64>>,
    /// Divide into K folds, 0 to K-1: each is the validation split once, and the others are trained
    /// on
    #[arg(long, allow_negative_numbers = true, value_name = "K", value_parser = whole_number::<u32>)]
    pub folds: Option<u32>,
    /// With --folds: share of the test split, set aside first [default: 0.15]
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE")]
    pub test_ratio: Option<f64>,
    /// Seed of the shuffle within each class
    #[arg(long, default_value_t = DEFAULT_SEED, allow_negative_numbers = true, value_name = "N", value_parser = whole_number::<u64>)]
    pub seed: u64,

    /// How many labels an image has. multi_label: any number, from a CSV, or from class folders that
    /// hold links to one image
    #[arg(long, value_enum, default_value_t = TaskName::SingleLabel, value_name = "TASK", help_heading = "Several labels")]
    pub task: TaskName,
    /// With --task multi_label: columns of the CSV that hold 0 and 1, a class each [default: all but
    /// the path's, if they do]
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…", help_heading = "Several labels")]
    pub label_columns: Option<Vec<String>>,
    /// With --task multi_label: what separates labels in a column of labels [default: |]
    #[arg(long, value_name = "TEXT", help_heading = "Several labels")]
    pub label_separator: Option<String>,

    /// Leave out the images that this file names: a CSV with a column path, such as the label issues
    /// in the report of a training, or a path a line
    #[arg(long, value_parser = path(), value_name = "FILE", help_heading = "Corrections")]
    pub exclude: Option<PathBuf>,
    /// Give the images that this CSV names in its column path the class in its column suggested (or
    /// label); of class folders, with --layout folders
    #[arg(long, value_parser = path(), value_name = "FILE", help_heading = "Corrections")]
    pub relabel: Option<PathBuf>,

    /// What stays together: folder (the one below the class folder), csv (the column group), none,
    /// or a regular expression on CLASS/…/IMAGE, by its first capture group [default: csv if there
    /// is such a column, else none]
    #[arg(long, value_name = "WHAT", help_heading = "Staying together")]
    pub group_by: Option<String>,
    /// What is done about images with the same content
    #[arg(long, value_enum, default_value_t = Duplicates::KeepTogether, value_name = "WHAT", help_heading = "Staying together")]
    pub duplicates: Duplicates,
    /// Where the CSV gives splits that separate a group or duplicates
    #[arg(long, value_enum, default_value_t = OnLeak::Fail, value_name = "WHAT", help_heading = "Staying together")]
    pub on_leak: OnLeak,
    /// index: text files that name the images; folders: a tree SPLIT/CLASS/IMAGE
    #[arg(long, value_enum, default_value_t = LayoutName::Index, value_name = "LAYOUT", help_heading = "Output")]
    pub layout: LayoutName,
    /// What --layout folders puts in place of an image [default: hardlink]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Output")]
    pub link: Option<LinkName>,
    /// Data folder to make [index: the one that holds the images; folders: the same with _split
    /// added]
    #[arg(short, long, value_parser = path(), value_name = "DIR", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Replace splits that ml-split made before
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Show what would be done, write nothing
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Print the result as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    #[command(flatten)]
    pub csv: CsvArgs,
    #[command(flatten)]
    pub first: FirstArgs,
    #[command(flatten)]
    pub console: ConsoleArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Read every image and report what is wrong with the data set
    Check(CheckArgs),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: Shell },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayoutName {
    Index,
    Folders,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkName {
    Hardlink,
    Symlink,
    Copy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TaskName {
    SingleLabel,
    MultiLabel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Duplicates {
    /// They are in one split
    KeepTogether,
    /// They are not looked for, and no image is read
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnLeak {
    Fail,
    Warn,
}

/// What makes groups.
#[derive(Clone, Debug)]
pub enum Groups {
    /// The CSV's column, if it has one.
    Default,
    None,
    By(Grouping),
}

fn parse_share(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "is not a number (IMAGE_DIR stands before --ratio)".to_owned())
}

impl Args {
    /// # Errors
    /// Flags that do not go together, or shares that make no sense.
    pub fn division(&self) -> anyhow::Result<Division> {
        match (&self.ratio, self.folds, self.test_ratio) {
            (Some(_), Some(_), _) => usage(
                "--ratio and --folds exclude each other: K folds say what is trained on and validated; give the \
                 test split's share with --test_ratio",
            ),
            (_, None, Some(_)) => {
                usage("--test_ratio goes with --folds; give three shares with --ratio instead")
            }
            (None, Some(folds), test) => {
                Ok(Division::Folds { folds, test_ratio: test.unwrap_or(DEFAULT_TEST_RATIO) })
            }
            (shares, None, None) => {
                let shares = shares.as_deref().unwrap_or(&DEFAULT_RATIO);
                Ok(Division::Ratio(Ratio::new(shares).map_err(|error| UsageError(error.into()))?))
            }
        }
    }

    /// # Errors
    /// A regular expression that is none.
    pub fn groups(&self) -> anyhow::Result<Groups> {
        match self.group_by.as_deref() {
            None => Ok(Groups::Default),
            Some("none") => Ok(Groups::None),
            Some(text) => Ok(Groups::By(Grouping::parse(text).map_err(|error| UsageError(error.into()))?)),
        }
    }

    /// How a CSV of labels is read.
    pub fn csv_options(&self) -> CsvOptions {
        CsvOptions {
            label_columns: self.label_columns.clone(),
            label_separator: self.label_separator.clone(),
            ..self.csv.options()
        }
    }

    /// The first of the flags for a CSV that was given.
    pub fn first_csv_flag(&self) -> Option<&'static str> {
        let columns = self.label_columns.as_ref().map(|_| "--label_columns");
        columns.or(self.label_separator.as_ref().map(|_| "--label_separator")).or(self.csv.first_given())
    }

    /// Flags that do not go with the task.
    ///
    /// # Errors
    /// There are some.
    pub fn check_task(&self) -> anyhow::Result<()> {
        let columns = self.label_columns.is_some();
        if self.task == TaskName::SingleLabel {
            return match (columns, self.label_separator.is_some()) {
                (true, _) => usage("--label_columns goes with --task multi_label"),
                (_, true) => usage("--label_separator goes with --task multi_label"),
                _ => Ok(()),
            };
        }
        if columns && self.label_separator.is_some() {
            return usage(
                "--label_columns and --label_separator exclude each other: a class has a column, or a name",
            );
        }
        if columns && self.csv.csv_label_column.is_some() {
            return usage(
                "--label_columns and --csv_label_column exclude each other: a column a class, or one of all",
            );
        }
        if self.first.check {
            return usage(
                "--check takes one label an image; leave it out, and run ml-split check on the data folder",
            );
        }
        Ok(())
    }

    /// Whether a CSV of labels is to be split.
    pub fn is_csv(&self) -> bool {
        let suffix = self.image_dir().extension();
        let is_table = |suffix: &OsStr| ["csv", "tsv"].iter().any(|known| suffix.eq_ignore_ascii_case(known));
        suffix.is_some_and(is_table) && !self.image_dir().is_dir()
    }

    /// What to put into a tree of folders; none for index files.
    ///
    /// # Errors
    /// `--link` without a tree.
    pub fn tree(&self) -> anyhow::Result<Option<Link>> {
        match (self.layout, self.link) {
            (LayoutName::Index, Some(_)) => {
                usage("--link goes with --layout folders; index files need no links")
            }
            (LayoutName::Index, None) => Ok(None),
            (LayoutName::Folders, link) => Ok(Some(match link {
                None | Some(LinkName::Hardlink) => Link::Hard,
                Some(LinkName::Symlink) => Link::Symbolic,
                Some(LinkName::Copy) => Link::Copy,
            })),
        }
    }

    /// Given, unless a subcommand was.
    pub fn image_dir(&self) -> &Path {
        self.image_dir.as_deref().unwrap_or(Path::new("."))
    }
}
