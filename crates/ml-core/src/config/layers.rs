//! Merging the layers, with the source of every value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_yaml::{Mapping, Value};

use super::weights::Origin;
use super::{Config, schema};
use crate::weights::Choice;

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
        }
    }
}

/// One value given on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// YAML path, dotted: `optimizer.lr`.
    pub path: String,
    /// The value, as YAML reads it.
    pub value: Value,
    /// [`Source::Set`] or [`Source::Flag`].
    pub source: Source,
}

/// A configuration and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The validated configuration.
    pub config: Config,
    /// By dotted YAML path; a path that is not there has its default.
    pub sources: BTreeMap<String, Source>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted YAML path.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Who said so.
    pub source: Source,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { path, message, source } = self;
        match (source, path.is_empty()) {
            (Source::Default, true) => write!(f, "{message}"),
            (Source::Default, false) => write!(f, "{path}: {message}"),
            (_, true) => write!(f, "{message} (from {source})"),
            (_, false) => write!(f, "{path}: {message} (from {source})"),
        }
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
        /// The file or flag.
        origin: String,
        /// What the parser says, with line and column.
        message: String,
    },
    /// Everything that is wrong with the values.
    #[error("the configuration has {}:{}", counted(.0.len()), .0.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    Invalid(Vec<Problem>),
}

fn counted(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
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
    Ok(Override { path: path.to_owned(), value, source: Source::Set })
}

/// Merges the defaults, `base` (a YAML text and where it came from), and `overrides`, then
/// validates.
///
/// A mapping whose `name` (or `type`) a layer changes loses the keys that the new choice does not
/// have and those that were only defaults. A transform pipeline given in `base` replaces the
/// default as a whole; where `model.weights` names weights of torchvision's or a checkpoint of
/// ours, the default pipelines are theirs.
///
/// # Errors
/// The text is not YAML, or anything is wrong with the values: all of it, by path.
pub fn resolve(base: Option<(&str, Source)>, overrides: &[Override]) -> Result<Resolved, ConfigError> {
    let mut found = Vec::new();
    let mut file = None;
    if let Some((text, source)) = base {
        let layer = parse_mapping(text, &source)?;
        found.extend(schema::check(&Value::Mapping(layer.clone()), &source));
        file = Some((layer, source));
    }
    let mut given: Vec<(Source, Mapping)> = Vec::new();
    for item in overrides {
        let index = given.iter().position(|(source, _)| *source == item.source).unwrap_or_else(|| {
            given.push((item.source.clone(), Mapping::new()));
            given.len() - 1
        });
        insert(&mut given[index].1, &item.path, item.value.clone());
    }
    // A changed choice (`optimizer.name`) goes before the keys of the new choice, whoever gives
    // them.
    given.sort_by_key(|(_, layer)| !layer.values().any(names_a_choice));
    let merged = |origin| {
        let mut merger = Merger::new(origin);
        if let Some((layer, source)) = file.clone() {
            merger.merge_file(layer, &source);
        }
        for (source, layer) in given.clone() {
            merger.merge(layer, &source);
        }
        merger.default_test_to_val();
        merger
    };
    // What the weights are is known once all is merged; then they decide on defaults.
    let merger = merged(None);
    let origin = merger.origin();
    let merger = if origin.is_some() { merged(origin) } else { merger };
    merger.finish(found)
}

/// The dotted paths of the values in which two configurations differ.
pub fn differences(one: &Config, other: &Config) -> Vec<String> {
    fn walk(one: &Value, other: &Value, path: &str, found: &mut Vec<String>) {
        match (one, other) {
            (Value::Mapping(a), Value::Mapping(b)) => {
                let only_there = b.keys().filter(|key| !a.contains_key(*key));
                for key in a.keys().chain(only_there) {
                    let name = key.as_str().unwrap_or_default();
                    let below = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                    let get = |mapping: &Mapping| mapping.get(key).cloned().unwrap_or_default();
                    walk(&get(a), &get(b), &below, found);
                }
            }
            (one, other) if one != other => found.push(path.to_owned()),
            _ => {}
        }
    }
    let tree = |config: &Config| serde_yaml::to_value(config).unwrap_or_default();
    let mut found = Vec::new();
    walk(&tree(one), &tree(other), "", &mut found);
    found
}

fn parse_mapping(text: &str, source: &Source) -> Result<Mapping, ConfigError> {
    let syntax = |message: String| ConfigError::Syntax { origin: source.to_string(), message };
    match serde_yaml::from_str(text).map_err(|error| syntax(error.to_string()))? {
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::new()),
        _ => Err(syntax("the file must hold keys and values, as in `optimizer: {lr: 0.1}`".into())),
    }
}

fn names_a_choice(value: &Value) -> bool {
    TAGS.iter().any(|tag| value.get(tag).is_some())
}

/// The keys of `transforms`.
const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Keys that choose among strict structs.
const TAGS: [&str; 2] = ["name", "type"];

