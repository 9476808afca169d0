//! What `model.weights` names: weights that torchvision publishes, or a file.

use std::fmt;
use std::path::{Path, PathBuf};

use super::table::Published;

/// Endings of files with weights in them; what ends so is a path, whether it is there or not.
const SUFFIXES: [&str; 8] = ["pt", "pth", "th", "safetensors", "ckpt", "bin", "tar", "pkl"];

/// The member that each enum of torchvision's has besides its own.
const DEFAULT: &str = "DEFAULT";

/// What `model.weights` names.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Weights from torchvision.
    Published(&'static Published),
    /// A file, which need not be there.
    File {
        /// The file.
        path: PathBuf,
        /// Which of its weights are meant, where it has several: dotted keys.
        key: Option<String>,
    },
}

/// `model.weights` is neither a known name nor a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownWeights {
    /// Not known, and no file.
    #[error("`{given}` is neither a file nor one of the weights known for {}{}", listed(.architecture), near(.given, .architecture))]
    Name {
        /// What was given.
        given: String,
        /// The network.
        architecture: String,
    },
    /// Published for another network.
    #[error("`{given}` are weights of {of}, and model.architecture is {architecture}; known for {}", listed(.architecture))]
    Another {
        /// What was given.
        given: String,
        /// The network that they are of.
        of: &'static str,
        /// The network.
        architecture: String,
    },
}

impl Choice {
    /// Reads `given`: `DEFAULT`, a member (`IMAGENET1K_V2`), a full name
    /// (`ResNet50_Weights.IMAGENET1K_V2`), or a path: what has a folder in it or ends as files of
    /// weights do, whether it is there or not. Any other file is written with `./` before it. After
    /// a colon a path may name one of several weights in the file, unless there is a file with that
    /// colon in its name.
    ///
    /// # Errors
    /// A name that is not known for this network, and no path.
    pub fn read(given: &str, architecture: &str) -> Result<Choice, UnknownWeights> {
        let owned = || (given.to_owned(), architecture.to_owned());
        let (enumeration, member) = split(given);
        let named = Published::all().iter().filter(|published| match enumeration {
            Some(enumeration) => published.enumeration == enumeration,
            None => published.architecture == architecture,
        });
        let mut named = named
            .filter(|published| published.member == member || (member == DEFAULT && published.is_default));
        match named.next() {
            Some(published) if published.architecture == architecture => Ok(Choice::Published(published)),
            Some(published) => {
                let (given, architecture) = owned();
                Err(UnknownWeights::Another { given, of: published.architecture, architecture })
            }
            None if is_path(given) && Path::new(given).exists() => Ok(Choice::file(given, None)),
            None if is_path(split_key(given).0) => {
                let (path, key) = split_key(given);
                Ok(Choice::file(path, key))
            }
            None => {
                let (given, architecture) = owned();
                Err(UnknownWeights::Name { given, architecture })
            }
        }
    }

    fn file(path: &str, key: Option<&str>) -> Choice {
        Choice::File { path: PathBuf::from(path), key: key.map(str::to_owned) }
    }

    /// A short text that tells these weights from others: the member, or the file's name without
    /// its ending, and the key in it.
    pub fn label(given: &str) -> String {
        let (file, key) = split_key(given);
        match split(given) {
            (Some(_), member) => member.to_owned(),
            (None, _) => {
                let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
                key.map_or_else(|| stem.to_string(), |key| format!("{stem}_{key}"))
            }
        }
    }
}

/// `FILE:key`, where there is a key.
fn split_key(given: &str) -> (&str, Option<&str>) {
    match given.rsplit_once(':') {
        Some((file, key)) if !file.is_empty() && !key.is_empty() && !key.contains('/') => (file, Some(key)),
        _ => (given, None),
    }
}

/// The enum, if `given` begins with the name of one, and the member.
fn split(given: &str) -> (Option<&str>, &str) {
    match given.split_once('.') {
        Some((enumeration, member)) if enumeration.ends_with("_Weights") && !member.contains(['.', '/']) => {
            (Some(enumeration), member)
        }
        _ => (None, given),
    }
}

fn is_path(given: &str) -> bool {
    let path = Path::new(given);
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
    given.contains(std::path::MAIN_SEPARATOR)
        || suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix.as_str()))
}

/// `resnet50 (IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT)`
fn listed(architecture: &str) -> String {
    let mut members: Vec<&str> = Published::of(architecture).map(|published| published.member).collect();
    if members.is_empty() {
        return format!("{architecture} (there are none)");
    }
    members.push(DEFAULT);
    format!("{architecture} ({})", members.join(", "))
}

/// `; did you mean …?` where one is near, else how a file is named whose ending says nothing.
fn near(given: &str, architecture: &str) -> String {
    let (_, member) = split(given);
    let wanted = member.to_uppercase().replace(['-', ' '], "_");
    let members = Published::of(architecture).map(|published| published.member);
    let scored = members.chain([DEFAULT]).map(|known| (strsim::jaro_winkler(&wanted, known), known));
    match scored.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((score, known)) if score > 0.8 && Published::of(architecture).next().is_some() => {
            format!("; did you mean `{known}`?")
        }
        _ => format!("; a file without an ending of weights is written ./{given}"),
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Published(published) => f.write_str(&published.full_name()),
            Choice::File { path, key: None } => write!(f, "{}", path.display()),
            Choice::File { path, key: Some(key) } => write!(f, "{}:{key}", path.display()),
        }
    }
}
