//! From a configuration to a trainer, and between a trainer and a checkpoint.

use std::rc::Rc;
use std::sync::Arc;

use ml_data::dataset::{Dataset, Split, Task};
use ml_data::setting::Auto;
use tch::{Device, Tensor};

use super::features::FeatureCache;
use super::limits::Pace;
use super::loaders::loaders;
use super::progressive::Stage;
use super::ranks::Ranks;
use super::state::{
    divergence_to_value, early_stopping_to_value, history_to_value, ranking_to_value, running_to_value,
    swa_to_value,
};
use super::{Teacher, TrainError, TrainState, Trainer};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, ModelConfig};
use crate::device::{self, Compute, Precision};
use crate::distributed::World;
use crate::loss::Loss;
use crate::metrics::MetricSums;
use crate::network::{ForwardError, Network, ScriptFile};
use crate::optimizer::schedule::Schedule;
use crate::optimizer::{Ema, GradScaler, Optimizer, Swa};
use crate::run::TimeSummary;
use torch_file::{Key, Value};

pub(super) fn trainer(
    world: &Rc<World>,
    config: &Config,
    dataset: &Dataset,
    compute: Compute,
    script: Option<&ScriptFile>,
) -> Result<Trainer, TrainError> {
    let processes = world.size();
    if config.training.sam.is_some() && processes > 1 {
        return Err(TrainError::Sam { processes });
    }
    let num_classes = class_count(config, dataset)?;
    let of_sampling = config.data.sampling.num_class_weights();
    let of_sampling = of_sampling.map(|given| ("data.sampling.class_weights", given));
    for (key, given) in config.loss.num_class_weights().into_iter().chain(of_sampling) {
        if given != num_classes {
            return Err(TrainError::ClassWeights { key, given, found: num_classes });
        }
    }
    let device = compute.device;
    let network = network(config, num_classes as i64, device, script)?;
    if compute.is_channels_last() {
        network.to_channels_last().map_err(ForwardError::from)?;
    }
    if let Some(base) = config.model.base() {
        network.freeze(&base.freeze)?;
    }
    check_single_image(config, dataset, &network)?;
    let optimizer = Optimizer::of_network(&config.optimizer, &network)?;
    let class_counts = dataset.class_counts(Split::Train);
    let loss = match dataset.task() {
        Task::SingleLabel => Loss::new(&config.loss, &class_counts, device),
        Task::MultiLabel => Loss::of_labels(&config.loss, &class_counts, dataset.train.samples.len(), device),
    };
    let (train_loader, val_loader, caches) = loaders(world, config, dataset, device)?;
    check_batches(config, dataset.train.samples.len(), world.size())?;
    let steps = config.epoch_steps(dataset.train.samples.len(), world.size());
    let (num_epochs, base_lr) = (config.training.num_epochs, config.optimizer.lr());
    let schedule = Schedule::over_epochs(&config.scheduler, base_lr, steps.clone(), num_epochs);
    let swa = config.training.swa.as_ref();
    let schedule = schedule.with_swa(swa.and_then(|swa| swa.schedule(config.training.num_epochs)));
    let swa = swa.map(|_| Swa::new(&network)).transpose()?;
    if let Some(processes) = world.group().filter(|_| config.training.distributed.sync_batch_norm)
        && !network.synchronise_batch_norms(processes)
    {
        tracing::warn!(
            "training.distributed.sync_batch_norm: this network has no batch norm of this library's"
        );
    }
    let ema = config.training.ema.as_ref();
    let ema = ema.map(|ema| Ema::new(ema, &network)).transpose()?;
    let mut trainer = Trainer {
        config: config.clone(),
        classes: dataset.classes.clone(),
        fingerprint: dataset.fingerprint().to_owned(),
        compute,
        network,
        ema,
        swa,
        loss,
        teacher: Teacher::open(config, num_classes, Some(&dataset.classes), compute)?,
        optimizer,
        scaler: (compute.precision == Precision::Fp16).then(|| GradScaler::new(device)),
        schedule,
        swept_lr: None,
        train_loader,
        stage: Stage::full(config),
        caches,
        steps,
        val_loader,
        train_index: Arc::clone(&dataset.train),
        state: TrainState::new(&config.training),
        features: FeatureCache::new(config, &dataset.root),
        ranks: Ranks::new(
            Rc::clone(world),
            config.training.gradient_accumulation_steps,
            &config.training.distributed,
        ),
        restored_running: None,
        is_unsaved: false,
        first_step: None,
        time: TimeSummary::default(),
        pace: Pace::default(),
    };
    trainer.follow_limit();
    trainer.check_feature_cache()?;
    Ok(trainer)
}