fn insert(mapping: &mut Mapping, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            mapping.insert(path.into(), value);
        }
        Some((head, rest)) => {
            let entry = mapping.entry(head.into()).or_insert_with(|| Value::Mapping(Mapping::new()));
            if !entry.is_mapping() {
                *entry = Value::Mapping(Mapping::new());
            }
            if let Value::Mapping(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}

struct Merger {
    tree: Mapping,
    sources: BTreeMap<String, Source>,
}

impl Merger {
    /// The defaults, with the transforms of the weights.
    fn new(origin: Option<Origin>) -> Merger {
        let mut config = Config::default();
        let mut sources = BTreeMap::new();
        if let Some(origin) = origin {
            config.transforms = origin.transforms;
            sources.extend(SPLITS.map(|split| (format!("transforms.{split}"), Source::Weights)));
        }
        let Ok(Value::Mapping(tree)) = serde_yaml::to_value(config) else {
            unreachable!("the default configuration is a mapping")
        };
        Merger { tree, sources }
    }

    /// Of the weights that the merged tree names.
    fn origin(&self) -> Option<Origin> {
        let model = self.tree.get("model")?;
        let text = |key: &str| model.get(key).and_then(Value::as_str);
        Origin::of(&Choice::read(text("weights")?, text("architecture")?).ok()?)
    }

    fn merge_file(&mut self, layer: Mapping, source: &Source) {
        if let (Some(Value::Mapping(given)), Some(Value::Mapping(defaults))) =
            (layer.get("transforms"), self.tree.get_mut("transforms"))
        {
            for (split, _) in given.iter().filter(|(_, pipeline)| pipeline.is_mapping()) {
                if defaults.contains_key(split) {
                    defaults.insert(split.clone(), Value::Mapping(Mapping::new()));
                    self.sources.remove(&format!("transforms.{}", split.as_str().unwrap_or_default()));
                }
            }
        }
        self.merge(layer, source);
    }

    fn merge(&mut self, layer: Mapping, source: &Source) {
        merge(&mut self.tree, layer, "", source, &mut self.sources);
    }

    fn default_test_to_val(&mut self) {
        let given = |split: &str| {
            let prefix = format!("transforms.{split}");
            self.sources.iter().any(|(path, source)| *source != Source::Weights && is_under(path, &prefix))
        };
        if !given("val") || given("test") {
            return;
        }
        if let Some(Value::Mapping(transforms)) = self.tree.get_mut("transforms")
            && let Some(val) = transforms.get("val").cloned()
        {
            transforms.insert("test".into(), val);
            self.sources.insert("transforms.test".to_owned(), Source::FollowsVal);
        }
    }

    fn source_of(&self, path: &str) -> Source {
        source_of(&self.sources, path)
    }

    /// `found`: what is wrong with the file's text; the merged tree adds what the overrides
    /// brought.
    fn finish(self, found: Vec<Problem>) -> Result<Resolved, ConfigError> {
        let tree = Value::Mapping(self.tree.clone());
        let mut problems = found;
        for mut problem in schema::check(&tree, &Source::Default) {
            problem.source = self.source_of(&problem.path);
            if !problems.iter().any(|known| known.path == problem.path) {
                problems.push(problem);
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        let mut config: Config = serde_path_to_error::deserialize(tree).map_err(|error| {
            let path = error.path().to_string();
            let source = self.source_of(&path);
            let message = error.into_inner().to_string();
            ConfigError::Invalid(vec![Problem { path, message, source }])
        })?;
        let problems: Vec<Problem> = config
            .problems()
            .into_iter()
            .map(|(path, message)| Problem { source: self.source_of(&path), path, message })
            // A run that goes on has its weights: the file that it began with may be gone.
            .filter(|problem| problem.path != "model.weights" || problem.source != Source::Run)
            .collect();
        if problems.is_empty() {
            config.model.settle_weights();
            Ok(Resolved { config, sources: self.sources })
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }
}

/// The source of the value at `path`: its own, or that of what it lies in.
pub(super) fn source_of(sources: &BTreeMap<String, Source>, path: &str) -> Source {
    let mut path = path;
    loop {
        if let Some(source) = sources.get(path) {
            return source.clone();
        }
        match path.rfind('.') {
            Some(dot) => path = &path[..dot],
            None => return Source::Default,
        }
    }
}

fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn merge(
    base: &mut Mapping,
    layer: Mapping,
    prefix: &str,
    source: &Source,
    sources: &mut BTreeMap<String, Source>,
) {
    drop_keys_of_another_choice(base, &layer, prefix, sources);
    for (key, value) in layer {
        let name = match &key {
            Value::String(name) => name.clone(),
            other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
        };
        let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match (base.get_mut(&key), value) {
            (Some(Value::Mapping(inner)), Value::Mapping(layer)) => {
                merge(inner, layer, &path, source, sources);
            }
            (_, value) => {
                sources.retain(|known, _| !is_under(known, &path));
                sources.insert(path, source.clone());
                base.insert(key, value);
            }
        }
    }
}

fn drop_keys_of_another_choice(
    base: &mut Mapping,
    layer: &Mapping,
    prefix: &str,
    sources: &BTreeMap<String, Source>,
) {
    for tag in TAGS {
        let (Some(Value::String(old)), Some(Value::String(new))) = (base.get(tag), layer.get(tag)) else {
            continue;
        };
        if old == new {
            continue;
        }
        let known = schema::keys_of_choice(prefix, new);
        base.retain(|key, _| {
            let name = key.as_str().unwrap_or_default();
            sources.contains_key(&format!("{prefix}.{name}")) && known.iter().any(|known| known == name)
        });
    }
}
