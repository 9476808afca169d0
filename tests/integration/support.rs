//! What several test files need: the digits, a quick `ml-train`, and how a program ends.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder a digit, 0 and up, in `folder`, with as many of its images as `counts` says.
pub fn small_digits(folder: &Path, counts: &[usize]) {
    for (class, count) in counts.iter().enumerate() {
        let from = workspace().join(format!("tests/data/digits/raw/{class}"));
        let to = folder.join(class.to_string());
        std::fs::create_dir_all(&to).unwrap();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.into_iter().take(*count) {
            std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
}

/// The program at `path`, or one that starts ours: without a GPU, whatever this machine has, since
/// what is expected was computed on a CPU.
pub fn start(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    command.env("CUDA_VISIBLE_DEVICES", "");
    command
}

/// A quick run: `tiny_net` on 16 px images, unless `args` say otherwise.
pub fn train(place: &Path, args: &[&str]) -> Command {
    let config = place.join("quick.yaml");
    std::fs::write(
        &config,
        "{model: {architecture: tiny_net}, optimizer: {name: adamw, lr: 0.01}, training: {num_epochs: 2}, \
         transforms: {train: {resize: [18, 18], random_crop: 16}, val: {resize: [16, 16]}}}",
    )
    .unwrap();
    let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
    command.current_dir(place).args(["--device", "cpu"]);
    if !args.contains(&"--resume") || args.contains(&"auto") {
        command.args(["--config", "quick.yaml"]);
    }
    command.args(args);
    command
}

/// The program at `path`, started in `place`.
pub fn program(path: &str, place: &Path, args: &[&str]) -> Command {
    let mut command = start(path);
    command.current_dir(place).args(args);
    command
}

pub fn ok(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The program fails with this exit code and says all of `parts`, in one error, without a stack or
/// a result.
pub fn fails(mut command: Command, code: i32, parts: &[&str]) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!text.contains("stack backtrace") && !text.contains("panicked"), "{text}");
    // A decoder's own words may hold the word again.
    let errors = text.lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(errors, 1, "one error: {text}");
}

pub fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref())
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}
