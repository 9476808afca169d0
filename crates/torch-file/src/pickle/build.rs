//! The machine's table → a [`Value`], with each tensor's claims checked against its storage.

use std::collections::HashMap;

use tch::Tensor;

use super::machine::{Budget, Parsed};
use super::{Id, MAX_DEPTH, Name, Node, Storage, View, global};
use crate::error::{Problem, first_line};
use crate::value::{Key, Opaque, Value};

/// How many elements more than their storages have the views of a file may claim in all, by
/// repeating elements (a stride of 0).
const MAX_REPEATED: u64 = 1 << 24;

/// libtorch's iterators take no more dimensions.
const MAX_DIMS: usize = 64;

/// Builds the tree; `load` gives a storage's elements as a flat tensor, once for each.
pub(crate) fn build(
    parsed: Parsed,
    load: impl FnMut(&Storage) -> Result<Tensor, Problem>,
) -> Result<Value, Problem> {
    build_with(parsed, Some(load))
}

/// Builds the tree with `None` in the place of each tensor.
pub(crate) fn build_without_tensors(parsed: Parsed) -> Result<Value, Problem> {
    build_with(parsed, None::<fn(&Storage) -> Result<Tensor, Problem>>)
}

fn build_with<L: FnMut(&Storage) -> Result<Tensor, Problem>>(
    parsed: Parsed,
    load: Option<L>,
) -> Result<Value, Problem> {
    let Parsed { nodes, storages, root, names, budget } = parsed;
    let loaded = storages.iter().map(|_| None).collect();
    Builder {
        nodes: &nodes,
        storages: &storages,
        names: &names,
        loaded,
        load,
        budget,
        repeated: MAX_REPEATED,
    }
    .value(root, 0)
}

struct Builder<'a, L> {
    nodes: &'a [Node],
    storages: &'a [Storage],
    names: &'a [String],
    loaded: Vec<Option<Tensor>>,
    /// None leaves tensors out.
    load: Option<L>,
    budget: Budget,
    repeated: u64,
}

