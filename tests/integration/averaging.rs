//! `training.swa` and `ml-train --soup`: averages of weights by the real programs.

use std::path::Path;

use crate::resume::same;
use crate::support::{fails, ok, program, read, start, train};
use crate::train::{digits, python};

/// Accuracy on the validation split as `ml-inference` finds it.
fn accuracy(checkpoint: &Path) -> f64 {
    let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
    command.args(["--device", "cpu", "--json", "--split", "val", "--checkpoint"]).arg(checkpoint);
    let report: serde_json::Value = serde_json::from_slice(&ok(command).stdout).unwrap();
    report["accuracy"].as_f64().unwrap()
}

#[test]
fn a_run_averages_its_last_epochs_and_says_which_weights_it_took() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let data = data.to_str().unwrap();
    let swa =
        ["--set", "training.swa={start: 0.5, lr: 0.005, anneal_epochs: 1}", "--set", "deterministic=true"];
    let args = |name: &'static str, epochs: &'static str| {
        let own = ["--data_dir", data, "--run_name", name, "--num_epochs", epochs];
        own.into_iter().chain(swa).collect::<Vec<&str>>()
    };
    let output = ok(train(place.path(), &args("whole", "4")));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("training.swa: the average of 2 epochs (swa.pt): val loss"), "{said}");
    let run = place.path().join("runs/whole");
    let summary = read(run.join("summary.yaml"));
    for part in ["swa:", "n_averaged: 2", "is_best: "] {
        assert!(summary.contains(part), "{part} is not in {summary}");
    }
    let is_best = summary.contains("is_best: true");
    assert_eq!(run.join("best_epoch.pt").exists(), is_best);
    assert!(said.contains(if is_best { "best.pt is the average" } else { "best.pt stays that of epoch" }));
    let swa_accuracy = accuracy(&run.join("swa.pt"));
    let line = summary.lines().find(|line| line.starts_with("  val_accuracy: ")).unwrap();
    let stated: f64 = line.trim_start_matches("  val_accuracy: ").parse().unwrap();
    assert!((swa_accuracy - stated).abs() < 1e-9, "{swa_accuracy} and {summary}");
    let report = read(run.join("report/report.html"));
    for part in ["val, SWA", "at the end of 2 epochs, from epoch 3 on"] {
        assert!(report.contains(part), "{part} is not in the report");
    }
    let events = python("tensorboard_read.py", &[&run.join("tensorboard")]);
    let events: serde_json::Value = serde_json::from_str(&events).unwrap();
    let point = &events["scalars"]["Accuracy/val_swa"][0];
    assert_eq!(point[0], 4);
    assert!((point[2].as_f64().unwrap() - stated).abs() < 1e-6, "{point}");
    // The average is a model and no state.
    let resume = ["--resume", "runs/whole/swa.pt", "--num_epochs", "6"];
    fails(train(place.path(), &resume), 2, &["an average of weights (swa)"]);

    // Told to stop after its second epoch, a run ends like the other.
    let run = place.path().join("runs/cut");
    let ended = crate::resume::cut(train(place.path(), &args("cut", "4")), &run.join("previous.pt"), "-INT");
    if ended == Some(130) {
        ok(train(place.path(), &["--resume", "runs/cut"]));
    }
    same(&place.path().join("runs/whole"), &run);

    let mut wrong = args("wrong", "2");
    wrong.extend(["--set", "training.swa={start_epoch: 2}"]);
    fails(
        train(place.path(), &wrong),
        2,
        &["training.swa.start_epoch", "must be below training.num_epochs, 2"],
    );
}

#[test]
fn a_soup_is_never_worse_than_its_best_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let data = data.to_str().unwrap();
    ok(train(place.path(), &["--data_dir", data, "--run_name", "start", "--num_epochs", "2"]));
    for (name, seed) in [("a", "1"), ("b", "2")] {
        let args = ["--data_dir", data, "--run_name", name, "--seed", seed, "--lr", "0.001"];
        let weights = ["--weights", "runs/start/best.pt", "--num_epochs", "2"];
        ok(train(place.path(), &[&args[..], &weights[..]].concat()));
    }
    let soup = |args: &[&str]| {
        program(env!("CARGO_BIN_EXE_ml-train"), place.path(), &[&["--soup"][..], args].concat())
    };
    let output =
        ok(soup(&["runs/a", "runs/b/best.pt", "runs/start", "--device", "cpu", "--output", "made.pt"]));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("checkpoint") && table.contains("taken"), "{table}");
    let best =
        ["a", "b", "start"].map(|name| accuracy(&place.path().join("runs").join(name).join("best.pt")));
    let made = accuracy(&place.path().join("made.pt"));
    assert!(best.iter().all(|own| made >= own - 1e-9), "{made} and {best:?}\n{table}");
    let output = ok(soup(&["runs/a", "runs/b", "--device", "cpu", "--json", "--data_dir", data]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["steps"].as_array().unwrap().len(), 2);
    assert!(
        (accuracy(&place.path().join("soup.pt")) - report["val_accuracy"].as_f64().unwrap()).abs() < 1e-9
    );

    fails(soup(&["runs/a"]), 2, &["--soup", "at least two"]);
    fails(soup(&["runs/a", "runs/b", "--lr", "1"]), 2, &["--soup", "optimizer.lr"]);
    let other =
        ["--data_dir", data, "--run_name", "other", "--num_epochs", "1", "--architecture", "simple_cnn"];
    ok(train(place.path(), &other));
    fails(soup(&["runs/a", "runs/other"]), 2, &["different networks: tiny_net and simple_cnn"]);
    let fewer = digits(&place.path().join("fewer"), 2, 40);
    ok(train(
        place.path(),
        &["--data_dir", fewer.to_str().unwrap(), "--run_name", "two", "--num_epochs", "1"],
    ));
    fails(soup(&["runs/a", "runs/two"]), 2, &["different classes", "0, 1, 2 and 0, 1"]);
}
