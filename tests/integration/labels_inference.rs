//! `ml-inference` over runs with several labels an image: pairs of digits, predicted and evaluated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::distributed::together;
use crate::labels::{pairs, train_pairs};
use crate::support::{fails, ok, program, read, train};
use crate::train::{digits, python};

fn infer(place: &Path, args: &[&str]) -> Command {
    let args = [&["--device", "cpu"][..], args].concat();
    program(env!("CARGO_BIN_EXE_ml-inference"), place, &args)
}

fn stdout(command: Command) -> String {
    String::from_utf8(ok(command).stdout).unwrap()
}

fn json_of(command: Command) -> Value {
    serde_json::from_str(&stdout(command)).unwrap()
}

/// Of predictions as JSON lines, the names of the files and what is said of them.
fn lines(text: &str) -> BTreeMap<String, Value> {
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let path = Path::new(line["path"].as_str().unwrap());
        (path.file_name().unwrap().to_str().unwrap().to_owned(), line)
    };
    text.lines().map(line).collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// A probability as the program has it.
fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn numbers(list: &Value) -> Vec<f32> {
    list.as_array().unwrap().iter().map(number).collect()
}

/// The thresholds of a checkpoint by the names of its classes, which are digits.
fn thresholds(checkpoint: &Path) -> Vec<f32> {
    let kept: Value = serde_json::from_str(&python("label_thresholds.py", &[checkpoint])).unwrap();
    numbers(&kept["thresholds"])
}

fn summary(run: &Path) -> serde_yaml::Value {
    serde_yaml::from_str(&read(run.join("summary.yaml"))).unwrap()
}

/// Both up to the last digits, which depend on the batch and on how norms are computed.
fn near(one: f64, two: f64) {
    assert!((one - two).abs() <= 1e-3, "{one} and {two}");
}

#[test]
fn several_labels_are_evaluated_and_predicted_from_their_thresholds_on() {
    let place = tempfile::tempdir().unwrap();
    let (place, data) = (place.path(), pairs(place.path(), 600));
    ok(train_pairs(place, &data, "pairs", &["--num_epochs", "4", "--precision", "fp32"]));
    let run = place.join("runs/pairs");
    let fitted = thresholds(&run.join("best.pt"));

    let report = json_of(infer(place, &["--checkpoint", "runs/pairs", "--json"]));
    near(report["mean_average_precision"].as_f64().unwrap(), summary(&run)["test_map"].as_f64().unwrap());
    assert_eq!((&report["split"], &report["task"]), (&json!("test"), &json!("multi_label")));
    let classes = report["classes"].as_array().unwrap();
    assert_eq!(classes.iter().map(|class| number(&class["threshold"])).collect::<Vec<_>>(), fitted);
    assert!(classes.iter().all(|class| class["average_precision"].is_f64()), "{report}");
    let written: Value = serde_json::from_str(&read(run.join("report/label_report_test.json"))).unwrap();
    assert_eq!(written["micro_average"], report["micro_average"]);
    let table = stdout(infer(place, &["--checkpoint", "runs/pairs", "--split", "val"]));
    for part in ["mAP ", "Hamming loss", "subset accuracy", "sample average", "threshold"] {
        assert!(table.contains(part), "{part} is not in {table}");
    }
    let val = json_of(infer(place, &["--checkpoint", "runs/pairs/best.pt", "--split", "val", "--json"]));
    near(val["mean_average_precision"].as_f64().unwrap(), summary(&run)["best_val_map"].as_f64().unwrap());
    // A table of all images, whose classes are found by name.
    let all =
        json_of(infer(place, &["--checkpoint", "runs/pairs", "--data_dir", "pairs/list.csv", "--json"]));
    assert_eq!((&all["split"], &all["num_samples"]), (&json!("all"), &json!(600)));

    let predict = |more: &[&str]| {
        let args = [&["--checkpoint", "runs/pairs", "pairs/images", "-q"][..], more].concat();
        stdout(infer(place, &args))
    };
    let predicted = lines(&predict(&["--json"]));
    assert_eq!(predicted.len(), 600);
    for line in predicted.values() {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["path", "labels", "probabilities", "top_k"]);
        let (labels, probabilities) = (texts(&line["labels"]), numbers(&line["probabilities"]));
        assert_eq!(labels.len(), probabilities.len());
        assert!(probabilities.is_sorted_by(|one, two| one >= two), "{line}");
        let least = |label: &String| fitted[label.parse::<usize>().unwrap()];
        assert!(labels.iter().zip(&probabilities).all(|(label, found)| *found >= least(label)), "{line}");
        for one in line["top_k"].as_array().unwrap() {
            let class = one["class"].as_str().unwrap().to_owned();
            let is_label = number(&one["probability"]) >= least(&class);
            assert_eq!(labels.contains(&class), is_label, "{line}");
        }
        assert_eq!(line["top_k"].as_array().unwrap().len(), 5);
    }
    // What the evaluation of the test split says of its images.
    let evaluated = read(run.join("report/predictions_test.csv"));
    assert!(evaluated.starts_with("path,labels,predicted,"), "{evaluated}");
    assert!(evaluated.lines().count() > 50);
    for row in evaluated.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let name = Path::new(fields[0]).file_name().unwrap().to_str().unwrap();
        let expected: BTreeSet<String> =
            fields[2].split('|').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        assert_eq!(texts(&predicted[name]["labels"]).into_iter().collect::<BTreeSet<_>>(), expected, "{row}");
    }

    let csv = predict(&["--format", "csv", "--top_k", "2"]);
    let header = "path,labels,probabilities,top_1_class,top_1_probability,top_2_class,top_2_probability";
    assert_eq!(csv.lines().next(), Some(header));
    for row in csv.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let line = &predicted[Path::new(fields[0]).file_name().unwrap().to_str().unwrap()];
        assert_eq!(fields[1], texts(&line["labels"]).join("|"), "{row}");
        assert_eq!(fields[1].is_empty(), fields[2].is_empty());
        near(fields[4].parse().unwrap(), line["top_k"][0]["probability"].as_f64().unwrap());
    }
    let all = lines(&predict(&["--json", "--threshold", "0", "--top_k", "2"]));
    let sizes =
        |key: &str| all.values().map(|line| line[key].as_array().unwrap().len()).collect::<BTreeSet<_>>();
    assert_eq!((sizes("labels"), sizes("top_k")), (BTreeSet::from([10]), BTreeSet::from([2])));
    let table = predict(&[]);
    assert!(table.starts_with("path") && table.lines().next().unwrap().ends_with("labels"), "{table}");

    ok(infer(
        place,
        &["--checkpoint", "runs/pairs", "pairs/images", "--format", "csv", "--output", "all.csv"],
    ));
    assert_eq!(read(place.join("all.csv")).lines().count(), 601);
}

