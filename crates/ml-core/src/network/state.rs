//! Named parameters and buffers in PyTorch's order, and the scope in which layers create them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use tch::{Kind, Tensor};
use torch_ext::{Generator, ProcessGroup};

use super::entry::{Entry, Role};
use super::init::Init;
use super::module::{ModuleKind, Node};

/// Where layers create their state while a network is built: a dotted prefix and the list it goes
/// to.
///
/// Random values come from one generator in the order of creation: the same calls in the same order
/// as PyTorch's constructors make the same weights from the same seed. They are drawn at the end,
/// so that what is drawn twice (PyTorch's layers draw their weights, and torchvision's networks
/// then draw most of them again) costs once.
#[derive(Clone, Debug)]
pub struct Scope {
    prefix: String,
    is_head: bool,
    shared: Rc<RefCell<Shared>>,
}

/// A place for the processes over which a network's batch norms take their statistics, shared by all
/// of them; empty where each process has its own.
pub type Together = Arc<OnceLock<Arc<ProcessGroup>>>;

#[derive(Debug, Default)]
struct Shared {
    /// In the order of creation.
    entries: Vec<Entry>,
    /// What is drawn, in order: the entry's place and how.
    draws: Vec<(usize, Init)>,
    /// What batch norms add up their statistics over, where that is several processes.
    together: Together,
    /// Of modules by name; those of others are [`ModuleKind::Other`].
    kinds: HashMap<String, ModuleKind>,
}

impl Scope {
    /// The outermost scope.
    pub fn root() -> Scope {
        Scope { prefix: String::new(), is_head: false, shared: Rc::default() }
    }

    /// The scope of a submodule.
    pub fn sub(&self, name: impl std::fmt::Display) -> Scope {
        Scope { prefix: self.name(name), ..self.clone() }
    }

    /// The same scope for a layer that has an output for each class.
    pub fn head(&self) -> Scope {
        Scope { is_head: true, ..self.clone() }
    }

    fn name(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// An f32 parameter, to be filled by `init`.
    pub fn parameter(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let tensor = Tensor::empty(shape, (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let clone = self.add(name, tensor, Role::Parameter);
        let shared = &mut *self.shared.borrow_mut();
        shared.draws.push((shared.entries.len() - 1, init));
        clone
    }

    /// A buffer.
    pub fn buffer(&self, name: &str, tensor: Tensor) -> Tensor {
        self.add(name, tensor, Role::Buffer)
    }

    /// A running statistic; `momentum` is the share of the newest batch in it.
    pub fn running_statistic(&self, name: &str, tensor: Tensor, momentum: f64) -> Tensor {
        let tensor = self.add(name, tensor, Role::Buffer);
        if let Some(entry) = self.shared.borrow_mut().entries.last_mut() {
            entry.momentum = Some(momentum);
        }
        tensor
    }

    fn add(&self, name: &str, tensor: Tensor, role: Role) -> Tensor {
        let clone = tensor.shallow_clone();
        let (name, is_head) = (self.name(name), self.is_head);
        let entry = Entry { name, tensor, role, is_head, momentum: None };
        self.shared.borrow_mut().entries.push(entry);
        clone
    }

    /// Draws the parameters created in this scope once more, in the order of PyTorch's `modules()`,
    /// those for which `choose` (dotted name from the root, shape) says how: what torchvision's
    /// networks do at their construction's end.
    pub fn redraw(&self, mut choose: impl FnMut(&str, &[i64]) -> Option<Init>) {
        let Shared { entries, draws, .. } = &mut *self.shared.borrow_mut();
        let inside = |name: &str| {
            let rest = name.strip_prefix(self.prefix.as_str());
            rest.is_some_and(|rest| self.prefix.is_empty() || rest.starts_with('.'))
        };
        for place in in_state_order(entries) {
            let Entry { name, tensor, role, .. } = &entries[place];
            if *role == Role::Parameter
                && inside(name)
                && let Some(init) = choose(name, &tensor.size())
            {
                draws.push((place, init));
            }
        }
    }

    /// What the network's batch norms add up their statistics over; nothing yet.
    pub fn together(&self) -> Together {
        Arc::clone(&self.shared.borrow().together)
    }

    /// Says what the module of this scope is.
    pub fn set_kind(&self, kind: ModuleKind) {
        self.shared.borrow_mut().kinds.insert(self.prefix.clone(), kind);
    }

    /// Everything created, in the order of PyTorch's `state_dict()`; values are a function of
    /// `seed`.
    pub fn finish(self, seed: u64) -> State {
        let mut shared = self.shared.borrow_mut();
        let Shared { entries, draws, .. } = &mut *shared;
        let mut generator = Generator::new(seed);
        let last: HashMap<usize, usize> =
            draws.iter().enumerate().map(|(number, (place, _))| (*place, number)).collect();
        for (number, (place, init)) in draws.iter().enumerate() {
            init.fill(&mut entries[*place].tensor, &mut generator, last[place] == number);
        }
        drop(shared);
        self.finish_uninitialised()
    }

    /// As [`Scope::finish`], for values that are about to be replaced: those of parameters are not
    /// drawn.
    pub fn finish_uninitialised(&self) -> State {
        let Shared { entries, kinds, together, .. } = std::mem::take(&mut *self.shared.borrow_mut());
        let order = in_state_order(&entries);
        let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
        let state = State::of(order.into_iter().filter_map(|place| entries[place].take()).collect());
        let mut state = State { together, ..state };
        state.root.visit_mut(&mut |node| node.kind = kinds.get(&node.name).copied().unwrap_or_default());
        state
    }
}

/// A network's tensors, and the tree of modules that they belong to.
#[derive(Debug)]
pub struct State {
    /// In the order of PyTorch's `state_dict()`.
    pub entries: Vec<Entry>,
    /// By indices into `entries`.
    pub root: Node,
    /// What its batch norms add up their statistics over.
    pub together: Together,
}

impl State {
    /// The tree is that of the names.
    pub fn of(entries: Vec<Entry>) -> State {
        let root = Node::of(entries.iter().map(|entry| entry.name.as_str()));
        State { root, entries, together: Together::default() }
    }
}

/// Indices of `entries` (in the order of creation) in the order of PyTorch's `state_dict()`: of
/// each module its own parameters, then its buffers, then its children in the order of creation.
fn in_state_order(entries: &[Entry]) -> Vec<usize> {
    let mut order = Vec::with_capacity(entries.len());
    Node::of(entries.iter().map(|entry| entry.name.as_str())).visit(&mut |node| {
        for role in [Role::Parameter, Role::Buffer] {
            order.extend(node.own.iter().filter(|&&index| entries[index].role == role));
        }
    });
    order
}
