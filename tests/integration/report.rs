//! From a run to a decision: the report that a training ends with, calibrated answers, and labels
//! that are likely wrong.

mod bad_input;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{fails, ok, program, read, small_digits, train};

/// Three digits, of which some are labelled wrong, split; and a trained run of them.
fn trained() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let raw = place.path().join("data/raw");
    small_digits(&raw, &[120, 120, 120]);
    let mut files: Vec<_> = fs::read_dir(raw.join("1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files[..6] {
        fs::rename(file, raw.join("0").join(file.file_name().unwrap())).unwrap();
    }
    ok(program(env!("CARGO_BIN_EXE_ml-split"), place.path(), &["data", "--ratio", "0.6", "0.2", "0.2"]));
    ok(train(place.path(), &["--data_dir", "data", "--num_epochs", "6", "--run_name", "base"]));
    place
}

fn inference(place: &Path, args: &[&str]) -> Command {
    program(
        env!("CARGO_BIN_EXE_ml-inference"),
        place,
        &[&["--device", "cpu", "-c", "runs/base"], args].concat(),
    )
}

#[test]
fn a_training_ends_with_a_report_and_calibrated_answers() {
    let place = trained();
    let run = place.path().join("runs/base");
    let page = read(run.join("report/report.html"));
    for part in [
        "Learning curves",
        "Confusion matrix",
        "Possible label errors",
        "Calibration",
        "Selective prediction",
        "ml-split data/raw --force --exclude",
        "Train images",
        "Macro recall",
        "operating system",
        "ml-train",
        "tiny_net",
        "data:image/jpeg;base64,",
    ] {
        assert!(page.contains(part), "{part} is not in the report");
    }
    assert!(
        !page.contains("<script") && !page.contains("http://") && !page.contains("https://"),
        "no network"
    );
    let summary = read(run.join("summary.yaml"));
    for part in ["command: ", "train_seconds: ", "waiting_seconds: ", "--num_epochs 6"] {
        assert!(summary.contains(part), "{part} is not in {summary}");
    }

    // Both splits are evaluated; the figures are those of what was written beside them.
    for split in ["val", "test"] {
        let json: serde_json::Value =
            serde_json::from_str(&read(run.join(format!("report/classification_report_{split}.json"))))
                .unwrap();
        let figure = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key} of {split}"));
        for key in ["balanced_accuracy", "cohen_kappa", "matthews_correlation", "macro_roc_auc"] {
            assert!((0.0..=1.0).contains(&figure(key)), "{key}");
        }
        let [low, high] = [0, 1].map(|end| json["intervals"]["accuracy"][end].as_f64().unwrap());
        assert!(low <= figure("accuracy") && figure("accuracy") <= high);
        let predictions = read(run.join(format!("report/predictions_{split}.csv")));
        assert!(
            predictions.starts_with("path,label,prediction,probability,correct,margin,ood_score,top_1_class")
        );
        assert_eq!(predictions.lines().count() as f64 - 1.0, figure("num_samples"));
        let issues = read(run.join(format!("report/label_issues_{split}.csv")));
        assert_eq!(issues.lines().count() - 1, json["label_issues"]["count"].as_u64().unwrap() as usize);
    }

    // The temperature is in best.pt, and inference divides by it.
    let python = "import sys, torch; c = torch.load(sys.argv[1], weights_only=True)['calibration']; \
                  print(c['temperature'], c['samples'])";
    let interpreter = crate::support::workspace().join(".venv/bin/python");
    let output = ok(program(interpreter.to_str().unwrap(), &run, &["-c", python, "best.pt"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<f64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
    let [temperature, samples] = figures[..] else { panic!("{text}") };
    assert!(temperature > 0.05 && samples == 72.0, "{text}");
    let image = "data/raw/2/".to_owned() + &first_file(&place.path().join("data/raw/2"));
    let ratio = |args: &[&str]| -> f64 {
        let output =
            ok(inference(place.path(), &[&["--json", "--top_k", "2", image.as_str()], args].concat()));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let probability = |rank: usize| line["top_k"][rank]["probability"].as_f64().unwrap();
        (probability(0) / probability(1)).ln()
    };
    // Differences of logits are divided by the temperature.
    let found = ratio(&["--calibration", "off"]) / ratio(&[]);
    assert!((found / temperature - 1.0).abs() < 1e-3, "{found} and {temperature}");
}

fn first_file(folder: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.swap_remove(0)
}

#[test]
fn answers_that_are_not_sure_enough_are_uncertain() {
    let place = trained();
    let output = ok(inference(place.path(), &["data/raw", "--max_error", "0.05", "--format", "csv"]));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("are uncertain") && told.contains("of the validation images were answered"),
        "{told}"
    );
    let threshold: f64 =
        told.split("probability of ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let mut answered = 0;
    for row in csv::Reader::from_reader(&output.stdout[..]).records() {
        let row = row.unwrap();
        let probability: f64 = row[2].parse().unwrap();
        // The last column says whether it is like anything seen in training. The threshold is told
        // with four digits.
        let ood_score: f64 = row[row.len() - 1].parse().unwrap();
        if (probability - threshold).abs() > 1e-4 {
            let is_uncertain = probability < threshold || ood_score > 1.0;
            assert_eq!(&row[1] == "uncertain", is_uncertain, "{row:?}");
        }
        answered += usize::from(&row[1] != "uncertain");
    }
    assert!(answered > 100, "{answered}");
    fails(inference(place.path(), &["--max_error", "0.05"]), 2, &["--max_error", "predictions"]);
    fails(inference(place.path(), &["data/raw", "--max_error", "2"]), 2, &["--max_error", "below 1"]);
    let both = ["data/raw", "--max_error", "0.05", "--calibration", "off"];
    fails(inference(place.path(), &both), 2, &["--calibration"]);
}

#[test]
fn likely_wrong_labels_are_found_and_left_out_or_corrected_by_one_command() {
    let place = trained();
    let list = place.path().join("list.csv");
    // Of both splits, those that were planted.
    let mut wrong: Vec<String> = Vec::new();
    for split in ["val", "test"] {
        let rows = read(place.path().join(format!("runs/base/report/label_issues_{split}.csv")));
        wrong.extend(rows.lines().skip(1).filter(|row| row.contains(",0,1,")).map(str::to_owned));
    }
    assert!(!wrong.is_empty(), "none of the wrong labels is found");
    fs::write(&list, format!("path,label,suggested,self_confidence\n{}\n", wrong.join("\n"))).unwrap();
    let splits = |args: &[&str]| program(env!("CARGO_BIN_EXE_ml-split"), place.path(), args);
    ok(splits(&["data", "--force", "--exclude", "list.csv"]));
    let all = ["train", "val", "test"].map(|name| read(place.path().join(format!("data/splits/{name}.txt"))));
    assert_eq!(all.concat().lines().count(), 360 - wrong.len());
    let path = wrong[0].split(',').next().unwrap();
    assert!(!all.concat().contains(path));
    // A training on the new splits is not told that images have changed.
    let output =
        ok(train(place.path(), &["--data_dir", "data", "--num_epochs", "1", "--set", "data.on_change=fail"]));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("WARN"), "{output:?}");

    ok(splits(&["data", "--layout", "folders", "--output", "tree", "--relabel", "list.csv"]));
    let name = Path::new(path).file_name().unwrap();
    let is_there = |folder: &str| {
        ["train", "val", "test"]
            .iter()
            .any(|split| place.path().join("tree").join(split).join(folder).join(name).exists())
    };
    assert!(is_there("1/0") && !is_there("0"));
    ok(train(place.path(), &["--data_dir", "tree", "--num_epochs", "1"]));
    fails(splits(&["data", "--force", "--relabel", "list.csv"]), 2, &["--relabel", "--layout folders"]);
    fails(splits(&["data", "--force", "--exclude", "missing.csv"]), 2, &["missing.csv"]);
    fs::write(&list, "path\nraw/0/none.png\n").unwrap();
    fails(splits(&["data", "--force", "--exclude", "list.csv"]), 2, &["raw/0/none.png"]);
}

#[test]
fn a_report_can_be_made_again_also_of_what_is_left_of_a_run() {
    let place = trained();
    let run = place.path().join("runs/base");
    let report = |args: &[&str]| {
        program(env!("CARGO_BIN_EXE_ml-visualise"), place.path(), &[&["report"], args].concat())
    };
    let page = run.join("report/report.html");
    let before = read(&page);
    fs::remove_file(&page).unwrap();
    let output = ok(report(&["runs/base"]));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "runs/base/report/report.html");
    assert_eq!(read(&page), before, "the same run gives the same page");
    // Images, tables and curves are gone.
    fs::rename(place.path().join("data"), place.path().join("elsewhere")).unwrap();
    fs::remove_file(run.join("metrics.csv")).unwrap();
    fs::write(run.join("report/predictions_test.csv"), "path,label\n").unwrap();
    fs::write(run.join("report/classification_report_val.json"), "{").unwrap();
    ok(report(&["runs/base"]));
    assert!(read(&page).contains("metrics.csv"), "what is missing is said");
    for what in ["report", "logs"] {
        let _ = fs::remove_dir_all(run.join(what));
    }
    ok(report(&["runs/base"]));
    assert!(read(&page).contains("Nothing was evaluated"));
    fs::write(run.join("summary.yaml"), "status: [").unwrap();
    fails(report(&["runs/base"]), 1, &["summary.yaml"]);
    fails(report(&["nowhere"]), 2, &["nowhere"]);
    fails(report(&[]), 2, &["RUN"]);
}

