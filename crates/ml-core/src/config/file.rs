//! A YAML text → a layer, with the place of everything that is wrong with it.

use serde_yaml::{Mapping, Value};

use super::lines::{Duplicate, Lines};
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
        // Windows editors write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
        let parsed = serde_yaml::from_str(text).and_then(|mut value: Value| {
            value.apply_merge()?;
            Ok(value)
        });
        match parsed {
            Ok(Value::Mapping(layer)) => Ok(File { layer, source, lines }),
            Ok(Value::Null) => Ok(File { layer: Mapping::new(), source, lines }),
            Ok(_) => {
                Err(syntax(None, "the file must hold keys and values, as in `optimizer: {lr: 0.1}`".into()))
            }
            Err(error) => {
                let line = error.location().map(|location| location.line());
                Err(syntax(line, explained(text, line, &error)))
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

/// What YAML's parser says, or what its message means.
fn explained(text: &str, line: Option<usize>, error: &serde_yaml::Error) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_indented_with_tab =
        |line: &str| line.get(..indent(line)).is_some_and(|indent| indent.contains('\t'));
    match line.and_then(|line| text.lines().nth(line.saturating_sub(1))) {
        Some(line) if is_indented_with_tab(line) => {
            "the line is indented with a tab; YAML allows only spaces".to_owned()
        }
        _ => error.to_string(),
    }
}
