//! Parameters + gradients → updated parameters, with state that is named and saved as PyTorch does.
//!
//! The arithmetic is libtorch's own, in its fused and foreach kernels; the state is ours, because
//! libtorch's C++ optimizers do not give access to theirs. Each optimizer has a file with its
//! settings, its update and its state's names; a new one is its file, a variant of
//! [`OptimizerConfig`] and an arm of its `rule`. [`schedule`] gives each step its learning rate;
//! [`Ema`] keeps EMA weights, [`Swa`] the average of the last epochs.

mod adam;
mod adamw;
mod adan;
mod ademamix;
mod clip;
mod config;
mod ema;
mod groups;
mod lamb;
mod lion;
mod muon;
mod nadam;
mod rmsprop;
mod rmsprop_tf;
mod sam;
mod scaler;
pub mod schedule;
mod settings;
mod sgd;
mod sgdw;
mod swa;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{HashMap, HashSet};

pub use adam::AdamConfig;
pub use adamw::AdamwConfig;
pub use adan::AdanConfig;
pub use ademamix::AdemamixConfig;
pub use clip::AgcConfig;
pub use config::OptimizerConfig;
pub use ema::{Ema, EmaConfig};
use groups::Group;
pub use groups::{GroupError, ParamGroup};
pub use lamb::LambConfig;
pub use lion::LionConfig;
pub use muon::{AdjustLr, MuonConfig, MuonFallback, MuonHead, NewtonSchulzDtype};
pub use nadam::NadamConfig;
pub use rmsprop::RmspropConfig;
pub use rmsprop_tf::RmspropTfConfig;
pub use sam::{Perturbation, SamConfig};
pub use scaler::GradScaler;
pub use sgd::SgdConfig;
pub use swa::{Swa, SwaConfig};
use tch::Tensor;
use update::{State, Update};

use torch_file::{Field, Key, Value, ValueError};

use crate::network::Network;
use crate::torch_error::TorchError;

/// An update failed, or a state is of other parameters.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    /// libtorch refused the update.
    #[error("the optimizer's step failed: {0}")]
    Step(#[from] TorchError),
    /// A value of the state is missing or of another type.
    #[error("the optimizer's state: {0}")]
    Value(#[from] ValueError),
    /// The state is of another optimizer or of other parameters.
    #[error("the optimizer's state does not fit: {0}")]
    Mismatch(String),
}

impl From<torch_ext::Error> for OptimizerError {
    fn from(error: torch_ext::Error) -> OptimizerError {
        TorchError::from(error).into()
    }
}

/// What an optimizer keeps of one parameter, PyTorch's names.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    /// Its layer has an output for each class.
    is_head: bool,
    /// None before the first step that had a gradient.
    state: Option<State>,
}

/// Parameters that learn alike.
#[derive(Debug)]
struct SlotGroup {
    settings: Group,
    slots: Vec<Slot>,
    /// Learning rate of the last step.
    lr: f64,
}

/// The update of each group.
#[derive(Debug)]
struct Rules {
    config: OptimizerConfig,
    /// Of the groups that are not updated by the optimizer itself.
    auxiliary: Option<Box<dyn Update>>,
}

impl Rules {
    fn of(&self, group: &Group) -> &dyn Update {
        match &self.auxiliary {
            Some(auxiliary) if group.is_auxiliary => auxiliary.as_ref(),
            _ => self.config.rule(),
        }
    }
}

/// An optimizer and its state.
#[derive(Debug)]
pub struct Optimizer {
    rules: Rules,
    /// In the order of their first parameter.
    groups: Vec<SlotGroup>,
}

impl Optimizer {
    /// For the parameters of a network. Unlike with [`Optimizer::new`], its head can be treated
    /// differently.
    ///
    /// # Errors
    /// A pattern of the settings matches no parameter.
    pub fn of_network(config: &OptimizerConfig, network: &Network) -> Result<Optimizer, GroupError> {
        Optimizer::build(config, network.parameters(), &network.head().collect())
    }

    /// For named parameters, in the order in which PyTorch would number them.
    ///
    /// # Errors
    /// A pattern of the settings matches no parameter.
    pub fn new(config: &OptimizerConfig, parameters: Vec<(String, Tensor)>) -> Result<Optimizer, GroupError> {
        Optimizer::build(config, parameters, &HashSet::new())
    }

