//! The learning rate as a pure function of the step.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum SchedulerConfig {
    Constant {},
    Step {},
    Multistep {},
    Cosine {},
}

impl SchedulerConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        todo!()
    }
}

#[derive(Clone, Debug)]
pub struct Schedule {}

impl Schedule {
    pub fn new(
        config: &SchedulerConfig,
        base_lr: f64,
        steps_per_epoch: usize,
        num_epochs: usize,
    ) -> Schedule {
        let _ = (config, base_lr, steps_per_epoch, num_epochs);
        todo!()
    }
    /// The learning rate of optimizer step `step` (0-based, over the whole run).
    pub fn lr(&self, step: u64) -> f64 {
        let _ = step;
        todo!()
    }
}
