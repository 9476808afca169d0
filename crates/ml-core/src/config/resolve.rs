//! All layers → one validated configuration.

use std::collections::BTreeMap;
use std::path::Path;

use ml_data::files::{expand_home_to, home, variable_in};
use serde_yaml::{Mapping, Value};

use super::file::File;
use super::layers::{Override, ReadOrigin, Resolved};
use super::merge::{enclosing, insert, is_under, merge, names_a_choice, source_of};
use super::problem::{ConfigError, Problem, Source};
use super::sections::PATHS;
use super::{Config, TransformsConfig, schema, task};
use crate::weights::{Choice, Origin};

/// The keys of `transforms`.
const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Merges the defaults, `base` (a YAML text and where it came from), and `overrides`, then
/// validates.
///
/// A mapping whose `name` (or `type`) a layer changes loses the keys that the new choice does not
/// have and those that were only defaults. A transform pipeline given in `base` replaces the
/// default as a whole; where `model.weights` names weights of torchvision's or a checkpoint of
/// ours, the default pipelines are theirs: `read_origin` is asked, at most once, for those of a
/// file. It is not asked where a run that is resumed names the weights: the run has written down
/// all that they decided, and the file may be gone. A leading `~/` of a path is the folder that the
/// variable `HOME` names.
///
/// # Errors
/// The text is not YAML, or anything is wrong with the values or the file of weights: all of it, by
/// place and path.
pub fn resolve(
    base: Option<(&str, Source)>,
    overrides: &[Override],
    read_origin: ReadOrigin<'_>,
) -> Result<Resolved, ConfigError> {
    resolve_over(None, base, overrides, read_origin)
}

/// As [`resolve`], with a preset (a YAML text and its [`Source::Preset`]) between the defaults and
/// `base`. Where a later layer changes the `name` or `type` of a mapping, what the preset gave there is
/// dropped, as defaults are.
///
/// # Errors
/// As there.
pub fn resolve_over(
    preset: Option<(&str, Source)>,
    base: Option<(&str, Source)>,
    overrides: &[Override],
    read_origin: ReadOrigin<'_>,
) -> Result<Resolved, ConfigError> {
    resolve_layers(home().as_deref(), [preset, base], overrides, read_origin)
}

/// As [`resolve`], with the home folder `home`, if there is one.
///
/// # Errors
/// As there, or a path starts with `~` and cannot be expanded.
pub fn resolve_at(
    home: Option<&Path>,
    base: Option<(&str, Source)>,
    overrides: &[Override],
    read_origin: ReadOrigin<'_>,
) -> Result<Resolved, ConfigError> {
    resolve_layers(home, [None, base], overrides, read_origin)
}

/// As [`resolve_at`], with the texts of a preset and of a file.
fn resolve_layers(
    home: Option<&Path>,
    texts: [Option<(&str, Source)>; 2],
    overrides: &[Override],
    read_origin: ReadOrigin<'_>,
) -> Result<Resolved, ConfigError> {
    let [preset, base] = texts.map(|text| text.map(|(text, source)| File::parse(text, source)).transpose());
    let (preset, base) = (preset?, base?);
    let layers = Layers { preset: preset.as_ref(), base: base.as_ref(), overrides };
    let files = [layers.preset, layers.base].into_iter().flatten();
    let mut problems: Vec<Problem> = files.flat_map(File::problems).collect();
    // Which the weights are is known once all is merged; then they decide on defaults.
    let mut first = layers.merged(None);
    problems.extend(first.expand_paths(home));
    let origin = match first.origin(read_origin) {
        Ok(origin) => origin,
        Err(message) => {
            problems.push(first.with_hint(first.problem("model.weights", message)));
            None
        }
    };
    if origin.is_some() {
        first = layers.merged(origin);
        // What is wrong with a path is known already.
        let _ = first.expand_paths(home);
    }
    first.finish(problems)
}

/// What is merged onto the defaults.
#[derive(Clone, Copy)]
struct Layers<'a> {
    preset: Option<&'a File>,
    base: Option<&'a File>,
    overrides: &'a [Override],
}

