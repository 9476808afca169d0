//! `model.weights`: names of torchvision's, its cache, and servers that do not give what they
//! should.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::http::{Reply, Server, nowhere};
use crate::support::{fails, ok, read, start};
use crate::train::{digits, python};

/// The published file of resnet18.
const FILE: &str = "resnet18-f37072fd.pth";
const SIZE: usize = 46_830_571;

/// `ml-train` on resnet18 with the defaults and this cache; nothing goes to the network unless
/// `args` or a mirror say so.
fn train(place: &Path, data: &Path, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
    command.current_dir(place).args(["--device", "cpu", "--data_dir"]).arg(data).args(args);
    command.env("TORCH_HOME", place.join("torch")).env("ML_WEIGHTS_MIRROR", nowhere());
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
    command
}

fn cached(place: &Path) -> PathBuf {
    let folder = place.join("torch/hub/checkpoints");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(FILE)
}

#[test]
fn pythons_cached_weights_are_started_from_with_a_new_classifier_and_their_own_transforms() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 8);
    let file = cached(place.path());
    python("weights_files.py", &[Path::new("cached"), &file, Path::new(&SIZE.to_string())]);
    let args =
        ["--weights", "DEFAULT", "--num_epochs", "1", "--set", "optimizer.lr=1e-30", "--run_name", "w"];
    let said = ok(train(place.path(), &data, &args)).stderr;
    let said = String::from_utf8_lossy(&said);
    for part in [
        "ResNet18_Weights.IMAGENET1K_V1",
        FILE,
        "for 1000 classes; newly initialised for these: fc.weight, fc.bias",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    let run = place.path().join("runs/w");
    let config = read(run.join("config.yaml"));
    for part in ["weights: IMAGENET1K_V1", "resize: 256", "center_crop:", "random_resized_crop"] {
        assert!(config.contains(part), "`{part}` is not in: {config}");
    }
    assert_eq!(python("weights_files.py", &[Path::new("same"), &run.join("last.pt"), &file]).trim(), "True");

    // A run that goes on needs them no more.
    std::fs::remove_file(&file).unwrap();
    let more = ["--resume", run.to_str().unwrap(), "--num_epochs", "2"];
    let mut command = train(place.path(), &data, &more);
    command.args(["--set", "optimizer.lr=1e-30"]);
    ok(command);
}

#[test]
fn weights_that_cannot_be_had_are_an_error_that_says_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 8);
    let args = ["--weights", "ResNet18_Weights.DEFAULT"];
    let file = cached(place.path());
    let name = file.to_str().unwrap();

    let mirror = |url: String, args: &[&str]| {
        let mut command = train(place.path(), &data, args);
        command.env("ML_WEIGHTS_MIRROR", url);
        command
    };
    let url = nowhere();
    let mut dry = mirror(url.clone(), &args);
    dry.arg("--dry_run");
    let said = ok(dry).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains(&format!("would be fetched from {url}/{FILE} (46.8 MB) to {name}")), "{said}");
    fails(mirror("no address".to_owned(), &args), 2, &["ML_WEIGHTS_MIRROR", "http://"]);

    let missing = Server::start(|_, _| Reply::status("404 Not Found"));
    fails(mirror(missing.url(), &args), 1, &["404", &missing.url(), name, "ML_WEIGHTS_MIRROR"]);
    let other = Server::start(|_, _| Reply::whole(&vec![0; SIZE]));
    fails(mirror(other.url(), &args), 1, &["SHA-256 should begin with f37072fd and is ", name]);
    // Files may grow to some kilobytes.
    let mut shell = Command::new("sh");
    shell
        .current_dir(place.path())
        .env("TORCH_HOME", place.path().join("torch"))
        .env("ML_WEIGHTS_MIRROR", other.url())
        .arg("-c")
        .arg(format!(
            "trap '' XFSZ; ulimit -f 200; exec {} --device cpu --weights DEFAULT --data_dir {}",
            env!("CARGO_BIN_EXE_ml-train"),
            data.display()
        ));
    fails(shell, 1, &["the disk is full", "TORCH_HOME"]);
    assert!(!file.exists());

    std::fs::write(&file, "cut short").unwrap();
    fails(train(place.path(), &data, &args), 1, &[name, "has 9 bytes", "44.661 MiB", "delete it"]);
    assert!(!place.path().join("runs").exists());
}

