//! Groups, duplicates and labels from a CSV, with real images, up to the training.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{index, names, some_digits, split};
use crate::support::{fails, ok, read, train, workspace};

/// Digits of two classes; each of 10 patients has images in both, in folders of its own and by
/// name.
fn patients() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    for class in ["0", "1"] {
        let from = workspace().join("tests/data/digits/raw").join(class);
        for (i, name) in names(&from).into_iter().take(60).enumerate() {
            let to = data.path().join(format!("raw/{class}/patient_{}/p{}_{name}", i % 10, i % 10));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from.join(name), to).unwrap();
        }
    }
    data
}

fn told(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// By group, the index files that it is in.
fn places(data: &Path, files: &[&str], group: impl Fn(&str) -> String) -> BTreeMap<String, BTreeSet<String>> {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        for line in index(data, file) {
            places.entry(group(&line)).or_default().insert((*file).to_owned());
        }
    }
    places
}

#[test]
fn a_patient_with_images_in_several_classes_is_never_divided() {
    let data = patients();
    let patient = |line: &str| line.split('/').nth(2).unwrap().to_owned();
    for by in ["folder", r"patient_(\d+)/", r"p\d+_"] {
        for seed in ["1", "2", "3"] {
            let args = ["--group_by", by, "--seed", seed, "--force", "--ratio", "0.6", "0.2", "0.2"];
            let output = ok(split(data.path(), &args)).stdout;
            let places = places(data.path(), &["train", "val", "test"], patient);
            assert_eq!(places.len(), 10, "{by}");
            assert!(places.values().all(|files| files.len() == 1), "{by}: {places:?}");
            let text = String::from_utf8(output).unwrap();
            assert!(
                text.contains(&format!("10 groups of 2 or more images stay together (by {by}")),
                "{text}"
            );
            assert!(text.contains("train: 60.00 % of the images, 60.00 % requested"), "{text}");
        }
    }
    ok(split(data.path(), &["--group_by", "folder", "--folds", "3", "--test_ratio", "0.2", "--force"]));
    let files = ["test", "fold_0_val", "fold_1_val", "fold_2_val"];
    assert!(places(data.path(), &files, patient).values().all(|files| files.len() == 1));
    let images = read(data.path().join("splits/pictures.csv"));
    assert_eq!(images.lines().next(), Some("path,bytes,group,sha256"));
    assert_eq!(images.lines().filter(|line| line.contains(",patient_3,")).count(), 12);
    ok(train(data.path(), &["--dry_run", "--data_dir", ".", "--fold", "2"]));

    let json = ok(split(data.path(), &["--group_by", "folder", "--dry_run", "--json"])).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(json["groups"]["count"] == 10 && json["groups"]["largest"] == 12, "{json}");
    assert!(json["shares"][1]["split"] == "val" && json["shares"][1]["asked"] == 0.15, "{json}");
}

#[test]
fn groups_that_make_no_sense_are_refused_and_images_without_one_are_counted() {
    let data = patients();
    for (args, code, parts) in [
        (&["--group_by", "(p"][..], 2, &["--group_by `(p`", "not a regular expression", "unclosed"][..]),
        (&["--group_by", "csv"], 2, &["has no column `group`"]),
        (&["--root", "."], 2, &["--image_root goes with a CSV"]),
        (&["--duplicates", "delete"], 2, &["--duplicates", "keep_together"]),
        // All of them are one group.
        (&["--group_by", "patient"], 1, &["would be empty", "the group `patient`", "120 of 120"]),
    ] {
        fails(split(data.path(), args), code, parts);
        assert_eq!(names(data.path()), super::set(&["raw"]));
    }
    let output = ok(split(data.path(), &["--group_by", "patient_[1-9]"]));
    assert!(told(&output).contains("12 image(s) are in no group by `patient_[1-9]`"), "{}", told(&output));
}

