//! What `ml-split` refuses, and that nothing is left of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{names, set, some_digits, split};
use crate::support::{fails, ok, read, small_digits, train, workspace};

#[test]
fn images_are_not_read_so_a_damaged_one_is_named_by_the_training() {
    for content in ["", "just text"] {
        let data = some_digits(&[10, 10]);
        fs::write(data.path().join("raw/1/odd.jpg"), content).unwrap();
        let told = String::from_utf8(ok(split(data.path(), &[])).stderr).unwrap();
        assert_eq!(told.contains("0 bytes") && told.contains("raw/1/odd.jpg"), content.is_empty(), "{told}");
        fails(train(data.path(), &["--data_dir", "."]), 1, &["raw/1/odd.jpg", "remove it"]);
    }
    let data = some_digits(&[10, 10]);
    symlink("gone.png", data.path().join("raw/1/link.png")).unwrap();
    fails(split(data.path(), &[]), 1, &["raw/1/link.png", "leads nowhere", "remove it"]);
    assert_eq!(names(data.path()), set(&["raw"]));
}

#[test]
fn wrong_flags_are_refused_with_exit_code_2_before_anything_is_written() {
    let data = some_digits(&[10, 10]);
    let file = data.path().join("file");
    fs::write(&file, "mine").unwrap();
    let (file, inside) = (file.to_str().unwrap(), data.path().join("raw/new"));
    for (args, parts) in [
        ("--ratio 0.5 0.2 0.2", &["--ratio 0.5 0.2 0.2", "sum to 1", "for example"][..]),
        ("--ratio -0.5 1 0.5", &["--ratio -0.5 1 0.5", "not negative"]),
        ("--ratio NaN 0.5 0.5", &["--ratio NaN 0.5 0.5", "finite"]),
        ("--ratio 1", &["--ratio 1", "two or three"]),
        ("--ratio 0.4 0.2 0.2 0.2", &["--ratio 0.4 0.2 0.2 0.2", "two or three"]),
        ("--ratio 0 0.5 0.5", &["--ratio", "training share"]),
        ("--ratio 1 0 0", &["--ratio", "validation share"]),
        ("--ratio half half", &["--ratio", "not a number"]),
        ("--folds 1", &["--folds 1", "2 to 1000"]),
        ("--folds -3", &["--folds", "'-3'", "whole number"]),
        ("--folds 3 --test_ratio 1", &["--test_ratio 1", "less than 1"]),
        ("--folds 3 --ratio 0.5 0.5", &["--ratio", "--folds", "--test_ratio"]),
        ("--test_ratio 0.1", &["--test_ratio", "--folds"]),
        ("--seed -1", &["--seed", "'-1'", "whole number"]),
        ("--link copy", &["--link", "--layout folders"]),
        ("--layout folders --folds 3", &["--layout folders"]),
        ("--sed 3", &["--sed", "--seed"]),
        (&format!("--output {}", inside.display()), &["raw/new", "outside"]),
        (&format!("--output {file}"), &[file, "not a folder", "--output"]),
        (&format!("--layout folders --output {file}"), &[file, "not a folder", "--output"]),
    ] {
        fails(split(data.path(), &args.split(' ').collect::<Vec<_>>()), 2, parts);
        assert_eq!(names(data.path()), set(&["file", "raw"]), "{args}");
    }
}

#[test]
fn folders_that_cannot_be_divided_are_named_with_what_to_do() {
    for (image_dir, files, code, parts) in [
        ("nowhere", "", 2, &["no such folder", "check the path"][..]),
        ("1.png", "1.png", 2, &["not a folder", "class folders"]),
        ("", "", 1, &["no class folders", "put each class's images"]),
        ("", "1.png 2.png", 1, &["2 images", "put each class's images"]),
        ("", "cat/notes.txt dog/notes.txt", 1, &["no images", "jpg"]),
        ("", "cat/1.png dog/notes.txt", 1, &["class `dog`", "/dog;", "add some"]),
        ("", "train/cat/1.png val/cat/2.png", 2, &["(train, val)", "`ml-train --data_dir`"]),
        ("", "raw/splits/1.png raw/cat/1.png", 1, &["raw/splits", "rename"]),
        ("", "raw/cat/1.png models/1.png", 2, &["`models`", "/raw to split that", "rename"]),
    ] {
        let place = tempfile::tempdir().unwrap();
        for file in files.split_whitespace() {
            let file = place.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "image").unwrap();
        }
        let (before, image_dir) = (names(place.path()), place.path().join(image_dir));
        for args in [&[][..], &["--dry_run"], &["--layout", "folders"]] {
            fails(split(&image_dir, args), code, &[&[place.path().to_str().unwrap()], parts].concat());
        }
        assert_eq!(names(place.path()), before, "{files}");
    }
}

#[test]
fn what_is_there_is_replaced_only_by_force_and_only_if_ml_split_made_it() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("digits");
    small_digits(&data.join("raw"), &[10, 10]);
    for (layout, made, file) in [
        (&[][..], data.join("splits"), "train.txt"),
        (&["--layout", "folders"], place.path().join("digits_split"), "manifest.yaml"),
    ] {
        let again = |args: &[&str]| split(&data, &[layout, args].concat());
        ok(again(&["--dry_run"]));
        assert!(!made.exists());
        ok(again(&[]));
        let before = read(made.join(file));
        fails(again(&["--seed", "1"]), 1, &[made.to_str().unwrap(), "--force", "--output"]);
        assert_eq!(read(made.join(file)), before);
        ok(again(&["--seed", "1", "--force"]));
        assert_ne!(read(made.join(file)), before);
        fs::write(made.join("mine.doc"), "").unwrap();
        fails(again(&["--force"]), 1, &["mine.doc", "move it away", "--output"]);
        assert_eq!(read(made.join("mine.doc")), "");
    }
    assert_eq!(names(place.path()), set(&["digits", "digits_split"]));
    assert_eq!(names(&data), set(&["raw", "splits"]));
}

#[test]
fn nothing_is_left_where_writing_fails_or_is_interrupted() {
    let data = some_digits(&[10, 10]);
    fails(split(data.path(), &["--output", "/proc/new"]), 1, &["/proc/new", "cannot be written", "--output"]);
    // Another file system, where hard links cannot lead.
    let device = |folder: &tempfile::TempDir| folder.path().metadata().unwrap().dev();
    let memory = tempfile::tempdir_in("/dev/shm").ok();
    if let Some(memory) = memory.filter(|memory| device(memory) != device(&data)) {
        let output = memory.path().join("new/tree");
        let args = ["--layout", "folders", "--output", output.to_str().unwrap()];
        fails(split(data.path(), &args), 1, &["another file system", "--link symlink or --link copy"]);
        assert!(names(memory.path()).is_empty());
    }

    let place = tempfile::tempdir().unwrap();
    let many = place.path().join("many");
    fs::create_dir(&many).unwrap();
    for class in 0..60 {
        let digit = workspace().join(format!("tests/data/digits/raw/{}", class % 10));
        symlink(digit.canonicalize().unwrap(), many.join(class.to_string())).unwrap();
    }
    let mut child =
        split(&many, &["--layout", "folders", "--link", "copy"]).stderr(Stdio::null()).spawn().unwrap();
    while names(place.path()).len() == 1 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &child.id().to_string()]);
    ok(kill);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(names(place.path()), set(&["many"]));
}
