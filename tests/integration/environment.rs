//! What comes from elsewhere: home folders, texts of Windows editors, names that other readers of
//! YAML take for something else.

use std::path::Path;
use std::process::Command;

use crate::support::{fails, ok, read, small_digits, start, train, workspace};

fn split(place: &Path, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-split"));
    command.current_dir(place).args(args);
    command
}

#[test]
fn a_tilde_in_files_and_flags_is_the_home_folder() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    small_digits(&home.join("pics/raw"), &[9, 9]);
    let with_home = |mut command: Command| {
        command.env("HOME", &home);
        command
    };
    ok(with_home(split(place.path(), &["home/pics/raw", "--output=~/made"])));
    assert!(home.join("made/splits/manifest.yaml").exists());
    std::fs::write(
        place.path().join("t.yaml"),
        "data: {data_dir: ~/made}\nmodel: {architecture: tiny_net}\n",
    )
    .unwrap();
    let check = |args: &[&str]| {
        let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
        command.current_dir(place.path()).args(["--dry_run", "--device", "cpu"]).args(args);
        command
    };
    ok(with_home(check(&["--config", "t.yaml"])));
    ok(with_home(check(&["--data_dir=~/made", "--runs_dir=~/runs", "--architecture", "tiny_net"])));
    let mut homeless = check(&["--config", "t.yaml"]);
    homeless.env_remove("HOME");
    fails(homeless, 2, &["t.yaml:1: data.data_dir", "HOME is not set"]);
    fails(check(&["--data_dir=~nobody/x"]), 2, &["--data_dir: data.data_dir: `~nobody`", "./~nobody"]);
    fails(split(place.path(), &["home/pics/raw", "--output=~nobody/x"]), 2, &["--output", "`~nobody`"]);
    let variable = check(&["--data_dir", "$HOME/made"]);
    fails(variable, 2, &["`$HOME` is not replaced by the variable's value"]);
}

#[test]
fn texts_of_windows_editors_are_read_or_their_encoding_is_reported() {
    let place = tempfile::tempdir().unwrap();
    small_digits(&place.path().join("data/raw"), &[9, 9]);
    ok(split(place.path(), &["data"]));
    let yaml = place.path().join("w.yaml");
    let text = "model:\r\n  architecture: tiny_net\r\ntraining: {device: cpu}\r\n";
    let check = || {
        let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
        command.current_dir(place.path()).args(["--config", "w.yaml", "--data_dir", "data", "--dry_run"]);
        command
    };
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
    };
    let marked = format!("\u{feff}{text}").into_bytes();
    for bytes in [marked, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), text.replace("\r\n", "\r").into()]
    {
        std::fs::write(&yaml, bytes).unwrap();
        ok(check());
    }
    std::fs::write(&yaml, b"seed: 1\n# caf\xe9\n").unwrap();
    fails(check(), 2, &["w.yaml", "line 2 is not UTF-8", "save the file as UTF-8"]);
    std::fs::write(&yaml, b"s\0e\0e\0d\0").unwrap();
    fails(check(), 2, &["w.yaml", "UTF-16"]);
    std::fs::write(&yaml, text).unwrap();
    // The other files that people may open.
    let splits = place.path().join("data/splits");
    for name in ["manifest.yaml", "train.txt"] {
        let path = splits.join(name);
        let text = read(&path);
        // Whether an index file was edited is another question.
        let text: String =
            text.lines().filter(|line| !line.contains("index_sha256")).map(|l| format!("{l}\r\n")).collect();
        std::fs::write(path, format!("\u{feff}{text}")).unwrap();
    }
    ok(check());
    ok(split(place.path(), &["check", "data", "--no_report"]));
}

#[test]
fn class_names_stay_names_for_pyyaml() {
    let python = workspace().join(".venv/bin/python");
    let has_yaml = Command::new(&python).args(["-c", "import yaml"]).output();
    if !has_yaml.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {} has no PyYAML: run `cargo xtask setup --test`", python.display());
        return;
    }
    let names = [
        "no",
        "null",
        "1e3",
        "1_000",
        "0o17",
        "017",
        "1:30",
        "=",
        "<<",
        "2026-11-29",
        " a",
        "b: c",
        "@d",
        "#e",
    ];
    let place = tempfile::tempdir().unwrap();
    let digits = place.path().join("digits");
    small_digits(&digits, &[names.len() * 9]);
    let mut images: Vec<_> =
        std::fs::read_dir(digits.join("0")).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    for (chunk, name) in images.chunks(9).zip(names) {
        let folder = place.path().join("data/raw").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for image in chunk {
            std::fs::copy(image, folder.join(image.file_name().unwrap())).unwrap();
        }
    }
    ok(split(place.path(), &["data", "--duplicates", "ignore"]));
    ok(train(
        place.path(),
        &["--data_dir", "data", "--num_epochs", "1", "--run_name", "no", "--lr", "0.00001"],
    ));
    let program = "
import sys, yaml
manifest, config, summary, start = (yaml.safe_load(open(path)) for path in sys.argv[1:])
names = manifest['classes'] + [name for split in manifest['splits'] for name in split['counts']]
assert all(isinstance(name, str) for name in names), names
assert isinstance(config['optimizer']['lr'], float), config['optimizer']
assert isinstance(summary['started'], str) and isinstance(summary['version'], str), summary
assert start['data']['data_dir'] == 'data', start
print(sorted(manifest['classes']))
";
    let mut start = start(env!("CARGO_BIN_EXE_ml-train"));
    start.current_dir(place.path()).args(["--device", "cpu", "--init_config", "data"]);
    std::fs::write(place.path().join("start.yaml"), ok(start).stdout).unwrap();
    let mut command = Command::new(python);
    command.current_dir(place.path()).args(["-c", program]);
    let output = ok({
        command.args([
            "data/splits/manifest.yaml",
            "runs/no/config.yaml",
            "runs/no/summary.yaml",
            "start.yaml",
        ]);
        command
    });
    let mut expected = names.map(|name| format!("'{name}'"));
    expected.sort_unstable();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), format!("[{}]", expected.join(", ")));
}
