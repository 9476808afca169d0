//! A file's tree → the dicts of names and tensors in it, each of which may be the weights.

use tch::Tensor;
use torch_file::{Key, Value};

type State = Vec<(String, Tensor)>;

/// Keys one below another that are looked at, from the root.
const MAX_DEPTH: usize = 4;

/// Tensors by name somewhere in a file.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The keys that lead there, joined by dots; empty at the root.
    pub key: String,
    pub tensors: State,
    /// What stands between the tensors, and what it is.
    pub others: Vec<(String, String)>,
    /// The class of the pickled module that they are of.
    pub module: Option<String>,
}

/// All of a file, outer ones first.
pub(super) fn candidates(file: &Value) -> Vec<Candidate> {
    let mut found = Vec::new();
    collect(file, String::new(), 0, &mut found);
    found
}

fn collect(value: &Value, key: String, depth: usize, found: &mut Vec<Candidate>) {
    let below = |name: &dyn std::fmt::Display| {
        if key.is_empty() { name.to_string() } else { format!("{key}.{name}") }
    };
    match value {
        Value::Dict(entries) => {
            let tensors: State = entries
                .iter()
                .filter_map(|entry| match entry {
                    (Key::Str(name), Value::Tensor(tensor)) => Some((name.clone(), tensor.shallow_clone())),
                    _ => None,
                })
                .collect();
            if !tensors.is_empty() {
                let others = entries.iter().filter_map(|entry| match entry {
                    (_, Value::Tensor(_)) | (Key::Int(_), _) => None,
                    (Key::Str(name), other) => Some((name.clone(), other.describe())),
                });
                let others = others.collect();
                found.push(Candidate { key: key.clone(), tensors, others, module: None });
            }
            if depth < MAX_DEPTH {
                entries.iter().for_each(|(name, inner)| collect(inner, below(name), depth + 1, found));
            }
        }
        Value::List(items) | Value::Tuple(items) if depth < MAX_DEPTH => {
            (0..)
                .zip(items)
                .for_each(|(index, item): (usize, _)| collect(item, below(&index), depth + 1, found));
        }
        Value::Opaque(object) => {
            let state = object.state_dict.as_deref().unwrap_or_default();
            if !state.is_empty() {
                let tensors =
                    state.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
                found.push(Candidate {
                    key,
                    tensors,
                    others: Vec::new(),
                    module: Some(object.class.clone()),
                });
            }
        }
        _ => {}
    }
}

/// What is at the root of a file without tensors by name, for people.
pub(super) fn outline(file: &Value) -> String {
    const SHOWN: usize = 8;
    let Value::Dict(entries) = file else { return file.describe() };
    let shown: Vec<String> = entries
        .iter()
        .take(SHOWN)
        .map(|(key, value)| format!("`{}` ({})", key.to_string().escape_debug(), value.describe()))
        .collect();
    match entries.len().saturating_sub(SHOWN) {
        _ if entries.is_empty() => "an empty dict".to_owned(),
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}