    fn build(
        config: &OptimizerConfig,
        parameters: Vec<(String, Tensor)>,
        head: &HashSet<&str>,
    ) -> Result<Optimizer, GroupError> {
        let rules = Rules { config: config.clone(), auxiliary: config.rule().auxiliary() };
        let mut groups: Vec<SlotGroup> = Vec::new();
        let assigned = config.grouping().assign(&parameters)?;
        for ((name, parameter), mut settings) in parameters.into_iter().zip(assigned) {
            let is_head = head.contains(name.as_str());
            if let Some(auxiliary) = &rules.auxiliary
                && config.rule().is_auxiliary(&name, &parameter, is_head)
            {
                settings.is_auxiliary = true;
                settings.lr_scale *= auxiliary.lr() / config.lr();
            }
            let slot = Slot { name, parameter, is_head, state: None };
            match groups.iter_mut().find(|group| group.settings == settings) {
                Some(group) => group.slots.push(slot),
                None => {
                    let lr = config.lr() * settings.lr_scale;
                    groups.push(SlotGroup { settings, slots: vec![slot], lr });
                }
            }
        }
        Ok(Optimizer { rules, groups })
    }

    /// Of all groups, in PyTorch's numbering.
    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.groups.iter().flat_map(|group| &group.slots)
    }

    /// The update of each of [`Optimizer::slots`].
    fn slot_rules(&self) -> Vec<&dyn Update> {
        let of_group = |group: &SlotGroup| vec![self.rules.of(&group.settings); group.slots.len()];
        self.groups.iter().flat_map(of_group).collect()
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
    /// group. If `found_inf`, a scalar on any device, is 1, the step is skipped: weights, state and
    /// step counters stay as they are. It is read only where a parameter is updated for the first
    /// time, since a skipped first step must leave no state behind.
    ///
    /// # Errors
    /// libtorch refuses: a gradient of another memory layout than its parameter.
    pub fn step(&mut self, lr: f64, found_inf: Option<&Tensor>) -> Result<(), OptimizerError> {
        if let Some(flag) = found_inf
            && self.has_first_step()
            && torch_ext::scalar(flag)? != 0.0
        {
            return Ok(());
        }
        let grad_norm = self.rules.config.rule().needs_grad_norm().then(|| self.grad_norm()).transpose()?;
        for group in &mut self.groups {
            let rule = self.rules.of(&group.settings);
            group.lr = lr * group.settings.lr_scale;
            for batch in group.batches(rule, grad_norm.as_ref()) {
                rule.step(&batch, found_inf)?;
            }
        }
        Ok(())
    }

    /// The learning rates of the last step, of each group of parameters that learn alike.
    pub fn lrs(&self) -> Vec<f64> {
        self.groups.iter().map(|group| group.lr).collect()
    }

    /// Whether the next step creates state.
    fn has_first_step(&self) -> bool {
        self.groups.iter().any(|group| {
            let rule = self.rules.of(&group.settings);
            (rule.counts_steps() || !rule.state_keys().is_empty()) && group.has_first_step()
        })
    }

    /// The tensors of the state, named after their parameters (shallow clones).
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut all = Vec::new();
        for group in &self.groups {
            let keys = self.rules.of(&group.settings).state_keys();
            for slot in &group.slots {
                let tensors = slot.state.iter().flat_map(|state| keys.iter().zip(&state.tensors));
                all.extend(
                    tensors.map(|(key, tensor)| (format!("{}/{key}", slot.name), tensor.shallow_clone())),
                );
            }
        }
        all
    }

    /// PyTorch's `optimizer.state_dict()`:
    /// `{"state": {0: {…}}, "param_groups": [{…, "params": [0, …], "param_names": […]}]}`.
    pub fn state_dict(&self) -> Value {
        let rules = self.slot_rules();
        let state = (0..)
            .zip(self.slots().zip(rules))
            .filter_map(|(index, (slot, rule))| Some((Key::Int(index), slot.state.as_ref()?.to_value(rule))));
        let mut first = 0;
        let groups = self.groups.iter().map(|group| {
            let value = group.to_value(self.rules.of(&group.settings), first);
            first += group.slots.len() as i64;
            value
        });
        Value::dict([
            ("state", Value::Dict(state.collect())),
            ("param_groups", Value::list(groups.collect::<Vec<_>>())),
        ])
    }

    /// Takes over a state written by [`Optimizer::state_dict`] or by `torch.optim`. The settings
    /// stay those of the configuration; each step is given its learning rate.
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
        let (slots, rules): (Vec<&Slot>, Vec<&dyn Update>) = (self.slots().collect(), self.slot_rules());
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
            states[place] = State::read(rules[place], slots[place], &entry)?;
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
