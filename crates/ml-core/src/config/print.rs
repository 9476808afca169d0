//! A configuration as YAML with where each value came from.

use ml_data::yaml;
use serde_yaml::Value;

use super::layers::Resolved;
use super::merge::source_of;
use super::problem::Source;

/// The configuration as YAML, each value followed by its source as a comment. Reading it back gives
/// the same configuration.
pub fn annotated(resolved: &Resolved) -> String {
    let tree = serde_yaml::to_value(&resolved.config).unwrap_or_default();
    let mut lines = Vec::new();
    collect(&tree, 0, "", resolved, &mut lines);
    let width = lines.iter().map(|(text, _)| text.chars().count()).max().unwrap_or(0).min(60);
    lines
        .into_iter()
        .map(|(text, source)| match source {
            Some(source) => format!("{text:width$}  # {source}\n"),
            None => format!("{text}\n"),
        })
        .collect()
}

fn collect(
    tree: &Value,
    depth: usize,
    prefix: &str,
    resolved: &Resolved,
    lines: &mut Vec<(String, Option<Source>)>,
) {
    let Value::Mapping(mapping) = tree else { return };
    for (key, value) in mapping {
        let name = key.as_str().unwrap_or_default();
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        let key = yaml::inline(key);
        let indent = "  ".repeat(depth);
        match value {
            Value::Mapping(inner) if !inner.is_empty() => {
                lines.push((format!("{indent}{key}:"), None));
                collect(value, depth + 1, &path, resolved, lines);
            }
            _ => lines.push((
                format!("{indent}{key}: {}", yaml::inline(value)),
                Some(source_of(&resolved.sources, &path)),
            )),
        }
    }
}