#[test]
fn copies_of_an_image_stay_together_and_those_in_two_classes_are_warned_about() {
    let data = some_digits(&[30, 30]);
    let first = |class: &str| {
        let folder = data.path().join("raw").join(class);
        folder.join(names(&folder).into_iter().next().unwrap())
    };
    let (zero, one) = (first("0"), first("1"));
    for i in 0..9 {
        fs::copy(&zero, data.path().join(format!("raw/0/copy_{i}.png"))).unwrap();
    }
    fs::copy(&one, data.path().join("raw/0/mistaken.png")).unwrap();
    let copies = |line: &str| if line.contains("copy_") { "copy".to_owned() } else { line.to_owned() };
    for seed in ["1", "2", "3", "4"] {
        let output = ok(split(data.path(), &["--seed", seed, "--force"]));
        let told = told(&output);
        assert!(told.contains("1 image(s) lie in several classes") && told.contains("raw/0/mistaken.png"));
        assert_eq!(places(data.path(), &["train", "val", "test"], copies)["copy"].len(), 1);
        ok(train(data.path(), &["--dry_run", "--data_dir", "."]));
    }
    // Nobody looked: the training does.
    let output =
        ok(split(data.path(), &["--duplicates", "ignore", "--force", "--ratio", "0.4", "0.3", "0.3"]));
    assert!(!told(&output).contains("several classes"));
    assert!(places(data.path(), &["train", "val", "test"], copies)["copy"].len() > 1);
    fails(
        train(data.path(), &["--data_dir", "."]),
        1,
        &["same content", "ml-split ./raw --force", "data.on_leak"],
    );
}

/// Images of both classes in one folder, beside a CSV that labels them.
fn labelled(columns: &str, row: impl Fn(usize, &str) -> String) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("scans")).unwrap();
    let mut text = format!("{columns}\n");
    for class in ["0", "1"] {
        let from = workspace().join("tests/data/digits/raw").join(class);
        for (i, name) in names(&from).into_iter().take(30).enumerate() {
            let path = format!("scans/{class}_{name}");
            fs::copy(from.join(name), data.path().join(&path)).unwrap();
            text += &row(i, &format!("{path},digit {class}"));
            text.push('\n');
        }
    }
    fs::write(data.path().join("labels.csv"), text).unwrap();
    data
}

