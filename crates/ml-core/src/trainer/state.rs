//! Where a run stands, and its way into a checkpoint and out of it.

use crate::metrics::Totals;
use crate::run::{Run, RunError, write_atomically};
use crate::value::{Field, Value, ValueError};

/// The figures of one epoch. Accuracies are fractions, losses means over pictures.
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
    /// When it ended: seconds since 1970.
    pub wall_time: f64,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Counted from 1.
    pub epoch: u64,
    /// Its validation accuracy.
    pub val_accuracy: f64,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainState {
    /// Completed epochs.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Steps done of the current epoch.
    pub batch_in_epoch: u64,
    /// Sums over the current epoch.
    pub running: Totals,
    /// One entry a completed epoch.
    pub history: Vec<EpochMetrics>,
    /// The best of them.
    pub best: Option<Best>,
}

impl TrainState {
    /// Records the epoch and begins the next; whether it is the best so far (an equal one is not).
    pub(super) fn finish_epoch(&mut self, val: Totals, lr: f64) -> bool {
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
            wall_time: jiff::Timestamp::now().as_microsecond() as f64 / 1e6,
        };
        self.history.push(metrics);
        self.running = Totals::default();
        self.batch_in_epoch = 0;
        let improved = self.best.is_none_or(|best| metrics.val_accuracy > best.val_accuracy);
        if improved {
            self.best = Some(Best { epoch: self.epoch, val_accuracy: metrics.val_accuracy });
        }
        improved
    }
}

/// Rewrites `metrics.csv` from the history: never a gap, a double, or a row of a lost future.
pub(super) fn write_metrics(run: &Run, history: &[EpochMetrics]) -> Result<(), RunError> {
    let mut text = String::from(
        "epoch,step,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,val_top5_accuracy\n",
    );
    for m in history {
        let figures = [m.lr, m.train_loss, m.train_accuracy, m.val_loss, m.val_accuracy, m.val_top5_accuracy]
            .map(|f| f.to_string());
        text.push_str(&format!("{},{},{}\n", m.epoch, m.step, figures.join(",")));
    }
    write_atomically(&run.metrics_path(), text.as_bytes())
}

const METRICS: [&str; 7] =
    ["lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_top5_accuracy", "wall_time"];

pub(super) fn history_to_value(history: &[EpochMetrics]) -> Value {
    Value::list(history.iter().map(|m| {
        let figures = [
            m.lr,
            m.train_loss,
            m.train_accuracy,
            m.val_loss,
            m.val_accuracy,
            m.val_top5_accuracy,
            m.wall_time,
        ];
        let counts = [("epoch", Value::Int(m.epoch as i64)), ("step", Value::Int(m.step as i64))];
        Value::dict(counts.into_iter().chain(METRICS.into_iter().zip(figures.map(Value::Float))))
    }))
}

pub(super) fn history_from(field: &Field<'_>) -> Result<Vec<EpochMetrics>, ValueError> {
    let epochs = field.items()?;
    epochs
        .iter()
        .map(|epoch| {
            let figure = |key: &str| epoch.get(key)?.as_f64();
            Ok(EpochMetrics {
                epoch: epoch.get("epoch")?.as_u64()?,
                step: epoch.get("step")?.as_u64()?,
                lr: figure("lr")?,
                train_loss: figure("train_loss")?,
                train_accuracy: figure("train_accuracy")?,
                val_loss: figure("val_loss")?,
                val_accuracy: figure("val_accuracy")?,
                val_top5_accuracy: figure("val_top5_accuracy")?,
                wall_time: figure("wall_time")?,
            })
        })
        .collect()
}

pub(super) fn best_to_value(best: Option<Best>) -> Value {
    best.map_or(Value::None, |best| {
        Value::dict([
            ("epoch", Value::Int(best.epoch as i64)),
            ("val_accuracy", Value::Float(best.val_accuracy)),
        ])
    })
}

pub(super) fn best_from(field: &Field<'_>) -> Result<Option<Best>, ValueError> {
    if matches!(field.value(), Value::None) {
        return Ok(None);
    }
    Ok(Some(Best {
        epoch: field.get("epoch")?.as_u64()?,
        val_accuracy: field.get("val_accuracy")?.as_f64()?,
    }))
}

pub(super) fn totals_to_value(totals: Totals) -> Value {
    Value::dict([
        ("loss_sum", Value::Float(totals.loss_sum)),
        ("correct", Value::Int(totals.correct as i64)),
        ("correct_top5", Value::Int(totals.correct_top5 as i64)),
        ("count", Value::Int(totals.count as i64)),
    ])
}

pub(super) fn totals_from(field: &Field<'_>) -> Result<Totals, ValueError> {
    Ok(Totals {
        loss_sum: field.get("loss_sum")?.as_f64()?,
        correct: field.get("correct")?.as_u64()?,
        correct_top5: field.get("correct_top5")?.as_u64()?,
        count: field.get("count")?.as_u64()?,
    })
}
