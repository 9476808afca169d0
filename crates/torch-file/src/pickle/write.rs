//! [`Value`] → pickle, and the list of tensors whose bytes belong beside it.

use std::collections::HashMap;

use tch::{Kind, Tensor};

use super::global::KINDS;
use super::{MAX_DEPTH, opcode as op};
use crate::value::{Key, Value};

/// A pickle, and the tensors that it refers to as the storages `0`, `1`, ….
pub(crate) struct Pickled {
    pub bytes: Vec<u8>,
    pub storages: Vec<Tensor>,
}

/// What the tree contains that a checkpoint cannot hold.
pub(crate) struct Unwritable(pub String);

/// Pickles `value`. Tensors with the same elements in memory share a storage, as they do here.
pub(crate) fn pickle(value: &Value) -> Result<Pickled, Unwritable> {
    let mut pickler = Pickler { out: vec![op::PROTO, 2], ..Pickler::default() };
    pickler.value(value, 0)?;
    pickler.out.push(op::STOP);
    Ok(Pickled { bytes: pickler.out, storages: pickler.storages })
}

/// The name of torch's storage class for elements of `kind`.
fn storage_class(kind: Kind) -> Option<&'static str> {
    KINDS.iter().find(|(k, _, _)| *k == kind).map(|(_, class, _)| *class)
}

/// Keys under which there are the weights of a network.
const STATE_DICTS: [&str; 2] = ["model_state_dict", "ema_state_dict"];

#[derive(Default)]
struct Pickler {
    out: Vec<u8>,
    storages: Vec<Tensor>,
    /// Address, type and number of elements → place in `storages`.
    known: HashMap<(usize, &'static str, usize), usize>,
    /// Names and short texts that recur → number under which the reader remembers them.
    memo: HashMap<String, u32>,
}

impl Pickler {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Unwritable> {
        if depth > MAX_DEPTH {
            return Err(Unwritable(format!("values nested deeper than {MAX_DEPTH}")));
        }
        match value {
            Value::None => self.out.push(op::NONE),
            Value::Bool(value) => self.out.push(if *value { op::NEWTRUE } else { op::NEWFALSE }),
            Value::Int(value) => self.int(*value),
            Value::Float(value) => {
                self.out.push(op::BINFLOAT);
                self.out.extend(value.to_be_bytes());
            }
            Value::Str(text) => self.text(text)?,
            Value::Bytes(bytes) => {
                // Protocol 2 has no bytes: they go as text in Latin-1, which maps each byte to one
                // character.
                let latin: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                self.global("_codecs", "encode");
                self.text(&latin)?;
                self.remembered("latin1");
                self.out.extend([op::TUPLE2, op::REDUCE]);
            }
            Value::List(items) => {
                self.out.extend([op::EMPTY_LIST, op::MARK]);
                self.values(items, depth)?;
                self.out.push(op::APPENDS);
            }
            Value::Tuple(items) => {
                self.out.push(op::MARK);
                self.values(items, depth)?;
                self.out.push(op::TUPLE);
            }
            Value::Dict(entries) => {
                self.out.push(op::EMPTY_DICT);
                self.entries(entries, depth)?;
            }
            Value::Tensor(tensor) => self.tensor(tensor)?,
            Value::Opaque(_) => return Err(Unwritable(value.describe())),
        }
        Ok(())
    }

    fn entries(&mut self, entries: &[(Key, Value)], depth: usize) -> Result<(), Unwritable> {
        self.out.push(op::MARK);
        for (key, value) in entries {
            match key {
                Key::Str(text) => self.text(text)?,
                Key::Int(number) => self.int(*number),
            }
            match (key, value) {
                (Key::Str(name), Value::Dict(state)) if STATE_DICTS.contains(&name.as_str()) => {
                    self.state_dict(state, depth + 1)?;
                }
                _ => self.value(value, depth + 1)?,
            }
        }
        self.out.push(op::SETITEMS);
        Ok(())
    }

