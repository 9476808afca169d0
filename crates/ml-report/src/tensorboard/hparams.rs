//! Hyperparameters of runs → TensorBoard's table of runs (the plugin `hparams`).
//!
//! A run is a session: the values of its hyperparameters when it starts, a status when it ends. Its
//! metrics are the scalars in the same folder. What the columns are is an experiment, of which one
//! folder among the runs holds one; without it TensorBoard works the columns out from the sessions
//! and the scalars that it finds.

use protobuf::well_known_types::{ListValue, Value};
use tensorboard_proto::api::{
    DataType as HparamType, Experiment, HParamInfo, Interval, MetricInfo, MetricName, Status,
};
use tensorboard_proto::plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo};
use tensorboard_proto::types::DataType;

use super::{EventError, EventWriter, tensor, tensor_entry};

/// The value of a hyperparameter.
#[derive(Clone, Debug, PartialEq)]
pub enum HparamValue {
    /// Any text.
    Text(String),
    /// Shown as text if it is NaN or Inf, which TensorBoard would leave out.
    Number(f64),
    /// Yes or no.
    Bool(bool),
}

/// What values a hyperparameter may have: how TensorBoard filters by it.
#[derive(Clone, Debug, PartialEq)]
pub enum HparamDomain {
    /// Any text.
    Text,
    /// One of these texts.
    TextOf(Vec<String>),
    /// Any number.
    Number,
    /// One of these numbers.
    NumberOf(Vec<f64>),
    /// A number from the first to the second.
    NumberIn(f64, f64),
    /// Yes or no.
    Bool,
}

/// A column of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct HparamInfo {
    /// As in the sessions.
    pub name: String,
    /// What values it may have.
    pub domain: HparamDomain,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// The run is complete.
    Success,
    /// It failed, or was given up.
    Failure,
}

impl EventWriter {
    /// Says what the columns of all runs are: hyperparameters, and metrics by the tags of their
    /// scalars.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_experiment(
        &mut self,
        hparams: &[HparamInfo],
        metrics: &[&str],
        wall_time: f64,
    ) -> Result<(), EventError> {
        let metric = |tag: &&str| {
            let mut name = MetricName::new();
            name.set_tag((*tag).into());
            let mut info = MetricInfo::new();
            info.set_name(name);
            info
        };
        let mut experiment = Experiment::new();
        experiment.set_time_created_secs(wall_time);
        experiment.set_hparam_infos(hparams.iter().map(hparam_info).collect());
        experiment.set_metric_infos(metrics.iter().map(metric).collect());
        let mut data = HParamsPluginData::new();
        data.set_experiment(experiment);
        self.add_hparams_data("_hparams_/experiment", &data, wall_time)
    }

    /// Says that the run of this folder has started, and with what.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_session_start(
        &mut self,
        hparams: &[(String, HparamValue)],
        wall_time: f64,
    ) -> Result<(), EventError> {
        let mut start = SessionStartInfo::new();
        start.set_hparams(hparams.iter().map(|(name, value)| (name.clone(), message(value))).collect());
        start.set_start_time_secs(wall_time);
        let mut data = HParamsPluginData::new();
        data.set_session_start_info(start);
        self.add_hparams_data("_hparams_/session_start_info", &data, wall_time)
    }

    /// Says that the run of this folder has ended.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_session_end(&mut self, status: SessionStatus, wall_time: f64) -> Result<(), EventError> {
        let mut end = SessionEndInfo::new();
        end.set_status(match status {
            SessionStatus::Success => Status::STATUS_SUCCESS,
            SessionStatus::Failure => Status::STATUS_FAILURE,
        });
        end.set_end_time_secs(wall_time);
        let mut data = HParamsPluginData::new();
        data.set_session_end_info(end);
        self.add_hparams_data("_hparams_/session_end_info", &data, wall_time)
    }

    /// The message is the plugin's content; the tensor beside it is empty.
    fn add_hparams_data(
        &mut self,
        tag: &str,
        data: &HParamsPluginData,
        wall_time: f64,
    ) -> Result<(), EventError> {
        let entry = tensor_entry(tag, "hparams", self.encode(data)?, tensor(DataType::DT_FLOAT, &[0]));
        self.add(entry, 0, wall_time)
    }
}

fn hparam_info(info: &HparamInfo) -> HParamInfo {
    use HparamDomain::{Bool, Number, NumberIn, NumberOf, Text, TextOf};
    let mut column = HParamInfo::new();
    column.set_name(info.name.clone());
    column.set_field_type(match info.domain {
        Text | TextOf(_) => HparamType::DATA_TYPE_STRING,
        Number | NumberOf(_) | NumberIn(..) => HparamType::DATA_TYPE_FLOAT64,
        Bool => HparamType::DATA_TYPE_BOOL,
    });
    match &info.domain {
        Text | Number => {}
        TextOf(texts) => column.set_domain_discrete(list(texts.iter().cloned().map(HparamValue::Text))),
        NumberOf(numbers) => {
            column.set_domain_discrete(list(numbers.iter().copied().map(HparamValue::Number)));
        }
        &NumberIn(min, max) => {
            let mut interval = Interval::new();
            interval.set_min_value(min);
            interval.set_max_value(max);
            column.set_domain_interval(interval);
        }
        Bool => column.set_domain_discrete(list([false, true].into_iter().map(HparamValue::Bool))),
    }
    column
}

fn list(values: impl Iterator<Item = HparamValue>) -> ListValue {
    let mut list = ListValue::new();
    list.set_values(values.map(|value| message(&value)).collect());
    list
}

fn message(value: &HparamValue) -> Value {
    let mut message = Value::new();
    match value {
        HparamValue::Text(text) => message.set_string_value(text.clone()),
        HparamValue::Number(number) if number.is_finite() => message.set_number_value(*number),
        HparamValue::Number(number) => message.set_string_value(number.to_string()),
        HparamValue::Bool(is_so) => message.set_bool_value(*is_so),
    }
    message
}
