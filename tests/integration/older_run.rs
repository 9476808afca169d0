//! A run folder that the first version wrote (`tests/data/run_v0`) still resumes, evaluates and
//! predicts, and what comes out is what the first version made of it.
//!
//! Metrics and probabilities are compared within a tolerance, classes exactly; not bits, since
//! another processor has other kernels. Those (AVX2, AVX-512, oneDNN's for AVX2, two threads) move
//! the losses of the last epoch by less than 3e-7, while a resume that loses `AdamW`'s moments, its
//! step count or the EMA weights moves them by more than 1e-2.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{ok, read, start, workspace};

/// The largest difference of losses, accuracies and probabilities; see above.
const TOLERANCE: f64 = 1e-4;
/// One thread and libtorch's plainest kernels, as when the run was made.
const PLAIN: [(&str, &str); 2] = [("OMP_NUM_THREADS", "1"), ("ATEN_CPU_CAPABILITY", "default")];

fn fixture() -> PathBuf {
    workspace().join("tests/data/run_v0")
}

fn expected() -> Value {
    serde_json::from_str(&read(fixture().join("expected.json"))).unwrap()
}

/// The data set and the run in a folder of their own, since a resume writes into the run.
fn copy() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for part in ["data", "runs"] {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(fixture().join(part)).arg(place.path());
        ok(copy);
    }
    place
}

/// What a program prints when started in `place`.
fn output(place: &Path, program: &str, args: &[&str]) -> String {
    let mut command = start(program);
    command.current_dir(place).envs(PLAIN).args(["--device", "cpu"]).args(args);
    String::from_utf8(ok(command).stdout).unwrap()
}

fn inference(place: &Path, args: &[&str]) -> String {
    output(place, env!("CARGO_BIN_EXE_ml-inference"), args)
}

fn train(place: &Path, args: &[&str]) -> String {
    output(place, env!("CARGO_BIN_EXE_ml-train"), args)
}

/// Numbers within the tolerance, all else equal. What `ours` has beyond `theirs` is new since.
fn assert_close(theirs: &Value, ours: &Value, name: &str) {
    match theirs {
        Value::Number(number) => {
            let (theirs, ours) = (number.as_f64().unwrap(), ours.as_f64().unwrap_or(f64::NAN));
            assert!((theirs - ours).abs() <= TOLERANCE, "{name}: {ours} instead of {theirs}");
        }
        Value::Array(items) => {
            assert_eq!(items.len(), ours.as_array().map_or(0, Vec::len), "{name}: {ours}");
            for (index, item) in items.iter().enumerate() {
                assert_close(item, &ours[index], &format!("{name}[{index}]"));
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                assert_close(value, &ours[key], &format!("{name}.{key}"));
            }
        }
        _ => assert_eq!(theirs, ours, "{name}"),
    }
}

fn assert_predictions(place: &Path, checkpoint: &str, theirs: &Value, name: &str) {
    let images: Vec<&str> = theirs.as_object().unwrap().keys().map(String::as_str).collect();
    let args = [&["--checkpoint", checkpoint, "--format", "csv"], images.as_slice()].concat();
    let text = inference(place, &args);
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("path,class,probability,"), "{text}");
    let ours: serde_json::Map<String, Value> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let probability: f64 = cells[2].parse().unwrap();
            (cells[0].to_owned(), Value::from(vec![Value::from(cells[1]), probability.into()]))
        })
        .collect();
    assert_eq!(ours.len(), images.len(), "{text}");
    assert_close(theirs, &ours.into(), name);
}

#[test]
fn a_checkpoint_of_the_first_version_predicts_as_it_did() {
    let theirs = &expected()["predictions_of_last_pt"];
    assert_predictions(&fixture(), "runs/digits/last.pt", theirs, "predictions");
}

#[test]
fn a_run_of_the_first_version_resumes_within_its_epoch_and_ends_as_it_did() {
    let (place, expected) = (copy(), expected());
    let place = place.path();
    let summary: Value = serde_json::from_str(&train(place, &["--resume", "runs/digits", "--json"])).unwrap();
    assert_close(&expected["summary"], &summary, "summary");
    assert_eq!(summary["run"], "runs/digits", "it is the same run");

    let metrics = read(place.join("runs/digits/metrics.csv"));
    let mut lines = metrics.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows = lines.map(|line| {
        let values = line.split(',').map(|cell| Value::from(cell.parse::<f64>().unwrap()));
        names.iter().map(|name| (*name).to_owned()).zip(values).collect::<serde_json::Map<_, _>>()
    });
    assert_close(&expected["metrics"], &rows.collect(), "metrics");

    let test: Value =
        serde_json::from_str(&inference(place, &["--checkpoint", "runs/digits", "--json"])).unwrap();
    assert_close(&expected["test"], &test, "test");
    assert_predictions(place, "runs/digits", &expected["predictions_after"], "predictions");
}