    /// As `torch.nn.Module.state_dict()` returns it: an `OrderedDict` with an attribute that says
    /// of which version the network's class is. Of torchvision's networks only `MNASNet` looks, and
    /// loads nothing without it.
    fn state_dict(&mut self, entries: &[(Key, Value)], depth: usize) -> Result<(), Unwritable> {
        self.global("collections", "OrderedDict");
        self.out.extend([op::EMPTY_TUPLE, op::REDUCE]);
        self.entries(entries, depth)?;
        let versions = Value::dict([("", Value::dict([("version", Value::Int(2))]))]);
        self.value(&Value::dict([("_metadata", versions)]), depth)?;
        self.out.push(op::BUILD);
        Ok(())
    }

    fn values(&mut self, items: &[Value], depth: usize) -> Result<(), Unwritable> {
        items.iter().try_for_each(|item| self.value(item, depth + 1))
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`,
    /// contiguous.
    fn tensor(&mut self, tensor: &Tensor) -> Result<(), Unwritable> {
        if !tensor.defined() {
            return Err(Unwritable("a tensor that is undefined".into()));
        }
        let Some(class) = storage_class(tensor.kind()).filter(|_| !tensor.is_sparse()) else {
            return Err(Unwritable(format!("a tensor of type {:?}, sparse or not", tensor.kind())));
        };
        let (size, len) = (tensor.size(), tensor.numel());
        let storage = self.storage(tensor, class, len);
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.out.extend([op::MARK, op::MARK]);
        self.remembered("storage");
        self.global("torch", class);
        self.text(&storage.to_string())?;
        self.remembered("cpu");
        self.int(len as i64);
        self.out.extend([op::TUPLE, op::BINPERSID]);
        self.int(0);
        self.ints(&size);
        self.ints(&contiguous_stride(&size));
        self.out.push(op::NEWFALSE);
        self.global("collections", "OrderedDict");
        self.out.extend([op::EMPTY_TUPLE, op::REDUCE, op::TUPLE, op::REDUCE]);
        Ok(())
    }

    fn storage(&mut self, tensor: &Tensor, class: &'static str, len: usize) -> usize {
        let next = self.storages.len();
        if len > 0 && tensor.is_contiguous() {
            let identity = (tensor.data_ptr() as usize, class, len);
            let place = *self.known.entry(identity).or_insert(next);
            if place != next {
                return place;
            }
        }
        self.storages.push(tensor.shallow_clone());
        next
    }

    fn ints(&mut self, numbers: &[i64]) {
        self.out.push(op::MARK);
        for number in numbers {
            self.int(*number);
        }
        self.out.push(op::TUPLE);
    }

    fn int(&mut self, number: i64) {
        if let Ok(small) = u8::try_from(number) {
            self.out.extend([op::BININT1, small]);
        } else if let Ok(medium) = i32::try_from(number) {
            self.out.push(op::BININT);
            self.out.extend(medium.to_le_bytes());
        } else {
            self.out.extend([op::LONG1, 8]);
            self.out.extend(number.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Unwritable> {
        let length = u32::try_from(text.len()).map_err(|_| Unwritable("a text above 4 GiB".into()))?;
        self.out.push(op::BINUNICODE);
        self.out.extend(length.to_le_bytes());
        self.out.extend(text.as_bytes());
        Ok(())
    }

    fn remembered(&mut self, text: &str) {
        self.recall_or(text, |out| {
            out.extend([op::BINUNICODE, text.len() as u8, 0, 0, 0]);
            out.extend(text.as_bytes());
        });
    }

    fn global(&mut self, module: &str, name: &str) {
        self.recall_or(&format!("{module}\n{name}\n"), |out| {
            out.push(op::GLOBAL);
            out.extend(format!("{module}\n{name}\n").into_bytes());
        });
    }

    /// Emits what `write` writes the first time, a reference to it from then on.
    fn recall_or(&mut self, what: &str, write: impl FnOnce(&mut Vec<u8>)) {
        // There are fewer than 20 such names and texts, so their numbers fit a byte.
        if let Some(number) = self.memo.get(what) {
            self.out.extend([op::BINGET, *number as u8]);
        } else {
            let number = self.memo.len() as u32;
            write(&mut self.out);
            self.out.extend([op::BINPUT, number as u8]);
            self.memo.insert(what.into(), number);
        }
    }
}

fn contiguous_stride(size: &[i64]) -> Vec<i64> {
    let mut stride = vec![1; size.len()];
    for i in (1..size.len()).rev() {
        stride[i - 1] = stride[i] * size[i].max(1);
    }
    stride
}