impl<L: FnMut(&Storage) -> Result<Tensor, Problem>> Builder<'_, L> {
    fn value(&mut self, id: Id, depth: usize) -> Result<Value, Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::Unsupported(format!("values nested deeper than {MAX_DEPTH}")));
        }
        self.budget.charge(1)?;
        let nodes = self.nodes;
        Ok(match &nodes[id as usize] {
            Node::None => Value::None,
            Node::Bool(value) => Value::Bool(*value),
            Node::Int(value) => Value::Int(*value),
            Node::Float(value) => Value::Float(*value),
            Node::Str(text) => {
                self.budget.charge_bytes(text.len())?;
                Value::Str(text.clone())
            }
            Node::Bytes(bytes) => {
                self.budget.charge_bytes(bytes.len())?;
                Value::Bytes(bytes.clone())
            }
            Node::List(items) => Value::List(self.values(items, depth)?),
            Node::Tuple(items) => Value::Tuple(self.values(items, depth)?),
            Node::Dict(entries) | Node::Namespace(entries) => Value::Dict(self.entries(entries, depth)?),
            Node::Tensor(view) => match global::opaque_dtype(self.storages[view.storage].kind) {
                Some(dtype) => opaque(format!("tensor of {dtype}")),
                None => self.tensor(view)?.map_or(Value::None, Value::Tensor),
            },
            Node::Parameter => return Err(Problem::damaged("a parameter has no data")),
            Node::Storage(storage, _) => {
                let class = global::storage_class(self.storages[*storage].kind).unwrap_or_default();
                opaque(format!("torch.{class}"))
            }
            Node::NumpyDtype(_) => opaque("numpy.dtype".to_owned()),
            Node::Global(_, name) => opaque(self.name(*name)?),
            Node::Object(class, state) => {
                let class = self.name(*class)?;
                let state_dict = state.map(|state| self.module(state)).transpose()?.flatten();
                Value::Opaque(Opaque { class, state_dict })
            }
        })
    }

    fn name(&mut self, name: Name) -> Result<String, Problem> {
        let names = self.names;
        let name = &names[name as usize];
        self.budget.charge_bytes(name.len())?;
        Ok(name.clone())
    }

    /// The tensors of a `torch.nn.Module`, if `state` is that of one: parameters and buffers are
    /// plain data in it, whatever its class.
    fn module(&mut self, state: Id) -> Result<Option<Vec<(String, Tensor)>>, Problem> {
        if self.load.is_none() || self.submodules(state)?.is_none() {
            return Ok(None);
        }
        let mut tensors = Vec::new();
        self.state_dict(state, "", 0, &mut tensors)?;
        Ok(Some(tensors))
    }

    /// As `torch.nn.Module.state_dict()` does it.
    fn state_dict(
        &mut self,
        state: Id,
        prefix: &str,
        depth: usize,
        out: &mut Vec<(String, Tensor)>,
    ) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::Unsupported(format!("modules nested deeper than {MAX_DEPTH}")));
        }
        let skipped = self.attribute(state, "_non_persistent_buffers_set")?;
        for group in ["_parameters", "_buffers"] {
            for (name, value) in self.named(state, group)? {
                let Node::Tensor(view) = &self.nodes[value as usize] else { continue };
                let skipped = skipped.filter(|_| group == "_buffers");
                let is_skipped = skipped.map(|set| self.contains(set, &name)).transpose()?;
                if is_skipped == Some(true)
                    || global::opaque_dtype(self.storages[view.storage].kind).is_some()
                {
                    continue;
                }
                self.budget.charge_bytes(prefix.len() + name.len())?;
                out.extend(self.tensor(view)?.map(|tensor| (format!("{prefix}{name}"), tensor)));
            }
        }
        for (name, module) in self.submodules(state)?.unwrap_or_default() {
            let Node::Object(_, Some(state)) = &self.nodes[module as usize] else { continue };
            self.budget.charge_bytes(prefix.len() + name.len())?;
            self.state_dict(*state, &format!("{prefix}{name}."), depth + 1, out)?;
        }
        Ok(())
    }

    /// The entries of `_modules` in the attributes of a `torch.nn.Module`; none of anything else.
    fn submodules(&mut self, state: Id) -> Result<Option<Vec<(String, Id)>>, Problem> {
        let is_module = self.attribute(state, "_parameters")?.is_some();
        let is_module = is_module && self.attribute(state, "_modules")?.is_some();
        if is_module { self.named(state, "_modules").map(Some) } else { Ok(None) }
    }

    /// The entries of the dict that the attribute `name` is.
    fn named(&mut self, state: Id, name: &str) -> Result<Vec<(String, Id)>, Problem> {
        let Some(dict) = self.attribute(state, name)? else { return Ok(Vec::new()) };
        let nodes = self.nodes;
        let Node::Dict(entries) = &nodes[dict as usize] else { return Ok(Vec::new()) };
        self.budget.charge(entries.len())?;
        let mut named = Vec::new();
        for (key, value) in entries {
            if let Node::Str(key) = &nodes[*key as usize] {
                self.budget.charge_bytes(key.len())?;
                named.push((key.clone(), *value));
            }
        }
        Ok(named)
    }

    /// What the dict `state` has under `name`.
    fn attribute(&mut self, state: Id, name: &str) -> Result<Option<Id>, Problem> {
        let Node::Dict(entries) = &self.nodes[state as usize] else { return Ok(None) };
        self.budget.charge(entries.len())?;
        let is_it = |key: Id| matches!(&self.nodes[key as usize], Node::Str(text) if text == name);
        Ok(entries.iter().rev().find(|(key, _)| is_it(*key)).map(|(_, value)| *value))
    }

    fn contains(&mut self, list: Id, name: &str) -> Result<bool, Problem> {
        let Node::List(items) = &self.nodes[list as usize] else { return Ok(false) };
        self.budget.charge(items.len())?;
        Ok(items.iter().any(|item| matches!(&self.nodes[*item as usize], Node::Str(text) if text == name)))
    }

    fn values(&mut self, items: &[Id], depth: usize) -> Result<Vec<Value>, Problem> {
        items.iter().map(|item| self.value(*item, depth + 1)).collect()
    }

    fn entries(&mut self, entries: &[(Id, Id)], depth: usize) -> Result<Vec<(Key, Value)>, Problem> {
        let mut places = HashMap::new();
        let mut built: Vec<(Key, Value)> = Vec::new();
        for (key, value) in entries {
            let key = match &self.nodes[*key as usize] {
                Node::Str(_) | Node::Int(_) => self.value(*key, depth + 1)?,
                // What others have under a tuple or an object is nothing that is looked for.
                _ => continue,
            };
            let key = match key {
                Value::Str(text) => Key::Str(text),
                Value::Int(number) => Key::Int(number),
                _ => continue,
            };
            let value = self.value(*value, depth + 1)?;
            // Set again, a key keeps its place and takes the new value, as in Python.
            let place = *places.entry(key.clone()).or_insert(built.len());
            match built.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => built.push((key, value)),
            }
        }
        Ok(built)
    }

    fn tensor(&mut self, view: &View) -> Result<Option<Tensor>, Problem> {
        let Some(load) = &mut self.load else { return Ok(None) };
        let storage = &self.storages[view.storage];
        let numel = check(view, storage)?;
        let repeated = numel.saturating_sub(storage.len);
        self.repeated = self.repeated.checked_sub(repeated).ok_or_else(|| {
            Problem::damaged(format!("a tensor of {numel} elements in a storage of {}", storage.len))
        })?;
        let flat = match &self.loaded[view.storage] {
            Some(flat) => flat.shallow_clone(),
            None => load(storage)?,
        };
        self.loaded[view.storage] = Some(flat.shallow_clone());
        let tensor = flat.f_as_strided(&view.size, &view.stride, view.offset);
        tensor.map(Some).map_err(|error| Problem::damaged(first_line(&error)))
    }
}

fn opaque(class: String) -> Value {
    Value::Opaque(Opaque { class, state_dict: None })
}

/// The number of elements of a view that lies within its storage.
fn check(view: &View, storage: &Storage) -> Result<u64, Problem> {
    let View { offset, size, stride, .. } = view;
    let wrong = || {
        let key = &storage.key;
        let shape: Vec<_> = size.iter().take(8).collect();
        Problem::damaged(format!("a tensor of shape {shape:?} does not fit its storage {key:?}"))
    };
    let non_negative = |numbers: &[i64]| numbers.iter().all(|number| *number >= 0);
    if size.len() != stride.len() || size.len() > MAX_DIMS || !non_negative(size) || !non_negative(stride) {
        return Err(wrong());
    }
    let offset = u64::try_from(*offset).map_err(|_| wrong())?;
    // Also the product without the zeros is bounded: libtorch multiplies them in its own order.
    let extent = size.iter().map(|n| (*n).max(1) as u64).try_fold(1_u64, u64::checked_mul);
    let extent = extent.filter(|extent| *extent <= i64::MAX as u64 / 16).ok_or_else(wrong)?;
    if size.contains(&0) {
        return if offset <= storage.len { Ok(0) } else { Err(wrong()) };
    }
    let last = size.iter().zip(stride).try_fold(offset, |last, (n, step)| {
        ((n - 1) as u64).checked_mul(*step as u64).and_then(|reach| last.checked_add(reach))
    });
    if last.is_some_and(|last| last < storage.len) { Ok(extent) } else { Err(wrong()) }
}