impl<'a> Layers<'a> {
    /// All of them on the defaults, of which the transforms are those of the weights.
    fn merged(self, origin: Option<(Choice, Origin)>) -> Merger<'a> {
        let mut merger = Merger::new(self, origin);
        for File { layer, source, .. } in [self.preset, self.base].into_iter().flatten() {
            merger.merge_file(layer.clone(), source);
        }
        for (source, layer) in self.by_source() {
            merger.merge(layer, &source);
        }
        merger.default_test_to_val();
        merger
    }

    /// The overrides as a layer for each source.
    fn by_source(self) -> Vec<(Source, Mapping)> {
        let mut given: Vec<(Source, Mapping)> = Vec::new();
        for item in self.overrides {
            let index = given.iter().position(|(source, _)| *source == item.source).unwrap_or_else(|| {
                given.push((item.source.clone(), Mapping::new()));
                given.len() - 1
            });
            insert(&mut given[index].1, &item.path, item.value.clone());
        }
        // A changed choice (`optimizer.name`) goes before the keys of the new choice, whoever gives
        // them.
        given.sort_by_key(|(_, layer)| !layer.values().any(names_a_choice));
        given
    }
}

struct Merger<'a> {
    layers: Layers<'a>,
    tree: Mapping,
    sources: BTreeMap<String, Source>,
    origin: Option<(Choice, Origin)>,
}

