//! `ml-split check` together with dividing: what it leaves alone, labels from a CSV, what looks
//! alike.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{check, findings, lines, message, put, report};
use crate::support::{ok, small_digits, start};

fn split(dir: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-split"));
    command.arg(dir.as_ref()).args(args);
    command
}

#[test]
fn reports_are_neither_strangers_in_a_tree_nor_files_left_out() {
    let place = tempfile::tempdir().unwrap();
    let (data, tree) = (place.path().join("digits"), place.path().join("digits_split"));
    // Class folders without `raw`: the report lies beside them.
    small_digits(&data, &[30, 30]);
    let advised = String::from_utf8(ok(check(&data, &[])).stdout).unwrap();
    assert!(advised.contains(&format!("next:    ml-split {} --check (", data.display())), "{advised}");
    fs::write(data.join("notes.txt"), "notes").unwrap();
    let told = |command: Command| String::from_utf8(ok(command).stderr).unwrap();
    let first = told(split(&data, &["--layout", "folders"]));
    assert!(first.contains("1 .txt") && !first.contains(".json") && !first.contains(".html"), "{first}");
    assert_eq!(report(check(&tree, &[]))["form"], "image_folder");
    assert!(tree.join("dataset_report.html").exists());
    ok(split(&data, &["--layout", "folders", "--seed", "5", "--force"]));
    assert!(
        tree.join("train").exists() && !tree.join("dataset_report.html").exists(),
        "it was of the old tree"
    );
    // Another file is a stranger still.
    fs::write(tree.join("mine.html"), "").unwrap();
    let refused = split(&data, &["--layout", "folders", "--force"]).output().unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("mine.html"));
}

#[test]
fn with_labels_from_a_csv_classes_and_images_are_those_of_the_lines() {
    let data = tempfile::tempdir().unwrap();
    let scans = data.path().join("scans");
    small_digits(&scans, &[24, 24]);
    put("image.png", scans.join("0/unlisted.png"));
    put("rgb.jpg", scans.join("1/strange.dat"));
    let mut csv = "path,label\nscans/1/strange.dat,odd\n".to_owned();
    for folder in ["0", "1"] {
        for entry in fs::read_dir(scans.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // The folders' names say the contrary.
            let label = if folder == "0" { "digit one" } else { "digit zero" };
            if !["unlisted.png", "strange.dat"].contains(&name.as_str()) {
                csv += &format!("scans/{folder}/{name},{label}\n");
            }
        }
    }
    fs::write(data.path().join("labels.csv"), csv).unwrap();
    ok(split(data.path().join("labels.csv"), &[]));
    let sound = report(check(data.path(), &["--no_report"]));
    let names: Vec<_> = sound["classes"].as_array().unwrap().iter().map(|class| &class["name"]).collect();
    assert_eq!(names, ["digit one", "digit zero", "odd"]);
    assert_eq!((&sound["pictures"], &sound["usable"]), (&49.into(), &49.into()));
    assert_eq!(sound["splits"], serde_json::json!(["train", "val", "test"]));
    assert_eq!(sound["counts"]["error"], 0, "{sound:#}");
    let wrong_ones = ["missing ", "broken_splits ", "not_in_split ", "no_class ", "bad_name "];
    assert!(findings(&sound).iter().all(|line| !wrong_ones.iter().any(|kind| line.starts_with(kind))));

    // A copy under another label and in another split, an image gone, lines that contradict each
    // other or say nothing.
    let [train, val] = ["train.txt", "val.txt"].map(|name| lines(data.path(), name));
    let of = |lines: &[String], label: &str| {
        let line = lines.iter().find(|line| line.ends_with(label)).unwrap();
        line.split('\t').next().unwrap().to_owned()
    };
    let (one, zero) = (of(&train, "digit one"), of(&val, "digit zero"));
    fs::copy(data.path().join(&one), data.path().join(&zero)).unwrap();
    let gone = of(&val, "digit one");
    fs::remove_file(data.path().join(&gone)).unwrap();
    let more = format!("{}\n{one}\tdigit zero\nno class here\n../out.png\todd\n", val.join("\n"));
    fs::write(data.path().join("splits/val.txt"), more).unwrap();
    let found = report(check(data.path(), &["--no_report"]));
    let all = findings(&found);
    let pair = BTreeSet::from([one.as_str(), zero.as_str()]).into_iter().collect::<Vec<_>>().join(" = ");
    for expected in [
        format!("duplicate_across_splits {pair}"),
        format!("duplicate_across_classes {pair}"),
        format!("missing {gone}"),
        format!("listed_twice {one}"),
    ] {
        assert!(all.contains(&expected), "{expected} is not in {all:#?}");
    }
    let broken: Vec<_> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["kind"] == "broken_splits")
        .map(|finding| finding["message"].as_str().unwrap())
        .collect();
    for part in ["the class `digit zero`, and another line `digit one`", "<path><tab><class>", "`../out.png`"]
    {
        assert!(broken.iter().any(|message| message.contains(part)), "{part} is not in {broken:#?}");
    }
    assert!(message(&found, "missing", &gone).contains("splits/val.txt line"));
}

#[test]
fn what_looks_alike_is_divided_together_if_it_was_checked_first() {
    let data = tempfile::tempdir().unwrap();
    let raw = data.path().join("raw");
    small_digits(&raw, &[12, 12]);
    // One image re-encoded in its class, and one with the same pixels in another.
    put("rgb.png", raw.join("0/original.png"));
    put("rgb.jpg", raw.join("0/reencoded.jpg"));
    put("rgb.qoi", raw.join("1/same_pixels.qoi"));
    let places = |seed: &str, flags: &[&str]| -> BTreeSet<&str> {
        ok(split(&raw, &[flags, &["--force", "--seed", seed, "--ratio", "0.4", "0.3", "0.3"]].concat()));
        let alike = ["original.png", "reencoded.jpg", "same_pixels.qoi"];
        let holds = |file: &&str| {
            lines(data.path(), file).iter().any(|line| alike.iter().any(|name| line.ends_with(name)))
        };
        ["train.txt", "val.txt", "test.txt"].into_iter().filter(holds).collect()
    };
    let seeds = ["1", "2", "3", "4", "5", "6"];
    for seed in seeds {
        assert_eq!(places(seed, &["--check", "--no_report"]).len(), 1, "seed {seed}");
    }
    assert!(seeds.iter().any(|seed| places(seed, &[]).len() > 1), "nobody looked");
}

#[test]
fn an_image_that_is_gone_is_told_once_however_many_folds_list_it() {
    let data = tempfile::tempdir().unwrap();
    small_digits(&data.path().join("raw"), &[12, 12]);
    ok(split(data.path(), &["--folds", "3"]));
    let gone = lines(data.path(), "fold_0_val.txt").remove(0);
    fs::remove_file(data.path().join(&gone)).unwrap();
    let found = report(check(data.path(), &["--no_report"]));
    let told: Vec<_> = findings(&found).into_iter().filter(|line| line.starts_with("missing ")).collect();
    assert_eq!(told, [format!("missing {gone}")]);
    // A path that opening the folder refuses is no image here either.
    let index = data.path().join("splits/fold_0_val.txt");
    let text = fs::read_to_string(&index).unwrap();
    let image = lines(data.path(), "fold_0_val.txt").remove(1);
    fs::write(&index, text.replace(&image, &image.replacen('/', "//", 1))).unwrap();
    let found = report(check(data.path(), &["--no_report"]));
    assert!(findings(&found).iter().any(|line| line.starts_with("broken_splits ")), "{found:#}");
}