#[test]
fn labels_from_a_csv_are_trained_on_like_folders() {
    let data = labelled("path,label,group,note", |i, row| format!("{row},patient {},\"x, y\"", i % 7));
    let output = ok(split(data.path().join("labels.csv"), &[]));
    let told = told(&output);
    assert!(told.contains("columns left out: note") && told.contains("by the column `group`"), "{told}");
    assert!(
        index(data.path(), "train")[0].starts_with("scans/0_")
            && index(data.path(), "train")[0].ends_with("\tdigit 0")
    );
    ok(train(data.path(), &["--data_dir", ".", "--num_epochs", "1"]));
    let report = read(data.path().join("runs/epochs_1/report/classification_report_test.json"));
    assert!(report.contains("digit 0") && report.contains("digit 1"), "{report}");
    let patients = read(data.path().join("splits/pictures.csv"));
    let group_of: BTreeMap<_, _> =
        patients.lines().map(|line| line.split(',').collect::<Vec<_>>()).map(|f| (f[0], f[2])).collect();
    let group = |line: &str| group_of[line.split('\t').next().unwrap()].to_owned();
    let places = places(data.path(), &["train", "val", "test"], group);
    assert!(places.len() == 7 && places.values().all(|files| files.len() == 1), "{places:?}");

    // Paths relative to another folder, splits in another place.
    let moved = tempfile::tempdir().unwrap();
    fs::copy(data.path().join("labels.csv"), moved.path().join("labels.csv")).unwrap();
    let root = data.path().to_str().unwrap();
    ok(split(moved.path().join("labels.csv"), &["--root", root, "--group_by", "none"]));
    ok(train(moved.path(), &["--dry_run", "--data_dir", "."]));
    fs::write(
        data.path().join("labels.csv"),
        read(data.path().join("labels.csv")).replacen("digit 0", "digit 1", 1),
    )
    .unwrap();
    let output = ok(train(data.path(), &["--dry_run", "--data_dir", "."]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 image(s) have another label (scans/0_"));
}

#[test]
fn given_splits_are_taken_as_they_are() {
    let parts = ["train", "train", "val", "test"];
    let data = labelled("split,path,label", |i, row| format!("{},{row}", parts[i % 4]));
    let csv = data.path().join("labels.csv");
    ok(split(&csv, &[]));
    assert_eq!(["train", "val", "test"].map(|name| index(data.path(), name).len()), [32, 14, 14]);
    ok(train(data.path(), &["--dry_run", "--data_dir", "."]));
    for args in [&["--ratio", "0.8", "0.2"][..], &["--folds", "3"]] {
        fails(split(&csv, args), 2, &["--ratio, --folds", "column `split`"]);
    }
    // The first two lines become one image under two names.
    let lines = read(&csv);
    let path = |line: usize| lines.lines().nth(line).unwrap().split(',').nth(1).unwrap();
    fs::copy(data.path().join(path(1)), data.path().join(path(3))).unwrap();
    fails(split(&csv, &["--force"]), 1, &[path(1), "in train", path(3), "in val", "--on_leak warn"]);
    let output = ok(split(&csv, &["--force", "--on_leak", "warn"]));
    assert!(told(&output).contains("same content"));
    fails(train(data.path(), &["--data_dir", "."]), 1, &["same content", path(3), "data.on_leak"]);
}

#[test]
fn a_csv_that_cannot_be_used_says_where_and_why() {
    let image = |data: &Path| names(&data.join("scans")).into_iter().next().unwrap();
    let data = labelled("path,label", |_, row| row.to_owned());
    let name = image(data.path());
    for (text, code, parts) in [
        ("path,label\nscans/gone.png,a\n".to_owned(), 1, &["line 2: `scans/gone.png` does not exist"][..]),
        (format!("path,lable\nscans/{name},a\n"), 1, &["line 1", "`lable`; did you mean `label`"]),
        (format!("scans/{name},a\n"), 1, &["line 1", "the first line is not a header"]),
        (format!("path,label\nscans/{name},a\n./scans/{name},b\n"), 1, &["line 3", "is on line 2 already"]),
        (format!("path,label\n../scans/{name},a\n"), 1, &["line 2", "without `..`"]),
        (
            format!("path,label\n\"scans/{name}\n\",a\n\"a\nb.png\",a\n"),
            1,
            &["line 4", "contains a line break"],
        ),
        (format!("path,label,split\nscans/{name},a,holdout\n"), 1, &["line 2: the split `holdout`"]),
        (format!("path,label\nscans/{name},\n"), 1, &["line 2: the label is empty"]),
        (String::new(), 1, &["line 1"]),
    ] {
        fs::write(data.path().join("labels.csv"), &text).unwrap();
        fails(split(data.path().join("labels.csv"), &[]), code, &[&["labels.csv"], parts].concat());
        assert_eq!(names(data.path()), super::set(&["labels.csv", "scans"]), "{text}");
    }
    fs::write(data.path().join("labels.csv"), b"path,label\n\xff.png,a\n").unwrap();
    fails(split(data.path().join("labels.csv"), &[]), 1, &["line 2: is not valid UTF-8"]);
    fails(split(data.path().join("none.csv"), &[]), 1, &["none.csv", "No such file"]);
}

#[test]
fn a_tree_is_made_of_a_csv_only_if_it_can_be_read_back() {
    let data = labelled("path,label", |_, row| row.to_owned());
    let csv = data.path().join("labels.csv");
    let first = read(&csv).lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    let tree = ["--layout", "folders"];
    for (renamed, label, parts) in [
        ("scans/strange.dat", "digit 0", ["scans/strange.dat", "does not end as the name of an image"]),
        ("scans/.hidden.png", "digit 0", ["scans/.hidden.png", "hidden name"]),
        ("scans/seen.png", "splits", ["`splits`", "reserved or hidden"]),
    ] {
        fs::copy(data.path().join(&first), data.path().join(renamed)).unwrap();
        let more = data.path().join("more.csv");
        fs::write(&more, format!("{}{renamed},{label}\n{renamed}.png,{label}\n", read(&csv))).unwrap();
        fs::copy(data.path().join(&first), data.path().join(format!("{renamed}.png"))).unwrap();
        fails(
            split(&more, &[&tree[..], &["--duplicates", "ignore"]].concat()),
            2,
            &[&parts[..], &["--layout index"]].concat(),
        );
    }
    let output = ok(split(&csv, &[&tree[..], &["--json"]].concat()));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    ok(train(data.path(), &["--dry_run", "--data_dir", json["data_dir"].as_str().unwrap()]));
}
