//! `ml-split` on the digits: exact counts, folds, manifest, places, layouts.

mod groups;
mod multi_label;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{fails, ok, read, small_digits, start, train, workspace};

fn split(image_dir: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-split"));
    command.arg(image_dir.as_ref()).args(args);
    command
}

/// A folder with all of the digits in `raw`.
fn all_digits() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    symlink(workspace().join("tests/data/digits/raw"), data.path().join("raw")).unwrap();
    data
}

fn some_digits(counts: &[usize]) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    small_digits(&data.path().join("raw"), counts);
    data
}

/// How far apart the largest and the smallest are.
fn spread(counts: &[usize]) -> usize {
    counts.iter().max().unwrap() - counts.iter().min().unwrap()
}

/// The images of an index file, each once, in order.
fn index(data: &Path, name: &str) -> Vec<String> {
    let lines: Vec<String> =
        read(data.join("splits").join(name).with_extension("txt")).lines().map(str::to_owned).collect();
    assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "{name} is sorted");
    lines
}

/// Paths of the images in a folder, relative to its parent, in order.
fn images(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for class in names(folder) {
        let path = |name: String| format!("{}/{class}/{name}", folder.file_name().unwrap().display());
        found.extend(names(&folder.join(&class)).into_iter().map(path));
    }
    found.sort();
    found
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What lies in a folder, hidden or not.
fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// By class, the images of `raw` in each of the splits.
fn counts(data: &Path, splits: &[&str]) -> BTreeMap<String, Vec<usize>> {
    let mut counts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, name) in splits.iter().enumerate() {
        for line in index(data, name) {
            let class = line.strip_prefix("raw/").unwrap().split('/').next().unwrap().to_owned();
            counts.entry(class).or_insert_with(|| vec![0; splits.len()])[place] += 1;
        }
    }
    counts
}

/// `n` by shares in per mille: quotas rounded down, and the largest remainders up, the first of
/// equal ones.
fn largest_remainder(n: usize, shares: &[usize]) -> Vec<usize> {
    let mut counts: Vec<usize> = shares.iter().map(|share| n * share / 1000).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse(n * shares[*place] % 1000));
    let missing = n - counts.iter().sum::<usize>();
    order.into_iter().take(missing).for_each(|place| counts[place] += 1);
    counts
}

