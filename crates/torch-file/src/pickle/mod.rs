//! The pickle of a checkpoint: a tree in Python's pickle format, with its tensors' bytes kept
//! elsewhere.
//!
//! Writing emits protocol 2, as `torch.save` does. Reading is a stack machine that knows data only:
//! [`machine`] runs the opcodes into a flat table of [`Node`]s, [`build`] turns the table into a
//! [`Value`]. Neither can call anything: what a class or function that is not known would have made
//! stays opaque. Opcodes: `Lib/pickletools.py` of Python's library.
//!
//! [`Value`]: crate::value::Value

pub(super) mod build;
mod global;
pub(super) mod machine;
mod numpy;
mod objects;
mod opcode;
pub(super) mod write;

use tch::Kind;

/// The name of a dtype that is read and written, as Python prints it.
#[cfg(test)]
pub(super) fn kind_name(kind: Kind) -> Option<&'static str> {
    global::KINDS.iter().find(|(k, _, _)| *k == kind).map(|(_, _, dtype)| *dtype)
}

/// How deep a tree may be nested; bounds recursion. PyTorch's own state is below ten.
const MAX_DEPTH: usize = 128;

/// The place of a [`Node`] in the machine's table.
type Id = u32;

/// The place of a class's or function's name in the machine's list.
type Name = u32;

/// One object of a pickle. Containers hold places, so sharing costs nothing here.
#[derive(Debug)]
enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// An `argparse.Namespace`, a dict but for the way in which it is filled.
    Namespace(Vec<(Id, Id)>),
    /// A class or function by name, and what it stands for if that is known.
    Global(Option<global::Global>, Name),
    /// What a class or function that is not known made, and the state that it was given.
    Object(Name, Option<Id>),
    NumpyDtype(numpy::Dtype),
    /// A place in the table of storages, and the element at which a part of it begins.
    Storage(usize, i64),
    /// A `torch.nn.Parameter` whose data are still to come.
    Parameter,
    Tensor(Box<View>),
}

/// A typed run of bytes: in an entry `data/<key>`, or after the pickles of a file from before 1.6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub key: String,
    pub kind: Kind,
    /// Number of elements.
    pub len: u64,
}

impl Storage {
    /// Its bytes, if they can be counted.
    pub(super) fn size(&self) -> Option<u64> {
        self.len.checked_mul(self.kind.elt_size_in_bytes() as u64)
    }
}

/// A tensor as a view of a storage, unchecked.
#[derive(Clone, Debug)]
struct View {
    storage: usize,
    offset: i64,
    size: Vec<i64>,
    stride: Vec<i64>,
}
