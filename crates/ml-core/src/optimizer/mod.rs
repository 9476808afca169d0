//! Parameters + gradients → updated parameters, with state that is named and saved as PyTorch does.
//!
//! The arithmetic is libtorch's own, in its fused kernels; the state is ours, because libtorch's
//! C++ optimizers cannot give theirs up. [`schedule`] says which learning rate a step has; [`Ema`]
//! keeps an average of the weights.

mod clip;
mod config;
mod ema;
mod groups;
pub mod schedule;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{HashMap, HashSet};

pub use config::{AdamConfig, AdamwConfig, OptimizerConfig, SgdConfig};
pub use ema::{Ema, EmaConfig};
use groups::Group;
pub use groups::{GroupError, ParamGroup};
use tch::{Kind, Tensor};

use torch_file::{Field, Key, Value, ValueError};

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

/// Parameters that learn alike.
#[derive(Debug)]
struct SlotGroup {
    settings: Group,
    slots: Vec<Slot>,
    /// Learning rate of the last step.
    lr: f64,
}

/// An optimizer and its state.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// In the order of their first parameter.
    groups: Vec<SlotGroup>,
}

impl Optimizer {
    /// For named parameters, in the order in which PyTorch would number them.
    ///
    /// # Errors
    /// A pattern of the settings matches no parameter.
    pub fn new(config: &OptimizerConfig, parameters: Vec<(String, Tensor)>) -> Result<Optimizer, GroupError> {
        let mut groups: Vec<SlotGroup> = Vec::new();
        let assigned = config.grouping().assign(&parameters)?;
        for ((name, parameter), settings) in parameters.into_iter().zip(assigned) {
            let slot = Slot { name, parameter, state: None };
            match groups.iter_mut().find(|group| group.settings == settings) {
                Some(group) => group.slots.push(slot),
                None => {
                    let lr = config.lr() * settings.lr_scale;
                    groups.push(SlotGroup { settings, slots: vec![slot], lr });
                }
            }
        }
        Ok(Optimizer { config: config.clone(), groups })
    }

    /// Of all groups, in PyTorch's numbering.
    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.groups.iter().flat_map(|group| &group.slots)
    }

    /// Lets go of all gradients.
    ///
    /// # Errors
    /// libtorch's.
    pub fn zero_grad(&mut self) -> Result<(), OptimizerError> {
        let parameters: Vec<Tensor> = self.slots().map(|slot| slot.parameter.shallow_clone()).collect();
        Ok(torch_ext::clear_grads(&parameters)?)
    }

    /// Updates every parameter that has a gradient, with this learning rate times that of its
    /// group.
    ///
    /// # Errors
    /// libtorch refuses: a gradient of another memory layout than its parameter.
    pub fn step(&mut self, lr: f64) -> Result<(), OptimizerError> {
        for group in &mut self.groups {
            group.lr = lr * group.settings.lr_scale;
            match &self.config {
                OptimizerConfig::Sgd(config) => group.sgd_step(config)?,
                OptimizerConfig::Adam(c) => group.adam_step(c.betas, c.eps, c.amsgrad, false)?,
                OptimizerConfig::Adamw(c) => group.adam_step(c.betas, c.eps, c.amsgrad, true)?,
            }
        }
        Ok(())
    }

    /// The tensors of the state, named after their parameters (shallow clones).
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut tensors = Vec::new();
        for slot in self.slots() {
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
        let state = (0..).zip(self.slots()).filter_map(|(index, slot)| {
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
        let mut first = 0;
        let groups = self.groups.iter().map(|group| {
            let value = group.to_value(&self.config, first);
            first += group.slots.len() as i64;
            value
        });
        Value::dict([
            ("state", Value::Dict(state.collect())),
            ("param_groups", Value::list(groups.collect::<Vec<_>>())),
        ])
    }

    /// Takes over a state written by [`Optimizer::state_dict`] or by `torch.optim`. The settings
    /// stay those of the configuration; each step is told its learning rate.
    ///
    /// # Errors
    /// The state is of another optimizer or of other parameters; nothing is changed then.
    pub fn load_state_dict(&mut self, state: &Value) -> Result<(), OptimizerError> {
        let groups = state.get("param_groups")?.items()?;
        let (mut order, mut names, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for group in &groups {
            order.extend(
                group.get("params")?.items()?.iter().map(Field::as_i64).collect::<Result<Vec<_>, _>>()?,
            );
            if let Some(given) = group.optional("param_names")? {
                names.extend(given.as_strings()?);
            }
            rates.push(group.get("lr")?.as_f64()?);
        }
        let slots: Vec<&Slot> = self.slots().collect();
        let places = places(&order, &names, &slots)?;
        let entries = state.get("state")?.entries()?;
        let mut states: Vec<Option<State>> = slots.iter().map(|_| None).collect();
        for (key, entry) in entries {
            let place = match key {
                Key::Int(number) => order.iter().position(|known| known == number).map(|index| places[index]),
                Key::Str(name) => slots.iter().position(|slot| slot.name == *name),
            };
            let Some(place) = place else {
                return Err(OptimizerError::Mismatch(format!("{} belongs to no parameter", entry.path())));
            };
            states[place] = self.read_state(slots[place], &entry)?;
        }
        for (slot, state) in self.groups.iter_mut().flat_map(|group| &mut group.slots).zip(states) {
            slot.state = state;
        }
        // Of the last step, which a state saved again before the next one must tell.
        if rates.len() == self.groups.len() {
            self.groups.iter_mut().zip(rates).for_each(|(group, lr)| group.lr = lr);
        }
        Ok(())
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
                let is_other =
                    |(key, _): &(&Key, Field)| !matches!(key, Key::Str(name) if name == "momentum_buffer");
                if let Some((key, _)) = entry.entries()?.into_iter().find(is_other) {
                    return Err(OptimizerError::Mismatch(format!(
                        "it is of another kind of optimizer: `{}` has {key}, which sgd does not keep",
                        slot.name
                    )));
                }
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

/// Where the parameters of a state, by their numbers and perhaps names, are among ours.
fn places(order: &[i64], names: &[String], slots: &[&Slot]) -> Result<Vec<usize>, OptimizerError> {
    if order.len() != slots.len() {
        return Err(OptimizerError::Mismatch(format!(
            "it is of {} parameters, this network has {}",
            order.len(),
            slots.len()
        )));
    }
    if names.len() != order.len() {
        return Ok((0..order.len()).collect());
    }
    let known: HashMap<&str, usize> =
        slots.iter().enumerate().map(|(place, slot)| (slot.name.as_str(), place)).collect();
    let find = |name: &String| {
        known.get(name.as_str()).copied().ok_or_else(|| {
            let lacking = slots.iter().find(|slot| !names.contains(&slot.name));
            let lacking = lacking.map_or("", |slot| slot.name.as_str());
            OptimizerError::Mismatch(format!("it has `{name}` and lacks `{lacking}`, unlike this network"))
        })
    };
    let places = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let distinct: HashSet<usize> = places.iter().copied().collect();
    if distinct.len() < places.len() {
        return Err(OptimizerError::Mismatch("it names a parameter twice".to_owned()));
    }
    Ok(places)
}
