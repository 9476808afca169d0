//! What shows runs with several labels an image, by the real programs: pairs of digits.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::labels::{pairs, train_pairs};
use crate::support::{fails, ok, program, read, train};
use crate::train::digits;

fn visualise(place: &Path, args: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_ml-visualise"), place, args)
}

fn said(command: Command) -> String {
    String::from_utf8(ok(command).stdout).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap()
}

/// The text of a page, without tags.
fn text_of(page: &str) -> String {
    let pieces = page.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
    pieces.collect::<Vec<_>>().join("").replace('\u{a0}', " ")
}

#[test]
fn the_report_of_several_labels_has_the_figures_of_the_summary() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 300);
    ok(train_pairs(place.path(), &data, "base", &["--num_epochs", "4"]));
    let run = place.path().join("runs/base");
    let report = run.join("report");
    let summary: serde_yaml::Value = serde_yaml::from_str(&read(run.join("summary.yaml"))).unwrap();
    let test = json(&report.join("label_report_test.json"));
    let map = test["mean_average_precision"].as_f64().unwrap();
    assert_eq!(Some(map), summary["test_map"].as_f64());
    assert_eq!(test["classes"].as_array().unwrap().len(), 10);
    let val = json(&report.join("label_report_val.json"));
    let best = summary["best_val_map"].as_f64().unwrap();
    assert!((val["mean_average_precision"].as_f64().unwrap() - best).abs() < 1e-3, "{best}");

    let predictions = read(report.join("predictions_test.csv"));
    assert!(predictions.starts_with("path,labels,predicted,probability_0,probability_1"), "{predictions}");
    let mut rows = predictions.lines().skip(1);
    assert_eq!(rows.clone().count() as u64, test["num_samples"].as_u64().unwrap());
    assert!(rows.all(|row| row.split(',').count() == 13));
    let mistakes = read(report.join("label_mistakes_test.csv"));
    assert!(mistakes.starts_with("path,labels,predicted,class,why,probability"), "{mistakes}");

    let page = read(report.join("report.html"));
    let text = text_of(&page);
    assert!(text.contains(&format!("mAP {:.1} % on ", 100.0 * map)), "{text}");
    for id in ["curves", "metrics", "classes", "precision-recall", "label-mistakes", "label-calibration"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    for id in ["confusion", "pairs", "mistakes", "labels", "selective", "ood"] {
        assert!(!page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    // Made again from the files, it is the same.
    ok(visualise(place.path(), &["report", "runs/base"]));
    assert_eq!(text_of(&read(report.join("report.html"))), text);

    let listed: Value =
        serde_json::from_str(&said(visualise(place.path(), &["runs", "--format", "json"]))).unwrap();
    assert_eq!(listed[0]["test_map"].as_f64(), Some(map));
    assert_eq!((&listed[0]["val_accuracy"], &listed[0]["test_accuracy"]), (&Value::Null, &Value::Null));
    let table = said(visualise(place.path(), &["runs"]));
    assert!(table.contains("val_map") && !table.contains("val_accuracy"), "{table}");
}

#[test]
fn each_predicted_class_has_a_heatmap() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 120);
    ok(train_pairs(place.path(), &data, "base", &[]));
    let images = ["pairs/images/0000.png", "pairs/images/0001.png"];
    let output =
        said(visualise(place.path(), &["cam", "runs/base", images[0], images[1], "--output", "cam"]));
    assert!(output.lines().count() >= 2, "{output}");
    for name in ["cam/0000_1.png", "cam/0001_2.png"] {
        assert!(place.path().join(name).is_file(), "{name}: {output}");
    }
    let output =
        said(visualise(place.path(), &["cam", "runs/base", images[0], "--class", "7", "--output", "one"]));
    assert_eq!(output.lines().count(), 1, "{output}");
    ok(visualise(place.path(), &["cam", "runs/base"]));
    let list = json(&place.path().join("runs/base/report/cam/cam.json"));
    for one in list["images"].as_array().unwrap() {
        let labels: Vec<&str> = one["label"].as_str().unwrap().split('|').collect();
        let is_label = labels.contains(&one["prediction"].as_str().unwrap());
        assert_eq!(one["correct"].as_bool(), Some(is_label), "{one}");
    }
}

#[test]
fn runs_with_several_labels_are_compared_with_each_other_only() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 150);
    ok(train_pairs(place.path(), &data, "one", &[]));
    ok(train_pairs(place.path(), &data, "two", &["--set", "seed=7"]));
    let compare = |runs: [&str; 2]| {
        visualise(place.path(), &["compare", runs[0], runs[1], "--output", "comparison.html"])
    };
    let output = said(compare(["runs/one", "runs/two"]));
    assert!(output.contains("mAP of the second less that of the first"), "{output}");
    assert!(read(place.path().join("comparison.html")).contains("Highest mAP"));
    let digits = digits(place.path(), 2, 20);
    ok(train(place.path(), &["--data_dir", digits.to_str().unwrap(), "--run_name", "single"]));
    fails(compare(["runs/one", "runs/single"]), 2, &["several labels", "compare runs of one kind"]);
}

#[test]
fn embeddings_have_all_labels() {
    let place = tempfile::tempdir().unwrap();
    let data = pairs(place.path(), 120);
    ok(train_pairs(place.path(), &data, "base", &[]));
    ok(visualise(place.path(), &["embed", "runs/base", "--split", "val", "--output", "embedded"]));
    let list = read(place.path().join("embedded/embeddings_val.csv"));
    let labels: Vec<&str> = list.lines().skip(1).map(|row| row.split_once(',').unwrap().1).collect();
    assert!(labels.iter().any(|labels| labels.contains('|')), "{list}");
}
