//! `training.distillation`: a student of a run, of its checkpoint and of a TorchScript file.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, start, train};
use crate::train::{digits, python};

/// A teacher, `runs/teacher`, and the data that it knows.
fn taught(place: &Path) -> PathBuf {
    let data = digits(place, 3, 40);
    let epochs = ["--num_epochs", "4", "--run_name", "teacher", "--architecture", "simple_cnn"];
    ok(train(place, &[&["--data_dir", data.to_str().unwrap()][..], &epochs].concat()));
    data
}

fn student(place: &Path, data: &Path, name: &str, distillation: &str, more: &[&str]) -> Command {
    let distillation = format!("training.distillation={distillation}");
    let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--set", &distillation];
    train(place, &[&own[..], more].concat())
}

/// The last row of `metrics.csv`.
fn last(run: &Path) -> Vec<f64> {
    let text = read(run.join("metrics.csv"));
    text.lines().last().unwrap().split(',').map(|value| value.parse().unwrap()).collect()
}

#[test]
fn a_student_that_was_killed_ends_like_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    let data = taught(place.path());
    let runs = place.path().join("runs");
    let more = ["--num_epochs", "4", "--batch_size", "8", "--set", "training.checkpoint.every_steps=1"];
    let command = |name: &str, also: &[&str]| {
        let settings = "{teacher: runs/teacher, temperature: 2.0, weight: 0.7}";
        let mixed = ["--set", "transforms.train.mixup=0.2", "--set", "training.ema={decay: 0.9}"];
        student(place.path(), &data, name, settings, &[&more[..], &mixed, also].concat())
    };
    let output = ok(command("whole", &[]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("teacher: simple_cnn of runs/teacher/best.pt (epoch "), "{said}");
    assert!(said.contains("val accuracy "), "{said}");
    let whole = runs.join("whole");
    assert!(read(whole.join("config.yaml")).contains("sha256: "), "the content is written down");

    assert_eq!(cut(command("cut", &["--resume", "auto"]), &runs.join("cut/last.pt"), "-KILL"), None);
    // Another teacher under the name would make another run; moved away, it must be named.
    let teacher = runs.join("teacher");
    let (best, other) = (teacher.join("best.pt"), teacher.join("last.pt"));
    std::fs::rename(&best, place.path().join("kept.pt")).unwrap();
    std::fs::copy(&other, &best).unwrap();
    let mut bytes = std::fs::read(&best).unwrap();
    bytes.push(0);
    std::fs::write(&best, bytes).unwrap();
    fails(
        train(place.path(), &["--resume", "runs/cut"]),
        2,
        &[
            "training.distillation.teacher: runs/teacher/best.pt has another content",
            "put that very file back",
        ],
    );
    std::fs::remove_file(&best).unwrap();
    fails(
        train(place.path(), &["--resume", "runs/cut"]),
        2,
        &["training.distillation.teacher: runs/teacher has no best.pt"],
    );
    let harder = ["--resume", "runs/cut", "--set", "training.distillation.weight=0.9"];
    std::fs::rename(place.path().join("kept.pt"), &best).unwrap();
    fails(train(place.path(), &harder), 2, &["training.distillation.weight cannot change"]);
    ok(command("cut", &["--resume", "auto"]));
    same(&whole, &runs.join("cut"));

    // A moved teacher is the same one by its content.
    std::fs::rename(&best, place.path().join("kept.pt")).unwrap();
    let moved =
        ["--resume", "runs/whole", "--num_epochs", "5", "--set", "training.distillation.teacher=kept.pt"];
    ok(train(place.path(), &moved));
}

#[test]
fn a_student_with_two_passes_a_step_that_was_killed_ends_like_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    let data = taught(place.path());
    let runs = place.path().join("runs");
    let command = |name: &str, also: &[&str]| {
        let every = ["--num_epochs", "3", "--batch_size", "8", "--set", "training.checkpoint.every_steps=1"];
        let sam = ["--set", "training.sam={rho: 0.05}", "--architecture", "simple_cnn"];
        student(place.path(), &data, name, "{teacher: runs/teacher}", &[&every[..], &sam, also].concat())
    };
    ok(command("whole", &[]));
    let ended = cut(command("cut", &["--resume", "auto"]), &runs.join("cut/previous.pt"), "-KILL");
    assert!(ended.is_none() || ended == Some(0));
    if ended.is_none() {
        ok(command("cut", &["--resume", "auto"]));
    }
    same(&runs.join("whole"), &runs.join("cut"));
}

