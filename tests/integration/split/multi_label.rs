//! `ml-split --task multi_label`: CSVs in both forms, links, folds, what is refused, and the check.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::split;
use crate::support::{fails, ok, read, small_digits, start};

/// 60 digits, 0 to 5, with a CSV of their labels in one column and one in a column a class: `odd`,
/// `big` (above 2), and `five`, which is never without the two.
fn data() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    small_digits(&data.path().join("images"), &[10; 6]);
    let mut list = "path,labels\n".to_owned();
    let mut columns = "path,odd,big,five\n".to_owned();
    for digit in 0..6 {
        let folder = data.path().join(format!("images/{digit}"));
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for name in names {
            let bits = [digit % 2 == 1, digit > 2, digit == 5];
            let labels = bits.iter().zip(["odd", "big", "five"]).filter(|(bit, _)| **bit);
            let labels: Vec<&str> = labels.map(|(_, label)| label).collect();
            list += &format!("images/{digit}/{name},{}\n", labels.join("|"));
            let [odd, big, five] = bits.map(u8::from);
            columns += &format!("images/{digit}/{name},{odd},{big},{five}\n");
        }
    }
    fs::write(data.path().join("list.csv"), list).unwrap();
    fs::write(data.path().join("columns.csv"), columns).unwrap();
    data
}

fn split_sets(image_dir: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = split(image_dir, &["--task", "multi_label"]);
    command.args(args);
    command
}

/// Labels of each image of the index files.
fn labels(data: &Path, names: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for name in names {
        for line in read(data.join(format!("splits/{name}.txt"))).lines() {
            let mut fields = line.split('\t').map(str::to_owned);
            assert!(
                all.insert(fields.next().unwrap(), fields.collect()).is_none(),
                "{line} is in two splits"
            );
        }
    }
    all
}

#[test]
fn both_forms_of_a_csv_give_the_same_splits() {
    let data = data();
    let output = ok(split_sets(data.path().join("list.csv"), &["--ratio", "0.6", "0.2", "0.2"]));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("70 labels on 60 images, 1.17 each; 20 without a label"), "{table}");
    let names = ["train", "val", "test"];
    let index = || names.map(|name| read(data.path().join(format!("splits/{name}.txt"))));
    let first = index();
    let all = labels(data.path(), &names);
    assert_eq!(all.len(), 60);
    for (path, labels) in &all {
        let digit: u8 = path.split('/').nth(1).unwrap().parse().unwrap();
        let expected: Vec<&str> = [("big", digit > 2), ("five", digit == 5), ("odd", digit % 2 == 1)]
            .into_iter()
            .filter_map(|(label, is)| is.then_some(label))
            .collect();
        assert_eq!(*labels, expected, "{path}");
    }
    ok(split_sets(data.path().join("columns.csv"), &["--ratio", "0.6", "0.2", "0.2", "--force"]));
    assert_eq!(index(), first);
    let manifest = read(data.path().join("splits/manifest.yaml"));
    assert!(manifest.contains("task: multi_label") && manifest.contains("format_version: 5"), "{manifest}");
    ok(split_sets(
        data.path().join("columns.csv"),
        &["--ratio", "0.6", "0.2", "0.2", "--force", "--seed", "1"],
    ));
    assert_ne!(index(), first);
}

#[test]
fn each_split_has_its_share_of_each_label() {
    let data = data();
    let json =
        ok(split_sets(data.path().join("list.csv"), &["--ratio", "0.6", "0.2", "0.2", "--json"])).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["task"], "multi_label");
    assert_eq!((&json["labels"]["total"], &json["labels"]["without"]), (&Value::from(70), &Value::from(20)));
    for (split, share) in json["splits"].as_array().unwrap().iter().zip([0.6, 0.2, 0.2]) {
        for (label, of) in [("odd", 30.0), ("big", 30.0), ("five", 10.0)] {
            let count = split["counts"][label].as_f64().unwrap();
            assert!((count - share * of).abs() <= 1.0, "{label}: {count} in {}", split["name"]);
        }
    }
    let folds = tempfile::tempdir().unwrap();
    let output = folds.path().to_str().unwrap();
    ok(split_sets(data.path().join("list.csv"), &["--folds", "3", "--test_ratio", "0", "--output", output]));
    assert_eq!(labels(folds.path(), &["fold_0_val", "fold_1_val", "fold_2_val"]).len(), 60);
}

