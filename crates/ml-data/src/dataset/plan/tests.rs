use crate::dataset::{CsvOptions, OpenOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::dataset::{Dataset, DatasetError, Grouping, Ratio, Split};

/// Files with their paths as contents, unless those are given.
fn folder(files: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in files {
        write(folder.path(), file, file);
    }
    folder
}

fn write(root: &Path, file: &str, content: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Two classes with 12 patients that have images in one or both.
fn patients() -> TempDir {
    let mut files = Vec::new();
    for patient in 0..12 {
        for image in 0..2 + patient % 5 {
            let class = if patient % 3 == 0 && image % 2 == 0 { "ill" } else { "well" };
            files.push(format!("raw/{class}/p{patient}/{image}.png"));
            files.push(format!("raw/ill/p{patient}/more_{image}.png"));
        }
    }
    folder(&files.iter().map(String::as_str).collect::<Vec<_>>())
}

fn ratio(shares: &[f64]) -> Division {
    Division::Ratio(Ratio::new(shares).unwrap())
}

fn grouped(root: &Path, by: &str) -> Source {
    let mut source = Source::open(root).unwrap();
    source.group_by(&Grouping::parse(by).unwrap()).unwrap();
    source
}

/// The index files that `part` of each image is in.
fn places(plan: &Plan, part: impl Fn(&str) -> String) -> BTreeMap<String, BTreeSet<&str>> {
    let mut places: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (name, text) in &plan.files {
        // A fold's training images are the others' validation images.
        for line in text.lines().filter(|_| !name.contains("_train")) {
            places.entry(part(line)).or_default().insert(name);
        }
    }
    places
}

#[test]
fn no_patient_is_divided_by_any_way_of_saying_who_it_is() {
    let data = patients();
    for by in ["folder", r"/p(\d+)/", r"p\d+"] {
        for seed in 0..8 {
            for division in [ratio(&[0.6, 0.2, 0.2]), Division::Folds { folds: 3, test_ratio: 0.2 }] {
                let plan = grouped(data.path(), by).plan(&division, seed).unwrap();
                let places = places(&plan, |line| line.split('/').nth(2).unwrap().to_owned());
                assert_eq!(places.len(), 12);
                assert!(places.values().all(|files| files.len() == 1), "{by} {seed}: {places:?}");
                let groups = plan.manifest().groups.as_ref().unwrap();
                assert_eq!((groups.by.as_deref(), groups.count, groups.largest), (Some(by), 12, 12));
                let total: usize = places_total(&plan);
                assert_eq!(total, plan.manifest().total);
            }
        }
    }
}

fn places_total(plan: &Plan) -> usize {
    plan.files.iter().filter(|(name, _)| !name.contains("_train")).map(|(_, text)| text.lines().count()).sum()
}

#[test]
fn the_order_of_listing_does_not_matter_and_the_seed_does() {
    let plan = |seed| {
        // Another folder lists in another order.
        let data = patients();
        let plan = grouped(data.path(), "folder").plan(&ratio(&[0.6, 0.2, 0.2]), seed).unwrap();
        (plan.files.clone(), plan.images())
    };
    assert_eq!(plan(1), plan(1));
    assert!((2..6).any(|seed| plan(1).0 != plan(seed).0));
}

#[test]
fn images_that_name_no_group_stand_alone_and_are_counted() {
    let data = folder(&["a/p1_1.png", "a/p1_2.png", "a/x.png", "a/y.png", "a/z.png"]);
    let plan = grouped(data.path(), r"p\d").plan(&ratio(&[0.6, 0.2, 0.2]), 0).unwrap();
    assert!(
        plan.warnings().iter().any(|w| w.contains("3 image(s) are in no group by `p\\d`")),
        "{:?}",
        plan.warnings()
    );
    let text = plan.images();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!((line("a/p1_2"), line("a/x")), ("a/p1_2.png,10,p1,".to_owned(), "a/x.png,7,,".to_owned()));
}

#[test]
fn duplicates_stay_together_across_classes_and_are_told_of() {
    let data = TempDir::new().unwrap();
    for i in 0..30 {
        let content = if i % 3 == 0 { "the same".to_owned() } else { format!("{i:08}") };
        write(data.path(), &format!("{}/{i}.png", ["a", "b"][i % 2]), &content);
        write(data.path(), &format!("a/empty{i}.png"), "");
    }
    for seed in 0..10 {
        let mut source = Source::open(data.path()).unwrap();
        source.keep_duplicates_together(|| false).unwrap();
        let plan = source.plan(&ratio(&[0.5, 0.25, 0.25]), seed).unwrap();
        let content = |line: &str| fs::read_to_string(data.path().join(line)).unwrap();
        let places = places(&plan, content);
        assert_eq!(places["the same"].len(), 1, "seed {seed}");
        assert_eq!(places[""].len(), 3, "empty files are no duplicates");
        let told = plan.warnings().join("\n");
        assert!(told.contains("1 image(s) lie in several classes") && told.contains("b/15.png"), "{told}");
        assert!(plan.images().contains("a/0.png,8,a/0.png,"));
        assert_eq!(plan.manifest().duplicates, Some(crate::dataset::Policy::KeepTogether));
    }
    let plan = Source::open(data.path()).unwrap().plan(&ratio(&[0.5, 0.25, 0.25]), 0).unwrap();
    assert!(plan.manifest().duplicates.is_none() && plan.manifest().format_version == 1);
}

#[test]
fn sets_of_the_caller_stay_together_too_and_merge_with_groups() {
    let data = patients();
    for seed in 0..6 {
        let mut source = grouped(data.path(), "folder");
        source.keep_together(&[vec!["raw/ill/p1/more_0.png", "raw/well/p2/0.png"]]).unwrap();
        let plan = source.plan(&ratio(&[0.6, 0.2, 0.2]), seed).unwrap();
        let places = places(&plan, |line| line.split('/').nth(2).unwrap().to_owned());
        assert_eq!(places["p1"], places["p2"]);
        assert_eq!(plan.manifest().groups.as_ref().unwrap().count, 11);
    }
    for path in ["raw/ill/nobody.png", "ill/p1/more_0.png", "other/x.png"] {
        let message = grouped(data.path(), "folder").keep_together(&[vec![path]]).unwrap_err().to_string();
        assert!(message.contains(path) && message.contains("no image"), "{message}");
    }
}

#[test]
fn a_group_that_leaves_nothing_for_a_split_or_a_class_is_named() {
    let data = folder(&["a/p1/1.png", "a/p1/2.png", "a/p1/3.png", "a/p2/1.png"]);
    let message = grouped(data.path(), "folder").plan(&ratio(&[0.6, 0.2, 0.2]), 0).unwrap_err().to_string();
    assert!(
        message.contains("split would be empty: the group `p1`") && message.contains("3 of 4"),
        "{message}"
    );
    let data = folder(&["a/p1/1.png", "a/p1/2.png", "a/x.png", "b/p2/1.png", "b/p2/2.png", "a/y.png"]);
    let folds = Division::Folds { folds: 2, test_ratio: 0.0 };
    let message = grouped(data.path(), "folder").plan(&folds, 0).unwrap_err().to_string();
    assert!(message.contains("class `b` would have no images in fold_"), "{message}");
    assert!(message.contains("`p2` stays together and has 2 of the class's 2"), "{message}");
}

/// A CSV beside images, which hold their paths.
fn labelled(csv: &str) -> TempDir {
    let data = folder(&["x/1.png", "x/2.png", "x/3.png", "y/4.png", "y/5.png", "6.jpg", "7.jpg", "8.jpg"]);
    fs::write(data.path().join("labels.csv"), csv).unwrap();
    data
}

const LABELS: &str = "path,label,group\nx/1.png,cat,p1\nx/2.png,dog,p1\nx/3.png,cat,\ny/4.png,dog,p2\n\
    y/5.png,cat,p2\n6.jpg,dog,\n./7.jpg,cat,p3\n8.jpg,dog,p3\n";

#[test]
fn labels_from_a_csv_are_in_the_index_files_and_open_as_any_others() {
    let data = labelled(LABELS);
    let csv = data.path().join("labels.csv");
    for (by, output) in [(None, None), (Some(Grouping::Column), Some("away")), (Some(Grouping::Folder), None)]
    {
        let mut source = Source::open_csv(&csv, &CsvOptions::default()).unwrap();
        assert!(source.has_group_column() && !source.has_split_column());
        if let Some(by) = &by {
            source.group_by(by).unwrap();
        }
        let plan = source.plan(&ratio(&[0.5, 0.25, 0.25]), 3).unwrap();
        let output = output.map(|output| data.path().join(output));
        let written = plan.write_index(output.as_deref(), true).unwrap();
        let opened = Dataset::open(&written.data_dir, &OpenOptions::default()).unwrap();
        assert_eq!(opened.classes, ["cat", "dog"]);
        let mut labels = BTreeMap::new();
        for index in [&opened.train, &opened.val, opened.test.as_ref().unwrap()] {
            for sample in &index.samples {
                assert!(index.root.join(&sample.path).is_file());
                labels.insert(sample.path.to_str().unwrap().to_owned(), sample.class);
            }
        }
        let expected =
            [("6.jpg", 1), ("7.jpg", 0), ("8.jpg", 1), ("x/1.png", 0), ("x/2.png", 1), ("x/3.png", 0)];
        let expected = expected.into_iter().chain([("y/4.png", 1), ("y/5.png", 0)]);
        assert_eq!(labels, expected.map(|(path, class)| (path.to_owned(), class)).collect());
        assert!(plan.write_index(output.as_deref(), false).unwrap().unchanged);
        let manifest = opened.manifest.unwrap();
        assert_eq!(manifest.format_version, 2);
        assert_eq!(
            written.data_dir.join(&manifest.labels.unwrap().csv).canonicalize().unwrap(),
            csv.canonicalize().unwrap()
        );
    }
    // A tree of folders has the classes as folders.
    let tree = data.path().join("tree");
    let plan =
        Source::open_csv(&csv, &CsvOptions::default()).unwrap().plan(&ratio(&[0.5, 0.25, 0.25]), 3).unwrap();
    plan.write_folders(Some(&tree), crate::dataset::Link::Symbolic, false, || false).unwrap();
    let opened = Dataset::open(&tree, &OpenOptions::default()).unwrap();
    assert_eq!(opened.classes, ["cat", "dog"]);
    assert_eq!(opened.class_counts(Split::Train), [2, 2]);
}

#[test]
fn lines_without_label_or_with_a_strange_one_are_refused_on_opening() {
    let data = labelled(LABELS);
    let plan = Source::open_csv(&data.path().join("labels.csv"), &CsvOptions::default()).unwrap();
    plan.plan(&ratio(&[0.5, 0.25, 0.25]), 3).unwrap().write_index(None, false).unwrap();
    let index = data.path().join("splits/train.txt");
    let text = fs::read_to_string(&index).unwrap();
    for (with, part) in [("", "<path><tab><class>"), ("\tbird", "class `bird` is not")] {
        fs::write(&index, text.replacen("\tcat", with, 1)).unwrap();
        let message = Dataset::open(data.path(), &OpenOptions::default()).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn images_that_a_csv_names_must_be_there() {
    let data = labelled("path,label\nx/1.png,a\nx/gone.png,a\nx,b\n");
    let open = |root: Option<&Path>| {
        let options = CsvOptions { root: root.map(Path::to_owned), ..CsvOptions::default() };
        Source::open_csv(&data.path().join("labels.csv"), &options).map(|_| ())
    };
    let message = open(None).unwrap_err().to_string();
    assert!(
        message.contains("2 problems: line 3: `x/gone.png` does not exist; line 4: `x` is not a file"),
        "{message}"
    );
    fs::write(data.path().join("labels.csv"), "path,label\n1.png,a\n2.png,b\n").unwrap();
    open(Some(&data.path().join("x"))).unwrap();
    let nowhere = data.path().join("nowhere");
    assert!(matches!(open(Some(&nowhere)).unwrap_err(), DatasetError::Missing { .. }));
}

#[test]
fn given_splits_are_taken_and_leaks_in_them_refused_unless_accepted() {
    let data = labelled(
        "path,label,group,split\nx/1.png,cat,p1,train\nx/2.png,dog,p1,train\nx/3.png,cat,,val\n6.jpg,dog,p2,val\n",
    );
    let csv = data.path().join("labels.csv");
    let source = || {
        let mut source = Source::open_csv(&csv, &CsvOptions::default()).unwrap();
        source.group_by(&Grouping::Column).unwrap();
        source.keep_duplicates_together(|| false).unwrap();
        source
    };
    let plan = source().plan_given(false).unwrap();
    assert_eq!(plan.lines("val").unwrap().collect::<Vec<_>>(), ["6.jpg\tdog", "x/3.png\tcat"]);
    assert!(plan.lines("test").is_none());
    plan.write_index(None, false).unwrap();
    assert_eq!(Dataset::open(data.path(), &OpenOptions::default()).unwrap().val.samples.len(), 2);

    let text = fs::read_to_string(&csv).unwrap();
    fs::write(&csv, text.replace("6.jpg,dog,p2", "6.jpg,dog,p1")).unwrap();
    let message = source().plan_given(false).unwrap_err().to_string();
    for part in ["the group `p1`", "`x/1.png` in train", "`6.jpg` in val", "--on_leak warn"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(source().plan_given(true).unwrap().warnings().contains(&message));
    fs::write(&csv, &text).unwrap();
    fs::copy(data.path().join("x/1.png"), data.path().join("x/3.png")).unwrap();
    let message = source().plan_given(false).unwrap_err().to_string();
    assert!(
        message.contains("first with the same content: `x/1.png` in train and `x/3.png` in val"),
        "{message}"
    );
    fs::write(&csv, "path,label,split\nx/1.png,cat,train\n").unwrap();
    let message =
        Source::open_csv(&csv, &CsvOptions::default()).unwrap().plan_given(false).unwrap_err().to_string();
    assert!(message.contains("no line has the split `val`"), "{message}");
}
