//! ml-inference over a checkpoint made here: an untrained network whose last bias says "7" whatever
//! it sees.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ml_core::checkpoint::Checkpoint;
use ml_core::inference::Device;
use ml_core::network::{Architecture, Network};
use ml_core::torch_file::Value;
use serde_json::json;

use crate::support::start;

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/digits/raw");

/// A run folder with a checkpoint, and a data folder with three images of each digit, one a split.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        for digit in 0..10 {
            let folder = Path::new(DIGITS).join(digit.to_string());
            let mut images: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
            images.sort();
            for (split, image) in ["train", "val", "test"].iter().zip(images) {
                let to = dir.path().join("data").join(split).join(digit.to_string());
                fs::create_dir_all(&to).unwrap();
                fs::copy(&image, to.join(image.file_name().unwrap())).unwrap();
            }
        }
        let run = dir.path().join("runs/base");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("config.yaml"), "seed: 1\n").unwrap();
        checkpoint(&dir.path().join("data")).save(&run.join("best.pt")).unwrap();
        Fixture { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
        command.current_dir(self.dir.path()).args(args);
        command
    }

    /// On the run's checkpoint.
    fn run(&self, args: &[&str]) -> Done {
        Done::of(self.command(&["--checkpoint", "runs/base"]).args(args).output().unwrap())
    }
}

struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    fn of(output: Output) -> Done {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// One error that names `what`, and no result.
    fn assert_error(&self, code: i32, what: &[&str]) {
        assert_eq!(self.code, code, "{}", self.err);
        assert_eq!(self.err.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", self.err);
        let error = &self.err[self.err.find("error: ").unwrap()..];
        for what in what {
            assert!(error.contains(what), "`{what}` is not in: {error}");
        }
        assert!(!self.err.contains("panicked") && !self.err.contains("backtrace"), "{}", self.err);
        assert!(self.out.is_empty(), "{}", self.out);
    }
}

fn checkpoint(data: &Path) -> Checkpoint {
    let network = Network::new(Architecture::TinyNet, 10, 1, Device::Cpu);
    let model_state_dict = network.state_dict();
    let (name, bias) = model_state_dict.last().unwrap();
    assert!(name.ends_with("bias") && bias.size() == [10], "{name}");
    let _ = bias.detach().get(7).fill_(50.0);
    Checkpoint {
        epoch: 3,
        step: 30,
        batch_in_epoch: 0,
        running: Value::None,
        model_state_dict,
        optimizer_state_dict: Value::None,
        scheduler_state_dict: Value::None,
        ema_state_dict: None,
        ema_num_updates: None,
        swa_state_dict: None,
        swa: None,
        average: None,
        scaler_state_dict: None,
        rng_state: Value::None,
        metrics: Value::None,
        best: Value::None,
        early_stopping: Value::None,
        divergence: Value::None,
        dataset: Value::None,
        config: json!({
            "data": {"data_dir": data.to_str().unwrap(), "fold": null},
            "model": {"architecture": "tiny_net"},
        }),
        classes: (0..10).map(|digit| digit.to_string()).collect(),
        eval_transform: json!({"resize": [16, 16], "normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}),
        task: ml_data::dataset::Task::SingleLabel,
        thresholds: None,
        calibration: None,
        out_of_distribution: None,
        timestamp: "2026-11-23T10:15:00Z".into(),
        versions: json!({}),
        extra: Vec::new(),
    }
}

#[test]
fn images_are_predicted_as_json_lines_in_the_order_given() {
    let fixture = Fixture::new();
    let done =
        fixture.run(&["data/test/3", "data/val/*/", "data/test/0", "--format", "jsonl", "--top_k", "2"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let lines: Vec<serde_json::Value> =
        done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 12);
    assert!(lines[0]["path"].as_str().unwrap().starts_with("data/test/3/"));
    assert!(lines[1]["path"].as_str().unwrap().starts_with("data/val/0/"));
    assert!(lines[11]["path"].as_str().unwrap().starts_with("data/test/0/"));
    for line in &lines {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["path", "class", "probability", "top_k"]);
        assert_eq!(line["class"], "7");
        assert!(line["probability"].as_f64().unwrap() > 0.99, "{line}");
        assert_eq!(line["top_k"].as_array().unwrap().len(), 2);
        assert_eq!(line["top_k"][0], json!({"class": "7", "probability": line["probability"]}));
    }
    assert_eq!(fixture.run(&["data/test/3", "--json", "-q"]).err, "");
}

#[test]
fn predictions_do_not_depend_on_batch_size_and_workers() {
    let fixture = Fixture::new();
    fs::write(fixture.path("data/test/4/bad.png"), "this is text").unwrap();
    let with = |more: &[&str]| {
        let done = fixture.run(&[&["data", "--format", "jsonl"], more].concat());
        assert_eq!((done.code, done.err.matches("bad.png").count()), (1, 1), "{}", done.err);
        done.out
    };
    let one = with(&["--batch_size", "1", "--num_workers", "0"]);
    assert_eq!(one.lines().count(), 30);
    let seven = with(&["--batch-size", "7", "--num-workers", "3"]);
    for num_workers in ["0", "1", "8"] {
        assert_eq!(with(&["--batch_size", "7", "--num_workers", num_workers]), seven);
    }
    // The last digits of a probability depend on the batch: f32's, or the eighth bit of bf16's.
    let alike = |one: &str, seven: &str, tolerance: f64| {
        assert_eq!(one.lines().count(), seven.lines().count());
        for (one, seven) in one.lines().zip(seven.lines()) {
            let [one, seven] =
                [one, seven].map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            assert_eq!((&one["path"], &one["class"]), (&seven["path"], &seven["class"]));
            let apart = one["probability"].as_f64().unwrap() - seven["probability"].as_f64().unwrap();
            assert!(apart.abs() < tolerance, "{one} {seven}");
        }
    };
    alike(&one, &seven, 1e-6);
    let in_bf16 = |batch_size| with(&["--precision", "bf16", "--batch_size", batch_size]);
    alike(&in_bf16("1"), &in_bf16("7"), 1e-2);
}

#[test]
fn the_precision_is_the_runs_unless_another_is_requested() {
    let fixture = Fixture::new();
    let mut of_bf16 = checkpoint(&fixture.path("data"));
    of_bf16.config["training"] = json!({"precision": "bf16", "channels_last": true});
    of_bf16.save(&fixture.path("bf16.pt")).unwrap();
    let with = |args: &[&str]| {
        let all = [&["data/test", "--json", "--device", "cpu", "--checkpoint"], args].concat();
        let done = Done::of(fixture.command(&all).output().unwrap());
        assert_eq!((done.code, done.out.lines().count()), (0, 10), "{}", done.err);
        let lines = done.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let least: Vec<f64> = lines.map(|line| line["top_k"][1]["probability"].as_f64().unwrap()).collect();
        (least, done.err)
    };
    let (fp32, said) = with(&["runs/base"]);
    assert!(said.contains(", in fp32"), "{said}");
    let (bf16, said) = with(&["bf16.pt"]);
    assert!(said.contains(", in bf16") && bf16 != fp32, "{said}");
    assert_eq!(with(&["runs/base", "--precision", "fp32"]).0, fp32);
    let (laid_out, said) = with(&["bf16.pt", "--precision", "fp32"]);
    assert!(said.contains(", in fp32"), "{said}");
    for ((fp32, laid_out), bf16) in fp32.iter().zip(laid_out).zip(bf16) {
        assert!((fp32 / laid_out - 1.0).abs() < 1e-4 && (fp32 / bf16 - 1.0).abs() < 0.1);
    }
    for (precision, part) in [("fp16", "CUDA"), ("tf32", "CUDA"), ("half", "use auto, fp32")] {
        fixture
            .run(&["data/test", "--device", "cpu", "--precision", precision])
            .assert_error(2, &["--precision", part]);
    }
}

#[test]
fn a_csv_file_is_complete_or_not_there() {
    let fixture = Fixture::new();
    let done = fixture.run(&["data/val", "--format", "csv", "--output", "out.csv", "--top_k", "3"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    let text = fs::read_to_string(fixture.path("out.csv")).unwrap();
    let header = "path,class,probability,top_1_class,top_1_probability,top_2_class,top_2_probability,\
                  top_3_class,top_3_probability";
    assert_eq!(text.lines().next().unwrap(), header);
    assert_eq!(text.lines().count(), 11);
    fixture
        .run(&["data/val", "--output", "no/such/out.csv"])
        .assert_error(1, &["cannot write no/such/out.csv", "--output"]);
    fs::write(fixture.path("data/val/0/broken.png"), "no image").unwrap();
    let done = fixture.run(&["data/val", "--output", "other.csv", "--on_error", "fail"]);
    assert_eq!(done.code, 1);
    assert!(!fixture.path("other.csv").exists());
    assert!(
        fs::read_dir(fixture.dir.path()).unwrap().all(|e| !e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("tmp"))
    );
}

#[test]
fn an_image_that_cannot_be_read_is_named_and_the_others_go_on() {
    let fixture = Fixture::new();
    fs::write(fixture.path("data/test/4/bad.png"), "this is text").unwrap();
    fs::write(fixture.path("data/test/9/empty.jpg"), "").unwrap();
    let done = fixture.run(&["data/test", "--format", "jsonl", "--batch_size", "4", "--num_workers", "2"]);
    assert_eq!((done.code, done.err.matches("error: ").count()), (1, 1), "{}", done.err);
    assert_eq!(done.out.lines().count(), 10);
    for part in ["data/test/4/bad.png", "data/test/9/empty.jpg", "2 of 12 images could not be read"] {
        assert!(done.err.contains(part), "{}", done.err);
    }
    // All of the good ones, once, in order.
    let paths: Vec<String> = done
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["path"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(paths.is_sorted() && paths.windows(2).all(|pair| pair[0] != pair[1]), "{paths:?}");
    fixture.run(&["data/test/9/empty.jpg", "--json"]).assert_error(1, &["no image could be read"]);
    fixture
        .run(&["data/test/4/bad.png", "--json", "--on_error", "fail"])
        .assert_error(1, &["data/test/4/bad.png", "--on_error skip"]);
    // An evaluation needs all of them.
    fixture.run(&["--output", "reports"]).assert_error(1, &["data/test/4/bad.png", "remove it"]);
    assert!(!fixture.path("reports").exists());
}

#[test]
fn a_split_that_lacks_a_class_keeps_the_numbering() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.path("data/test/3")).unwrap();
    fs::remove_file(fs::read_dir(fixture.path("data/test/5")).unwrap().next().unwrap().unwrap().path())
        .unwrap();
    let done = fixture.run(&["--json"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let report: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    for (class, support) in [(3, 0), (5, 0), (7, 1), (8, 1)] {
        let figures = &report["classes"][class];
        assert_eq!((&figures["class"], &figures["support"]), (&json!(class.to_string()), &json!(support)));
        assert_eq!(report["confusion_matrix"][class][7], support);
    }
}

#[test]
fn without_images_the_test_split_is_evaluated_and_reported_in_the_run_folder() {
    let fixture = Fixture::new();
    let done = fixture.run(&["--json"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let report: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(report["accuracy"], 0.1);
    assert_eq!(report["num_samples"], 10);
    let seven = &report["classes"][7];
    assert_eq!(
        (&seven["class"], &seven["support"], &seven["predicted"]),
        (&json!("7"), &json!(1), &json!(10))
    );
    assert_eq!((&seven["precision"], &seven["recall"]), (&json!(0.1), &json!(1.0)));
    // Read from text, a number may be off by its last bit.
    assert!((seven["f1_score"].as_f64().unwrap() - 2.0 / 11.0).abs() < 1e-15);
    assert_eq!(report["confusion_matrix"][3][7], 1);
    let folder = fixture.path("runs/base/report");
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("classification_report_test.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    let text = fs::read_to_string(folder.join("classification_report_test.txt")).unwrap();
    assert!(text.contains("accuracy 0.1000") && text.contains("macro average"), "{text}");
    let png = fs::read(folder.join("confusion_matrix_test.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let rows = fs::read_to_string(folder.join("predictions_test.csv")).unwrap();
    assert_eq!(rows.lines().count(), 11);
    assert_eq!(rows.lines().filter(|row| row.contains(",true,")).count(), 1);
    assert_eq!(fixture.run(&[]).out, text);
}

#[test]
fn another_split_or_place_is_evaluated_without_touching_the_runs_own_report() {
    let fixture = Fixture::new();
    let done = fixture.run(&["--split", "val", "--output", "elsewhere"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.starts_with("val split: 10 images"), "{}", done.out);
    assert!(fixture.path("elsewhere/classification_report_val.txt").is_file());
    fs::rename(fixture.path("data"), fixture.path("moved")).unwrap();
    fixture.run(&[]).assert_error(2, &["data", "--data_dir"]);
    let done = fixture.run(&["--data_dir", "moved"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("no reports are written"), "{}", done.err);
    assert!(!fixture.path("runs/base/report").exists());
}

#[test]
fn a_data_folder_of_other_classes_is_refused() {
    let fixture = Fixture::new();
    for split in ["train", "val", "test"] {
        fs::rename(fixture.path(&format!("data/{split}/7")), fixture.path(&format!("data/{split}/seven")))
            .unwrap();
    }
    fixture.run(&[]).assert_error(2, &["does not know the class `seven`", "it knows `"]);
    assert!(!fixture.path("runs/base/report").exists());
}

#[test]
fn a_missing_test_split_is_said() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.path("data/test")).unwrap();
    fixture.run(&[]).assert_error(2, &["no test split", "--split"]);
    assert_eq!(fixture.run(&["--split", "train"]).code, 0);
}

#[test]
fn a_report_folder_that_cannot_be_written_is_found_before_the_evaluation() {
    let fixture = Fixture::new();
    fs::write(fixture.path("runs/base/report"), "a file").unwrap();
    fixture.run(&[]).assert_error(1, &["runs/base/report", "--output"]);
}

#[test]
fn what_is_not_a_checkpoint_is_told_apart() {
    let fixture = Fixture::new();
    let whole = fs::read(fixture.path("runs/base/best.pt")).unwrap();
    fs::write(fixture.path("short.pt"), &whole[..whole.len() / 2]).unwrap();
    fs::write(fixture.path("text.pt"), "hello").unwrap();
    fs::create_dir(fixture.path("empty")).unwrap();
    for (name, code) in [("short.pt", 1), ("text.pt", 1), ("none.pt", 2), ("empty", 2)] {
        let output = fixture.command(&["--checkpoint", name, "data/test/0"]).output().unwrap();
        Done::of(output).assert_error(code, &[name]);
    }
    let mut other = checkpoint(&fixture.path("data"));
    other.model_state_dict.pop();
    other.save(&fixture.path("lacking.pt")).unwrap();
    let output = fixture.command(&["--checkpoint", "lacking.pt", "data/test/0"]).output().unwrap();
    Done::of(output).assert_error(1, &["lacking.pt", "bias"]);
    let mut other = checkpoint(&fixture.path("data"));
    other.config = json!({"model": {"architecture": "resnet19"}});
    other.save(&fixture.path("odd.pt")).unwrap();
    let output = fixture.command(&["--checkpoint", "odd.pt", "data/test/0"]).output().unwrap();
    Done::of(output).assert_error(1, &["odd.pt", "config.model.architecture", "resnet19"]);
}

#[test]
fn usage_errors_exit_with_2() {
    let fixture = Fixture::new();
    fixture.run(&["none.png"]).assert_error(2, &["none.png: no such file"]);
    fixture.run(&["data/test/0", "--split", "val"]).assert_error(2, &["--split"]);
    fixture
        .run(&["data/test/0", "--device", "cuda:99"])
        .assert_error(2, &["--device", "cuda:99", "--device cpu"]);
    for (flag, value) in [("--batch_size", "0"), ("--top_k", "-1"), ("--num_workers", "-1"), ("--fold", "x")]
    {
        fixture.run(&["data/test/0", flag, value]).assert_error(2, &[flag, value, "must be a whole number"]);
    }
    Done::of(fixture.command(&[]).output().unwrap()).assert_error(2, &["--checkpoint", "--weights"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let fixture = Fixture::new();
    let mut child = fixture
        .command(&["--checkpoint", "runs/base", "data", "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert!(!err.contains("error"), "{err}");
}

#[test]
fn an_interrupted_prediction_exits_with_130_and_leaves_no_file() {
    let fixture = Fixture::new();
    let image = fs::read_dir(fixture.path("data/test/0")).unwrap().next().unwrap().unwrap().path();
    let many = vec![image; 20_000];
    let mut child = fixture
        .command(&["--checkpoint", "runs/base", "--format", "csv", "--batch_size", "8"])
        .args(many)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The first lines are there: it is at work.
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.lines().count() < 20_000);
}