#[test]
fn weight_zero_trains_on_labels_alone_and_one_on_the_teacher_alone() {
    let place = tempfile::tempdir().unwrap();
    let data = taught(place.path());
    let runs = place.path().join("runs");
    let plain = ["--data_dir", data.to_str().unwrap(), "--run_name", "plain"];
    ok(train(place.path(), &plain));
    let run = |name: &str, settings: &str| {
        ok(student(place.path(), &data, name, settings, &[]));
        last(&runs.join(name))
    };
    let none = run("none", "{teacher: runs/teacher, weight: 0}");
    // Columns 3 to 6 are the losses and accuracies; a sum with 0 is the same in float32.
    assert_eq!(none[3..7], last(&runs.join("plain"))[3..7]);
    let soft = run("soft", "{teacher: runs/teacher/best.pt, weight: 1}");
    let hard = run("hard", "{teacher: runs/teacher, weight: 1, hard: true}");
    assert!(soft[3].is_finite() && hard[3].is_finite() && soft[3] != hard[3], "{soft:?} {hard:?}");
}

#[test]
fn two_processes_learn_from_a_teacher_as_one_with_two_batches_does() {
    let place = tempfile::tempdir().unwrap();
    let data = taught(place.path());
    let settings = "{teacher: runs/teacher}";
    // With class weights the two terms have different divisors.
    let sizes = [
        "--set",
        "loss.class_weights=[1, 2, 3]",
        "--set",
        "optimizer={name: sgd, lr: 0.02}",
        "--precision",
        "fp32",
    ];
    let run = |name: &str, more: &[&str]| {
        ok(student(place.path(), &data, name, settings, &[&sizes[..], more].concat()));
        last(&place.path().join("runs").join(name))
    };
    let one = run("one", &["--batch_size", "8", "--set", "training.gradient_accumulation_steps=2"]);
    let two = run("two", &["--batch_size", "8", "--nproc", "2"]);
    for column in [3, 5] {
        let apart = (one[column] - two[column]).abs() / one[column];
        // Sums over processes round in another order.
        assert!(apart < 1e-4, "{one:?} and {two:?}");
    }
}

