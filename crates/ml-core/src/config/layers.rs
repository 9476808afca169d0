//! What a configuration is made from, and what comes of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml::Value;

use super::Config;
use super::problem::{ConfigError, Source};
use crate::weights::{Choice, Origin, OriginError};

/// One value given on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// YAML path, dotted: `optimizer.lr`.
    pub path: String,
    /// The value, as YAML reads it.
    pub value: Value,
    /// [`Source::Set`] or [`Source::Flag`].
    pub source: Source,
    /// Which argument of the command line it is, from 1, if that is known.
    pub argument: Option<usize>,
}

/// Reads for [`resolve`](super::resolve()) what a file of weights says of its images:
/// [`Origin::read`], or a stand-in.
pub type ReadOrigin<'a> = &'a dyn Fn(&Path) -> Result<Option<Origin>, OriginError>;

/// A configuration and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The validated configuration.
    pub config: Config,
    /// By dotted YAML path; a path that is not there has its default.
    pub sources: BTreeMap<String, Source>,
    /// The weights to start from and what their images were, where that is known.
    pub origin: Option<(Choice, Origin)>,
}

/// Reads `key.path=value`; the value is YAML (`0.1`, `[1, 2]`, `null`).
///
/// # Errors
/// There is no `=`, the path is empty, or the value is not YAML.
pub fn parse_set(text: &str) -> Result<Override, ConfigError> {
    let syntax = |message: String| ConfigError::Syntax { origin: format!("--set {text}"), message };
    let (path, value) = text.split_once('=').ok_or_else(|| {
        syntax("there is no `=`; write --set key.path=value, as in --set optimizer.lr=0.1".into())
    })?;
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(syntax(format!("`{path}` is no key path; write it as in optimizer.lr")));
    }
    let value = serde_yaml::from_str(value).map_err(|error| syntax(error.to_string()))?;
    Ok(Override { path: path.to_owned(), value, source: Source::Set, argument: None })
}
