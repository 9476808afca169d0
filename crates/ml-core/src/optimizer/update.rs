//! What an optimizer is to [`Optimizer`](super::Optimizer): its update and the state that it keeps
//! of a parameter.

use std::fmt::Debug;

use tch::{Device, Kind, Tensor};
use torch_ext::foreach;
use torch_file::{Field, Key, Value};

use super::settings::{Common, Problems};
use super::{OptimizerError, Slot, SlotGroup};

/// An optimizer's settings, with its update. Everything else about optimizers is written once, over
/// this.
pub(super) trait Update: Common + Debug + Send + Sync {
    /// Its name in configurations.
    fn name(&self) -> &'static str;

    /// Adds what is out of range, `lr` and groups excepted.
    fn check(&self, found: &mut Problems);

    /// The settings in PyTorch's `param_groups` that this optimizer has beside `lr`; the group's
    /// own `weight_decay` is given.
    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)>;

    /// Names of the tensors that it keeps of a parameter with these settings, in PyTorch's order; a
    /// step counter comes first, if there is one.
    fn state_keys(&self) -> Vec<&'static str>;

    /// What the tensor under a key is before a parameter's first step.
    fn initial_state(&self, _key: &str, parameter: &Tensor) -> Tensor {
        parameter.zeros_like()
    }

    /// Names of those that it would keep with other settings; a state that has them is still this
    /// optimizer's.
    fn other_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it counts the steps of a parameter, in `step`.
    fn counts_steps(&self) -> bool;

    /// Whether PyTorch has a fused kernel for it, and a setting `fused`.
    fn has_fused(&self) -> bool {
        false
    }

    /// Whether [`Batch::grad_norm`] is to be there.
    fn needs_grad_norm(&self) -> bool {
        false
    }

    /// The optimizer of the parameters for which [`Update::is_auxiliary`] holds, where there are
    /// two.
    fn auxiliary(&self) -> Option<Box<dyn Update>> {
        None
    }

    /// Whether a parameter is left to [`Update::auxiliary`]; `is_head`: its layer has an output for
    /// each class.
    fn is_auxiliary(&self, _name: &str, _parameter: &Tensor, _is_head: bool) -> bool {
        false
    }

    /// Updates parameters and state in place; nothing where `found_inf` is 1.
    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error>;
}

/// What is kept of one parameter.
#[derive(Debug)]
pub(super) struct State {
    /// f32 scalar, if steps are counted.
    pub step: Option<Tensor>,
    /// By [`Update::state_keys`].
    pub tensors: Vec<Tensor>,
}

impl State {
    fn new(rule: &dyn Update, parameter: &Tensor) -> State {
        let step = || Tensor::zeros([0i64; 0], (Kind::Float, parameter.device()));
        tch::no_grad(|| State {
            step: rule.counts_steps().then(step),
            tensors: rule.state_keys().iter().map(|key| rule.initial_state(key, parameter)).collect(),
        })
    }

    /// With their keys, as PyTorch saves them.
    pub(super) fn to_value(&self, rule: &dyn Update) -> Value {
        let step = self.step.iter().map(|step| ("step", step));
        let all = step.chain(rule.state_keys().into_iter().zip(&self.tensors));
        Value::dict(all.map(|(key, tensor)| (key, Value::Tensor(tensor.shallow_clone()))))
    }

    /// The state of `slot` from an entry of PyTorch's `state`; `None` where there is none yet.
    pub(super) fn read(
        rule: &dyn Update,
        slot: &Slot,
        entry: &Field<'_>,
    ) -> Result<Option<State>, OptimizerError> {
        check_keys(rule, slot, entry)?;
        let keys = rule.state_keys();
        let mut is_there = rule.counts_steps();
        for key in &keys {
            is_there |= entry.optional(*key)?.is_some();
        }
        if !is_there {
            return Ok(None);
        }
        let step = rule.counts_steps().then(|| read_step(slot, entry)).transpose()?;
        let tensors = keys
            .iter()
            .map(|key| read_like(rule, key, slot, entry))
            .collect::<Result<_, OptimizerError>>()?;
        Ok(Some(State { step, tensors }))
    }
}

/// # Errors
/// A key is of another kind of optimizer.
fn check_keys(rule: &dyn Update, slot: &Slot, entry: &Field<'_>) -> Result<(), OptimizerError> {
    let (own, other) = (rule.state_keys(), rule.other_keys());
    let is_known = |key: &Key| match key {
        Key::Str(name) => {
            let name = name.as_str();
            own.contains(&name) || other.contains(&name) || (rule.counts_steps() && name == "step")
        }
        Key::Int(_) => false,
    };
    match entry.entries()?.into_iter().find(|(key, _)| !is_known(key)) {
        None => Ok(()),
        Some((key, _)) => Err(OptimizerError::Mismatch(format!(
            "it is of another kind of optimizer: `{}` has {key}, which {} does not keep",
            slot.name,
            rule.name()
        ))),
    }
}

