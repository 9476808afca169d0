//! Flags that every program has, and the spelling of long flags.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, ValueEnum};
use ml_data::dataset::{CsvOptions, Split};
use ml_data::files::expand_home;

use crate::escapes;

/// A flag's `help_heading` that puts it under "Options", whatever stands before it.
pub const NO_HEADING: Option<&str> = None;

/// What was typed behind the program's name, to be compared and shown.
pub fn command_line() -> String {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}

/// How much is reported, and in which colours.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = NO_HEADING)]
pub struct ConsoleArgs {
    /// More output: -v debug, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Less output: -q warnings and errors, -qq errors
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "verbose")]
    pub quiet: u8,
    /// When to colour the output and draw progress bars
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN", global = true)]
    pub color: ColorChoice,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `TERM` is `dumb` or not set, or `NO_COLOR` or `CLICOLOR=0` is set
    #[value(help = "On a terminal, unless TERM is dumb or not set, or NO_COLOR or CLICOLOR=0 is set")]
    Auto,
    /// Always; bars still only on a terminal
    Always,
    /// Never; no bars either
    Never,
}

/// `--split`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are shown as they are called")]
pub enum SplitName {
    Train,
    Val,
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Split {
        match name {
            SplitName::Train => Split::Train,
            SplitName::Val => Split::Val,
            SplitName::Test => Split::Test,
        }
    }
}

/// How a CSV of labels is read.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "CSV of labels", rename_all = "snake_case")]
pub struct CsvArgs {
    /// Column of paths [default: path, or the one that names images]
    #[arg(long, value_name = "COLUMN")]
    pub csv_path_column: Option<String>,
    /// Column of labels [default: label, or the only other one]
    #[arg(long, value_name = "COLUMN")]
    pub csv_label_column: Option<String>,
    /// Column of groups that stay together [default: group, if there is one]
    #[arg(long, value_name = "COLUMN")]
    pub csv_group_column: Option<String>,
    /// Column of splits: train, val, test [default: split, if there is one]
    #[arg(long, value_name = "COLUMN")]
    pub csv_split_column: Option<String>,
    /// What paths in the CSV are relative to [default: the CSV's folder]
    #[arg(long, alias = "root", value_parser = path(), value_name = "DIR")]
    pub image_root: Option<PathBuf>,
    /// Ending that paths in the CSV lack, such as .png [default: found]
    #[arg(long, value_name = "ENDING")]
    pub suffix: Option<String>,
}

impl CsvArgs {
    /// The same for the core library.
    pub fn options(&self) -> CsvOptions {
        CsvOptions {
            root: self.image_root.clone(),
            path_column: self.csv_path_column.clone(),
            label_column: self.csv_label_column.clone(),
            group_column: self.csv_group_column.clone(),
            split_column: self.csv_split_column.clone(),
            suffix: self.suffix.clone(),
            ..CsvOptions::default()
        }
    }

    /// The first of the flags that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        [
            ("--csv_path_column", self.csv_path_column.is_some()),
            ("--csv_label_column", self.csv_label_column.is_some()),
            ("--csv_group_column", self.csv_group_column.is_some()),
            ("--csv_split_column", self.csv_split_column.is_some()),
            ("--image_root", self.image_root.is_some()),
            ("--suffix", self.suffix.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, is_given)| is_given.then_some(flag))
    }
}

/// Reads the process's arguments, in which long flags may be written with - or _. What is wrong with
/// them, `--help` and `--version` end the process, coloured as `--color` says.
pub fn parse<A: Parser>() -> A {
    let args = normalized_args();
    // On a terminal only.
    let auto = if escapes::wanted() { clap::ColorChoice::Auto } else { clap::ColorChoice::Never };
    let matches = A::command().color(color_of(&args, auto)).get_matches_from(args);
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The colours of messages about flags, known before these are read.
fn color_of(args: &[OsString], by_default: clap::ColorChoice) -> clap::ColorChoice {
    let flags = args.iter().take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str());
    let mut color = by_default;
    let mut is_value = false;
    for flag in flags {
        let value = if is_value { Some(flag) } else { flag.strip_prefix("--color=") };
        is_value = flag == "--color";
        match value {
            Some("always") => color = clap::ColorChoice::Always,
            Some("never") => color = clap::ColorChoice::Never,
            _ => {}
        }
    }
    color
}

/// Reads a flag's value that is a path: a leading `~/` is the user's home, since shells leave the
/// one in `--flag=~/x` alone.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| expand_home(&path))
}

/// The process's arguments with `--batch-size` and `--batch_size` made one spelling, the one with
/// underscores. What stands after `--`, and values, are left alone.
pub fn normalized_args() -> Vec<OsString> {
    normalize(std::env::args_os())
}

fn normalize(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut only_values = false;
    args.map(|arg| {
        only_values |= arg == "--";
        match arg.to_str() {
            Some(text) if !only_values && text.starts_with("--") => {
                let (flag, value) = text.split_at(text.find('=').unwrap_or(text.len()));
                OsString::from(format!("--{}{value}", flag[2..].replace('-', "_")))
            }
            _ => arg,
        }
    })
    .collect()
}

/// Reads a flag's value.
///
/// # Errors
/// It is no number, negative, or too large for `T`.
pub fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "must be a whole number, at least 0".to_owned())
}

/// Reads a flag's value.
///
/// # Errors
/// It is no number, or less than 1.
pub fn positive_number(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "must be a whole number, at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_flags_are_spelt_with_underscores_and_values_are_untouched() {
        let given = ["ml-train", "--batch-size", "32", "--data_dir=a-b", "-v", "x-y", "--", "--a-b"];
        let expected = ["ml-train", "--batch_size", "32", "--data_dir=a-b", "-v", "x-y", "--", "--a-b"];
        assert_eq!(normalize(given.iter().map(OsString::from)), expected.map(OsString::from));
    }

    #[test]
    fn the_colour_of_messages_about_flags_is_known_before_the_flags_are_read() {
        for (args, color) in [
            (&["x", "--lr", "1"][..], clap::ColorChoice::Auto),
            (&["x", "--color", "never"][..], clap::ColorChoice::Never),
            (&["x", "--wrong", "--color=always"][..], clap::ColorChoice::Always),
            (&["x", "--", "--color=always"][..], clap::ColorChoice::Auto),
        ] {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            assert_eq!(color_of(&args, clap::ColorChoice::Auto), color, "{args:?}");
        }
    }
}
