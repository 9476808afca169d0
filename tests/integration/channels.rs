//! Images of four channels and 16 bits, from TIFF and NumPy files: split, checked, trained on,
//! resumed, evaluated; and files that are refused.

use std::fs;
use std::path::{Path, PathBuf};

use ml_core::decode::{Pixels, decode};

use crate::resume::same;
use crate::support::{fails, ok, program, read, start, train, workspace};

/// Keys of all three splits.
const TRANSFORMS: &str = "transforms={train: {resize: [18, 18], random_crop: 16, random_horizontal_flip: false, \
    channels: 4, bits: 16, normalize: auto}, val: {resize: [16, 16], channels: 4, bits: 16, normalize: auto}, \
    test: {resize: [16, 16], channels: 4, bits: 16, normalize: auto}}";

/// `[H, W, C]`: the image, its negative, and channels of noise.
fn samples(pixels: &Pixels, channels: usize, seed: u32) -> Vec<u16> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u16
    };
    let grey = pixels.data.chunks_exact(3).map(|pixel| u16::from(pixel[0]) * 257);
    grey.flat_map(|grey| {
        (0..channels)
            .map(|channel| match channel {
                0 => grey,
                1 => u16::MAX - grey,
                _ => noise(),
            })
            .collect::<Vec<u16>>()
    })
    .collect()
}

fn npy(width: u32, height: u32, samples: &[u16]) -> Vec<u8> {
    let channels = samples.len() / (width * height) as usize;
    let header =
        format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({height}, {width}, {channels}), }}\n");
    let length = (header.len() as u16).to_le_bytes();
    let values = samples.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    [&b"\x93NUMPY\x01\0"[..], &length, header.as_bytes(), &values].concat()
}

/// Uncompressed, in one strip.
fn tiff(width: u32, height: u32, samples: &[u16]) -> Vec<u8> {
    let channels = samples.len() as u32 / (width * height);
    let data: Vec<u8> = samples.iter().flat_map(|value| value.to_le_bytes()).collect();
    let length = data.len() as u32;
    let entries = [
        (256_u16, width),
        (257, height),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, channels),
        (278, height),
        (279, length),
        (284, 1),
    ];
    let mut file = [&b"II*\0"[..], &(8 + length).to_le_bytes(), &data].concat();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        file.extend([&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file
}

/// Three digits, 30 images each, as files of four channels.
fn raw(place: &Path) -> PathBuf {
    let raw = place.join("data/raw");
    let mut seed = 0;
    for class in ["0", "1", "2"] {
        let folder = raw.join(class);
        fs::create_dir_all(&folder).unwrap();
        let from = workspace().join("tests/data/digits/raw").join(class);
        let mut files: Vec<PathBuf> =
            fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for (number, file) in files.iter().take(30).enumerate() {
            seed += 1;
            let pixels = decode(file).unwrap();
            let values = samples(&pixels, 4, seed);
            let (width, height) = (pixels.width, pixels.height);
            if number % 2 == 0 {
                fs::write(folder.join(format!("{number}.tif")), tiff(width, height, &values)).unwrap();
            } else {
                fs::write(folder.join(format!("{number}.npy")), npy(width, height, &values)).unwrap();
            }
        }
    }
    raw
}

fn split(place: &Path) -> PathBuf {
    let raw = raw(place);
    ok(program(env!("CARGO_BIN_EXE_ml-split"), place, &[raw.to_str().unwrap()]));
    place.join("data")
}

#[test]
fn a_configuration_made_for_them_has_their_channels_and_bits() {
    let place = tempfile::tempdir().unwrap();
    split(place.path());
    let ml_train = |args: &[&str]| {
        let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
        command.current_dir(place.path()).args(["--device", "cpu"]).args(args);
        ok(command)
    };
    let text = String::from_utf8(ml_train(&["--init_config", "data"]).stdout).unwrap();
    for part in ["all 8x8 (height x width), channels: 4, bits: 16", "channels: 4\n", "bits: 16\n"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!text.contains("cache: ram"), "{text}");
    fs::write(place.path().join("made.yaml"), &text).unwrap();
    ml_train(&["--config", "made.yaml", "--dry_run"]);
}

#[test]
fn four_channels_of_sixteen_bits_are_split_trained_on_resumed_and_evaluated() {
    let place = tempfile::tempdir().unwrap();
    let data = split(place.path());
    let mut check = start(env!("CARGO_BIN_EXE_ml-split"));
    check.args(["check", "--json", "--no_report"]).arg(place.path().join("data/raw"));
    let report: serde_json::Value = serde_json::from_slice(&check.output().unwrap().stdout).unwrap();
    for finding in report["findings"].as_array().unwrap() {
        let kind = finding["kind"].as_str().unwrap();
        assert!(!["unsupported", "not_an_image", "damaged", "truncated"].contains(&kind), "{finding}");
    }
    let args = |name: &'static str| {
        let own = ["--data_dir", data.to_str().unwrap(), "--run_name", name, "--num_epochs", "8"];
        let more = ["--set", TRANSFORMS, "--set", "deterministic=true", "--batch_size", "8"];
        own.into_iter().chain(more).map(str::to_owned).collect::<Vec<String>>()
    };
    let run = |name: &'static str| {
        let args = args(name);
        train(place.path(), &args.iter().map(String::as_str).collect::<Vec<&str>>())
    };
    ok(run("whole"));
    let whole = place.path().join("runs/whole");
    let config = read(whole.join("config.yaml"));
    assert!(config.contains("channels: 4") && config.contains("bits: 16"), "{config}");

    let cut = place.path().join("runs/cut");
    let ended = crate::resume::cut(run("cut"), &cut.join("previous.pt"), "-INT");
    if ended == Some(130) {
        ok(train(place.path(), &["--resume", "runs/cut"]));
    }
    same(&whole, &cut);

    let mut evaluate = start(env!("CARGO_BIN_EXE_ml-inference"));
    evaluate.args(["--device", "cpu", "--json", "--split", "val", "--checkpoint"]).arg(&whole);
    let report: serde_json::Value = serde_json::from_slice(&ok(evaluate).stdout).unwrap();
    assert!(report["accuracy"].as_f64().unwrap() > 0.5, "{report}");

    // From weights of three channels.
    let rgb = "transforms={train: {resize: [16, 16], bits: 8}, val: {resize: [16, 16]}}";
    let digits = crate::train::digits(&place.path().join("rgb"), 3, 20);
    let args = ["--data_dir", digits.to_str().unwrap(), "--run_name", "rgb", "--num_epochs", "1"];
    ok(train(place.path(), &[&args[..], &["--set", rgb]].concat()));
    let args = ["--data_dir", data.to_str().unwrap(), "--run_name", "from_rgb", "--num_epochs", "1"];
    let more = ["--set", TRANSFORMS, "--weights", "runs/rgb/best.pt"];
    let said = ok(train(place.path(), &[&args[..], &more].concat())).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("4 channels instead of 3"), "{said}");
}