fn sha256(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    let mut command = Command::new("sha256sum");
    command.arg(file.path());
    String::from_utf8(ok(command).stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// The names of class folders are anybody's.
#[test]
fn names_reach_the_terminal_harmless_and_columns_are_aligned_by_what_it_shows() {
    let data = some_digits(&[10, 10, 10]);
    let raw = data.path().join("raw");
    for (digit, name) in [("0", "\u{1b}[31mred"), ("1", "\u{732b}\u{732b}"), ("2", "a\u{202e}gnp")] {
        fs::rename(raw.join(digit), raw.join(name)).unwrap();
    }
    fs::write(raw.join("\u{1b}[31mred/bad.png"), "").unwrap();
    let is_harmless = |text: &str| !text.contains(['\u{1b}', '\u{202e}']);
    let output = ok(split(data.path(), &[]));
    let (table, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(is_harmless(&table) && is_harmless(&said), "{table}{said}");
    assert!(table.contains("\\u{1b}[31mred") && said.contains("0 bytes"), "{table}{said}");
    // Each of the two wide characters takes two columns.
    let end = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().chars().count();
    assert_eq!(end("\u{732b}\u{732b}") + 2, end("total"), "{table}");
    let mut check = start(env!("CARGO_BIN_EXE_ml-split"));
    check.arg("check").arg(data.path());
    let output = check.output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(is_harmless(&table) && table.contains("\u{732b}\u{732b}"), "{table}");
    assert!(is_harmless(&String::from_utf8(output.stderr).unwrap()));
    // A path in an error.
    let missing = data.path().join("no\u{1b}[2J\nsuch");
    let error = split(&missing, &[]).output().unwrap().stderr;
    let error = String::from_utf8(error).unwrap();
    assert!(is_harmless(&error) && error.contains("no\\u{1b}[2J\\nsuch"), "{error}");
}

#[test]
fn counts_are_those_of_the_largest_remainder_and_no_image_is_lost_or_doubled() {
    let data = all_digits();
    for (ratio, shares) in [
        (&[][..], &[700, 150, 150][..]),
        (&["--ratio", "0.8", "0.1", "0.1"], &[800, 100, 100]),
        (&["--ratio=33.3,33.3,33.4"], &[333, 333, 334]),
        (&["--ratio", "0.625", "0.375"], &[625, 375]),
    ] {
        ok(split(data.path(), &[ratio, &["--force"]].concat()));
        let splits = &["train", "val", "test"][..shares.len()];
        let mut lines: Vec<String> = splits.iter().flat_map(|name| index(data.path(), name)).collect();
        lines.sort();
        assert_eq!(lines, images(&data.path().join("raw")));
        let totals: Vec<usize> = splits.iter().map(|name| index(data.path(), name).len()).collect();
        assert_eq!(totals, largest_remainder(1797, shares));
        // A class may give way to the totals, but never by a whole image.
        for (class, counts) in counts(data.path(), splits) {
            let n: usize = counts.iter().sum();
            for (count, share) in counts.iter().zip(shares) {
                assert!((count * 1000).abs_diff(n * share) < 1000, "class {class}: {counts:?}");
            }
        }
    }
    // With one class, its counts are the totals; a split gets at least one image.
    for (n, expected) in [(3, [1, 1, 1]), (5, [3, 1, 1]), (23, [16, 4, 3]), (40, [28, 6, 6])] {
        let data = some_digits(&[n]);
        ok(split(data.path(), &[]));
        assert_eq!(counts(data.path(), &["train", "val", "test"])["0"], expected);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_another_split() {
    for division in [&["--ratio", "0.6", "0.2", "0.2"][..], &["--folds", "3"]] {
        let [one, same, other] = [(); 3].map(|()| some_digits(&[20, 30, 25]));
        for (data, seed) in [(&one, "7"), (&same, "7"), (&other, "8")] {
            ok(split(data.path(), &[division, &["--seed", seed]].concat()));
        }
        let files = names(&one.path().join("splits"));
        assert_eq!(files, names(&other.path().join("splits")));
        for file in files {
            let [one, same, other] =
                [&one, &same, &other].map(|data| read(data.path().join("splits").join(&file)));
            assert_eq!(one, same, "{file}");
            // What the images are does not depend on how they are divided.
            assert_eq!(one == other, file == "pictures.csv", "{file}");
            assert_eq!(one.lines().count(), other.lines().count(), "{file}");
        }
    }
}

#[test]
fn folds_partition_the_images_and_share_one_test_set() {
    let data = all_digits();
    ok(split(data.path(), &["--folds", "4", "--test_ratio", "0.2"]));
    let test = index(data.path(), "test");
    let fold_set = |name: String| index(data.path(), &name).into_iter().collect::<BTreeSet<String>>();
    let validated: Vec<BTreeSet<String>> = (0..4).map(|fold| fold_set(format!("fold_{fold}_val"))).collect();
    let mut all: Vec<String> = test.iter().chain(validated.iter().flatten()).cloned().collect();
    all.sort();
    assert_eq!(all, images(&data.path().join("raw")));
    assert_eq!(test.len(), largest_remainder(1797, &[800, 200])[1]);
    assert!(spread(&validated.iter().map(BTreeSet::len).collect::<Vec<_>>()) <= 1);
    let per_class = counts(data.path(), &["fold_0_val", "fold_1_val", "fold_2_val", "fold_3_val"]);
    assert!(per_class.values().all(|counts| spread(counts) <= 1), "{per_class:?}");
    for fold in 0..4 {
        let others = (0..4).filter(|other| *other != fold).flat_map(|other| validated[other].iter().cloned());
        assert_eq!(fold_set(format!("fold_{fold}_train")), others.collect());
    }
    let numbered = (0..4).flat_map(|fold| ["train", "val"].map(|side| format!("fold_{fold}_{side}.txt")));
    let expected = numbered.chain(set(&["test.txt", "manifest.yaml", "pictures.csv"])).collect();
    assert_eq!(names(&data.path().join("splits")), expected);
}

#[test]
fn the_manifest_says_what_was_divided_and_how() {
    let data = some_digits(&[12, 30, 17]);
    ok(split(data.path(), &["--seed", "9", "--ratio", "70", "20", "10"]));
    let manifest: serde_yaml::Value =
        serde_yaml::from_str(&read(data.path().join("splits/manifest.yaml"))).unwrap();
    assert!(manifest["seed"] == 9 && manifest["total"] == 59, "{manifest:?}");
    let method = &manifest["method"];
    assert!(method["train"] == 0.7 && method["val"] == 0.2 && method["test"] == 0.1, "{method:?}");
    assert_eq!(*manifest["classes"].as_sequence().unwrap(), ["0", "1", "2"]);
    let counts = counts(data.path(), &["train", "val", "test"]);
    for (place, name) in ["train", "val", "test"].into_iter().enumerate() {
        let entry = &manifest["splits"][place];
        assert_eq!(entry["name"], name);
        for (class, counts) in &counts {
            assert_eq!(entry["counts"][class.as_str()], counts[place]);
        }
        let lines = read(data.path().join(format!("splits/{name}.txt")));
        assert_eq!(entry["index_sha256"], sha256(&lines));
        let sized = |line: &str| format!("{} {line}\n", data.path().join(line).metadata().unwrap().len());
        assert_eq!(entry["pictures_sha256"], sha256(&lines.lines().map(sized).collect::<String>()));
    }
}

#[test]
fn a_class_with_too_few_images_is_warned_about_or_refused() {
    let data = some_digits(&[12, 2, 1]);
    let output = ok(split(data.path(), &[]));
    let told = String::from_utf8_lossy(&output.stderr);
    for (class, lacks) in [("`1` has 2", "none in test"), ("`2` has 1", "none in val, test")] {
        let line = told.lines().find(|line| line.contains(class)).unwrap_or_default();
        assert!(line.contains("WARNING") && line.contains(lacks), "{told}");
    }
    let counts = counts(data.path(), &["train", "val", "test"]);
    assert_eq!((&counts["1"], &counts["2"]), (&vec![1, 1, 0], &vec![1, 0, 0]));
    // The splits that lack a class keep the numbering: the run reports all three.
    ok(train(data.path(), &["--data_dir", ".", "--num_epochs", "1"]));
    let report = read(data.path().join("runs/epochs_1/report/classification_report_test.json"));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["classes"][2]["class"], &report["classes"][2]["support"]), (&"2".into(), &0.into()));

    fails(
        split(data.path().join("raw"), &["--folds", "3", "--force"]),
        1,
        &["class `2` has 1 image(s)", "ratios instead"],
    );
    assert!(data.path().join("splits/train.txt").exists(), "what was there stays");
    let data = some_digits(&[1]);
    fails(split(data.path(), &[]), 1, &["1 images are too few", "val split", "add images"]);
}

#[test]
fn splits_lie_beside_raw_or_in_the_folder_of_classes_or_where_output_says() {
    let data = some_digits(&[10, 10]);
    let classes = tempfile::tempdir().unwrap();
    small_digits(classes.path(), &[10, 10]);
    let output = data.path().join("new/place");
    for (image_dir, args, data_dir, line) in [
        (data.path().join("raw"), vec![], data.path(), "raw/0/"),
        (data.path().to_owned(), vec!["--force", "--seed=1"], data.path(), "raw/0/"),
        (classes.path().to_owned(), vec![], classes.path(), "0/"),
        (data.path().join("raw"), vec!["--output", output.to_str().unwrap()], &output, "raw/0/"),
    ] {
        let json = ok(split(&image_dir, &[&args[..], &["--json"]].concat())).stdout;
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&json["status"], &json["data_dir"]), (&"written".into(), &data_dir.to_str().into()));
        assert!(index(data_dir, "train")[0].starts_with(line));
        // Once more, and `splits` is no class.
        let again = ok(split(&image_dir, &args)).stdout;
        assert!(String::from_utf8_lossy(&again).contains("unchanged"));
        ok(train(data.path(), &["--dry_run", "--data_dir", data_dir.to_str().unwrap()]));
    }
    assert_eq!(names(&output), set(&["splits"]));
    assert_eq!(names(classes.path()), set(&["0", "1", "splits"]));
    ok(split(data.path().join("raw"), &["--folds", "2", "--force"]));
    ok(train(data.path(), &["--dry_run", "--data_dir", ".", "--fold", "1"]));
}

#[test]
fn a_tree_of_folders_holds_the_images_as_hard_links_symbolic_links_or_copies() {
    for (args, linked) in [
        (&[][..], "hardlink"),
        (&["--link", "hardlink"], "hardlink"),
        (&["--link", "symlink"], "symlink"),
        (&["--link", "copy"], "copy"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let (data, tree) = (place.path().join("digits"), place.path().join("digits_split"));
        small_digits(&data.join("raw"), &[10, 12]);
        ok(split(&data, &[]));
        ok(split(&data, &[args, &["--layout", "folders"]].concat()));
        assert_eq!(names(&tree), set(&["train", "val", "test", "manifest.yaml"]));
        for name in ["train", "val", "test"] {
            let lines = index(&data, name);
            let expected: Vec<String> = lines.iter().map(|line| line.replacen("raw", name, 1)).collect();
            assert_eq!(images(&tree.join(name)), expected);
            for (line, link) in lines.iter().zip(expected) {
                let (image, link) = (data.join(line), tree.join(link));
                assert_eq!(fs::read(&image).unwrap(), fs::read(&link).unwrap());
                let own = fs::symlink_metadata(&link).unwrap();
                let is_same = own.ino() == fs::metadata(&image).unwrap().ino();
                assert_eq!((own.is_symlink(), is_same), (linked == "symlink", linked == "hardlink"));
                let is_link_to = link.canonicalize().unwrap() == image.canonicalize().unwrap();
                assert_eq!(is_link_to, linked == "symlink");
            }
        }
        ok(train(place.path(), &["--dry_run", "--data_dir", "digits_split"]));
    }
}

#[test]
fn libtorch_is_not_loaded() {
    // The dynamic loader's own account of every object that it opens.
    let loaded = |program: &str| {
        let mut command = start(program);
        command.arg("--version").env("LD_DEBUG", "files");
        String::from_utf8_lossy(&ok(command).stderr).into_owned()
    };
    let ours = loaded(env!("CARGO_BIN_EXE_ml-split"));
    assert!(ours.contains("libc.so") && !ours.contains("libtorch") && !ours.contains("libc10"), "{ours}");
    assert!(loaded(env!("CARGO_BIN_EXE_ml-inference")).contains("libtorch"), "the account shows libtorch");
}
