//! Checkpoints against Python, against hostile trees, and against failing disks.

mod faults;
mod python;
mod typed;

use torch_file::Value;

/// The file that `value` makes.
fn bytes_of(value: &Value) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    torch_file::write(&path, value).unwrap();
    std::fs::read(path).unwrap()
}
