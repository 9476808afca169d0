//! Parameters + gradients → updated parameters, with state that is named and saved as PyTorch does.
//!
//! The arithmetic is libtorch's own, in its fused kernels; the state is ours, because libtorch's C++ optimizers
//! cannot give theirs up. [`schedule`] says which learning rate a step has; [`Ema`] keeps an average of the weights.

mod clip;
mod config;
mod ema;
pub mod schedule;
#[cfg(test)]
mod tests;

use tch::{Kind, Tensor};
use torch_ext::{AdamSettings, AdamState, SgdSettings};

pub use config::{AdamConfig, AdamwConfig, OptimizerConfig, SgdConfig};
pub use ema::{Ema, EmaConfig};

use crate::value::{Field, Key, Value, ValueError};

/// An update failed, or a state is of other parameters.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    /// libtorch refused the update.
    #[error("the optimizer's step failed: {0}")]
    Step(#[from] torch_ext::Error),
    /// A value of the state is missing or of another type.
    #[error("the optimizer's state: {0}")]
    Value(#[from] ValueError),
    /// The state is of another optimizer or of other parameters.
    #[error("the optimizer's state does not fit: {0}")]
    Mismatch(String),
}

/// What an optimizer keeps of one parameter, PyTorch's names.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    /// None before the first step that had a gradient.
    state: Option<State>,
}

#[derive(Debug)]
enum State {
    Sgd { momentum_buffer: Tensor },
    Adam { step: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, max_exp_avg_sq: Option<Tensor> },
}

/// An optimizer and its state.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    slots: Vec<Slot>,
    /// Learning rate of the last step.
    lr: f64,
}

impl Optimizer {
    /// For named parameters, in the order in which PyTorch would number them.
    pub fn new(config: &OptimizerConfig, parameters: Vec<(String, Tensor)>) -> Optimizer {
        let slots =
            parameters.into_iter().map(|(name, parameter)| Slot { name, parameter, state: None }).collect();
        Optimizer { config: config.clone(), slots, lr: config.lr() }
    }

    /// Lets go of all gradients.
    ///
    /// # Errors
    /// libtorch's.
    pub fn zero_grad(&mut self) -> Result<(), OptimizerError> {
        let parameters: Vec<Tensor> = self.slots.iter().map(|slot| slot.parameter.shallow_clone()).collect();
        Ok(torch_ext::clear_grads(&parameters)?)
    }

    /// Updates every parameter that has a gradient, with this learning rate.
    ///
    /// # Errors
    /// libtorch refuses: a gradient of another memory layout than its parameter.
    pub fn step(&mut self, lr: f64) -> Result<(), OptimizerError> {
        self.lr = lr;
        match self.config.clone() {
            OptimizerConfig::Sgd(config) => self.sgd_step(&config, lr),
            OptimizerConfig::Adam(c) => {
                self.adam_step(&adam_settings(lr, c.betas, c.eps, c.weight_decay, c.amsgrad, false))
            }
            OptimizerConfig::Adamw(c) => {
                self.adam_step(&adam_settings(lr, c.betas, c.eps, c.weight_decay, c.amsgrad, true))
            }
        }
    }

