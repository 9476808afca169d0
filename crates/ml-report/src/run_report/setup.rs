//! What a run folder says of its settings, its epochs, its time and its machine.

use std::collections::BTreeMap;

use ml_core::config::{self, Config, Source};
use ml_core::run::{Run, Summary, TimeSummary};
use ml_core::transform::TransformConfig;
use serde::Deserialize;
use serde_json::Value;

use super::data;
use super::part;
use crate::html::{Curves, DataSet, Epoch, LabelEpoch, Network, Part, Setting, Setup, Timing};

/// The resolved configuration, as far as this version understands it.
pub type Settings = Result<Config, String>;

/// Of `config.yaml`.
pub fn settings(run: &Run) -> Settings {
    let text = run.read_config().map_err(|error| format!("{error}."))?;
    // What the weights decide on is written out there.
    match config::resolve(Some((&text, Source::Run)), &[], &|_| Ok(None)) {
        Ok(resolved) => Ok(resolved.config),
        Err(error) => Err(format!("The configuration cannot be read: {error}.")),
    }
}

/// Settings, network, data set and command.
pub fn setup(run: &Run, summary: &Summary, settings: &Settings, classes: u64) -> Part<Setup> {
    let listed = settings.as_ref().map(listed).map_err(Clone::clone);
    let listed = match listed {
        Ok(Ok(listed)) => listed,
        Ok(Err(reason)) | Err(reason) => return Part::Missing(reason),
    };
    let config = settings.as_ref().ok();
    let size = config.and_then(|config| image_size(&config.transforms.val));
    let weights =
        listed.iter().find(|setting| setting.key == "model.weights").map(|found| found.value.clone());
    let network = Network {
        architecture: summary.architecture.clone(),
        parameters: summary.parameters,
        trainable: summary.trainable_parameters.filter(|trained| *trained < summary.parameters),
        input: size.unwrap_or_else(|| "not known".to_owned()),
        weights: weights.filter(|value| value != "null").unwrap_or_else(|| "random".to_owned()),
    };
    let sizes = summary.dataset;
    let splits = [("train", sizes.train), ("val", sizes.val), ("test", sizes.test)];
    let data_set = DataSet {
        path: summary.data_dir.clone(),
        classes,
        splits: splits
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| ((*name).to_owned(), *count as u64))
            .collect(),
        groups: summary.kept_together.clone(),
    };
    let command = summary.command.clone().unwrap_or_else(|| {
        format!("ml-train --config {}", ml_data::dataset::shell_quoted(&run.config_path()))
    });
    Part::Present(Setup {
        command,
        settings: listed,
        network: Part::Present(network),
        data_set: Part::Present(data_set),
    })
}

/// `3 × 224 × 224`.
fn image_size(transform: &TransformConfig) -> Option<String> {
    let size = transform.output_size()?;
    Some(format!("{} × {} × {}", transform.channels.count(), size.height, size.width))
}

/// Every setting by its path, with its default.
pub fn listed(config: &Config) -> Result<Vec<Setting>, String> {
    let tree = |config: &Config| serde_json::to_value(config).map_err(|error| format!("{error}."));
    let (mut values, mut defaults) = (Vec::new(), Vec::new());
    flatten("", &tree(config)?, &mut values);
    flatten("", &tree(&Config::default())?, &mut defaults);
    let defaults: BTreeMap<String, String> = defaults.into_iter().collect();
    let setting =
        |(key, value): (String, String)| Setting { default: defaults.get(&key).cloned(), key, value };
    Ok(values.into_iter().map(setting).collect())
}

fn flatten(path: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&below, value, into);
            }
        }
        Value::String(text) => into.push((path.to_owned(), text.clone())),
        value => into.push((path.to_owned(), value.to_string())),
    }
}

/// A row of `metrics.csv`; what is not a number is left empty there.
#[derive(Deserialize)]
struct Row {
    epoch: u64,
    learning_rate: Option<f64>,
    train_loss: Option<f64>,
    train_accuracy: Option<f64>,
    val_loss: Option<f64>,
    val_accuracy: Option<f64>,
    // In the place of the accuracies, where images have several labels.
    train_subset_accuracy: Option<f64>,
    val_subset_accuracy: Option<f64>,
    val_map: Option<f64>,
    val_micro_f1: Option<f64>,
    val_macro_f1: Option<f64>,
    val_sample_f1: Option<f64>,
}

impl Row {
    /// Where images have several labels.
    fn labels(&self) -> Option<LabelEpoch> {
        let figure = |value: Option<f64>| value.unwrap_or(f64::NAN);
        self.val_micro_f1.map(|micro_f1| LabelEpoch {
            map: figure(self.val_map),
            micro_f1,
            macro_f1: figure(self.val_macro_f1),
            sample_f1: figure(self.val_sample_f1),
        })
    }
}

