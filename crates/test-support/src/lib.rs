//! What the tests of several crates share. Nothing but tests depends on it.

mod failing;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use failing::{EIO, ENOSPC, FailingFiles};

/// The workspace's folder.
pub fn workspace() -> PathBuf {
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
///
/// # Panics
/// As [`python`]; the output is not JSON.
pub fn python_json(program: &str, args: &[&Path]) -> serde_json::Value {
    serde_json::from_str(&python(program, args)).expect("the program prints JSON")
}

/// Held by a test while it seeds libtorch's generator or draws from it: there is one for all
/// threads.
pub fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}
