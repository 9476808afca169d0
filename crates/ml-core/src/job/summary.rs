//! `summary.yaml` of a run, kept up to date while it lasts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ml_data::dataset::{Dataset, GroupsEntry, Manifest, Split};

use super::JobError;
use super::evaluate::Judged;
use crate::config::Config;
use crate::device::ResolvedDevice;
use crate::run::{
    CheckpointSummary, DatasetSizes, FEW_IMAGES, Run, Status, Summary, TimeSummary, machine, peak_memory,
};
use crate::trainer::{EpochMetrics, Trainer};

/// Writes `summary.yaml`.
pub(super) struct SummaryWriter {
    run: Run,
    pub(super) summary: Summary,
    seconds_before: f64,
    time_before: TimeSummary,
    started: Instant,
}

/// What a summary is made of at a run's start.
pub(super) struct Facts<'a> {
    pub config: &'a Config,
    pub dataset: &'a Dataset,
    pub device: &'a ResolvedDevice,
    pub trainer: &'a Trainer,
    /// The summary that an earlier process left.
    pub earlier: Option<&'a Summary>,
    /// The checkpoint or run that a new run continues.
    pub resumed_from: Option<String>,
    /// When the process started.
    pub started: Instant,
    /// The command line, where there is one.
    pub command: Option<String>,
}

impl SummaryWriter {
    pub(super) fn new(run: &Run, facts: Facts<'_>) -> SummaryWriter {
        let Facts { config, dataset, device, trainer, earlier, resumed_from, started, command } = facts;
        let before = earlier.and_then(|earlier| earlier.resumed_from.clone());
        let summary = Summary {
            status: Status::Running,
            error: None,
            resumed_from: resumed_from.or(before),
            epochs: 0,
            steps: 0,
            best_epoch: None,
            monitor: config.training.monitor().metric.name().to_owned(),
            best_figure: None,
            best_val_accuracy: None,
            best_val_map: None,
            swa: None,
            test_accuracy: None,
            test_map: None,
            not_calibrated: None,
            no_ood_scores: None,
            started: earlier.map_or_else(now, |earlier| earlier.started.clone()),
            updated: now(),
            seconds: 0.0,
            seconds_to_first_step: None,
            evaluation_seconds: None,
            time: None,
            checkpoints: None,
            command: earlier.and_then(|earlier| earlier.command.clone()).or(command),
            device: device.description.clone(),
            machine: machine(),
            parameters: trainer.network().num_parameters() as u64,
            trainable_parameters: None,
            peak_memory: None,
            architecture: config.model.name().into_owned(),
            data_dir: config.data.data_dir.display().to_string(),
            dataset_fingerprint: trainer.fingerprint().to_owned(),
            dataset: sizes(dataset),
            few_images: few_images(dataset),
            class_images: dataset.class_counts(Split::Train).into_iter().map(|count| count as u64).collect(),
            kept_together: dataset.manifest.as_deref().and_then(kept_together),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: crate::LIBTORCH_VERSION.to_owned(),
        };
        let seconds_before = earlier.map_or(0.0, |earlier| earlier.seconds);
        let time_before = earlier.and_then(|earlier| earlier.time).unwrap_or_default();
        SummaryWriter { run: run.clone(), summary, seconds_before, time_before, started }
    }

    pub(super) fn saved(&mut self, stats: crate::checkpoint::WriteStats) {
        self.summary.checkpoints = Some(CheckpointSummary {
            count: stats.count,
            paused_seconds: stats.paused.as_secs_f64(),
            longest_pause_seconds: stats.longest_pause.as_secs_f64(),
            writing_seconds: stats.writing.as_secs_f64(),
        });
    }

    pub(super) fn judged(&mut self, judged: Judged, took: Duration) {
        let Judged { test_accuracy, test_map, not_calibrated, no_ood_scores } = judged;
        self.summary.test_accuracy = test_accuracy;
        self.summary.test_map = test_map;
        self.summary.not_calibrated = not_calibrated;
        self.summary.no_ood_scores = no_ood_scores;
        self.summary.evaluation_seconds = Some(took.as_secs_f64());
    }

    /// Writes where the run stands.
    pub(super) fn write(&mut self, status: Status, trainer: &Trainer) -> Result<(), JobError> {
        let state = trainer.state();
        let summary = &mut self.summary;
        summary.status = status;
        summary.epochs = state.epoch;
        summary.steps = state.step;
        let best = state.best();
        summary.best_epoch = best.map(|best| best.epoch);
        summary.best_figure = best.map(|best| best.value);
        let metrics = best.and_then(|best| state.history.iter().find(|m| m.epoch == best.epoch));
        summary.best_val_accuracy = metrics.map(|m| m.val_accuracy);
        let is_of_ema = trainer.monitors_ema();
        let map = |m: &EpochMetrics| match m.ema.filter(|_| is_of_ema) {
            Some(ema) => ema.val_map,
            None => m.labels.map(|labels| labels.map),
        };
        summary.best_val_map = metrics.and_then(map).filter(|map| map.is_finite());
        summary.swa = state.swa;
        if let Some(swa) = state.swa.filter(|swa| swa.is_best) {
            summary.best_val_accuracy = Some(swa.val_accuracy);
            summary.best_val_map = swa.val_map;
        }
        summary.updated = now();
        let trained = trainer.network().parameters().into_iter().filter(|(_, one)| one.requires_grad());
        summary.trainable_parameters = Some(trained.map(|(_, one)| one.numel() as u64).sum());
        summary.peak_memory = peak_memory();
        summary.time = Some(self.time_before + trainer.time());
        summary.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        summary.seconds_to_first_step =
            trainer.first_step().map(|first| (first - self.started).as_secs_f64());
        Ok(self.run.write_summary(summary)?)
    }
}

pub(super) fn sizes(dataset: &Dataset) -> DatasetSizes {
    DatasetSizes {
        train: dataset.train.samples.len(),
        val: dataset.val.samples.len(),
        test: dataset.test.as_ref().map_or(0, |test| test.samples.len()),
    }
}

fn few_images(dataset: &Dataset) -> BTreeMap<String, u64> {
    let counts = dataset.classes.iter().cloned().zip(dataset.class_counts(Split::Train));
    counts.filter(|(_, count)| *count < FEW_IMAGES).map(|(class, count)| (class, count as u64)).collect()
}

/// `8 groups of 2 or more images (by folder, same content); the largest has 12`.
fn kept_together(manifest: &Manifest) -> Option<String> {
    let GroupsEntry { by, count, largest } = manifest.groups.as_ref().filter(|groups| groups.count > 0)?;
    let why: Vec<&str> =
        by.as_deref().into_iter().chain(manifest.duplicates.map(|_| "same content")).collect();
    let why = if why.is_empty() { String::new() } else { format!(" (by {})", why.join(", ")) };
    Some(match count {
        1 => format!("1 group of {largest} images{why}"),
        count => format!("{count} groups of 2 or more images{why}; the largest has {largest}"),
    })
}

fn now() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
