//! The state of a training run as typed fields ↔ the dict that stands in the file.

use std::path::Path;

use ml_data::dataset::Task;
use tch::Tensor;

use super::{CheckpointError, read, write};
use torch_file::{Field, Key, Value, ValueError};

/// The version of the dict's layout that is written, and the newest that is understood.
pub const FORMAT_VERSION: u64 = 1;

/// Everything that a run needs to go on, and that its model needs to be used.
#[derive(Debug)]
pub struct Checkpoint {
    /// Completed epochs.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Batches of the current epoch that are done; 0 between epochs.
    pub batch_in_epoch: u64,
    /// Sums over the current epoch so far, from which its metrics are made.
    pub running: Value,
    /// Parameters and buffers by PyTorch's names, in order.
    pub model_state_dict: Vec<(String, Tensor)>,
    /// As `torch.optim.Optimizer.state_dict()`.
    pub optimizer_state_dict: Value,
    /// The schedule's state.
    pub scheduler_state_dict: Value,
    /// The averaged weights, where they are kept.
    pub ema_state_dict: Option<Vec<(String, Tensor)>>,
    /// Updates that the averaged weights have taken in, where they are kept.
    pub ema_num_updates: Option<u64>,
    /// The average of the last epochs, once there is one.
    pub swa_state_dict: Option<Vec<(String, Tensor)>>,
    /// A dict, with that average: `n_averaged`, and at the end what validation said of it.
    pub swa: Option<Value>,
    /// What average the weights themselves are, in a file from which no training resumes: `swa` or
    /// `soup`.
    pub average: Option<String>,
    /// The loss scaler's state, where there is one.
    pub scaler_state_dict: Option<Value>,
    /// A dict: `seed`. All streams are derived from it; there is no other state.
    pub rng_state: Value,
    /// A list: a dict of metrics for each completed epoch.
    pub metrics: Value,
    /// The best epochs so far and their metrics.
    pub best: Value,
    /// The state of early stopping.
    pub early_stopping: Value,
    /// What losses and gradients that were not finite have led to.
    pub divergence: Value,
    /// A dict that tells the data set: `fingerprint`, `train`, `val`.
    pub dataset: Value,
    /// The resolved configuration.
    pub config: serde_json::Value,
    /// Class names; a class's place is its number.
    pub classes: Vec<String>,
    /// How many labels an image has. One that has several has `thresholds` for its probabilities,
    /// which are the sigmoid of the logits.
    pub task: Task,
    /// `[K]`, with several labels an image: from which probability on a class is predicted, fitted to
    /// the last validation of the weights that are judged.
    pub thresholds: Option<Vec<f32>>,
    /// The transform of validation, which inference applies too.
    pub eval_transform: serde_json::Value,
    /// What validation said about the probabilities of the selected weights, in the `best.pt` of a
    /// run that has ended.
    pub calibration: Option<serde_json::Value>,
    /// What tells images of training from others by the selected weights, in the same file.
    pub out_of_distribution: Option<Value>,
    /// When it was written, RFC 3339.
    pub timestamp: String,
    /// Versions of the program and its libraries.
    pub versions: serde_json::Value,
    /// Keys that this version does not know, kept as they are.
    pub extra: Vec<(Key, Value)>,
}

const KEYS: [&str; 29] = [
    "format_version",
    "epoch",
    "step",
    "batch_in_epoch",
    "running",
    "model_state_dict",
    "optimizer_state_dict",
    "scheduler_state_dict",
    "ema_state_dict",
    "ema_num_updates",
    "swa_state_dict",
    "swa",
    "average",
    "scaler_state_dict",
    "rng_state",
    "metrics",
    "best",
    "early_stopping",
    "divergence",
    "dataset",
    "config",
    "classes",
    "task",
    "thresholds",
    "eval_transform",
    "calibration",
    "out_of_distribution",
    "timestamp",
    "versions",
];

