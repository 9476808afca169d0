//! Where a run stands, and its way into a checkpoint and out of it.

use super::validated::{LabelFigures, Validated};
use crate::config::TrainingConfig;
use crate::metrics::MetricSums;
use crate::optimizer::schedule::{EpochSteps, PlateauState};
use crate::policy::{DivergenceState, EarlyStoppingState, Metric, Ranked, Ranking, TimeBudget};
use crate::run::{Run, RunError, SwaSummary, unix_seconds, write_atomically};
use torch_file::{Field, Value, ValueError};

/// The metrics of one epoch. Accuracies are fractions, losses means over images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: u64,
    /// Optimizer steps done at its end.
    pub step: u64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Over the training split, while it was being trained on.
    pub train_loss: f64,
    /// Likewise; with several labels an image, of the images whose labels are all right.
    pub train_accuracy: f64,
    /// Over the validation split.
    pub val_loss: f64,
    /// Likewise.
    pub val_accuracy: f64,
    /// The target is among the five highest logits; 0 with several labels an image.
    pub val_top5_accuracy: f64,
    /// With several labels an image.
    pub labels: Option<LabelFigures>,
    /// Of the EMA weights, if they are kept.
    pub ema: Option<EmaMetrics>,
    /// When it ended: seconds since 1970.
    pub wall_time: f64,
}

/// Metrics of the EMA weights over the validation split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmaMetrics {
    /// Mean loss.
    pub val_loss: f64,
    /// A fraction.
    pub val_accuracy: f64,
    /// Mean average precision, with several labels an image.
    pub val_map: Option<f64>,
}

impl EpochMetrics {
    /// The value of `metric`; none if it is one of EMA weights that were not kept.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Auto | Metric::ValAccuracy => Some(self.val_accuracy),
            Metric::ValTop5Accuracy => Some(self.val_top5_accuracy),
            Metric::ValLoss => Some(self.val_loss),
            Metric::TrainLoss => Some(self.train_loss),
            Metric::EmaValAccuracy => self.ema.map(|ema| ema.val_accuracy),
            Metric::EmaValLoss => self.ema.map(|ema| ema.val_loss),
            Metric::ValMap => self.labels.map(|labels| labels.map),
            Metric::ValMicroF1 => self.labels.map(|labels| labels.micro_f1),
            Metric::ValMacroF1 => self.labels.map(|labels| labels.macro_f1),
            Metric::EmaValMap => self.ema.and_then(|ema| ema.val_map),
        }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainState {
    /// Completed epochs.
    pub epoch: u64,
    /// Optimizer steps done, those that were skipped included.
    pub step: u64,
    /// Batches done of the current epoch.
    pub batch_in_epoch: u64,
    /// Sums over the current epoch.
    pub running: MetricSums,
    /// One entry a completed epoch.
    pub history: Vec<EpochMetrics>,
    /// The best of them, by the monitored metric.
    pub ranking: Ranking,
    /// What early stopping remembers.
    pub early_stopping: EarlyStoppingState,
    /// What `scheduler.name: plateau` remembers.
    pub plateau: PlateauState,
    /// What losses and gradients that were not finite have led to.
    pub divergence: DivergenceState,
    /// What validation has said of the average of the last epochs, at the end of a run that makes one.
    pub swa: Option<SwaSummary>,
    /// With several labels an image: for each class the probability from which on it is predicted,
    /// fitted to the last validation of the weights that are judged.
    pub thresholds: Option<Vec<f32>>,
    /// Those of the average of the last epochs, once it is validated.
    pub swa_thresholds: Option<Vec<f32>>,
    /// Steps that the completed epochs lack, where `training.max_steps` or `training.max_time` has
    /// cut one and the training went on later.
    pub missing_steps: u64,
    /// With `training.max_time`: what was used and decided.
    pub time: Option<TimeBudget>,
}

impl TrainState {
    /// Of a training that begins.
    pub(super) fn new(training: &TrainingConfig) -> TrainState {
        TrainState { time: training.max_time.map(|_| TimeBudget::default()), ..TrainState::default() }
    }

    /// Steps that the completed epochs have, of which each would have as many as `steps` says.
    pub(super) fn steps_of_epochs(&self, steps: &EpochSteps) -> u64 {
        steps.before(self.epoch).saturating_sub(self.missing_steps)
    }

