//! Images that are not square: `transforms.fit`, and the warnings that lead to it.

use std::fs;
use std::path::{Path, PathBuf};

use ml_core::config::{self, Config, Source};
use ml_core::weights::Origin;
use serde_json::Value;

use crate::support::{fails, ok, program, read, start, train};

/// A grey image of noise, its own for each seed.
fn noise(width: usize, height: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let pixels = (0..width * height).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let header = format!("P5 {width} {height} 255\n").into_bytes();
    header.into_iter().chain(pixels).collect()
}

/// Two classes of images of this size, divided.
fn wide(place: &Path, width: usize, height: usize) -> PathBuf {
    let data = place.join("wide");
    let mut seed = 0;
    for (split, count) in [("train", 24), ("val", 6)] {
        for class in ["ant", "bee"] {
            let folder = data.join(split).join(class);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                seed += 1;
                fs::write(folder.join(format!("{number}.pgm")), noise(width, height, seed)).unwrap();
            }
        }
    }
    data
}

fn config_of(run: &Path) -> Config {
    config::resolve(Some((&read(run.join("config.yaml")), Source::Run)), &[], &Origin::read).unwrap().config
}

#[test]
fn padding_holds_for_training_validation_and_inference_and_has_a_cache_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let data = wide(place.path(), 16, 8);
    let run = |name: &str, fit: &str| {
        let fit = format!("transforms.fit={fit}");
        let args = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "1", "--run_name", name];
        let more = ["--set", &fit, "--set", "data.cache=disk", "--set", "data.cache_dir=cache"];
        ok(train(place.path(), &[&args[..], &more].concat()));
        place.path().join("runs").join(name)
    };
    let caches = || fs::read_dir(place.path().join("cache")).unwrap().count();
    let padded = run("padded", "{mode: pad, fill: 9}");
    let first = caches();
    run("squashed", "squash");
    assert!(caches() > first, "what is padded is not what is squashed");

    let transforms = config_of(&padded).transforms;
    assert!(transforms.fit.is_none());
    let side = |transform: &ml_core::transform::TransformConfig| {
        let letterbox = transform.letterbox.unwrap();
        assert_eq!((letterbox.fill.0, transform.resize, transform.center_crop), ([9; 3], None, None));
        letterbox.size.height
    };
    assert_eq!((side(&transforms.train), side(&transforms.val), side(&transforms.test)), (18, 16, 16));

    // An image, and the same with the padding that inference is to give it.
    let pixels = noise(16, 8, 1000);
    let (header, image) = pixels.split_at(pixels.len() - 16 * 8);
    assert_eq!(header, b"P5 16 8 255\n");
    let bar = [9_u8; 16 * 4];
    fs::write(place.path().join("wide.pgm"), &pixels).unwrap();
    fs::write(place.path().join("square.pgm"), [&b"P5 16 16 255\n"[..], &bar, image, &bar].concat()).unwrap();
    let args = [
        "--device",
        "cpu",
        "--checkpoint",
        "runs/padded",
        "--batch_size",
        "1",
        "--format",
        "jsonl",
        "--top_k",
        "2",
    ];
    let args = [&args[..], &["wide.pgm", "square.pgm"]].concat();
    let output = ok(program(env!("CARGO_BIN_EXE_ml-inference"), place.path(), &args));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["top_k"].as_array().unwrap().len(), 2);
    assert_eq!(lines[0]["top_k"], lines[1]["top_k"]);
}

#[test]
fn a_fit_that_contradicts_a_crop_is_a_config_error() {
    let place = tempfile::tempdir().unwrap();
    let data = wide(place.path(), 16, 8);
    let args = ["--data_dir", data.to_str().unwrap(), "--set", "transforms.fit=pad", "--set"];
    let crop = "transforms.train={random_resized_crop: 16}";
    let parts = ["transforms.train.random_resized_crop", "contradicts transforms.fit: pad"];
    fails(train(place.path(), &[&args[..], &[crop]].concat()), 2, &parts);
}

#[test]
fn images_that_a_center_crop_cuts_to_pieces_are_told_of() {
    let place = tempfile::tempdir().unwrap();
    let data = wide(place.path(), 140, 70);
    let mut check = start(env!("CARGO_BIN_EXE_ml-split"));
    check.args(["check", "--json", "--no_report"]).arg(&data);
    let report: Value = serde_json::from_slice(&check.output().unwrap().stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["kind"] == "crop_loss").unwrap();
    assert_eq!(found["severity"], "warning");
    let message = found["message"].as_str().unwrap();
    assert!(message.starts_with("of 100 % of the images (60 of 60) a center crop keeps less than 65 %"));
    assert!(message.ends_with("consider transforms.fit: pad"), "{message}");

    // The configuration made for them says so too, and its advice can be followed.
    let ml_train = |args: &[&str]| {
        let args = [&["--device", "cpu"], args].concat();
        program(env!("CARGO_BIN_EXE_ml-train"), place.path(), &args)
    };
    let text = String::from_utf8(ok(ml_train(&["--init_config", "wide"])).stdout).unwrap();
    let told = text.replace("\n    # ", " ");
    assert!(told.contains("WARNING: of 100 % of the images (48 of 48) a center crop keeps"), "{text}");
    assert!(told.contains("`resize: [64, 64]` in place of random_resized_crop"), "{text}");
    let padded = text
        .replace("random_resized_crop: {size: 64, scale: [0.08, 1.0]}", "resize: [64, 64]")
        .replace("\ntransforms:\n", "\ntransforms:\n  fit: pad\n");
    fs::write(place.path().join("padded.yaml"), padded).unwrap();
    let shown = ok(ml_train(&["--config", "padded.yaml", "--print_config"])).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert_eq!(shown.matches("letterbox:\n").count(), 3, "{shown}");
}
