//! `ml-train` on the digits: the main job, resuming, interruption, and everything that can be given
//! wrongly.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{fails, ok, program, read, small_digits, start, train, workspace};

/// A data folder with a few of the digits' classes and images, divided by `ml-split`.
pub fn digits(place: &Path, classes: usize, images: usize) -> PathBuf {
    let data = place.join("digits");
    small_digits(&data.join("raw"), &vec![images; classes]);
    let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
    split.arg(&data);
    ok(split);
    data
}

/// Weights and optimizer state of a checkpoint as Python reads them, as one hash.
pub fn python(program: &str, args: &[&Path]) -> String {
    let python = workspace().join(".venv/bin/python");
    assert!(python.exists(), "there is no {}: run `cargo xtask setup`", python.display());
    let output = Command::new(python)
        .arg(workspace().join("tests/reference").join(program))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Files of TensorBoard's events in a folder.
fn event_files(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("tfevents")).count()
}

#[test]
fn a_run_leaves_everything_that_the_run_folder_promises() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let output =
        ok(train(place.path(), &["--data_dir", data.to_str().unwrap(), "--batch-size", "16", "--seed=7"]));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "runs/batch_16_seed_7");
    let run = place.path().join("runs/batch_16_seed_7");
    for file in [
        "config.yaml",
        "metrics.csv",
        "best.pt",
        "last.pt",
        "logs/train.log",
        "report/classification_report_test.txt",
        "report/classification_report_test.json",
        "report/confusion_matrix_test.png",
        "report/predictions_test.csv",
    ] {
        assert!(run.join(file).metadata().is_ok_and(|file| file.len() > 0), "{file}");
        // A link would lead nowhere once the run is moved.
        assert!(!run.join(file).is_symlink(), "{file}");
    }
    assert_eq!(read(run.join("metrics.csv")).lines().count(), 3);
    let summary = read(run.join("summary.yaml"));
    for part in ["status: completed", "epochs: 2", "best_val_accuracy: 0.", "test_accuracy: "] {
        assert!(summary.contains(part), "{part} is not in {summary}");
    }
    assert_eq!(event_files(&run.join("tensorboard")), 1);
}

#[test]
fn three_epochs_and_three_more_give_the_bytes_of_six_at_once() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let data = data.to_str().unwrap();
    let (once, twice) = (place.path().join("runs/once"), place.path().join("runs/twice"));
    ok(train(
        place.path(),
        &["--data_dir", data, "--num_epochs", "6", "--run_name", "once", "--num_workers", "0"],
    ));
    ok(train(
        place.path(),
        &["--data_dir", data, "--num_epochs", "3", "--run_name", "twice", "--num_workers", "2"],
    ));
    ok(train(place.path(), &["--resume", twice.to_str().unwrap(), "--num_epochs", "6"]));
    for file in ["best.pt", "last.pt"] {
        let hash = |run: &Path| python("state_hash.py", &[&run.join(file)]);
        assert_eq!(hash(&once), hash(&twice), "{file}");
    }
    assert_eq!(read(once.join("metrics.csv")), read(twice.join("metrics.csv")));
    assert_eq!(event_files(&twice.join("tensorboard")), 1, "no doubled events");
}

#[test]
fn an_interrupted_run_saves_its_state_and_goes_on_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let data = data.to_str().unwrap();
    let args = |name: &'static str| {
        ["--data_dir", data, "--num_epochs", "12", "--batch_size", "4", "--run_name", name]
    };
    ok(train(place.path(), &args("whole")));
    let mut child =
        train(place.path(), &args("cut")).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let cut = place.path().join("runs/cut");
    let waiting = Instant::now();
    while !cut.join("last.pt").exists() && waiting.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    ok({
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &child.id().to_string()]);
        kill
    });
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(read(cut.join("summary.yaml")).contains("status: interrupted"));
    ok(train(
        place.path(),
        &["--data_dir", data, "--num_epochs", "12", "--batch_size", "4", "--resume", "auto"],
    ));
    let hash = |run: &Path| python("state_hash.py", &[&run.join("last.pt")]);
    assert_eq!(hash(&place.path().join("runs/whole")), hash(&cut));
    assert_eq!(read(place.path().join("runs/whole/metrics.csv")), read(cut.join("metrics.csv")));
}

