//! Named parameters and buffers in PyTorch's order, and the scope in which layers create them.

use std::cell::RefCell;
use std::rc::Rc;

use tch::{Kind, Tensor};

/// Whether the optimizer updates a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does.
    Parameter,
    /// The forward pass does (running statistics).
    Buffer,
}

/// A tensor of the network's state.
#[derive(Debug)]
pub struct Entry {
    /// PyTorch's dotted name.
    pub name: String,
    /// The tensor itself, shared with the layer that uses it.
    pub tensor: Tensor,
    /// Who updates it.
    pub role: Role,
}

/// Where layers create their state while a network is built: a dotted prefix and the list it goes to.
///
/// Random values are drawn at once, in the order of creation, from libtorch's CPU generator: the same calls in
/// the same order as PyTorch's constructors make the same weights from the same seed.
#[derive(Clone, Debug)]
pub struct Scope {
    prefix: String,
    entries: Rc<RefCell<Vec<Entry>>>,
}

impl Scope {
    /// The outermost scope.
    pub fn root() -> Scope {
        Scope { prefix: String::new(), entries: Rc::default() }
    }

    /// The scope of a submodule.
    pub fn sub(&self, name: impl std::fmt::Display) -> Scope {
        Scope { prefix: self.name(name), entries: self.entries.clone() }
    }

    fn name(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// An f32 parameter, filled by `init`.
    pub fn parameter(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let mut tensor = Tensor::empty(shape, (Kind::Float, tch::Device::Cpu));
        init.fill(&mut tensor);
        self.add(name, tensor.set_requires_grad(true), Role::Parameter)
    }

    /// A buffer.
    pub fn buffer(&self, name: &str, tensor: Tensor) -> Tensor {
        self.add(name, tensor, Role::Buffer)
    }

    fn add(&self, name: &str, tensor: Tensor, role: Role) -> Tensor {
        let shared = tensor.shallow_clone();
        self.entries.borrow_mut().push(Entry { name: self.name(name), tensor, role });
        shared
    }

    /// Everything created so far, in order.
    pub fn finish(self) -> Vec<Entry> {
        self.entries.take()
    }
}

/// How a parameter begins; PyTorch's `torch.nn.init`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with mean 0.
    Normal(f64),
}

impl Init {
    /// Overwrites `tensor`.
    pub fn fill(self, tensor: &mut Tensor) {
        tch::no_grad(|| {
            let _ = match self {
                Init::Zeros => tensor.zero_(),
                Init::Ones => tensor.fill_(1.0),
                Init::Uniform(bound) => tensor.uniform_(-bound, bound),
                Init::Normal(std) => tensor.normal_(0.0, std),
            };
        });
    }
}

/// Re-draws every convolution's weight, in order, as torchvision's networks do after construction: normal with
/// std √(2 / `fan_out`) (He et al. 2015, `kaiming_normal_(mode="fan_out", nonlinearity="relu")`). Convolutions are
/// the 4-D parameters.
pub fn kaiming_normal_fan_out(entries: &mut [Entry]) {
    for entry in entries.iter_mut().filter(|entry| entry.tensor.dim() == 4) {
        let size = entry.tensor.size();
        let fan_out = size[0] * size[2] * size[3];
        Init::Normal((2.0 / fan_out as f64).sqrt()).fill(&mut entry.tensor);
    }
}
