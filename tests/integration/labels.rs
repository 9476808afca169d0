//! Several labels an image, by the real programs: pairs of digits, from `ml-split` to `best.pt`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::GrayImage;

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, start, train, workspace};
use crate::train::{digits, python};

/// `count` images of two digits side by side, at most 1790, divided by `ml-split`; the labels of an
/// image are its digits.
pub fn pairs(place: &Path, count: usize) -> PathBuf {
    let data = place.join("pairs");
    std::fs::create_dir_all(data.join("images")).unwrap();
    let mut all: Vec<(usize, GrayImage)> = Vec::new();
    for digit in 0..10 {
        let folder = workspace().join(format!("tests/data/digits/raw/{digit}"));
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.collect();
        files.sort();
        all.extend(files.iter().map(|file| (digit, image::open(file).unwrap().to_luma8())));
    }
    let mut list = "path,labels\n".to_owned();
    for number in 0..count {
        // Both steps have no divisor in common with the number of digits.
        let of = |step: usize, first: usize| &all[(number * step + first) % all.len()];
        let (left, right) = (of(1009, 0), of(613, 5));
        let (width, height) = left.1.dimensions();
        let pair = GrayImage::from_fn(2 * width, height, |x, y| {
            *if x < width { left.1.get_pixel(x, y) } else { right.1.get_pixel(x - width, y) }
        });
        let name = format!("images/{number:04}.png");
        pair.save(data.join(&name)).unwrap();
        let labels = if left.0 == right.0 { left.0.to_string() } else { format!("{}|{}", left.0, right.0) };
        list += &format!("{name},{labels}\n");
    }
    std::fs::write(data.join("list.csv"), list).unwrap();
    let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
    split.arg(data.join("list.csv")).args(["--task", "multi_label"]);
    ok(split);
    data
}

/// A run on such pairs.
pub fn train_pairs(place: &Path, data: &Path, name: &str, more: &[&str]) -> Command {
    let sizes = [
        "transforms.train.resize=[16, 32]",
        "transforms.train.random_crop=null",
        "transforms.val.resize=[16, 32]",
        "data.task=multi_label",
    ];
    let mut args = vec!["--data_dir", data.to_str().unwrap(), "--run_name", name];
    args.extend(sizes.iter().flat_map(|set| ["--set", *set]));
    args.extend(more);
    train(place, &args)
}

/// Columns of `metrics.csv` by name, an item an epoch.
fn metrics(run: &Path) -> BTreeMap<String, Vec<f64>> {
    let text = read(run.join("metrics.csv"));
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut columns = BTreeMap::<String, Vec<f64>>::new();
    for line in lines {
        for (name, value) in names.iter().zip(line.split(',')) {
            columns.entry((*name).to_owned()).or_default().push(value.parse().unwrap());
        }
    }
    columns
}

/// The same but for sums in another order, by which a few of the images may come out otherwise.
fn near(one: &BTreeMap<String, Vec<f64>>, two: &BTreeMap<String, Vec<f64>>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    for (column, values) in one {
        assert_eq!(values.len(), two[column].len());
        for (a, b) in values.iter().zip(&two[column]) {
            let apart = if column.ends_with("loss") { 1e-2 } else { 0.1 };
            assert!((a - b).abs() <= apart, "{column}: {a} and {b}");
        }
    }
}

#[test]
fn pairs_of_digits_reach_a_mean_average_precision_of_99_percent() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 1790);
    let output = ok(train_pairs(place.path(), &data, "pairs", &["--num_epochs", "10"]));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in [" micro F1 ", "best validation mAP ", "test mAP ", "test: mAP "] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let run = place.path().join("runs/pairs");
    let header = "epoch,step,learning_rate,train_loss,train_subset_accuracy,val_loss,val_map,val_micro_f1,\
                  val_macro_f1,val_sample_f1,val_hamming_loss,val_subset_accuracy";
    assert_eq!(read(run.join("metrics.csv")).lines().next(), Some(header));
    let metrics = metrics(&run);
    let best = metrics["val_map"].iter().copied().fold(0.0, f64::max);
    assert!(best >= 0.99, "{metrics:?}");
    let summary: serde_yaml::Value = serde_yaml::from_str(&read(run.join("summary.yaml"))).unwrap();
    assert_eq!(summary["monitor"], "val_map");
    assert_eq!(summary["best_val_map"].as_f64(), Some(best));
    assert!(summary["test_map"].as_f64().unwrap() >= 0.99, "{summary:?}");
    let config = read(run.join("config.yaml"));
    assert!(config.contains("name: bce") && config.contains("monitor: val_map"), "{config}");
    let kept: serde_json::Value =
        serde_json::from_str(&python("label_thresholds.py", &[&run.join("best.pt")])).unwrap();
    assert_eq!(kept["task"], "multi_label");
    let thresholds: Vec<f64> =
        kept["thresholds"].as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
    assert_eq!(thresholds.len(), 10);
    assert!(thresholds.iter().all(|one| (0.0..=1.0).contains(one)), "{thresholds:?}");
    assert!(thresholds.iter().any(|one| *one != 0.5), "{thresholds:?}");
}

