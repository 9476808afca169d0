//! The flags of `ml-split check` and of `--check`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use ml_cli::flags::{path, positive_number};
use ml_data::check::MAX_DISTANCE;

const EXAMPLES: &str = "\
Examples:
  ml-split check data/flowers                    writes data/flowers/dataset_report.html and .json
  ml-split check data/flowers --no_report        only prints
  ml-split check data/flowers --json | jq '.findings[] | select(.severity == \"error\")'

Nothing is changed among the images.
Exit codes: 0 no errors (there may be warnings), 1 errors found or report not written, 2 usage, 130 interrupted.
To split a folder that is itself called check: ml-split ./check";

/// Read every image of a data folder and report what is wrong with it
///
/// Finds images that are unreadable, truncated, damaged, oversized, wrongly named, of one colour,
/// of odd shape or size; exact and near duplicates within and across classes and splits; empty and
/// tiny classes; imbalance.
#[derive(Args, Debug)]
#[command(rename_all = "snake_case", after_help = EXAMPLES)]
pub struct CheckArgs {
    /// Folder of class folders, a folder that holds raw/ or train/ and val/, or a data folder with
    /// splits/
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Folder for the report's two files [default: the data folder, beside the images]
    #[arg(short, long, value_parser = path(), value_name = "DIR", conflicts_with = "no_report")]
    pub output: Option<PathBuf>,
    /// Write no report
    #[arg(long)]
    pub no_report: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Threads that decode [default: one a processor]
    #[arg(long, value_name = "N", value_parser = positive_number)]
    pub num_workers: Option<NonZeroUsize>,
    /// Bits, of 64, in which the perceptual hashes of near duplicates may differ, 0 to 7
    #[arg(long, value_name = "BITS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_DISTANCE)))]
    pub near_distance: u32,
}

/// `--check` before splitting.
#[derive(Args, Debug)]
#[command(rename_all = "snake_case")]
pub struct FirstArgs {
    /// Examine the images first, as `ml-split check` does, and split nothing if one cannot be read
    #[arg(long, help_heading = "Check")]
    pub check: bool,
    /// With --check: split even if images cannot be read; they are split like the others
    #[arg(long, requires = "check", help_heading = "Check")]
    pub allow_unreadable: bool,
    /// With --check: write no report
    #[arg(long, requires = "check", help_heading = "Check")]
    pub no_report: bool,
}
