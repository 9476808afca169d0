//! Checkpoints of one network → the average of those that together are better on the validation
//! split: a greedy soup (Wortsman et al., "Model soups", 2022).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::model::checkpoint_file;
use super::{InferenceError, LoadedModel, UseEma};
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::dataset::{CsvOptions, DatasetError, Index, Split, Task};
use crate::device::{PrecisionChoice, num_threads};
use crate::metrics::multilabel::ClassThresholds;
use crate::run::StoredModelError;
use crate::torch_error::catch_torch_panic;
use torch_file::Value;

/// Names and tensors.
type State = Vec<(String, Tensor)>;

/// How checkpoints are evaluated.
#[derive(Clone, Debug)]
pub struct SoupOptions {
    /// Where the validation split is; none takes the data folder of the first checkpoint.
    pub data_dir: Option<PathBuf>,
    /// The fold; none takes that of the first checkpoint.
    pub fold: Option<u32>,
    /// Where to compute.
    pub device: Device,
    /// In which precision.
    pub precision: PrecisionChoice,
    /// Images a batch.
    pub batch_size: usize,
    /// Threads that decode images.
    pub num_workers: usize,
}

/// Why there is no soup.
#[derive(Debug, thiserror::Error)]
pub enum SoupError {
    /// The checkpoints do not go together, or are too few.
    #[error("--soup: {0}")]
    Usage(String),
    /// The validation images cannot be had.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// A checkpoint cannot be read or evaluated.
    #[error(transparent)]
    Inference(#[from] InferenceError),
}

impl SoupError {
    /// Whether what was requested is wrong, rather than that doing it failed.
    pub fn is_usage(&self) -> bool {
        match self {
            SoupError::Usage(_) => true,
            SoupError::Data(error) => error.is_usage(),
            SoupError::Inference(error) => error.is_usage(),
        }
    }
}

/// What became of a checkpoint, in the order in which they were tried.
#[derive(Clone, Debug, PartialEq)]
pub struct SoupStep {
    /// The file.
    pub path: PathBuf,
    /// Its own accuracy on the validation split, or with several labels an image its mAP.
    pub score: f64,
    /// That of the average with it.
    pub soup_score: f64,
    /// Whether it is in the average.
    pub is_taken: bool,
}

/// An average of checkpoints.
#[derive(Debug)]
pub struct Soup {
    /// The best checkpoint first.
    pub steps: Vec<SoupStep>,
    /// How many labels an image has.
    pub task: Task,
    /// Accuracy on the validation split, or with several labels an image mAP.
    pub score: f64,
    /// Images of it.
    pub num_images: u64,
    /// The average, with all else of the best checkpoint that a model needs.
    pub checkpoint: Checkpoint,
}

/// A checkpoint as a model: its file, and what must be the same in all.
struct Ingredient {
    path: PathBuf,
    network: String,
    task: Task,
    classes: Vec<String>,
    transform: serde_json::Value,
}

impl Ingredient {
    fn read(path: &Path) -> Result<Ingredient, SoupError> {
        let path = checkpoint_file(path)?;
        let checkpoint = Checkpoint::load(&path).map_err(InferenceError::from)?;
        let network = ModelConfig::of_checkpoint(&checkpoint.config).map_err(|error| {
            let problem = format!("cannot be used: {error}");
            InferenceError::from(StoredModelError::Content {
                path: path.clone(),
                key: "config.model",
                problem,
            })
        })?;
        Ok(Ingredient {
            path,
            network: network.identity().into_owned(),
            task: checkpoint.task,
            classes: checkpoint.classes,
            transform: checkpoint.eval_transform,
        })
    }

