//! `normalize: auto` and `ml-train --init_config`, on the digits and on images made for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{fails, ok, read, small_digits, start, workspace};
use crate::train::digits;

use ml_core::checkpoint::Checkpoint;
use ml_core::config::{self, Config, Source};
use ml_core::dataset::Dataset;
use ml_core::setting::Auto;
use ml_core::transform::Normalize;
use ml_core::transform::statistics::{Options, channel_statistics};
use ml_core::weights::Origin;

const AUTO: &str = "{model: {architecture: tiny_net}, optimizer: {name: adamw, lr: 0.01}, training: {num_epochs: 1}, \
     data: {data_dir: digits}, transforms: {train: {resize: [18, 18], random_crop: 16, normalize: auto}, \
     val: {resize: [16, 16], normalize: auto}}}";

fn ml_train(place: &Path, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
    command.current_dir(place).args(["--device", "cpu"]).args(args);
    command
}

/// A run of `auto.yaml`.
fn auto(place: &Path, args: &[&str]) -> Command {
    std::fs::write(place.join("auto.yaml"), AUTO).unwrap();
    ml_train(place, &[&["--config", "auto.yaml"], args].concat())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn config_of(run: &Path) -> Config {
    config::resolve(Some((&read(run.join("config.yaml")), Source::Run)), &[], &Origin::read).unwrap().config
}

/// The numbers of all splits, which are to be the same.
fn numbers(config: &Config) -> Normalize {
    let [train, val, test] = [&config.transforms.train, &config.transforms.val, &config.transforms.test]
        .map(|transform| transform.normalize.clone());
    assert!(train == val && val == test, "{train:?} {val:?} {test:?}");
    let Some(Auto::Value(numbers)) = train else { panic!("{train:?}") };
    numbers
}

/// The training images' own, as the library computes them.
fn statistics(data: &Path, config: &Config, skip_unreadable: bool) -> Normalize {
    let index = Dataset::open(data, &ml_core::dataset::OpenOptions::default()).unwrap().train;
    let paths: Vec<PathBuf> = index.samples.iter().map(|sample| index.root.join(&sample.path)).collect();
    let options = Options { threads: 1, skip_unreadable, stop: &|| false };
    channel_statistics(&paths, &config.transforms.train, &options).unwrap().normalize
}

fn predict(run: &Path, image: &Path) -> Output {
    let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
    command.args(["--device", "cpu", "--checkpoint"]).arg(run.join("best.pt")).arg(image);
    ok(command)
}

#[test]
fn auto_becomes_the_training_images_own_numbers_and_stays_them() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 20);
    let run = place.path().join("runs/base");

    let shown = ok(auto(place.path(), &["--print_config"]));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("normalize: auto"));
    let tried = told(&ok(auto(place.path(), &["--dry_run"])));
    assert!(tried.contains("normalize: auto is mean [") && tried.contains("computed in"), "{tried}");
    assert!(!data.join(".ml-cache").exists() && !run.exists(), "a dry run writes nothing");

    let first = told(&ok(auto(place.path(), &[])));
    assert!(first.contains("of 42 training images (computed in"), "{first}");
    let config = config_of(&run);
    let own = numbers(&config);
    assert_eq!(own, statistics(&data, &config, false));
    let checkpoint = Checkpoint::load(&run.join("best.pt")).unwrap();
    let expected = serde_json::to_value(&own).unwrap();
    assert_eq!(checkpoint.eval_transform["normalize"], expected);
    assert_eq!(checkpoint.config["transforms"]["train"]["normalize"], expected);

    let second = told(&ok(auto(place.path(), &["--run_name", "second"])));
    assert!(second.contains("of 42 training images (kept in digits/.ml-cache)"), "{second}");
    assert_eq!(numbers(&config_of(&place.path().join("runs/second"))), own);
    assert_eq!(read(run.join("metrics.csv")), read(place.path().join("runs/second/metrics.csv")));

    // A training image takes another's place.
    let lines: Vec<String> = read(data.join("splits/train.txt")).lines().map(str::to_owned).collect();
    let (from, to) = (data.join(&lines[0]), data.join(&lines[lines.len() - 1]));
    std::fs::copy(&from, &to).unwrap();
    let changed = ["--run_name", "changed", "--set", "data.on_change=ignore"];
    let third = told(&ok(auto(place.path(), &changed)));
    assert!(third.contains("(computed in"), "{third}");
    let config = config_of(&place.path().join("runs/changed"));
    assert_ne!(numbers(&config), own);
    assert_eq!(numbers(&config), statistics(&data, &config, false));

    // A run that goes on keeps its own, however it is asked for and whatever the images are now.
    for args in [
        &["--resume", "runs/base", "--num_epochs", "2"][..],
        &["--config", "auto.yaml", "--resume", "runs/base", "--num_epochs", "3"],
        &["--config", "auto.yaml", "--resume", "auto", "--run_name", "base", "--num_epochs", "4"],
    ] {
        let output = ok(ml_train(place.path(), args));
        assert!(!told(&output).contains("normalize: auto"), "{args:?}: {}", told(&output));
        assert_eq!(numbers(&config_of(&run)), own);
    }
    assert_eq!(read(run.join("metrics.csv")).lines().count(), 5);
    let shown = ok(ml_train(
        place.path(),
        &["--config", "auto.yaml", "--resume", "runs/base", "--num_epochs", "9", "--print_config"],
    ));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(!shown.contains("normalize: auto") && shown.contains("# the run"), "{shown}");

    let answer = predict(&run, &from);
    assert!(String::from_utf8_lossy(&answer.stdout).contains(&lines[0]));
}