/// SIGHUP comes when the terminal goes, SIGUSR1 or SIGUSR2 from Slurm before the time limit.
#[test]
fn signals_of_terminals_and_schedulers_stop_a_run_as_sigterm_does() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    for (signal, code) in [("HUP", 129), ("USR1", 138), ("USR2", 140)] {
        let args = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "100000", "--run_name", signal];
        let mut command = train(place.path(), &args);
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let run = place.path().join("runs").join(signal);
        let waiting = Instant::now();
        while !run.join("last.pt").exists() && waiting.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut kill = Command::new("kill");
        kill.args([&format!("-{signal}"), &child.id().to_string()]);
        ok(kill);
        assert_eq!(child.wait().unwrap().code(), Some(code), "SIG{signal}");
        assert!(read(run.join("summary.yaml")).contains("status: interrupted"), "SIG{signal}");
    }
}

#[test]
fn under_nohup_a_run_outlives_its_terminal() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let args = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "60", "--run_name", "long"];
    let training = train(place.path(), &args);
    let mut command = start("nohup");
    command.current_dir(place.path()).arg(training.get_program()).args(training.get_args());
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let run = place.path().join("runs/long");
    let waiting = Instant::now();
    while !run.join("last.pt").exists() && waiting.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut kill = Command::new("kill");
    kill.args(["-HUP", &child.id().to_string()]);
    ok(kill);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(read(run.join("summary.yaml")).contains("status: completed"));
}

#[test]
fn torchvision_takes_our_weights_strictly_and_gives_our_logits() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 10, 8);
    let args = ["--data_dir", data.to_str().unwrap(), "--architecture", "resnet18", "--num_epochs", "1"];
    ok(train(place.path(), &args));
    let run = place.path().join("runs/arch_resnet18_epochs_1");
    let image = data.join("raw/7/0007.png");
    let image = if image.exists() {
        image
    } else {
        std::fs::read_dir(data.join("raw/7")).unwrap().next().unwrap().unwrap().path()
    };
    let ours = ok({
        let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
        command
            .args(["--device", "cpu", "--format", "jsonl", "--checkpoint"])
            .arg(run.join("best.pt"))
            .arg(&image);
        command
    });
    let ours: serde_json::Value = serde_json::from_slice(&ours.stdout).unwrap();
    let theirs: serde_json::Value =
        serde_json::from_str(&python("torchvision_predict.py", &[&run.join("best.pt"), &image])).unwrap();
    assert_eq!(ours["class"], theirs["class"]);
    let difference = ours["probability"].as_f64().unwrap() - theirs["probability"].as_f64().unwrap();
    // One image at 16 px through 18 layers of float32.
    assert!(difference.abs() < 1e-4, "{ours} and {theirs}");
}