/// Of `metrics.csv`.
pub fn curves(run: &Run, best_epoch: Option<u64>) -> Part<Curves> {
    let figure = |value: Option<f64>| value.unwrap_or(f64::NAN);
    let epoch = |row: Row| Epoch {
        epoch: row.epoch,
        train_loss: figure(row.train_loss),
        val_loss: figure(row.val_loss),
        train_accuracy: figure(row.train_accuracy.or(row.train_subset_accuracy)),
        val_accuracy: figure(row.val_accuracy.or(row.val_subset_accuracy)),
        learning_rate: figure(row.learning_rate),
        labels: row.labels(),
    };
    let rows = data::rows(&run.metrics_path()).and_then(|rows: Vec<Row>| {
        if rows.is_empty() { Err("No epoch is done.".to_owned()) } else { Ok(rows) }
    });
    let curves = |rows: Vec<Row>| Curves {
        epochs: rows.into_iter().map(epoch).collect(),
        best_epoch,
        averages: Vec::new(),
    };
    part(rows.map(curves))
}

/// Where the time went.
pub fn timing(summary: &Summary) -> Part<Timing> {
    let Some(time) = summary.time else {
        return Part::Missing("An earlier version trained this run, which did not note its time.".to_owned());
    };
    let epochs = time.train_seconds + time.validation_seconds;
    Part::Present(Timing {
        total_seconds: summary.seconds,
        epochs: summary.epochs,
        seconds_per_epoch: epochs / time.epochs.max(1) as f64,
        waiting_share: (time.train_seconds > 0.0).then(|| time.waiting_seconds / time.train_seconds),
        images_per_second: (time.train_seconds > 0.0)
            .then(|| (summary.dataset.train as u64 * time.epochs) as f64 / time.train_seconds),
        peak_memory: summary.peak_memory.map(|bytes| ("the host".to_owned(), bytes)).into_iter().collect(),
        phases: phases(summary, time),
    })
}

/// Parts of the run's time and their seconds, which add up to all of it.
fn phases(summary: &Summary, time: TimeSummary) -> Vec<(String, f64)> {
    let mut other = (summary.seconds - time.train_seconds - time.validation_seconds).max(0.0);
    let mut of_other = |seconds: Option<f64>| {
        let part = seconds.unwrap_or(0.0).clamp(0.0, other);
        other -= part;
        part
    };
    let evaluation = of_other(summary.evaluation_seconds);
    // To the end of the first step, which is short, and of the last process only.
    let start = of_other(summary.seconds_to_first_step);
    // Training stands still for them after an epoch's validation.
    let pauses = summary.checkpoints.map_or(0.0, |written| written.paused_seconds);
    let pauses = pauses.clamp(0.0, time.validation_seconds.max(0.0));
    let phases = [
        ("start", start),
        ("training", (time.train_seconds - time.waiting_seconds).max(0.0)),
        ("waiting for images", time.waiting_seconds),
        ("validation", time.validation_seconds - pauses),
        ("checkpoints", pauses),
        ("evaluation", evaluation),
        ("other", other),
    ];
    phases.map(|(name, seconds)| (name.to_owned(), seconds)).into()
}

/// Device and versions.
pub fn environment(summary: &Summary, settings: &Settings) -> Part<Vec<(String, String)>> {
    let mut rows = vec![
        ("device", summary.device.clone()),
        ("ml-train", summary.version.clone()),
        ("libtorch", summary.libtorch.clone()),
        ("begun", summary.started.replace('T', " ")),
        ("data set, SHA-256 over classes and samples", summary.dataset_fingerprint.clone()),
    ];
    if let Ok(config) = settings {
        rows.insert(1, ("precision", config.training.precision.to_string()));
    }
    if let Some(origin) = &summary.resumed_from {
        rows.push(("continues", origin.clone()));
    }
    rows.extend(summary.machine.iter().map(|(key, value)| (key.as_str(), value.clone())));
    Part::Present(rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::summary;
    use super::*;

    #[test]
    fn the_environment_names_the_machine() {
        let of = summary(serde_json::json!({"machine": {"processor": "Z80"}}));
        let rows = environment(&of, &Err("not read".to_owned()));
        assert!(rows.present().unwrap().contains(&("processor".to_owned(), "Z80".to_owned())));
    }

    #[test]
    fn the_time_of_a_run_is_split_into_parts_that_add_up() {
        let parts = |of: &Summary| phases(of, of.time.unwrap());
        let written = serde_json::json!({"count": 2, "paused_seconds": 3.0, "longest_pause_seconds": 2.0, "writing_seconds": 9.0});
        let found = parts(&summary(serde_json::json!({"evaluation_seconds": 12.0, "checkpoints": written})));
        let seconds: Vec<f64> = found.iter().map(|part| part.1).collect();
        assert_eq!(seconds, [6.0, 50.0, 10.0, 17.0, 3.0, 12.0, 2.0]);
        // An earlier version, and a run whose last process was slow to start.
        let found = parts(&summary(serde_json::json!({"seconds_to_first_step": 50.0})));
        assert_eq!(found.iter().map(|part| part.1).sum::<f64>(), 100.0);
        assert_eq!((found[0].1, found[6].1), (20.0, 0.0));
    }
}
