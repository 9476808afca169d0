//! The teacher of `training.distillation`: a checkpoint or a TorchScript file → logits of the
//! student's classes, for the images that the student is trained on.
//!
//! It is in evaluation mode, has no gradients, and computes on the device and in the precision of the
//! student. No state of it is in a run's checkpoints: its file is known by its content, which a
//! resumed run must find again.

use std::path::{Path, PathBuf};

use ml_data::text::listed;
use ml_data::transform::Pipeline;
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use super::state::history_from;
use super::{TrainError, Trainer};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::Config;
use crate::device::Compute;
use crate::features::InputBatch;
use crate::loader::Renormalize;
use crate::loss::{DistillationConfig, LossValue, Targets};
use crate::network::{
    Classifier, Embedded, ForwardError, Input, Network, PreparedNetwork, ScriptFile, TrainOutputs,
};
use crate::run::StoredModel;
use crate::torch_error::catch_torch_panic;

/// The key of the file.
const KEY: &str = "training.distillation.teacher";

/// Class names that a message lists.
const LISTED: usize = 8;

/// What a teacher says of a batch.
#[derive(Debug)]
pub struct Taught {
    /// `[N, K]` f32, of the student's classes.
    pub logits: Tensor,
    /// `[N, D]` f32, where the student follows them.
    pub embeddings: Option<Tensor>,
}

/// What a student learns from.
#[derive(Debug)]
pub struct Teacher {
    config: DistillationConfig,
    compute: Compute,
    network: PreparedNetwork,
    description: String,
    /// `[K]` i64: which logit is that of each of the student's classes; none where all are in order.
    classes: Option<Tensor>,
    /// None where images are normalised as the teacher's, or nothing is known of those.
    renormalize: Option<Renormalize>,
    /// `[height, width]` of the images that it takes; none takes those of the student.
    size: Option<[i64; 2]>,
}

/// The configuration with the content of the teacher's file written down; nothing where that is
/// done, or there is no teacher.
///
/// # Errors
/// There is no such file, or it lies in `run`, the folder of the run that is to be trained.
pub fn resolve_teacher(config: &Config, run: Option<&Path>) -> Result<Option<Config>, TrainError> {
    let Some(distillation) = &config.training.distillation else { return Ok(None) };
    let path = file_of(&distillation.teacher)?;
    let inside = |folder: &Path| Some(path.canonicalize().ok()?.starts_with(folder.canonicalize().ok()?));
    if run.and_then(inside) == Some(true) {
        return Err(unsuitable(format!(
            "{} is of the run that it is to teach; name another run",
            path.display()
        )));
    }
    if distillation.sha256.is_some() {
        return Ok(None);
    }
    let mut resolved = config.clone();
    if let Some(distillation) = &mut resolved.training.distillation {
        distillation.sha256 = Some(sha256(&path)?);
    }
    Ok(Some(resolved))
}

fn unsuitable(reason: String) -> TrainError {
    TrainError::Teacher { key: KEY, reason }
}

/// Itself, or a run folder's `best.pt`.
fn file_of(teacher: &Path) -> Result<PathBuf, TrainError> {
    let path = if teacher.is_dir() { teacher.join("best.pt") } else { teacher.to_owned() };
    if path.is_file() {
        return Ok(path);
    }
    Err(unsuitable(if teacher.is_dir() {
        format!("{} has no best.pt; name a checkpoint, or a run with a completed epoch", teacher.display())
    } else {
        format!("there is no file {}", teacher.display())
    }))
}

fn sha256(path: &Path) -> Result<String, TrainError> {
    let read = || -> std::io::Result<String> {
        let mut hash = Sha256::new();
        std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
        Ok(hex::encode(hash.finalize()))
    };
    read().map_err(|error| unsuitable(format!("{}: cannot be read: {error}", path.display())))
}

/// A network, and what is known of it.
struct Opened {
    network: Network,
    description: String,
    /// Names of its classes and its evaluation transform; of a TorchScript file neither is known.
    known: Option<(Vec<String>, Pipeline)>,
}