#[test]
fn a_run_with_several_labels_that_was_killed_ends_like_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 240);
    let runs = place.path().join("runs");
    let command = |name: &str, more: &[&str]| {
        let mut args: Vec<&str> =
            vec!["--num_epochs", "5", "--batch_size", "16", "--set", "deterministic=true"];
        for set in [
            "training.ema={decay: 0.9}",
            "training.swa={start: 0.6}",
            "training.checkpoint.every_steps=1",
            "training.early_stopping={patience: 20}",
            "scheduler={name: plateau, patience: 1}",
            "transforms.train.mixup=0.4",
        ] {
            args.extend(["--set", set]);
        }
        args.extend(more);
        train_pairs(place.path(), &data, name, &args)
    };
    ok(command("whole", &[]));
    let header = read(runs.join("whole/metrics.csv"));
    assert!(header.lines().next().unwrap().ends_with("ema_val_loss,ema_val_map"), "{header}");
    for (file, signal, code) in [("previous.pt", "-KILL", None), ("best.pt", "-INT", Some(130))] {
        let ended = cut(command("cut", &["--resume", "auto"]), &runs.join("cut").join(file), signal);
        assert!(ended == code || ended == Some(0), "{ended:?}");
    }
    ok(command("cut", &["--resume", "auto"]));
    same(&runs.join("whole"), &runs.join("cut"));
}

#[test]
fn two_processes_with_several_labels_train_as_one_that_accumulates() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 200);
    let common = ["--batch_size", "8", "--set", "training.precision=fp32"];
    let one = [&common[..], &["--set", "training.gradient_accumulation_steps=2"]].concat();
    ok(train_pairs(place.path(), &data, "one", &one));
    let mut two = train_pairs(place.path(), &data, "two", &[&common[..], &["--nproc", "2"]].concat());
    two.env("OMP_NUM_THREADS", "1");
    ok(two);
    let [one, two] = ["one", "two"].map(|name| metrics(&place.path().join("runs").join(name)));
    near(&one, &two);
}

#[test]
fn features_of_frozen_layers_are_kept_with_their_labels() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 120);
    let frozen = |name: &str, cache: &str| {
        let cache = format!("training.feature_cache={cache}");
        let more = ["--set", "model.freeze=backbone", "--set", &cache, "--set", "deterministic=true"];
        ok(train_pairs(place.path(), &data, name, &more));
        metrics(&place.path().join("runs").join(name))
    };
    near(&frozen("kept", "on"), &frozen("computed", "off"));
}

#[test]
fn a_configuration_made_for_several_labels_names_the_task() {
    let place = tempfile::tempdir().unwrap();
    pairs(place.path(), 80);
    let ml_train = |args: &[&str]| {
        let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
        command.current_dir(place.path()).args(["--device", "cpu"]).args(args);
        ok(command)
    };
    let text = String::from_utf8(ml_train(&["--init_config", "pairs"]).stdout).unwrap();
    for part in ["An image may have several labels", "task: multi_label", "name: bce", "channels: 1"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    std::fs::write(place.path().join("made.yaml"), &text).unwrap();
    ml_train(&["--config", "made.yaml", "--dry_run"]);
}

#[test]
fn task_and_data_set_that_contradict_each_other_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let several = pairs(place.path(), 120);
    let single = digits(place.path(), 2, 20);
    for (data, sets, parts) in [
        (&several, &["data.task=single_label"][..], &["several labels", "set data.task to multi_label"][..]),
        (&single, &[], &["data.task is multi_label", "set data.task to single_label"]),
        (&several, &["loss.name=cross_entropy"], &["loss.name: cross_entropy takes one label an image"]),
        (&several, &["loss.name=focal"], &["loss.name: focal takes one label"]),
        (&several, &["data.sampling.name=balanced"], &["data.sampling.name: draws images by their class"]),
        (&several, &["training.checkpoint.monitor=val_accuracy"], &["training.checkpoint.monitor"]),
        (&single, &["data.task=single_label", "training.checkpoint.monitor=val_map"], &["data.task"]),
    ] {
        let more: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
        fails(train_pairs(place.path(), data, "wrong", &more), 2, parts);
        assert!(!place.path().join("runs/wrong").exists());
    }
}

#[test]
fn runs_of_several_seeds_are_summed_up_by_their_mean_average_precision() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 200);
    let output = ok(train_pairs(place.path(), &data, "seeds", &["--num_epochs", "1", "--seeds", "2"]));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in ["seed_42: validation mAP 0.", "mean validation mAP 0.", "mean test mAP 0."] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains("mean validation accuracy"), "{said}");
    let folder = place.path().join("runs/seeds");
    let summary: serde_yaml::Value = serde_yaml::from_str(&read(folder.join("summary.yaml"))).unwrap();
    let of_runs: Vec<f64> =
        (0..2).map(|number| summary["runs"][number]["best_val_map"].as_f64().unwrap()).collect();
    let mean = summary["val_map"]["mean"].as_f64().unwrap();
    assert!((mean - f64::midpoint(of_runs[0], of_runs[1])).abs() < 1e-12, "{summary:?}");
}
