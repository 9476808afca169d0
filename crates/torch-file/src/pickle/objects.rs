//! What a pickle makes with classes and functions: data of those that are known, something opaque of
//! any other. None is run.

use super::global::{self, Global};
use super::machine::{Machine, PERSISTENT, disorder};
use super::{Id, Name, Node, Storage, View, numpy, opcode as op};
use crate::error::Problem;

/// How much of the name of a class is kept, in characters.
const LONGEST_NAME: usize = 120;

impl Machine<'_> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<(), Problem> {
        match global::find(module, name) {
            Some(Global::Dtype(dtype)) => self.push(Node::Str(dtype.into())),
            found => {
                let name = self.name(module.chars().chain(['.']).chain(name.chars()))?;
                self.push(Node::Global(found, name))
            }
        }
    }

    /// A class by its number in a list that the program kept which wrote the pickle.
    pub(super) fn extension(&mut self, code: u8) -> Result<(), Problem> {
        let number = match code {
            op::EXT1 => self.take::<1>()?[0].into(),
            op::EXT2 => u16::from_le_bytes(self.take()?).into(),
            _ => u32::from_le_bytes(self.take()?),
        };
        let name = self.name(format!("copyreg extension {number}").chars())?;
        self.push(Node::Global(None, name))
    }

    /// Pushes something of which nothing is known but its class.
    pub(super) fn object(&mut self, class: &str) -> Result<(), Problem> {
        let name = self.name(class.chars())?;
        self.push(Node::Object(name, None))
    }

    /// The place of a name, of which the beginning is kept.
    fn name(&mut self, name: impl Iterator<Item = char>) -> Result<Name, Problem> {
        let name: String = name.take(LONGEST_NAME).collect();
        self.budget.charge_bytes(name.len())?;
        if let Some(known) = self.known_names.get(&name) {
            return Ok(*known);
        }
        let place = Name::try_from(self.names.len()).map_err(|_| disorder())?;
        self.names.push(name.clone());
        self.known_names.insert(name, place);
        Ok(place)
    }

    /// `class(*arguments)` with everything after a mark, as old protocols write it.
    pub(super) fn instance(&mut self, code: u8) -> Result<(), Problem> {
        let mut items = if code == op::INST {
            let (module, name) = (self.line()?, self.line()?);
            self.global(&module, &name)?;
            let class = self.pop()?;
            let mut items = self.pop_mark()?;
            items.insert(0, class);
            items
        } else {
            self.pop_mark()?
        };
        if items.is_empty() {
            return Err(disorder());
        }
        let class = items.remove(0);
        let arguments = self.add(Node::Tuple(items))?;
        self.apply(class, arguments)
    }

    /// `function(*arguments)`: of a function that only gives data another form, the data; of any
    /// other, which is not run, something opaque.
    pub(super) fn apply(&mut self, function: Id, arguments: Id) -> Result<(), Problem> {
        match *self.node(function) {
            Node::Global(Some(known), name) => {
                let arguments = self.sequence(arguments)?;
                match self.call(known, &arguments) {
                    // It would be damage, were all of the arguments data.
                    Err(Problem::Damaged(_)) if arguments.iter().any(|id| self.is_opaque(*id)) => {
                        self.push(Node::Object(name, None))
                    }
                    result => result,
                }
            }
            Node::Global(None, name) | Node::Object(name, _) => self.push(Node::Object(name, None)),
            _ => Err(disorder()),
        }
    }

    fn is_opaque(&self, id: Id) -> bool {
        matches!(self.node(id), Node::Global(..) | Node::Object(..) | Node::NumpyDtype(_))
    }

    fn call(&mut self, function: Global, arguments: &[Id]) -> Result<(), Problem> {
        match (function, arguments) {
            (Global::Namespace, []) => self.push(Node::Namespace(Vec::new())),
            (Global::OrderedDict | Global::Counter, []) | (Global::DefaultDict, [] | [_]) => {
                self.push(Node::Dict(Vec::new()))
            }
            (Global::Set, []) => self.push(Node::List(Vec::new())),
            (Global::Bytearray, []) => self.push(Node::Bytes(Vec::new())),
            (Global::Counter, [dict]) if matches!(self.node(*dict), Node::Dict(_)) => self.push_id(*dict),
            (Global::Size, [tuple]) if matches!(self.node(*tuple), Node::Tuple(_)) => self.push_id(*tuple),
            (Global::Set, [list]) if matches!(self.node(*list), Node::List(_)) => self.push_id(*list),
            (Global::Bytearray, [bytes]) if matches!(self.node(*bytes), Node::Bytes(_)) => {
                self.push_id(*bytes)
            }
            (Global::OrderedDict, [list]) => {
                let mut entries = Vec::new();
                for pair in self.sequence(*list)? {
                    let &[key, value] = self.sequence(pair)?.as_slice() else { return Err(disorder()) };
                    entries.push((key, value));
                }
                self.push(Node::Dict(entries))
            }
            (Global::Encode | Global::Bytearray, [text, encoding]) => self.encode(*text, *encoding),
            (Global::Device, [name]) => {
                let name = self.str(*name)?.to_owned();
                self.budget.charge_bytes(name.len())?;
                self.push(Node::Str(name))
            }
            (Global::Device, [name, number]) => {
                let name = format!("{}:{}", self.str(*name)?, self.int(*number)?);
                self.budget.charge_bytes(name.len())?;
                self.push(Node::Str(name))
            }
            (Global::RebuildTensor, [storage, offset, size, stride])
            | (
                Global::RebuildTensorV2,
                [storage, offset, size, stride, _, _] | [storage, offset, size, stride, _, _, _],
            ) => self.tensor(*storage, *offset, *size, *stride),
            (Global::RebuildFromType, [function, _class, arguments, _state])
                if matches!(self.node(*function), Node::Global(Some(Global::RebuildTensorV2), _)) =>
            {
                self.apply(*function, *arguments)
            }
            (Global::RebuildParameter, [tensor, ..]) | (Global::Parameter, [tensor])
                if matches!(self.node(*tensor), Node::Tensor(_) | Node::Object(..)) =>
            {
                self.push_id(*tensor)
            }
            (Global::Parameter, []) => self.push(Node::Parameter),
            (Global::NumpyDtype, [code, ..]) => match numpy::Dtype::read(self.str(*code)?) {
                Some(dtype) => self.push(Node::NumpyDtype(dtype)),
                None => self.object("numpy.dtype"),
            },
            (Global::NumpyScalar, [dtype, bytes]) => {
                let Node::NumpyDtype(dtype) = *self.node(*dtype) else { return Err(disorder()) };
                let number = match self.node(*bytes) {
                    Node::Bytes(bytes) => dtype.number(bytes),
                    // Python 2 wrote those as a text that happen to be one.
                    Node::Str(text) => dtype.number(text.as_bytes()),
                    _ => None,
                };
                match number {
                    Some(number) => self.push(number),
                    None => self.object("numpy.generic"),
                }
            }
            (Global::Maker, [class, ..]) => {
                let &Node::Global(_, name) = self.node(*class) else { return Err(disorder()) };
                self.push(Node::Object(name, None))
            }
            _ => Err(disorder()),
        }
    }

    /// How old protocols write bytes: as a text of one character a byte.
    fn encode(&mut self, text: Id, encoding: Id) -> Result<(), Problem> {
        if !matches!(self.str(encoding)?, "latin1" | "latin-1") {
            return Err(disorder());
        }
        let bytes: Result<Vec<u8>, _> = self.str(text)?.chars().map(u8::try_from).collect();
        let bytes = bytes.map_err(|_| disorder())?;
        self.budget.charge_bytes(bytes.len())?;
        self.push(Node::Bytes(bytes))
    }

    /// Attributes of an object: the content of a `Namespace`, the state of what is opaque; of others
    /// (`_metadata` of a state dict, …) none that matters here.
    pub(super) fn build(&mut self) -> Result<(), Problem> {
        let (state, object) = (self.pop()?, self.top()?);
        match (self.node(object), self.node(state)) {
            (Node::Namespace(_), Node::Dict(entries)) => {
                let entries = entries.clone();
                self.budget.charge(entries.len())?;
                self.nodes[object as usize] = Node::Namespace(entries);
                Ok(())
            }
            // Before 0.1.10: the data, the gradient, hooks, and two switches.
            (Node::Parameter, Node::Tuple(state)) => {
                let &[data, _, _, _, _] = state.as_slice() else { return Err(disorder()) };
                let Node::Tensor(view) = self.node(data) else { return Err(disorder()) };
                let view = view.clone();
                self.budget.charge(view.size.len() + view.stride.len())?;
                self.nodes[object as usize] = Node::Tensor(view);
                Ok(())
            }
            (&Node::Object(class, _), _) => {
                self.nodes[object as usize] = Node::Object(class, Some(state));
                Ok(())
            }
            // Version, order of bytes, …
            (&Node::NumpyDtype(dtype), Node::Tuple(parts)) => {
                let order = parts.get(1).and_then(|order| self.str(*order).ok());
                let mut dtype = dtype;
                dtype.big_endian = order.map_or(dtype.big_endian, |order| order == ">");
                self.nodes[object as usize] = Node::NumpyDtype(dtype);
                Ok(())
            }
            (Node::Dict(_) | Node::List(_) | Node::Namespace(_) | Node::Tensor(_) | Node::Global(..), _) => {
                Ok(())
            }
            _ => Err(disorder()),
        }
    }

    fn tensor(&mut self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<(), Problem> {
        let (storage, begin) = match *self.node(storage) {
            Node::Storage(storage, begin) => (storage, begin),
            Node::Object(class, _) => return self.push(Node::Object(class, None)),
            _ => return Err(disorder()),
        };
        let offset =
            self.int(offset)?.checked_add(begin).filter(|offset| *offset >= begin).ok_or_else(disorder)?;
        let (size, stride) = (self.ints(size)?, self.ints(stride)?);
        self.push(Node::Tensor(Box::new(View { storage, offset, size, stride })))
    }

    /// What a pickle has elsewhere: a storage; before 1.6 also `('module', class, file, source)`.
    pub(super) fn persistent(&mut self) -> Result<(), Problem> {
        let id = self.pop()?;
        let Ok(parts) = self.sequence(id) else { return self.object(PERSISTENT) };
        let tag = parts.first().and_then(|tag| self.str(*tag).ok());
        match (tag, parts.as_slice()) {
            (Some("storage"), _) => self.storage(&parts),
            (Some("module"), [_, class, ..]) => self.push_id(*class),
            _ => self.object(PERSISTENT),
        }
    }

    /// `('storage', class, key, device, number of elements)`; before 1.6 followed by `None`, or,
    /// for a part of a storage, by `(its own key, where it begins, its number of elements)`.
    fn storage(&mut self, parts: &[Id]) -> Result<(), Problem> {
        let Some((&[_tag, class, key, _device, len], part)) = parts.split_first_chunk() else {
            return Err(disorder());
        };
        let begin = match *part {
            [] => 0,
            [part] if matches!(self.node(part), Node::None) => 0,
            [part] => {
                let &[_key, begin, _len] = self.sequence(part)?.as_slice() else { return Err(disorder()) };
                self.int(begin).ok().filter(|begin| *begin >= 0).ok_or_else(disorder)?
            }
            _ => return Err(disorder()),
        };
        let kind = match *self.node(class) {
            Node::Global(Some(Global::Storage(kind)), _) => kind,
            Node::Global(None, class) => return self.push(Node::Object(class, None)),
            _ => return Err(disorder()),
        };
        let len = u64::try_from(self.int(len)?).map_err(|_| disorder())?;
        let key = self.str(key)?.to_owned();
        self.budget.charge_bytes(key.len())?;
        let storage = Storage { key: key.clone(), kind, len };
        let place = *self.known.entry(key).or_insert(self.storages.len());
        match self.storages.get(place) {
            None => self.storages.push(storage),
            Some(known) if *known == storage => {}
            Some(_) => return Err(Problem::damaged(format!("storage {:?} has two types", storage.key))),
        }
        self.push(Node::Storage(place, begin))
    }
}