impl Teacher {
    /// Opens that of `config`, if there is one, for a student of `num_classes` classes. Without their
    /// names, `classes`, the first logits are taken as they are: for measurements.
    ///
    /// # Errors
    /// It cannot be opened, is another file than that whose content is written down, or does not
    /// suit the classes or images of the student.
    pub fn open(
        config: &Config,
        num_classes: usize,
        classes: Option<&[String]>,
        compute: Compute,
    ) -> Result<Option<Teacher>, TrainError> {
        let Some(distillation) = &config.training.distillation else { return Ok(None) };
        let path = file_of(&distillation.teacher)?;
        if let Some(wanted) = &distillation.sha256 {
            let found = sha256(&path)?;
            if !wanted.eq_ignore_ascii_case(&found) {
                return Err(unsuitable(format!(
                    "{} has another content (SHA-256 {found}) than the teacher of this run ({wanted}); put that \
                     very file back, or start a new run",
                    path.display()
                )));
            }
        }
        let Opened { network, description, known } = opened(&path, config, num_classes, compute)?;
        if known.is_none() && distillation.features > 0.0 {
            return Err(TrainError::Teacher {
                key: "training.distillation.features",
                reason: format!(
                    "{} is a TorchScript module, which has no embeddings; set it to 0",
                    path.display()
                ),
            });
        }
        let mut teacher = Teacher {
            config: distillation.clone(),
            compute,
            network: network.prepare(&compute).map_err(ForwardError::from)?,
            description,
            classes: None,
            renormalize: None,
            size: None,
        };
        if let Some((own, pipeline)) = known {
            let channels = config.transforms.train.channels.count();
            if pipeline.channels() != channels {
                return Err(unsuitable(format!(
                    "{} takes images of {} channels, and transforms.train.channels is {channels}",
                    path.display(),
                    pipeline.channels(),
                )));
            }
            let places = match classes {
                Some(classes) => {
                    let student = Pipeline::new(&config.transforms.train)?;
                    teacher.renormalize = Renormalize::between(&student, &pipeline, compute.device);
                    places(&own, classes)
                        .map_err(|reason| unsuitable(format!("{} {reason}", path.display())))?
                }
                None => (0..num_classes.min(own.len()) as i64).collect(),
            };
            if !places.iter().copied().eq(0..own.len() as i64) {
                teacher.classes = Some(Tensor::from_slice(&places).to_device(compute.device));
            }
            teacher.size = pipeline.output_size().map(|(height, width)| [height.into(), width.into()]);
        }
        teacher.check(config, num_classes)?;
        Ok(Some(teacher))
    }

    /// Two images through the teacher, so that what is wrong with it shows before the first epoch.
    fn check(&self, config: &Config, num_classes: usize) -> Result<(), TrainError> {
        let train = &config.transforms.train;
        let Some(size) = train.output_size() else { return Ok(()) };
        let shape = [2, train.channels.count() as i64, i64::from(size.height), i64::from(size.width)];
        let images = Tensor::zeros(shape, (Kind::Float, self.compute.device));
        let logits = catch_torch_panic(|| self.outputs(&images))?
            .map_err(|error| unsuitable(error.to_string()))?
            .logits;
        if logits.size() != [2, num_classes as i64] {
            return Err(unsuitable(format!(
                "it outputs logits {:?} for two images, and the data set has {num_classes} classes",
                logits.size()
            )));
        }
        if !is_finite(&logits)? {
            return Err(unsuitable("its outputs contain NaN or Inf".to_owned()));
        }
        Ok(())
    }

    /// What it says of the student's images `[N, C, H, W]`.
    ///
    /// # Errors
    /// The forward pass fails.
    pub fn outputs(&self, images: &Tensor) -> Result<Taught, ForwardError> {
        self.outputs_in(images, &self.compute)
    }