#[test]
fn wrong_settings_are_refused_with_exit_code_2_before_anything_is_written() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 10);
    let data = data.to_str().unwrap();
    // As an editor of Windows writes it: with a byte order mark.
    std::fs::write(place.path().join("bom.yaml"), "\u{feff}seed: 1\r\ntraining:\r\n  num_epoch: 5\r\n")
        .unwrap();
    for (args, parts) in [
        (vec!["--lr", "-1"], vec!["--lr: optimizer.lr: must be positive, got -1"]),
        (
            vec!["--config", "bom.yaml"],
            vec!["bom.yaml:3: training.num_epoch: unknown key; did you mean `num_epochs`?"],
        ),
        (vec!["--lr", "nan"], vec!["optimizer.lr", "must be positive"]),
        (vec!["--batch_size", "0"], vec!["training.batch_size", "at least 1"]),
        (vec!["--architecture", "resnet81"], vec!["model.architecture", "did you mean `resnet18`"]),
        (
            vec!["--set", "optimizer.learning_rate=1"],
            vec!["--set (argument 4): optimizer.learning_rate: unknown key; did you mean `lr`?"],
        ),
        (vec!["--set", "optimizer.lr"], vec!["key.path=value"]),
        (vec!["--device", "cuda"], vec!["training.device", "--device cpu"]),
        (vec!["--config", "missing.yaml"], vec!["missing.yaml"]),
        (vec!["--num_workers", "-1"], vec!["data.num_workers"]),
        (vec!["--allow_changes"], vec!["--resume"]),
    ] {
        let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
        command.current_dir(place.path()).args(["--data_dir", data]).args(&args);
        fails(command, 2, &parts);
    }
    assert!(!place.path().join("runs").exists());
}

#[test]
fn a_run_that_cannot_start_or_go_on_says_where_and_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 10);
    let data_arg = data.to_str().unwrap().to_owned();
    fails(train(place.path(), &["--data_dir", "nowhere"]), 2, &["nowhere", "data.data_dir"]);
    fails(train(place.path(), &["--data_dir", data.join("raw").to_str().unwrap()]), 2, &["instead"]);
    fails(train(place.path(), &["--data_dir", &data_arg, "--fold", "0"]), 2, &["fold"]);
    fails(train(place.path(), &["--data_dir", &data_arg, "--weights", "nope.pt"]), 2, &["nope.pt"]);
    fails(train(place.path(), &["--data_dir", &data_arg, "--run_name", "../x"]), 2, &["--run_name"]);
    assert!(!place.path().join("runs").exists());

    std::fs::write(place.path().join("file"), "").unwrap();
    fails(
        train(place.path(), &["--data_dir", &data_arg, "--runs_dir", "file/x"]),
        1,
        &["file", "--runs_dir"],
    );

    let victim = std::fs::read_dir(data.join("raw/1")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&victim).unwrap();
    for content in [&b""[..], &b"just text"[..], &whole[..whole.len() / 2]] {
        std::fs::write(&victim, content).unwrap();
        fails(
            train(place.path(), &["--data_dir", &data_arg]),
            1,
            &[victim.file_name().unwrap().to_str().unwrap()],
        );
    }
    std::fs::write(&victim, whole).unwrap();
    for summary in std::fs::read_dir(place.path().join("runs")).unwrap() {
        assert!(read(summary.unwrap().path().join("summary.yaml")).contains("status: failed"));
    }

    ok(train(place.path(), &["--data_dir", &data_arg, "--run_name", "done", "--num_epochs", "1"]));
    let done = place.path().join("runs/done");
    let run = done.to_str().unwrap();
    fails(train(place.path(), &["--resume", run]), 2, &["--num_epochs"]);
    fails(train(place.path(), &["--resume", run, "--num_epochs", "2", "--lr", "1"]), 2, &["optimizer.lr"]);
    fails(train(place.path(), &["--resume", "nowhere"]), 2, &["nowhere"]);
    fails(train(place.path(), &["--data_dir", &data_arg, "--run_name", "done"]), 2, &["--resume"]);
}

#[test]
fn a_dry_run_checks_everything_and_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 10);
    let output = ok(train(place.path(), &["--data_dir", data.to_str().unwrap(), "--dry_run"]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was written"));
    assert!(!place.path().join("runs").exists());
    let shown = ok(train(place.path(), &["--print_config", "--lr", "0.5"]));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("# --lr"));
}

/// Digits with a copy of a training image among the validation images.
fn leaking_tree(place: &Path) -> PathBuf {
    let data = place.join("tree");
    small_digits(&data.join("train"), &[12, 12]);
    small_digits(&data.join("val"), &[1, 0]);
    let ones = workspace().join("tests/data/digits/raw/1");
    let mut files: Vec<_> = std::fs::read_dir(&ones).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    std::fs::create_dir_all(data.join("val/1")).unwrap();
    std::fs::copy(&files[40], data.join("val/1/unseen.png")).unwrap();
    data
}