impl Checkpoint {
    /// The dict that is written; what is an `Option` is left out where there is none.
    ///
    /// # Errors
    /// A number in `config`, `eval_transform` or `versions` above `i64::MAX`.
    pub fn into_value(self) -> Result<Value, CheckpointError> {
        let mut entries: Vec<(Key, Value)> = Vec::new();
        let mut put = |key: &str, value: Value| entries.push((key.into(), value));
        put("format_version", Value::Int(FORMAT_VERSION as i64));
        put("epoch", Value::Int(self.epoch as i64));
        put("step", Value::Int(self.step as i64));
        put("batch_in_epoch", Value::Int(self.batch_in_epoch as i64));
        put("running", self.running);
        put("model_state_dict", Value::dict(self.model_state_dict));
        put("optimizer_state_dict", self.optimizer_state_dict);
        put("scheduler_state_dict", self.scheduler_state_dict);
        if let Some(ema) = self.ema_state_dict {
            put("ema_state_dict", Value::dict(ema));
        }
        if let Some(count) = self.ema_num_updates {
            put("ema_num_updates", Value::Int(count as i64));
        }
        if let Some(average) = self.swa_state_dict {
            put("swa_state_dict", Value::dict(average));
        }
        if let Some(swa) = self.swa {
            put("swa", swa);
        }
        if let Some(average) = self.average {
            put("average", Value::Str(average));
        }
        if let Some(scaler) = self.scaler_state_dict {
            put("scaler_state_dict", scaler);
        }
        put("rng_state", self.rng_state);
        put("metrics", self.metrics);
        put("best", self.best);
        put("early_stopping", self.early_stopping);
        put("divergence", self.divergence);
        put("dataset", self.dataset);
        put("config", json("config", &self.config)?);
        put("classes", Value::list(self.classes));
        if self.task == Task::MultiLabel {
            put("task", Value::from(self.task.name()));
        }
        if let Some(thresholds) = self.thresholds {
            let values = thresholds.into_iter().map(|value| Value::Float(f64::from(value)));
            put("thresholds", Value::list(values));
        }
        put("eval_transform", json("eval_transform", &self.eval_transform)?);
        if let Some(calibration) = &self.calibration {
            put("calibration", json("calibration", calibration)?);
        }
        if let Some(out_of_distribution) = self.out_of_distribution {
            put("out_of_distribution", out_of_distribution);
        }
        put("timestamp", Value::Str(self.timestamp));
        put("versions", json("versions", &self.versions)?);
        entries.extend(self.extra);
        Ok(Value::Dict(entries))
    }

    /// Reads the dict; its tensors are shared, not copied.
    ///
    /// # Errors
    /// A missing key, a value of another type, something opaque, or a newer `format_version`; the
    /// error names the key.
    pub fn from_value(value: &Value) -> Result<Self, CheckpointError> {
        let root = value.field();
        root.get("format_version")?.as_u64()?;
        is_checkpoint(value)?;
        root.check_plain()?;
        let get = |key: &str| root.get(key);
        let keep = |key: &str| Ok::<_, ValueError>(get(key)?.value().shallow_clone());
        let json = |key: &str| plain(&get(key)?);
        Ok(Checkpoint {
            epoch: get("epoch")?.as_u64()?,
            step: get("step")?.as_u64()?,
            batch_in_epoch: get("batch_in_epoch")?.as_u64()?,
            running: keep("running")?,
            model_state_dict: get("model_state_dict")?.as_tensors()?,
            optimizer_state_dict: keep("optimizer_state_dict")?,
            scheduler_state_dict: keep("scheduler_state_dict")?,
            ema_state_dict: root.optional("ema_state_dict")?.map(|ema| ema.as_tensors()).transpose()?,
            ema_num_updates: root.optional("ema_num_updates")?.map(|count| count.as_u64()).transpose()?,
            swa_state_dict: root.optional("swa_state_dict")?.map(|swa| swa.as_tensors()).transpose()?,
            swa: root.optional("swa")?.map(|swa| swa.value().shallow_clone()),
            average: root.optional("average")?.map(|name| name.as_str().map(str::to_owned)).transpose()?,
            scaler_state_dict: root.optional("scaler_state_dict")?.map(|s| s.value().shallow_clone()),
            rng_state: keep("rng_state")?,
            metrics: keep("metrics")?,
            best: keep("best")?,
            early_stopping: keep("early_stopping")?,
            divergence: keep("divergence")?,
            dataset: keep("dataset")?,
            config: json("config")?,
            classes: get("classes")?.as_strings()?,
            task: root.optional("task")?.map_or(Ok(Task::SingleLabel), |task| task_from(&task))?,
            thresholds: root.optional("thresholds")?.map(|field| thresholds_from(&field)).transpose()?,
            eval_transform: json("eval_transform")?,
            calibration: root.optional("calibration")?.map(|field| plain(&field)).transpose()?,
            out_of_distribution: root
                .optional("out_of_distribution")?
                .map(|field| field.value().shallow_clone()),
            timestamp: get("timestamp")?.as_str()?.to_owned(),
            versions: json("versions")?,
            extra: extra(&root)?,
        })
    }

