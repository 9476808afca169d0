//! Whatever fails while a file is replaced, the old or the new one is there, whole.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tch::Tensor;

use super::super::files::{FileOps, System};
use super::super::saver::save;
use super::super::{CheckpointError, SaveAs, read, remove_leftovers, write, write_through};
use crate::value::Value;

/// The system's files, but the `fail_at`-th operation fails, after a part of it was done.
struct Failing<'a> {
    countdown: &'a Cell<usize>,
    error: i32,
    /// Whether everything after the first failure fails too, as if the machine had gone.
    dies: bool,
    dead: &'a Cell<bool>,
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

impl Failing<'_> {
    fn tick(&self) -> io::Result<()> {
        let left = self.countdown.get();
        self.countdown.set(left.wrapping_sub(1));
        if left == 0 && self.dies {
            self.dead.set(true);
        }
        if left == 0 || self.dead.get() { Err(io::Error::from_raw_os_error(self.error)) } else { Ok(()) }
    }
}

struct FailingFile<'a>(File, Failing<'a>);

impl Write for FailingFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.1.tick() {
            self.0.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        // In small parts, so that there are many places to fail at.
        self.0.write(&bytes[..bytes.len().min(1000)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> FileOps for Failing<'a> {
    type File = FailingFile<'a>;

    fn create(&self, path: &Path) -> io::Result<Self::File> {
        self.tick()?;
        let Failing { countdown, error, dies, dead } = *self;
        let same = Failing { countdown, error, dies, dead };
        Ok(FailingFile(System.create(path)?, same))
    }

    fn sync(&self, file: &mut Self::File) -> io::Result<()> {
        self.tick()?;
        System.sync(&mut file.0)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tick()?;
        System.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tick()?;
        System.link(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.tick()?;
        System.sync_folder(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // After a power loss nothing is tidied up.
        if self.dead.get() { Err(io::Error::from_raw_os_error(self.error)) } else { System.remove(path) }
    }
}

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
            let failing = Failing { countdown: &countdown, error, dies: false, dead: &Cell::new(false) };
            let result = write_through(&failing, &path, &state(2));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
            let found = step(&path);
            let Err(failure) = result else {
                assert_eq!(found, 2);
                break;
            };
            failures += 1;
            assert_eq!(matches!(failure, CheckpointError::DiskFull { .. }), error == ENOSPC, "{failure}");
            assert!(failure.to_string().contains("last.pt"), "{failure}");
            // Only the sync of the folder comes after the rename.
            assert!(found == 1 || found == 2);
            write(&path, &state(1)).unwrap();
        }
        assert!(failures > 10, "only {failures} places to fail at");
    }
}

#[test]
fn a_save_that_fails_or_dies_anywhere_leaves_a_state_to_go_on_from_and_never_a_third() {
    for dies in [false, true] {
        let mut places = 0;
        for fail_at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let name = |name: &str| folder.path().join(name);
            let files = || SaveAs {
                previous: name("previous.pt"),
                last: name("last.pt"),
                names: vec![name("best.pt"), name("epoch_2.pt"), name("rollback.pt")],
                delete: vec![name("epoch_1.pt")],
            };
            write(&name("epoch_1.pt"), &state(1)).unwrap();
            let first =
                SaveAs { names: vec![name("best.pt"), name("rollback.pt")], delete: vec![], ..files() };
            save(&System, &state(1), &first).unwrap();

            let (countdown, dead) = (Cell::new(fail_at), Cell::new(false));
            let failing = Failing { countdown: &countdown, error: EIO, dies, dead: &dead };
            let result = save(&failing, &state(2), &files());
            // Each name stands for the old or the new state; the newest is never behind what it was.
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
fn what_a_killed_process_left_beside_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".last.pt.tmp-123", ".summary.yaml.tmp-9", ".hidden", "last.pt", "x.tmp-1", ".a.tmp-mine"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    assert_eq!(remove_leftovers(folder.path()).unwrap(), 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone/last.pt");
    let error = write(&path, &state(1)).unwrap_err();
    assert!(matches!(error, CheckpointError::Write { .. }));
    assert!(
        error.to_string().contains("gone/last.pt") && error.to_string().contains("folder exists"),
        "{error}"
    );
    let error = read(&path).unwrap_err();
    assert!(matches!(error, CheckpointError::NotFound { .. }), "{error}");
    let error = read(folder.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::Read { .. }), "{error}");
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
