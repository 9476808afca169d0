//! CUDA that cannot be used, by a driver that is none: training on the CPU is never silent where
//! somebody might think that there is a GPU.

use std::path::Path;
use std::process::Command;

use ml_core::device::{self, DeviceChoice};

use crate::support::{fails, ok, read, small_digits, workspace};

/// Variables, and what the message has to say.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

/// Builds the driver into `folder`.
fn fake_driver(folder: &Path) {
    let source = workspace().join("tests/integration/fake_driver.c");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(folder.join("libcuda.so.1")).arg(source);
    ok(compile);
}

/// A dry run under that driver.
fn dry_run(place: &Path, device: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ml-train"));
    command.current_dir(place).env_remove("CUDA_VISIBLE_DEVICES").env("LD_LIBRARY_PATH", place);
    command.envs(settings.iter().copied());
    command.args(["--data_dir", "data", "--architecture", "tiny_net", "--dry_run", "--device", device]);
    command.args([
        "--color",
        "never",
        "--set",
        "transforms={train: {resize: [16, 16]}, val: {resize: [16, 16]}}",
    ]);
    command
}

#[test]
fn a_driver_that_cannot_be_used_is_told_with_the_reason_and_the_remedy() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    small_digits(&place.join("data/train"), &[8, 8]);
    fake_driver(place);
    let cases: [Case; 4] = [
        (&[("FAKE_CUDA", "12080")], &["the NVIDIA driver is too old", "12.8", "13.0", "580"]),
        (
            &[("FAKE_CUDA", "13000")],
            &["CUDA cannot be started: CUDA unknown error", "`nvidia-smi` has to list"],
        ),
        (
            &[("CUDA_VISIBLE_DEVICES", "")],
            &["CUDA cannot be started", "CUDA_VISIBLE_DEVICES is ``, which hides every GPU: unset it"],
        ),
        (
            &[("FAKE_ERROR", "802")],
            &["CUDA cannot be started", "802: system not yet initialized", "nvidia-fabricmanager"],
        ),
    ];
    for (settings, parts) in cases {
        let output = ok(dry_run(place, "auto", settings));
        let text = String::from_utf8_lossy(&output.stderr);
        let warning = text.lines().find(|line| line.contains("WARN")).unwrap_or_else(|| panic!("{text}"));
        assert!(parts.iter().all(|part| warning.contains(part)), "{settings:?}: {warning}");
        assert!(text.contains("device: cpu"), "{text}");
        assert!(!text.contains("[W"), "libtorch's own words: {text}");
        fails(dry_run(place, "cuda", settings), 2, &[parts, &["training.device", "--device cpu"]].concat());
        let output = ok(dry_run(place, "cpu", settings));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("WARN"), "{text}");
    }
    // The other programs that compute say so too, before they open what they are given.
    let mut look = Command::new(env!("CARGO_BIN_EXE_ml-visualise"));
    look.current_dir(place).env_remove("CUDA_VISIBLE_DEVICES").env("LD_LIBRARY_PATH", place);
    look.env("FAKE_CUDA", "12080").args(["cam", "runs/none"]);
    let text = String::from_utf8(look.output().unwrap().stderr).unwrap();
    assert!(text.contains("warning: device: the CPU is used: the NVIDIA driver is too old"), "{text}");
    // Nothing but the message of a start may be written by the programs.
    let mut predict = Command::new(env!("CARGO_BIN_EXE_ml-inference"));
    predict.current_dir(place).env("LD_LIBRARY_PATH", place).env("FAKE_CUDA", "12080");
    predict.args(["--device", "cuda", "--weights", "x.pt", "--architecture", "resnet18", "data/train"]);
    fails(predict, 2, &["the NVIDIA driver is too old"]);
}

/// No test of its own, but what the process of the next one does.
#[test]
#[ignore = "it is for a process of its own, which another test starts"]
fn computes_before_it_requests_cuda() {
    torch_ext::manual_seed(1).unwrap();
    println!("refused: {}", device::resolve(DeviceChoice::Cuda(0), None).unwrap_err());
}

#[test]
fn cuda_that_is_requested_after_something_was_computed_is_refused_by_the_order() {
    let place = tempfile::tempdir().unwrap();
    fake_driver(place.path());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["cuda::computes_before_it_requests_cuda", "--exact", "--ignored", "--nocapture"]);
    child.env_remove("CUDA_VISIBLE_DEVICES").env("LD_LIBRARY_PATH", place.path());
    let output = ok(child);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("refused: --device (training.device): cuda was requested"), "{text}");
    assert!(text.contains("CUDA has to be requested before anything is computed in this process"), "{text}");
}

#[test]
fn no_other_test_starts_a_program_that_takes_a_gpu() {
    let mut folders = vec![workspace().join("tests/integration")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|kind| kind == "rs") && !entry.ends_with("cuda.rs") {
                let text = read(&entry);
                let place = entry.display();
                assert!(
                    !text.contains("Command::new(env!(\"CARGO_BIN_EXE"),
                    "{place}: support::start hides the GPUs"
                );
                seen += text.matches("start(env!(").count();
            }
        }
    }
    assert!(seen > 20, "{seen} programs are started");
}
