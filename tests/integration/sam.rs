//! `training.sam` and `training.gradient_checkpointing` by the real programs.

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, train};
use crate::train::{digits, python};

const SAM: [&str; 2] = ["--set", "training.sam={rho: 0.05}"];
const CHECKPOINTED: [&str; 2] = ["--set", "training.gradient_checkpointing=true"];
/// With dropout.
const NETWORK: [&str; 2] = ["--architecture", "simple_cnn"];

#[test]
fn runs_with_gradient_checkpointing_have_the_weights_of_those_without() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let states = ["plain", "recomputed"].map(|name| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--batch_size", "8"];
        let more: &[&str] = if name == "plain" { &[] } else { &CHECKPOINTED };
        ok(train(place.path(), &[&own[..], &NETWORK, more].concat()));
        python("state_hash.py", &[&place.path().join("runs").join(name).join("last.pt")])
    });
    assert_eq!(states[0], states[1]);
    let config = read(place.path().join("runs/recomputed/config.yaml"));
    assert!(config.contains("gradient_checkpointing: true"), "{config}");
    // What it has begun may be continued without, and the other way round.
    let resume = ["--resume", "runs/recomputed", "--num_epochs", "3", "--set"];
    ok(train(place.path(), &[&resume[..], &["training.gradient_checkpointing=false"]].concat()));
    ok(train(place.path(), &["--resume", "runs/plain", "--num_epochs", "3"]));
    let [one, other] = ["plain", "recomputed"]
        .map(|name| python("state_hash.py", &[&place.path().join("runs").join(name).join("last.pt")]));
    assert_eq!(one, other);
}

#[test]
fn a_run_with_both_learns_and_killed_in_whatever_it_does_resumes_exactly() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 60);
    let runs = place.path().join("runs");
    let command = |name: &'static str, more: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--num_epochs", "4"];
        let every = ["--batch_size", "8", "--set", "training.checkpoint.every_steps=1"];
        let args = [&own[..], &every, &NETWORK, &SAM, &CHECKPOINTED, more].concat();
        train(place.path(), &args)
    };
    ok(command("whole", &[]));
    let rows = read(runs.join("whole/metrics.csv"));
    let at = rows.lines().next().unwrap().split(',').position(|name| name == "val_accuracy").unwrap();
    let accuracy: f64 = rows.lines().last().unwrap().split(',').nth(at).unwrap().parse().unwrap();
    assert!(accuracy > 0.6, "{rows}");

    let ended = cut(command("cut", &["--resume", "auto"]), &runs.join("cut/previous.pt"), "-KILL");
    assert!(ended.is_none() || ended == Some(0));
    if ended.is_none() {
        ok(command("cut", &["--resume", "auto"]));
    }
    same(&runs.join("whole"), &runs.join("cut"));
}

#[test]
fn two_processes_compute_blocks_anew_to_the_bits_of_those_that_keep_them() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let states = ["kept", "anew"].map(|name| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--batch_size", "8"];
        let more: &[&str] = if name == "kept" { &[] } else { &CHECKPOINTED };
        ok(train(place.path(), &[&own[..], &["--nproc", "2"], &NETWORK, more].concat()));
        python("state_hash.py", &[&place.path().join("runs").join(name).join("last.pt")])
    });
    assert_eq!(states[0], states[1]);
}

#[test]
fn what_cannot_be_is_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let data = data.to_str().unwrap();
    for (settings, parts) in [
        (&["training.sam={rho: 0}"][..], &["training.sam.rho: must be positive, got 0"][..]),
        (&["training.sam={rho: 0.05, adaptve: true}"], &["training.sam.adaptve: unknown key", "`adaptive`"]),
        (
            &["training.sam={}", "training.gradient_accumulation_steps=2"],
            &["training.sam: is not for accumulated gradients", "gradient_accumulation_steps to 1"],
        ),
        (&["training.sam={}", "training.precision=fp16"], &["training.sam: is not for fp16"]),
        (
            &["training.gradient_checkpointing=true", "model.architecture=googlenet"],
            &["training.gradient_checkpointing: is not for googlenet, which has auxiliary heads"],
        ),
        (
            &["training.gradient_checkpointing=true", "training.distributed.sync_batch_norm=true"],
            &["training.gradient_checkpointing: cannot be together with", "sync_batch_norm"],
        ),
        (
            &["training.gradient_checkpointing=true", "training.distributed.find_unused_parameters=true"],
            &["training.gradient_checkpointing: cannot be together with", "find_unused_parameters"],
        ),
        (&["training.gradient_checkpointing=2"], &["training.gradient_checkpointing"]),
    ] {
        let sets = settings.iter().flat_map(|setting| ["--set", *setting]);
        let args: Vec<&str> = ["--data_dir", data, "--run_name", "refused"].into_iter().chain(sets).collect();
        fails(train(place.path(), &args), 2, parts);
    }
}
