//! A YAML text → a layer, with the place of everything that is wrong with it.

use serde_yaml::{Mapping, Value};

use super::lines::{Duplicate, Lines, MERGE};
use super::problem::{ConfigError, Problem, Source};
use super::schema;

/// A YAML text as a layer.
pub(super) struct File {
    pub layer: Mapping,
    pub source: Source,
    lines: Lines,
}

impl File {
    /// # Errors
    /// The text is no YAML mapping, or has a key twice.
    pub fn parse(text: &str, source: Source) -> Result<File, ConfigError> {
        // Windows editors write a byte order mark, and end lines as they do.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
        let text = text.as_str();
        let lines = Lines::of(text);
        if !lines.duplicates.is_empty() {
            let problem = |duplicate: &Duplicate| Problem {
                path: duplicate.path.clone(),
                message: format!("is given twice, first in line {}; give it once", duplicate.first),
                source: source.clone(),
                position: Some(duplicate.line),
            };
            return Err(ConfigError::Invalid(lines.duplicates.iter().map(problem).collect()));
        }
        let syntax = |line: Option<usize>, message: String| {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            ConfigError::Syntax { origin: format!("{source}{line}"), message }
        };
        match serde_yaml::from_str(text) {
            Ok(Value::Mapping(layer)) => match merged(layer) {
                Ok(layer) => Ok(File { layer, source, lines }),
                Err(message) => Err(syntax(lines.first_bad_merge(), message)),
            },
            Ok(Value::Null) => Ok(File { layer: Mapping::new(), source, lines }),
            Ok(_) => {
                Err(syntax(None, "the file must hold keys and values, as in `optimizer: {lr: 0.1}`".into()))
            }
            Err(error) => {
                let line = error.location().map(|location| location.line());
                match line_indented_with_tab(text, line) {
                    Some(line) => {
                        let message = "the line is indented with a tab; YAML allows only spaces";
                        Err(syntax(Some(line), message.to_owned()))
                    }
                    None => Err(syntax(line, error.to_string())),
                }
            }
        }
    }

    /// What the schema does not allow.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = schema::check(&Value::Mapping(self.layer.clone()), &self.source);
        for problem in &mut problems {
            problem.position = self.line(&problem.path);
        }
        problems
    }

    /// The line of the key at `path`; none in a run's own text, which no user has written.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.lines.line(path).filter(|_| matches!(self.source, Source::File(_)))
    }
}

/// Where YAML's parser fails, or just before, if a tab is why: it may report the line after it.
fn line_indented_with_tab(text: &str, failed: Option<usize>) -> Option<usize> {
    let failed = failed?;
    let is_indented_with_tab =
        |line: &str| line[..line.len() - line.trim_start().len()].contains('\t') && !line.trim().is_empty();
    let lines = text.lines().zip(1..).take(failed).skip(failed.saturating_sub(2));
    lines.filter(|(line, _)| is_indented_with_tab(line)).last().map(|(_, line)| line)
}

/// A mapping in which the mappings at `<<`, one or a list of them, are merged into the one that has
/// the key, at any depth. What the mapping has itself wins, then what is merged first.
fn merged(mapping: Mapping) -> Result<Mapping, String> {
    let mut own = Mapping::new();
    let mut others = Vec::new();
    for (key, value) in mapping {
        let value = merged_value(value)?;
        if key.as_str() != Some(MERGE) {
            own.insert(key, value);
            continue;
        }
        for value in if let Value::Sequence(items) = value { items } else { vec![value] } {
            let Value::Mapping(other) = value else {
                return Err("`<<` takes a mapping, or a list of mappings, as in `<<: *name`".to_owned());
            };
            others.push(other);
        }
    }
    for (key, value) in others.into_iter().flatten() {
        own.entry(key).or_insert(value);
    }
    Ok(own)
}

fn merged_value(value: Value) -> Result<Value, String> {
    match value {
        Value::Mapping(mapping) => merged(mapping).map(Value::Mapping),
        Value::Sequence(items) => {
            items.into_iter().map(merged_value).collect::<Result<_, _>>().map(Value::Sequence)
        }
        other => Ok(other),
    }
}