    /// Whether the run is judged by its averaged weights: `best.monitor` names a metric of theirs.
    pub fn selects_by_ema(&self) -> bool {
        let monitor = self.best.get("monitor").and_then(|monitor| monitor.as_str());
        self.ema_state_dict.is_some() && monitor.is_ok_and(|monitor| monitor.starts_with("ema_"))
    }

    /// The EMA weights if `ema` asks for them, else the weights; of what the file has.
    pub fn weights(&self, ema: bool) -> &[(String, Tensor)] {
        self.ema_state_dict.as_deref().filter(|_| ema).unwrap_or(&self.model_state_dict)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::into_value`].
    pub fn to_bytes(self) -> Result<Vec<u8>, CheckpointError> {
        Ok(torch_file::to_bytes(&self.into_value()?)?)
    }

    /// As [`Checkpoint::load`], of a file's bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::from_value(&torch_file::from_bytes(bytes)?)
    }

    /// Writes the file as [`write()`] does.
    ///
    /// # Errors
    /// As [`write()`] and [`Checkpoint::into_value`].
    pub fn save(self, path: &Path) -> Result<(), CheckpointError> {
        let value = self.into_value().map_err(|error| error.in_file(path))?;
        write(path, &value)
    }

    /// Reads the file as [`read`] does.
    ///
    /// # Errors
    /// As [`read`] and [`Checkpoint::from_value`].
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::from_value(&read(path)?).map_err(|error| error.in_file(path))
    }
}

/// Whether `value` is the dict of a [`Checkpoint`], rather than something of another program's.
///
/// # Errors
/// It is one of a newer `format_version`: no part of it may be taken for what it was.
pub fn is_checkpoint(value: &Value) -> Result<bool, CheckpointError> {
    let version = value.get("format_version").and_then(|version| version.as_u64());
    match version {
        Ok(found) if found > FORMAT_VERSION => {
            Err(CheckpointError::Version { path: None, found, newest: FORMAT_VERSION })
        }
        version => Ok(version.is_ok()),
    }
}

/// The weights in a dict of any common form: `model_state_dict` (ours), `state_dict`, `model`, or
/// the dict itself. The `module.` that `DataParallel` puts before each name is taken off.
///
/// # Errors
/// There are no weights in it, or something among them is not a tensor; the error names the key.
pub fn model_state_from(value: &Value) -> Result<Vec<(String, Tensor)>, CheckpointError> {
    let root = value.field();
    let mut weights = root.clone();
    for key in ["model_state_dict", "state_dict", "model"] {
        // A layer may be called `model`; but then the names have a dot and more after it.
        if let Some(inner) = root.optional(key)? {
            weights = inner;
            break;
        }
    }
    let mut state = weights.as_tensors()?;
    if state.is_empty() {
        return Err(weights.error("a state dict with weights in it").into());
    }
    if state.iter().all(|(name, _)| name.starts_with("module.")) {
        for (name, _) in &mut state {
            name.drain(.."module.".len());
        }
    }
    Ok(state)
}

fn task_from(field: &Field<'_>) -> Result<Task, ValueError> {
    let name = field.as_str()?;
    let task = [Task::SingleLabel, Task::MultiLabel].into_iter().find(|task| task.name() == name);
    task.ok_or_else(|| field.error("single_label or multi_label"))
}

/// Probabilities.
fn thresholds_from(field: &Field<'_>) -> Result<Vec<f32>, ValueError> {
    let probability = |item: &Field<'_>| {
        let value = item.as_f64()?;
        if (0.0..=1.0).contains(&value) { Ok(value as f32) } else { Err(item.error("a number in 0 to 1")) }
    };
    field.items()?.iter().map(probability).collect()
}

fn json(key: &str, tree: &serde_json::Value) -> Result<Value, ValueError> {
    Value::from_json(tree).map_err(|error| ValueError { path: format!("{key}.{}", error.path), ..error })
}

fn plain(field: &Field<'_>) -> Result<serde_json::Value, ValueError> {
    let below = |error: ValueError| match error.path.as_str() {
        "(the whole)" => ValueError { path: field.path().into(), ..error },
        path => ValueError { path: format!("{}.{path}", field.path()), ..error },
    };
    field.value().to_plain_json().map_err(below)
}

fn extra(root: &Field<'_>) -> Result<Vec<(Key, Value)>, ValueError> {
    let unknown = |key: &Key| !matches!(key, Key::Str(name) if KEYS.contains(&name.as_str()));
    let entries = root.entries()?.into_iter().filter(|(key, _)| unknown(key));
    Ok(entries.map(|(key, field)| (key.clone(), field.value().shallow_clone())).collect())
}