fn read_step(slot: &Slot, entry: &Field<'_>) -> Result<Tensor, OptimizerError> {
    let step = entry.get("step")?.as_tensor()?;
    if step.numel() != 1 {
        return Err(OptimizerError::Mismatch(format!("step of `{}` is not one number", slot.name)));
    }
    Ok(step.to_kind(Kind::Float).reshape([0i64; 0]).to_device(slot.parameter.device()).copy())
}

/// A tensor of the shape that it has at first.
fn read_like(rule: &dyn Update, key: &str, slot: &Slot, entry: &Field<'_>) -> Result<Tensor, OptimizerError> {
    let tensor = entry.get(key)?.as_tensor()?;
    // The parameter's own layout: fused kernels ignore strides.
    let mut own = tch::no_grad(|| rule.initial_state(key, &slot.parameter));
    if tensor.size() != own.size() {
        return Err(OptimizerError::Mismatch(format!(
            "{key} of `{}` is {:?}, its parameter {:?}",
            slot.name,
            tensor.size(),
            slot.parameter.size()
        )));
    }
    own.copy_(tensor);
    Ok(own)
}

/// Parameters that one call updates: of one group, dtype and device.
#[derive(Debug)]
pub(super) struct Batch {
    pub lr: f64,
    pub weight_decay: f64,
    /// None of them has been updated before.
    pub is_first: bool,
    /// The 2-norm over all gradients of the network, a scalar; see [`Update::needs_grad_norm`].
    pub grad_norm: Option<Tensor>,
    kind: Kind,
    device: Device,
    pub parameters: Vec<Tensor>,
    pub grads: Vec<Tensor>,
    /// Step counters.
    pub steps: Vec<Tensor>,
    /// A list for each of [`Update::state_keys`].
    state: Vec<Vec<Tensor>>,
}

impl Batch {
    /// Tensors under the key of this number in [`Update::state_keys`]; none if there is no such
    /// key.
    pub(super) fn state(&self, number: usize) -> &[Tensor] {
        self.state.get(number).map_or(&[], Vec::as_slice)
    }

    /// Runs `update` outside of autograd. Where `found_inf` is 1, what it has changed is put back;
    /// nothing is read from the device.
    pub(super) fn update_unless(
        &self,
        found_inf: Option<&Tensor>,
        update: impl FnOnce() -> Result<(), torch_ext::Error>,
    ) -> Result<(), torch_ext::Error> {
        tch::no_grad(|| -> Result<(), torch_ext::Error> {
            let Some(found_inf) = found_inf else { return update() };
            let all = self.parameters.iter().chain(&self.steps).chain(self.state.iter().flatten());
            let changed: Vec<Tensor> = all.map(Tensor::shallow_clone).collect();
            let before = foreach::clone(&changed)?;
            update()?;
            let skip = found_inf.f_reshape([0i64; 0])?.f_to_device(self.device)?.f_ne(0.0)?;
            for (mut tensor, before) in changed.into_iter().zip(before) {
                let chosen = before.f_where_self(&skip, &tensor)?;
                tensor.f_copy_(&chosen)?;
            }
            Ok(())
        })
    }

    /// Counts a step of each parameter; how many each has had, this one included, `[P]` f64.
    pub(super) fn count_step(&self) -> Result<Tensor, torch_ext::Error> {
        foreach::add_scalar_(&self.steps, 1.0)?;
        Ok(Tensor::f_stack(&self.steps, 0)?.f_to_kind(Kind::Double)?)
    }

    /// The gradients with an L2 penalty added.
    pub(super) fn grads_with_l2(&self) -> Result<Vec<Tensor>, torch_ext::Error> {
        let grads: Vec<Tensor> = self.grads.iter().map(Tensor::shallow_clone).collect();
        if self.weight_decay == 0.0 {
            return Ok(grads);
        }
        let grads = foreach::clone(&grads)?;
        foreach::add_(&grads, &self.parameters, self.weight_decay)?;
        Ok(grads)
    }

    /// Decoupled weight decay (Loshchilov and Hutter 2019): θ ← (1 − lr · `weight_decay`) θ.
    pub(super) fn decay_weights(&self) -> Result<(), torch_ext::Error> {
        if self.weight_decay == 0.0 {
            return Ok(());
        }
        foreach::mul_scalar_(&self.parameters, 1.0 - self.lr * self.weight_decay)
    }
}

