//! What this crate's tests share.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::checkpoint::Checkpoint;
use crate::value::Value;

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
        timestamp: String::new(),
        versions: serde_json::json!({}),
        extra: Vec::new(),
    }
}

/// Held by a test while it seeds libtorch's generator or draws from it: there is one for all threads.
pub fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The workspace's folder.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `tests/reference/<program>` with the workspace's Python and gives back what it printed.
///
/// # Panics
/// Python is not set up, or the program failed; its stderr is in the message.
pub fn python(program: &str, args: &[&Path]) -> String {
    let python = workspace().join(".venv/bin/python");
    assert!(python.exists(), "there is no {}: run `cargo xtask setup`", python.display());
    let script = workspace().join("tests/reference").join(program);
    let output = Command::new(python).arg(script).args(args).output().expect("Python starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {stderr}");
    String::from_utf8(output.stdout).expect("JSON is UTF-8")
}

/// As [`python`], with its output read as JSON.
pub fn python_json(program: &str, args: &[&Path]) -> serde_json::Value {
    serde_json::from_str(&python(program, args)).expect("the program prints JSON")
}
