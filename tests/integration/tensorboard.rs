//! What `ml-train` writes for TensorBoard, read back by TensorBoard itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{ok, read, train};
use crate::train::{digits, python};

/// Steps that take long enough to be reported, in two groups of parameters.
const ARGS: [&str; 12] = [
    "--architecture",
    "resnet20",
    "--batch_size",
    "2",
    "--run_name",
    "run",
    "--set",
    "optimizer.param_groups=[{pattern: \"bias$\", lr_scale: 0.1}]",
    "--set",
    "training.tensorboard={scalars_every_seconds: 0, histograms_every_steps: 25}",
    "--data_dir",
    "digits",
];

fn events(folder: &Path) -> Value {
    serde_json::from_str(&python("tensorboard_read.py", &[folder])).unwrap()
}

fn tags(found: &Value, kind: &str) -> BTreeSet<String> {
    found[kind].as_object().unwrap().keys().cloned().collect()
}

fn set<'a>(tags: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    tags.into_iter().map(str::to_owned).collect()
}

/// The value of a curve's last point.
fn last(found: &Value, tag: &str) -> f64 {
    found["scalars"][tag].as_array().unwrap().last().unwrap()[2].as_f64().unwrap()
}

/// How many histograms of the first weights there are.
fn histograms(steps: &Value) -> usize {
    steps["histograms"]["Weights/conv1/weight"].as_array().unwrap().len()
}

fn image(found: &Value, tag: &str) -> image::RgbImage {
    let hex = found["images"][tag][0][4].as_str().unwrap();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    image::load_from_memory(&bytes).unwrap().to_rgb8()
}