#[test]
fn images_unlike_anything_seen_in_training_are_told() {
    let place = trained();
    // Digits with light and dark exchanged, and noise.
    let folder = place.path().join("odd");
    fs::create_dir(&folder).unwrap();
    let mut state = 1_u32;
    for number in 0..20 {
        let image = image::RgbImage::from_fn(8, 8, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 8) as u8, (state >> 16) as u8, (state >> 24) as u8])
        });
        image.save(folder.join(format!("{number}.png"))).unwrap();
    }
    let unlike = |images: &str| {
        let output = ok(inference(place.path(), &[images, "--format", "csv"]));
        let scores: Vec<f64> = csv::Reader::from_reader(&output.stdout[..])
            .records()
            .map(|row| {
                let row = row.unwrap();
                row[row.len() - 1].parse().unwrap()
            })
            .collect();
        scores.iter().filter(|score| **score > 1.0).count() as f64 / scores.len() as f64
    };
    assert!(unlike("data/raw") < 0.1, "nearly all digits are like digits: {}", unlike("data/raw"));
    assert!(unlike("odd") > 0.8, "noise is not: {}", unlike("odd"));
    let output = ok(inference(place.path(), &["odd/0.png"]));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("unlike anything seen in training"), "{table}");
    let page = read(place.path().join("runs/base/report/report.html"));
    assert!(page.contains("Images unlike those of training") && page.contains("Grad-CAM at layer"));
}

