//! Networks made in Python: trained, interrupted, evaluated and used like the library's own, and
//! everything that can be wrong with their files.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::resume::{cut, same};
use crate::support::{fails, ok, read, start, train};
use crate::train::{digits, python};

/// `nets/` in `place`, with what `torchscript.py` makes for so many classes.
fn nets(place: &Path, classes: &str) -> PathBuf {
    let folder = place.join("nets");
    std::fs::create_dir_all(&folder).unwrap();
    python("torchscript.py", &["make".as_ref(), &folder, classes.as_ref()]);
    folder
}

fn inference(checkpoint: &Path, inputs: &[&Path]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
    command.args(["--device", "cpu", "--checkpoint"]).arg(checkpoint).args(inputs);
    command
}

#[test]
fn a_scripted_network_is_trained_killed_resumed_and_used_without_its_file() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 40);
    let nets = nets(place.path(), "3");
    let (runs, net) = (place.path().join("runs"), nets.join("net.pt"));
    let command = |name: &str, more: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--num_epochs", "4"];
        let model = ["--set", "model.type=torchscript", "--set", "model.path=nets/net.pt"];
        let state = ["--set", "training.ema={decay: 0.9}", "--set", "training.checkpoint.every_steps=1"];
        let shapes = ["--set", "transforms.test={resize: [16, 16]}", "--batch_size", "8"];
        let args: Vec<&str> =
            own.iter().chain(&model).chain(&state).chain(&shapes).chain(more).copied().collect();
        train(place.path(), &args)
    };
    ok(command("whole", &[]));
    let whole = runs.join("whole");
    assert_eq!(std::fs::read(whole.join("model.torchscript.pt")).unwrap(), std::fs::read(&net).unwrap());
    assert!(read(whole.join("config.yaml")).contains("sha256: "), "the content is written down");
    assert!(read(whole.join("summary.yaml")).contains("architecture: net.pt (TorchScript)"));

    assert_eq!(cut(command("cut", &["--resume", "auto"]), &runs.join("cut/last.pt"), "-KILL"), None);
    // Another program under the name would be another run.
    std::fs::rename(&net, nets.join("away.pt")).unwrap();
    std::fs::copy(nets.join("moody.pt"), &net).unwrap();
    fails(command("cut", &["--resume", "auto"]), 2, &["model.sha256 cannot change"]);
    std::fs::remove_file(&net).unwrap();
    ok(command("cut", &["--resume", "auto"]));
    same(&whole, &runs.join("cut"));

    let image = std::fs::read_dir(data.join("raw/2")).unwrap().next().unwrap().unwrap().path();
    let (best, copy) = (whole.join("best.pt"), whole.join("model.torchscript.pt"));
    let mut predict = inference(&best, &[&image]);
    predict.args(["--format", "jsonl", "--ema", "never"]);
    let ours: serde_json::Value = serde_json::from_slice(&ok(predict).stdout).unwrap();
    let theirs = python("torchscript.py", &["predict".as_ref(), &best, &copy, &image]);
    let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
    assert_eq!(ours["class"], theirs["class"]);
    let difference = ours["probability"].as_f64().unwrap() - theirs["probability"].as_f64().unwrap();
    // Probabilities of one image in float32, printed with all digits.
    assert!(difference.abs() < 1e-6, "{ours} and {theirs}");
    ok(inference(&whole, &[]));

    // Without the copy the file itself will do, if it is the same.
    std::fs::remove_file(&copy).unwrap();
    std::fs::copy(nets.join("away.pt"), &net).unwrap();
    let from = |mut command: Command| {
        command.current_dir(place.path());
        command
    };
    ok(from(inference(&best, &[&image])));
    std::fs::copy(nets.join("moody.pt"), &copy).unwrap();
    std::fs::remove_file(&net).unwrap();
    let parts =
        ["model.torchscript.pt has another content", "nets/net.pt does not exist", "Put that very file"];
    fails(from(inference(&best, &[&image])), 2, &parts);
    fails(train(place.path(), &["--resume", "runs/whole", "--num_epochs", "6"]), 2, &parts);
}

#[test]
fn a_file_that_cannot_be_trained_is_told_before_the_run_and_a_program_that_fails_ends_it() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 10);
    nets(place.path(), "2");
    let with = |file: &str, more: &[&str]| {
        let path = format!("model={{type: torchscript, path: nets/{file}}}");
        let own = ["--data_dir", data.to_str().unwrap(), "--batch_size", "4", "--set", &path];
        train(place.path(), &own.iter().chain(more).copied().collect::<Vec<_>>())
    };
    for (file, part) in [
        ("traced.pt", "the module was traced or frozen. Script it instead"),
        ("frozen.pt", "before torch.jit.freeze"),
        ("weights.pt", "it holds no program"),
        ("garbage.pt", "torch.jit.script(net).save(path) makes one"),
        ("classes.pt", "outputs 3 logits, but the data set has 2 classes"),
        ("two.pt", "its output is Tuple[Tensor, Tensor]"),
        ("none.pt", "nets/none.pt does not exist"),
    ] {
        fails(with(file, &[]), 2, &[file, part]);
    }
    fails(with("net.pt", &["--set", "model.num_classes=5"]), 2, &["model.num_classes: is 5"]);
    assert!(!place.path().join("runs").exists(), "nothing was written");
    ok(with("net.pt", &["--dry_run"]));
    let summary = ok(with("net.pt", &["--summary"])).stdout;
    let summary = String::from_utf8(summary).unwrap();
    for part in ["2 classes", "blocks.1.conv   conv2d", "batch_norm", "frozen parameters           216"] {
        assert!(summary.contains(part), "{part} is not in:\n{summary}");
    }
    fails(with("moody.pt", &["--run_name", "moody"]), 1, &["moody.pt", "ValueError: had enough"]);
    assert!(read(place.path().join("runs/moody/summary.yaml")).contains("had enough"));
}
