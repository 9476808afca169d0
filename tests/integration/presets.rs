//! `--preset`: settings that are chosen for the images, and those of the files in `configs/`.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{fails, ok, read, start};
use crate::train::digits;

use ml_core::config::{self, Config, Source};
use ml_core::weights::Origin;

/// Without published weights, whatever lies in this user's cache.
fn ml_train(place: &Path, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
    command.current_dir(place).env("TORCH_HOME", place.join("torch"));
    command.args(["--device", "cpu"]).args(args);
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn config_of(run: &Path) -> Config {
    config::resolve(Some((&read(run.join("config.yaml")), Source::Run)), &[], &Origin::read).unwrap().config
}

/// Photographs of noise, in a format that needs no encoder: bright ones of one class, dark ones of the
/// other.
fn photos(place: &Path) {
    for (split, count) in [("train", 12), ("val", 2)] {
        for (class, base) in [("bright", 128u32), ("dark", 0)] {
            let folder = place.join("photos").join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let mut state = number + base + u32::from(split == "val") * 1000;
                let pixels = (0..200 * 240 * 3).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (base + (state >> 25)) as u8
                });
                let image: Vec<u8> = b"P6 240 200 255\n".iter().copied().chain(pixels).collect();
                std::fs::write(folder.join(format!("{number}.ppm")), image).unwrap();
            }
        }
    }
}

#[test]
fn a_data_folder_alone_gets_settings_with_reasons_and_trains_well_in_a_short_time() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path(), 10, 120);
    let output = ok(ml_train(place.path(), &["--data_dir", "digits", "--time_limit", "15s"]));
    let log = told(&output);
    for part in [
        "no configuration is given, so --preset auto chooses",
        "preset auto: training.max_time ends it after 15 s",
        "images a second, measured here",
        "preset auto: model.architecture: tiny_net (",
        "preset auto: optimizer.name: adamw (",
    ] {
        assert!(log.contains(part), "`{part}` is not in:\n{log}");
    }
    let run = place.path().join("runs/auto_time_15s");
    let yaml = read(run.join("config.yaml"));
    assert!(yaml.starts_with("# Chosen by --preset auto. training.max_time ends it after 15 s"), "{yaml}");
    assert!(yaml.contains("  # Small networks train fastest with AdamW"), "{yaml}");
    let config = config_of(&run);
    assert_eq!(config.training.max_time.unwrap().seconds(), 15.0);
    let summary = read(run.join("summary.yaml"));
    let accuracy = summary.lines().find_map(|line| line.strip_prefix("test_accuracy: ")).unwrap();
    assert!(accuracy.parse::<f64>().unwrap() > 0.9, "{summary}");

    // A resume takes the settings from the run, and keeps what is said of them.
    ok(ml_train(place.path(), &["--resume", "runs/auto_time_15s", "--time_limit", "17s"]));
    let again = read(run.join("config.yaml"));
    assert!(again.contains("# Chosen by --preset auto.") && again.contains("# Small networks"), "{again}");
    assert_eq!(config_of(&run).optimizer, config.optimizer);
}

#[test]
fn what_is_set_is_never_overridden() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path(), 4, 30);
    std::fs::write(place.path().join("own.yaml"), "optimizer: {name: sgd}\ntraining: {num_epochs: 2}\n")
        .unwrap();
    let args = [
        "--preset",
        "fast",
        "--config",
        "own.yaml",
        "--data_dir",
        "digits",
        "--architecture",
        "simple_cnn",
        "--set",
        "transforms.train.random_horizontal_flip=true",
        "--run_name",
        "own",
    ];
    let log = told(&ok(ml_train(place.path(), &args)));
    assert!(
        !log.contains("preset fast: optimizer") && !log.contains("preset fast: training.num_epochs"),
        "{log}"
    );
    let config = config_of(&place.path().join("runs/own"));
    assert_eq!(config.model.base().unwrap().architecture.name(), "simple_cnn");
    assert_eq!(serde_yaml::to_value(&config.optimizer).unwrap()["name"], "sgd");
    assert_eq!((config.optimizer.lr(), config.training.num_epochs), (0.001, 2));
    assert!(
        config.transforms.train.random_horizontal_flip.0 > 0.0
            && config.transforms.train.random_crop.is_some()
    );
    let shown = ok(ml_train(place.path(), &["--preset", "none", "--data_dir", "digits", "--print_config"]));
    assert!(!String::from_utf8_lossy(&shown.stdout).contains("preset"));
}

