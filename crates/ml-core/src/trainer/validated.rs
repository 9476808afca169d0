//! What validation found: sums over the split, and of images with several labels the figures of an
//! epoch's row and the thresholds that checkpoints keep.

use torch_file::{Field, Value, ValueError};

use crate::device;
use crate::evaluation::LabelEvaluation;
use crate::metrics::MetricSums;
use crate::metrics::multilabel::ClassThresholds;
use crate::policy::Metric;

/// Metrics over the validation split of images with several labels. All but `map` are those of labels
/// predicted at the probability 0.5.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelFigures {
    /// Mean average precision, the mean over the classes that have images; NaN without any.
    pub map: f64,
    /// F1 of all pairs of image and class.
    pub micro_f1: f64,
    /// Mean over the classes of F1.
    pub macro_f1: f64,
    /// Mean over the images of F1.
    pub sample_f1: f64,
    /// Fraction of the pairs of image and class that is wrong.
    pub hamming_loss: f64,
    /// Fraction of the images whose labels are all right.
    pub subset_accuracy: f64,
}

/// What validation found of some weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Validated {
    /// Over all processes.
    pub sums: MetricSums,
    /// Of images with several labels.
    pub labels: Option<LabelFigures>,
    /// For the same, `[K]`.
    pub thresholds: Option<Vec<f32>>,
}

impl From<MetricSums> for Validated {
    fn from(sums: MetricSums) -> Validated {
        Validated { sums, ..Validated::default() }
    }
}

impl Validated {
    pub(super) fn of(found: &LabelEvaluation) -> Validated {
        let threads = device::num_threads();
        let metrics = found.metrics(&ClassThresholds::uniform(found.logits.num_classes), threads);
        let labels = LabelFigures {
            map: metrics.mean_average_precision.unwrap_or(f64::NAN),
            micro_f1: metrics.micro_average.f1,
            macro_f1: metrics.macro_average.f1,
            sample_f1: metrics.sample_average.f1,
            hamming_loss: metrics.hamming_loss,
            subset_accuracy: metrics.subset_accuracy,
        };
        let thresholds = Vec::from(found.fit_thresholds(threads));
        Validated { sums: found.sums, labels: Some(labels), thresholds: Some(thresholds) }
    }

    /// The monitored metric of weights that are no epoch's; none of the training split.
    pub fn value(&self, metric: Metric) -> f64 {
        let labels = self.labels.unwrap_or(LabelFigures { map: f64::NAN, ..LabelFigures::default() });
        match metric {
            Metric::ValLoss | Metric::EmaValLoss => self.sums.loss(),
            Metric::ValTop5Accuracy => self.sums.top5_accuracy(),
            Metric::Auto | Metric::ValAccuracy | Metric::EmaValAccuracy => self.sums.accuracy(),
            Metric::ValMap | Metric::EmaValMap => labels.map,
            Metric::ValMicroF1 => labels.micro_f1,
            Metric::ValMacroF1 => labels.macro_f1,
            // Refused with the configuration.
            Metric::TrainLoss => f64::NAN,
        }
    }
}

impl LabelFigures {
    /// By column of `metrics.csv`.
    pub(super) fn columns(&self) -> [(&'static str, f64); 6] {
        [
            ("val_map", self.map),
            ("val_micro_f1", self.micro_f1),
            ("val_macro_f1", self.macro_f1),
            ("val_sample_f1", self.sample_f1),
            ("val_hamming_loss", self.hamming_loss),
            ("val_subset_accuracy", self.subset_accuracy),
        ]
    }

    pub(super) fn to_entries(self) -> impl Iterator<Item = (&'static str, Value)> {
        self.columns().into_iter().map(|(key, value)| (key, Value::Float(value)))
    }

    /// Of an epoch in a checkpoint, where its images have several labels.
    pub(super) fn from_epoch(epoch: &Field<'_>) -> Result<Option<LabelFigures>, ValueError> {
        let Some(map) = epoch.optional("val_map")? else { return Ok(None) };
        let value = |key: &str| epoch.get(key)?.as_f64();
        Ok(Some(LabelFigures {
            map: map.as_f64()?,
            micro_f1: value("val_micro_f1")?,
            macro_f1: value("val_macro_f1")?,
            sample_f1: value("val_sample_f1")?,
            hamming_loss: value("val_hamming_loss")?,
            subset_accuracy: value("val_subset_accuracy")?,
        }))
    }
}
