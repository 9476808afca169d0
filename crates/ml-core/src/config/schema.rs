//! The JSON Schema of the configuration, and a check of a YAML tree against it that lists every
//! problem.
//!
//! serde stops at the first error; a user wants all of them, with the nearest known name. The
//! schema is derived from the same structs that serde reads, so the two cannot disagree.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value as Json};
use serde_yaml::Value;

use super::problem::{Problem, Source};
use super::suggestions::{meant, unknown_name};

static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(super::Config).to_value();
    let definitions = schema.get("$defs").cloned().unwrap_or_default();
    inline(&mut schema, &definitions);
    if let Some(root) = schema.as_object_mut() {
        root.remove("$defs");
    }
    schema
});

/// The JSON Schema (draft 2020-12) of a configuration file, for editors.
pub fn schema() -> &'static Json {
    &SCHEMA
}

/// Puts definitions where they are referred to, so that a tagged struct's own keys and its tag lie
/// in one object. The configuration is small and not recursive.
fn inline(node: &mut Json, definitions: &Json) {
    if let Json::Object(map) = node {
        let target = map.get("$ref").and_then(Json::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
        if let Some(Json::Object(definition)) = target.and_then(|name| definitions.get(name)).cloned() {
            map.remove("$ref");
            for (key, value) in definition {
                match (map.get_mut(&key), value) {
                    (Some(Json::Object(own)), Json::Object(more)) if key == "properties" => {
                        own.extend(more.into_iter().filter(|(name, _)| name != "$ref"));
                    }
                    (Some(Json::Array(own)), Json::Array(more)) if key == "required" => own.extend(more),
                    (Some(_), _) => {}
                    (None, value) => {
                        map.insert(key, value);
                    }
                }
            }
            return inline(node, definitions);
        }
        map.iter_mut().filter(|(key, _)| *key != "$defs").for_each(|(_, value)| inline(value, definitions));
    } else if let Json::Array(items) = node {
        items.iter_mut().for_each(|item| inline(item, definitions));
    }
}

/// Everything in `tree` that the schema does not allow.
pub(super) fn check(tree: &Value, source: &Source) -> Vec<Problem> {
    let mut checker = Checker { problems: Vec::new(), source };
    checker.value(tree, &SCHEMA, "");
    checker.problems
}

/// The keys that the struct chosen by `tag` may have below `prefix` (`optimizer`).
pub(super) fn keys_of_choice(prefix: &str, tag: &str) -> Vec<String> {
    let mut node = Some(&*SCHEMA);
    for part in prefix.split('.').filter(|part| !part.is_empty()) {
        node = node.and_then(|node| node["properties"].get(part));
    }
    let variants = node.map(variants).unwrap_or_default();
    let chosen = variants.iter().find(|variant| tag_of(variant).is_some_and(|(_, name)| name == tag));
    chosen
        .and_then(|variant| variant["properties"].as_object())
        .map_or_else(Vec::new, |properties| properties.keys().cloned().collect())
}

fn variants(schema: &Json) -> Vec<&Json> {
    ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten().collect()
}

/// The key and value that mark a variant of a tagged choice: `("name", "sgd")`.
fn tag_of(variant: &Json) -> Option<(&str, &str)> {
    let properties = variant["properties"].as_object()?;
    ["name", "type"].into_iter().find_map(|key| Some((key, properties.get(key)?["const"].as_str()?)))
}

struct Checker<'a> {
    problems: Vec<Problem>,
    source: &'a Source,
}