#[test]
fn presets_that_cannot_be_are_refused_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path(), 2, 20);
    for (args, parts) in [
        (
            &["--preset", "balancd", "--data_dir", "digits"][..],
            &["did you mean `balanced`?", "--list_presets"][..],
        ),
        (&["--preset", "auto"], &["--preset auto", "give their folder, with --data_dir"]),
        (&["--preset", "auto", "--resume", "runs/x"], &["--resume continues one with its own"]),
        (&["--preset", "auto", "--data_dir", "nowhere"], &["data.data_dir", "nowhere"]),
        (
            &["--preset", "auto", "--data_dir", "digits", "--time_limit", "0.000001s"],
            &["training.max_time: is 0.000001s, shorter than one epoch"],
        ),
    ] {
        fails(ml_train(place.path(), args), 2, parts);
    }
    let list = ok(ml_train(place.path(), &["--list_presets"])).stdout;
    let list = String::from_utf8(list).unwrap();
    for name in ["auto", "fast", "best", "cifar10_fast", "finetune_photos", "rsb_a3"] {
        assert!(list.lines().any(|line| line.split_whitespace().next() == Some(name)), "{list}");
    }
}

#[test]
fn two_processes_train_what_the_first_has_chosen() {
    let place = tempfile::tempdir().unwrap();
    digits(place.path(), 3, 40);
    let args = ["--preset", "fast", "--data_dir", "digits", "--nproc", "2", "--num_epochs", "2"];
    ok(ml_train(place.path(), &[&args[..], &["--run_name", "two"]].concat()));
    assert!(read(place.path().join("runs/two/summary.yaml")).contains("status: completed"));
}

/// Those for ImageNet and the large networks are only built, the others train a few steps.
#[test]
fn the_named_presets_train_on_images_like_those_that_they_are_for() {
    let place = tempfile::tempdir().unwrap();
    photos(place.path());
    digits(place.path(), 4, 30);
    for (preset, data, steps) in [
        ("digits", "digits", "4"),
        ("cifar10_resnet18", "digits", "2"),
        ("cifar10_fast", "digits", "2"),
        ("imagenette_128", "photos", "2"),
        ("finetune_photos", "photos", "1"),
        ("linear_probe", "photos", "2"),
        ("imagenet_resnet50", "photos", "1"),
        ("rsb_a2", "photos", "1"),
        ("rsb_a3", "photos", "1"),
    ] {
        // Nothing is fetched here.
        let own = ["--preset", preset, "--data_dir", data, "--weights", "null", "--batch_size", "4"];
        let limit = ["--max_steps", steps, "--set", "training.gradient_accumulation_steps=1"];
        let rest = ["--precision", "fp32", "--run_name", preset, "--set", "training.channels_last=false"];
        let more = ["--set", "data.on_leak=ignore", "--set", "training.checkpoint.every_epochs=1000"];
        ok(ml_train(place.path(), &[&own[..], &limit, &rest, &more].concat()));
        let summary = read(place.path().join("runs").join(preset).join("summary.yaml"));
        assert!(summary.contains("status: completed"), "{preset}: {summary}");
    }
}

#[test]
fn photographs_are_trained_at_a_size_that_the_time_allows() {
    let place = tempfile::tempdir().unwrap();
    photos(place.path());
    let args = ["--data_dir", "photos", "--preset", "auto", "--dry_run", "--time_limit", "60s"];
    let log = told(&ok(ml_train(place.path(), &args)));
    assert!(log.contains("model.architecture: resnet18 (Expected to be the most accurate"), "{log}");
    assert!(log.contains("No published weights of a suitable network lie in"), "{log}");
}
