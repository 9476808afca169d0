//! Typed reading of a [`Value`] that knows where it stands, so that every error names the key.

use tch::Tensor;

use super::{Key, Value};

/// A value is not there or not of the type that is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` should be {expected}, found {found}")]
pub struct ValueError {
    /// Where, as in `optimizer_state_dict.param_groups[0].lr`.
    pub path: String,
    /// What is needed there.
    pub expected: String,
    /// What is there instead; `nothing` for a missing key.
    pub found: String,
}

/// A place in a [`Value`]: the value, and the keys that lead to it.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Field<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Field { value, path: String::new() }
    }

    /// The value at this place.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// The keys that lead here, joined by dots; empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The entry `key` of a dict.
    ///
    /// # Errors
    /// Not a dict, or no such key.
    pub fn get(&self, key: impl Into<Key>) -> Result<Field<'a>, ValueError> {
        let key = key.into();
        self.find(&key)?.ok_or_else(|| ValueError {
            path: self.below(&key),
            expected: "there".into(),
            found: "nothing".into(),
        })
    }

    /// The entry `key` of a dict; none where the key is missing or the value `None`.
    ///
    /// # Errors
    /// Not a dict.
    pub fn optional(&self, key: impl Into<Key>) -> Result<Option<Field<'a>>, ValueError> {
        Ok(self.find(&key.into())?.filter(|field| !matches!(field.value, Value::None)))
    }

    fn find(&self, key: &Key) -> Result<Option<Field<'a>>, ValueError> {
        let Value::Dict(entries) = self.value else { return Err(self.error("a dict")) };
        // Of equal keys the last counts, as in Python.
        let found = entries.iter().rev().find(|(k, _)| k == key);
        Ok(found.map(|(_, value)| Field { value, path: self.below(key) }))
    }

    /// The entries of a dict, in order.
    ///
    /// # Errors
    /// Not a dict.
    pub fn entries(&self) -> Result<Vec<(&'a Key, Field<'a>)>, ValueError> {
        let Value::Dict(entries) = self.value else { return Err(self.error("a dict")) };
        Ok(entries.iter().map(|(key, value)| (key, Field { value, path: self.below(key) })).collect())
    }

    /// The entries of a dict whose keys are all `str`, in order.
    ///
    /// # Errors
    /// Not a dict, or a key that is an `int`.
    pub fn named_entries(&self) -> Result<Vec<(&'a str, Field<'a>)>, ValueError> {
        self.entries()?
            .into_iter()
            .map(|(key, field)| match key {
                Key::Str(name) => Ok((name.as_str(), field)),
                Key::Int(_) => Err(self.error("a dict with str keys")),
            })
            .collect()
    }

    /// The items of a list or tuple.
    ///
    /// # Errors
    /// Neither a list nor a tuple.
    pub fn items(&self) -> Result<Vec<Field<'a>>, ValueError> {
        let (Value::List(items) | Value::Tuple(items)) = self.value else { return Err(self.error("a list")) };
        let at = |(i, value)| Field { value, path: format!("{}[{i}]", self.path) };
        Ok(items.iter().enumerate().map(at).collect())
    }

    /// The `bool` here.
    ///
    /// # Errors
    /// Not a `bool`.
    pub fn as_bool(&self) -> Result<bool, ValueError> {
        if let Value::Bool(value) = self.value { Ok(*value) } else { Err(self.error("a bool")) }
    }

    /// The `int` here.
    ///
    /// # Errors
    /// Not an `int`.
    pub fn as_i64(&self) -> Result<i64, ValueError> {
        if let Value::Int(value) = self.value { Ok(*value) } else { Err(self.error("an int")) }
    }

    /// The count here.
    ///
    /// # Errors
    /// Not an `int` of at least 0.
    pub fn as_u64(&self) -> Result<u64, ValueError> {
        let number = self.as_i64().ok().and_then(|value| u64::try_from(value).ok());
        number.ok_or_else(|| self.error("an int of at least 0"))
    }

    /// A `float`, or an `int` as one.
    ///
    /// # Errors
    /// Not a number.
    pub fn as_f64(&self) -> Result<f64, ValueError> {
        match self.value {
            Value::Float(value) => Ok(*value),
            Value::Int(value) => Ok(*value as f64),
            _ => Err(self.error("a float")),
        }
    }

    /// The `str` here.
    ///
    /// # Errors
    /// Not a `str`.
    pub fn as_str(&self) -> Result<&'a str, ValueError> {
        if let Value::Str(text) = self.value { Ok(text) } else { Err(self.error("a str")) }
    }

    /// The `bytes` here.
    ///
    /// # Errors
    /// Not `bytes`.
    pub fn as_bytes(&self) -> Result<&'a [u8], ValueError> {
        if let Value::Bytes(bytes) = self.value { Ok(bytes) } else { Err(self.error("bytes")) }
    }

    /// The tensor here.
    ///
    /// # Errors
    /// Not a tensor.
    pub fn as_tensor(&self) -> Result<&'a Tensor, ValueError> {
        if let Value::Tensor(tensor) = self.value { Ok(tensor) } else { Err(self.error("a tensor")) }
    }

    /// A list of `str`.
    ///
    /// # Errors
    /// Not a list, or an item that is not a `str`.
    pub fn as_strings(&self) -> Result<Vec<String>, ValueError> {
        self.items()?.iter().map(|item| item.as_str().map(ToOwned::to_owned)).collect()
    }

    /// A dict of `str` to tensor, in order; the tensors share their memory with this one's.
    ///
    /// # Errors
    /// Not a dict, or a key or value of another type.
    pub fn as_tensors(&self) -> Result<Vec<(String, Tensor)>, ValueError> {
        let named =
            |(name, field): (&str, Field<'a>)| Ok((name.to_owned(), field.as_tensor()?.shallow_clone()));
        self.named_entries()?.into_iter().map(named).collect()
    }

    /// That there is nothing opaque here or below.
    ///
    /// # Errors
    /// There is; the error names the first.
    pub fn check_plain(&self) -> Result<(), ValueError> {
        match self.value {
            Value::Opaque(_) => Err(self.error("a tensor or a plain value")),
            Value::List(_) | Value::Tuple(_) => self.items()?.iter().try_for_each(Field::check_plain),
            Value::Dict(_) => self.entries()?.iter().try_for_each(|(_, field)| field.check_plain()),
            _ => Ok(()),
        }
    }

    /// An error about this place: `expected` is what is needed here.
    #[must_use]
    pub fn error(&self, expected: impl Into<String>) -> ValueError {
        let path = if self.path.is_empty() { "(the whole)".into() } else { self.path.clone() };
        ValueError { path, expected: expected.into(), found: self.value.describe() }
    }

    fn below(&self, key: &Key) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }
}
