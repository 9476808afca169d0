//! A tree of plain values and tensors: what state is made of on its way to and from a checkpoint.

use tch::Tensor;

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
    /// `list`
    List(Vec<Value>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `dict`, in insertion order; keys are `str` or `int`
    Dict(Vec<(Key, Value)>),
    /// `torch.Tensor`
    Tensor(Tensor),
}

/// A key of a [`Value::Dict`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `str`
    Str(String),
    /// `int`
    Int(i64),
}
