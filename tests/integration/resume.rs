//! Training that resumes: at any step, after any end, with everything that has state; and what is
//! refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{fails, ok, read, start, train};
use crate::train::{digits, python};

/// Everything that has state, two steps an epoch apart from the last window.
const STATEFUL: [&str; 12] = [
    "--set",
    "training.gradient_accumulation_steps=3",
    "--set",
    "training.ema={decay: 0.9, warmup_steps: 5}",
    "--set",
    "training.max_grad_norm=1.0",
    "--set",
    "training.early_stopping={patience: 50}",
    "--set",
    "deterministic=true",
    "--batch_size",
    "8",
];

/// No differences between two runs, as Python reads them.
pub fn same(one: &Path, other: &Path) {
    let said = python("compare_runs.py", &[one, other]);
    assert_eq!(said.lines().last(), Some(r#"{"differences": []}"#), "{said}");
}

pub fn signal(name: &str, id: u32) {
    let mut kill = Command::new("kill");
    kill.args([name, &id.to_string()]);
    ok(kill);
}

/// Starts a run and sends `name` once its folder has `file`.
pub fn cut(mut command: Command, file: &Path, name: &str) -> Option<i32> {
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let waiting = Instant::now();
    while !file.exists() && waiting.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(name, child.id());
    child.wait().unwrap().code()
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    // A new file: hard links to the old one keep theirs.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_stopped_in_the_middle_of_an_epoch_ends_like_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let runs = place.path().join("runs");
    let args = |name: &'static str| {
        let own = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "8", "--run_name", name];
        let every = ["--set", "training.checkpoint.every_steps=1"];
        own.iter().chain(&every).chain(&STATEFUL).map(|arg| (*arg).to_owned()).collect::<Vec<String>>()
    };
    let command = |name, more: &[&str]| {
        let args = args(name);
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        train(place.path(), &args)
    };
    ok(command("whole", &[]));
    let header = read(runs.join("whole/metrics.csv"));
    assert!(header.lines().next().unwrap().ends_with("ema_val_loss,ema_val_accuracy"), "{header}");
    // Twice by SIGKILL, whatever it does; then asked to.
    for (place_of_file, signal, code) in
        [("last.pt", "-KILL", None), ("previous.pt", "-KILL", None), ("best.pt", "-INT", Some(130))]
    {
        let ended = cut(command("cut", &["--resume", "auto"]), &runs.join("cut").join(place_of_file), signal);
        assert_eq!(ended, code);
    }
    assert!(read(runs.join("cut/summary.yaml")).contains("status: interrupted"));
    ok(command("cut", &["--resume", "auto"]));
    same(&runs.join("whole"), &runs.join("cut"));
}

