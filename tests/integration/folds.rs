//! Runs over folds and seeds: one command, one status, one report, one model.

use std::fs;
use std::path::Path;

use crate::support::{fails, ok, program, read, small_digits, train};

/// Three digits in three folds, with a test split; ten groups.
fn split() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    small_digits(&place.path().join("data/raw"), &[60, 60, 60]);
    let args = ["data", "--folds", "3", "--test_ratio", "0.1", "--group_by", r"(\d)\d\.png"];
    ok(program(env!("CARGO_BIN_EXE_ml-split"), place.path(), &args));
    place
}

/// The report of all folds, which has every part.
fn page_of_folds(group: &Path) -> String {
    let page = read(group.join("report/report.html"));
    for part in [
        "Cross-validation",
        "fold 0",
        "../fold_2/report/report.html",
        "95",
        "Confusion matrix",
        "Typical images",
        "Possible label errors",
        "Calibration",
        "Risk by coverage",
        "Accuracy by group",
        "Each fold has a threshold of its own",
        "data:image/jpeg;base64,",
    ] {
        assert!(page.contains(part), "{part} is not in the report");
    }
    assert!(read(group.join("fold_0/report/report.html")).contains("Kept together"));
    let issues = read(group.join("report/label_issues_out_of_fold.csv"));
    let command = "--exclude runs/fold_all_epochs_3/report/label_issues_out_of_fold.csv";
    assert_eq!(issues.lines().count() > 1, page.contains(command), "{issues}");
    page
}

