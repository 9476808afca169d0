//! Small summaries, evaluations and predictions for tests.

use ml_core::run::Summary;
use serde_json::{Value, json};

use super::data::{Evaluation, PredictionRow};

/// `value`, with the keys of `more` in place of its own.
fn with(mut value: Value, more: Value) -> Value {
    let (Value::Object(keys), Value::Object(more)) = (&mut value, more) else { panic!("no objects") };
    keys.extend(more);
    value
}

/// Of a run of 100 s that has ended.
pub fn summary(more: Value) -> Summary {
    let value = json!({
        "status": "completed", "epochs": 2, "steps": 4, "best_epoch": 1, "best_val_accuracy": 0.5,
        "test_accuracy": null, "started": "", "updated": "", "seconds": 100.0,
        "seconds_to_first_step": 6.0, "device": "cpu", "parameters": 1, "architecture": "tiny_net",
        "data_dir": "data", "dataset_fingerprint": "", "dataset": {"train": 1, "val": 1, "test": 0},
        "version": "", "libtorch": "",
        "time": {"epochs": 2, "train_seconds": 60.0, "waiting_seconds": 10.0, "validation_seconds": 20.0},
    });
    serde_json::from_value(with(value, more)).unwrap()
}

/// Of 100 images, without classes.
pub fn evaluation(split: &str, more: Value) -> Evaluation {
    let average = json!({"f1_score": 0.5});
    let reliability = json!({"ece": 0.1, "bins": []});
    let value = json!({
        "split": split, "num_samples": 100, "accuracy": 0.9, "top_k": 1, "top_k_accuracy": 0.9, "loss": 0.3,
        "macro_average": average, "weighted_average": average, "classes": [], "confusion_matrix": [],
        "calibration": {"temperature": 1.5, "uncalibrated": reliability, "calibrated": reliability},
    });
    serde_json::from_value(with(value, more)).unwrap()
}

/// An image of class `a`, whose margin is its probability.
pub fn row(path: &str, probability: f64, correct: bool) -> PredictionRow {
    PredictionRow {
        path: path.to_owned(),
        label: "a".to_owned(),
        prediction: if correct { "a" } else { "b" }.to_owned(),
        probability,
        correct,
        margin: Some(probability),
        ood_score: None,
        group: String::new(),
    }
}