pub(super) fn network(
    config: &Config,
    num_classes: i64,
    device: Device,
    script: Option<&ScriptFile>,
) -> Result<Network, TrainError> {
    let train = &config.transforms.train;
    let in_channels = train.channels.count() as i64;
    let network = match (&config.model, script) {
        (ModelConfig::Base(base), _) => {
            let spec = base.spec(train, num_classes as usize);
            Network::new(base.architecture, spec, config.seed as i64, device)
        }
        (ModelConfig::TorchScript(_), Some(file)) => Network::from_script(file, num_classes, device)?,
        (ModelConfig::TorchScript(model), None) => {
            let file = ScriptFile::find(std::slice::from_ref(&model.path), model.sha256.as_deref())?;
            Network::from_script(&file, num_classes, device)?
        }
    };
    // What is wrong with a TorchScript module is to show before the first epoch, not after it.
    for (transform, training) in [(train, true), (&config.transforms.val, false)] {
        if let Some(size) = transform.output_size() {
            network.dry_run([in_channels, i64::from(size.height), i64::from(size.width)], training)?;
        }
    }
    for size in config.training.image_sizes(train) {
        network.dry_run([in_channels, i64::from(size.height), i64::from(size.width)], true)?;
    }
    Ok(network)
}

/// Whether each epoch has a batch for every process, and as many as a step takes.
fn check_batches(config: &Config, samples: usize, processes: usize) -> Result<(), TrainError> {
    let accumulated = config.training.gradient_accumulation_steps;
    for batch_size in config.training.batch_sizes() {
        let batches = config.num_batches(samples, processes, batch_size);
        if batches < processes {
            return Err(TrainError::FewerBatches { batches, batch_size, processes });
        }
        if accumulated > 1 && batches < accumulated.saturating_mul(processes) {
            let most = batches / processes;
            return Err(TrainError::Accumulation { accumulated, batches, batch_size, processes, most });
        }
    }
    Ok(())
}

/// Where an epoch has a batch of one image: whether the network can be trained on it.
fn check_single_image(config: &Config, dataset: &Dataset, network: &Network) -> Result<(), TrainError> {
    // A batch of several views of one image is one of several images.
    if config.training.views() > 1 {
        return Ok(());
    }
    let samples = dataset.train.samples.len();
    let has_one =
        |batch_size: usize| batch_size == 1 || (samples % batch_size == 1 && !config.data.drop_last);
    let train = &config.transforms.train;
    let found = config.training.batch_sizes().into_iter().find(|&batch_size| has_one(batch_size));
    let Some(batch_size) = found else { return Ok(()) };
    // The smallest images leave the fewest values.
    let sizes = config.training.image_sizes(train).into_iter().chain(train.output_size());
    let Some(size) = sizes.min_by_key(|size| u64::from(size.height) * u64::from(size.width)) else {
        return Ok(());
    };
    let (height, width) = (i64::from(size.height), i64::from(size.width));
    let image = [train.channels.count() as i64, height, width];
    // A frozen batch norm takes any batch; one that is frozen for some epochs only is tried as it
    // will be after them.
    let found = match config.model.base() {
        Some(base) => {
            network.freeze(base.freeze_after(u64::MAX))?;
            let found = network.single_value_batch_norm(image);
            network.freeze(&base.freeze)?;
            found
        }
        None => network.single_value_batch_norm(image),
    };
    let reason = match found {
        Ok(None) => return Ok(()),
        Ok(Some(norm)) => format!(
            "the batch norm `{norm}` would then take the variance of one value, as images of {height} x {width} have \
             become that small there"
        ),
        Err(error) => error.to_string(),
    };
    Err(TrainError::SingleImage { samples, batch_size, reason })
}