/// 1 − β^t of each parameter, `[P]` f64, after `steps` (`[P]` f64, t).
pub(super) fn bias_correction(beta: f64, steps: &Tensor) -> Result<Tensor, torch_ext::Error> {
    Ok(1f64 - Tensor::f_pow_scalar(beta, steps)?)
}

/// m ← β m + (1 − β) g
pub(super) fn update_mean(means: &[Tensor], values: &[Tensor], beta: f64) -> Result<(), torch_ext::Error> {
    torch_ext::lerp(means, values, 1.0 - beta)
}

/// v ← β v + (1 − β) g²
pub(super) fn update_mean_square(
    squares: &[Tensor],
    values: &[Tensor],
    beta: f64,
) -> Result<(), torch_ext::Error> {
    foreach::mul_scalar_(squares, beta)?;
    foreach::addcmul_(squares, values, values, 1.0 - beta)
}

/// √(v / correction) + eps, with a `correction` of each parameter, `[P]` f64.
pub(super) fn denominators(
    squares: &[Tensor],
    correction: &Tensor,
    eps: f64,
) -> Result<Vec<Tensor>, torch_ext::Error> {
    let roots = foreach::clone(squares)?;
    foreach::sqrt_(&roots)?;
    foreach::div_(&roots, &correction.f_sqrt()?.f_unbind(0)?)?;
    foreach::add_scalar_(&roots, eps)?;
    Ok(roots)
}

/// New tensors, each times its own factor, `[P]` f64.
pub(super) fn scaled(tensors: &[Tensor], factors: &Tensor) -> Result<Vec<Tensor>, torch_ext::Error> {
    let products = foreach::clone(tensors)?;
    foreach::mul_(&products, &factors.f_unbind(0)?)?;
    Ok(products)
}

impl SlotGroup {
    /// Whether a parameter with a gradient has no state yet.
    pub(super) fn has_first_step(&self) -> bool {
        self.slots.iter().any(|slot| slot.state.is_none() && slot.parameter.grad().defined())
    }

    /// What is to be updated, in as few calls as there can be: CUDA's kernels take one dtype and
    /// device a call, and a first update may be another than those that follow.
    pub(super) fn batches(&mut self, rule: &dyn Update, grad_norm: Option<&Tensor>) -> Vec<Batch> {
        let keeps_state = rule.counts_steps() || !rule.state_keys().is_empty();
        let mut batches: Vec<Batch> = Vec::new();
        for slot in &mut self.slots {
            let (parameter, grad) = (&slot.parameter, slot.parameter.grad());
            if !grad.defined() {
                continue;
            }
            let (is_first, kind, device) = (slot.state.is_none(), parameter.kind(), parameter.device());
            let fits = |batch: &Batch| (batch.is_first, batch.kind, batch.device) == (is_first, kind, device);
            let found = batches.iter().position(fits).unwrap_or_else(|| {
                batches.push(Batch {
                    lr: self.lr,
                    weight_decay: self.settings.weight_decay,
                    is_first,
                    grad_norm: grad_norm.map(Tensor::shallow_clone),
                    kind,
                    device,
                    parameters: Vec::new(),
                    grads: Vec::new(),
                    steps: Vec::new(),
                    state: rule.state_keys().iter().map(|_| Vec::new()).collect(),
                });
                batches.len() - 1
            });
            let batch = &mut batches[found];
            batch.parameters.push(parameter.shallow_clone());
            batch.grads.push(grad);
            if keeps_state {
                let state = slot.state.get_or_insert_with(|| State::new(rule, parameter));
                batch.steps.extend(state.step.as_ref().map(Tensor::shallow_clone));
                for (list, tensor) in batch.state.iter_mut().zip(&state.tensors) {
                    list.push(tensor.shallow_clone());
                }
            }
        }
        batches
    }

    /// The settings, with every key that `torch.optim`'s `load_state_dict` looks for; the first
    /// parameter has the number `first`.
    pub(super) fn to_value(&self, rule: &dyn Update, first: i64) -> Value {
        let mut group = vec![("lr", Value::Float(self.lr))];
        group.extend(rule.hyperparameters(self.settings.weight_decay));
        group.extend([
            ("maximize", Value::Bool(false)),
            ("foreach", Value::None),
            ("differentiable", Value::Bool(false)),
        ]);
        group.extend(rule.has_fused().then_some(("fused", Value::None)));
        let numbers = first..first + self.slots.len() as i64;
        group.extend([
            ("params", Value::list(numbers.map(Value::Int))),
            ("param_names", Value::list(self.slots.iter().map(|slot| Value::Str(slot.name.clone())))),
        ]);
        Value::dict(group)
    }
}
