//! Merging one layer into another, with the source of every value.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::problem::Source;
use super::schema;

/// Keys that choose among strict structs.
const TAGS: [&str; 2] = ["name", "type"];

/// Whether a mapping says which struct it is.
pub(super) fn names_a_choice(value: &Value) -> bool {
    TAGS.iter().any(|tag| value.get(tag).is_some())
}

/// Puts `value` at a dotted path, in place of what is there.
pub(super) fn insert(mapping: &mut Mapping, path: &str, value: Value) {
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

/// The source of the value at `path`: its own, or that of what it lies in.
pub(super) fn source_of(sources: &BTreeMap<String, Source>, path: &str) -> Source {
    enclosing(sources, path).map_or(Source::Default, |(_, source)| source.clone())
}

/// The entry at `path`, or of the innermost key that it lies in.
pub(super) fn enclosing<'a>(
    sources: &'a BTreeMap<String, Source>,
    path: &str,
) -> Option<(&'a String, &'a Source)> {
    let ends = path.rmatch_indices(['.', '[']).map(|(end, _)| end);
    std::iter::once(path.len()).chain(ends).find_map(|end| sources.get_key_value(&path[..end]))
}

/// Whether `path` is `prefix` or lies in it.
pub(super) fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Merges `layer`, from `source`, into the mapping at `prefix`.
pub(super) fn merge(
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

/// What a preset gives goes with the preset's choice, like defaults.
fn drop_keys_of_another_choice(
    base: &mut Mapping,
    layer: &Mapping,
    prefix: &str,
    sources: &mut BTreeMap<String, Source>,
) {
    for tag in TAGS {
        let (Some(Value::String(old)), Some(Value::String(new))) = (base.get(tag), layer.get(tag)) else {
            continue;
        };
        if old == new {
            continue;
        }
        let known = schema::keys_of_choice(prefix, new);
        sources.retain(|path, source| !matches!(source, Source::Preset(_)) || !is_under(path, prefix));
        base.retain(|key, _| {
            let name = key.as_str().unwrap_or_default();
            sources.contains_key(&format!("{prefix}.{name}")) && known.iter().any(|known| known == name)
        });
    }
}