#[test]
fn files_of_other_channels_and_damaged_ones_are_named() {
    let place = tempfile::tempdir().unwrap();
    let data = split(place.path());
    let plain = TRANSFORMS.replace("normalize: auto", "normalize: null");
    let args = ["--data_dir", data.to_str().unwrap(), "--num_epochs", "1", "--set", &plain];
    let listed = read(data.join("splits/train.txt"));
    let name = listed.lines().next().unwrap();
    let path = data.join(name);
    let (values, four) = (vec![1_u16; 5 * 64], vec![1_u16; 4 * 64]);
    let whole = npy(8, 8, &four);
    let text = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
    };
    let cut = tiff(8, 8, &four);
    for (bytes, part) in [
        (npy(8, 8, &values), "it has 5 channels, and transforms.<split>.channels is 4"),
        (tiff(8, 8, &values), "it has 5 channels, and transforms.<split>.channels is 4"),
        (text("<u2", "<f2"), "its dtype is <f2"),
        (text("(8, 8, 4)", "(8, 9, 4)"), "cut short"),
        (text("(8, 8, 4)", "(8, 7, 4)"), "bytes follow the values"),
        (cut[..100].to_vec(), "cut short"),
    ] {
        fs::write(&path, bytes).unwrap();
        fails(train(place.path(), &args), 1, &[name, part]);
    }
    let mut wrong = args.to_vec();
    wrong.extend(["--set", "data.cache=ram"]);
    fails(train(place.path(), &wrong), 2, &["data.cache", "keeps RGB images of 8 bits"]);
    wrong.extend(["--set", "data.cache=none", "--set", "transforms.train.color_jitter={hue: 0.1}"]);
    fails(train(place.path(), &wrong), 2, &["transforms.train.color_jitter", "is for RGB images of 8 bits"]);
}
