//! From a configuration to a trainer, and between a trainer and a checkpoint.

use std::path::Path;
use std::sync::Arc;

use ml_data::dataset::{Dataset, Index, Split};
use ml_data::setting::Auto;
use ml_data::transform::Pipeline;
use tch::{Device, Tensor};

use super::state::{
    divergence_to_value, early_stopping_to_value, history_to_value, ranking_to_value, totals_to_value,
};
use super::{TrainError, TrainState, Trainer};
use crate::checkpoint::{Checkpoint, CheckpointError, model_state_from, read};
use crate::config::Config;
use crate::loader::{Cache, CacheKind, Loader};
use crate::loss::Loss;
use crate::network::{Network, NetworkShape};
use crate::optimizer::schedule::Schedule;
use crate::optimizer::{Ema, Optimizer};
use crate::value::Value;

pub(super) fn trainer(config: &Config, dataset: &Dataset, device: Device) -> Result<Trainer, TrainError> {
    let num_classes = class_count(config, dataset)?;
    for (key, given) in [
        ("loss.class_weights", config.loss.num_class_weights()),
        ("data.sampling.class_weights", config.data.sampling.num_class_weights()),
    ] {
        if let Some(given) = given.filter(|&given| given != num_classes) {
            return Err(TrainError::ClassWeights { key, given, found: num_classes });
        }
    }
    let architecture = config.model.base().architecture;
    let in_channels = config.transforms.train.channels.count() as i64;
    let shape = NetworkShape { in_channels, num_classes: num_classes as i64 };
    let network = Network::new(architecture, shape, config.seed as i64, device);
    let optimizer = Optimizer::new(&config.optimizer, network.parameters());
    let loss = Loss::new(&config.loss, &dataset.class_counts(Split::Train), device);
    let train_index = Arc::new(dataset.train.clone());
    let (train_loader, val_loader) = loaders(config, dataset, &train_index, device)?;
    let schedule = Schedule::new(
        &config.scheduler,
        config.optimizer.lr(),
        train_loader.num_batches().div_ceil(config.training.gradient_accumulation_steps),
        config.training.num_epochs,
    );
    let ema = config.training.ema.as_ref();
    let ema = ema.map(|ema| Ema::new(ema, &network, architecture, shape, device)).transpose()?;
    Ok(Trainer {
        config: config.clone(),
        classes: dataset.classes.clone(),
        fingerprint: dataset.fingerprint(),
        network,
        ema,
        loss,
        optimizer,
        schedule,
        train_loader,
        val_loader,
        train_index,
        device,
        state: TrainState::default(),
        is_unsaved: false,
        first_step: None,
    })
}

/// Of the training and the validation split.
fn loaders(
    config: &Config,
    dataset: &Dataset,
    train_index: &Arc<Index>,
    device: Device,
) -> Result<(Loader, Loader), TrainError> {
    let (samples, batch_size) = (train_index.samples.len(), config.training.batch_size);
    if config.data.drop_last && samples < batch_size {
        return Err(TrainError::NoFullBatch { samples, batch_size });
    }
    let budget = config.data.cache_budget(&dataset.root)?;
    let loader = |index: Arc<Index>, transform, options| -> Result<Loader, TrainError> {
        let pipeline = Arc::new(Pipeline::new(transform)?);
        let cache = match (config.data.cache, &budget) {
            (CacheKind::Ram, Some(budget)) => Some(Cache::ram(index.samples.len(), budget.clone())),
            (CacheKind::Disk, Some(budget)) => {
                Some(Cache::disk(&config.data.cache_dir(&dataset.root), &pipeline, budget.clone())?)
            }
            _ => None,
        };
        let loader = Loader::new(index, pipeline, options);
        Ok(match cache {
            Some(cache) => loader.with_cache(cache),
            None => loader,
        })
    };
    let training = config.training_options(device, dataset.classes.len());
    let evaluation = config.evaluation_options(device);
    Ok((
        loader(Arc::clone(train_index), &config.transforms.train, training)?,
        loader(Arc::new(dataset.val.clone()), &config.transforms.val, evaluation)?,
    ))
}

fn class_count(config: &Config, dataset: &Dataset) -> Result<usize, TrainError> {
    let found = dataset.classes.len();
    match config.model.base().num_classes {
        Auto::Value(given) if given != found => {
            Err(TrainError::ClassCount { given, found, classes: dataset.classes.clone() })
        }
        _ => Ok(found),
    }
}

/// Copies the weights of a `.pt` file into `network`. A classifier head of another class count is left as it
/// was initialised; the names left are returned.
///
/// # Errors
/// The file cannot be read, or its weights are of another network.
pub(super) fn start_weights(network: &Network, path: &Path) -> Result<Vec<String>, TrainError> {
    let mut weights = model_state_from(&read(path)?).map_err(|error| error.in_file(path))?;
    let own = network.state_dict();
    let head =
        own.last().and_then(|(name, _)| name.rsplit_once('.')).map_or("", |(module, _)| module).to_owned();
    let mut left = Vec::new();
    for (name, tensor) in &mut weights {
        let Some((_, mine)) = own.iter().find(|(known, _)| known == name) else { continue };
        let in_head = name.rsplit_once('.').is_some_and(|(module, _)| module == head);
        let same_but_classes = tensor.dim() == mine.dim() && tensor.size().get(1..) == mine.size().get(1..);
        if in_head && same_but_classes && tensor.size() != mine.size() {
            *tensor = mine.shallow_clone();
            left.push(name.clone());
        }
    }
    network.load_state_dict(&weights)?;
    Ok(left)
}

pub(super) fn snapshot(trainer: &Trainer) -> Result<Checkpoint, TrainError> {
    let json = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|error| TrainError::Report(super::ReportError(error.into())))
    };
    let detached =
        |state: Vec<(String, Tensor)>| state.into_iter().map(|(name, t)| (name, t.detach())).collect();
    Ok(Checkpoint {
        epoch: trainer.state.epoch,
        step: trainer.state.step,
        batch_in_epoch: trainer.state.batch_in_epoch,
        running: totals_to_value(trainer.state.running),
        model_state_dict: detached(trainer.network.state_dict()),
        optimizer_state_dict: trainer.optimizer.state_dict(),
        scheduler_state_dict: trainer.schedule.state(trainer.state.step),
        ema_state_dict: trainer.ema.as_ref().map(|ema| detached(ema.state_dict())),
        scaler_state_dict: None,
        // Streams are derived from the seed; there is no other state.
        rng_state: Value::dict([("seed", Value::Int(trainer.config.seed as i64))]),
        metrics: history_to_value(&trainer.state.history),
        best: ranking_to_value(&trainer.state.ranking, trainer.config.training.monitor().metric),
        early_stopping: early_stopping_to_value(trainer.state.early_stopping),
        divergence: divergence_to_value(trainer.state.divergence),
        dataset: Value::dict([("fingerprint", Value::from(trainer.fingerprint.clone()))]),
        config: json(serde_json::to_value(&trainer.config))?,
        classes: trainer.classes.clone(),
        eval_transform: json(serde_json::to_value(&trainer.config.transforms.val))?,
        timestamp: jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        versions: serde_json::json!({
            "ml": env!("CARGO_PKG_VERSION"),
            "libtorch": *crate::LIBTORCH_VERSION,
            "num_threads": tch::get_num_threads(),
        }),
        extra: Vec::new(),
    })
}

impl From<CheckpointError> for super::ReportError {
    fn from(error: CheckpointError) -> Self {
        super::ReportError(Box::new(error))
    }
}
