//! Bad images before and during training, and bad names: a clear error of one line, or the declared
//! skip.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::check::bomb;
use crate::support::{fails, ok, read, small_digits, start, train, workspace};

const SKIP: [&str; 2] = ["--set", "data.on_error=skip"];

/// Two classes of 20 images, divided.
fn digits() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    small_digits(&data.path().join("raw"), &[20, 20]);
    let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
    split.arg(data.path());
    ok(split);
    data
}

/// The first images of a split: as its index names them, and where they lie.
fn images(data: &Path, split: &str, count: usize) -> Vec<(String, PathBuf)> {
    let lines = read(data.join(format!("splits/{split}.txt")));
    lines.lines().take(count).map(|line| (line.to_owned(), data.join(line))).collect()
}

fn training(data: &Path, args: &[&str]) -> Command {
    train(data, &[&["--data_dir", "."], args].concat())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_bomb_and_damaged_images_fail_the_run_or_are_skipped() {
    let jpeg = fs::read(workspace().join("tests/data/images/rgb.jpg")).unwrap();
    let png = fs::read(workspace().join("tests/data/images/rgb.png")).unwrap();
    let mut flipped = png.clone();
    flipped[png.len() / 2] ^= 0x10;
    for (bytes, reason) in [
        (bomb(), "its header announces 60000 x 60000 pixels"),
        (jpeg[..jpeg.len() / 2].to_vec(), "the JPEG file is cut short"),
        (png[..png.len() / 2].to_vec(), "the PNG file is cut short"),
        (flipped, "the PNG file is damaged"),
        (Vec::new(), "the file is empty"),
        (b"<html>404</html>".to_vec(), "not an image"),
    ] {
        let data = digits();
        for split in ["train", "val", "test"] {
            let (name, path) = images(data.path(), split, 1).remove(0);
            let sound = fs::read(&path).unwrap();
            fs::write(&path, &bytes).unwrap();
            let quick = ["--num_epochs", "1", "--run_name", split];
            fails(training(data.path(), &quick), 1, &[&name, reason, "data.on_error=skip"]);
            fs::write(&path, sound).unwrap();
        }
        for split in ["train", "val", "test"] {
            fs::write(&images(data.path(), split, 1)[0].1, &bytes).unwrap();
        }
        // The same bytes in all splits are a leak besides.
        let args = ["--num_epochs", "3", "--set", "data.on_leak=ignore"];
        let said = told(&ok(training(data.path(), &[&SKIP[..], &args].concat())));
        for split in ["train", "val", "test"] {
            let (name, _) = images(data.path(), split, 1).remove(0);
            let is_about = |line: &&str| line.contains(&name) && line.contains("skipped");
            let lines: Vec<&str> = said.lines().filter(is_about).collect();
            assert!(lines.len() == 1 && lines[0].contains(reason), "{name} once: {said}");
        }
        assert!(!said.contains("defect in this program"), "{said}");
        let few = ["--set", "data.max_skipped=0", "--set", "data.on_leak=ignore", "--run_name", "few"];
        fails(training(data.path(), &[&SKIP[..], &few].concat()), 1, &[reason, "data.max_skipped"]);
    }
}

#[test]
fn missing_images_are_an_error_or_a_warning_that_counts_them() {
    let data = digits();
    let gone: Vec<_> = [images(data.path(), "train", 2), images(data.path(), "val", 1)].concat();
    gone.iter().for_each(|(_, path)| fs::remove_file(path).unwrap());
    fails(
        training(data.path(), &[]),
        1,
        &["3 image(s) of the data set cannot be found", &gone[0].0, "bring them back", "data.on_error=skip"],
    );
    let said = told(&ok(training(data.path(), &SKIP)));
    let warning = said.lines().find(|line| line.contains("WARNING") && line.contains("3 image(s)"));
    assert!(gone.iter().all(|(name, _)| warning.unwrap().contains(name)), "{said}");
    assert!(!said.contains("another size") && !said.contains("was changed after it was split"), "{said}");
    let few = ["--set", "data.max_skipped=1"];
    fails(
        training(data.path(), &[&SKIP[..], &few].concat()),
        1,
        &["2 are of the train split, more than the 1 that data.max_skipped allows"],
    );
}

#[test]
fn an_image_that_may_not_be_read_fails_the_run_or_is_skipped() {
    let data = digits();
    let (name, path) = images(data.path(), "train", 1).remove(0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let is_root = fs::read(&path).is_ok();
    let reader = |args: &[&str]| {
        let mut command = training(data.path(), args);
        if is_root {
            command.uid(65_534).env("HOME", data.path());
        }
        command
    };
    // Nothing is closed to root: the run is nobody's, if nobody can reach the program and libtorch.
    let mut version = reader(&["--dry_run"]);
    if is_root && !version.output().is_ok_and(|output| output.status.success()) {
        return;
    }
    fails(reader(&[]), 1, &[&name, "permission denied; make it readable"]);
    let said = told(&ok(reader(&SKIP)));
    assert!(said.contains(&name) && said.contains("permission denied") && said.contains("skipped"), "{said}");
}

#[test]
fn names_and_links_that_cannot_be_used_are_told_on_one_line() {
    let long = format!("{}.png", "x".repeat(251));
    let names: [(&[u8], &[&str]); 2] = [
        (b"new\nline.png", &["new\\nline.png", "contains a line break", "rename"]),
        (b"bad\xff.png", &["bad\\xFF.png", "not valid UTF-8", "rename"]),
    ];
    for (name, parts) in names {
        let data = tempfile::tempdir().unwrap();
        for split in ["train", "val"] {
            small_digits(&data.path().join(split), &[4, 4]);
        }
        let bad = data.path().join("train/0").join(OsStr::from_bytes(name));
        fs::copy(workspace().join("tests/data/images/rgb.png"), bad).unwrap();
        let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
        split.arg(data.path().join("train"));
        for command in [training(data.path(), &[]), split] {
            fails_on_one_line(command, parts);
        }
    }
    let data = digits();
    symlink("..", data.path().join("raw/0/loop")).unwrap();
    let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
    split.arg(data.path()).arg("--force");
    fails_on_one_line(split, &["raw/0/loop", "leads back", "remove"]);
    // 255 bytes are a name like any other.
    let data = tempfile::tempdir().unwrap();
    small_digits(&data.path().join("raw"), &[20, 20]);
    fs::copy(workspace().join("tests/data/images/rgb.png"), data.path().join("raw/0").join(&long)).unwrap();
    let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
    split.arg(data.path());
    ok(split);
    let listed: String =
        ["train", "val", "test"].map(|split| read(data.path().join(format!("splits/{split}.txt")))).concat();
    assert!(listed.contains(&long));
    ok(training(data.path(), &["--num_epochs", "1"]));
}

/// Besides what [`fails`] asks for: the error is one line.
fn fails_on_one_line(mut command: Command, parts: &[&str]) {
    let output = command.output().unwrap();
    let said = told(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{command:?}: {said}");
    let line = said.lines().find(|line| line.contains("error:")).unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "`{part}` is not in one line of: {said}");
    }
    assert!(!said.contains("backtrace") && !said.contains("panicked"), "{said}");
}

/// A run of many epochs that has begun.
fn begun(data: &Path, args: &[&str]) -> Child {
    let long = ["--num_epochs", "100000", "--set", "data.cache=none", "--run_name", "long"];
    let child = training(data, &[&long[..], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| {
        fs::read_to_string(data.join("runs/long/metrics.csv")).is_ok_and(|csv| csv.lines().count() > 2)
    });
    child
}

fn wait_for(met: impl Fn() -> bool) {
    let started = Instant::now();
    while !met() {
        assert!(started.elapsed() < Duration::from_mins(2), "it takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn log(data: &Path) -> String {
    read(data.join("runs/long/logs/train.log"))
}

fn epochs(data: &Path) -> usize {
    read(data.join("runs/long/metrics.csv")).lines().count()
}

fn interrupted(child: Child) -> String {
    let mut kill = Command::new("kill");
    kill.args(["-INT", &child.id().to_string()]);
    ok(kill);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    told(&output)
}

fn failed(child: Child, parts: &[&str]) {
    let output = child.wait_with_output().unwrap();
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("error:")).collect();
    assert!(errors.len() == 1 && parts.iter().all(|part| errors[0].contains(part)), "{parts:?}: {said}");
    assert!(!said.contains("backtrace") && !said.contains("panicked"), "{said}");
}

#[test]
fn an_image_that_vanishes_during_training_fails_the_run_or_is_skipped_once() {
    let data = digits();
    let (name, path) = images(data.path(), "train", 1).remove(0);
    let child = begun(data.path(), &[]);
    fs::remove_file(&path).unwrap();
    failed(child, &[&name, "there is no such file; bring it back"]);
    assert!(read(data.path().join("runs/long/summary.yaml")).contains("status: failed"));

    let data = digits();
    let (name, path) = images(data.path(), "train", 1).remove(0);
    let child = begun(data.path(), &SKIP);
    fs::remove_file(&path).unwrap();
    wait_for(|| log(data.path()).contains("skipped"));
    let seen = epochs(data.path());
    wait_for(|| epochs(data.path()) > seen + 3);
    let said = interrupted(child);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(&name)).collect();
    assert!(lines.len() == 1 && lines[0].contains("there is no such file"), "once: {said}");
}

#[test]
fn an_image_that_changes_during_training_is_read_as_it_is_then() {
    let data = digits();
    let (name, path) = images(data.path(), "train", 1).remove(0);
    let child = begun(data.path(), &[]);
    // Another sound image, of another size and format, put there at once.
    let beside = data.path().join("beside");
    fs::copy(workspace().join("tests/data/images/rgb.jpg"), &beside).unwrap();
    fs::rename(&beside, &path).unwrap();
    let seen = epochs(data.path());
    wait_for(|| epochs(data.path()) > seen + 3);
    // Then one that somebody is still writing.
    let png = fs::read(workspace().join("tests/data/images/rgb.png")).unwrap();
    fs::write(&beside, &png[..png.len() / 2]).unwrap();
    fs::rename(&beside, &path).unwrap();
    failed(child, &[&name, "the PNG file is cut short"]);
}
