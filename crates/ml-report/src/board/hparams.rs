//! A configuration → TensorBoard's table of runs, and its text.

use ml_core::config::Config;
use serde_json::Value;

use crate::run_report;
use crate::tensorboard::{EventError, EventWriter, HparamValue};

/// Settings that the table has of every run, besides those that are not the default.
const ALWAYS: [&str; 8] = [
    "model.architecture",
    "optimizer.name",
    "optimizer.lr",
    "optimizer.weight_decay",
    "scheduler.name",
    "training.batch_size",
    "training.num_epochs",
    "seed",
];

/// The settings of a run: what it was trained with, and the whole configuration as text.
pub(super) struct Settings {
    listed: Vec<(String, HparamValue)>,
    text: String,
    /// When the run started.
    wall_time: f64,
}

impl Settings {
    /// Of a run that starts.
    pub fn new(config: &Config, wall_time: f64) -> Settings {
        let text = ml_data::yaml::to_string(config).unwrap_or_default();
        Settings { listed: listed(config), text, wall_time }
    }

    /// Writes them. There is no list of columns: TensorBoard takes the first run's for all, without
    /// the settings that only others have, and works them out itself where there is none.
    ///
    /// # Errors
    /// The events cannot be written.
    pub fn write(&self, writer: &mut EventWriter) -> Result<(), EventError> {
        writer.add_session_start(&self.listed, self.wall_time)?;
        writer.add_text("Configuration", &format!("```yaml\n{}```", self.text), 0, self.wall_time)
    }
}

fn listed(config: &Config) -> Vec<(String, HparamValue)> {
    let listed = run_report::listed(config).unwrap_or_default();
    let is_shown = |key: &str, value: &str, default: Option<&str>| {
        ALWAYS.contains(&key) || default.is_none_or(|default| default != value)
    };
    listed
        .into_iter()
        .filter(|setting| is_shown(&setting.key, &setting.value, setting.default.as_deref()))
        .map(|setting| (setting.key, value(&setting.value)))
        .collect()
}

fn value(text: &str) -> HparamValue {
    match serde_json::from_str(text) {
        Ok(Value::Bool(value)) => HparamValue::Bool(value),
        Ok(Value::Number(number)) => {
            number.as_f64().map_or_else(|| HparamValue::Text(text.to_owned()), HparamValue::Number)
        }
        _ => HparamValue::Text(text.to_owned()),
    }
}