#[test]
fn two_processes_predict_and_evaluate_several_labels_as_one() {
    let place = tempfile::tempdir().unwrap();
    let (place, data) = (place.path(), pairs(place.path(), 150));
    ok(train_pairs(place, &data, "pairs", &["--precision", "fp32"]));
    let command = |args: &[&str]| {
        let args = [&["--checkpoint", "runs/pairs", "--batch_size", "7"][..], args].concat();
        infer(place, &args)
    };
    let evaluate = ["--split", "train", "--json", "--output", "reports"];
    let one = json_of(command(&evaluate));
    let two: Value = serde_json::from_str(&together(2, |_| command(&evaluate)).swap_remove(0).out).unwrap();
    assert_eq!((&one["num_samples"], &one["num_labels"]), (&two["num_samples"], &two["num_labels"]));
    for key in ["mean_average_precision", "hamming_loss", "loss"] {
        near(one[key].as_f64().unwrap(), two[key].as_f64().unwrap());
    }
    let predict = ["pairs/images", "--json"];
    let one = stdout(command(&predict));
    let two = together(2, |_| command(&predict)).swap_remove(0).out;
    assert_eq!((one.lines().count(), two.lines().count()), (150, 150));
    for (one, two) in one.lines().zip(two.lines()) {
        let [one, two] = [one, two].map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(one["path"], two["path"]);
        near(
            one["top_k"][0]["probability"].as_f64().unwrap(),
            two["top_k"][0]["probability"].as_f64().unwrap(),
        );
    }
}

#[test]
fn several_runs_with_several_labels_are_one_model() {
    let place = tempfile::tempdir().unwrap();
    let (place, data) = (place.path(), pairs(place.path(), 150));
    ok(train_pairs(place, &data, "group", &["--precision", "fp32", "--seeds", "2", "--seed", "7"]));
    let members = ["runs/group/seed_7", "runs/group/seed_8"];
    let predict = |checkpoint: &str| {
        lines(&stdout(infer(place, &["--checkpoint", checkpoint, "pairs/images", "--json", "--top_k", "10"])))
    };
    let of_class = |line: &Value, class: usize| {
        let found = line["top_k"].as_array().unwrap().iter();
        let class = class.to_string();
        let mut found = found.filter(|one| one["class"] == class);
        found.next().unwrap()["probability"].as_f64().unwrap()
    };
    let [one, two] = members.map(predict);
    let both = predict("runs/group");
    assert_eq!(both.len(), 150);
    for (name, line) in &both {
        for class in 0..10 {
            let mean = f64::midpoint(of_class(&one[name], class), of_class(&two[name], class));
            assert!((of_class(line, class) - mean).abs() < 1e-6, "{line}");
        }
    }
    let report = json_of(infer(place, &["--checkpoint", "runs/group", "--json", "--output", "reports"]));
    let [one, two] = members.map(|run| thresholds(&place.join(run).join("best.pt")));
    for (class, (one, two)) in one.iter().zip(two).enumerate() {
        let threshold = number(&report["classes"][class]["threshold"]);
        assert!((threshold - f32::midpoint(*one, two)).abs() < 1e-6, "{class}: {threshold}");
    }
}