impl Checker<'_> {
    fn report(&mut self, path: &str, message: String) {
        let source = self.source.clone();
        self.problems.push(Problem { path: path.to_owned(), message, source, position: None });
    }

    fn value(&mut self, value: &Value, schema: &Json, path: &str) {
        let variants = variants(schema);
        if let Some((key, _)) = variants.first().and_then(|variant| tag_of(variant)) {
            self.tagged(value, &variants, key, path);
        } else if let Some(names) = names_of(&variants) {
            self.name(value, &names, path);
        } else if !variants.is_empty() {
            self.alternatives(value, &variants, path);
        } else if let Some(names) = names(schema) {
            self.name(value, &names, path);
        } else if !matches_type(value, schema) {
            self.report(path, format!("must be {}, got {}", expected(schema), shown(value)));
        } else if let Value::Mapping(mapping) = value {
            self.mapping(mapping, schema, path);
        } else if let Value::Sequence(items) = value {
            self.sequence(items, schema, path);
        } else if let Some(message) = misses_pattern(value, schema) {
            self.report(path, message);
        } else if let Some(message) = out_of_range(value, schema) {
            self.report(path, message);
        }
    }

    fn tagged(&mut self, value: &Value, variants: &[&Json], key: &str, path: &str) {
        let names: Vec<&str> = variants.iter().filter_map(|v| tag_of(v)).map(|(_, name)| name).collect();
        let Value::Mapping(mapping) = value else {
            let example = names.first().unwrap_or(&"…");
            self.report(
                path,
                format!("must be keys and values, as in {{{key}: {example}}}, got {}", shown(value)),
            );
            return;
        };
        let tag_path = format!("{path}.{key}");
        match mapping.get(key) {
            // A layer that leaves the choice to an earlier layer: any choice's keys will do here.
            None => {
                let mut all = Map::new();
                for properties in variants.iter().filter_map(|v| v["properties"].as_object()) {
                    all.extend(properties.clone());
                }
                self.keys(mapping, &all, path);
            }
            Some(Value::String(name)) => {
                let chosen = variants.iter().find(|v| tag_of(v).is_some_and(|(_, known)| known == name));
                match chosen {
                    Some(variant) => self.mapping(mapping, variant, path),
                    None => self.report(&tag_path, unknown_name(name, &names)),
                }
            }
            Some(other) => {
                self.report(&tag_path, format!("must be one of {}, got {}", names.join(", "), shown(other)));
            }
        }
    }

    fn alternatives(&mut self, value: &Value, variants: &[&Json], path: &str) {
        let mut closest: Option<Vec<Problem>> = None;
        for variant in variants {
            let mut attempt = Checker { problems: Vec::new(), source: self.source };
            attempt.value(value, variant, path);
            if attempt.problems.is_empty() {
                return;
            }
            // The right kind of value with something wrong inside says more than "none of these".
            if matches_type(value, variant)
                && (value.is_mapping() || value.is_sequence() || value.is_number())
            {
                closest = Some(attempt.problems);
            }
        }
        match closest {
            Some(problems) => self.problems.extend(problems),
            None => {
                let kinds: Vec<String> = variants.iter().map(|variant| expected(variant)).collect();
                self.report(path, format!("must be {}, got {}", kinds.join(", or "), shown(value)));
            }
        }
    }

    fn name(&mut self, value: &Value, names: &[&str], path: &str) {
        match value {
            Value::String(name) if names.contains(&name.as_str()) => {}
            Value::String(name) => {
                let all = if path == "model.architecture" {
                    "; `ml-train --list_architectures` shows all"
                } else {
                    ""
                };
                self.report(path, unknown_name(name, names) + all);
            }
            // `none` is a string to YAML but people also leave the value out.
            other => self.report(path, format!("must be one of {}, got {}", names.join(", "), shown(other))),
        }
    }

    fn mapping(&mut self, mapping: &serde_yaml::Mapping, schema: &Json, path: &str) {
        if let Some(properties) = schema["properties"].as_object() {
            self.keys(mapping, properties, path);
        }
    }

    fn keys(&mut self, mapping: &serde_yaml::Mapping, properties: &Map<String, Json>, path: &str) {
        for (key, value) in mapping {
            let Value::String(key) = key else {
                self.report(path, format!("keys must be text, got {}", shown(key)));
                continue;
            };
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match properties.get(key) {
                Some(schema) => self.value(value, schema, &below),
                None => {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    self.report(&below, format!("unknown key{}", meant(key, &known)));
                }
            }
        }
    }

    fn sequence(&mut self, items: &[Value], schema: &Json, path: &str) {
        let bound = |key: &str| schema[key].as_u64().map(|bound| bound as usize);
        let (least, most) = (bound("minItems"), bound("maxItems"));
        if least.is_some_and(|least| items.len() < least) || most.is_some_and(|most| items.len() > most) {
            self.report(path, format!("must be {}, got {} values", expected(schema), items.len()));
            return;
        }
        for (index, item) in items.iter().enumerate() {
            let place = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
            if place.is_object() {
                self.value(item, place, &format!("{path}[{index}]"));
            }
        }
    }
}

/// The allowed texts of an enumeration.
fn names(schema: &Json) -> Option<Vec<&str>> {
    if let Some(name) = schema["const"].as_str() {
        return Some(vec![name]);
    }
    schema["enum"].as_array().map(|names| names.iter().filter_map(Json::as_str).collect())
}

/// The allowed texts of an enumeration whose members are described one by one.
fn names_of<'a>(variants: &[&'a Json]) -> Option<Vec<&'a str>> {
    let names: Option<Vec<&str>> = variants.iter().map(|variant| variant["const"].as_str()).collect();
    names.filter(|names| !names.is_empty())
}

fn types(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(one) => vec![one],
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn matches_type(value: &Value, schema: &Json) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|kind| match *kind {
            "null" => value.is_null(),
            "boolean" => value.is_bool(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_sequence(),
            "object" => value.is_mapping(),
            _ => true,
        })
}

fn out_of_range(value: &Value, schema: &Json) -> Option<String> {
    let number = value.as_f64()?;
    let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let outside = least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most);
    outside.then(|| match (least, most) {
        // Bounds of the machine's own integers say nothing to a user.
        (Some(least), Some(most)) if most < f64::from(u32::MAX) => {
            format!("must be in {least} to {most}, got {}", shown(value))
        }
        (Some(least), _) => format!("must be at least {least}, got {}", shown(value)),
        (None, most) => format!("must be at most {}, got {}", most.unwrap_or_default(), shown(value)),
    })
}

fn misses_pattern(value: &Value, schema: &Json) -> Option<String> {
    let (text, pattern) = (value.as_str()?, schema["pattern"].as_str()?);
    let pattern = Regex::new(pattern).unwrap_or_else(|_| unreachable!("the schema's patterns are sound"));
    let examples = schema["examples"].as_array().map_or(&[][..], Vec::as_slice);
    let examples: Vec<String> =
        examples.iter().filter_map(Json::as_str).map(|text| format!("`{text}`")).collect();
    (!pattern.is_match(text)).then(|| format!("must be like {}, got `{text}`", examples.join(", ")))
}

/// What a schema allows, in words.
fn expected(schema: &Json) -> String {
    if let Some(names) = names(schema) {
        return names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    }
    let words: Vec<&str> = types(schema)
        .into_iter()
        .map(|kind| match kind {
            "null" => "null",
            "boolean" => "true or false",
            "integer" => "a whole number",
            "number" => "a number",
            "string" => "text",
            "array" => "a list",
            _ => "keys and values",
        })
        .collect();
    let mut text = words.join(" or ");
    if let (Some(least), Some(most)) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        text =
            if least == most { format!("{text} of {least}") } else { format!("{text} of {least} to {most}") };
    }
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "keys and values".to_owned(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    }
}
