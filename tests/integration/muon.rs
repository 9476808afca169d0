//! `optimizer.fallback: sgd` of Muon, by the real programs.

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, train};
use crate::train::digits;

#[test]
fn a_run_with_sgd_beside_muon_that_was_killed_ends_like_one_that_was_not() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let runs = place.path().join("runs");
    let muon = "optimizer={name: muon, lr: 0.02, fallback: sgd, sgd_lr: 0.05, weight_decay: 0.01}";
    let command = |name: &'static str, more: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--num_epochs", "6"];
        let sets = ["--set", muon, "--set", "deterministic=true", "--batch_size", "8"];
        let every = ["--set", "training.checkpoint.every_steps=1"];
        train(place.path(), &[&own[..], &sets, &every, more].concat())
    };
    ok(command("whole", &[]));
    let config = read(runs.join("whole/config.yaml"));
    assert!(config.contains("fallback: sgd") && config.contains("head: fallback"), "{config}");
    let ended = cut(command("cut", &["--resume", "auto"]), &runs.join("cut/previous.pt"), "-KILL");
    if ended.is_none() {
        ok(command("cut", &["--resume", "auto"]));
    }
    same(&runs.join("whole"), &runs.join("cut"));

    let wrong = "optimizer={name: muon, fallback: sgd, sgd_momentum: 0.0}";
    let args = ["--data_dir", data.to_str().unwrap(), "--set", wrong];
    fails(train(place.path(), &args), 2, &["optimizer.sgd_nesterov: needs sgd_momentum above 0"]);
}