impl<'a> Merger<'a> {
    /// The defaults, with the transforms of the weights.
    fn new(layers: Layers<'a>, origin: Option<(Choice, Origin)>) -> Merger<'a> {
        let mut config = Config::default();
        let mut sources = BTreeMap::new();
        if let Some((_, origin)) = &origin {
            config.transforms = TransformsConfig::from(origin);
            sources.extend(SPLITS.map(|split| (format!("transforms.{split}"), Source::Weights)));
        }
        let Ok(Value::Mapping(tree)) = serde_yaml::to_value(config) else {
            unreachable!("the default configuration is a mapping")
        };
        Merger { layers, tree, sources, origin }
    }

    /// Expands a leading `~` in paths, but for those of a run, which are written down as they are;
    /// what is wrong with one.
    fn expand_paths(&mut self, home: Option<&Path>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for path in PATHS {
            if source_of(&self.sources, path) == Source::Run {
                continue;
            }
            let mut keys = path.split('.');
            let first = keys.next().and_then(|key| self.tree.get_mut(key));
            let place = keys.fold(first, |place, key| place?.get_mut(key));
            let Some(Value::String(text)) = place else { continue };
            match expand_home_to(Path::new(text), home) {
                // Both were text.
                Ok(expanded) if expanded != Path::new(text) => {
                    *text = expanded.to_string_lossy().into_owned();
                }
                Ok(_) => {}
                Err(error) => problems.push(self.problem(path, error.to_string())),
            }
        }
        problems
    }

    /// What may be said of a path beside what is wrong with it.
    fn with_hint(&self, problem: Problem) -> Problem {
        let text = || PATHS.contains(&problem.path.as_str()).then(|| self.text(&problem.path)).flatten();
        let variable = text().and_then(|text| variable_in(Path::new(text)));
        let hint = variable.map_or_else(String::new, |variable| {
            format!(
                "; `{variable}` is not replaced by the variable's value: write the path in full, or with ~/"
            )
        });
        Problem { message: problem.message + &hint, ..problem }
    }

    /// The text at a path.
    fn text(&self, path: &str) -> Option<&str> {
        let mut keys = path.split('.');
        let first = self.tree.get(keys.next()?)?;
        keys.try_fold(first, |place, key| place.get(key))?.as_str()
    }

    /// Of the weights that the merged tree names.
    fn origin(&self, read: ReadOrigin<'_>) -> Result<Option<(Choice, Origin)>, String> {
        let (weights, architecture) = (self.text("model.weights"), self.text("model.architecture"));
        let (Some(weights), Some(architecture)) = (weights, architecture) else {
            return Ok(None);
        };
        // An unknown name is reported with everything else.
        let Ok(choice) = Choice::read(weights, architecture) else { return Ok(None) };
        let origin = match &choice {
            Choice::Published(published) => Some(Origin::of_published(published)),
            Choice::File { .. } if source_of(&self.sources, "model.weights") == Source::Run => None,
            Choice::File { path, .. } => read(path).map_err(|error| error.to_string())?,
        };
        Ok(origin.map(|origin| (choice, origin)))
    }

    fn merge_file(&mut self, layer: Mapping, source: &Source) {
        if let (Some(Value::Mapping(given)), Some(Value::Mapping(defaults))) =
            (layer.get("transforms"), self.tree.get_mut("transforms"))
        {
            for (split, _) in given.iter().filter(|(_, pipeline)| pipeline.is_mapping()) {
                if defaults.contains_key(split) {
                    defaults.insert(split.clone(), Value::Mapping(Mapping::new()));
                    let path = format!("transforms.{}", split.as_str().unwrap_or_default());
                    self.sources.retain(|known, _| !is_under(known, &path));
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

    /// Does what `transforms.fit` says, or tells why it cannot be done.
    fn apply_fit(&mut self, transforms: &mut TransformsConfig) -> Vec<Problem> {
        let Some(fit) = transforms.fit else { return Vec::new() };
        let violations = transforms.fit_violations(fit, |path| {
            let is_given =
                |source: &Source| matches!(source, Source::File(_) | Source::Set | Source::Flag(_));
            let mut inside = self.sources.iter().filter(|(known, _)| is_under(known, path));
            is_given(&source_of(&self.sources, path)) || inside.any(|(_, source)| is_given(source))
        });
        if !violations.is_empty() {
            return violations.into_iter().map(|(path, message)| self.problem(&path, message)).collect();
        }
        let source = self.nearest("transforms.fit").map_or(Source::Default, |(_, source)| source.clone());
        self.sources.retain(|path, _| !is_under(path, "transforms.fit"));
        for path in transforms.apply_fit(fit) {
            self.sources.retain(|known, _| !is_under(known, &path));
            self.sources.insert(path, source.clone());
        }
        Vec::new()
    }

    /// Decides what `data.task` decides, where nothing is set.
    fn apply_task(&mut self, config: &mut Config) {
        task::settle(config, &mut self.sources);
    }

    /// Something that is wrong at `path`, with the place of what was given there.
    fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        let (path, message) = (path.to_owned(), message.into());
        let Some((key, source)) = self.nearest(&path) else {
            return Problem { path, message, source: Source::Default, position: None };
        };
        if *source == Source::FollowsVal {
            let val = path.replacen("transforms.test", "transforms.val", 1);
            return Problem { path, ..self.problem(&val, message) };
        }
        let given = |item: &&Override| {
            item.source == Source::Set && (is_under(key, &item.path) || is_under(&item.path, key))
        };
        let position = match source {
            Source::Set => self.layers.overrides.iter().rev().find(given).and_then(|item| item.argument),
            Source::File(_) => self.layers.base.and_then(|file| file.line(&path)),
            _ => None,
        };
        Problem { path, message, source: source.clone(), position }
    }

    /// What was given at `path`, around it, in it, or beside it.
    fn nearest(&self, path: &str) -> Option<(&str, &Source)> {
        let inside = |prefix: &str| self.sources.iter().find(|(key, _)| is_under(key, prefix));
        let found = enclosing(&self.sources, path).or_else(|| inside(path)).or_else(|| {
            let (parent, _) = path.rsplit_once('.')?;
            inside(parent)
        });
        found.map(|(key, source)| (key.as_str(), source))
    }

    /// `problems`: what is wrong with the file's text; the merged tree adds what the overrides
    /// brought.
    fn finish(mut self, mut problems: Vec<Problem>) -> Result<Resolved, ConfigError> {
        let tree = Value::Mapping(self.tree.clone());
        for found in schema::check(&tree, &Source::Default) {
            if !problems.iter().any(|known| known.path == found.path) {
                problems.push(self.problem(&found.path, found.message));
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        let mut config: Config = serde_path_to_error::deserialize(tree).map_err(|error| {
            let path = error.path().to_string();
            ConfigError::Invalid(vec![self.problem(&path, error.into_inner().to_string())])
        })?;
        let mut problems = self.apply_fit(&mut config.transforms);
        self.apply_task(&mut config);
        let violations = config
            .violations()
            .into_iter()
            .map(|(path, message)| self.with_hint(self.problem(&path, message)))
            // A run that is resumed has its weights: the file that it started from may be gone.
            .filter(|problem| problem.path != "model.weights" || problem.source != Source::Run);
        problems.extend(violations);
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        config.model.settle_weights(self.origin.as_ref().map(|(_, origin)| origin));
        Ok(Resolved { config, sources: self.sources, origin: self.origin })
    }
}