    /// As [`Teacher::outputs`], in the precision of `compute`.
    pub(super) fn outputs_in(&self, images: &Tensor, compute: &Compute) -> Result<Taught, ForwardError> {
        tch::no_grad(|| {
            let images = match &self.renormalize {
                Some(renormalize) => renormalize.apply(images),
                None => images.shallow_clone(),
            };
            let images = match self.size.filter(|size| images.size()[2..] != size[..]) {
                Some(size) => images.internal_upsample_bilinear2d_aa(size, false, None::<f64>, None::<f64>),
                None => images,
            };
            let (logits, embeddings) = if self.config.features > 0.0 {
                let Embedded { logits, embeddings } = self.network.embed(&images, compute)?;
                (logits, Some(embeddings))
            } else {
                (self.network.logits(Input::Images(&images), compute)?, None)
            };
            let logits = match &self.classes {
                Some(classes) => logits.index_select(1, classes),
                None => logits,
            };
            Ok(Taught { logits, embeddings })
        })
    }

    /// For people: the network, its file, and how good it was.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The loss on the labels, with the share of it that follows the teacher in its place; and what a
    /// batch with these `shares` of the step's means adds to the step's loss.
    pub(super) fn of_batch(
        &self,
        plain: &LossValue,
        student: &TrainOutputs,
        teacher: &Taught,
        targets: &Targets,
        shares: BatchShare,
    ) -> (Tensor, Tensor) {
        let weight = self.config.weight;
        let mut following = self.config.forward(&student.logits, &teacher.logits, targets) * weight;
        if let Some((own, theirs)) = student.embedding.as_ref().zip(teacher.embeddings.as_ref()) {
            following += DistillationConfig::of_features(own, theirs) * self.config.features;
        }
        let total = &plain.mean * (1.0 - weight) + &following;
        // Of class weights, the two means have different divisors.
        let part = &plain.mean * ((1.0 - weight) * shares.loss) + following * shares.images;
        (total, part)
    }

    /// The loss on which measurements train.
    pub(super) fn loss(
        &self,
        plain: &LossValue,
        student: &TrainOutputs,
        teacher: &Taught,
        targets: &Targets,
    ) -> Tensor {
        let whole = BatchShare { loss: 1.0, images: 1.0 };
        self.of_batch(plain, student, teacher, targets, whole).0
    }
}

/// A batch's share of a step's means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BatchShare {
    /// Of what the loss is divided by.
    pub loss: f64,
    /// Of the images.
    pub images: f64,
}

fn is_finite(logits: &Tensor) -> Result<bool, ForwardError> {
    Ok(torch_ext::scalar(&logits.isfinite().all())? != 0.0)
}

fn opened(path: &Path, config: &Config, num_classes: usize, compute: Compute) -> Result<Opened, TrainError> {
    match torch_file::read_without_tensors(path) {
        Err(torch_file::Error::TorchScript { .. }) => {
            let bytes = std::fs::read(path)
                .map_err(|error| unsuitable(format!("{}: cannot be read: {error}", path.display())))?;
            let file = ScriptFile::new(path, bytes);
            let network =
                catch_torch_panic(|| Network::from_script(&file, num_classes as i64, compute.device))?;
            let network = network.map_err(|error| unsuitable(error.to_string()))?;
            let description = format!("{} (TorchScript)", path.display());
            Ok(Opened { network, description, known: None })
        }
        outline => {
            let is_own = outline
                .map_err(CheckpointError::from)
                .and_then(|outline| crate::checkpoint::is_checkpoint(&outline))
                .map_err(|error| unsuitable(error.in_file(path).to_string()))?;
            if !is_own {
                return Err(unsuitable(format!(
                    "{} is no checkpoint of ml-train, which says what its network and classes are; train one from \
                     these weights, or script the network in Python",
                    path.display()
                )));
            }
            of_checkpoint(path, config, compute)
        }
    }
}

/// Whether images have one label or several, in a configuration.
fn task(config: &serde_json::Value) -> &str {
    config.pointer("/data/task").and_then(serde_json::Value::as_str).unwrap_or("single_label")
}

