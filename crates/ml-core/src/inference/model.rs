//! A checkpoint, or weights alone → a network with its labels and its evaluation transform.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use tch::Device;

use super::classes::synsets;
use super::{InferenceError, precision};
use crate::checkpoint::Checkpoint;
use crate::dataset::{CsvOptions, DatasetError, Index, Labelled, ModelClasses, OpenOptions, Split, Task};
use crate::device::{Compute, PrecisionChoice};
use crate::distributed::World;
use crate::evaluation::{Calibration, Embeddings, Evaluation, EvaluationError, Evaluator, OutOfDistribution};
use crate::loader::{Loader, LoaderOptions};
use crate::loss::{BceConfig, Loss, LossConfig};
use crate::metrics::multilabel::ClassThresholds;
use crate::network::{Classifier, ForwardError, Network, PreparedNetwork};
use crate::run::{StoredModel, StoredModelError};
use crate::torch_error::catch_torch_panic;
use crate::transform::Pipeline;

/// A trained network, ready to predict.
pub struct LoadedModel {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) network: Box<dyn Classifier>,
    pub(super) classes: Vec<String>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) config: serde_json::Value,
    /// None of weights alone.
    pub(super) epoch: Option<u64>,
    pub(super) averaged: bool,
    pub(super) notes: Vec<String>,
    pub(super) compute: Compute,
    /// Plain cross entropy, or with several labels an image binary cross entropy, which losses of
    /// different runs can be compared by.
    pub(super) loss: Loss,
    /// From which probability on a class is predicted, where an image may have several labels; none
    /// where it has one.
    pub(super) thresholds: Option<ClassThresholds>,
    /// None where the run had none, or for other weights than these.
    pub(super) calibration: Option<Calibration>,
    /// None where the run had none, for other weights than these, or where they are not wanted.
    pub(super) out_of_distribution: Vec<OutOfDistribution>,
    /// The processes that share the images.
    pub(super) world: Rc<World>,
}

/// Which weights of a checkpoint to use, where the run kept an average of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseEma {
    /// Those that the run was judged by (`training.checkpoint.monitor`).
    #[default]
    Auto,
    /// The average.
    Always,
    /// The weights themselves.
    Never,
}

impl std::fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedModel")
            .field("path", &self.path)
            .field("compute", &self.compute)
            .finish_non_exhaustive()
    }
}

/// The checkpoint file that `path` means: itself, or a run folder's `best.pt`.
///
/// # Errors
/// A folder without one.
pub fn checkpoint_file(path: &Path) -> Result<PathBuf, InferenceError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let best = path.join("best.pt");
    if best.is_file() { Ok(best) } else { Err(InferenceError::NoCheckpoint { path: path.to_owned() }) }
}

/// What runs of `task` are compared by.
pub(super) fn loss_of(task: Task, device: Device) -> Loss {
    let config = match task {
        Task::SingleLabel => LossConfig::default(),
        Task::MultiLabel => LossConfig::Bce(BceConfig::default()),
    };
    Loss::new(&config, &[], device)
}

/// The thresholds of a checkpoint whose images may have several labels: 0.5 each where none were
/// fitted yet.
fn thresholds_of(checkpoint: &Checkpoint) -> Result<Option<ClassThresholds>, String> {
    let num_classes = checkpoint.classes.len();
    match (checkpoint.task, &checkpoint.thresholds) {
        (Task::SingleLabel, _) => Ok(None),
        (Task::MultiLabel, None) => Ok(Some(ClassThresholds::uniform(num_classes))),
        (Task::MultiLabel, Some(values)) if values.len() != num_classes => {
            Err(format!("has {} values, and there are {num_classes} classes", values.len()))
        }
        (Task::MultiLabel, Some(values)) => {
            ClassThresholds::new(values.clone()).map(Some).map_err(|error| format!("cannot be used: {error}"))
        }
    }
}

/// The network made ready for many batches.
pub(super) fn prepared(network: Network, compute: &Compute) -> Result<PreparedNetwork, InferenceError> {
    let prepared = catch_torch_panic(|| network.prepare(compute))?;
    Ok(prepared.map_err(|error| EvaluationError::from(ForwardError::from(error)))?)
}

