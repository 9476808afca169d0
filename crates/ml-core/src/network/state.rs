//! Named parameters and buffers in PyTorch's order, and the scope in which layers create them.

use std::cell::RefCell;
use std::rc::Rc;

use tch::{Kind, Tensor};
use torch_ext::Generator;

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
/// Random values are drawn at once, in the order of creation, from one generator: the same calls in the same order
/// as PyTorch's constructors make the same weights from the same seed.
#[derive(Clone, Debug)]
pub struct Scope {
    prefix: String,
    shared: Rc<RefCell<Shared>>,
}

#[derive(Debug)]
struct Shared {
    entries: Vec<Entry>,
    generator: Generator,
}

impl Scope {
    /// The outermost scope; its weights are a function of `seed`.
    pub fn root(seed: u64) -> Scope {
        let shared = Shared { entries: Vec::new(), generator: Generator::new(seed) };
        Scope { prefix: String::new(), shared: Rc::new(RefCell::new(shared)) }
    }

    /// The scope of a submodule.
    pub fn sub(&self, name: impl std::fmt::Display) -> Scope {
        Scope { prefix: self.name(name), shared: self.shared.clone() }
    }

    fn name(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// An f32 parameter, filled by `init`.
    pub fn parameter(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let mut tensor = Tensor::empty(shape, (Kind::Float, tch::Device::Cpu));
        init.fill(&mut tensor, &mut self.shared.borrow_mut().generator);
        self.add(name, tensor.set_requires_grad(true), Role::Parameter)
    }

    /// A buffer.
    pub fn buffer(&self, name: &str, tensor: Tensor) -> Tensor {
        self.add(name, tensor, Role::Buffer)
    }

    fn add(&self, name: &str, tensor: Tensor, role: Role) -> Tensor {
        let clone = tensor.shallow_clone();
        self.shared.borrow_mut().entries.push(Entry { name: self.name(name), tensor, role });
        clone
    }

    /// Draws every convolution's weight, in order, as torchvision's networks do after construction: normal with
    /// std √(2 / `fan_out`) (He et al. 2015, `kaiming_normal_(mode="fan_out", nonlinearity="relu")`).
    /// Convolutions are the 4-D parameters.
    pub fn draw_convolutions(&self) {
        let Shared { entries, generator } = &mut *self.shared.borrow_mut();
        for entry in entries.iter_mut().filter(|entry| entry.tensor.dim() == 4) {
            let size = entry.tensor.size();
            let fan_out = size[0] * size[2] * size[3];
            Init::Normal((2.0 / fan_out as f64).sqrt()).fill(&mut entry.tensor, generator);
        }
    }

    /// Everything created so far, in order.
    pub fn finish(self) -> Vec<Entry> {
        std::mem::take(&mut self.shared.borrow_mut().entries)
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
    /// Left undefined for now; the generator goes on as if it had been drawn uniformly. PyTorch's convolutions draw
    /// their weights, and torchvision's networks then draw them all again: this saves half of the time.
    Later,
    /// Normal with mean 0.
    Normal(f64),
}

impl Init {
    /// Overwrites `tensor`.
    fn fill(self, tensor: &mut Tensor, generator: &mut Generator) {
        let drawn = match self {
            Init::Zeros | Init::Ones => {
                let value = f64::from(self == Init::Ones);
                tch::no_grad(|| drop(tensor.fill_(value)));
                Ok(())
            }
            Init::Uniform(bound) => generator.uniform(tensor, -bound, bound),
            Init::Later => generator.skip(tensor.numel() as u64),
            Init::Normal(std) => generator.normal(tensor, 0.0, std),
        };
        drawn.expect("a dense tensor of floats on the CPU can be drawn");
    }
}