    /// What keeps the two from being averaged.
    fn difference(&self, other: &Ingredient) -> Option<String> {
        let what = if self.network != other.network {
            format!("networks: {} and {}", self.network, other.network)
        } else if self.task != other.task {
            format!("tasks (data.task): {} and {}", self.task.name(), other.task.name())
        } else if self.classes != other.classes {
            format!("classes: {} and {}", self.classes.join(", "), other.classes.join(", "))
        } else if self.transform != other.transform {
            "evaluation transforms (eval_transform)".to_owned()
        } else {
            return None;
        };
        Some(format!("{} and {} have different {what}", self.path.display(), other.path.display()))
    }
}

/// Tries the checkpoints (files or run folders) from the one with the highest validation accuracy
/// to the one with the lowest: each is taken into the average if the accuracy does not fall by it.
/// With several labels an image it is the mean average precision, and the classes' thresholds are
/// fitted to the validation split anew. Running statistics of batch norms are averaged too.
/// `on_batch` is called after each batch and may stop it.
///
/// # Errors
/// There are fewer than two, they are not of one network with the same classes, or one of them
/// cannot be read or evaluated.
pub fn greedy_soup(
    paths: &[PathBuf],
    options: &SoupOptions,
    on_batch: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Soup, SoupError> {
    if paths.len() < 2 {
        let message = format!("takes at least two checkpoints or run folders, got {}", paths.len());
        return Err(SoupError::Usage(message));
    }
    let all = paths.iter().map(|path| Ingredient::read(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(difference) = all[1..].iter().find_map(|other| all[0].difference(other)) {
        return Err(SoupError::Usage(difference));
    }
    let task = all[0].task;
    let mut taste = Taste { options, index: None, on_batch };
    let mut ranked = Vec::with_capacity(all.len());
    for Ingredient { path, .. } in all {
        let checkpoint = Checkpoint::load(&path).map_err(InferenceError::from)?;
        let judged = taste.judge(&path, checkpoint)?;
        ranked.push((path, judged));
    }
    // Of equal ones the one that was named first.
    ranked.sort_by(|(_, one), (_, other)| other.score.total_cmp(&one.score));
    let num_images = taste.num_images();
    let (first, mut best) = ranked[0].clone();
    let mut sum = Sum::of(&weights_of(&first)?)?;
    let mut steps =
        vec![SoupStep { path: first.clone(), score: best.score, soup_score: best.score, is_taken: true }];
    for (path, own) in &ranked[1..] {
        let with = sum.with(&weights_of(path)?, path)?;
        let judged = taste.judge(&first, with_weights(&first, with.mean()?)?)?;
        let is_taken = judged.score >= best.score;
        steps.push(SoupStep { path: path.clone(), score: own.score, soup_score: judged.score, is_taken });
        if is_taken {
            (sum, best) = (with, judged);
        }
    }
    let mut checkpoint = with_weights(&first, sum.mean()?)?;
    checkpoint.thresholds = best.thresholds.map(Vec::from);
    let taken = steps.iter().filter(|step| step.is_taken);
    let taken = Value::list(taken.map(|step| step.path.display().to_string()));
    checkpoint.extra.push(("soup".into(), taken));
    Ok(Soup { steps, task, score: best.score, num_images, checkpoint })
}

/// How good a model is on the validation split.
#[derive(Clone, Debug)]
struct Judged {
    score: f64,
    /// The best ones there, where an image may have several labels.
    thresholds: Option<ClassThresholds>,
}

/// Evaluates models on one validation split.
struct Taste<'a> {
    options: &'a SoupOptions,
    /// None before the first.
    index: Option<Arc<Index>>,
    on_batch: &'a mut dyn FnMut() -> ControlFlow<()>,
}

impl Taste<'_> {
    fn judge(&mut self, path: &Path, checkpoint: Checkpoint) -> Result<Judged, SoupError> {
        let SoupOptions { device, precision, batch_size, num_workers, .. } = *self.options;
        let model = LoadedModel::of_checkpoint(checkpoint, path, device, precision, UseEma::Auto)?;
        let index = match &self.index {
            Some(index) => Arc::clone(index),
            None => self.open(&model)?,
        };
        self.index = Some(Arc::clone(&index));
        let on_batch = &mut *self.on_batch;
        if model.thresholds().is_none() {
            let evaluation = model.evaluate(index, batch_size, num_workers, 1, |_| on_batch())?;
            return Ok(Judged { score: evaluation.sums.accuracy(), thresholds: None });
        }
        let evaluation = model.evaluate_labels(index, batch_size, num_workers, on_batch)?;
        let thresholds = evaluation.fit_thresholds(num_threads());
        let map = evaluation.metrics(&thresholds, num_threads()).mean_average_precision;
        Ok(Judged { score: map.unwrap_or(0.0), thresholds: Some(thresholds) })
    }

    fn open(&self, model: &LoadedModel) -> Result<Arc<Index>, SoupError> {
        let data_dir = match (&self.options.data_dir, model.data_dir()) {
            (Some(given), _) => given.clone(),
            (None, Some(of_run)) if of_run.is_dir() => of_run,
            (None, of_run) => {
                let of_run = of_run.unwrap_or_default();
                return Err(SoupError::Usage(format!(
                    "the run's data folder {} is not here; say where it is with --data_dir",
                    of_run.display()
                )));
            }
        };
        let csv = CsvOptions::default();
        let labelled = model.open_labelled(&data_dir, Some(Split::Val), self.options.fold, &csv)?;
        Ok(labelled.index)
    }

    fn num_images(&self) -> u64 {
        self.index.as_ref().map_or(0, |index| index.samples.len() as u64)
    }
}

/// A sum of states, from which their mean is made.
struct Sum {
    /// The name, the sum (f64; of whole numbers, those of the first), and the dtype of the mean.
    entries: Vec<(String, Tensor, Kind)>,
    count: usize,
}

impl Sum {
    fn of(state: &[(String, Tensor)]) -> Result<Sum, SoupError> {
        let entries = || {
            let entry = |(name, tensor): &(String, Tensor)| {
                let kind = tensor.kind();
                let is_float = tensor.is_floating_point();
                let sum = if is_float { tensor.to_kind(Kind::Double) } else { tensor.shallow_clone() };
                (name.clone(), sum, kind)
            };
            tch::no_grad(|| state.iter().map(entry).collect())
        };
        Ok(Sum { entries: catch_torch_panic(entries).map_err(InferenceError::from)?, count: 1 })
    }

    /// The sum with one more, the state of the file `path`.
    fn with(&self, state: &[(String, Tensor)], path: &Path) -> Result<Sum, SoupError> {
        let is_alike = self.entries.len() == state.len()
            && self
                .entries
                .iter()
                .zip(state)
                .all(|((name, sum, _), (other, tensor))| name == other && sum.size() == tensor.size());
        if !is_alike {
            let message = format!("{}: its weights have other names or shapes", path.display());
            return Err(SoupError::Usage(message));
        }
        let entries = || {
            let entry = |((name, sum, kind), (_, tensor)): (&(String, Tensor, Kind), &(String, Tensor))| {
                let is_float = tensor.is_floating_point();
                let sum = if is_float { sum + tensor.to_kind(Kind::Double) } else { sum.shallow_clone() };
                (name.clone(), sum, *kind)
            };
            tch::no_grad(|| self.entries.iter().zip(state).map(entry).collect())
        };
        let entries = catch_torch_panic(entries).map_err(InferenceError::from)?;
        Ok(Sum { entries, count: self.count + 1 })
    }

    fn mean(&self) -> Result<State, SoupError> {
        let entries = || {
            let entry = |(name, sum, kind): &(String, Tensor, Kind)| {
                let mean = if sum.is_floating_point() {
                    (sum / self.count as f64).to_kind(*kind)
                } else {
                    sum.shallow_clone()
                };
                (name.clone(), mean)
            };
            tch::no_grad(|| self.entries.iter().map(entry).collect())
        };
        Ok(catch_torch_panic(entries).map_err(InferenceError::from)?)
    }
}

/// The weights by which the run of a checkpoint was judged.
fn weights_of(path: &Path) -> Result<State, SoupError> {
    let checkpoint = Checkpoint::load(path).map_err(InferenceError::from)?;
    let weights = checkpoint.weights(checkpoint.selects_by_ema());
    Ok(weights.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect())
}

/// The checkpoint `path` with other weights, as a model from which no training resumes.
fn with_weights(path: &Path, weights: State) -> Result<Checkpoint, SoupError> {
    let checkpoint = Checkpoint::load(path).map_err(InferenceError::from)?;
    Ok(Checkpoint {
        model_state_dict: weights,
        optimizer_state_dict: Value::None,
        ema_state_dict: None,
        ema_num_updates: None,
        swa_state_dict: None,
        swa: None,
        average: Some("soup".to_owned()),
        scaler_state_dict: None,
        calibration: None,
        out_of_distribution: None,
        ..checkpoint
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(value: f32, count: i64) -> State {
        vec![
            ("w".to_owned(), Tensor::from_slice(&[value, 2.0 * value])),
            ("n".to_owned(), Tensor::from_slice(&[count])),
        ]
    }

    #[test]
    fn the_mean_is_over_all_that_were_taken_and_whole_numbers_are_the_first_ones() {
        let path = Path::new("a.pt");
        let sum = Sum::of(&state(1.0, 7)).unwrap();
        let two = sum.with(&state(2.0, 9), path).unwrap();
        let three = two.with(&state(6.0, 9), path).unwrap();
        assert_eq!(two.mean().unwrap(), state(1.5, 7));
        assert_eq!(three.mean().unwrap(), state(3.0, 7));
        assert_eq!(sum.mean().unwrap(), state(1.0, 7), "a sum does not change");
        let error = sum.with(&state(1.0, 1)[..1], path);
        assert!(error.is_err_and(|error| error.to_string().contains("other names or shapes")));
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let one = |network: &str, classes: &[&str]| Ingredient {
            path: format!("{network}.pt").into(),
            network: network.to_owned(),
            task: Task::SingleLabel,
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            transform: serde_json::Value::Null,
        };
        let first = one("resnet18", &["a", "b"]);
        assert!(first.difference(&one("resnet18", &["a", "b"])).is_none());
        let text = first.difference(&one("resnet50", &["a", "b"])).unwrap();
        assert!(text.contains("networks: resnet18 and resnet50"), "{text}");
        let labels = Ingredient { task: Task::MultiLabel, ..one("resnet18", &["a", "b"]) };
        let text = first.difference(&labels).unwrap();
        assert!(text.contains("tasks (data.task): single_label and multi_label"), "{text}");
        let text = first.difference(&one("resnet18", &["b", "a"])).unwrap();
        assert!(text.contains("classes: a, b and b, a"), "{text}");
    }

    #[test]
    fn one_checkpoint_is_too_few() {
        let options = SoupOptions {
            data_dir: None,
            fold: None,
            device: Device::Cpu,
            precision: PrecisionChoice::Auto,
            batch_size: 1,
            num_workers: 0,
        };
        let made = greedy_soup(&["a.pt".into()], &options, &mut || ControlFlow::Continue(()));
        let error = made.unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("at least two"), "{error}");
    }
}