#[test]
fn tensorboard_reads_back_all_that_a_run_shows_there() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path(), 3, 150);
    ok(train(place.path(), &ARGS));
    let run = place.path().join("runs/run");
    let found = events(&run.join("tensorboard"));

    let metrics = ["accuracy", "balanced_accuracy", "macro_f1", "loss"];
    let finals = ["val", "test"].map(|split| metrics.map(|metric| format!("Final/{split}/{metric}")));
    let curves = ["Loss/train", "Loss/val", "Accuracy/train", "Accuracy/val", "Learning_Rate"];
    let mut scalars = set(curves);
    scalars.extend(finals.into_iter().flatten());
    assert_eq!(tags(&found, "scalars"), scalars);
    assert_eq!(found["scalars"]["Loss/val"].as_array().unwrap().len(), 2, "a point an epoch");
    let report: Value =
        serde_json::from_str(&read(run.join("report/classification_report_test.json"))).unwrap();
    let accuracy = report["accuracy"].as_f64().unwrap();
    assert!((last(&found, "Final/test/accuracy") - accuracy).abs() < 1e-6, "{report}");

    let images = set([
        "Samples/train",
        "Confusion_Matrix/val",
        "Confusion_Matrix/test",
        "Predictions/val",
        "Predictions/test",
    ]);
    assert_eq!(tags(&found, "images"), images);
    // The first image has a border, green or red.
    let border = image(&found, "Predictions/test").get_pixel(0, 0).0;
    assert!([[46, 160, 67], [218, 54, 51]].contains(&border), "{border:?}");
    let classes = ["0", "1", "2"];
    let pr_curves = ["val", "test"].map(|split| classes.map(|class| format!("PR/{split}/{class}")));
    assert_eq!(tags(&found, "pr_curves"), pr_curves.into_iter().flatten().collect());
    let text = found["text"]["Configuration"][0][2].as_str().unwrap();
    assert!(text.contains("architecture: resnet20") && text.contains("histograms_every_steps: 25"), "{text}");
    assert_eq!(tags(&found, "hparams"), set(["_hparams_/session_end_info", "_hparams_/session_start_info"]));
    let start = &found["hparams"]["_hparams_/session_start_info"]["sessionStartInfo"]["hparams"];
    assert_eq!(start["model.architecture"], "resnet20");
    assert_eq!(start["training.batch_size"], 2.0);
    let end = &found["hparams"]["_hparams_/session_end_info"]["sessionEndInfo"];
    assert_eq!(end["status"], "STATUS_SUCCESS");
    assert_eq!(found["hparams_counts"]["_hparams_/session_end_info"], 1);

    let steps = events(&run.join("tensorboard/steps"));
    let curves = ["Loss/train", "Accuracy/train", "Learning_Rate/group_0", "Learning_Rate/group_1"];
    assert_eq!(tags(&steps, "scalars"), set(curves));
    let lrs = [0, 1].map(|group| last(&steps, &format!("Learning_Rate/group_{group}")));
    let (slow, fast) = (lrs[0].min(lrs[1]), lrs[0].max(lrs[1]));
    assert!((slow / fast - 0.1).abs() < 1e-5, "{lrs:?}");
    let of = |kind: &str| -> BTreeSet<String> {
        let tags = tags(&steps, "histograms");
        tags.iter().filter_map(|tag| tag.strip_prefix(kind).map(str::to_owned)).collect()
    };
    assert!(of("Weights/").len() > 20 && of("Weights/") == of("Gradients/"), "{:?}", of("Weights/"));
    // 16 filters of 3 × 3 over 3 channels.
    assert_eq!(steps["histograms"]["Weights/conv1/weight"][0][2]["num"], 432.0);

    // The table of runs has the metrics of the best weights.
    let served = python("tensorboard_read.py", &[&place.path().join("runs"), Path::new("--served")]);
    let served: Value = serde_json::from_str(&served).unwrap();
    let groups = served["session_groups"].as_array().unwrap();
    assert_eq!((groups.len(), groups[0]["name"].as_str()), (1, Some("run/tensorboard")));
    let values = groups[0]["metricValues"].as_array().unwrap();
    let found = values.iter().find(|value| value["name"]["tag"] == "Final/test/accuracy");
    let shown = found.and_then(|value| value["value"].as_f64()).unwrap_or_else(|| panic!("{values:?}"));
    assert!((shown - accuracy).abs() < 1e-6, "{shown}");

    // How often something is written may change when a run resumes.
    let count = histograms(&steps);
    let resumed = ["--resume", "runs/run", "--num_epochs", "3"];
    let none = ["--set", "training.tensorboard.histograms_every_steps=0"];
    ok(train(place.path(), &[&resumed[..], &none[..]].concat()));
    assert!(read(run.join("config.yaml")).contains("histograms_every_steps: 0"));
    assert_eq!(histograms(&events(&run.join("tensorboard/steps"))), count);
    let found = events(&run.join("tensorboard"));
    assert_eq!(found["scalars"]["Loss/val"].as_array().unwrap().len(), 3);
    assert_eq!(found["hparams_counts"]["_hparams_/session_end_info"], 1);
}

/// Ends a training however its test ends.
struct Training(Child);

impl Drop for Training {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn tensorboard_shows_a_run_while_it_trains() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path(), 3, 150);
    let mut command = train(place.path(), &[&ARGS[..], &["--num_epochs", "100000"]].concat());
    let mut training = Training(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let run = place.path().join("runs/run");
    let waiting = Instant::now();
    // After the second epoch, what was written of the first is there.
    while std::fs::read_to_string(run.join("metrics.csv")).map_or(0, |text| text.lines().count()) < 3 {
        assert!(waiting.elapsed() < Duration::from_mins(2) && training.0.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    let (found, steps) = (events(&run.join("tensorboard")), events(&run.join("tensorboard/steps")));
    assert!(training.0.try_wait().unwrap().is_none(), "it trains on");
    assert!(!found["scalars"]["Loss/val"].as_array().unwrap().is_empty());
    assert!(tags(&found, "images").contains("Samples/train"));
    assert_eq!(tags(&found, "hparams"), set(["_hparams_/session_start_info"]), "it has not ended");
    assert!(steps["scalars"]["Loss/train"].as_array().unwrap().len() > 1 && histograms(&steps) > 0);

    let mut kill = Command::new("kill");
    kill.args(["-TERM", &training.0.id().to_string()]);
    ok(kill);
    assert_eq!(training.0.wait().unwrap().code(), Some(143));
    // An interrupted run has not ended: it can be resumed.
    let found = events(&run.join("tensorboard"));
    assert_eq!(tags(&found, "hparams"), set(["_hparams_/session_start_info"]));
}