#[test]
fn soups_of_several_labels_are_chosen_by_mean_average_precision() {
    let place = tempfile::tempdir().unwrap();
    let (place, data) = (place.path(), pairs(place.path(), 240));
    ok(train_pairs(place, &data, "pairs", &["--num_epochs", "3"]));
    let weights = ["--weights", "runs/pairs/best.pt", "--lr", "0.001", "--seed", "2"];
    ok(train_pairs(place, &data, "next", &weights));
    let soup = ["--soup", "runs/pairs", "runs/next", "--device", "cpu", "--json"];
    let made = json_of(program(env!("CARGO_BIN_EXE_ml-train"), place, &soup));
    let best = made["steps"][0]["val_map"].as_f64().unwrap();
    assert!(made["val_map"].as_f64().unwrap() >= best, "{made}");
    let val = json_of(infer(place, &["--checkpoint", "soup.pt", "--split", "val", "--json"]));
    near(val["mean_average_precision"].as_f64().unwrap(), made["val_map"].as_f64().unwrap());
}

#[test]
fn weights_of_other_programs_give_several_labels_where_the_task_says_so() {
    let place = tempfile::tempdir().unwrap();
    let (place, data) = (place.path(), pairs(place.path(), 120));
    ok(train_pairs(place, &data, "pairs", &["--num_epochs", "1"]));
    std::fs::create_dir(place.join("other")).unwrap();
    python("foreign_files.py", &[&place.join("runs/pairs/last.pt"), &place.join("other")]);
    let args = [
        "--weights",
        "other/bare.pt",
        "--architecture",
        "tiny_net",
        "--task",
        "multi_label",
        "pairs/images/0000.png",
        "--json",
        "--top_k",
        "10",
    ];
    let line = json_of(infer(place, &args));
    let top_k = line["top_k"].as_array().unwrap();
    let predicted = top_k.iter().filter(|one| one["probability"].as_f64().unwrap() >= 0.5).count();
    assert_eq!((top_k.len(), line["labels"].as_array().unwrap().len()), (10, predicted));
    let single = infer(place, &[&args[..4], &args[6..]].concat());
    assert!(json_of(single)["class"].is_string());
}

#[test]
fn data_sets_and_flags_of_the_other_task_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let (place, several) = (place.path(), pairs(place.path(), 120));
    let single = digits(place, 3, 20);
    ok(train_pairs(place, &several, "pairs", &["--num_epochs", "1"]));
    let data = ["--data_dir", single.to_str().unwrap(), "--run_name", "digits", "--num_epochs", "1"];
    ok(train(place, &data));
    let one_each = ["have one label each", "the model gives an image several"];
    let image = "pairs/images/0000.png";
    for (args, parts) in [
        (&["--checkpoint", "runs/pairs", "--data_dir", "digits"][..], &one_each[..]),
        (&["--checkpoint", "runs/pairs", "--data_dir", "digits/raw"], &one_each),
        (
            &["--checkpoint", "runs/digits", "--data_dir", "pairs"],
            &["have several labels", "the model gives an image one"],
        ),
        (&["--checkpoint", "runs/pairs", image, "--max_error", "0.1"], &["--max_error", "--threshold"]),
        (&["--checkpoint", "runs/digits", image, "--threshold", "0.5"], &["--threshold", "one label"]),
        (
            &["--checkpoint", "runs/digits", "--label_separator", ";"],
            &["--label_separator", "several labels"],
        ),
        (&["--checkpoint", "runs/pairs", image, "--threshold", "2"], &["--threshold", "from 0 to 1"]),
        (&["--checkpoint", "runs/pairs", image, "--task", "multi_label"], &["--task", "--weights"]),
    ] {
        fails(infer(place, args), 2, parts);
    }
    let soup = ["--soup", "runs/pairs", "runs/digits"];
    let parts = ["--soup", "different tasks (data.task): multi_label and single_label"];
    fails(program(env!("CARGO_BIN_EXE_ml-train"), place, &soup), 2, &parts);
}
