//! What can be wrong with a configuration, and where the values came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The program's default.
    Default,
    /// A YAML file.
    File(PathBuf),
    /// `--set key.path=value`.
    Set,
    /// A flag of its own, spelt as on the command line: `--lr`.
    Flag(&'static str),
    /// The configuration of the run that is resumed.
    Run,
    /// `transforms.test`, taken from `transforms.val`.
    FollowsVal,
    /// The transforms that go with the weights to start from.
    Weights,
    /// What goes with `data.task: multi_label`.
    Task,
    /// `--preset`, by its name.
    Preset(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Set => f.write_str("--set"),
            Source::Flag(flag) => f.write_str(flag),
            Source::Run => f.write_str("the run"),
            Source::FollowsVal => f.write_str("as transforms.val"),
            Source::Weights => f.write_str("from the weights"),
            Source::Task => f.write_str("for data.task: multi_label"),
            Source::Preset(name) => write!(f, "preset {name}"),
        }
    }
}

/// One thing that is wrong: ``my.yaml:12: optimizer.learning_rate: unknown key; did you mean
/// `lr`?``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted YAML path.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Where the value came from.
    pub source: Source,
    /// Where in its source the value stands, if known: the line of the file, counted from 1, or of
    /// a `--set` the number of its argument on the command line, counted from 1.
    pub position: Option<usize>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.position) {
            (Source::Default, _) => {}
            (Source::File(path), Some(line)) => write!(f, "{}:{line}: ", path.display())?,
            (Source::Set, Some(argument)) => write!(f, "--set (argument {argument}): ")?,
            (Source::Run, _) => f.write_str("configuration of the run: ")?,
            (Source::Weights, _) => f.write_str("transforms of the weights: ")?,
            (source, _) => write!(f, "{source}: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The text is no YAML mapping.
    #[error("{origin}: not valid YAML: {message}")]
    Syntax {
        /// The file, with the line where it is known, or the flag.
        origin: String,
        /// What the parser says.
        message: String,
    },
    /// Everything that is wrong with the values.
    #[error("the configuration has {}:{}", counted(.0.len()), .0.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    Invalid(Vec<Problem>),
}

fn counted(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}