#[test]
fn links_in_several_class_folders_are_one_image() {
    let data = tempfile::tempdir().unwrap();
    let raw = data.path().join("raw");
    small_digits(&raw, &[10, 10]);
    fs::create_dir(raw.join("both")).unwrap();
    for digit in ["0", "1"] {
        for (number, entry) in fs::read_dir(raw.join(digit)).unwrap().take(5).enumerate() {
            let name = entry.unwrap().file_name();
            let target = Path::new("..").join(digit).join(name);
            symlink(target, raw.join(format!("both/{digit}_{number}.png"))).unwrap();
        }
    }
    ok(split_sets(data.path(), &[]));
    let all = labels(data.path(), &["train", "val", "test"]);
    assert_eq!(all.len(), 20);
    assert_eq!(all.values().filter(|labels| labels.contains(&"both".to_owned())).count(), 10);
    assert!(all.keys().all(|path| path.starts_with("raw/0/") || path.starts_with("raw/1/")));
}

#[test]
fn the_check_reports_labels() {
    let data = data();
    ok(split_sets(data.path().join("list.csv"), &["--ratio", "0.6", "0.2", "0.2"]));
    let check = || {
        let mut command = start(env!("CARGO_BIN_EXE_ml-split"));
        command.arg("check").arg(data.path()).args(["--no_report", "--json"]);
        let report: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        report
    };
    let of = |report: &Value, kind: &str| -> Vec<Value> {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().filter(|finding| finding["kind"] == kind).cloned().collect()
    };
    let report = check();
    let cardinality = of(&report, "label_cardinality");
    assert!(
        cardinality[0]["message"].as_str().unwrap().starts_with("1.167 labels an image on average, 0 to 3")
    );
    assert_eq!(of(&report, "no_labels").len(), 20);
    assert!(of(&report, "labels_together").is_empty() && of(&report, "broken_splits").is_empty(), "{report}");
    assert_eq!(report["classes"].as_array().unwrap().len(), 3);
    // `five` and `big` together only, and a class that no image has.
    let manifest = data.path().join("splits/manifest.yaml");
    fs::write(&manifest, read(&manifest).replace("- odd\n", "- odd\n- rare\n")).unwrap();
    for name in ["train", "val", "test"] {
        let path = data.path().join(format!("splits/{name}.txt"));
        let text = read(&path);
        let lines = text
            .lines()
            .map(|line| if line.contains("five") { line } else { line.split('\t').next().unwrap() });
        fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    let report = check();
    assert_eq!(of(&report, "labels_together").len(), 3, "{report}");
    assert!(of(&report, "empty_class").iter().any(|finding| finding["class"] == "rare"), "{report}");
}

#[test]
fn what_cannot_be_is_refused() {
    let data = data();
    let list = data.path().join("list.csv");
    fails(split(&list, &["--label_columns", "odd"]), 2, &["--label_columns goes with --task multi_label"]);
    fails(split(&list, &["--label_separator", ";"]), 2, &["--label_separator goes with --task multi_label"]);
    fails(split_sets(&list, &["--layout", "folders"]), 2, &["a tree of folders has one class an image"]);
    let images = data.path().join("images");
    fails(split_sets(&images, &["--label_separator", ";"]), 2, &["--label_separator goes with a CSV"]);
    fails(split_sets(&images, &["--check"]), 2, &["--check takes one label an image"]);
    let text = read(&list);
    fs::write(&list, text.replace('|', ";")).unwrap();
    fails(split_sets(&list, &[]), 1, &["would be one label", "--label_separator ';'"]);
    ok(split_sets(&list, &["--label_separator", ";", "--dry_run"]));
    let first = text.lines().nth(1).unwrap();
    fs::write(&list, format!("{text}{}odd\n", first.split_once(',').unwrap().0.to_owned() + ",")).unwrap();
    fails(
        split_sets(&list, &[]),
        1,
        &["line 62", "is on line 2 already", "all labels of an image on one line"],
    );
    let columns = data.path().join("columns.csv");
    fs::write(&columns, read(&columns).replacen(",1,0,0\n", ",2,0,0\n", 1)).unwrap();
    let named = ["--label_columns", "odd,big,five"];
    fails(split_sets(&columns, &named), 1, &["the column `odd` has `2`", "holds 0 and 1"]);
}

#[test]
fn a_training_refuses_several_labels() {
    let data = data();
    ok(split_sets(data.path().join("list.csv"), &[]));
    let path = data.path().to_str().unwrap();
    fails(
        crate::support::train(data.path(), &["--data_dir", path]),
        2,
        &["several labels (task: multi_label)"],
    );
}