#[test]
fn a_torchscript_file_teaches_and_what_does_not_suit_is_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let data = taught(place.path());
    let nets = place.path().join("nets");
    std::fs::create_dir_all(&nets).unwrap();
    python("torchscript.py", &["make".as_ref(), &nets, "3".as_ref()]);
    for file in ["net.pt", "traced.pt", "frozen.pt"] {
        let settings = format!("{{teacher: nets/{file}}}");
        let output = ok(student(place.path(), &data, file, &settings, &["--num_epochs", "1"]));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("teacher: nets/{file} (TorchScript)")), "{said}");
    }

    let key = "training.distillation.teacher: ";
    for (file, part) in [
        ("nets/none.pt", "there is no file nets/none.pt"),
        ("nets", "nets has no best.pt"),
        ("nets/garbage.pt", "nets/garbage.pt"),
        ("nets/weights.pt", "is no checkpoint of ml-train"),
        ("nets/classes.pt", "the data set has 3 classes"),
        ("nets/two.pt", "its output is Tuple[Tensor, Tensor]"),
    ] {
        let settings = format!("{{teacher: {file}}}");
        fails(student(place.path(), &data, "wrong", &settings, &[]), 2, &[key, part]);
    }
    let key_of_features = "training.distillation.features: nets/net.pt is a TorchScript module";
    let settings = "{teacher: nets/net.pt, features: 1}";
    fails(student(place.path(), &data, "wrong", settings, &[]), 2, &[key_of_features]);
    let more = digits(&place.path().join("more"), 4, 10);
    fails(
        student(place.path(), &more, "wrong", "{teacher: runs/teacher}", &[]),
        2,
        &[key, "does not know 1 of the 4 classes of the data set: 3"],
    );
    for (wrong, part) in [
        ("weight: 2", "training.distillation.weight: must be in 0 to 1, got 2"),
        ("temperature: 0", "training.distillation.temperature: must be positive, got 0"),
        ("features: -1", "training.distillation.features: must be at least 0, got -1"),
    ] {
        let settings = format!("{{teacher: runs/teacher, {wrong}}}");
        fails(student(place.path(), &data, "wrong", &settings, &[]), 2, &[part]);
    }
    let grey = [
        "--set",
        "transforms={train: {resize: [16, 16], channels: 1}, val: {resize: [16, 16], channels: 1}}",
    ];
    fails(
        student(place.path(), &data, "wrong", "{teacher: runs/teacher}", &grey),
        2,
        &[key, "images of 3 channels"],
    );
    assert!(!place.path().join("runs/wrong").exists(), "nothing was written");
    // Black images, with which it is tried, it takes.
    fails(
        student(place.path(), &data, "nan", "{teacher: nets/nan.pt}", &[]),
        1,
        &["the outputs of the teacher (training.distillation.teacher) contain NaN or Inf at step 0"],
    );
    assert!(read(place.path().join("runs/nan/summary.yaml")).contains("failed"));
    // Of fewer classes, other images and another size, a teacher does.
    let fewer = digits(&place.path().join("fewer"), 2, 20);
    let other = [
        "--num_epochs",
        "1",
        "--set",
        "transforms={train: {resize: [20, 20], random_crop: null, normalize: {mean: [0.5, 0.5, 0.5], \
         std: [0.2, 0.2, 0.2]}}, val: {resize: [20, 20], normalize: {mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}}}",
    ];
    ok(student(place.path(), &fewer, "fewer", "{teacher: runs/teacher}", &other));

    // A run is not its own teacher.
    let own = ["--resume", "runs/fewer", "--num_epochs", "2", "--set"];
    let own = [&own[..], &["training.distillation.teacher=runs/fewer"]].concat();
    fails(train(place.path(), &own), 2, &[key, "is of the run that it is to teach"]);
}

#[test]
fn a_student_is_a_model_like_any_other() {
    let place = tempfile::tempdir().unwrap();
    let data = taught(place.path());
    ok(student(place.path(), &data, "student", "{teacher: runs/teacher}", &[]));
    std::fs::remove_dir_all(place.path().join("runs/teacher")).unwrap();
    let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
    command.args(["--device", "cpu", "--json", "--split", "val", "--checkpoint"]);
    command.arg(place.path().join("runs/student"));
    let report: serde_json::Value = serde_json::from_slice(&ok(command).stdout).unwrap();
    assert!(report["accuracy"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_student_follows_the_embeddings_of_its_teacher_and_resumes_exactly() {
    let place = tempfile::tempdir().unwrap();
    let data = taught(place.path());
    let runs = place.path().join("runs");
    let more = ["--num_epochs", "3", "--batch_size", "16", "--set", "training.checkpoint.every_steps=1"];
    let command = |name: &str, features: &str, also: &[&str]| {
        let settings = format!("{{teacher: runs/teacher, weight: 0.5, features: {features}}}");
        student(place.path(), &data, name, &settings, &[&more[..], also].concat())
    };
    ok(command("whole", "300", &[]));
    assert_eq!(cut(command("cut", "300", &["--resume", "auto"]), &runs.join("cut/last.pt"), "-KILL"), None);
    ok(command("cut", "300", &["--resume", "auto"]));
    same(&runs.join("whole"), &runs.join("cut"));
    ok(command("without", "0", &[]));
    assert!(last(&runs.join("whole"))[3] > last(&runs.join("without"))[3], "it is a part of the loss");
    // Blocks that are computed anew give the same.
    ok(command("anew", "300", &["--set", "training.gradient_checkpointing=true"]));
    assert_eq!(read(runs.join("whole/metrics.csv")), read(runs.join("anew/metrics.csv")));
}
