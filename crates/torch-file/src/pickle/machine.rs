//! Pickle bytes → a table of nodes. Each byte of input adds at most a bounded amount to the table.

use std::collections::HashMap;

use super::global::{self, Global};
use super::{Id, Name, Node, Storage, View, numpy, opcode as op};
use crate::error::Problem;

/// What a pickle holds: the table, the storages that it names, and where the tree begins.
pub(crate) struct Parsed {
    pub(super) nodes: Vec<Node>,
    pub(super) storages: Vec<Storage>,
    pub(super) root: Id,
    /// Of classes and functions.
    pub(super) names: Vec<String>,
    /// How much may be made from this pickle, by its length.
    pub(super) budget: Budget,
}

impl Parsed {
    /// The storages that the tree's tensors lie in.
    pub(crate) fn storages(&self) -> &[Storage] {
        &self.storages
    }
}

/// A bound on work and memory that grows with the length of the pickle, so that a short one that
/// refers to its own parts again and again cannot grow without end. One unit is about a
/// [`Value`](crate::value::Value).
pub(super) struct Budget(u64);

impl Budget {
    fn new(length: usize) -> Self {
        Budget((1 << 20) + 2 * length as u64)
    }

    /// For a copy of `length` bytes.
    pub(super) fn charge_bytes(&mut self, length: usize) -> Result<(), Problem> {
        self.charge(length / 32)
    }

    pub(super) fn charge(&mut self, amount: usize) -> Result<(), Problem> {
        let rest = self.0.checked_sub(amount as u64);
        self.0 = rest.ok_or_else(|| Problem::damaged("its content repeats itself beyond any use"))?;
        Ok(())
    }
}

/// Runs the pickle that `bytes` begin with; also tells how many bytes it has.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Parsed, usize), Problem> {
    let mut machine = Machine {
        bytes,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: Vec::new(),
        known: HashMap::new(),
        names: Vec::new(),
        known_names: HashMap::new(),
        budget: Budget::new(bytes.len()),
    };
    let root = machine.run()?;
    let budget = Budget::new(machine.at);
    let Machine { nodes, storages, names, at, .. } = machine;
    Ok((Parsed { nodes, storages, root, names, budget }, at))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    storages: Vec<Storage>,
    /// Key → place in `storages`.
    known: HashMap<String, usize>,
    names: Vec<String>,
    /// Name → place in `names`.
    known_names: HashMap<String, Name>,
    budget: Budget,
}

/// How much of the name of a class is kept, in characters.
const LONGEST_NAME: usize = 120;

/// What stands for something that the program kept elsewhere which wrote the pickle.
const PERSISTENT: &str = "persistent id";

/// What stands for an `int` that does not fit 64 bits.
const LARGE_INT: &str = "int beyond 64 bits";

fn disorder() -> Problem {
    Problem::damaged("its pickle is not in order")
}