fn of_checkpoint(path: &Path, config: &Config, compute: Compute) -> Result<Opened, TrainError> {
    let checkpoint = Checkpoint::load(path).map_err(|error| unsuitable(error.to_string()))?;
    let own = serde_json::to_value(config).unwrap_or_default();
    if task(&own) != task(&checkpoint.config) {
        return Err(unsuitable(format!(
            "{} was trained with data.task {}, and here it is {}",
            path.display(),
            task(&checkpoint.config),
            task(&own)
        )));
    }
    let averaged = checkpoint.selects_by_ema();
    let StoredModel { name, network, pipeline } =
        StoredModel::of(&checkpoint, path, averaged, compute.device)
            .map_err(|error| unsuitable(error.to_string()))?;
    let epoch = checkpoint.epoch;
    // The average of several epochs is none of them.
    let history = history_from(&checkpoint.metrics.field()).unwrap_or_default();
    let metrics = history.last().filter(|last| last.epoch == epoch && checkpoint.average.is_none());
    let accuracy = metrics.and_then(|metrics| {
        if averaged { metrics.ema.map(|ema| ema.val_accuracy) } else { Some(metrics.val_accuracy) }
    });
    let accuracy =
        accuracy.map_or_else(String::new, |accuracy| format!(", val accuracy {:.2}%", 100.0 * accuracy));
    let ema = if averaged { ", EMA weights" } else { "" };
    let description = format!("{name} of {} (epoch {epoch}{ema}{accuracy})", path.display());
    Ok(Opened { network, description, known: Some((checkpoint.classes, pipeline)) })
}

/// Where each of the student's `classes` is among the teacher's `own`.
fn places(own: &[String], classes: &[String]) -> Result<Vec<i64>, String> {
    let place = |class: &String| own.iter().position(|name| name == class).map(|place| place as i64);
    let missing: Vec<String> = classes
        .iter()
        .filter(|class| place(class).is_none())
        .map(|class| class.escape_debug().to_string())
        .collect();
    if missing.is_empty() {
        return Ok(classes.iter().filter_map(place).collect());
    }
    Err(format!(
        "does not know {} of the {} classes of the data set: {}",
        missing.len(),
        classes.len(),
        listed(&missing, LISTED)
    ))
}

impl Trainer {
    /// The teacher, if there is one.
    pub fn teacher(&self) -> Option<&Teacher> {
        self.teacher.as_ref()
    }

    /// What the teacher says of a batch, if there is a teacher.
    pub(super) fn taught(&self, batch: &InputBatch) -> Result<Option<Taught>, TrainError> {
        let (Some(teacher), Input::Images(images)) = (&self.teacher, batch.input()) else { return Ok(None) };
        Ok(Some(teacher.outputs(images)?))
    }

    /// After a loss that is not finite: whether the teacher is to blame.
    ///
    /// # Errors
    /// It is.
    pub(super) fn check_teacher<'a>(
        &self,
        logits: impl Iterator<Item = (&'a Tensor, &'a [usize])>,
    ) -> Result<(), TrainError> {
        for (logits, indices) in logits {
            if !is_finite(logits)? {
                let samples = &self.train_index.samples;
                let path = |&index: &usize| Some(samples.get(index)?.path.display().to_string());
                let images = indices.iter().filter_map(path).collect();
                return Err(TrainError::TeacherNotFinite { step: self.state.step, images });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_matched_by_name_and_missing_ones_are_named() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let own = names(&["cat", "dog", "owl"]);
        assert_eq!(places(&own, &own), Ok(vec![0, 1, 2]));
        assert_eq!(places(&own, &names(&["owl", "cat"])), Ok(vec![2, 0]));
        let reason = places(&own, &names(&["owl", "bee", "ant"])).unwrap_err();
        assert_eq!(reason, "does not know 2 of the 3 classes of the data set: bee, ant");
    }
}
