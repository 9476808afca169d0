//! Whatever fails while a file is replaced, the old or the new one is there, whole.

use std::cell::Cell;
use std::path::Path;

use tch::Tensor;
use test_support::{EIO, ENOSPC, FailingFiles};

use crate::{Error, Value, read, write, write_through};

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
fn a_failure_at_any_operation_leaves_the_old_or_the_new_file_whole() {
    for error in [ENOSPC, EIO] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.pt");
        write(&path, &state(1)).unwrap();
        let mut failures = 0;
        for fail_at in 0.. {
            let countdown = Cell::new(fail_at);
            let failing = FailingFiles { countdown: &countdown, error, dies: false, dead: &Cell::new(false) };
            let result = write_through(&failing, &path, &state(2));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
            let found = step(&path);
            let Err(failure) = result else {
                assert_eq!(found, 2);
                break;
            };
            failures += 1;
            assert_eq!(matches!(failure, Error::DiskFull { .. }), error == ENOSPC, "{failure}");
            assert!(failure.to_string().contains("last.pt"), "{failure}");
            // Only the sync of the folder comes after the rename.
            assert!(found == 1 || found == 2);
            write(&path, &state(1)).unwrap();
        }
        assert!(failures > 10, "only {failures} places to fail at");
    }
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone/last.pt");
    let error = write(&path, &state(1)).unwrap_err();
    assert!(matches!(error, Error::Write { .. }));
    assert!(error.to_string().contains("gone/last.pt"), "{error}");
    let error = read(&path).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let error = read(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn what_has_no_place_in_a_file_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    let complex = Tensor::zeros([2], (tch::Kind::ComplexFloat, tch::Device::Cpu));
    let error = write(&path, &Value::dict([("z", complex)])).unwrap_err().to_string();
    assert!(error.contains("ComplexFloat"), "{error}");
    let deep = (0..200).fold(Value::None, |inner, _| Value::List(vec![inner]));
    let error = write(&path, &deep).unwrap_err().to_string();
    assert!(error.contains("nested deeper"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_bare_file_name_is_written_in_the_current_folder() {
    // The parent of a bare name is empty, which cannot be opened for syncing.
    let name = format!("checkpoint-test-{}.pt", std::process::id());
    let result = write(Path::new(&name), &state(1));
    let read = read(Path::new(&name));
    let _ = std::fs::remove_file(&name);
    result.unwrap();
    read.unwrap();
}