    fn sgd_step(&mut self, config: &SgdConfig, lr: f64) -> Result<(), OptimizerError> {
        let mut settings = SgdSettings {
            lr,
            momentum: config.momentum,
            weight_decay: config.weight_decay,
            dampening: config.dampening,
            nesterov: config.nesterov,
            first_step: false,
        };
        // A buffer begins as its first gradient, undampened: such parameters go in a call of their own.
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

    fn adam_step(&mut self, settings: &AdamSettings) -> Result<(), OptimizerError> {
        let mut lists = Lists::default();
        for slot in &mut self.slots {
            let grad = slot.parameter.grad();
            if !grad.defined() {
                continue;
            }
            let state = slot.state.get_or_insert_with(|| new_adam_state(&slot.parameter, settings.amsgrad));
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
        Ok(torch_ext::fused_adam(&lists.parameters, &lists.grads, state, settings)?)
    }

    /// The tensors of the state, named after their parameters (shallow clones).
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut tensors = Vec::new();
        for slot in &self.slots {
            let own: Vec<(&str, &Tensor)> = match &slot.state {
                None => Vec::new(),
                Some(State::Sgd { momentum_buffer }) => vec![("momentum_buffer", momentum_buffer)],
                Some(State::Adam { exp_avg, exp_avg_sq, max_exp_avg_sq, .. }) => {
                    let maximum = max_exp_avg_sq.as_ref().map(|tensor| ("max_exp_avg_sq", tensor));
                    [("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)].into_iter().chain(maximum).collect()
                }
            };
            tensors
                .extend(own.into_iter().map(|(key, t)| (format!("{}/{key}", slot.name), t.shallow_clone())));
        }
        tensors
    }

    /// PyTorch's `optimizer.state_dict()`:
    /// `{"state": {0: {…}}, "param_groups": [{…, "params": [0, …], "param_names": […]}]}`.
    pub fn state_dict(&self) -> Value {
        let state = (0..).zip(&self.slots).filter_map(|(index, slot)| {
            let entry = match slot.state.as_ref()? {
                State::Sgd { momentum_buffer } => {
                    Value::dict([("momentum_buffer", Value::Tensor(momentum_buffer.shallow_clone()))])
                }
                State::Adam { step, exp_avg, exp_avg_sq, max_exp_avg_sq } => {
                    let mut tensors = vec![("step", step), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)];
                    tensors.extend(max_exp_avg_sq.as_ref().map(|tensor| ("max_exp_avg_sq", tensor)));
                    Value::dict(tensors.into_iter().map(|(name, t)| (name, Value::Tensor(t.shallow_clone()))))
                }
            };
            Some((Key::Int(index), entry))
        });
        Value::dict([
            ("state", Value::Dict(state.collect())),
            ("param_groups", Value::list([self.param_group()])),
        ])
    }

    /// The settings, with every key that `torch.optim`'s `load_state_dict` looks for.
    fn param_group(&self) -> Value {
        let adam = |betas: [f64; 2], eps: f64, weight_decay: f64, amsgrad: bool, decoupled: bool| {
            vec![
                ("betas", Value::Tuple(betas.map(Value::Float).into())),
                ("eps", Value::Float(eps)),
                ("weight_decay", Value::Float(weight_decay)),
                ("amsgrad", Value::Bool(amsgrad)),
                ("capturable", Value::Bool(false)),
                ("decoupled_weight_decay", Value::Bool(decoupled)),
            ]
        };
        let own = match &self.config {
            OptimizerConfig::Sgd(c) => vec![
                ("momentum", Value::Float(c.momentum)),
                ("dampening", Value::Float(c.dampening)),
                ("weight_decay", Value::Float(c.weight_decay)),
                ("nesterov", Value::Bool(c.nesterov)),
            ],
            OptimizerConfig::Adam(c) => adam(c.betas, c.eps, c.weight_decay, c.amsgrad, false),
            OptimizerConfig::Adamw(c) => adam(c.betas, c.eps, c.weight_decay, c.amsgrad, true),
        };
        let mut group = vec![("lr", Value::Float(self.lr))];
        group.extend(own);
        group.extend([
            ("maximize", Value::Bool(false)),
            ("foreach", Value::None),
            ("differentiable", Value::Bool(false)),
            ("fused", Value::None),
            ("params", Value::list((0..self.slots.len()).map(|index| Value::Int(index as i64)))),
            ("param_names", Value::list(self.slots.iter().map(|slot| Value::Str(slot.name.clone())))),
        ]);
        Value::dict(group)
    }

    /// Takes over a state written by [`Optimizer::state_dict`] or by `torch.optim`. The settings stay those of
    /// the configuration; each step is told its learning rate.
    ///
    /// # Errors
    /// The state is of another optimizer or of other parameters; nothing is changed then.
    pub fn load_state_dict(&mut self, state: &Value) -> Result<(), OptimizerError> {
        let groups = state.get("param_groups")?.items()?;
        let mut order = Vec::new();
        let mut names = Vec::new();
        for group in &groups {
            order.extend(
                group.get("params")?.items()?.iter().map(Field::as_i64).collect::<Result<Vec<_>, _>>()?,
            );
            if let Some(given) = group.optional("param_names")? {
                names.extend(given.as_strings()?);
            }
        }
        self.check_parameters(&order, &names)?;
        let entries = state.get("state")?.entries()?;
        let mut states: Vec<Option<State>> = self.slots.iter().map(|_| None).collect();
        for (key, entry) in entries {
            let place = match key {
                Key::Int(number) => order.iter().position(|known| known == number),
                Key::Str(name) => self.slots.iter().position(|slot| slot.name == *name),
            };
            let Some(place) = place else {
                return Err(OptimizerError::Mismatch(format!("{} belongs to no parameter", entry.path())));
            };
            states[place] = self.read_state(&self.slots[place], &entry)?;
        }
        // Of the last step, which a state saved again before the next one must tell.
        let lr = groups.first().map(|group| group.get("lr")?.as_f64()).transpose()?;
        for (slot, state) in self.slots.iter_mut().zip(states) {
            slot.state = state;
        }
        self.lr = lr.unwrap_or(self.lr);
        Ok(())
    }

    fn check_parameters(&self, order: &[i64], names: &[String]) -> Result<(), OptimizerError> {
        if order.len() != self.slots.len() {
            return Err(OptimizerError::Mismatch(format!(
                "it is of {} parameters, this network has {}",
                order.len(),
                self.slots.len()
            )));
        }
        let other = names.iter().zip(&self.slots).find(|(name, slot)| **name != slot.name);
        match other {
            Some((name, slot)) => Err(OptimizerError::Mismatch(format!(
                "it has `{name}` where this network has `{}`",
                slot.name
            ))),
            None => Ok(()),
        }
    }

    fn read_state(&self, slot: &Slot, entry: &Field<'_>) -> Result<Option<State>, OptimizerError> {
        let like = |key: &str| -> Result<Tensor, OptimizerError> {
            let tensor = entry.get(key)?.as_tensor()?.shallow_clone();
            if tensor.size() != slot.parameter.size() {
                return Err(OptimizerError::Mismatch(format!(
                    "{key} of `{}` is {:?}, its parameter {:?}",
                    slot.name,
                    tensor.size(),
                    slot.parameter.size()
                )));
            }
            // The parameter's own layout: fused kernels ignore strides.
            let mut own = tch::no_grad(|| slot.parameter.zeros_like());
            own.copy_(&tensor);
            Ok(own)
        };
        let amsgrad = match &self.config {
            OptimizerConfig::Sgd(config) => {
                let given = entry.optional("momentum_buffer")?;
                let wanted = config.momentum != 0.0 && given.is_some();
                return wanted
                    .then(|| Ok(State::Sgd { momentum_buffer: like("momentum_buffer")? }))
                    .transpose();
            }
            OptimizerConfig::Adam(config) => config.amsgrad,
            OptimizerConfig::Adamw(config) => config.amsgrad,
        };
        let step = entry.get("step")?.as_tensor()?;
        if step.numel() != 1 {
            return Err(OptimizerError::Mismatch(format!("step of `{}` is not one number", slot.name)));
        }
        let step = step.to_kind(Kind::Float).reshape([0i64; 0]).to_device(slot.parameter.device()).copy();
        Ok(Some(State::Adam {
            step,
            exp_avg: like("exp_avg")?,
            exp_avg_sq: like("exp_avg_sq")?,
            max_exp_avg_sq: amsgrad.then(|| like("max_exp_avg_sq")).transpose()?,
        }))
    }
}

fn adam_settings(
    lr: f64,
    [beta1, beta2]: [f64; 2],
    eps: f64,
    weight_decay: f64,
    amsgrad: bool,
    decoupled: bool,
) -> AdamSettings {
    AdamSettings { lr, beta1, beta2, eps, weight_decay, amsgrad, decoupled }
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
