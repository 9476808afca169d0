//! Parameters + gradients → updated parameters, with state that is named and saved as PyTorch does.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use tch::Tensor;

use crate::value::Value;

pub mod schedule;

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerConfig {
    Sgd {},
    Adam {},
    Adamw {},
}

#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    #[error("{0}")]
    Draft(String),
}

#[derive(Debug)]
pub struct Optimizer {}

impl OptimizerConfig {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        todo!()
    }
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        todo!()
    }
}

impl Optimizer {
    pub fn new(config: &OptimizerConfig, parameters: Vec<(String, Tensor)>) -> Optimizer {
        let _ = (config, parameters);
        todo!()
    }
    pub fn zero_grad(&mut self) {
        todo!()
    }
    pub fn step(&mut self, lr: f64) {
        let _ = lr;
        todo!()
    }
    /// PyTorch's `optimizer.state_dict()`: `{"state": {0: {…}}, "param_groups": [{…, "params": [0, …], "param_names": […]}]}`.
    pub fn state_dict(&self) -> Value {
        todo!()
    }
    /// # Errors
    /// The state is for other parameters (names the first difference of each kind).
    pub fn load_state_dict(&mut self, state: &Value) -> Result<(), OptimizerError> {
        let _ = state;
        todo!()
    }
}