#[test]
fn the_reports_threshold_is_that_of_inference_and_is_measured_on_the_test_split() {
    let place = trained();
    let page = read(place.path().join("runs/base/report/report.html"));
    let page = page.replace('\u{a0}', " ").replace("<bdi>", "").replace("</bdi>", "").replace("<strong>", "");
    let page = page.replace("</strong>", "");
    let mut command = inference(place.path(), &["data/raw/0", "--max_error", "0.02", "--format", "csv"]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        // A network that is never sure enough: both say so.
        assert!(told.contains("however sure") && page.contains("however sure"), "{told}");
        return;
    }
    let number = |after: &str| -> f64 {
        told.split(after).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    let threshold = number("probability of ");
    let (before, _) = page.split_once(" % was chosen on the val split").unwrap();
    let shown: f64 = before.rsplit("A threshold of ").next().unwrap().parse().unwrap();
    assert!((shown / 100.0 - threshold).abs() < 0.001, "{shown} and {threshold}");
    let coverage = number("uncertain; ");
    assert!(page.contains(&format!("the network predicts {coverage:.1} % of the val images")), "{coverage}");
    assert!(page.contains("On images that it was not chosen by, it predicts"));
    assert!(page.contains("of the test images, and"));
}

#[test]
fn an_evaluation_of_the_runs_own_split_is_in_its_page_at_once() {
    let place = trained();
    let page = place.path().join("runs/base/report/report.html");
    assert!(!read(&page).contains("<bdi>train</bdi><br>"));
    let output = ok(inference(place.path(), &["--split", "train"]));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["hard_images_train.csv", "probabilities_train.npy", "report.html"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(read(&page).contains("<bdi>train</bdi><br>"));
}

#[test]
fn hard_images_are_left_out_by_one_command() {
    let place = trained();
    let list = "runs/base/report/hard_images_val.csv";
    let rows = read(place.path().join(list));
    assert!(
        rows.starts_with("path,label,suggested,why,probability") && rows.contains(",uncertain,"),
        "{rows}"
    );
    let splits = |args: &[&str]| program(env!("CARGO_BIN_EXE_ml-split"), place.path(), args);
    ok(splits(&["data", "--force", "--exclude", list]));
    let all = ["train", "val", "test"].map(|name| read(place.path().join(format!("data/splits/{name}.txt"))));
    assert_eq!(all.concat().lines().count(), 360 - (rows.lines().count() - 1));
    ok(splits(&["data", "--layout", "folders", "--output", "tree", "--relabel", list]));
    let typical = "runs/base/report/typical_images_val.csv";
    ok(splits(&["data", "--layout", "folders", "--output", "other", "--relabel", typical]));
}

fn visualise(place: &Path, args: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_ml-visualise"), place, args)
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn runs_are_listed_drawn_compared_and_cleaned_up() {
    let place = trained();
    let place = place.path();
    let other = ["--data_dir", "data", "--num_epochs", "1", "--lr", "0.0001", "--run_name", "weak"];
    ok(train(place, &other));

    let list = text(&ok(visualise(place, &["runs", "--sort", "name", "--format", "csv"])));
    assert!(list.lines().next().unwrap().contains("val_accuracy"), "{list}");
    assert_eq!(list.lines().count(), 3, "{list}");
    let keys = ["runs", "--columns", "name,optimizer.lr", "--filter", "optimizer.lr<0.001"];
    let found = text(&ok(visualise(place, &keys)));
    assert!(found.contains("weak") && !found.contains("base"), "{found}");
    fails(visualise(place, &["runs", "--filter", "val_acuracy>0.9"]), 2, &["did you mean `val_accuracy`"]);
    fails(visualise(place, &["runs", "nothing"]), 2, &["nothing"]);

    let curves = ["curves", "runs/base", "runs/weak", "--output", "curves.png"];
    let drawn = text(&ok(visualise(place, &curves)));
    assert!(drawn.contains("val_accuracy") && drawn.contains("weak"), "{drawn}");
    assert!(image::open(place.join("curves.png")).unwrap().width() > 400);

    let compared = text(&ok(visualise(place, &["compare", "runs/base", "runs/weak"])));
    for part in ["optimizer.lr", "accuracy", "McNemar"] {
        assert!(compared.contains(part), "{part} is not in {compared}");
    }
    let page = read(place.join("comparison.html"));
    assert!(page.contains("runs/base/report/report.html") && !page.contains("<script"));
    // A half-written run is told.
    fs::remove_file(place.join("runs/weak/report/predictions_test.csv")).unwrap();
    let broken = ["compare", "runs/base", "runs/weak", "--split", "test"];
    fails(visualise(place, &broken), 2, &["weak", "predictions"]);

    let sheet = text(&ok(visualise(place, &["samples", "runs/base", "--images", "3", "--epochs", "4"])));
    let sheet = image::open(place.join(sheet.trim())).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (16 * 5, 16 * 3));

    let written = text(&ok(visualise(place, &["embed", "runs/base"])));
    assert!(written.contains("embeddings_test.npy"), "{written}");
    let projector = read(place.join("runs/base/tensorboard/projector_config.pbtxt"));
    assert!(projector.contains("\"train\"") && projector.contains("\"test\""), "{projector}");
    let metadata = read(place.join("runs/base/tensorboard/projector/test/metadata.tsv"));
    let table = read(place.join("runs/base/report/embeddings_test.csv"));
    assert_eq!(metadata.lines().count(), table.lines().count());
    let alone = ["embed", "runs/base", "--output", "points", "--split", "val", "--points", "5"];
    assert!(text(&ok(visualise(place, &alone))).contains("points/projector_config.pbtxt"));
    assert_eq!(read(place.join("points/projector/val/tensors.tsv")).lines().count(), 5);

    let image = format!("data/raw/2/{}", first_file(&place.join("data/raw/2")));
    let shown = text(&ok(visualise(place, &["cam", "runs/base", &image, "--class", "1"])));
    assert!(shown.contains("cam/") && image::open(place.join(shown.split("   ").next().unwrap())).is_ok());
    fails(visualise(place, &["cam", "runs/base", &image, "--class", "x"]), 2, &["no such class"]);

    fs::create_dir_all(place.join("runs/never")).unwrap();
    fs::write(place.join("runs/never/.lock"), "").unwrap();
    fails(visualise(place, &["clean", "--checkpoints"]), 2, &["--yes"]);
    assert!(place.join("runs/base/last.pt").is_file() && place.join("runs/never").is_dir());
    let removed = ok(visualise(place, &["clean", "--checkpoints", "--yes"]));
    let told = String::from_utf8_lossy(&removed.stderr);
    assert!(told.contains("a run that never began") && told.contains("last.pt"), "{told}");
    assert!(text(&removed).starts_with("removed "));
    assert!(!place.join("runs/base/last.pt").exists() && place.join("runs/base/best.pt").is_file());
    assert!(!place.join("runs/never").exists());
    assert_eq!(text(&ok(visualise(place, &["clean"]))).trim(), "nothing to remove");
}