impl LoadedModel {
    /// Opens a checkpoint file, or the `best.pt` of a run folder.
    pub(super) fn open_one(
        path: &Path,
        device: Device,
        precision: PrecisionChoice,
        averaged: UseEma,
    ) -> Result<LoadedModel, InferenceError> {
        let path = checkpoint_file(path)?;
        let checkpoint = Checkpoint::load(&path)?;
        LoadedModel::of_checkpoint(checkpoint, &path, device, precision, averaged)
    }

    /// The model that a checkpoint is, which was read from the file `path`.
    pub(super) fn of_checkpoint(
        checkpoint: Checkpoint,
        path: &Path,
        device: Device,
        precision: PrecisionChoice,
        averaged: UseEma,
    ) -> Result<LoadedModel, InferenceError> {
        let path = path.to_owned();
        let content = |key: &'static str, problem: String| -> InferenceError {
            StoredModelError::Content { path: path.clone(), key, problem }.into()
        };
        let averaged = match averaged {
            UseEma::Auto => checkpoint.selects_by_ema(),
            UseEma::Never => false,
            UseEma::Always if checkpoint.ema_state_dict.is_some() => true,
            UseEma::Always => {
                return Err(content(
                    "ema_state_dict",
                    "is not there: the run kept no average of its weights".into(),
                ));
            }
        };
        let StoredModel { name, network, pipeline } = StoredModel::of(&checkpoint, &path, averaged, device)?;
        let (compute, note) = precision::resolve(precision, &checkpoint.config, device)?;
        let mut notes: Vec<String> = note.into_iter().collect();
        let selected = averaged == checkpoint.selects_by_ema();
        let calibration = checkpoint.calibration.as_ref().filter(|_| selected);
        let calibration = calibration.map(|value| {
            Calibration::deserialize(value)
                .map_err(|error| error.to_string())
                .and_then(|read| read.problem().map_or(Ok(read.clone()), |problem| Err(problem.to_owned())))
                .map_err(|problem| content("calibration", format!("cannot be used: {problem}")))
        });
        let calibration = calibration.transpose()?;
        let out_of_distribution = checkpoint.out_of_distribution.as_ref().filter(|_| selected);
        let out_of_distribution = out_of_distribution.map(OutOfDistribution::from_value).transpose();
        let out_of_distribution =
            out_of_distribution.map_err(|problem| content("out_of_distribution", problem))?;
        let thresholds = thresholds_of(&checkpoint).map_err(|problem| content("thresholds", problem))?;
        if checkpoint.thresholds.is_some() && !selected {
            notes.push("the classes' thresholds were fitted to the run's other weights".into());
        }
        if checkpoint.calibration.is_some() && !selected {
            notes.push(
                "probabilities are not calibrated: the calibration is of the run's other weights".into(),
            );
        }
        Ok(LoadedModel {
            world: Rc::new(World::alone()),
            name,
            network: Box::new(prepared(network, &compute)?),
            classes: checkpoint.classes,
            pipeline: Arc::new(pipeline),
            config: checkpoint.config,
            epoch: Some(checkpoint.epoch),
            averaged,
            notes,
            compute,
            loss: loss_of(checkpoint.task, device),
            thresholds,
            calibration,
            out_of_distribution: out_of_distribution
                .into_iter()
                .map(|scorer| scorer.to_device(device))
                .collect(),
            path,
        })
    }

    /// The same with images that the processes of `world`, which are connected, share: each calls the
    /// same methods, and all results are there on every one.
    #[must_use]
    pub fn among(self, world: Rc<World>) -> LoadedModel {
        LoadedModel { world, ..self }
    }

    /// The same, with the network's own probabilities.
    #[must_use]
    pub fn uncalibrated(self) -> LoadedModel {
        LoadedModel { calibration: None, ..self }
    }

    /// Whether it tells images that are unlike those of training.
    pub fn scores_out_of_distribution(&self) -> bool {
        !self.out_of_distribution.is_empty()
    }

    /// What the run's validation said about the probabilities, if they follow it.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// What logits are divided by before the softmax or sigmoid; 1 without a calibration.
    pub fn temperature(&self) -> f64 {
        self.calibration.as_ref().map_or(1.0, |calibration| calibration.temperature)
    }

    /// The checkpoint file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the classes, in order.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The evaluation transform.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// What was assumed of weights that bring nothing but themselves, and what is other than in the
    /// run, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Completed epochs of the training; none where only the weights are known.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Whether the weights are the average of those of many steps.
    pub fn is_averaged(&self) -> bool {
        self.averaged
    }

    /// The network's name: the architecture's, or the TorchScript file's.
    pub fn architecture(&self) -> &str {
        &self.name
    }

    /// The data folder of the training, as its configuration has it.
    pub fn data_dir(&self) -> Option<PathBuf> {
        Some(self.config.pointer("/data/data_dir")?.as_str()?.into())
    }

    /// The fold of the training, if it had one.
    pub fn fold(&self) -> Option<u32> {
        self.config.pointer("/data/fold")?.as_u64()?.try_into().ok()
    }

    /// Device, precision and memory format.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Where the network lives.
    pub fn device(&self) -> Device {
        self.compute.device
    }

    /// Runs the network on batches.
    pub(super) fn evaluator(&self) -> Evaluator<'_> {
        let evaluator = Evaluator::new(self.compute, &self.loss, self.classes.len());
        let evaluator = match self.thresholds {
            Some(_) => evaluator.with_several_labels(),
            None => evaluator,
        };
        evaluator.with_temperature(self.temperature()).with_out_of_distribution(&self.out_of_distribution)
    }

    /// Opens images with labels, several each where the model gives them, matched with the model's
    /// classes by name, or, where these are `ImageNet`'s, by `WordNet` id: see
    /// [`Labelled::open_with`]. `fold` is another than the run's.
    ///
    /// # Errors
    /// As [`Labelled::open_with`].
    pub fn open_labelled(
        &self,
        path: &Path,
        split: Option<Split>,
        fold: Option<u32>,
        csv: &CsvOptions,
    ) -> Result<Labelled, DatasetError> {
        let default = OpenOptions::default();
        let options = OpenOptions {
            fold: fold.or_else(|| self.fold()),
            val_fraction: self
                .config
                .pointer("/data/val_fraction")
                .and_then(serde_json::Value::as_f64)
                .unwrap_or(default.val_fraction),
            seed: self.config.pointer("/seed").and_then(serde_json::Value::as_u64).unwrap_or(default.seed),
            multi_label: self.thresholds.is_some(),
        };
        let synonyms = synsets(&self.classes);
        let classes = ModelClasses { names: &self.classes, synonyms: &synonyms };
        Labelled::open_with(path, classes, split, &options, csv)
    }

    /// Evaluates a split, whose classes are numbered as the model's (see
    /// [`Self::open_labelled`]). The loss
    /// is the plain cross entropy. `on_batch` is told how many samples are done and may stop it.
    ///
    /// # Errors
    /// The model gives an image several labels, an image cannot be read, or `on_batch` stopped it.
    pub fn evaluate(
        &self,
        index: Arc<Index>,
        batch_size: usize,
        num_workers: usize,
        top_k: usize,
        on_batch: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Evaluation, InferenceError> {
        if self.thresholds.is_some() {
            return Err(InferenceError::Usage(format!(
                "{}: gives an image several labels (data.task: multi_label), not one class",
                self.path.display()
            )));
        }
        let loader = self.loader_of(index, batch_size, num_workers)?;
        let own = self.evaluator().evaluate(self.network.as_ref(), &loader, top_k, on_batch)?;
        Ok(own.gathered(&self.world)?)
    }

    /// The embeddings of a split's images, in the index's order. `on_batch` is called after each batch
    /// and may stop it.
    ///
    /// # Errors
    /// The network has no embeddings, an image cannot be read, or `on_batch` stopped it.
    pub fn embeddings(
        &self,
        index: Arc<Index>,
        batch_size: usize,
        num_workers: usize,
        on_batch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Embeddings, InferenceError> {
        let loader = self.loader_of(index, batch_size, num_workers)?;
        let own = self.evaluator().embeddings(self.network.as_ref(), &loader, on_batch)?;
        Ok(own.gathered(&self.world)?)
    }

    pub(super) fn loader_of(
        &self,
        index: Arc<Index>,
        batch_size: usize,
        num_workers: usize,
    ) -> Result<Loader, InferenceError> {
        let options = LoaderOptions {
            num_classes: self.classes.len(),
            share: self.world.share_of_pass(),
            ..LoaderOptions::sequential(batch_size, num_workers, self.device())
        };
        Ok(catch_torch_panic(|| Loader::new(index, Arc::clone(&self.pipeline), options))?)
    }
}
