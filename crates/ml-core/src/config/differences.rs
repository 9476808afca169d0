//! Two configurations → the paths in which they differ.

use serde_yaml::{Mapping, Value};

use super::Config;

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
