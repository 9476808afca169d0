//! A tree of plain values and tensors: what state is made of on its way to and from a checkpoint.
//!
//! In: state to save, or what a file holds. Out: typed values, with errors that name the key
//! (`optimizer_state_dict.param_groups[0].lr`).

use tch::Tensor;

mod field;
mod json;

pub use field::{Field, ValueError};

/// A plain value, as Python's `torch.load(weights_only=True)` would give it.
#[derive(Debug)]
pub enum Value {
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int`, as far as it fits 64 bits
    Int(i64),
    /// `float`
    Float(f64),
    /// `str`
    Str(String),
    /// `bytes`
    Bytes(Vec<u8>),
    /// `list`
    List(Vec<Value>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `dict`, in insertion order; keys are `str` or `int`, and entries of a file's dict with other
    /// keys are left out
    Dict(Vec<(Key, Value)>),
    /// `torch.Tensor`
    Tensor(Tensor),
    /// Anything else that a file holds; it is read, but never written
    Opaque(Opaque),
}

/// An object of a file that is neither a tensor nor a plain value. Nothing made it: of its class
/// the name alone is known.
#[derive(Debug)]
pub struct Opaque {
    /// `module.Class`, or the function that would have made it; cut where it is long.
    pub class: String,
    /// Of a `torch.nn.Module` what its `state_dict()` would be, if tensors were read.
    pub state_dict: Option<Vec<(String, Tensor)>>,
}

/// A key of a [`Value::Dict`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `str`
    Str(String),
    /// `int`
    Int(i64),
}

impl Value {
    /// A dict of string keys, in the order given.
    pub fn dict<K: Into<Key>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
        Value::Dict(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// A list, in the order given.
    pub fn list<V: Into<Value>>(items: impl IntoIterator<Item = V>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }

    /// An `int`, or nothing where `number` is above `i64::MAX` (a seed may be; a count never is).
    pub fn from_u64(number: u64) -> Option<Value> {
        i64::try_from(number).ok().map(Value::Int)
    }

    /// Where typed reading starts: a [`Field`] remembers how it was reached, so that its errors
    /// name the key.
    pub fn field(&self) -> Field<'_> {
        Field::root(self)
    }

    /// The entry `key` of a dict; short for `self.field().get(key)`.
    ///
    /// # Errors
    /// This is not a dict, or it has no such key.
    pub fn get(&self, key: impl Into<Key>) -> Result<Field<'_>, ValueError> {
        self.field().get(key)
    }

    /// A copy whose tensors share their memory with this one's.
    #[must_use]
    pub fn shallow_clone(&self) -> Value {
        self.map_tensors(&mut Tensor::shallow_clone)
    }

    /// A copy with each tensor replaced, in order.
    #[must_use]
    pub fn map_tensors(&self, replace: &mut impl FnMut(&Tensor) -> Tensor) -> Value {
        match self {
            Value::None => Value::None,
            Value::Bool(value) => Value::Bool(*value),
            Value::Int(value) => Value::Int(*value),
            Value::Float(value) => Value::Float(*value),
            Value::Str(value) => Value::Str(value.clone()),
            Value::Bytes(value) => Value::Bytes(value.clone()),
            Value::List(items) => Value::List(items.iter().map(|item| item.map_tensors(replace)).collect()),
            Value::Tuple(items) => Value::Tuple(items.iter().map(|item| item.map_tensors(replace)).collect()),
            Value::Dict(entries) => Value::Dict(
                entries.iter().map(|(key, value)| (key.clone(), value.map_tensors(replace))).collect(),
            ),
            Value::Tensor(tensor) => Value::Tensor(replace(tensor)),
            Value::Opaque(Opaque { class, state_dict }) => {
                let mut entry = |(name, tensor): &(String, Tensor)| (name.clone(), replace(tensor));
                let state_dict = state_dict.as_ref().map(|state| state.iter().map(&mut entry).collect());
                Value::Opaque(Opaque { class: class.clone(), state_dict })
            }
        }
    }

    /// Tells `see` the path of each tensor, in order.
    pub fn for_each_tensor<'a>(&'a self, path: &str, see: &mut impl FnMut(&str, &'a Tensor)) {
        let below = |key: &dyn std::fmt::Display| {
            if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
        };
        match self {
            Value::Tensor(tensor) => see(path, tensor),
            Value::List(items) | Value::Tuple(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.for_each_tensor(&format!("{path}[{index}]"), see);
                }
            }
            Value::Dict(entries) => {
                for (key, value) in entries {
                    value.for_each_tensor(&below(key), see);
                }
            }
            _ => {}
        }
    }

    /// What it is in Python's words, for messages: `the int 3`, `a tensor of shape [2, 3]`.
    pub fn describe(&self) -> String {
        match self {
            Value::None => "None".into(),
            Value::Bool(value) => format!("the bool {value}"),
            Value::Int(value) => format!("the int {value}"),
            Value::Float(value) => format!("the float {value}"),
            Value::Str(text) => format!("the str {:?}", text.chars().take(40).collect::<String>()),
            Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Tuple(items) => format!("a tuple of {}", items.len()),
            Value::Dict(entries) => format!("a dict of {}", entries.len()),
            Value::Tensor(tensor) => format!("a tensor of shape {:?}", tensor.size()),
            Value::Opaque(Opaque { class, state_dict }) => {
                let what = if state_dict.is_some() { "whole pickled module" } else { "Python object" };
                format!("a {what} `{}`", class.escape_debug())
            }
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Str(text) => f.write_str(text),
            Key::Int(number) => write!(f, "{number}"),
        }
    }
}

macro_rules! from {
    ($($source:ty => $target:ident :: $variant:ident($value:ident) $made:expr;)*) => {
        $(impl From<$source> for $target {
            fn from($value: $source) -> Self {
                $target::$variant($made)
            }
        })*
    };
}

from! {
    bool => Value::Bool(value) value;
    i64 => Value::Int(value) value;
    i32 => Value::Int(value) value.into();
    u32 => Value::Int(value) value.into();
    f64 => Value::Float(value) value;
    &str => Value::Str(value) value.to_owned();
    String => Value::Str(value) value;
    Vec<Value> => Value::List(value) value;
    Vec<(Key, Value)> => Value::Dict(value) value;
    Tensor => Value::Tensor(value) value;
    &str => Key::Str(value) value.to_owned();
    String => Key::Str(value) value;
    &String => Key::Str(value) value.clone();
    i64 => Key::Int(value) value;
}

impl From<Key> for Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Str(text) => Value::Str(text),
            Key::Int(number) => Value::Int(number),
        }
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::None, Into::into)
    }
}
