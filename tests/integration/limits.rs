//! Trainings that a number of steps or a time ends.

use std::path::Path;

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, train};
use crate::train::digits;

const COSINE: [&str; 2] = ["--set", "scheduler={name: cosine, interval: step}"];

/// A number of each row of `metrics.csv`.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let text = read(run.join("metrics.csv"));
    let mut lines = text.lines();
    let at = lines.next().unwrap().split(',').position(|column| column == name).unwrap();
    lines.map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_run_of_some_steps_ends_within_an_epoch_and_resumes_exactly() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let runs = place.path().join("runs");
    let command = |name: &'static str, steps: &str, more: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--batch_size", "8"];
        let set = ["--max_steps", steps, "--set", "training.checkpoint.every_steps=1"];
        let args = [&own[..], &set, &COSINE, more].concat();
        train(place.path(), &args)
    };
    let output = ok(command("whole", "50", &[]));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("ended after 50 steps (training.max_steps)"), "{log}");
    let steps = column(&runs.join("whole"), "step");
    assert_eq!(steps.last(), Some(&50.0));
    let per_epoch = steps[0];
    assert!(50.0 % per_epoch != 0.0, "the last epoch is cut: {steps:?}");
    assert!(read(runs.join("whole/summary.yaml")).contains("status: completed"));
    let rates = column(&runs.join("whole"), "learning_rate");
    assert!(*rates.last().unwrap() < 1e-4, "{rates:?}");

    // Killed in whatever it does, and resumed.
    let ended = cut(command("cut", "50", &["--resume", "auto"]), &runs.join("cut/previous.pt"), "-KILL");
    assert!(ended.is_none() || ended == Some(0));
    if ended.is_none() {
        ok(command("cut", "50", &["--resume", "auto"]));
    }
    same(&runs.join("whole"), &runs.join("cut"));

    // A finished run has nothing left; with more steps it goes on with a new epoch.
    let again = ["--resume", "runs/whole"];
    fails(train(place.path(), &again), 2, &["all 50 steps of the run are done", "--max_steps 100"]);
    ok(train(place.path(), &[&again[..], &["--max_steps", "55"]].concat()));
    assert_eq!(column(&runs.join("whole"), "step").last(), Some(&55.0));
}

#[test]
fn a_run_with_a_time_limit_ends_annealed() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let args = ["--data_dir", data.to_str().unwrap(), "--time_limit", "4s", "--run_name", "timed"];
    let output = ok(train(place.path(), &[&args[..], &COSINE].concat()));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("ended after 4 seconds (training.max_time)"), "{log}");
    let rates = column(&place.path().join("runs/timed"), "learning_rate");
    assert!(*rates.last().unwrap() < 0.5 * rates[0], "{rates:?}");
    let again = ["--resume", "runs/timed"];
    fails(train(place.path(), &again), 2, &["the time of the run is over (4s)", "--time_limit 8s"]);
}

#[test]
fn limits_that_cannot_be_are_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    for (limit, parts) in [
        (["--max_steps", "0"], &["training.max_steps: must be at least 1, got 0"][..]),
        (["--time_limit", "0"], &["training.max_time: must be null or positive"]),
        (["--time_limit", "soon"], &["training.max_time", "`90s`, `20m`, `1h30m`"]),
        (["--time_limit", "0.000001s"], &["training.max_time: is 0.000001s, shorter than one epoch"]),
    ] {
        let own = ["--data_dir", data, "--batch_size", "4", "--run_name", "refused"];
        let args = [&own[..], &limit].concat();
        fails(train(place.path(), &args), 2, parts);
    }
}

#[test]
fn a_time_shorter_than_an_epoch_is_refused_before_training() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    let said =
        &["training.max_time: is 0.000001s, shorter than one epoch", "Give it at least", "--preset auto"];
    for more in [&[][..], &["--dry_run"]] {
        let own = ["--data_dir", data, "--batch_size", "4", "--run_name", "short"];
        let args = [&own[..], &["--time_limit", "0.000001s"], more].concat();
        fails(train(place.path(), &args), 2, said);
        assert!(!place.path().join("runs/short").exists(), "{more:?}");
    }
    // The steps are the user's, also where they are fewer than an epoch's.
    let own = ["--data_dir", data, "--batch_size", "4", "--run_name", "steps", "--max_steps", "2"];
    ok(train(place.path(), &[&own[..], &["--time_limit", "1h"]].concat()));
    assert_eq!(column(&place.path().join("runs/steps"), "step"), [2.0]);
}

#[test]
fn looking_for_a_time_that_is_too_short_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    for (name, limit) in [("without", &[][..]), ("with", &["--time_limit", "1h"])] {
        let own = ["--data_dir", data, "--batch_size", "4", "--run_name", name, "--max_steps", "12"];
        // Without a time it is not measured how to compute.
        let compute = ["--set", "training.precision=fp32", "--set", "training.channels_last=false"];
        ok(train(place.path(), &[&own[..], &compute, &COSINE, limit].concat()));
    }
    let metrics = |name: &str| read(place.path().join("runs").join(name).join("metrics.csv"));
    assert_eq!(metrics("without"), metrics("with"));
}

#[test]
fn two_processes_end_after_the_same_steps_as_rank_0_decides() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let data = data.to_str().unwrap();
    for (name, limit) in [("steps", ["--max_steps", "11"]), ("time", ["--time_limit", "6s"])] {
        let own = ["--data_dir", data, "--batch_size", "8", "--nproc", "2", "--run_name", name];
        ok(train(place.path(), &[&own[..], &limit, &COSINE].concat()));
        let run = place.path().join("runs").join(name);
        assert!(read(run.join("summary.yaml")).contains("status: completed"));
        if name == "steps" {
            assert_eq!(column(&run, "step").last(), Some(&11.0));
        }
    }
}