fn class_count(config: &Config, dataset: &Dataset) -> Result<usize, TrainError> {
    let found = dataset.classes.len();
    match config.model.num_classes() {
        Auto::Value(given) if given != found => {
            Err(TrainError::ClassCount { given, found, classes: dataset.classes.clone() })
        }
        _ => Ok(found),
    }
}

/// The key of the number of processes, in checkpoints of several.
pub(super) const WORLD_SIZE: &str = "world_size";

/// `running` are the sums over the current epoch of each process.
pub(super) fn snapshot(trainer: &Trainer, running: &[MetricSums]) -> Result<Checkpoint, TrainError> {
    let json = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|error| TrainError::Report(super::ReportError(error.into())))
    };
    let average = trainer.swa.as_ref().filter(|swa| swa.num_averaged() > 0);
    let detached =
        |state: Vec<(String, Tensor)>| state.into_iter().map(|(name, t)| (name, t.detach())).collect();
    Ok(Checkpoint {
        epoch: trainer.state.epoch,
        step: trainer.state.step,
        batch_in_epoch: trainer.state.batch_in_epoch,
        running: running_to_value(running),
        model_state_dict: detached(trainer.network.state_dict()),
        optimizer_state_dict: trainer.optimizer.state_dict(),
        scheduler_state_dict: trainer.schedule.state(trainer.state.step, &trainer.state.plateau),
        ema_state_dict: trainer.ema.as_ref().map(|ema| detached(ema.network().state_dict())),
        ema_num_updates: trainer.ema.as_ref().map(Ema::num_updates),
        swa_state_dict: average.map(|swa| detached(swa.network().state_dict())),
        swa: average.map(|swa| swa_to_value(swa.num_averaged(), trainer.state.swa)),
        average: None,
        scaler_state_dict: trainer.scaler.as_ref().map(GradScaler::state_dict).transpose()?,
        // Streams are derived from the seed; there is no other state.
        rng_state: Value::dict([("seed", Value::Int(trainer.config.seed as i64))]),
        metrics: history_to_value(&trainer.state.history),
        best: ranking_to_value(&trainer.state.ranking, trainer.config.training.monitor().metric),
        early_stopping: early_stopping_to_value(trainer.state.early_stopping),
        divergence: divergence_to_value(trainer.state.divergence),
        dataset: Value::dict([("fingerprint", Value::from(trainer.fingerprint.clone()))]),
        config: json(serde_json::to_value(&trainer.config))?,
        classes: trainer.classes.clone(),
        task: trainer.train_index.task(),
        thresholds: trainer.state.thresholds.clone(),
        eval_transform: json(serde_json::to_value(&trainer.config.transforms.val))?,
        calibration: None,
        out_of_distribution: None,
        timestamp: jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        versions: device::versions(trainer.compute.device).into(),
        extra: extra(trainer),
    })
}

/// The average of the last epochs as a model of its own, from which no training resumes.
pub(super) fn averaged(trainer: &Trainer, swa: &Swa) -> Result<Checkpoint, TrainError> {
    let weights = swa.network().state_dict().into_iter().map(|(name, tensor)| (name, tensor.detach()));
    Ok(Checkpoint {
        model_state_dict: weights.collect(),
        optimizer_state_dict: Value::None,
        ema_state_dict: None,
        ema_num_updates: None,
        swa_state_dict: None,
        scaler_state_dict: None,
        average: Some("swa".to_owned()),
        thresholds: trainer.state.swa_thresholds.clone(),
        ..snapshot(trainer, &[trainer.state.running])?
    })
}

/// What only some trainings have to keep.
fn extra(trainer: &Trainer) -> Vec<(Key, Value)> {
    let size = trainer.world().size();
    let size = (size > 1).then(|| (WORLD_SIZE, Value::Int(size as i64)));
    let all = size.into_iter().chain(trainer.limits_to_entries());
    all.map(|(name, value)| (name.into(), value)).collect()
}

impl From<CheckpointError> for super::ReportError {
    fn from(error: CheckpointError) -> Self {
        super::ReportError(Box::new(error))
    }
}