    /// The epoch of `best.pt`.
    pub fn best(&self) -> Option<Ranked> {
        self.ranking.best()
    }

    /// Records the epoch and begins the next.
    pub(super) fn finish_epoch(&mut self, val: &Validated, ema: Option<&Validated>, lr: f64) -> EpochMetrics {
        self.epoch += 1;
        let Validated { sums: val, labels, .. } = val;
        let of_ema = |ema: &Validated| EmaMetrics {
            val_loss: ema.sums.loss(),
            val_accuracy: ema.sums.accuracy(),
            val_map: ema.labels.map(|labels| labels.map),
        };
        let metrics = EpochMetrics {
            epoch: self.epoch,
            step: self.step,
            lr,
            train_loss: self.running.loss(),
            train_accuracy: self.running.accuracy(),
            val_loss: val.loss(),
            val_accuracy: val.accuracy(),
            val_top5_accuracy: val.top5_accuracy(),
            labels: *labels,
            ema: ema.map(of_ema),
            wall_time: unix_seconds(),
        };
        self.history.push(metrics);
        self.running = MetricSums::default();
        self.batch_in_epoch = 0;
        metrics
    }
}

/// Rewrites `metrics.csv` from the history: never a gap, a double, or a row of a lost future.
pub(super) fn write_metrics(run: &Run, history: &[EpochMetrics]) -> Result<(), RunError> {
    let path = run.metrics_path();
    let csv = metrics_csv(history)
        .map_err(|source| RunError::Write { path: path.clone(), source: source.into() })?;
    write_atomically(&path, &csv)
}

