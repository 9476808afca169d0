//! What a report shows, as plain data: the run, what was trained, its curves, time and
//! environment. The results of evaluations are in [`super::results`].

use super::results::{Attention, Findings, LabelFindings, MetricKind, SplitMetrics};
use super::value::{Estimate, Part};

/// How a run ended. Each text is a sentence or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// All epochs were trained.
    Completed,
    /// Training stopped before the last epoch because the metric no longer improved.
    EarlyStopped(String),
    /// A signal or the user stopped the run; it can be resumed.
    Interrupted(String),
    /// The run ended with an error.
    Failed(String),
}

/// The top of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Of the run, `base`.
    pub name: String,
    /// How the run ended.
    pub status: Status,
    /// Of the network, `resnet18`.
    pub network: String,
    /// Name of the data set, `flowers`.
    pub data_set: String,
    /// Number of classes.
    pub classes: u64,
    /// The metric that the summary states.
    pub headline: Option<Headline>,
    /// When the report was written, as it is shown.
    pub date: String,
    /// Program and version, `ml-train 0.1.0`.
    pub program: String,
}

/// The metric that the summary states.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// Name of the split, `test`.
    pub split: String,
    /// Which metric: the accuracy, or mAP with several labels an image.
    pub kind: MetricKind,
    /// A fraction in 0 to 1.
    pub estimate: Estimate,
    /// Images in the split.
    pub images: u64,
}

/// A setting of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The YAML path, `optimizer.lr`.
    pub key: String,
    /// Its value as YAML.
    pub value: String,
    /// The default as YAML; none if the setting has no default.
    pub default: Option<String>,
}

impl Setting {
    /// Whether the value differs from the default.
    pub fn is_changed(&self) -> bool {
        self.default.as_ref() != Some(&self.value)
    }
}

/// The network that was trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `resnet18`.
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of parameters that are trained, where that is known.
    pub trainable: Option<u64>,
    /// Of the images it takes, `3 × 224 × 224`.
    pub input: String,
    /// The weights that training started from, `ImageNet-1k (torchvision)`.
    pub weights: String,
}

/// The data set that the network was trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Its folder.
    pub path: String,
    /// Number of classes.
    pub classes: u64,
    /// Images of each split, in the order train, val, test.
    pub splits: Vec<(String, u64)>,
    /// What stays together in one split, and how many there are; none if images were split singly.
    pub groups: Option<String>,
}

/// What was trained.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Setup {
    /// The command line, ready to be pasted into a shell.
    pub command: String,
    /// The whole configuration, in its order.
    pub settings: Vec<Setting>,
    /// The network.
    pub network: Part<Network>,
    /// The data set.
    pub data_set: Part<DataSet>,
}

/// What was measured in an epoch; NaN where it was not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Mean loss over the training images.
    pub train_loss: f64,
    /// Mean loss over the validation images.
    pub val_loss: f64,
    /// A fraction in 0 to 1.
    pub train_accuracy: f64,
    /// A fraction in 0 to 1.
    pub val_accuracy: f64,
    /// At the end of the epoch.
    pub learning_rate: f64,
    /// With several labels an image, where both accuracies are those of all labels of an image.
    pub labels: Option<LabelEpoch>,
}

/// What was measured in an epoch on validation images with several labels; NaN where it was not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelEpoch {
    /// Mean average precision, a fraction in 0 to 1.
    pub map: f64,
    /// F1 of all pairs of image and class.
    pub micro_f1: f64,
    /// Mean over the classes of F1.
    pub macro_f1: f64,
    /// Mean over the images of F1.
    pub sample_f1: f64,
}

/// What validation has found of averaged weights after an epoch; NaN where it found nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AveragePoint {
    /// From 1.
    pub epoch: u64,
    /// Mean loss over the validation images.
    pub val_loss: f64,
    /// A fraction in 0 to 1.
    pub val_accuracy: f64,
}

/// Averaged weights.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Average {
    /// `EMA`.
    pub name: String,
    /// When weights are averaged: `after every step`.
    pub of: String,
    /// In order; the last is that of the final weights.
    pub points: Vec<AveragePoint>,
    /// What the average is taken for; a sentence or empty.
    pub note: String,
}

/// Metrics by epoch.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Curves {
    /// In order.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights are in `best.pt`.
    pub best_epoch: Option<u64>,
    /// Averaged weights, where there are any.
    pub averages: Vec<Average>,
}

/// Where the time went.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Timing {
    /// Wall-clock seconds of the run.
    pub total_seconds: f64,
    /// Number of epochs.
    pub epochs: u64,
    /// Mean wall-clock seconds of an epoch.
    pub seconds_per_epoch: f64,
    /// Share of the training time spent waiting for data, a fraction in 0 to 1.
    pub waiting_share: Option<f64>,
    /// Training images a second.
    pub images_per_second: Option<f64>,
    /// Peak memory in bytes of each device, `("cuda:0", 4_200_000_000)`.
    pub peak_memory: Vec<(String, u64)>,
    /// Parts of the total and their seconds.
    pub phases: Vec<(String, f64)>,
}

/// A run and its results.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Name, status and summary.
    pub header: Header,
    /// What was trained.
    pub setup: Part<Setup>,
    /// Loss, accuracy and learning rate by epoch.
    pub curves: Part<Curves>,
    /// Metrics of each split that was evaluated.
    pub metrics: Part<Vec<SplitMetrics>>,
    /// What the split that says most about new images shows.
    pub findings: Findings,
    /// What it shows besides where images have several labels.
    pub labels: LabelFindings,
    /// Grad-CAM overlays.
    pub attention: Part<Attention>,
    /// Where the time went.
    pub timing: Part<Timing>,
    /// Device, driver, versions: key and value.
    pub environment: Part<Vec<(String, String)>>,
}

impl Report {
    /// A report with a header only: every other part is left out.
    pub fn new(header: Header) -> Report {
        Report {
            header,
            setup: Part::Omitted,
            curves: Part::Omitted,
            metrics: Part::Omitted,
            findings: Findings::default(),
            labels: LabelFindings::default(),
            attention: Part::Omitted,
            timing: Part::Omitted,
            environment: Part::Omitted,
        }
    }
}
