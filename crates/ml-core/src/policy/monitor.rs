//! The metric that tells which epoch is the best.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A metric of an epoch, by its column in `metrics.csv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// `ema_val_accuracy` with averaged weights, else `val_accuracy`; with several labels an image
    /// `ema_val_map` or `val_map`.
    #[default]
    Auto,
    /// Accuracy on the validation split.
    ValAccuracy,
    /// Share of the validation split whose class is among the five most probable.
    ValTop5Accuracy,
    /// Mean loss on the validation split.
    ValLoss,
    /// Mean loss on the training split, while it was being trained on.
    TrainLoss,
    /// Accuracy of the averaged weights on the validation split.
    EmaValAccuracy,
    /// Mean loss of the averaged weights on the validation split.
    EmaValLoss,
    /// With several labels an image: mean average precision on the validation split.
    ValMap,
    /// With several labels an image: F1 of all labels together on the validation split.
    ValMicroF1,
    /// With several labels an image: mean over the classes of F1 on the validation split.
    ValMacroF1,
    /// With several labels an image: mean average precision of the averaged weights.
    EmaValMap,
}

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Losses are better low, accuracies high.
    #[default]
    Auto,
    /// Higher is better.
    Max,
    /// Lower is better.
    Min,
}

/// A metric and which way it is better, both decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Never [`Metric::Auto`].
    pub metric: Metric,
    /// Whether higher is better.
    pub higher: bool,
}

impl Metric {
    /// As the configuration and `metrics.csv` spell it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Auto => "auto",
            Metric::ValAccuracy => "val_accuracy",
            Metric::ValTop5Accuracy => "val_top5_accuracy",
            Metric::ValLoss => "val_loss",
            Metric::TrainLoss => "train_loss",
            Metric::EmaValAccuracy => "ema_val_accuracy",
            Metric::EmaValLoss => "ema_val_loss",
            Metric::ValMap => "val_map",
            Metric::ValMicroF1 => "val_micro_f1",
            Metric::ValMacroF1 => "val_macro_f1",
            Metric::EmaValMap => "ema_val_map",
        }
    }

    /// Whether it is a metric of the averaged weights.
    pub fn is_of_ema(self) -> bool {
        matches!(self, Metric::EmaValAccuracy | Metric::EmaValLoss | Metric::EmaValMap)
    }

    /// Whether it is known of images with several labels alone.
    pub fn is_of_labels(self) -> bool {
        matches!(self, Metric::ValMap | Metric::ValMicroF1 | Metric::ValMacroF1 | Metric::EmaValMap)
    }

    /// Whether it is known however many labels an image has.
    pub fn is_of_any_task(self) -> bool {
        matches!(self, Metric::Auto | Metric::ValLoss | Metric::TrainLoss | Metric::EmaValLoss)
    }
}

impl Monitor {
    /// Decides what is left to the program; `with_ema`: averaged weights are kept.
    pub fn new(metric: Metric, mode: Mode, with_ema: bool) -> Monitor {
        let metric = match metric {
            Metric::Auto if with_ema => Metric::EmaValAccuracy,
            Metric::Auto => Metric::ValAccuracy,
            metric => metric,
        };
        let is_loss = matches!(metric, Metric::ValLoss | Metric::TrainLoss | Metric::EmaValLoss);
        Monitor { metric, higher: if mode == Mode::Auto { !is_loss } else { mode == Mode::Max } }
    }

    /// Whether `new` is better than `old` by more than `by`; an equal metric is not better, and one
    /// that is not a number never is.
    pub fn is_better(self, new: f64, old: f64, by: f64) -> bool {
        let gain = if self.higher { new - old } else { old - new };
        !new.is_nan() && (old.is_nan() || gain > by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_better_low_and_accuracies_high_unless_told_otherwise() {
        let better = |metric, mode| Monitor::new(metric, mode, false).is_better(2.0, 1.0, 0.0);
        assert!(better(Metric::Auto, Mode::Auto) && better(Metric::ValTop5Accuracy, Mode::Auto));
        assert!(!better(Metric::ValLoss, Mode::Auto) && better(Metric::ValLoss, Mode::Max));
        assert!(!better(Metric::ValAccuracy, Mode::Min));
        assert_eq!(Monitor::new(Metric::Auto, Mode::Auto, true).metric, Metric::EmaValAccuracy);
    }

    #[test]
    fn an_equal_figure_or_none_at_all_is_not_better() {
        let monitor = Monitor::new(Metric::ValAccuracy, Mode::Auto, false);
        assert!(!monitor.is_better(1.0, 1.0, 0.0) && !monitor.is_better(1.05, 1.0, 0.1));
        assert!(!monitor.is_better(f64::NAN, 0.0, 0.0) && !monitor.is_better(f64::NAN, f64::NAN, 0.0));
        assert!(monitor.is_better(0.1, f64::NAN, 0.0));
    }
}