#[test]
fn auto_is_refused_where_there_is_nothing_to_compute_it_from() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let line = read(data.join("splits/train.txt")).lines().next().unwrap().to_owned();
    std::fs::write(data.join(&line), "just text").unwrap();
    let name = Path::new(&line).file_name().unwrap().to_str().unwrap();
    fails(auto(place.path(), &[]), 1, &["normalize: auto", name]);
    let skip = ["--set", "data.on_error=skip"];
    let output = told(&ok(auto(place.path(), &skip)));
    assert!(output.contains("of 27 training images") && output.contains("1 that cannot be read"), "{output}");
    let run = std::fs::read_dir(place.path().join("runs")).unwrap().next().unwrap().unwrap().path();
    let config = config_of(&run);
    assert_eq!(numbers(&config), statistics(&data, &config, true));
    let none = [&skip[..], &["--set", "data.max_skipped=0"]].concat();
    fails(
        auto(place.path(), &none),
        1,
        &["1 training images cannot be read", "max_skipped is 0", "ml-split check"],
    );
    for line in read(data.join("splits/train.txt")).lines() {
        std::fs::copy(workspace().join("tests/data/images/rgb.png"), data.join(line)).unwrap();
        std::fs::write(data.join(line), b"P5 8 8 255\n".iter().chain(&[7; 64]).copied().collect::<Vec<u8>>())
            .unwrap();
    }
    let alike = ["--set", "data.on_leak=ignore"];
    fails(auto(place.path(), &alike), 1, &["same value", "normalize: {mean: […], std: […]}"]);
}

#[test]
fn a_configuration_made_for_the_digits_is_valid_says_why_and_trains() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 10, 30);
    let init = || ok(ml_train(place.path(), &["--init_config", "digits"])).stdout;
    let text = String::from_utf8(init()).unwrap();
    assert_eq!(init(), text.as_bytes(), "it is deterministic");
    assert!(!data.join(".ml-cache").exists(), "looking writes nothing");
    for part in [
        "# 10 classes; images: train 210, val 45, test 45.",
        "0 (21/4/5)",
        "all 8x8 (height x width), grey",
        "data_dir: digits",
        "architecture: tiny_net",
        "channels: 1",
        "computed from 210 training images",
        "random_horizontal_flip: false",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    std::fs::write(place.path().join("made.yaml"), &text).unwrap();
    let resolved = config::resolve(Some((&text, Source::Run)), &[], &Origin::read).unwrap().config;
    let (written, exact) = (numbers(&resolved), statistics(&data, &resolved, false));
    assert!(written.mean.len() == 1 && (written.mean[0] - exact.mean[0]).abs() <= 5.1e-5);
    assert!((written.std[0] - exact.std[0]).abs() <= 5.1e-5);
    let tried = told(&ok(ml_train(place.path(), &["--config", "made.yaml", "--dry_run"])));
    assert!(tried.contains("nothing was written") && !tried.contains("WARNING"), "{tried}");
    ok(ml_train(place.path(), &["--config", "made.yaml", "--num_epochs", "1"]));
    let run = place.path().join("runs/epochs_1");
    assert!(read(run.join("summary.yaml")).contains("status: completed"));
}

