//! Configuration trees and the like: [`Value`] ↔ JSON, where there are no tensors.

use super::{Field, Key, Value, ValueError};

impl Value {
    /// The same tree: objects become dicts, arrays lists.
    ///
    /// # Errors
    /// An integer above `i64::MAX`, which a [`Value`] does not hold; the error names its key.
    pub fn from_json(json: &serde_json::Value) -> Result<Value, ValueError> {
        from_json(json, &mut Vec::new())
    }

    /// The same tree as JSON: tuples become arrays, `int` keys strings.
    ///
    /// # Errors
    /// A tensor, bytes, an opaque object, or a number that is not finite: JSON has none of them; the error names the
    /// key.
    pub fn to_plain_json(&self) -> Result<serde_json::Value, ValueError> {
        to_json(&self.field())
    }
}

fn from_json(json: &serde_json::Value, path: &mut Vec<String>) -> Result<Value, ValueError> {
    use serde_json::Value as Json;
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(float)) if number.is_f64() => Value::Float(float),
            _ => {
                return Err(ValueError {
                    path: path.join("."),
                    expected: format!("at most {}", i64::MAX),
                    found: number.to_string(),
                });
            }
        },
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                path.push(i.to_string());
                list.push(from_json(item, path)?);
                path.pop();
            }
            Value::List(list)
        }
        Json::Object(entries) => {
            let mut dict = Vec::with_capacity(entries.len());
            for (key, item) in entries {
                path.push(key.clone());
                dict.push((Key::Str(key.clone()), from_json(item, path)?));
                path.pop();
            }
            Value::Dict(dict)
        }
    })
}

fn to_json(field: &Field<'_>) -> Result<serde_json::Value, ValueError> {
    use serde_json::Value as Json;
    Ok(match field.value() {
        Value::None => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) => {
            let number =
                serde_json::Number::from_f64(*value).ok_or_else(|| field.error("a finite number"))?;
            Json::Number(number)
        }
        Value::Str(text) => Json::String(text.clone()),
        Value::List(_) | Value::Tuple(_) => {
            Json::Array(field.items()?.iter().map(to_json).collect::<Result<_, _>>()?)
        }
        Value::Dict(_) => {
            let entry = |(key, item): (&Key, Field<'_>)| Ok((key.to_string(), to_json(&item)?));
            Json::Object(field.entries()?.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
        Value::Bytes(_) | Value::Tensor(_) | Value::Opaque(_) => return Err(field.error("a plain value")),
    })
}
