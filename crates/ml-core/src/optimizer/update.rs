//! One step of a group of parameters in libtorch's fused kernels, and the group as PyTorch saves
//! it.

use tch::{Kind, Tensor};
use torch_ext::{AdamSettings, AdamState, SgdSettings};

use super::{OptimizerConfig, OptimizerError, SgdConfig, SlotGroup, State};
use torch_file::Value;

impl SlotGroup {
    pub(super) fn sgd_step(&mut self, config: &SgdConfig) -> Result<(), OptimizerError> {
        let mut settings = SgdSettings {
            lr: self.lr,
            momentum: config.momentum,
            weight_decay: self.settings.weight_decay,
            dampening: config.dampening,
            nesterov: config.nesterov,
            first_step: false,
        };
        // A buffer begins as its first gradient, undampened: such parameters go in a call of their
        // own.
        for first_step in [false, true] {
            settings.first_step = first_step;
            let mut lists = Lists::default();
            for slot in &mut self.slots {
                let grad = slot.parameter.grad();
                if !grad.defined() || slot.state.is_none() != first_step {
                    continue;
                }
                if config.momentum != 0.0 {
                    let state = slot.state.get_or_insert_with(|| State::Sgd {
                        momentum_buffer: tch::no_grad(|| slot.parameter.zeros_like()),
                    });
                    if let State::Sgd { momentum_buffer } = state {
                        lists.first.push(momentum_buffer.shallow_clone());
                    }
                }
                lists.parameters.push(slot.parameter.shallow_clone());
                lists.grads.push(grad);
            }
            if !lists.parameters.is_empty() {
                torch_ext::fused_sgd(&lists.parameters, &lists.grads, &lists.first, &settings)?;
            }
        }
        Ok(())
    }

    pub(super) fn adam_step(
        &mut self,
        [beta1, beta2]: [f64; 2],
        eps: f64,
        amsgrad: bool,
        decoupled: bool,
    ) -> Result<(), OptimizerError> {
        let weight_decay = self.settings.weight_decay;
        let settings = AdamSettings { lr: self.lr, beta1, beta2, eps, weight_decay, amsgrad, decoupled };
        let mut lists = Lists::default();
        for slot in &mut self.slots {
            let grad = slot.parameter.grad();
            if !grad.defined() {
                continue;
            }
            let state = slot.state.get_or_insert_with(|| new_adam_state(&slot.parameter, amsgrad));
            if let State::Adam { step, exp_avg, exp_avg_sq, max_exp_avg_sq } = state {
                lists.step.push(step.shallow_clone());
                lists.first.push(exp_avg.shallow_clone());
                lists.second.push(exp_avg_sq.shallow_clone());
                lists.third.extend(max_exp_avg_sq.as_ref().map(Tensor::shallow_clone));
            }
            lists.parameters.push(slot.parameter.shallow_clone());
            lists.grads.push(grad);
        }
        if lists.parameters.is_empty() {
            return Ok(());
        }
        let state = AdamState {
            exp_avg: &lists.first,
            exp_avg_sq: &lists.second,
            max_exp_avg_sq: &lists.third,
            step: &lists.step,
        };
        Ok(torch_ext::fused_adam(&lists.parameters, &lists.grads, state, &settings)?)
    }

    /// The settings, with every key that `torch.optim`'s `load_state_dict` looks for; the first
    /// parameter has the number `first`.
    pub(super) fn to_value(&self, config: &OptimizerConfig, first: i64) -> Value {
        let weight_decay = self.settings.weight_decay;
        let adam = |betas: [f64; 2], eps: f64, amsgrad: bool, decoupled: bool| {
            vec![
                ("betas", Value::Tuple(betas.map(Value::Float).into())),
                ("eps", Value::Float(eps)),
                ("weight_decay", Value::Float(weight_decay)),
                ("amsgrad", Value::Bool(amsgrad)),
                ("capturable", Value::Bool(false)),
                ("decoupled_weight_decay", Value::Bool(decoupled)),
            ]
        };
        let own = match config {
            OptimizerConfig::Sgd(c) => vec![
                ("momentum", Value::Float(c.momentum)),
                ("dampening", Value::Float(c.dampening)),
                ("weight_decay", Value::Float(weight_decay)),
                ("nesterov", Value::Bool(c.nesterov)),
            ],
            OptimizerConfig::Adam(c) => adam(c.betas, c.eps, c.amsgrad, false),
            OptimizerConfig::Adamw(c) => adam(c.betas, c.eps, c.amsgrad, true),
        };
        let mut group = vec![("lr", Value::Float(self.lr))];
        group.extend(own);
        let numbers = first..first + self.slots.len() as i64;
        group.extend([
            ("maximize", Value::Bool(false)),
            ("foreach", Value::None),
            ("differentiable", Value::Bool(false)),
            ("fused", Value::None),
            ("params", Value::list(numbers.map(Value::Int))),
            ("param_names", Value::list(self.slots.iter().map(|slot| Value::Str(slot.name.clone())))),
        ]);
        Value::dict(group)
    }
}

fn new_adam_state(parameter: &Tensor, amsgrad: bool) -> State {
    tch::no_grad(|| State::Adam {
        step: Tensor::zeros([0i64; 0], (Kind::Float, parameter.device())),
        exp_avg: parameter.zeros_like(),
        exp_avg_sq: parameter.zeros_like(),
        max_exp_avg_sq: amsgrad.then(|| parameter.zeros_like()),
    })
}

/// The tensors of one fused call.
#[derive(Default)]
struct Lists {
    parameters: Vec<Tensor>,
    grads: Vec<Tensor>,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    third: Vec<Tensor>,
    step: Vec<Tensor>,
}
