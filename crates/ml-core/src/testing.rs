//! What this crate's tests share.

use tch::{Device, Kind, Tensor};

use crate::checkpoint::Checkpoint;
use torch_file::Value;

/// A small training state after `step` steps, its only weight filled with `fill`.
pub fn checkpoint(step: u64, fill: f64) -> Checkpoint {
    Checkpoint {
        epoch: 0,
        step,
        batch_in_epoch: step,
        running: Value::None,
        model_state_dict: vec![("w".into(), Tensor::full([300], fill, (Kind::Float, Device::Cpu)))],
        optimizer_state_dict: Value::None,
        scheduler_state_dict: Value::None,
        ema_state_dict: None,
        ema_num_updates: None,
        swa_state_dict: None,
        swa: None,
        average: None,
        scaler_state_dict: None,
        rng_state: Value::None,
        metrics: Value::None,
        best: Value::None,
        early_stopping: Value::None,
        divergence: Value::None,
        dataset: Value::None,
        config: serde_json::json!({}),
        classes: vec!["a".into()],
        eval_transform: serde_json::json!({}),
        task: ml_data::dataset::Task::SingleLabel,
        thresholds: None,
        calibration: None,
        out_of_distribution: None,
        timestamp: String::new(),
        versions: serde_json::json!({}),
        extra: Vec::new(),
    }
}