fn ended() -> Problem {
    Problem::CutShort("its pickle has no end".into())
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, Problem> {
        loop {
            let code = self.take::<1>()?[0];
            if code == op::STOP {
                return self.pop();
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Result<(), Problem> {
        match code {
            op::PROTO => self.skip(1),
            op::FRAME => self.skip(8),
            op::NONE => self.push(Node::None),
            op::NEWTRUE => self.push(Node::Bool(true)),
            op::NEWFALSE => self.push(Node::Bool(false)),
            op::BININT => self.take().and_then(|b| self.push(Node::Int(i32::from_le_bytes(b).into()))),
            op::BININT1 => self.take::<1>().and_then(|b| self.push(Node::Int(b[0].into()))),
            op::BININT2 => self.take().and_then(|b| self.push(Node::Int(u16::from_le_bytes(b).into()))),
            op::BINFLOAT => self.take().and_then(|b| self.push(Node::Float(f64::from_be_bytes(b)))),
            op::LONG1 | op::LONG4 => self.long(code),
            op::INT | op::LONG | op::FLOAT => self.number(code),
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 | op::BINSTRING | op::SHORT_BINSTRING => {
                self.text(code)
            }
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                let bytes = self.counted(code)?.to_vec();
                self.push(Node::Bytes(bytes))
            }
            op::MARK => {
                self.budget.charge(1)?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.pop_mark().map(drop),
            op::DUP => self.top().and_then(|id| self.push_id(id)),
            op::GET | op::BINGET | op::LONG_BINGET => self.recall(code),
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(code),
            op::EMPTY_TUPLE => self.push(Node::Tuple(Vec::new())),
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::TUPLE => self.pop_mark().and_then(|items| self.push(Node::Tuple(items))),
            // A set becomes a list: what a checkpoint keeps in one has no use for set operations.
            op::EMPTY_LIST | op::EMPTY_SET => self.push(Node::List(Vec::new())),
            op::LIST | op::FROZENSET => self.pop_mark().and_then(|items| self.push(Node::List(items))),
            op::EMPTY_DICT => self.push(Node::Dict(Vec::new())),
            op::DICT => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(pairs(&items)?))
            }
            op::APPEND => self.pop().and_then(|item| self.append(vec![item])),
            op::APPENDS | op::ADDITEMS => self.pop_mark().and_then(|items| self.append(items)),
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])
            }
            op::SETITEMS => self.pop_mark().and_then(|items| self.set(pairs(&items)?)),
            op::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                self.budget.charge_bytes(self.str(name)?.len() + self.str(module)?.len())?;
                let (name, module) = (self.str(name)?.to_owned(), self.str(module)?.to_owned());
                self.global(&module, &name)
            }
            op::REDUCE | op::NEWOBJ => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.apply(function, arguments)
            }
            op::NEWOBJ_EX => {
                let (_keywords, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.apply(class, arguments)
            }
            op::OBJ | op::INST => self.instance(code),
            op::EXT1 | op::EXT2 | op::EXT4 => self.extension(code),
            op::BUILD => self.build(),
            op::BINPERSID => self.persistent(),
            op::PERSID => {
                self.line()?;
                self.object(PERSISTENT)
            }
            _ => Err(Problem::Unsupported(format!("the pickle opcode 0x{code:02x}, which is not data"))),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), Problem> {
        match global::find(module, name) {
            Some(Global::Dtype(dtype)) => self.push(Node::Str(dtype.into())),
            found => {
                let name = self.name(module.chars().chain(['.']).chain(name.chars()))?;
                self.push(Node::Global(found, name))
            }
        }
    }

    /// A class by its number in a list that the program kept which wrote the pickle.
    fn extension(&mut self, code: u8) -> Result<(), Problem> {
        let number = match code {
            op::EXT1 => self.take::<1>()?[0].into(),
            op::EXT2 => u16::from_le_bytes(self.take()?).into(),
            _ => u32::from_le_bytes(self.take()?),
        };
        let name = self.name(format!("copyreg extension {number}").chars())?;
        self.push(Node::Global(None, name))
    }

    /// Pushes something of which nothing is known but its class.
    fn object(&mut self, class: &str) -> Result<(), Problem> {
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
    fn instance(&mut self, code: u8) -> Result<(), Problem> {
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
    fn apply(&mut self, function: Id, arguments: Id) -> Result<(), Problem> {
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
            (Global::Bytearray, [text, encoding]) => self.encode(*text, *encoding),
            (Global::OrderedDict, [list]) => {
                let mut entries = Vec::new();
                for pair in self.sequence(*list)? {
                    let &[key, value] = self.sequence(pair)?.as_slice() else { return Err(disorder()) };
                    entries.push((key, value));
                }
                self.push(Node::Dict(entries))
            }
            (Global::Encode, [text, encoding]) => self.encode(*text, *encoding),
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
    fn build(&mut self) -> Result<(), Problem> {
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
    fn persistent(&mut self) -> Result<(), Problem> {
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

    fn recall(&mut self, code: u8) -> Result<(), Problem> {
        let number = self.memo_number(code)?;
        let id = *self.memo.get(&number).ok_or_else(disorder)?;
        self.push_id(id)
    }

    fn remember(&mut self, code: u8) -> Result<(), Problem> {
        let number = self.memo_number(code)?;
        let top = self.top()?;
        self.memo.insert(number, top);
        Ok(())
    }

    fn memo_number(&mut self, code: u8) -> Result<u32, Problem> {
        Ok(match code {
            op::GET | op::PUT => self.line()?.parse().map_err(|_| disorder())?,
            op::BINGET | op::BINPUT => self.take::<1>()?[0].into(),
            op::MEMOIZE => self.memo.len() as u32,
            _ => u32::from_le_bytes(self.take()?),
        })
    }

    fn long(&mut self, code: u8) -> Result<(), Problem> {
        let bytes = self.counted(code)?;
        let number = match bytes.last() {
            None => 0,
            // Two's complement, little-endian; the sign is in the last byte.
            Some(last) if bytes.len() <= 8 => {
                let mut wide = if last & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
                wide[..bytes.len()].copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
            Some(_) => return self.object(LARGE_INT),
        };
        self.push(Node::Int(number))
    }

    /// A number as a line of text; `00` and `01` are bools.
    fn number(&mut self, code: u8) -> Result<(), Problem> {
        let line = self.line()?;
        match (code, line.as_str()) {
            (op::INT, "00") => self.push(Node::Bool(false)),
            (op::INT, "01") => self.push(Node::Bool(true)),
            (op::FLOAT, text) => {
                let number = text.parse().map_err(|_| disorder())?;
                self.push(Node::Float(number))
            }
            (_, text) => match text.trim_end_matches('L').parse::<i64>() {
                Ok(number) => self.push(Node::Int(number)),
                Err(_) if text.len() > 18 => self.object(LARGE_INT),
                Err(_) => Err(disorder()),
            },
        }
    }

    fn text(&mut self, code: u8) -> Result<(), Problem> {
        let is_python_2s = matches!(code, op::BINSTRING | op::SHORT_BINSTRING);
        let bytes = self.counted(code)?;
        let node = match std::str::from_utf8(bytes) {
            Ok(text) => Node::Str(text.to_owned()),
            // Python 2 had one type for both.
            Err(_) if is_python_2s => Node::Bytes(bytes.to_vec()),
            // The name of a file may have half a pair of UTF-16 in it.
            Err(_) => Node::Str(String::from_utf8_lossy(bytes).into_owned()),
        };
        self.push(node)
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Problem> {
        let list = self.top()?;
        match &mut self.nodes[list as usize] {
            Node::List(list) => list.extend(items),
            // Of a subclass, or a `deque`.
            object @ Node::Object(..) => *object = Node::List(items),
            Node::Global(..) => {}
            _ => return Err(disorder()),
        }
        Ok(())
    }

    fn set(&mut self, entries: Vec<(Id, Id)>) -> Result<(), Problem> {
        let dict = self.top()?;
        match &mut self.nodes[dict as usize] {
            Node::Dict(dict) => dict.extend(entries),
            // Of a subclass.
            object @ Node::Object(..) => *object = Node::Dict(entries),
            Node::Global(..) => {}
            _ => return Err(disorder()),
        }
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<(), Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= floor);
        let items = self.stack.split_off(start.ok_or_else(disorder)?);
        self.push(Node::Tuple(items))
    }

    fn push(&mut self, node: Node) -> Result<(), Problem> {
        let id = self.add(node)?;
        self.push_id(id)
    }

    fn add(&mut self, node: Node) -> Result<Id, Problem> {
        let id = Id::try_from(self.nodes.len()).map_err(|_| disorder())?;
        self.nodes.push(node);
        Ok(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), Problem> {
        self.budget.charge(1)?;
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<Id, Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.last().copied().filter(|_| self.stack.len() > floor).ok_or_else(disorder)
    }

    fn pop(&mut self) -> Result<Id, Problem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Problem> {
        let mark = self.marks.pop().ok_or_else(disorder)?;
        Ok(self.stack.split_off(mark))
    }

    /// Ids come from `push` alone, so each has its node.
    fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    fn str(&self, id: Id) -> Result<&str, Problem> {
        if let Node::Str(text) = self.node(id) { Ok(text) } else { Err(disorder()) }
    }

    fn int(&self, id: Id) -> Result<i64, Problem> {
        if let Node::Int(number) = self.node(id) { Ok(*number) } else { Err(disorder()) }
    }

    fn ints(&mut self, id: Id) -> Result<Vec<i64>, Problem> {
        self.sequence(id)?.into_iter().map(|id| self.int(id)).collect()
    }

    fn sequence(&mut self, id: Id) -> Result<Vec<Id>, Problem> {
        let (Node::Tuple(items) | Node::List(items)) = &self.nodes[id as usize] else {
            return Err(disorder());
        };
        self.budget.charge(items.len())?;
        Ok(items.clone())
    }

    fn line(&mut self) -> Result<String, Problem> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(ended)?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| disorder())?.to_owned();
        self.at += end + 1;
        Ok(line)
    }

    /// The bytes whose number stands before them, in the width that the opcode says.
    fn counted(&mut self, code: u8) -> Result<&[u8], Problem> {
        let count = match code {
            op::LONG1 | op::SHORT_BINUNICODE | op::SHORT_BINSTRING | op::SHORT_BINBYTES => {
                self.take::<1>()?[0].into()
            }
            op::BINUNICODE8 | op::BINBYTES8 | op::BYTEARRAY8 => u64::from_le_bytes(self.take()?),
            _ => u32::from_le_bytes(self.take()?).into(),
        };
        let end =
            usize::try_from(count).ok().and_then(|count| self.at.checked_add(count)).ok_or_else(disorder)?;
        let bytes = self.bytes.get(self.at..end).ok_or_else(ended)?;
        self.at = end;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()).ok_or_else(ended)?;
        self.at += N;
        Ok(*bytes)
    }

    fn skip(&mut self, count: usize) -> Result<(), Problem> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len()).ok_or_else(ended)?;
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Problem> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err(disorder())
    }
}
