//! `training.jensen_shannon`: trainings that compare several views of each image, by the real programs.

use std::path::Path;

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, train};
use crate::train::digits;

const LOSS: &str = "training.jensen_shannon={alpha: 6, splits: 3}";
const AUGMENTED: &str = "transforms.train={resize: [18, 18], random_crop: 16, augmix: true, \
                         random_erasing: {p: 0.5, value: random}}";
const VIEWS: [&str; 4] = ["--set", LOSS, "--set", AUGMENTED];

/// The rows of `metrics.csv`: epoch, step, learning rate, `train_loss`, `train_accuracy`, `val_loss`, …
fn rows(run: &Path) -> Vec<Vec<f64>> {
    let text = read(run.join("metrics.csv"));
    text.lines().skip(1).map(|row| row.split(',').map(|value| value.parse().unwrap()).collect()).collect()
}

fn images(data: &Path, split: &str) -> f64 {
    read(data.join(format!("splits/{split}.txt"))).lines().count() as f64
}

#[test]
fn a_run_on_views_learns_and_is_the_same_when_it_is_killed_and_for_any_number_of_workers() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let runs = place.path().join("runs");
    let command = |name: &'static str, more: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "6", "--run_name", name];
        let every = ["--batch_size", "8", "--set", "training.checkpoint.every_steps=1"];
        train(place.path(), &[&own[..], &every, &VIEWS, more].concat())
    };
    ok(command("whole", &["--set", "data.num_workers=2"]));
    let found = rows(&runs.join("whole"));
    // Steps and accuracies count images, not their views.
    assert_eq!(found[0][1], (images(&data, "train") / 8.0).ceil());
    for row in &found {
        let right = row[4] * images(&data, "train");
        assert!((right - right.round()).abs() < 1e-3, "{row:?}");
    }
    assert!(found[5][6] > 0.45 && found[5][3] < found[0][3], "it learns: {found:?}");

    ok(command("alone", &["--set", "data.num_workers=0", "--set", "data.cache=ram"]));
    assert_eq!(read(runs.join("whole/metrics.csv")), read(runs.join("alone/metrics.csv")));

    let more = ["--set", "data.num_workers=2", "--resume", "auto"];
    let ended = cut(command("cut", &more), &runs.join("cut/previous.pt"), "-KILL");
    assert!(ended.is_none() || ended == Some(0));
    if ended.is_none() {
        ok(command("cut", &more));
    }
    same(&runs.join("whole"), &runs.join("cut"));
}

#[test]
fn two_processes_on_views_follow_one_that_accumulates_two_gradients() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let command = |name: &str, more: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--batch_size", "10", "--run_name", name];
        let optimizer = ["--set", "optimizer={name: sgd, lr: 0.02}", "--precision", "fp32"];
        train(place.path(), &[&own[..], &optimizer, &VIEWS, more].concat())
    };
    ok(command("one", &["--set", "training.gradient_accumulation_steps=2"]));
    for name in ["a", "b"] {
        ok(command(name, &["--nproc", "2"]));
    }
    let runs = place.path().join("runs");
    same(&runs.join("a"), &runs.join("b"));
    for (one, two) in rows(&runs.join("one")).iter().zip(&rows(&runs.join("a"))) {
        assert_eq!(one[..3], two[..3]);
        for column in [3, 5] {
            assert!((one[column] - two[column]).abs() < 1e-3 * one[column], "{one:?} and {two:?}");
        }
        let right = [one, two].map(|row| row[4] * images(&data, "train"));
        assert!((right[0] - right[1]).abs() < 1.5, "{right:?}");
    }
}

#[test]
fn what_a_step_takes_is_measured_with_all_views() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let own = ["--data_dir", data.to_str().unwrap()];
    ok(train(place.path(), &[&own[..], &VIEWS, &["--find_batch_size"]].concat()));
    // Batch norms are computed anew from all views.
    let swa = ["--set", "training.swa={start: 0.5}", "--num_epochs", "4", "--run_name", "swa"];
    ok(train(place.path(), &[&own[..], &VIEWS, &swa].concat()));
}

#[test]
fn views_that_cannot_be_compared_are_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    for (sets, parts) in [
        (
            &[LOSS][..],
            &["training.jensen_shannon: compares views of each image", "transforms.train.augmix"][..],
        ),
        (
            &[LOSS, AUGMENTED, "transforms.train.mixup=0.2"],
            &["training.jensen_shannon", "mixup and cutmix mix them"],
        ),
        (
            &[LOSS, AUGMENTED, "training.jensen_shannon.splits=1"],
            &["training.jensen_shannon.splits: must be in 2 to 8, got 1"],
        ),
        (
            &[LOSS, AUGMENTED, "training.jensen_shannon.alpha=-1"],
            &["training.jensen_shannon.alpha: must be positive"],
        ),
        (&[LOSS, AUGMENTED, "loss={name: focal}"], &["training.jensen_shannon", "loss.name is focal"]),
        (
            &[LOSS, AUGMENTED, "model.freeze=backbone", "training.feature_cache={views: 4}"],
            &["training.feature_cache: keeps features in place of images"],
        ),
    ] {
        let sets = sets.iter().flat_map(|&set| ["--set", set]);
        let args: Vec<&str> = ["--data_dir", data, "--run_name", "refused"].into_iter().chain(sets).collect();
        fails(train(place.path(), &args), 2, parts);
    }
    assert!(!place.path().join("runs/refused").exists());
}