fn metrics_csv(history: &[EpochMetrics]) -> csv::Result<Vec<u8>> {
    if history.iter().any(|m| m.labels.is_some()) {
        return label_csv(history);
    }
    let with_ema = history.iter().any(|m| m.ema.is_some());
    let mut csv = csv::Writer::from_writer(Vec::new());
    let columns = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_top5_accuracy"];
    let ema_columns = ["ema_val_loss", "ema_val_accuracy"].into_iter().filter(|_| with_ema);
    csv.write_record(["epoch", "step", "learning_rate"].into_iter().chain(columns).chain(ema_columns))?;
    for m in history {
        let counts = [m.epoch.to_string(), m.step.to_string()];
        let metrics = metrics(m)[..6].iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>();
        let ema = m.ema.map(|ema| [ema.val_loss, ema.val_accuracy].map(|value| value.to_string()));
        let ema = ema.unwrap_or_default().into_iter().filter(|_| with_ema);
        csv.write_record(counts.into_iter().chain(metrics).chain(ema))?;
    }
    Ok(csv.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

/// As [`metrics_csv`], of images with several labels.
fn label_csv(history: &[EpochMetrics]) -> csv::Result<Vec<u8>> {
    let with_ema = history.iter().any(|m| m.ema.is_some());
    let mut csv = csv::Writer::from_writer(Vec::new());
    let ema_columns = ["ema_val_loss", "ema_val_map"].into_iter().filter(|_| with_ema);
    let columns = ["epoch", "step", "learning_rate", "train_loss", "train_subset_accuracy", "val_loss"];
    let label_columns = LabelFigures::default().columns().map(|(name, _)| name);
    csv.write_record(columns.into_iter().chain(label_columns).chain(ema_columns))?;
    for m in history {
        let counts = [m.epoch, m.step].map(|count| count.to_string());
        let losses = [m.lr, m.train_loss, m.train_accuracy, m.val_loss];
        let labels = m.labels.unwrap_or_default().columns().map(|(_, value)| value);
        let ema = m.ema.map(|ema| [ema.val_loss, ema.val_map.unwrap_or(f64::NAN)]);
        let ema = ema.into_iter().flatten().map(|value| value.to_string());
        let values = losses.into_iter().chain(labels).map(|value| value.to_string());
        let missing = (m.ema.is_none() && with_ema).then_some([String::new(), String::new()]);
        let all = counts.into_iter().chain(values).chain(ema).chain(missing.into_iter().flatten());
        csv.write_record(all)?;
    }
    Ok(csv.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

/// In the order of `metrics.csv`, then what only the checkpoint has.
fn metrics(m: &EpochMetrics) -> [(&'static str, f64); 7] {
    [
        ("lr", m.lr),
        ("train_loss", m.train_loss),
        ("train_accuracy", m.train_accuracy),
        ("val_loss", m.val_loss),
        ("val_accuracy", m.val_accuracy),
        ("val_top5_accuracy", m.val_top5_accuracy),
        ("wall_time", m.wall_time),
    ]
}

pub(super) fn history_to_value(history: &[EpochMetrics]) -> Value {
    Value::list(history.iter().map(|m| {
        let counts = [("epoch", Value::Int(m.epoch as i64)), ("step", Value::Int(m.step as i64))];
        let ema = m.ema.into_iter().flat_map(|ema| {
            [
                ("ema_val_loss", Value::Float(ema.val_loss)),
                ("ema_val_accuracy", Value::Float(ema.val_accuracy)),
            ]
            .into_iter()
            .chain(ema.val_map.map(|map| ("ema_val_map", Value::Float(map))))
        });
        let labels = m.labels.into_iter().flat_map(LabelFigures::to_entries);
        let metrics = metrics(m).map(|(key, value)| (key, Value::Float(value)));
        Value::dict(counts.into_iter().chain(metrics).chain(labels).chain(ema))
    }))
}

pub(super) fn history_from(field: &Field<'_>) -> Result<Vec<EpochMetrics>, ValueError> {
    let epochs = field.items()?;
    epochs
        .iter()
        .map(|epoch| {
            let value = |key: &str| epoch.get(key)?.as_f64();
            let ema = match epoch.optional("ema_val_loss")? {
                None => None,
                Some(loss) => {
                    let map = epoch.optional("ema_val_map")?.map(|map| map.as_f64()).transpose()?;
                    Some(EmaMetrics {
                        val_loss: loss.as_f64()?,
                        val_accuracy: value("ema_val_accuracy")?,
                        val_map: map,
                    })
                }
            };
            Ok(EpochMetrics {
                epoch: epoch.get("epoch")?.as_u64()?,
                step: epoch.get("step")?.as_u64()?,
                lr: value("lr")?,
                train_loss: value("train_loss")?,
                train_accuracy: value("train_accuracy")?,
                val_loss: value("val_loss")?,
                val_accuracy: value("val_accuracy")?,
                val_top5_accuracy: value("val_top5_accuracy")?,
                labels: LabelFigures::from_epoch(epoch)?,
                ema,
                wall_time: value("wall_time")?,
            })
        })
        .collect()
}

/// Epoch and metric of the best, then all that are kept.
pub(super) fn ranking_to_value(ranking: &Ranking, metric: Metric) -> Value {
    let entry = |ranked: &Ranked| {
        Value::dict([("epoch", Value::Int(ranked.epoch as i64)), (metric.name(), Value::Float(ranked.value))])
    };
    let Some(best) = ranking.best() else { return Value::None };
    Value::dict([
        ("epoch", Value::Int(best.epoch as i64)),
        ("monitor", Value::from(metric.name())),
        (metric.name(), Value::Float(best.value)),
        ("top_k", Value::list(ranking.epochs.iter().map(entry))),
    ])
}

pub(super) fn ranking_from(field: &Field<'_>) -> Result<Ranking, ValueError> {
    if matches!(field.value(), Value::None) {
        return Ok(Ranking::default());
    }
    let metric = field.get("monitor")?.as_str()?;
    let kept = field.get("top_k")?.items()?;
    let entry = |entry: &Field<'_>| {
        Ok(Ranked { epoch: entry.get("epoch")?.as_u64()?, value: entry.get(metric)?.as_f64()? })
    };
    Ok(Ranking { epochs: kept.iter().map(entry).collect::<Result<_, ValueError>>()? })
}

pub(super) fn early_stopping_to_value(state: EarlyStoppingState) -> Value {
    Value::dict([
        ("best", Value::from(state.best)),
        ("epochs_without_improvement", Value::Int(state.epochs_without_improvement as i64)),
    ])
}

pub(super) fn early_stopping_from(field: &Field<'_>) -> Result<EarlyStoppingState, ValueError> {
    Ok(EarlyStoppingState {
        best: field.optional("best")?.map(|best| best.as_f64()).transpose()?,
        epochs_without_improvement: field.get("epochs_without_improvement")?.as_u64()?,
    })
}

/// `num_averaged` epochs are in the average so far.
pub(super) fn swa_to_value(num_averaged: u64, outcome: Option<SwaSummary>) -> Value {
    let mut entries = vec![("n_averaged", Value::Int(num_averaged as i64))];
    if let Some(swa) = outcome {
        entries.extend([
            ("val_loss", Value::Float(swa.val_loss)),
            ("val_accuracy", Value::Float(swa.val_accuracy)),
            ("val_top5_accuracy", Value::Float(swa.val_top5_accuracy)),
            ("is_best", Value::Bool(swa.is_best)),
        ]);
        entries.extend(swa.val_map.map(|map| ("val_map", Value::Float(map))));
    }
    Value::dict(entries)
}

/// What [`swa_to_value`] was given.
pub(super) fn swa_from(field: &Field<'_>) -> Result<(u64, Option<SwaSummary>), ValueError> {
    let n_averaged = field.get("n_averaged")?.as_u64()?;
    let Some(is_best) = field.optional("is_best")? else { return Ok((n_averaged, None)) };
    let outcome = SwaSummary {
        n_averaged,
        val_loss: field.get("val_loss")?.as_f64()?,
        val_accuracy: field.get("val_accuracy")?.as_f64()?,
        val_top5_accuracy: field.get("val_top5_accuracy")?.as_f64()?,
        val_map: field.optional("val_map")?.map(|map| map.as_f64()).transpose()?,
        is_best: is_best.as_bool()?,
    };
    Ok((n_averaged, Some(outcome)))
}

pub(super) fn divergence_to_value(state: DivergenceState) -> Value {
    Value::dict([
        ("times", Value::Int(state.times as i64)),
        ("lr_scale", Value::Float(state.lr_scale)),
        ("is_anchor", Value::Bool(state.is_anchor)),
    ])
}

pub(super) fn divergence_from(field: &Field<'_>) -> Result<DivergenceState, ValueError> {
    Ok(DivergenceState {
        times: field.get("times")?.as_u64()?,
        lr_scale: field.get("lr_scale")?.as_f64()?,
        is_anchor: field.get("is_anchor")?.as_bool()?,
    })
}

/// The sums over all processes; of several also those of each, so that a run that is resumed with as
/// many adds up the same numbers.
pub(super) fn running_to_value(running: &[MetricSums]) -> Value {
    let all = running.iter().copied().reduce(|sum, one| sum + one).unwrap_or_default();
    let Value::Dict(mut entries) = sums_to_value(all) else { return Value::None };
    if running.len() > 1 {
        let each = running.iter().map(|&sums| sums_to_value(sums));
        entries.push(("ranks".into(), Value::list(each)));
    }
    Value::Dict(entries)
}

/// What process `rank` of `size` goes on with: its own sums where they are known, else rank 0 with
/// all.
pub(super) fn running_from(field: &Field<'_>, rank: usize, size: usize) -> Result<MetricSums, ValueError> {
    let ranks = field.optional("ranks")?.map(|ranks| ranks.items()).transpose()?.unwrap_or_default();
    match ranks.get(rank) {
        Some(own) if ranks.len() == size => sums_from(own),
        _ if rank == 0 => sums_from(field),
        _ => Ok(MetricSums::default()),
    }
}

fn sums_to_value(sums: MetricSums) -> Value {
    Value::dict([
        ("loss_sum", Value::Float(sums.loss_sum)),
        ("loss_divisor", Value::Float(sums.loss_divisor)),
        ("correct", Value::Int(sums.correct as i64)),
        ("correct_top5", Value::Int(sums.correct_top5 as i64)),
        ("count", Value::Int(sums.count as i64)),
    ])
}

fn sums_from(field: &Field<'_>) -> Result<MetricSums, ValueError> {
    let count = field.get("count")?.as_u64()?;
    // Older checkpoints divided by the number of samples.
    let divisor = field.optional("loss_divisor")?.map(|divisor| divisor.as_f64()).transpose()?;
    Ok(MetricSums {
        loss_sum: field.get("loss_sum")?.as_f64()?,
        loss_divisor: divisor.unwrap_or(count as f64),
        correct: field.get("correct")?.as_u64()?,
        correct_top5: field.get("correct_top5")?.as_u64()?,
        count,
    })
}
