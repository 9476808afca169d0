//! Where a run stands, and its way into a checkpoint and out of it.

use crate::metrics::MetricSums;
use crate::policy::{DivergenceState, EarlyStoppingState, Metric, Ranked, Ranking};
use crate::run::{Run, RunError, unix_seconds, write_atomically};
use torch_file::{Field, Value, ValueError};

/// The figures of one epoch. Accuracies are fractions, losses means over images.
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
    /// Likewise.
    pub train_accuracy: f64,
    /// Over the validation split.
    pub val_loss: f64,
    /// Likewise.
    pub val_accuracy: f64,
    /// The target is among the five highest logits.
    pub val_top5_accuracy: f64,
    /// Of the averaged weights, if they are kept.
    pub ema: Option<EmaMetrics>,
    /// When it ended: seconds since 1970.
    pub wall_time: f64,
}

/// Figures of the averaged weights over the validation split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmaMetrics {
    /// Mean loss.
    pub val_loss: f64,
    /// A fraction.
    pub val_accuracy: f64,
}

impl EpochMetrics {
    /// The figure that `metric` names; none if it is one of averaged weights that were not kept.
    pub fn figure(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Auto | Metric::ValAccuracy => Some(self.val_accuracy),
            Metric::ValTop5Accuracy => Some(self.val_top5_accuracy),
            Metric::ValLoss => Some(self.val_loss),
            Metric::TrainLoss => Some(self.train_loss),
            Metric::EmaValAccuracy => self.ema.map(|ema| ema.val_accuracy),
            Metric::EmaValLoss => self.ema.map(|ema| ema.val_loss),
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
    /// The best of them, by the monitored figure.
    pub ranking: Ranking,
    /// What early stopping remembers.
    pub early_stopping: EarlyStoppingState,
    /// What losses and gradients that were not finite have led to.
    pub divergence: DivergenceState,
}

impl TrainState {
    /// The epoch of `best.pt`.
    pub fn best(&self) -> Option<Ranked> {
        self.ranking.best()
    }

    /// Records the epoch and begins the next.
    pub(super) fn finish_epoch(&mut self, val: MetricSums, ema: Option<MetricSums>, lr: f64) -> EpochMetrics {
        self.epoch += 1;
        let metrics = EpochMetrics {
            epoch: self.epoch,
            step: self.step,
            lr,
            train_loss: self.running.loss(),
            train_accuracy: self.running.accuracy(),
            val_loss: val.loss(),
            val_accuracy: val.accuracy(),
            val_top5_accuracy: val.top5_accuracy(),
            ema: ema.map(|ema| EmaMetrics { val_loss: ema.loss(), val_accuracy: ema.accuracy() }),
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
    let mut text = String::from(
        "epoch,step,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,val_top5_accuracy",
    );
    let with_ema = history.iter().any(|m| m.ema.is_some());
    text.push_str(if with_ema { ",ema_val_loss,ema_val_accuracy\n" } else { "\n" });
    for m in history {
        let mut figures = figures(m)[..6].iter().map(|(_, figure)| figure.to_string()).collect::<Vec<_>>();
        if with_ema {
            let ema = m.ema.map(|ema| [ema.val_loss, ema.val_accuracy].map(|figure| figure.to_string()));
            figures.extend(ema.unwrap_or_default());
        }
        text.push_str(&format!("{},{},{}\n", m.epoch, m.step, figures.join(",")));
    }
    write_atomically(&run.metrics_path(), text.as_bytes())
}

/// In the order of `metrics.csv`, then what only the checkpoint has.
fn figures(m: &EpochMetrics) -> [(&'static str, f64); 7] {
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
        });
        let figures = figures(m).map(|(key, figure)| (key, Value::Float(figure)));
        Value::dict(counts.into_iter().chain(figures).chain(ema))
    }))
}

pub(super) fn history_from(field: &Field<'_>) -> Result<Vec<EpochMetrics>, ValueError> {
    let epochs = field.items()?;
    epochs
        .iter()
        .map(|epoch| {
            let figure = |key: &str| epoch.get(key)?.as_f64();
            let ema = match epoch.optional("ema_val_loss")? {
                None => None,
                Some(loss) => {
                    Some(EmaMetrics { val_loss: loss.as_f64()?, val_accuracy: figure("ema_val_accuracy")? })
                }
            };
            Ok(EpochMetrics {
                epoch: epoch.get("epoch")?.as_u64()?,
                step: epoch.get("step")?.as_u64()?,
                lr: figure("lr")?,
                train_loss: figure("train_loss")?,
                train_accuracy: figure("train_accuracy")?,
                val_loss: figure("val_loss")?,
                val_accuracy: figure("val_accuracy")?,
                val_top5_accuracy: figure("val_top5_accuracy")?,
                ema,
                wall_time: figure("wall_time")?,
            })
        })
        .collect()
}

/// `epoch` and `figure` of the best, then all that are kept.
pub(super) fn ranking_to_value(ranking: &Ranking, metric: Metric) -> Value {
    let entry = |ranked: &Ranked| {
        Value::dict([
            ("epoch", Value::Int(ranked.epoch as i64)),
            (metric.name(), Value::Float(ranked.figure)),
        ])
    };
    let Some(best) = ranking.best() else { return Value::None };
    Value::dict([
        ("epoch", Value::Int(best.epoch as i64)),
        ("monitor", Value::from(metric.name())),
        (metric.name(), Value::Float(best.figure)),
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
        Ok(Ranked { epoch: entry.get("epoch")?.as_u64()?, figure: entry.get(metric)?.as_f64()? })
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

pub(super) fn totals_to_value(totals: MetricSums) -> Value {
    Value::dict([
        ("loss_sum", Value::Float(totals.loss_sum)),
        ("correct", Value::Int(totals.correct as i64)),
        ("correct_top5", Value::Int(totals.correct_top5 as i64)),
        ("count", Value::Int(totals.count as i64)),
    ])
}

pub(super) fn totals_from(field: &Field<'_>) -> Result<MetricSums, ValueError> {
    Ok(MetricSums {
        loss_sum: field.get("loss_sum")?.as_f64()?,
        correct: field.get("correct")?.as_u64()?,
        correct_top5: field.get("correct_top5")?.as_u64()?,
        count: field.get("count")?.as_u64()?,
    })
}