#[test]
fn a_configuration_for_photographs_crops_and_takes_resnet18() {
    let place = tempfile::tempdir().unwrap();
    // Noise in colour, 300 by 240, in a format that needs no encoder.
    let image = |seed: u32| {
        let mut state = seed;
        let pixels = (0..300 * 240 * 3).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        b"P6 300 240 255\n".iter().copied().chain(pixels).collect::<Vec<u8>>()
    };
    for (split, class, count) in [("train", "ant", 12), ("train", "bee", 2), ("val", "ant", 2)] {
        let folder = place.path().join("photos").join(split).join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..count {
            let seed =
                (split.len() * 1000 + class.len() * 7 + number) as u32 * 31 + u32::from(class == "bee");
            std::fs::write(folder.join(format!("{number}.ppm")), image(seed)).unwrap();
        }
    }
    std::fs::write(place.path().join("photos/train/ant/broken.jpg"), "no").unwrap();
    let output = ok(ml_train(place.path(), &["--init_config", "photos"]));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "architecture: resnet18",
        "random_resized_crop: {size: 224",
        "resize: 256",
        "center_crop: 224",
        "ant has 13 training images, bee 2 (6.5 times as many)",
        "on_error: skip",
        "1 of 15 sampled images cannot be read, the first: photos/train/ant/broken.jpg",
        "Classes without a validation image, so not evaluated: bee",
        "There is no test split",
    ] {
        assert!(text.replace("\n  # ", " ").contains(part), "`{part}` is not in:\n{text}");
    }
    std::fs::write(place.path().join("made.yaml"), &text).unwrap();
    ok(ml_train(place.path(), &["--config", "made.yaml", "--dry_run"]));
}

#[test]
fn a_folder_that_cannot_be_trained_on_gets_the_errors_of_training() {
    let place = tempfile::tempdir().unwrap();
    let init = |dir: &str| ml_train(place.path(), &["--init_config", dir]);
    small_digits(&place.path().join("unsplit"), &[4, 4]);
    std::fs::create_dir(place.path().join("empty")).unwrap();
    for dir in ["unsplit", "empty", "missing"] {
        let training = ml_train(place.path(), &["--data_dir", dir]).output().unwrap();
        let expected = told(&training);
        let (_, problem) = expected.split_once("(data.data_dir): ").unwrap();
        fails(init(dir), training.status.code().unwrap(), &["--init_config: ", problem.trim()]);
    }
    fails(init("unsplit"), 2, &["ml-split unsplit"]);

    let data = digits(place.path(), 2, 10);
    for line in read(data.join("splits/train.txt")).lines() {
        std::fs::write(data.join(line), "text").unwrap();
    }
    fails(init("digits"), 1, &["none of the 14 sampled training images", "ml-split check digits"]);
    for (args, part) in [
        (&["--lr", "1"][..], "optimizer.lr"),
        (&["--set", "seed=1"], "seed"),
        (&["--data_dir", "digits"], "data.data_dir"),
        (&["--dry_run"], "--dry_run"),
        (&["--config", "x.yaml"], "--config"),
        (&["--fold", "0"], "fold"),
    ] {
        fails(ml_train(place.path(), &[&["--init_config", "digits"], args].concat()), 2, &[part]);
    }
}
