//! Linear layers.

use tch::Tensor;

use super::{Cut, Layer};
use crate::network::init::Init;
use crate::network::module::ModuleKind;
use crate::network::state::Scope;

/// `torch.nn.Linear`.
#[derive(Debug)]
pub struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

impl Linear {
    /// Weight `[out, in]` and bias `[out]`, both initially PyTorch's default: uniform in ±1/√in.
    pub fn new(scope: &Scope, input: i64, output: i64) -> Linear {
        let weight = Linear::without_bias(scope, input, output);
        let bias = scope.parameter("bias", &[output], Init::default_bias(&[output, input]));
        Linear { bias: Some(bias), ..weight }
    }

    /// Weight `[out, in]` alone.
    pub fn without_bias(scope: &Scope, input: i64, output: i64) -> Linear {
        scope.set_kind(ModuleKind::Linear);
        let shape = [output, input];
        Linear { weight: scope.parameter("weight", &shape, Init::default_weight(&shape)), bias: None }
    }
}

impl Layer for Linear {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.linear(&self.weight, self.bias.as_ref())
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}