#[test]
fn a_file_that_does_not_suit_is_refused_before_a_run_begins() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 8);
    let [whole, half, text] = ["resnet18.pth", "half.pth", "notes.txt"].map(|name| place.path().join(name));
    python("weights_files.py", &[Path::new("cached"), &whole, Path::new(&SIZE.to_string())]);
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(&text, "from the library's shelf").unwrap();
    for (network, file, parts) in [
        (
            "tiny_net",
            &whole,
            &[
                "another network",
                "  missing (17): features.0.conv.weight, ",
                "  unexpected (122): conv1.weight, ",
            ][..],
        ),
        ("resnet18", &half, &["is cut short", "copy it again"]),
        ("resnet18", &text, &["is not a checkpoint", "torch.save"]),
    ] {
        let name = file.to_str().unwrap();
        let args = ["--architecture", network, "--weights", name];
        fails(train(place.path(), &data, &args), 2, &[&[name][..], parts].concat());
    }
    // Which transforms go with the weights shows without a run; so does that it cannot be told.
    let look = ["--architecture", "resnet18", "--weights", text.to_str().unwrap(), "--print_config"];
    fails(train(place.path(), &data, &look), 2, &["--weights: model.weights: ", "is not a checkpoint"]);
    assert!(!place.path().join("runs").exists());
}

#[test]
fn weights_of_other_programs_are_taken_from_where_they_are() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 8);
    let tiny = ["--architecture", "tiny_net", "--num_epochs", "1"];
    let adamw = ["--run_name", "a", "--set", "optimizer={name: adamw, lr: 0.001}"];
    ok(train(place.path(), &data, &[&tiny[..], &adamw].concat()));
    let folder = place.path().join("python");
    std::fs::create_dir(&folder).unwrap();
    python("foreign_files.py", &[&place.path().join("runs/a/last.pt"), &folder]);
    let weights = |given: &str| {
        let given = folder.join(given);
        let args = [&tiny[..], &["--dry_run", "--weights", given.to_str().unwrap()]].concat();
        train(place.path(), &data, &args)
    };
    for (given, parts) in [
        ("objects.pth", &["taken from `state_dict`"][..]),
        ("net.pth", &["taken from `net`"]),
        ("state_dict_ema.pth", &["taken from `state_dict_ema`"]),
        ("nested.pth", &["taken from `checkpoint.model`, from the names after `module.`"]),
        ("headless.pth", &["no classifier; newly initialised: classifier.weight, classifier.bias"]),
        (
            "backbone.pth",
            &[
                "from the names after `backbone.`",
                "no place for them (1): head.fc.weight",
                "newly initialised",
            ],
        ),
        ("lightning.ckpt", &["from the names after `model.`", "no place for them (1): criterion.weight"]),
        ("averaged.pth", &["taken from `model`", "fit too: `model_ema`", "averaged.pth:model_ema"]),
        ("averaged.pth:model_ema", &["taken from `model_ema`"]),
        ("dino.pth:teacher", &["taken from `teacher`, from the names after `backbone.`"]),
    ] {
        let said = ok(weights(given)).stderr;
        let said = String::from_utf8_lossy(&said);
        for part in parts {
            assert!(said.contains(part), "{given}: `{part}` is not in: {said}");
        }
    }
    for (given, parts) in [
        ("dino.pth", &["several weights", "`student.backbone`, `teacher.backbone`", "dino.pth:student"][..]),
        ("dino.pth:ema", &["no weights called `ema`", "`student`, `teacher`"]),
        ("part.pth", &["another network", "missing (5): features.1.conv.weight", "tensors fit"]),
        ("call.pth", &["whole pickled object `posix.system`", "torch.save(model.state_dict()"]),
        ("gone.pth:model", &["gone.pth", "no such file"]),
    ] {
        fails(weights(given), 2, parts);
    }
    assert!(!folder.join("executed").exists());

    // A run is named after the key, too, and its configuration keeps it.
    let given = folder.join("dino.pth:teacher");
    ok(train(place.path(), &data, &[&tiny[..], &["--weights", given.to_str().unwrap()]].concat()));
    let config = read(place.path().join("runs/arch_tiny_net_weights_dino_teacher_epochs_1/config.yaml"));
    assert!(config.contains("dino.pth:teacher"), "{config}");
}

#[test]
fn a_name_that_is_not_known_is_a_configuration_error() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("nowhere");
    for (args, parts) in [
        (
            &["--weights", "IMAGENET1K_V3"][..],
            &["model.weights", "IMAGENET1K_V1", "did you mean", "--weights: model.weights: "][..],
        ),
        (
            &["--weights", "ResNet50_Weights.DEFAULT"],
            &["weights of resnet50", "model.architecture is resnet18"],
        ),
        (&["--architecture", "tiny_net", "--weights", "DEFAULT"], &["known for tiny_net (there are none)"]),
    ] {
        fails(train(place.path(), &data, args), 2, parts);
    }
    let shown = ok(train(place.path(), &data, &["--weights", "DEFAULT", "--print_config"])).stdout;
    let shown = String::from_utf8_lossy(&shown);
    let line = shown.lines().find(|line| line.trim_start().starts_with("center_crop: [224, 224]")).unwrap();
    assert!(line.ends_with("# from the weights"), "{line}");
    let shown = ok(train(place.path(), &data, &["--weights", "null", "--print_config"])).stdout;
    assert!(String::from_utf8_lossy(&shown).contains("weights: null"));
}
