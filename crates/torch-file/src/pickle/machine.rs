//! Pickle bytes → a table of nodes. Each byte of input adds at most a bounded amount to the table.

use std::collections::HashMap;

use super::{Id, Name, Node, Storage, opcode as op};
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

/// What runs a pickle: its stack, its memo, and what it has made.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    pub(super) storages: Vec<Storage>,
    /// Key → place in `storages`.
    pub(super) known: HashMap<String, usize>,
    pub(super) names: Vec<String>,
    /// Name → place in `names`.
    pub(super) known_names: HashMap<String, Name>,
    pub(super) budget: Budget,
}

/// What stands for something that the program kept elsewhere which wrote the pickle.
pub(super) const PERSISTENT: &str = "persistent id";

/// What stands for an `int` that does not fit 64 bits.
const LARGE_INT: &str = "int beyond 64 bits";

pub(super) fn disorder() -> Problem {
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

    pub(super) fn push(&mut self, node: Node) -> Result<(), Problem> {
        let id = self.add(node)?;
        self.push_id(id)
    }

    pub(super) fn add(&mut self, node: Node) -> Result<Id, Problem> {
        let id = Id::try_from(self.nodes.len()).map_err(|_| disorder())?;
        self.nodes.push(node);
        Ok(id)
    }

    pub(super) fn push_id(&mut self, id: Id) -> Result<(), Problem> {
        self.budget.charge(1)?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn top(&self) -> Result<Id, Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.last().copied().filter(|_| self.stack.len() > floor).ok_or_else(disorder)
    }

    pub(super) fn pop(&mut self) -> Result<Id, Problem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Id>, Problem> {
        let mark = self.marks.pop().ok_or_else(disorder)?;
        Ok(self.stack.split_off(mark))
    }

    /// Ids come from `push` alone, so each has its node.
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn str(&self, id: Id) -> Result<&str, Problem> {
        if let Node::Str(text) = self.node(id) { Ok(text) } else { Err(disorder()) }
    }

    pub(super) fn int(&self, id: Id) -> Result<i64, Problem> {
        if let Node::Int(number) = self.node(id) { Ok(*number) } else { Err(disorder()) }
    }

    pub(super) fn ints(&mut self, id: Id) -> Result<Vec<i64>, Problem> {
        self.sequence(id)?.into_iter().map(|id| self.int(id)).collect()
    }

    pub(super) fn sequence(&mut self, id: Id) -> Result<Vec<Id>, Problem> {
        let (Node::Tuple(items) | Node::List(items)) = &self.nodes[id as usize] else {
            return Err(disorder());
        };
        self.budget.charge(items.len())?;
        Ok(items.clone())
    }

    pub(super) fn line(&mut self) -> Result<String, Problem> {
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

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
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
