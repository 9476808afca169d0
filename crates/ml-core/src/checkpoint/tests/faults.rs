//! Whatever fails while a checkpoint is saved, there is a state to resume from.

use std::cell::Cell;
use std::path::Path;

use atomic_file::{System, remove_leftovers};
use tch::Tensor;
use test_support::{EIO, FailingFiles};
use torch_file::Value;

use super::super::async_writer::save;
use super::super::{CheckpointPaths, read, write};

fn state(number: i64) -> Value {
    Value::dict([
        ("step", Value::Int(number)),
        ("weight", Tensor::full([3000], number, (tch::Kind::Float, tch::Device::Cpu)).into()),
    ])
}

fn step(path: &Path) -> i64 {
    let value = read(path).unwrap();
    let step = value.get("step").unwrap().as_i64().unwrap();
    assert_eq!(value.get("weight").unwrap().as_tensor().unwrap().double_value(&[2999]), step as f64);
    step
}

#[test]
fn a_save_that_fails_or_dies_anywhere_leaves_a_state_to_go_on_from_and_never_a_third() {
    for dies in [false, true] {
        let mut places = 0;
        for fail_at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let name = |name: &str| folder.path().join(name);
            let files = || CheckpointPaths {
                previous: name("previous.pt"),
                last: name("last.pt"),
                names: vec![name("best.pt"), name("epoch_2.pt"), name("rollback.pt")],
                delete: vec![name("epoch_1.pt")],
            };
            write(&name("epoch_1.pt"), &state(1)).unwrap();
            let first = CheckpointPaths {
                names: vec![name("best.pt"), name("rollback.pt")],
                delete: vec![],
                ..files()
            };
            save(&System, &state(1), &first).unwrap();

            let (countdown, dead) = (Cell::new(fail_at), Cell::new(false));
            let failing = FailingFiles { countdown: &countdown, error: EIO, dies, dead: &dead };
            let result = save(&failing, &state(2), &files());
            // Each name stands for the old or the new state; the newest is never behind what it
            // was.
            let steps = ["last.pt", "best.pt", "rollback.pt"].map(|file| step(&name(file)));
            assert!(steps.iter().all(|step| [1, 2].contains(step)), "{fail_at}: {steps:?}");
            assert!(steps[1] <= steps[0] && steps[2] <= steps[1], "{fail_at}: the names follow last.pt");
            if name("previous.pt").exists() {
                assert_eq!(step(&name("previous.pt")), 1);
            }
            // Nothing that the state in last.pt speaks of is gone.
            assert!(steps[0] == 2 || name("epoch_1.pt").exists());

            // The next save of a new process puts everything right.
            remove_leftovers(folder.path()).unwrap();
            save(&System, &state(2), &files()).unwrap();
            let steps = ["last.pt", "best.pt", "rollback.pt", "epoch_2.pt"].map(|file| step(&name(file)));
            assert_eq!(steps, [2; 4]);
            assert_eq!(
                std::fs::read_dir(folder.path()).unwrap().count(),
                5,
                "{fail_at}: nothing is left over"
            );
            if result.is_ok() {
                break;
            }
            places += 1;
        }
        assert!(places > 20, "only {places} places to fail at");
    }
}

#[test]
fn a_folder_that_is_missing_gets_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone/last.pt");
    let error = write(&path, &state(1)).unwrap_err().to_string();
    assert!(error.contains("gone/last.pt") && error.contains("folder exists"), "{error}");
    let error = read(&path).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("train to make one"), "{error}");
}
