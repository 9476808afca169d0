//! A training run as a library call, and what its evaluation sums up.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{ok, read, start, train, workspace};
use crate::train::digits;

/// An example program, built as the tests were: with the features of the whole workspace.
fn example(name: &str) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(workspace()).args(["build", "--locked", "--quiet", "--workspace", "--example", name]);
    // What cargo says of this package is another environment to build scripts, which would run again.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            build.env_remove(name);
        }
    }
    ok(build);
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

#[test]
fn the_example_trains_the_digits_from_the_public_api_in_under_40_lines() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 4, 40);
    let mut command = start(example("train_digits"));
    command.arg(&data).arg(place.path().join("runs"));
    let output = ok(command);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("runs/digits: test accuracy Some("), "{said}");
    let run = place.path().join("runs/digits");
    let summary: serde_yaml::Value = serde_yaml::from_str(&read(run.join("summary.yaml"))).unwrap();
    assert_eq!(summary["status"].as_str(), Some("completed"));
    assert!(summary["test_accuracy"].as_f64().unwrap() > 0.5, "{summary:?}");
    assert!(run.join("best.pt").exists());

    let source = workspace().join("crates/ml-core/examples/train_digits.rs");
    let lines = read(source).lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(lines < 40, "{lines} lines");
}

#[test]
fn a_file_of_pytorch_is_shown_as_a_tree() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 20);
    ok(train(place.path(), &["--data_dir", data.to_str().unwrap(), "--run_name", "a", "--num_epochs", "1"]));
    let mut command = start(example("tree"));
    command.arg(place.path().join("runs/a/best.pt"));
    let said = String::from_utf8(ok(command).stdout).unwrap();
    for part in ["\"model_state_dict\": dict of", "tensor Float [", "\"classes\": list of 3", "\"epoch\": 1"]
    {
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
}

/// The mean of a weighted loss was once taken over batches by their size: 0.7098 in batches of 2
/// and 0.6796 in batches of 12 for the same weights.
#[test]
fn the_validation_loss_with_class_weights_does_not_depend_on_the_batch_size() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 40);
    let loss = |batch_size: &str| {
        let name = format!("batch_{batch_size}");
        let args = [
            "--data_dir",
            data.to_str().unwrap(),
            "--run_name",
            &name,
            "--num_epochs",
            "1",
            "--batch_size",
            batch_size,
            // Nothing is learned: every run validates the same weights and running statistics.
            "--lr",
            "1e-30",
            "--set",
            "model.freeze=backbone",
            "--set",
            "loss.class_weights=[1.0, 20.0]",
        ];
        ok(train(place.path(), &args));
        let rows = read(place.path().join("runs").join(&name).join("metrics.csv"));
        let row: Vec<&str> = rows.lines().nth(1).unwrap().split(',').collect();
        row[5].parse::<f64>().unwrap()
    };
    let whole = loss("40");
    for batch_size in ["2", "5", "12"] {
        let found = loss(batch_size);
        // The mean of each batch is computed in float32.
        assert!((found - whole).abs() < 1e-5, "batch {batch_size}: {found} and {whole}");
    }
}