#[test]
fn an_image_in_two_splits_is_refused_unless_the_configuration_accepts_it() {
    let place = tempfile::tempdir().unwrap();
    let data = leaking_tree(place.path());
    let run =
        |args: &[&str]| train(place.path(), &[&["--data_dir", "tree", "--num_epochs", "1"], args].concat());
    let parts =
        ["1 image(s) are in more than one split", "train/0/", "= val/0/", "ml-split", "data.on_leak=warn"];
    fails(run(&[]), 1, &parts);
    assert!(!place.path().join("runs").exists(), "no run is claimed");
    assert!(data.join(".ml-cache/leaks.json").exists());
    fails(run(&[]), 1, &parts);
    let output = ok(run(&["--set", "data.on_leak=warn"]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("WARNING") && told.contains("same content"), "{told}");
    let output = ok(run(&["--set", "data.on_leak=ignore"]));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("same content"));
    assert!(place.path().join("runs/epochs_1_2").exists(), "it is not part of the name");
    // Going on looks again.
    let on = ["--resume", "runs/epochs_1", "--num_epochs", "2", "--set", "data.on_leak=fail"];
    fails(train(place.path(), &on), 1, &parts);
    for entry in std::fs::read_dir(data.join("val/0")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    ok(run(&["--run_name", "clean"]));
}

#[test]
fn a_data_set_that_changed_after_it_was_divided_is_told_of() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let run = |args: &[&str]| train(place.path(), &[&["--data_dir", "digits", "--dry_run"], args].concat());
    let output = ok(run(&[]));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("changed after"));
    let line = read(data.join("splits/val.txt")).lines().next().unwrap().to_owned();
    let mut bytes = std::fs::read(data.join(&line)).unwrap();
    bytes.extend_from_slice(b"what follows a PNG's end is nobody's business");
    std::fs::write(data.join(&line), bytes).unwrap();
    std::fs::copy(data.join(&line), data.join("raw/1/new.png")).unwrap();
    let output = ok(run(&[]));
    let told = String::from_utf8_lossy(&output.stderr);
    for part in [
        "changed after it was split",
        &format!("1 image(s) have another size ({line})"),
        "1 image(s) are new and in no split (raw/1/new.png)",
        "`ml-split digits/raw --force`",
    ] {
        assert!(told.contains(part), "`{part}` is not in {told}");
    }
    fails(run(&["--set", "data.on_change=fail"]), 1, &["another size", "data.on_change=warn"]);
    let output = ok(run(&["--set", "data.on_change=ignore"]));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("another size"));
    std::fs::remove_file(data.join(&line)).unwrap();
    fails(run(&["--set", "data.on_change=ignore"]), 1, &["cannot be found", &line]);
}

#[test]
fn a_last_batch_of_one_image_is_refused_where_a_batch_norm_could_not_take_it() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    // 83 or 84 images of 120 are for training.
    let summary =
        |args: &[&str]| train(place.path(), &[&["--data_dir", data.to_str().unwrap()], args].concat());
    let log = ok(summary(&["--dry_run"])).stderr;
    let log = String::from_utf8_lossy(&log).into_owned();
    let count: usize = log.split("train ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let batch_size = (count - 1).to_string();
    let args = ["--batch_size", &batch_size, "--architecture", "resnet18"];
    fails(summary(&args), 2, &["a last batch of one", "`layer", "16 x 16", "data.drop_last=true"]);
    fails(
        summary(&["--batch_size", "1", "--architecture", "resnet18"]),
        2,
        &["batch_size is 1", "larger training.batch_size"],
    );
    assert!(!place.path().join("runs").exists());
    let ends = |more: &[&str]| {
        ok(summary(&[&args[..], &["--dry_run"], more].concat()));
    };
    ends(&["--set", "data.drop_last=true"]);
    // Large enough for every batch norm; or none of them is trained.
    ends(&["--set", "transforms.train.resize=[64, 64]", "--set", "transforms.train.random_crop=64"]);
    ends(&["--set", "model.freeze=backbone"]);
    let thawed = [&args[..], &["--set", "model.freeze=backbone", "--set", "model.unfreeze_epoch=1"]].concat();
    fails(summary(&thawed), 2, &["a last batch of one"]);
}