#[test]
fn a_run_that_rolls_back_ends_the_same_whether_interrupted_or_not() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 40);
    let runs = place.path().join("runs");
    // Steps of 1e6 make losses that are not finite within an epoch or two, until the rate has been
    // divided enough.
    let command = |name: &str, more: &[&str]| {
        let own =
            ["--data_dir", data.to_str().unwrap(), "--num_epochs", "5", "--run_name", name, "--lr", "1e18"];
        let rollback = [
            "--set",
            "training.divergence={action: rollback, max_times: 10, lr_factor: 1e-9}",
            "--set",
            "optimizer.name=sgd",
        ];
        let args: Vec<&str> = own.iter().chain(&rollback).chain(more).copied().collect();
        train(place.path(), &args)
    };
    let output = ok(command("whole", &[]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("rolled back to epoch 1, step 0"), "{said}");
    assert!(said.contains(".png"), "the images of the batch are named: {said}");
    let metrics = read(runs.join("whole/metrics.csv"));
    assert_eq!(metrics.lines().count(), 6, "no rows of a future that was given up: {metrics}");

    cut(command("cut", &[]), &runs.join("cut/best.pt"), "-KILL");
    ok(command("cut", &["--resume", "auto"]));
    same(&runs.join("whole"), &runs.join("cut"));
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_or_skips_the_step_and_never_reaches_the_average() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    let base = ["--data_dir", data, "--set", "optimizer.name=sgd", "--set", "training.ema={}"];
    let with = |more: &[&str]| {
        let args: Vec<&str> = base.iter().chain(more).copied().collect();
        train(place.path(), &args)
    };
    fails(
        with(&["--run_name", "stop", "--lr", "1e30"]),
        1,
        &["the validation loss is", "lower learning rate"],
    );
    let stop = place.path().join("runs/stop");
    assert!(read(stop.join("summary.yaml")).contains("status: failed"));
    assert!(!stop.join("last.pt").exists(), "nothing good was there to save");

    // The first step's rate throws the weights so far that later losses overflow; those steps are
    // left out.
    let skip = |name: &'static str, times: &'static str| {
        let own =
            ["--run_name", name, "--lr", "1e16", "--batch_size", "4", "--num_epochs", "1", "--set", times];
        with(&own)
    };
    fails(skip("few", "training.divergence={action: skip, max_times: 2}"), 1, &["2 times before", ".png"]);
    let output = ok(skip("many", "training.divergence={action: skip, max_times: 1000}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("The step is skipped") && said.contains(".png"), "{said}");
    let last = place.path().join("runs/many/last.pt");
    assert_eq!(python("finite.py", &[&last]).trim(), "finite");
}

#[test]
fn training_stops_early_and_resumes_with_more_patience() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    // A figure that cannot get better by so much.
    let early = "training.early_stopping={patience: 2, min_delta: 5}";
    let args =
        ["--data_dir", data.to_str().unwrap(), "--num_epochs", "9", "--set", early, "--run_name", "early"];
    ok(train(place.path(), &args));
    let run = place.path().join("runs/early");
    let summary = read(run.join("summary.yaml"));
    assert!(summary.contains("status: early_stopped") && summary.contains("epochs: 3"), "{summary}");
    let run = run.to_str().unwrap();
    fails(
        train(place.path(), &["--resume", run]),
        2,
        &["stopped early", "training.early_stopping.patience=4"],
    );
    // A copy of its state elsewhere is told the same.
    std::fs::copy(format!("{run}/last.pt"), place.path().join("copy.pt")).unwrap();
    fails(
        train(place.path(), &["--resume", "copy.pt"]),
        2,
        &["stopped early", "training.early_stopping.patience=4"],
    );
    ok(train(place.path(), &["--resume", run, "--set", "training.early_stopping.patience=4"]));
    assert!(read(place.path().join("runs/early/summary.yaml")).contains("epochs: 5"));
}

#[test]
fn a_damaged_newest_state_falls_back_to_the_one_before_with_a_warning() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let data = data.to_str().unwrap();
    let runs = place.path().join("runs");
    let args = |name: &'static str, epochs: &'static str| {
        ["--data_dir", data, "--run_name", name, "--num_epochs", epochs, "--batch_size", "8"]
    };
    ok(train(place.path(), &args("whole", "3")));
    ok(train(place.path(), &["--resume", "runs/whole", "--num_epochs", "5"]));
    ok(train(place.path(), &args("hurt", "3")));
    let hurt = runs.join("hurt");
    edit(&hurt.join("last.pt"), |bytes| bytes.truncate(bytes.len() / 2));
    let output = ok(train(place.path(), &["--resume", hurt.to_str().unwrap(), "--num_epochs", "5"]));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in ["last.pt` is cut short", "resuming from the state in", "previous.pt", "damaged.pt"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    std::fs::remove_file(hurt.join("damaged.pt")).unwrap();
    same(&runs.join("whole"), &hurt);

    // Without either, the best epoch is a state as good as any.
    std::fs::remove_file(hurt.join("last.pt")).unwrap();
    std::fs::remove_file(hurt.join("previous.pt")).unwrap();
    let again = ["--resume", hurt.to_str().unwrap(), "--num_epochs", "6"];
    let output = ok(train(place.path(), &again));
    assert!(String::from_utf8_lossy(&output.stderr).contains("best.pt"));

    for file in ["last.pt", "previous.pt", "best.pt"] {
        edit(&hurt.join(file), |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    }
    let again = ["--resume", hurt.to_str().unwrap(), "--num_epochs", "7"];
    fails(train(place.path(), &again), 1, &["no state to resume from", "last.pt", "previous.pt", "best.pt"]);
    let slip = ["--resume", "runs/hurt/bset.pt", "--num_epochs", "7"];
    fails(train(place.path(), &slip), 2, &["bset.pt", "no such run or file"]);
}

#[test]
fn a_second_process_in_a_run_is_told_so() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let args = [
        "--data_dir",
        data.to_str().unwrap(),
        "--num_epochs",
        "500",
        "--run_name",
        "one",
        "--batch_size",
        "4",
    ];
    let mut first = train(place.path(), &args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let last = place.path().join("runs/one/last.pt");
    let waiting = Instant::now();
    while !last.exists() && waiting.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = format!("process {}", first.id());
    fails(train(place.path(), &["--resume", "runs/one"]), 1, &["being trained by another process", &id]);
    signal("-KILL", first.id());
    first.wait().unwrap();
    assert!(read(place.path().join("runs/one/summary.yaml")).contains("status: running"));
    ok(train(place.path(), &["--resume", "runs/one", "--num_epochs", "1", "--dry_run"]));
}

#[test]
fn a_change_that_breaks_exactness_is_refused_by_name_unless_it_is_allowed() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    ok(train(place.path(), &["--data_dir", data, "--run_name", "a", "--num_epochs", "2"]));
    let go_on = |more: &[&str]| {
        let args: Vec<&str> =
            ["--resume", "runs/a", "--num_epochs", "3"].iter().chain(more).copied().collect();
        train(place.path(), &args)
    };
    fails(go_on(&["--lr", "0.5", "--seed", "3"]), 2, &["optimizer.lr", "seed", "--allow_changes"]);
    fails(go_on(&["--architecture", "simple_cnn", "--allow_changes"]), 2, &["tiny_net", "simple_cnn"]);
    // What it has already is no change.
    ok(go_on(&["--lr", "0.01", "--batch_size", "32", "--dry_run"]));
    let output = ok(go_on(&["--lr", "0.5", "--batch_size", "16", "--allow_changes"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("optimizer.lr, training.batch_size changed"), "{said}");

    // Another data set of the same classes is no continuation either.
    let other = tempfile::tempdir().unwrap();
    let more = digits(other.path(), 2, 25);
    let args = ["--resume", "runs/a", "--num_epochs", "4", "--data_dir", more.to_str().unwrap()];
    fails(train(place.path(), &args), 2, &["the fingerprint of the data set"]);
}

#[test]
fn checkpoints_of_other_runs_and_of_broken_ones_are_refused_with_what_differs() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    ok(train(place.path(), &["--data_dir", data, "--run_name", "a", "--num_epochs", "1"]));
    let run = place.path().join("runs/a");
    for (change, code, parts) in [
        ("architecture", 2, vec!["model.architecture cannot change"]),
        ("classes", 2, vec!["the class list is x, y"]),
        ("version", 1, vec!["format_version", "99"]),
        ("nan", 1, vec!["model_state_dict.features.0.conv.weight", "earlier checkpoint"]),
        ("optimizer", 1, vec!["the optimizer's state"]),
        ("missing", 1, vec!["optimizer_state_dict"]),
    ] {
        let file = run.join("changed.pt");
        python("change_checkpoint.py", &[&run.join("last.pt"), &file, Path::new(change)]);
        let args = ["--resume", "runs/a/changed.pt", "--num_epochs", "2"];
        fails(train(place.path(), &args), code, &parts);
    }
}

#[test]
fn a_full_disk_and_a_vanished_folder_end_training_with_an_error_and_the_last_good_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let program = env!("CARGO_BIN_EXE_ml-train");
    let args = format!("--data_dir {} --num_epochs 300 --device cpu --config quick.yaml", data.display());
    // Makes the configuration.
    ok(train(
        place.path(),
        &["--data_dir", data.to_str().unwrap(), "--run_name", "good", "--num_epochs", "1"],
    ));
    let good = std::fs::read(place.path().join("runs/good/last.pt")).unwrap();
    // Files may grow to 200 kB; a checkpoint is larger.
    let mut shell = Command::new("sh");
    shell
        .current_dir(place.path())
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f 200; exec {program} --resume runs/good --num_epochs 3"));
    fails(shell, 1, &["the disk is full", "resume"]);
    assert_eq!(
        std::fs::read(place.path().join("runs/good/last.pt")).unwrap(),
        good,
        "the last good one is whole"
    );
    ok(train(place.path(), &["--resume", "runs/good", "--num_epochs", "3"]));

    let mut shell = Command::new("sh");
    shell.current_dir(place.path()).arg("-c").arg(format!("exec {program} {args} --run_name gone"));
    let child = shell.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let gone = place.path().join("runs/gone");
    let waiting = Instant::now();
    while !gone.join("last.pt").exists() && waiting.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Moved, since deleting would race with the files being written.
    std::fs::rename(&gone, place.path().join("elsewhere")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("runs/gone") && !said.contains("defect"), "{said}");
    assert!(place.path().join("elsewhere/last.pt").exists());
}

#[test]
fn pytorchs_own_files_are_started_from_and_resumed() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 20);
    let data = data.to_str().unwrap();
    ok(train(place.path(), &["--data_dir", data, "--run_name", "a", "--num_epochs", "1"]));
    let folder = place.path().join("python");
    std::fs::create_dir(&folder).unwrap();
    // The same weights as a bare dict, under `model`, under `state_dict` with `module.`, in the
    // format of before 1.6, and with the optimizer.
    python("foreign_files.py", &[&place.path().join("runs/a/last.pt"), &folder]);
    for name in ["bare", "model", "state_dict", "legacy"] {
        let file = folder.join(format!("{name}.pt"));
        let args = [
            "--data_dir",
            data,
            "--weights",
            file.to_str().unwrap(),
            "--run_name",
            name,
            "--num_epochs",
            "1",
        ];
        ok(train(place.path(), &args));
    }
    // After one epoch there and one here, the weights are those of two here: state and step carry
    // over.
    let training = folder.join("training.pt");
    let args = |name: &'static str| ["--data_dir", data, "--run_name", name, "--num_epochs", "2"];
    ok(train(place.path(), &args("two")));
    let mut command = train(place.path(), &args("adopted"));
    command.arg("--resume").arg(&training);
    let said = ok(command);
    assert!(String::from_utf8_lossy(&said.stderr).contains("after 1 epochs"));
    let hash = |name: &str| python("state_hash.py", &[&place.path().join("runs").join(name).join("last.pt")]);
    assert_eq!(hash("two"), hash("adopted"));

    // What does not suit is the caller's to change.
    let refused = |more: &[&str], parts: &[&str]| {
        let mut command = train(place.path(), &[&args("refused")[..], more].concat());
        command.arg("--resume").arg(&training);
        fails(command, 2, &[parts, &["training.pt", "--weights"]].concat());
    };
    refused(&["--architecture", "simple_cnn"], &["another network", "missing"]);
    refused(
        &["--set", "optimizer={name: sgd, lr: 0.1}"],
        &["another kind of optimizer", "which sgd does not keep"],
    );
    std::fs::write(place.path().join("text.pt"), "no checkpoint").unwrap();
    let mut command = train(place.path(), &args("refused"));
    command.args(["--resume", "text.pt"]);
    fails(command, 2, &["text.pt"]);
    assert!(!place.path().join("runs/refused").exists());

    // Killed before its first checkpoint is due, such a run has what it began with.
    let mut command = train(place.path(), &["--data_dir", data, "--run_name", "killed", "--num_epochs", "2"]);
    command.args(["--set", "training.checkpoint.every_epochs=null", "--resume"]).arg(&training);
    cut(command, &place.path().join("runs/killed/last.pt"), "-KILL");
    ok(train(place.path(), &["--resume", "runs/killed"]));
    assert_eq!(hash("two"), hash("killed"));
}

#[test]
fn the_best_epochs_are_kept_and_the_averaged_weights_are_what_inference_uses() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 4, 40);
    let data = data.to_str().unwrap();
    let args = ["--data_dir", data, "--run_name", "a", "--num_epochs", "6"];
    let more = ["--set", "training.ema={decay: 0.5}", "--set", "training.checkpoint.keep_top_k=3"];
    ok(train(place.path(), &[&args[..], &more[..]].concat()));
    let run = place.path().join("runs/a");
    let kept: Vec<PathBuf> =
        std::fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    let infer = |more: &[&str]| {
        let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
        command.args(["--device", "cpu", "--json", "--checkpoint"]).arg(run.join("best.pt")).args(more);
        let output = ok(command);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (report["loss"].as_f64().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (auto, said) = infer(&["--split", "val"]);
    assert!(said.contains("EMA weights"), "{said}");
    assert_eq!(auto, infer(&["--split", "val", "--ema", "always"]).0);
    assert_ne!(auto, infer(&["--split", "val", "--ema", "never"]).0);
}
