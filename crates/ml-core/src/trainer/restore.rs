//! A training state taken over: from a checkpoint of ours, or from another program's file.

use tch::Tensor;

use super::state::{
    divergence_from, early_stopping_from, history_from, ranking_from, running_from, swa_from,
};
use super::{TrainError, TrainState, Trainer, build};
use crate::checkpoint::{Checkpoint, CheckpointError, model_state_from, not_finite};
use crate::config::ModelConfig;
use crate::optimizer::OptimizerError;
use crate::optimizer::schedule::PlateauState;
use crate::policy::{EarlyStoppingState, Ranked, Ranking};
use torch_file::Value;

/// Whether a run may resume with what is not as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResumeMode {
    /// Another seed, data set or batch size is an error: the run would be neither the old one nor a
    /// new one.
    #[default]
    Exact,
    /// The user has said that they know.
    AllowChanges,
}

/// A training state of another program.
#[derive(Debug)]
pub struct ExternalCheckpoint {
    /// Parameters and buffers by PyTorch's names.
    pub model_state_dict: Vec<(String, Tensor)>,
    /// As `torch.optim.Optimizer.state_dict()`, if it was saved.
    pub optimizer_state_dict: Option<Value>,
    /// Epochs that are done.
    pub epochs_done: u64,
}

impl ExternalCheckpoint {
    /// Reads the dict that such a file holds: the weights under `model`, `state_dict`,
    /// `model_state_dict` or bare, the optimizer under `optimizer` or `optimizer_state_dict`, and
    /// `epoch`, the number of the last epoch that is done, counted from 0, as torchvision's
    /// references save it.
    ///
    /// # Errors
    /// There are no weights in it.
    pub fn from_value(value: &Value) -> Result<ExternalCheckpoint, CheckpointError> {
        let root = value.field();
        let mut optimizer = None;
        for key in ["optimizer_state_dict", "optimizer"] {
            optimizer = optimizer.or(root.optional(key)?);
        }
        let epoch = root.optional("epoch")?.map(|epoch| epoch.as_u64()).transpose()?;
        Ok(ExternalCheckpoint {
            model_state_dict: model_state_from(value)?,
            optimizer_state_dict: optimizer.map(|field| field.value().shallow_clone()),
            epochs_done: epoch.map_or(0, |epoch| epoch.saturating_add(1)),
        })
    }
}

pub(super) fn load_external(trainer: &mut Trainer, external: &ExternalCheckpoint) -> Result<(), TrainError> {
    check_finite("model_state_dict", &external.model_state_dict)?;
    trainer.network.load_state_dict(&external.model_state_dict)?;
    if let Some(ema) = &trainer.ema {
        ema.network().load_state_dict(&external.model_state_dict)?;
    }
    if let Some(optimizer) = &external.optimizer_state_dict {
        check_finite("optimizer_state_dict", &tensors_of(optimizer))?;
        trainer.optimizer.load_state_dict(optimizer)?;
    }
    let step = trainer.steps.before(external.epochs_done);
    let state = TrainState::new(&trainer.config.training);
    trainer.state = TrainState { epoch: external.epochs_done, step, ..state };
    trainer.follow_limit();
    Ok(())
}

