//! Splits that say little: a single class, a class without images, too few images to calibrate by.

use std::fs;

use super::{inference, text, visualise};
use crate::support::{fails, ok, read, small_digits, train};

/// A tree of folders with as many images of each digit in each split as `counts` says.
fn tree(counts: [(&str, [usize; 3]); 3]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let raw = place.path().join("all");
    small_digits(&raw, &[0, 1, 2].map(|class| counts.iter().map(|of| of.1[class]).sum::<usize>()));
    for class in 0..3 {
        let folder = raw.join(class.to_string());
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut files = files.into_iter();
        for (split, of) in counts {
            let to = place.path().join("data").join(split).join(class.to_string());
            for file in files.by_ref().take(of[class]) {
                fs::create_dir_all(&to).unwrap();
                fs::rename(&file, to.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    ok(train(place.path(), &["--data_dir", "data", "--num_epochs", "1", "--run_name", "base"]));
    place
}

#[test]
fn too_few_validation_images_and_a_class_without_images_are_told() {
    let place = tree([("train", [30, 30, 30]), ("val", [6, 6, 6]), ("test", [10, 10, 0])]);
    let run = place.path().join("runs/base");
    let summary = read(run.join("summary.yaml"));
    assert!(summary.contains("not_calibrated: ") && summary.contains("but there are 18"), "{summary}");
    let page = read(run.join("report/report.html"));
    for part in ["No temperature was fitted: a temperature needs at least 50 samples", "Confusion matrix"] {
        assert!(page.contains(part), "{part} is not in the report");
    }
    assert!(!page.contains(">NaN") && !page.contains("was chosen on the"));
    let report: serde_json::Value =
        serde_json::from_str(&read(run.join("report/classification_report_test.json"))).unwrap();
    assert_eq!((&report["classes"][2]["support"], &report["num_samples"]), (&0.into(), &20.into()));
    assert!(report["classes"][2]["roc_auc"].is_null() && report["macro_roc_auc"].is_f64());
    let output = ok(inference(place.path(), &[]));
    assert!(text(&output).contains("Metrics without a denominator"), "{}", text(&output));
    let unsure = ["data/test", "--max_error", "0.1"];
    fails(inference(place.path(), &unsure), 2, &["no calibration", "at least 50"]);
    ok(visualise(place.path(), &["report", "runs/base"]));
}

#[test]
fn splits_of_a_single_class_are_evaluated_and_not_calibrated_by() {
    let place = tree([("train", [30, 30, 30]), ("val", [55, 0, 0]), ("test", [0, 10, 0])]);
    let run = place.path().join("runs/base");
    assert!(read(run.join("summary.yaml")).contains("at least two classes"));
    for split in ["val", "test"] {
        let report: serde_json::Value =
            serde_json::from_str(&read(run.join(format!("report/classification_report_{split}.json"))))
                .unwrap();
        let accuracy = report["accuracy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&accuracy), "{accuracy}");
        assert!(report["macro_roc_auc"].is_null(), "{split}");
        let output = ok(inference(place.path(), &["--split", split]));
        assert!(text(&output).contains("accuracy"), "{split}");
    }
    ok(visualise(place.path(), &["report", "runs/base"]));
    let page = read(run.join("report/report.html"));
    assert!(page.contains("No temperature was fitted") && !page.contains(">NaN"));
}
