//! The tree of a network's modules, as PyTorch's `named_modules()` walks it.

use tch::Tensor;

use super::entry::{Entry, Role};

/// What a module is, as far as its parameters go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ModuleKind {
    /// `torch.nn.Conv2d`
    Conv2d,
    /// `torch.nn.Linear`
    Linear,
    /// `torch.nn.BatchNorm2d`
    BatchNorm2d,
    /// `torch.nn.LayerNorm`
    LayerNorm,
    /// `torch.nn.MultiheadAttention`
    MultiheadAttention,
    /// A container, a module with parameters of its own kind, or any of a TorchScript program.
    #[default]
    Other,
}

/// A module of a network: its name, its kind, its own parameters and buffers, its children. Modules
/// without parameters and buffers, such as activations, are not in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    node: &'a Node,
    entries: &'a [Entry],
}

impl<'a> Module<'a> {
    pub(super) fn new(node: &'a Node, entries: &'a [Entry]) -> Module<'a> {
        Module { node, entries }
    }

    /// PyTorch's dotted name, such as `layer1.0.conv1`; empty for the network itself.
    pub fn name(self) -> &'a str {
        &self.node.name
    }

    /// What it is.
    pub fn kind(self) -> ModuleKind {
        self.node.kind
    }

    /// Whether it has an output for each class.
    pub fn is_head(self) -> bool {
        self.own().any(|entry| entry.is_head)
    }

    /// Its own parameters with their full names, without those of its children.
    pub fn parameters(self) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        self.with_role(Role::Parameter)
    }

    /// Its own buffers, likewise.
    pub fn buffers(self) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        self.with_role(Role::Buffer)
    }

    /// In the order of PyTorch's `named_children()`.
    pub fn children(self) -> impl Iterator<Item = Module<'a>> {
        self.node.children.iter().map(move |node| Module { node, ..self })
    }

    /// Calls `visitor` with the module itself, then with all below it, each before its children: in
    /// the order of PyTorch's `named_modules()`, so that parameters come in that of `parameters()`.
    pub fn visit(self, visitor: &mut impl FnMut(Module<'a>)) {
        visitor(self);
        self.children().for_each(|child| child.visit(visitor));
    }

    pub(super) fn own(self) -> impl Iterator<Item = &'a Entry> {
        self.node.own.iter().map(move |&index| &self.entries[index])
    }

    fn with_role(self, role: Role) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        self.own().filter(move |entry| entry.role == role).map(|entry| (entry.name.as_str(), &entry.tensor))
    }
}

/// A module by the indices of its own tensors in a list.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub name: String,
    pub kind: ModuleKind,
    /// In the list's order.
    pub own: Vec<usize>,
    /// In the order in which the list first names them.
    pub children: Vec<Node>,
}

impl Node {
    /// The tree of a list of dotted names of tensors.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Node {
        let mut root = Node::default();
        for (index, name) in names.into_iter().enumerate() {
            let mut node = &mut root;
            for (end, _) in name.match_indices('.') {
                node = node.child(&name[..end]);
            }
            node.own.push(index);
        }
        root
    }

    fn child(&mut self, name: &str) -> &mut Node {
        // The last as a rule: most lists name the tensors of a module one after another.
        let known = self.children.iter().rposition(|child| child.name == name);
        let index = known.unwrap_or_else(|| {
            self.children.push(Node { name: name.to_owned(), ..Node::default() });
            self.children.len() - 1
        });
        &mut self.children[index]
    }

    /// Calls `visitor` with every node, each before its children.
    pub fn visit(&self, visitor: &mut impl FnMut(&Node)) {
        visitor(self);
        self.children.iter().for_each(|child| child.visit(visitor));
    }

    /// As [`Node::visit`], to change them.
    pub fn visit_mut(&mut self, visitor: &mut impl FnMut(&mut Node)) {
        visitor(self);
        self.children.iter_mut().for_each(|child| child.visit_mut(visitor));
    }
}