#[test]
fn all_folds_are_one_command_one_report_and_one_model() {
    let place = split();
    let args = ["--data_dir", "data", "--num_epochs", "3", "--fold", "all", "--json"];
    let output = ok(train(place.path(), &args));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["status"], &summary["kind"]), (&"completed".into(), &"folds".into()));
    let accuracies: Vec<f64> =
        (0..3).map(|fold| summary["runs"][fold]["best_val_accuracy"].as_f64().unwrap()).collect();
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    assert!((summary["val_accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    let group = place.path().join("runs/fold_all_epochs_3");
    assert_eq!(summary["run"], "runs/fold_all_epochs_3");

    // Each image once, by the network that was not trained on it.
    let report: serde_json::Value =
        serde_json::from_str(&read(group.join("report/classification_report_out_of_fold.json"))).unwrap();
    let table = |path: &Path| {
        let text = read(path);
        let mut rows: Vec<String> =
            text.lines().skip(1).map(|line| line.split(',').take(5).collect()).collect();
        rows.sort();
        rows
    };
    let mut of_folds: Vec<String> = (0..3)
        .flat_map(|fold| table(&group.join(format!("fold_{fold}/report/predictions_val.csv"))))
        .collect();
    of_folds.sort();
    let pooled = table(&group.join("report/predictions_out_of_fold.csv"));
    assert_eq!(pooled, of_folds);
    assert_eq!(report["num_samples"], pooled.len());
    let groups = report["groups"].as_array().unwrap();
    let grouped: u64 = groups.iter().map(|group| group["count"].as_u64().unwrap()).sum();
    assert!(groups.len() > 5 && grouped == pooled.len() as u64, "{groups:?}");
    assert!(read(group.join("report/label_issues_out_of_fold.csv")).starts_with("path,label,suggested"));
    let page = page_of_folds(&group);

    // The page can be made again; several runs are not compared as one, and have no threshold.
    let visualise = |args: &[&str]| program(env!("CARGO_BIN_EXE_ml-visualise"), place.path(), args);
    fs::remove_file(group.join("report/report.html")).unwrap();
    let written = ok(visualise(&["report", "runs/fold_all_epochs_3"]));
    assert_eq!(
        String::from_utf8(written.stdout).unwrap().trim(),
        "runs/fold_all_epochs_3/report/report.html"
    );
    assert_eq!(read(group.join("report/report.html")), page);
    let compared = ["compare", "runs/fold_all_epochs_3", "runs/fold_all_epochs_3/fold_0"];
    fails(visualise(&compared), 2, &["several runs", "such as runs/fold_all_epochs_3/fold_0"]);
    let unsure = ["--device", "cpu", "-c", "runs/fold_all_epochs_3", "data/raw/1", "--max_error", "0.1"];
    let unsure = program(env!("CARGO_BIN_EXE_ml-inference"), place.path(), &unsure);
    fails(
        unsure,
        2,
        &["several runs together have no threshold", "--checkpoint runs/fold_all_epochs_3/fold_0"],
    );

    // The mean of the probabilities and of the scores of all runs.
    let inference = |model: &str, image: &str| {
        let args = ["--device", "cpu", "-c", model, image, "--json", "--top_k", "3"];
        let output = ok(program(env!("CARGO_BIN_EXE_ml-inference"), place.path(), &args));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut classes: Vec<(String, f64)> = line["top_k"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["class"].as_str().unwrap().to_owned(), one["probability"].as_f64().unwrap()))
            .collect();
        classes.sort_by(|one, other| one.0.cmp(&other.0));
        let probabilities = classes.into_iter().map(|(_, probability)| probability);
        probabilities.chain(line["ood_score"].as_f64()).collect::<Vec<f64>>()
    };
    let name = fs::read_dir(place.path().join("data/raw/1")).unwrap().next().unwrap().unwrap().file_name();
    let image = format!("data/raw/1/{}", name.to_string_lossy());
    let singles: Vec<Vec<f64>> =
        (0..3).map(|fold| inference(&format!("runs/fold_all_epochs_3/fold_{fold}"), &image)).collect();
    let together = inference("runs/fold_all_epochs_3", &image);
    assert_eq!(together.len(), 4, "three classes and a score");
    for (place, found) in together.into_iter().enumerate() {
        let wanted = singles.iter().map(|of| of[place]).sum::<f64>() / 3.0;
        assert!((found - wanted).abs() < 1e-5 * wanted.max(1.0), "{place}: {found} and {wanted}");
    }

    // All together know the validation images of each, but not the test images.
    let evaluate = |split: &str| {
        let args = ["--device", "cpu", "-c", "runs/fold_all_epochs_3", "--split", split];
        program(env!("CARGO_BIN_EXE_ml-inference"), place.path(), &args)
    };
    fails(evaluate("val"), 2, &["trained with the others' validation images", "out_of_fold"]);
    assert!(String::from_utf8(ok(evaluate("test")).stdout).unwrap().contains("accuracy"));

    // What is done is not done again, and the settings of all cannot be changed at once.
    let before = fs::metadata(group.join("fold_1/best.pt")).unwrap().modified().unwrap();
    ok(train(place.path(), &["--resume", "runs/fold_all_epochs_3"]));
    assert_eq!(fs::metadata(group.join("fold_1/best.pt")).unwrap().modified().unwrap(), before);
    let resumed = ["--resume", "runs/fold_all_epochs_3", "--lr", "0.5"];
    fails(train(place.path(), &resumed), 2, &["continued as they are", "fold_0"]);
}

#[test]
fn a_fold_that_was_not_finished_is_continued_and_gives_the_same() {
    let place = split();
    let args = ["--data_dir", "data", "--num_epochs", "2", "--fold", "all", "--run_name"];
    ok(train(place.path(), &[&args[..], &["whole"]].concat()));
    ok(train(place.path(), &[&args[..], &["cut"]].concat()));
    // As after a kill in the second fold, after its first epoch; the third never began.
    let cut = place.path().join("runs/cut");
    fs::remove_dir_all(cut.join("fold_2")).unwrap();
    fs::remove_dir_all(cut.join("report")).unwrap();
    fs::remove_dir_all(cut.join("fold_1")).unwrap();
    let stops = ["--data_dir", "data", "--num_epochs", "2", "--fold", "1", "--runs_dir", "runs/cut"];
    let mut child = train(place.path(), &[&stops[..], &["--run_name", "fold_1"]].concat()).spawn().unwrap();
    for _ in 0..600 {
        if cut.join("fold_1/last.pt").is_file() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fails(
        program(
            env!("CARGO_BIN_EXE_ml-inference"),
            place.path(),
            &["--device", "cpu", "-c", "runs/cut", "data/raw"],
        ),
        2,
        &["no best.pt yet", "ml-train --resume runs/cut"],
    );
    ok(train(place.path(), &["--resume", "runs/cut"]));
    for fold in 0..3 {
        let of = |group: &str| read(place.path().join(format!("runs/{group}/fold_{fold}/metrics.csv")));
        let figures = |text: String| -> Vec<String> {
            // Without the times.
            text.lines().map(|line| line.split(',').take(5).collect::<Vec<_>>().join(",")).collect()
        };
        assert_eq!(figures(of("whole")), figures(of("cut")), "fold {fold}");
    }
    assert!(read(cut.join("summary.yaml")).starts_with("status: completed"));
    assert!(cut.join("report/predictions_out_of_fold.csv").is_file());

    // They are compared image by image: none is predicted otherwise.
    let visualise = |args: &[&str]| program(env!("CARGO_BIN_EXE_ml-visualise"), place.path(), args);
    let compared = String::from_utf8(ok(visualise(&["compare", "runs/whole", "runs/cut"])).stdout).unwrap();
    for part in ["out-of-fold split", "both are right on the same images", "predicted by the run of its fold"]
    {
        assert!(compared.contains(part), "{part} is not in {compared}");
    }
    assert!(read(place.path().join("comparison.html")).contains("runs/cut/report/report.html"));
    let with_split = ["compare", "runs/whole", "runs/cut", "--split", "val"];
    fails(visualise(&with_split), 2, &["--split val", "each fold held out"]);
    fs::remove_file(cut.join("report/predictions_out_of_fold.csv")).unwrap();
    let damaged = visualise(&["compare", "runs/whole", "runs/cut"]);
    fails(damaged, 1, &["predictions_out_of_fold.csv", "ml-visualise report runs/cut"]);
}

#[test]
fn seeds_are_repeated_with_their_spread() {
    let place = tempfile::tempdir().unwrap();
    small_digits(&place.path().join("data/raw"), &[60, 60]);
    ok(program(env!("CARGO_BIN_EXE_ml-split"), place.path(), &["data"]));
    let args = ["--data_dir", "data", "--num_epochs", "1", "--seeds", "2", "--seed", "7", "--run_name", "s"];
    ok(train(place.path(), &args));
    assert!(read(place.path().join("runs/s/seed_7/config.yaml")).contains("seed: 7"));
    assert!(read(place.path().join("runs/s/seed_8/config.yaml")).contains("seed: 8"));
    let summary = read(place.path().join("runs/s/summary.yaml"));
    assert!(summary.contains("test_accuracy:") && summary.contains("interval:"), "{summary}");
    let page = read(place.path().join("runs/s/report/report.html"));
    assert!(page.contains("Several seeds") && page.contains("seed 8"), "{page}");
}

#[test]
fn what_cannot_be_repeated_is_said() {
    let place = tempfile::tempdir().unwrap();
    small_digits(&place.path().join("data/raw"), &[30, 30]);
    ok(program(env!("CARGO_BIN_EXE_ml-split"), place.path(), &["data"]));
    let all = ["--data_dir", "data", "--fold", "all"];
    fails(train(place.path(), &all), 2, &["not split into folds", "ml-split --folds"]);
    fails(train(place.path(), &[&all[..], &["--seeds", "2"]].concat()), 2, &["--seeds and --fold all"]);
    fails(train(place.path(), &["--data_dir", "data", "--seeds", "0"]), 2, &["--seeds"]);
    assert!(!place.path().join("runs").exists(), "nothing was written");
}