pub(super) fn restore(
    trainer: &mut Trainer,
    checkpoint: &Checkpoint,
    mode: ResumeMode,
) -> Result<(), TrainError> {
    check_identity(trainer, checkpoint, mode)?;
    let world = trainer.ranks.world();
    let mut state = TrainState {
        epoch: checkpoint.epoch,
        step: checkpoint.step,
        batch_in_epoch: checkpoint.batch_in_epoch,
        running: running_from(&checkpoint.running.field(), world.rank(), world.size())?,
        history: history_from(&checkpoint.metrics.field())?,
        ranking: ranking_from(&checkpoint.best.field())?,
        early_stopping: early_stopping_from(&checkpoint.early_stopping.field())?,
        plateau: PlateauState::from_value(&checkpoint.scheduler_state_dict)?,
        divergence: divergence_from(&checkpoint.divergence.field())?,
        swa: None,
        thresholds: checkpoint.thresholds.clone(),
        swa_thresholds: None,
        missing_steps: 0,
        time: None,
    };
    let swa = checkpoint.swa.as_ref().map(|swa| swa_from(&swa.field())).transpose()?;
    trainer.limits_from(checkpoint, &mut state)?;
    state.step = right_step(trainer, checkpoint, &state, mode)?;
    rebuild_ranking(trainer, checkpoint, &mut state)?;
    if !(state.divergence.lr_scale.is_finite() && state.divergence.lr_scale > 0.0) {
        return Err(TrainError::NotFiniteState { name: "divergence.lr_scale".to_owned() });
    }
    check_finite("model_state_dict", &checkpoint.model_state_dict)?;
    check_finite("optimizer_state_dict", &tensors_of(&checkpoint.optimizer_state_dict))?;
    check_finite("swa_state_dict", checkpoint.swa_state_dict.as_deref().unwrap_or_default())?;
    check_finite("ema_state_dict", checkpoint.ema_state_dict.as_deref().unwrap_or_default())?;
    match (&mut trainer.ema, &checkpoint.ema_state_dict) {
        (None, _) => {}
        (Some(ema), Some(averages)) => {
            ema.network().load_state_dict(averages)?;
            // Older checkpoints do not count: there each step was an update.
            ema.set_num_updates(checkpoint.ema_num_updates.unwrap_or(checkpoint.step));
        }
        // Averaging begins here.
        (Some(ema), None) if mode == ResumeMode::AllowChanges => {
            ema.network().load_state_dict(&checkpoint.model_state_dict)?;
        }
        (Some(_), None) => {
            return Err(TrainError::Mismatch {
                what: "training.ema",
                found: "not kept".to_owned(),
                expected: "kept".to_owned(),
            });
        }
    }
    if let Some(own) = &mut trainer.swa {
        let saved = checkpoint.swa_state_dict.as_ref().zip(swa);
        if let Some((average, _)) = saved {
            own.network().load_state_dict(average)?;
        }
        own.set_num_averaged(saved.map_or(0, |(_, (num_averaged, _))| num_averaged));
    }
    trainer.network.load_state_dict(&checkpoint.model_state_dict)?;
    trainer.optimizer.load_state_dict(&checkpoint.optimizer_state_dict)?;
    // Without a state, of another precision, scaling begins anew.
    if let (Some(scaler), Some(state)) = (&mut trainer.scaler, &checkpoint.scaler_state_dict) {
        scaler.load_state_dict(state)?;
    }
    trainer.state = state;
    trainer.decide_for_other_limit();
    trainer.follow_limit();
    // Of a run that is continued for longer, the average is not the last.
    if trainer.ended().is_some() && trainer.swa.is_some() {
        trainer.state.swa = swa.and_then(|(_, outcome)| outcome);
    }
    trainer.restored_running = Some(checkpoint.running.shallow_clone());
    Ok(())
}

/// Gives all processes the state of rank 0.
pub(super) fn synchronise(trainer: &mut Trainer) -> Result<(), TrainError> {
    let is_first = trainer.ranks.world().is_first();
    let restored = trainer.restored_running.take();
    let own = if is_first {
        let mut checkpoint = build::snapshot(trainer, &[trainer.state.running])?;
        // Of a run that begins, all sums are zero.
        checkpoint.running = restored.unwrap_or(checkpoint.running);
        checkpoint.to_bytes()?
    } else {
        Vec::new()
    };
    let bytes = trainer.ranks.world().broadcast(own)?;
    if !is_first {
        let checkpoint = Checkpoint::from_bytes(&bytes)?;
        drop(bytes);
        restore(trainer, &checkpoint, ResumeMode::Exact)?;
    }
    let weights: Vec<Tensor> = trainer
        .network
        .tensors()
        .into_iter()
        .map(|(_, tensor)| tensor.detach())
        .filter(Tensor::is_floating_point)
        .collect();
    let norm = torch_ext::total_norm(&weights).and_then(|norm| torch_ext::scalar(&norm));
    let norm = norm.map_err(OptimizerError::from)?;
    let all = trainer.ranks.world().gather(&norm.to_bits().to_le_bytes())?;
    if let Some(other) = all.iter().position(|norm| *norm != all[0]) {
        return Err(TrainError::Mismatch {
            what: "the weights",
            found: format!("others on rank {other}"),
            expected: "those of rank 0".to_owned(),
        });
    }
    Ok(())
}

