use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::dataset::{CACHE_FOLDER, CsvOptions, OpenOptions};
use crate::dataset::{DEFAULT_RATIO, DEFAULT_TEST_RATIO, Division, Grouping, Ratio, Source};

const ALL: Checks = Checks { tolerate_missing: false, changes: true, leaks: true, remember: true };

fn write(root: &Path, file: &str, content: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// 20 images of two classes, two a patient, all different.
fn raw() -> TempDir {
    let data = TempDir::new().unwrap();
    for i in 0..20 {
        write(data.path(), &format!("raw/{}/p{}_{i:02}.png", ["a", "b"][i % 2], i / 2), &format!("{i:08}"));
    }
    data
}

fn split(data: &Path, force: bool) {
    let mut source = Source::open(data).unwrap();
    source.group_by(&Grouping::parse(r"p\d+").unwrap()).unwrap();
    source.keep_duplicates_together(|| false).unwrap();
    // Younger than the images by more than a tick of the file system's clock.
    std::thread::sleep(Duration::from_millis(20));
    let division = Division::Ratio(Ratio::new(&[0.6, 0.2, 0.2]).unwrap());
    source.plan(&division, 1).unwrap().write_index(None, force).unwrap();
}

fn audit(data: &Path) -> Audit {
    Dataset::open(data, &OpenOptions::default()).unwrap().audit(ALL, || false).unwrap()
}

fn image(data: &Path, split: Split) -> String {
    let data = Dataset::open(data, &OpenOptions::default()).unwrap();
    data.index(split).unwrap().samples[0].path.to_str().unwrap().to_owned()
}

#[test]
fn what_ml_split_made_is_fine_and_not_read_again() {
    let data = raw();
    split(data.path(), false);
    assert_eq!(audit(data.path()), Audit::default());
    assert!(!data.path().join(CACHE_FOLDER).exists());
}

#[test]
fn changed_images_are_counted_and_named() {
    let data = raw();
    split(data.path(), false);
    let [first, second] = [Split::Train, Split::Val].map(|split| image(data.path(), split));
    write(data.path(), &first, "longer than before");
    write(data.path(), "raw/b/new.png", "new");
    write(data.path(), "raw/c/new.png", "newer");
    let changes = audit(data.path()).changes.unwrap();
    assert_eq!(changes.resized, (1, vec![first.clone()]));
    assert_eq!(changes.added, (2, vec!["raw/b/new.png".to_owned(), "raw/c/new.png".to_owned()]));
    let message = changes.to_string();
    assert!(message.contains("1 image(s) have another size (") && message.contains("2 image(s) are new"));
    assert!(
        // As it was split: without the flags, groups would be torn apart.
        message.ends_with(&format!(
            "`ml-split {} --force --ratio 0.6 0.2 0.2 --seed 1 --group_by 'p\\d+'`",
            data.path().join("raw").display()
        )),
        "{message}"
    );
    split(data.path(), true);
    assert_eq!(audit(data.path()).changes, None);

    fs::remove_file(data.path().join(&second)).unwrap();
    let error = Dataset::open(data.path(), &OpenOptions::default())
        .unwrap()
        .audit(ALL, || false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1 image(s) of the data set cannot be found") && error.contains(&second),
        "{error}"
    );
    let tolerant = Checks { tolerate_missing: true, ..ALL };
    let found =
        Dataset::open(data.path(), &OpenOptions::default()).unwrap().audit(tolerant, || false).unwrap();
    let missing = found.missing.unwrap();
    assert_eq!((missing.counts, missing.first), (vec![(Split::Val, 1)], vec![second]));
    assert_eq!((found.changes, found.leaks), (None, None), "it is reported once");
    // What is new is still reported, though the number of images is right again.
    write(data.path(), "raw/b/newer.png", "newer still");
    let found =
        Dataset::open(data.path(), &OpenOptions::default()).unwrap().audit(tolerant, || false).unwrap();
    assert_eq!(found.changes.unwrap().added, (1, vec!["raw/b/newer.png".to_owned()]));
}

#[test]
fn without_images_csv_a_change_is_noticed_all_the_same() {
    let data = raw();
    split(data.path(), false);
    fs::remove_file(data.path().join("splits/pictures.csv")).unwrap();
    assert_eq!(audit(data.path()).changes, None);
    write(data.path(), &image(data.path(), Split::Val), "longer than before");
    assert!(audit(data.path()).changes.unwrap().to_string().contains("names or sizes are not those"));
}

#[test]
fn a_changed_csv_of_labels_tells_what_changed_in_it() {
    let data = TempDir::new().unwrap();
    let lines: Vec<_> = (0..12).map(|i| format!("{i:02}.png,{}", ["cat", "dog"][i % 2])).collect();
    (0..13).for_each(|i| write(data.path(), &format!("{i:02}.png"), &format!("{i:08}")));
    let csv = data.path().join("labels.csv");
    let text = format!("path,label\n{}\n", lines.join("\n"));
    fs::write(&csv, &text).unwrap();
    let division = Division::Ratio(Ratio::new(&[0.5, 0.5]).unwrap());
    Source::open_csv(&csv, &CsvOptions::default())
        .unwrap()
        .plan(&division, 0)
        .unwrap()
        .write_index(None, false)
        .unwrap();
    assert_eq!(audit(data.path()), Audit::default());
    fs::write(&csv, text.replace("03.png,dog", "03.png,cat").replace("05.png,dog\n", "12.png,dog\n"))
        .unwrap();
    let changes = audit(data.path()).changes.unwrap();
    let one = |name: &str| (1, vec![name.to_owned()]);
    assert_eq!(
        (changes.relabelled, changes.removed, changes.added),
        (one("03.png"), one("05.png"), one("12.png"))
    );
    fs::write(&csv, text + "\n").unwrap();
    assert!(audit(data.path()).changes.unwrap().to_string().contains("its labels are the same"));
    fs::write(&csv, "nonsense").unwrap();
    assert!(audit(data.path()).changes.unwrap().to_string().contains("no column is clearly the path"));
    fs::remove_file(&csv).unwrap();
    assert!(audit(data.path()).changes.unwrap().to_string().contains("labels.csv: No such file"));
}

#[test]
fn the_same_content_in_two_splits_of_a_tree_is_a_leak_and_remembered() {
    let data = TempDir::new().unwrap();
    for (file, content) in [("train/a/1.png", "one"), ("train/a/2.png", "two"), ("val/a/3.png", "one")] {
        write(data.path(), file, content);
    }
    let leaks = audit(data.path()).leaks.unwrap();
    assert_eq!((leaks.contents, leaks.groups), (1, 0));
    let message = leaks.to_string();
    assert!(message.contains("(train/a/1.png = val/a/3.png)") && message.contains("ml-split"), "{message}");
    // An edited verdict shows that it is used, and that it is not once an image changes.
    let verdict = data.path().join(CACHE_FOLDER).join("leaks.json");
    let text = fs::read_to_string(&verdict).unwrap();
    fs::write(&verdict, text.replace("val/a/3", "val/a/from_the_verdict")).unwrap();
    assert!(audit(data.path()).leaks.unwrap().to_string().contains("from_the_verdict"));
    write(data.path(), "val/a/3.png", "three");
    assert_eq!(audit(data.path()).leaks, None);
    assert!(fs::read_to_string(&verdict).unwrap().contains("\"leaks\":null"));
    for damage in ["", "{}", "{\"key\":", "[1]"] {
        fs::write(&verdict, damage).unwrap();
        assert_eq!(audit(data.path()).leaks, None, "{damage}");
    }
    let quiet = Checks { remember: false, ..ALL };
    fs::remove_dir_all(data.path().join(CACHE_FOLDER)).unwrap();
    Dataset::open(data.path(), &OpenOptions::default()).unwrap().audit(quiet, || false).unwrap();
    assert!(!data.path().join(CACHE_FOLDER).exists());
}

#[test]
fn a_copy_of_the_same_size_made_after_dividing_is_found() {
    let data = raw();
    split(data.path(), false);
    let [train, test] = [Split::Train, Split::Test].map(|split| image(data.path(), split));
    std::thread::sleep(Duration::from_millis(20));
    write(data.path(), &test, &fs::read_to_string(data.path().join(&train)).unwrap());
    let found = audit(data.path());
    assert_eq!(found.changes, None, "size and name are as before");
    let leaks = found.leaks.unwrap();
    assert_eq!(leaks.same, [[format!("{train} (train)"), format!("{test} (test)")]]);
}

#[test]
fn a_group_that_was_moved_by_hand_is_a_leak() {
    let data = raw();
    split(data.path(), false);
    // One image goes from train to val; sealed sums are taken out, counts are corrected.
    let splits = data.path().join("splits");
    let moved = image(data.path(), Split::Train);
    let class = moved.split('/').nth(1).unwrap();
    let text = fs::read_to_string(splits.join("manifest.yaml")).unwrap();
    let mut manifest: crate::dataset::Manifest = serde_yaml::from_str(&text).unwrap();
    for entry in &mut manifest.splits {
        entry.index_sha256 = None;
        let change: isize =
            [("train", -1), ("val", 1)].iter().find(|(n, _)| *n == entry.name).map_or(0, |c| c.1);
        entry.total = entry.total.checked_add_signed(change).unwrap();
        let count = entry.counts.get_mut(class).unwrap();
        *count = count.checked_add_signed(change).unwrap();
    }
    fs::write(splits.join("manifest.yaml"), serde_yaml::to_string(&manifest).unwrap()).unwrap();
    let train = fs::read_to_string(splits.join("train.txt")).unwrap();
    fs::write(splits.join("train.txt"), train.replace(&format!("{moved}\n"), "")).unwrap();
    let val = fs::read_to_string(splits.join("val.txt")).unwrap();
    fs::write(splits.join("val.txt"), format!("{moved}\n{val}")).unwrap();
    let leaks = audit(data.path()).leaks.unwrap();
    assert_eq!((leaks.contents, leaks.groups, leaks.divided.len()), (0, 1, 1));
    assert!(leaks.to_string().contains("1 group(s) are in more than one split (`p"), "{leaks}");
}

#[test]
fn who_asks_to_stop_is_heard() {
    let data = raw();
    split(data.path(), false);
    let error = Dataset::open(data.path(), &OpenOptions::default()).unwrap().audit(ALL, || true).unwrap_err();
    assert!(matches!(error, DatasetError::Interrupted));
}

#[test]
fn splitting_again_is_advised_as_it_was_done() {
    let again = |source: Source, division: &Division, seed, output: Option<&Path>| {
        let written = source.plan(division, seed).unwrap().write_index(output, true).unwrap();
        {
            let fold = matches!(division, Division::Folds { .. }).then_some(0);
            Dataset::open(&written.data_dir, &OpenOptions { fold, ..OpenOptions::default() })
        }
        .unwrap()
        .divided_again()
        .unwrap()
    };
    let data = raw();
    let raw_folder = data.path().join("raw");
    let shown = raw_folder.display();
    let default = Division::Ratio(Ratio::new(&DEFAULT_RATIO).unwrap());
    let open = || Source::open(data.path()).unwrap();
    assert_eq!(again(open(), &default, DEFAULT_SEED, None), format!("ml-split {shown} --force"));
    let folds = |test_ratio| Division::Folds { folds: 2, test_ratio };
    assert_eq!(
        again(open(), &folds(DEFAULT_TEST_RATIO), 7, None),
        format!("ml-split {shown} --force --folds 2 --seed 7")
    );
    let place = TempDir::new().unwrap();
    let output = place.path().join("elsewhere");
    assert_eq!(
        again(open(), &folds(0.0), DEFAULT_SEED, Some(&output)),
        format!("ml-split {shown} --force --output {} --folds 2 --test_ratio 0", output.display())
    );
    // Labels from a CSV that lies elsewhere than the images.
    let csv = place.path().join("labels.csv");
    let lines: Vec<_> = (0..20).map(|i| format!("{}/p{}_{i:02}.png,x", ["a", "b"][i % 2], i / 2)).collect();
    fs::write(&csv, format!("path,label\n{}\n", lines.join("\n"))).unwrap();
    let open = || {
        Source::open_csv(&csv, &CsvOptions { root: Some(raw_folder.clone()), ..CsvOptions::default() })
            .unwrap()
    };
    assert_eq!(
        again(open(), &default, DEFAULT_SEED, None),
        format!("ml-split {} --force --root {shown}", csv.display())
    );
    assert_eq!(
        again(open(), &default, DEFAULT_SEED, Some(&output)),
        format!("ml-split {} --force --root {shown} --output {}", csv.display(), output.display())
    );
}

#[test]
fn a_remembered_verdict_advises_from_where_the_folder_is_now() {
    let place = TempDir::new().unwrap();
    let [before, after] = ["before", "after"].map(|name| place.path().join(name));
    write(&before, "train/a/1.png", "one");
    write(&before, "val/a/2.png", "one");
    assert!(audit(&before).leaks.unwrap().remedy.contains("before"));
    fs::rename(&before, &after).unwrap();
    let text = fs::read_to_string(after.join(CACHE_FOLDER).join("leaks.json")).unwrap();
    fs::write(after.join(CACHE_FOLDER).join("leaks.json"), text.replace("val/a/2", "val/a/remembered"))
        .unwrap();
    let leaks = audit(&after).leaks.unwrap();
    assert!(leaks.to_string().contains("remembered"), "{leaks}");
    assert!(leaks.remedy.contains("after") && !leaks.remedy.contains("before"), "{leaks}");
}

#[test]
fn a_missing_image_that_is_there_in_another_normalization_is_told() {
    let data = TempDir::new().unwrap();
    for (split, name) in [("train", "cafe\u{301}.png"), ("val", "x.png")] {
        write(data.path(), &format!("{split}/a/{name}"), name);
    }
    let opened = Dataset::open(data.path(), &OpenOptions::default()).unwrap();
    let folder = data.path().join("train/a");
    fs::rename(folder.join("cafe\u{301}.png"), folder.join("caf\u{e9}.png")).unwrap();
    let error = opened.audit(ALL, || false).unwrap_err().to_string();
    assert!(error.contains("in another Unicode normalization"), "{error}");
}
