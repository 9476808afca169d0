//! `ml-train --find_lr`, `--find_batch_size` and `--benchmark`: results on stdout, and no run.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{fails, ok, train};
use crate::train::digits;

fn stdout(command: Command) -> String {
    String::from_utf8(ok(command).stdout).unwrap()
}

fn json(command: Command) -> Value {
    serde_json::from_str(&stdout(command)).unwrap()
}

fn numbers(rows: &Value, key: &str) -> Vec<f64> {
    rows.as_array().unwrap().iter().map(|row| row[key].as_f64().unwrap()).collect()
}

#[test]
fn a_learning_rate_is_suggested_the_same_each_time_with_a_plot_and_no_run() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let find = |args: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--batch_size", "8", "--find_lr"];
        train(place.path(), &[&own[..], args].concat())
    };
    let is_png = |name: &str| std::fs::read(place.path().join(name)).unwrap().starts_with(b"\x89PNG");
    let text = stdout(find(&[]));
    for part in ["steepest fall of the loss", "lr_finder.png", "Train with: --lr "] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(is_png("lr_finder.png"));
    // The first figure that a process draws has room for the numbers at its axes, which take 480 pixels
    // and have 40 around them.
    let bytes = std::fs::read(place.path().join("lr_finder.png")).unwrap();
    let width = u32::from_be_bytes(*bytes[16..].first_chunk().unwrap());
    assert!(width > 530, "{width}");

    let first = json(find(&["sweep.png", "--json"]));
    assert!(is_png("sweep.png"));
    assert_eq!(first["plot"], "sweep.png");
    // An epoch has fewer steps, so it goes around.
    let rates = numbers(&first["points"], "lr");
    assert!((30..=100).contains(&rates.len()) && rates.is_sorted(), "{rates:?}");
    assert!((rates[0] / 1e-7 - 1.0).abs() < 1e-9);
    let steepest = first["steepest"].as_f64().unwrap();
    assert!(rates.contains(&steepest), "{steepest} is not in {rates:?}");
    let least = first["minimum_tenth"].as_f64().unwrap().min(steepest);
    assert!((first["suggested"].as_f64().unwrap() / least - 1.0).abs() < 0.06);
    assert_eq!(json(find(&["sweep.png", "--json"])), first);
    // The schedule and the learning rate that are configured do not matter.
    let other = ["sweep.png", "--json", "--lr", "0.5", "--set", "scheduler={name: cosine, warmup_epochs: 1}"];
    assert_eq!(json(find(&other))["points"], first["points"]);
    assert!(!place.path().join("runs").exists(), "nothing was trained");
    fails(find(&["missing/lr.png"]), 2, &["--find_lr: missing/lr.png", "folder that exists"]);
    let parts = ["no-such-folder"];
    fails(train(place.path(), &["--data_dir", "no-such-folder", "--find_lr"]), 2, &parts);
}

#[test]
fn batch_sizes_are_tried_without_images_and_the_suggested_one_is_among_them() {
    let place = tempfile::tempdir().unwrap();
    let classes = ["--find_batch_size", "--set", "model.num_classes=10"];
    let found = json(train(place.path(), &[&classes[..], &["--json"]].concat()));
    let sizes = numbers(&found["trials"], "batch_size");
    let doubled = (0..sizes.len()).map(|power| f64::from(8 << power)).collect::<Vec<_>>();
    assert_eq!(sizes, doubled);
    assert!(sizes.contains(&found["suggested"].as_f64().unwrap()), "{found}");
    assert!(numbers(&found["trials"], "images_per_second").iter().all(|speed| *speed > 0.0));
    let memory = numbers(&found["trials"], "memory");
    assert!(memory.windows(2).all(|pair| pair[0] < pair[1]), "{memory:?}");
    assert!(memory.last().unwrap() <= &found["memory_limit"].as_f64().unwrap());
    assert!(found["largest"].as_u64().unwrap() as f64 >= *sizes.last().unwrap());
    let text = stdout(train(place.path(), &classes));
    assert!(text.contains("images/s") && text.contains("Train with: --batch_size "), "{text}");
    let parts = ["--find_batch_size: how many classes", "Give --data_dir"];
    fails(train(place.path(), &["--find_batch_size"]), 2, &parts);
    assert!(!place.path().join("runs").exists(), "nothing was trained");
}

#[test]
fn networks_are_measured_without_images_and_the_fastest_is_the_first() {
    let place = tempfile::tempdir().unwrap();
    let rows = json(train(place.path(), &["--benchmark", "resnet20,tiny_net,resnet18", "--json"]));
    let rows: Vec<Value> = rows.as_array().unwrap().clone();
    let training: Vec<f64> = rows.iter().map(|row| row["speed"]["training"].as_f64().unwrap()).collect();
    assert!(training.len() == 3 && training.windows(2).all(|pair| pair[0] >= pair[1]), "{rows:?}");
    for row in &rows {
        assert!(row["speed"]["inference"].as_f64() > Some(0.0), "{row}");
        let accuracy = row["imagenet_accuracy"].as_f64();
        assert_eq!(accuracy, (row["architecture"] == "resnet18").then_some(69.758), "{row}");
    }
    let text = stdout(train(place.path(), &["--benchmark", "tiny_net"]));
    assert!(text.contains("training images/s") && text.contains("tiny_net"), "{text}");
    let parts = ["--benchmark", "did you mean `resnet18`", "--list_architectures"];
    fails(train(place.path(), &["--benchmark", "tiny_net,resnet81"]), 2, &parts);
    fails(train(place.path(), &["--benchmark", "convnext_tiny"]), 2, &["convnext_tiny needs", "32x32"]);
    assert!(!place.path().join("runs").exists(), "nothing was trained");
}

#[test]
fn what_is_measured_before_a_run_goes_with_no_run_and_one_process() {
    let place = tempfile::tempdir().unwrap();
    for flag in ["--find_lr", "--find_batch_size", "--benchmark"] {
        for other in [&["--resume", "runs/x"][..], &["--nproc", "2"], &["--seeds", "2"], &["--dry_run"]] {
            let args = [other, &[flag]].concat();
            fails(train(place.path(), &args), 2, &[flag, other[0], "cannot be used with"]);
        }
        let mut command = train(place.path(), &[flag]);
        command.envs([("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")]);
        command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500")]);
        fails(command, 2, &[flag, "one process"]);
    }
    fails(train(place.path(), &["--find_batch_size", "--find_lr"]), 2, &["cannot be used with"]);
}

#[test]
fn an_interrupt_ends_a_measurement_at_once() {
    let place = tempfile::tempdir().unwrap();
    let mut command = train(place.path(), &["--benchmark", "vit_b_16"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line.contains("benchmark: 1/1 vit_b_16")));
    let mut kill = Command::new("kill");
    kill.args(["-INT", &child.id().to_string()]);
    ok(kill);
    let said: Vec<String> = lines.collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{said:?}");
    assert!(said.iter().any(|line| line.contains("interrupted; nothing was written")), "{said:?}");
    assert!(output.stdout.is_empty());
}
