//! Logits `[N, K]` + targets `[N]` → a scalar.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use tch::{Device, Tensor};

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum LossConfig {
    CrossEntropy {},
}

#[derive(Debug)]
pub struct Loss {}

impl LossConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        todo!()
    }
}

impl Loss {
    /// `class_counts`: training samples of each class, for `class_weights: balanced`.
    pub fn new(config: &LossConfig, class_counts: &[usize], device: Device) -> Loss {
        let _ = (config, class_counts, device);
        todo!()
    }
    pub fn forward(&self, logits: &Tensor, targets: &Tensor) -> Tensor {
        let _ = (logits, targets);
        todo!()
    }
}