#[test]
fn a_class_of_weight_zero_does_not_count_also_in_batches_of_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 40);
    let args =
        ["--data_dir", data.to_str().unwrap(), "--batch_size", "4", "--set", "loss.class_weights=[1, 0]"];
    for more in [&[][..], &["--set", "training.gradient_accumulation_steps=2"]] {
        ok(train(place.path(), &[&args[..], more].concat()));
    }
}

#[test]
fn nobody_listening_to_stderr_or_stdout_is_no_failure() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    ok(train(place.path(), &["--data_dir", data.to_str().unwrap(), "--run_name", "a"]));
    let program = |program: &str, args: &[&str]| {
        let mut command = start(program);
        command.current_dir(place.path()).args(args);
        command
    };
    let infer = env!("CARGO_BIN_EXE_ml-inference");
    let evaluate = ["--device", "cpu", "--checkpoint", "runs/a"];
    let ends = |mut command: Command, code: i32| {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{command:?}");
    };
    ends(program(infer, &evaluate), 0);
    ends(program(infer, &["--checkpoint", "nowhere"]), 2);
    for program_name in [
        env!("CARGO_BIN_EXE_ml-train"),
        infer,
        env!("CARGO_BIN_EXE_ml-split"),
        env!("CARGO_BIN_EXE_ml-visualise"),
    ] {
        ends(program(program_name, &["completions", "bash"]), 0);
    }
}

#[test]
fn too_little_memory_for_a_batch_is_an_error_with_advice_and_the_summary_says_it() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    // A step of this takes more than the process may have, which it can begin with.
    let sizes =
        ["--set", "transforms.train.resize=[2000, 2000]", "--set", "transforms.train.random_crop=2000"];
    let args = ["--data_dir", data.to_str().unwrap(), "--architecture", "simple_cnn", "--batch_size", "2"];
    let inner = train(place.path(), &[&args[..], &sizes, &["--run_name", "a"]].concat());
    let mut command = Command::new("sh");
    command.current_dir(place.path()).env("OMP_NUM_THREADS", "2").arg("-c");
    command.arg("ulimit -v 4000000; exec \"$0\" \"$@\"").arg(inner.get_program()).args(inner.get_args());
    fails(command, 1, &["there is not enough memory: DefaultCPUAllocator", "--batch_size"]);
    let summary = read(place.path().join("runs/a/summary.yaml"));
    assert!(summary.contains("status: failed") && summary.contains("not enough memory"), "{summary}");
}

#[test]
fn no_threads_at_all_are_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    small_digits(&place.join("data/train"), &[4, 4]);
    let parts = ["training.threads", "must be `auto` or from 1 to", "got 0"];
    for given in [["--threads", "0"], ["--set", "training.threads=0"]] {
        fails(train(place, &[&["--data_dir", "data", "--dry_run"][..], &given].concat()), 2, &parts);
    }
    std::fs::write(place.join("none.yaml"), "training: {threads: 0}\n").unwrap();
    let args = ["--config", "none.yaml", "--data_dir", "data", "--device", "cpu", "--dry_run"];
    fails(program(env!("CARGO_BIN_EXE_ml-train"), place, &args), 2, &parts);
    let args = ["--threads", "0", "--weights", "x.pt", "--architecture", "resnet18", "data/train"];
    fails(program(env!("CARGO_BIN_EXE_ml-inference"), place, &args), 2, &["--threads", "at least 1"]);
}