/// Whether the checkpoint is of this network, these classes, this seed and this data set.
fn check_identity(trainer: &Trainer, checkpoint: &Checkpoint, mode: ResumeMode) -> Result<(), TrainError> {
    let same = |what, found: String, expected: String| {
        if found == expected { Ok(()) } else { Err(TrainError::Mismatch { what, found, expected }) }
    };
    if let Some(average) = &checkpoint.average {
        return Err(TrainError::Mismatch {
            what: "the state",
            found: format!("an average of weights ({average}) without an optimizer"),
            expected: "that of a training: resume the run folder, its last.pt or best_epoch.pt".to_owned(),
        });
    }
    let own = trainer.config.model.identity().into_owned();
    let network =
        ModelConfig::of_checkpoint(&checkpoint.config).map_or(own.clone(), |m| m.identity().into_owned());
    same("the network", network, own)?;
    same("the class list", checkpoint.classes.join(", "), trainer.classes.join(", "))?;
    if mode == ResumeMode::AllowChanges {
        return Ok(());
    }
    let seed = checkpoint.rng_state.get("seed")?.as_i64()?;
    same("the seed", seed.to_string(), (trainer.config.seed as i64).to_string())?;
    let fingerprint = checkpoint.dataset.get("fingerprint")?.as_str()?.to_owned();
    same("the fingerprint of the data set", fingerprint, trainer.fingerprint.clone())
}

/// Values of another metric cannot be compared: the ranking and what early stopping and `plateau`
/// remember are made again from the history. The learning rate stays as it is.
fn rebuild_ranking(
    trainer: &Trainer,
    checkpoint: &Checkpoint,
    state: &mut TrainState,
) -> Result<(), TrainError> {
    let monitor = trainer.config.training.monitor();
    let best = checkpoint.best.field();
    if matches!(checkpoint.best, Value::None) || best.get("monitor")?.as_str()? == monitor.metric.name() {
        return Ok(());
    }
    state.ranking = Ranking::default();
    state.early_stopping = EarlyStoppingState::default();
    let num_reductions = state.plateau.num_reductions;
    state.plateau = PlateauState::default();
    let training = &trainer.config.training;
    for metrics in &state.history {
        let Some(value) = metrics.value(monitor.metric) else { continue };
        let ranked = Ranked { epoch: metrics.epoch, value };
        state.ranking.insert(ranked, monitor, training.checkpoint.keep_top_k);
        if let Some(early) = &training.early_stopping {
            early.observe(&mut state.early_stopping, monitor, value);
        }
        trainer.schedule.observe(&mut state.plateau, metrics.epoch, value, monitor.higher);
    }
    state.plateau.num_reductions = num_reductions;
    Ok(())
}

/// The step that epoch and batch amount to; another only if a changed batch size explains it, or
/// another number of processes, which goes on at the same place of the epoch.
fn right_step(
    trainer: &Trainer,
    checkpoint: &Checkpoint,
    state: &TrainState,
    mode: ResumeMode,
) -> Result<u64, TrainError> {
    let processes = trainer.ranks.world().size() as u64;
    let before = checkpoint.extra.iter().find(|(key, _)| *key == build::WORLD_SIZE.into());
    let before = before.map(|(_, size)| size.field().as_u64()).transpose()?.unwrap_or(1);
    let accumulated = trainer.config.training.gradient_accumulation_steps as u64 * processes;
    let in_epoch = state.batch_in_epoch.div_ceil(accumulated);
    let steps = trainer.steps.before(state.epoch).checked_sub(state.missing_steps);
    let expected = steps.and_then(|steps| steps.checked_add(in_epoch));
    let fits = state.batch_in_epoch <= trainer.batches_in(state.epoch) as u64;
    match expected {
        // A step that is not whole is done with the next, so that an epoch has no step more.
        Some(_) if processes != before && fits => {
            tracing::warn!(
                "the state is of {before} processes, and now there are {processes}: the result is another than with \
                 {before} to the end"
            );
            Ok(steps.unwrap_or(state.step).saturating_add(state.batch_in_epoch / accumulated))
        }
        Some(expected) if expected == state.step && fits => Ok(expected),
        Some(expected) if mode == ResumeMode::AllowChanges && state.batch_in_epoch == 0 => Ok(expected),
        _ => Err(TrainError::Mismatch {
            what: "the number of steps (the batch size has changed, which can only be allowed between epochs)",
            found: state.step.to_string(),
            expected: expected.map_or_else(|| "none".to_owned(), |steps| steps.to_string()),
        }),
    }
}

fn check_finite(what: &str, state: &[(String, Tensor)]) -> Result<(), TrainError> {
    match not_finite(state) {
        None => Ok(()),
        Some(name) => Err(TrainError::NotFiniteState { name: format!("{what}.{name}") }),
    }
}

fn tensors_of(value: &Value) -> Vec<(String, Tensor)> {
    let mut tensors = Vec::new();
    value.for_each_tensor("", &mut |path, tensor| tensors.push((path.to_owned(), tensor.shallow_clone())));
    tensors
}
