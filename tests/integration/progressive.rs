//! Trainings whose images grow and whose batches change from epoch to epoch.

use std::path::Path;

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, train};
use crate::train::digits;

const CHANGES: [&str; 6] = [
    "--set",
    "training.progressive_resizing={sizes: [{from_epoch: 0, size: 8}, {from_epoch: 2, size: 12}, {from_epoch: 4, size: 16}]}",
    "--set",
    "training.batch_schedule={batch_sizes: [{from_epoch: 3, batch_size: 16}], scale_lr: linear}",
    "--set",
    "scheduler={name: cosine, interval: step}",
];

fn steps(run: &Path) -> Vec<u64> {
    let text = read(run.join("metrics.csv"));
    text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

/// What `metrics.csv` says of each epoch.
fn losses(run: &Path) -> String {
    read(run.join("metrics.csv"))
}

#[test]
fn a_run_cut_at_any_change_ends_like_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let runs = place.path().join("runs");
    let command = |name: &str, more: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--batch_size", "8"];
        let rest = ["--num_epochs", "6", "--set", "training.checkpoint.every_steps=1"];
        train(place.path(), &[&own[..], &rest, &CHANGES, more].concat())
    };
    let output = ok(command("whole", &[]));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["images of 8x8", "images of 12x12", "batches of 16 images from epoch 4 on"] {
        assert!(log.contains(part), "`{part}` is not in: {log}");
    }
    let images = read(data.join("splits/train.txt")).lines().count() as u64;
    let (few, many) = (images.div_ceil(8), images.div_ceil(16));
    let expected: Vec<u64> =
        (1..=6).map(|epoch| few * epoch.min(3) + many * epoch.saturating_sub(3)).collect();
    assert_eq!(steps(&runs.join("whole")), expected);
    for (file, signal) in [("last.pt", "-KILL"), ("previous.pt", "-KILL"), ("best.pt", "-INT")] {
        cut(command("cut", &["--resume", "auto"]), &runs.join("cut").join(file), signal);
    }
    ok(command("cut", &["--resume", "auto"]));
    same(&runs.join("whole"), &runs.join("cut"));
    for cache in ["ram", "disk"] {
        ok(command(cache, &["--set", &format!("data.cache={cache}")]));
        assert_eq!(losses(&runs.join("whole")), losses(&runs.join(cache)), "{cache}");
    }
    let plot = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "6", "--plot_schedule", "lr.png"];
    ok(train(place.path(), &[&plot[..], &CHANGES].concat()));
    assert!(place.path().join("lr.png").exists());
}

#[test]
fn two_processes_change_together() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    for name in ["a", "b"] {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--batch_size", "4"];
        let rest = ["--num_epochs", "5", "--nproc", "2"];
        ok(train(place.path(), &[&own[..], &rest, &CHANGES].concat()));
    }
    same(&place.path().join("runs/a"), &place.path().join("runs/b"));
}

#[test]
fn what_cannot_change_is_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let resizing = "training.progressive_resizing";
    for (set, more, part) in [
        ("training.progressive_resizing={sizes: [{from_epoch: 0, size: 2}]}", &[][..], resizing),
        (
            "training.progressive_resizing={sizes: [{from_epoch: 0, size: 99}]}",
            &[],
            "at most that of transforms.train, 16",
        ),
        ("training.progressive_resizing={}", &["--architecture", "vit_b_16"], "vit_b_16 takes one"),
        ("training.progressive_resizing={}", &["--time_limit", "1h"], "cannot go with training.max_time"),
        ("training.progressive_resizing={}", &["--max_steps", "9"], "training.max_steps leaves open"),
        ("training.batch_schedule={}", &[], "training.batch_schedule.batch_sizes: must name"),
        (
            "training.gradient_accumulation_steps=500",
            &[],
            "training.gradient_accumulation_steps: is 500, longer than",
        ),
    ] {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", "refused", "--set", set];
        fails(train(place.path(), &[&own[..], more].concat()), 2, &[part]);
        assert!(!place.path().join("runs/refused").exists(), "{set}");
    }
}
