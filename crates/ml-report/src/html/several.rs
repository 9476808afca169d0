//! Comparisons of runs, and runs over folds or seeds, as plain data.

use std::collections::{HashMap, HashSet};

use super::report::{Curves, Setting, Status};
use super::results::{Example, Findings, MetricKind, SplitMetrics};
use super::value::{Interval, Part};

/// A run of a comparison.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ComparedRun {
    /// Its name.
    pub name: String,
    /// The run's report, relative to the comparison's file.
    pub link: Option<String>,
    /// The whole configuration.
    pub settings: Vec<Setting>,
    /// Of the split that is compared.
    pub metrics: Part<SplitMetrics>,
    /// By epoch.
    pub curves: Part<Curves>,
}

/// Two runs on the same images.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PairedTest {
    /// Indices of the runs.
    pub runs: (usize, usize),
    /// Images that both predicted.
    pub images: u64,
    /// Images that only the first gets right.
    pub only_first: u64,
    /// Images that only the second gets right.
    pub only_second: u64,
    /// Accuracy, or mAP, of the second less that of the first, a fraction.
    pub difference: f64,
    /// 95 % paired interval of the difference.
    pub interval: Option<Interval>,
    /// Two-sided, of `McNemar`'s test.
    pub p_value: f64,
    /// Images that only the first gets right, with the second's prediction.
    pub first_right: Vec<Example>,
    /// Images that only the second gets right, with the first's prediction.
    pub second_right: Vec<Example>,
}

/// Several runs on one data set.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Comparison {
    /// Name of the data set.
    pub data_set: String,
    /// In the order of the columns.
    pub runs: Vec<ComparedRun>,
    /// Tests of pairs of runs.
    pub pairs: Part<Vec<PairedTest>>,
    /// Whether images have several labels, so that differences are of mAP and not of accuracy, and an
    /// image is right where all its labels are.
    pub by_map: bool,
    /// What the reader should know of how the runs were compared, sentences.
    pub notes: Vec<String>,
    /// When the report was written, as it is shown.
    pub date: String,
    /// Program and version, `ml-report 0.1.0`.
    pub program: String,
}

/// A setting that is not the same in all runs.
pub(crate) struct DifferingSetting<'a> {
    /// The YAML path.
    pub key: &'a str,
    /// Its value in each run; none in runs without it.
    pub values: Vec<Option<&'a str>>,
}

/// The settings that differ between `runs`, in the order in which they first appear, and how many
/// are the same in all.
pub(crate) fn differing_settings(runs: &[ComparedRun]) -> (Vec<DifferingSetting<'_>>, usize) {
    let maps: Vec<HashMap<&str, &str>> = runs
        .iter()
        .map(|run| run.settings.iter().map(|of| (of.key.as_str(), of.value.as_str())).collect())
        .collect();
    let mut seen = HashSet::new();
    let keys = runs.iter().flat_map(|run| run.settings.iter().map(|setting| setting.key.as_str()));
    let keys = keys.filter(|key| seen.insert(*key));
    let setting =
        |key| DifferingSetting { key, values: maps.iter().map(|map| map.get(key).copied()).collect() };
    let differs = |setting: &DifferingSetting<'_>| setting.values.windows(2).any(|pair| pair[0] != pair[1]);
    let (different, same): (Vec<_>, Vec<_>) = keys.map(setting).partition(differs);
    (different, same.len())
}

/// In what the runs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldKind {
    /// In the part of the images that is held out.
    CrossValidation,
    /// In the random seed.
    Seeds,
}

/// A run over a fold or a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// `fold 1` or `seed 7`.
    pub name: String,
    /// The run's report, relative to this file.
    pub link: Option<String>,
    /// How the run ended.
    pub status: Status,
    /// The epoch whose weights were evaluated.
    pub best_epoch: Option<u64>,
    /// Of the images held out.
    pub metrics: Part<SplitMetrics>,
}

/// Mean, standard deviation and interval of a metric over folds or seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Which one.
    pub kind: MetricKind,
    /// Mean over the runs.
    pub mean: f64,
    /// Standard deviation over the runs (divisor n − 1).
    pub sd: f64,
    /// 95 % interval of the mean.
    pub interval: Option<Interval>,
}

/// Runs over folds or seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Folds {
    /// Of the runs together.
    pub name: String,
    /// In what the runs differ.
    pub kind: FoldKind,
    /// Of the network, `resnet18`.
    pub network: String,
    /// Name of the data set.
    pub data_set: String,
    /// In order.
    pub folds: Vec<Fold>,
    /// Mean and standard deviation of each metric.
    pub spread: Vec<Spread>,
    /// Metrics over all images, each predicted by the network that did not train on it.
    pub out_of_fold: Part<SplitMetrics>,
    /// What these predictions show.
    pub findings: Findings,
    /// When the report was written, as it is shown.
    pub date: String,
    /// Program and version, `ml-train 0.1.0`.
    pub program: String,
}
