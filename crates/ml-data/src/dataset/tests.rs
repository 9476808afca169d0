use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

fn folder(files: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    add(folder.path(), files);
    folder
}

fn add(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
}

/// `raw/` with classes of so many images.
fn raw(classes: &[(&str, usize)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (class, count) in classes {
        let names: Vec<_> = (0..*count).map(|i| format!("raw/{class}/{i:03}.png")).collect();
        add(folder.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    folder
}

fn ratio(shares: &[f64]) -> Division {
    Division::Ratio(Ratio::new(shares).unwrap())
}

fn split(image_dir: &Path, division: &Division) -> Written {
    Source::open(image_dir).unwrap().plan(division, 42).unwrap().write_index(None, true).unwrap()
}

fn paths(index: &Index) -> Vec<&str> {
    index.samples.iter().map(|sample| sample.path.to_str().unwrap()).collect()
}

fn open(data_dir: &Path) -> Dataset {
    Dataset::open(data_dir, &OpenOptions::default()).unwrap()
}

fn refusal(data_dir: &Path) -> String {
    refusal_of_fold(data_dir, None)
}

fn refusal_of_fold(data_dir: &Path, fold: Option<u32>) -> String {
    let message =
        Dataset::open(data_dir, &OpenOptions { fold, ..OpenOptions::default() }).unwrap_err().to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

fn source_refusal(image_dir: &Path) -> String {
    Source::open(image_dir).unwrap_err().to_string()
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    fs::write(path, change(fs::read_to_string(path).unwrap())).unwrap();
}

#[test]
fn an_image_folder_is_opened_with_classes_over_all_splits() {
    let dir = folder(&[
        "train/b/2.JPG",
        "train/b/1.png",
        "train/b/deep/er/0.webp",
        "train/a/x.jpeg",
        "train/a/notes.txt",
        "train/.hidden/x.png",
        "train/a/.x.png",
        "val/b/v.bmp",
        "test/a/t.tiff",
        "test/readme.md",
    ]);
    let data = Dataset::open(dir.path(), &OpenOptions::default()).unwrap();
    assert_eq!(data.classes, ["a", "b"]);
    assert_eq!(
        paths(&data.train),
        ["train/a/x.jpeg", "train/b/1.png", "train/b/2.JPG", "train/b/deep/er/0.webp"]
    );
    assert_eq!(data.train.samples.iter().map(|sample| sample.class).collect::<Vec<_>>(), [0, 1, 1, 1]);
    // `val` lacks class a, and b is number 1 all the same.
    assert_eq!((paths(&data.val), data.val.samples[0].class), (vec!["val/b/v.bmp"], 1));
    assert_eq!(data.class_counts(Split::Train), [1, 3]);
    assert_eq!(data.class_counts(Split::Val), [0, 1]);
    assert_eq!(data.class_counts(Split::Test), [1, 0]);
    assert!(data.train.root.join(&data.train.samples[0].path).is_file());
}

#[test]
fn without_a_test_folder_there_is_no_test_index() {
    let dir = folder(&["train/a/1.png", "val/a/1.png"]);
    let data = Dataset::open(dir.path(), &OpenOptions::default()).unwrap();
    assert!(data.index(Split::Test).is_none());
    assert_eq!(data.class_counts(Split::Test), [0]);
}

#[test]
fn order_is_bytewise_by_path_in_either_layout() {
    let files: Vec<_> = ["a/x", "a-b/x", "a0/x", "A/x"].iter().map(|f| format!("{f}.png")).collect();
    let all = |prefix: &str| files.iter().map(|file| format!("{prefix}/{file}")).collect::<Vec<_>>();
    let dir = folder(&[all("train"), all("val")].concat().iter().map(String::as_str).collect::<Vec<_>>());
    let data = Dataset::open(dir.path(), &OpenOptions::default()).unwrap();
    assert_eq!(data.classes, ["A", "a", "a-b", "a0"]);
    assert_eq!(paths(&data.train), ["train/A/x.png", "train/a-b/x.png", "train/a/x.png", "train/a0/x.png"]);
}

#[test]
fn a_split_raw_folder_opens_with_every_image_once() {
    let dir = raw(&[("cat", 20), ("dog", 10)]);
    let written = split(&dir.path().join("raw"), &ratio(&[0.6, 0.2, 0.2]));
    assert_eq!(written.data_dir, dir.path());
    assert_eq!(written.path, dir.path().join("splits"));
    let data = Dataset::open(dir.path(), &OpenOptions::default()).unwrap();
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!(data.class_counts(Split::Train), [12, 6]);
    assert_eq!(data.class_counts(Split::Val), [4, 2]);
    assert_eq!(data.class_counts(Split::Test), [4, 2]);
    let mut all = [&data.train, &data.val, data.test.as_ref().unwrap()].map(|index| paths(index)).concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 30);
    assert!(all.iter().all(|path| dir.path().join(path).is_file()));
}

#[test]
fn class_folders_that_are_not_called_raw_hold_their_own_splits() {
    let dir = folder(&["cat/1.png", "cat/2.png", "cat/3.png", "train/1.png", "train/2.png", "train/3.png"]);
    let written = split(dir.path(), &ratio(&[0.4, 0.3, 0.3]));
    assert_eq!(written.data_dir, dir.path());
    let data = Dataset::open(dir.path(), &OpenOptions::default()).unwrap();
    assert_eq!(data.classes, ["cat", "train"]);
    // Again: `splits` is no class.
    assert!(split(dir.path(), &ratio(&[0.4, 0.3, 0.3])).unchanged);
}

#[test]
fn folds_open_one_by_one_with_a_common_test_split() {
    let dir = raw(&[("cat", 20), ("dog", 10)]);
    split(dir.path(), &Division::Folds { folds: 3, test_ratio: 0.2 });
    let mut validated = Vec::new();
    let mut tests = Vec::new();
    for fold in 0..3 {
        let data =
            Dataset::open(dir.path(), &OpenOptions { fold: Some(fold), ..OpenOptions::default() }).unwrap();
        assert_eq!(data.train.samples.len() + data.val.samples.len(), 24);
        validated.extend(paths(&data.val).into_iter().map(str::to_owned));
        tests.push(data.test.unwrap().samples.clone());
    }
    validated.sort_unstable();
    validated.dedup();
    assert_eq!(validated.len(), 24);
    assert!(tests[0].len() == 6 && tests.iter().all(|test| *test == tests[0]));

    let message = refusal(dir.path());
    assert!(message.contains("--fold") && message.contains("0 to 2"), "{message}");
    let message = refusal_of_fold(dir.path(), Some(3));
    assert!(message.contains("no fold 3") && message.contains("0 to 2"), "{message}");
}

#[test]
fn a_fold_is_refused_where_there_are_none() {
    let dir = raw(&[("cat", 9), ("dog", 9)]);
    split(dir.path(), &ratio(&[0.6, 0.2, 0.2]));
    assert!(refusal_of_fold(dir.path(), Some(0)).contains("not split into folds"));
    let dir = folder(&["train/a/1.png", "val/a/1.png"]);
    assert!(refusal_of_fold(dir.path(), Some(0)).contains("not split into folds"));
}

#[test]
fn the_fingerprint_tells_indices_apart_and_ignores_where_they_lie() {
    let [a, b] = [folder(&["train/a/1.png", "val/a/2.png"]), folder(&["train/a/1.png", "val/a/2.png"])];
    let print =
        |dir: &TempDir| Dataset::open(dir.path(), &OpenOptions::default()).unwrap().fingerprint().to_owned();
    assert_eq!(print(&a), print(&b));
    assert_eq!(print(&a).len(), 64);
    let other = folder(&["train/a/1.png", "val/a/3.png"]);
    assert_ne!(print(&a), print(&other));
    let mut renamed = Dataset::open(a.path(), &OpenOptions::default()).unwrap();
    renamed.classes[0] = "b".to_owned();
    assert_ne!(print(&a), renamed.fingerprint());
}

#[test]
fn missing_folders_and_files_in_their_place_are_told_apart() {
    let dir = folder(&["file"]);
    for path in ["nowhere", "file"] {
        let path = dir.path().join(path);
        for error in
            [Dataset::open(&path, &OpenOptions::default()).unwrap_err(), Source::open(&path).unwrap_err()]
        {
            assert!(error.is_usage());
            let message = error.to_string();
            assert!(message.contains(path.to_str().unwrap()), "{message}");
            assert_eq!(message.contains("no such folder"), path.ends_with("nowhere"), "{message}");
            assert_eq!(message.contains("not a folder"), path.ends_with("file"), "{message}");
        }
    }
}

#[test]
fn an_unsplit_folder_is_told_which_command_to_run() {
    let dir = raw(&[("cat", 3)]);
    let message = refusal(dir.path());
    assert!(message.contains(&format!("run `ml-split {}`", dir.path().join("raw").display())), "{message}");
    let dir = folder(&["my cats/1.png", "dogs/1.png"]);
    assert!(refusal(dir.path()).contains(&format!("run `ml-split {}`", dir.path().display())));
    let spaced = folder(&["my data/cats/1.png"]);
    let path = spaced.path().join("my data");
    assert!(refusal(&path).contains(&format!("run `ml-split '{}'`", path.display())));
}

#[test]
fn a_part_of_a_data_folder_is_told_to_be_one() {
    let dir = raw(&[("cat", 9), ("dog", 9)]);
    split(dir.path(), &ratio(&[0.6, 0.2, 0.2]));
    for part in ["raw", "splits"] {
        let message = refusal(&dir.path().join(part));
        assert!(message.ends_with(&format!("give {} instead", dir.path().display())), "{message}");
    }
    let dir = folder(&["train/a/1.png", "val/a/1.png"]);
    let message = refusal(&dir.path().join("train"));
    assert!(message.ends_with(&format!("give {} instead", dir.path().display())), "{message}");
}

#[test]
fn folders_without_classes_or_images_say_what_is_missing() {
    let dir = TempDir::new().unwrap();
    assert!(refusal(dir.path()).contains("no class folders"));
    assert!(source_refusal(dir.path()).contains("no class folders"));
    add(dir.path(), &["1.png", "2.png"]);
    for message in [refusal(dir.path()), source_refusal(dir.path())] {
        assert!(message.contains("the 2 images right in it have no class"), "{message}");
    }
    let dir = folder(&["a/readme.txt"]);
    for message in [refusal(dir.path()), source_refusal(dir.path())] {
        assert!(message.contains("no images") && message.contains("jpg"), "{message}");
    }
    let dir = folder(&["train/a/readme.txt", "val/a/1.png"]);
    assert!(refusal(dir.path()).contains("no images"));
}

#[test]
fn a_class_without_training_images_is_named() {
    let dir = folder(&["train/a/1.png", "val/a/1.png", "val/b/1.png"]);
    let message = refusal(dir.path());
    assert!(message.contains("class `b`") && message.contains("train/b"), "{message}");
    let dir = folder(&["train/a/1.png", "train/b/readme.txt", "val/a/1.png"]);
    assert!(refusal(dir.path()).contains("class `b`"));
    let dir = folder(&["a/1.png", "b/readme.txt"]);
    let message = source_refusal(dir.path());
    assert!(
        message.contains("class `b`") && message.contains(dir.path().join("b").to_str().unwrap()),
        "{message}"
    );
}

#[test]
fn splits_are_known_by_the_names_that_people_give_them() {
    for (train, val, test) in [
        ("train", "valid", "test"),
        ("Train", "Val", "Test"),
        ("Training", "Validation", "Testing"),
        ("training_set", "dev", "TEST_SET"),
    ] {
        let of = |split: &str| ["a", "b"].map(|class| format!("{split}/{class}/1.png"));
        let files: Vec<String> = [train, val, test].iter().flat_map(|split| of(split)).collect();
        let dir = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let data = open(dir.path());
        assert_eq!(data.classes, ["a", "b"]);
        for (split, name) in [(Split::Train, train), (Split::Val, val), (Split::Test, test)] {
            assert_eq!(paths(data.index(split).unwrap()), of(name));
        }
        assert!(data.notes[0].contains(&format!("`{val}` as val")), "{:?}", data.notes);
        // They are no classes.
        let error = Source::open(dir.path()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("are splits, not classes"), "{error}");
    }
    // A class may be called so where others stand beside it.
    let dir = folder(&["train/1.png", "test/1.png", "plane/1.png"]);
    assert_eq!(Source::open(dir.path()).unwrap().classes().count(), 3);
    let dir = folder(&["train/a/1.png", "plane/a/1.png"]);
    assert_eq!(Source::open(dir.path()).unwrap().classes().count(), 2);
    // Others beside a tree are no part of it.
    let dir = folder(&["Train/a/1.png", "Test/a/1.png", "annotations/x/1.png", "valid/a/1.png"]);
    assert_eq!(open(dir.path()).classes, ["a"]);
    assert!(source_refusal(dir.path()).contains("are splits, not classes"));
}

#[test]
fn two_folders_for_one_split_are_told_apart() {
    let dir = folder(&["train/a/1.png", "valid/a/1.png", "dev/a/1.png"]);
    for message in [refusal(dir.path()), source_refusal(dir.path())] {
        assert!(message.contains("`dev` and `valid` both stand for the val split"), "{message}");
    }
    add(dir.path(), &["val/a/2.png"]);
    let data = open(dir.path());
    assert_eq!(paths(&data.val), ["val/a/2.png"]);
    assert!(data.notes.iter().any(|note| note.contains("`valid` is not used")), "{:?}", data.notes);
}

#[test]
fn some_training_images_validate_where_none_are_set_aside() {
    let files: Vec<String> = (0..20).map(|i| format!("Training/{}/{i:02}.png", ["a", "b"][i % 2])).collect();
    let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
    files.push("Testing/a/1.png");
    let dir = folder(&files);
    for (i, file) in files.iter().enumerate() {
        fs::write(dir.path().join(file), format!("{i:04}")).unwrap();
    }
    // Two with the same content stay together.
    for file in ["Training/a/00.png", "Training/a/02.png"] {
        fs::write(dir.path().join(file), "same").unwrap();
    }
    let open = |val_fraction, seed| {
        Dataset::open(dir.path(), &OpenOptions { val_fraction, seed, ..OpenOptions::default() }).unwrap()
    };
    let data = open(0.2, 1);
    assert_eq!((data.train.samples.len(), data.val.samples.len()), (16, 4));
    assert_eq!(data.class_counts(Split::Val), [2, 2]);
    assert_eq!(paths(data.test.as_ref().unwrap()), ["Testing/a/1.png"]);
    let mut all = paths(&data.train);
    all.extend(paths(&data.val));
    all.sort_unstable();
    let mut expected: Vec<&str> = files[..20].to_vec();
    expected.sort_unstable();
    assert_eq!(all, expected);
    let note = data.notes.iter().find(|note| note.contains("no validation split")).unwrap();
    assert!(
        note.contains("4 of the 20 images in Training validate (20 % of each class, from seed 1"),
        "{note}"
    );
    assert_eq!(data.fingerprint(), open(0.2, 1).fingerprint());
    assert_ne!(data.fingerprint(), open(0.2, 2).fingerprint());
    for seed in 0..20 {
        let data = open(0.3, seed);
        let has = |name: &str| paths(&data.val).contains(&name);
        assert_eq!(has("Training/a/00.png"), has("Training/a/02.png"));
    }
    let dir = folder(&["train/a/1.png", "test/a/1.png"]);
    let message = refusal(dir.path());
    assert!(message.contains("none can be taken from the training images"), "{message}");
    let dir = folder(&["val/a/1.png", "test/a/1.png"]);
    let message = refusal(dir.path());
    assert!(message.contains(dir.path().join("train").to_str().unwrap()) && message.contains("beside `val`"));
}

#[test]
fn a_test_folder_without_labels_does_not_stop_training() {
    let tree = ["train/a/1.png", "train/b/1.png", "val/a/1.png"];
    for (test, count) in [
        (&["test/1.png", "test/2.png"][..], "2 images without class folders"),
        (&["test/unknown/1.png"], "1 images without class folders"),
        (&["test/readme.txt"], "there are no images"),
    ] {
        let dir = folder(&tree);
        add(dir.path(), test);
        let data = open(dir.path());
        assert!(data.test.is_none());
        assert!(data.notes[0].contains(count), "{:?}", data.notes);
        assert_eq!(data.notes[0].contains("ml-inference --checkpoint RUN"), count.contains("without"));
    }
    // What has labels is a split, and a class that it alone has is an error.
    let dir = folder(&tree);
    add(dir.path(), &["test/a/1.png", "test/c/1.png"]);
    assert!(refusal(dir.path()).contains("class `c`"));
}

#[test]
fn a_data_folder_in_a_folder_is_pointed_out() {
    let dir = folder(&["flowers/train/a/1.png", "flowers/val/a/1.png", "readme.txt", "__MACOSX/x"]);
    let message = refusal(dir.path());
    assert!(message.contains(&format!("give {}", dir.path().join("flowers").display())), "{message}");
}

#[test]
fn what_systems_leave_behind_is_neither_class_nor_image() {
    let dir = folder(&[
        "cat/1.png",
        "cat/._1.png",
        "cat/Thumbs.db",
        "cat/@eaDir/1.png",
        "dog/1.png",
        "__MACOSX/cat/1.png",
        "@eaDir/x/1.png",
        "$RECYCLE.BIN/1.png",
        "lost+found/1.png",
        ".ipynb_checkpoints/1.png",
        "dog/a.heic",
    ]);
    let source = Source::open(dir.path()).unwrap();
    assert_eq!(source.classes().collect::<Vec<_>>(), ["cat", "dog"]);
    assert_eq!(source.len(), 2);
    let left_out = source.left_out().to_string();
    assert!(left_out.contains("1 .heic (HEIC, which is not read)"), "{left_out}");
    assert!(left_out.contains("8 left by systems"), "{left_out}");
}

#[test]
fn classes_in_two_unicode_normalizations_are_one_or_refused() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    let files = [format!("train/{composed}/1.png"), format!("val/{decomposed}/1.png")];
    let dir = folder(&[&files[0], &files[1]]);
    let data = open(dir.path());
    assert_eq!(data.classes, [composed]);
    assert_eq!(paths(&data.val), [files[1].as_str()]);
    assert!(data.notes[0].contains("Unicode normalization"));
    let files = [format!("{composed}/1.png"), format!("{decomposed}/1.png")];
    let dir = folder(&[&files[0], &files[1]]);
    let message = source_refusal(dir.path());
    assert!(message.contains("look the same") && message.contains("\\u{301}"), "{message}");
}

#[test]
fn classes_are_also_found_by_their_synonyms() {
    let names = ["tench", "n00000002"].map(str::to_owned);
    let synonyms = [("n01440764", 0), ("n00000002", 0)];
    let open = |path: &Path| {
        let classes = ModelClasses { names: &names, synonyms: &synonyms };
        Labelled::open_with(path, classes, None, &OpenOptions::default(), &CsvOptions::default())
    };
    let classes = |files: &[&str]| -> Vec<u32> {
        let labelled = open(folder(files).path()).unwrap();
        labelled.index.samples.iter().map(|sample| sample.class).collect()
    };
    assert_eq!(classes(&["n01440764/1.png", "tench/1.png"]), [0, 0]);
    // A name of its own counts first.
    assert_eq!(classes(&["n00000002/1.png"]), [1]);
    let hint = "looks like a WordNet id";
    let message = open(folder(&["n99999999/1.png"]).path()).unwrap_err().to_string();
    assert!(message.contains(hint) && message.contains("`n99999999`"), "{message}");
    let message = open(folder(&["n999/1.png"]).path()).unwrap_err().to_string();
    assert!(!message.contains(hint), "{message}");
}

#[test]
fn any_labelled_folder_is_opened_with_the_classes_of_a_model() {
    let classes = ["a", "b", "c"].map(str::to_owned);
    let labelled = |path: &Path, split| {
        Labelled::open(path, &classes, split, &OpenOptions::default(), &CsvOptions::default())
    };
    let found = |path: &Path, split| {
        let found = labelled(path, split).unwrap();
        let samples =
            found.index.samples.iter().map(|sample| (sample.path.display().to_string(), sample.class));
        (found.name, samples.collect::<Vec<_>>())
    };
    let sample = |path: &str, class| (path.to_owned(), class);
    let dir = folder(&["b/1.png", "c/x/2.png", "empty/readme.txt"]);
    let all = vec![sample("b/1.png", 1), sample("c/x/2.png", 2)];
    assert_eq!(found(dir.path(), None), ("all", all));
    let message = labelled(dir.path(), Some(Split::Test)).unwrap_err().to_string();
    assert!(message.contains("leave --split out"), "{message}");
    // Beside raw/, and of a tree, with training images and without.
    let dir = folder(&["raw/b/1.png"]);
    assert_eq!(found(dir.path(), None), ("all", vec![sample("b/1.png", 1)]));
    let dir = folder(&["Testing/c/1.png"]);
    assert_eq!(found(dir.path(), None), ("test", vec![sample("Testing/c/1.png", 2)]));
    assert_eq!(found(&dir.path().join("Testing"), None), ("all", vec![sample("c/1.png", 2)]));
    add(dir.path(), &["train/c/1.png", "train/c/2.png", "train/c/3.png"]);
    assert_eq!(found(dir.path(), Some(Split::Test)).0, "test");
    let (name, val) = found(dir.path(), Some(Split::Val));
    assert_eq!((name, val.len(), val[0].1), ("val", 1, 2));
    assert_eq!(found(dir.path(), Some(Split::Train)).1.len(), 2);
    // What ml-split divided.
    let dir =
        folder(&["raw/a/1.png", "raw/a/2.png", "raw/a/3.png", "raw/c/1.png", "raw/c/2.png", "raw/c/3.png"]);
    split(&dir.path().join("raw"), &ratio(&[0.4, 0.3, 0.3]));
    let (name, test) = found(dir.path(), None);
    assert_eq!(name, "test");
    assert_eq!(test.iter().map(|(_, class)| *class).collect::<Vec<_>>(), [0, 2]);
    // A table.
    let dir = folder(&["1.png", "2.png"]);
    let csv = dir.path().join("t.csv");
    fs::write(&csv, "path,label,split\n1.png,c,test\n2.png,a,val\n").unwrap();
    assert_eq!(found(&csv, None), ("test", vec![sample("1.png", 2)]));
    assert_eq!(found(&csv, Some(Split::Val)), ("val", vec![sample("2.png", 0)]));
    assert!(labelled(&csv, Some(Split::Train)).unwrap_err().to_string().contains("--split: val, test"));
    // What cannot be measured.
    let message = labelled(dir.path(), None).unwrap_err().to_string();
    assert!(message.contains("2 images right in it have no class"), "{message}");
    let dir = folder(&["a/1.png", "B/1.png"]);
    let message = labelled(dir.path(), None).unwrap_err().to_string();
    assert!(message.contains("does not know the class `B`; it knows `b`, "), "{message}");
}

#[test]
fn raw_beside_other_folders_is_a_class_only_if_it_holds_images() {
    let dir = folder(&["raw/cat/1.png", "models/1.png"]);
    let error = Source::open(dir.path()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("`models`; give "), "{error}");
    assert_eq!(Source::open(&dir.path().join("raw")).unwrap().classes().collect::<Vec<_>>(), ["cat"]);
    let dir = folder(&["raw/1.png", "cooked/1.png"]);
    assert_eq!(Source::open(dir.path()).unwrap().classes().collect::<Vec<_>>(), ["cooked", "raw"]);
}

#[test]
fn a_tree_stays_one_when_a_split_of_it_is_divided() {
    let dir = folder(&["train/a/1.png", "train/a/2.png", "train/a/3.png", "val/a/1.png"]);
    split(&dir.path().join("train"), &ratio(&[0.4, 0.3, 0.3]));
    assert_eq!(Dataset::open(dir.path(), &OpenOptions::default()).unwrap().classes, ["a"]);
    add(dir.path(), &["train/splits/1.png"]);
    assert!(refusal(dir.path()).contains("`splits` is reserved"));
}

#[test]
fn a_class_called_splits_is_refused() {
    let dir = folder(&["raw/splits/1.png", "raw/cat/1.png"]);
    assert!(source_refusal(&dir.path().join("raw")).contains("`splits` is reserved"));
    let dir = folder(&["splits/1.png", "cat/1.png", "cat/2.png", "cat/3.png"]);
    let plan = Source::open(dir.path()).unwrap().plan(&ratio(&[0.4, 0.3, 0.3]), 0).unwrap();
    let message = plan.write_index(None, true).unwrap_err().to_string();
    assert!(message.contains("holds `1.png`"), "{message}");
    assert!(dir.path().join("splits/1.png").exists());
}

#[cfg(unix)]
#[test]
fn names_that_a_line_cannot_hold_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let strange = |name: &[u8]| {
        let dir = folder(&["cat/1.png"]);
        fs::write(dir.path().join("cat").join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        source_refusal(dir.path())
    };
    assert!(strange(b"a\nb.png").contains("line break"));
    assert!(strange(b"a\xff.png").contains("not valid UTF-8"));
    // What is no image may be called anything.
    let dir = folder(&["cat/1.png", "cat/a\nb.txt"]);
    assert!(Source::open(dir.path()).is_ok());
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_loops_are_refused() {
    use std::os::unix::fs::symlink;
    let away = folder(&["images/1.png", "images/below/2.png"]);
    let dir = folder(&["cat/1.png"]);
    symlink(away.path().join("images"), dir.path().join("dog")).unwrap();
    let source = Source::open(dir.path()).unwrap();
    assert_eq!(source.classes().collect::<Vec<_>>(), ["cat", "dog"]);
    let plan = source.plan(&ratio(&[0.5, 0.5]), 0).unwrap();
    let mut lines: Vec<_> = ["train", "val"].into_iter().flat_map(|name| plan.lines(name).unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["cat/1.png", "dog/1.png", "dog/below/2.png"]);

    for target in [dir.path().to_owned(), dir.path().join("cat"), PathBuf::from(".")] {
        let link = dir.path().join("cat/again");
        symlink(&target, &link).unwrap();
        let message = source_refusal(dir.path());
        assert!(message.contains(link.to_str().unwrap()) && message.contains("remove the link"), "{message}");
        fs::remove_file(link).unwrap();
    }
    // Two folders that link to each other.
    symlink(away.path().join("images"), dir.path().join("cat/other")).unwrap();
    symlink(dir.path().join("cat"), away.path().join("images/other")).unwrap();
    assert!(source_refusal(dir.path()).contains("remove the link"));
}

/// A data folder with splits, and the path of one of their files.
fn indexed() -> TempDir {
    let dir = raw(&[("cat", 20), ("dog", 10)]);
    split(dir.path(), &ratio(&[0.6, 0.2, 0.2]));
    dir
}

fn manifest(dir: &TempDir) -> PathBuf {
    dir.path().join("splits/manifest.yaml")
}

#[test]
fn lines_that_leave_the_root_or_name_no_class_are_refused() {
    for (line, part) in [
        ("../raw/cat/000.png", "without `..`"),
        ("raw/../../cat/000.png", "without `..`"),
        ("/etc/passwd", "without `..`"),
        ("raw//cat/000.png", "without `..`"),
        ("cat/000.png", "not of the form raw/<class>/<image>"),
        ("raw/000.png", "not of the form"),
        ("raw/mouse/000.png", "class `mouse` is not in the manifest"),
    ] {
        let dir = indexed();
        let train = dir.path().join("splits/train.txt");
        edit(&train, |text| text.replacen(text.lines().nth(2).unwrap(), line, 1));
        let message = refusal(dir.path());
        assert!(message.contains(&format!("{} line 3", train.display())), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn index_files_that_differ_from_the_manifest_are_refused() {
    let dir = indexed();
    let train = dir.path().join("splits/train.txt");
    edit(&train, |text| text.lines().skip(1).map(|line| format!("{line}\n")).collect());
    let message = refusal(dir.path());
    assert!(message.contains("lists 11 images of class `cat`, and the manifest says 12"), "{message}");

    let dir = indexed();
    let train = dir.path().join("splits/train.txt");
    edit(&train, |text| text.replacen(text.lines().next().unwrap(), "raw/cat/other.png", 1));
    assert!(refusal(dir.path()).contains("index_sha256"));
    // Without its hash, a file may be edited within its counts.
    edit(&manifest(&dir), |text| {
        text.lines().filter(|line| !line.contains("index_sha256")).map(|line| format!("{line}\n")).collect()
    });
    let data = Dataset::open(dir.path(), &OpenOptions::default()).unwrap();
    assert!(paths(&data.train).contains(&"raw/cat/other.png"));

    let twice = |text: String| text.replacen(text.lines().next().unwrap(), text.lines().nth(1).unwrap(), 1);
    edit(&dir.path().join("splits/val.txt"), twice);
    assert!(refusal(dir.path()).contains("twice"));
}

#[test]
fn an_image_in_two_splits_is_refused() {
    let dir = indexed();
    edit(&manifest(&dir), |text| {
        text.lines().filter(|line| !line.contains("index_sha256")).map(|line| format!("{line}\n")).collect()
    });
    let train = fs::read_to_string(dir.path().join("splits/train.txt")).unwrap();
    let leaked = train.lines().next().unwrap().to_owned();
    edit(&dir.path().join("splits/test.txt"), |text| text.replacen(text.lines().next().unwrap(), &leaked, 1));
    let message = refusal(dir.path());
    assert!(
        message.contains(&leaked) && message.contains("train.txt") && message.contains("test.txt"),
        "{message}"
    );
}

#[test]
fn missing_and_empty_index_files_are_named() {
    let dir = indexed();
    let val = dir.path().join("splits/val.txt");
    fs::write(&val, "").unwrap();
    assert!(refusal(dir.path()).contains(&format!("{}: there are no images", val.display())));
    fs::remove_file(&val).unwrap();
    let message = refusal(dir.path());
    assert!(message.contains(val.to_str().unwrap()) && message.contains("ml-split --force"), "{message}");
    fs::remove_file(manifest(&dir)).unwrap();
    assert!(refusal(dir.path()).contains("manifest.yaml: is missing"));
}

#[test]
fn damaged_manifests_are_refused_by_key() {
    type Change = fn(String) -> String;
    let cases: [(Change, &str); 10] = [
        (|_| String::new(), "is damaged"),
        (|text| text[..text.len() / 2].to_owned(), "is damaged"),
        (|text| text + "surprise: 1\n", "surprise"),
        (|text| text.replace("format_version: 1", "format_version: 6\nnews: 1"), "format_version 6"),
        (|text| text.replacen("- dog\n", "- cat\n", 1), "`cat` is listed twice"),
        (|text| text.replacen("- dog\n", "- cow\n", 1), "`dog`, which is not in classes"),
        (|text| text.replace("images: raw", "images: ../raw"), "images: `../raw`"),
        (|text| text.replace("images: raw", "images: gone"), "images: there is no folder"),
        (|text| text.replace("cat: 12", "cat: 13"), "add up to 19"),
        (|text| text.replace("name: val", "name: dev"), "no entry called `val`"),
    ];
    for (change, part) in cases {
        let dir = indexed();
        edit(&manifest(&dir), change);
        let message = refusal(dir.path());
        assert!(message.starts_with(manifest(&dir).to_str().unwrap()), "{message}");
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn hostile_class_names_survive_the_manifest() {
    let names = ["no", "null", "0", "1e3", "a: b", "- x", "#", "'", "ünï", "~", " lead", "{}", "trail "];
    let dir = raw(&names.map(|name| (name, 4)));
    split(dir.path(), &ratio(&[0.5, 0.25, 0.25]));
    let data = Dataset::open(dir.path(), &OpenOptions::default()).unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(data.classes, sorted);
    assert!(data.class_counts(Split::Train).iter().all(|count| *count == 2));
}

#[test]
fn classes_too_small_for_every_split_are_warned_about_or_refused() {
    let dir = raw(&[("cat", 20), ("rare", 2), ("single", 1)]);
    let plan = Source::open(dir.path()).unwrap().plan(&ratio(&[0.6, 0.2, 0.2]), 42).unwrap();
    let warnings = plan.warnings().join("\n");
    assert!(
        warnings.contains("class `rare` has 2 image(s)") && warnings.contains("none in test"),
        "{warnings}"
    );
    assert!(warnings.contains("class `single`") && warnings.contains("none in val, test"), "{warnings}");
    assert!(!warnings.contains("cat"));
    plan.write_index(None, false).unwrap();
    assert_eq!(
        Dataset::open(dir.path(), &OpenOptions::default()).unwrap().class_counts(Split::Train)[1..],
        [1, 1]
    );

    let folds = Division::Folds { folds: 3, test_ratio: 0.2 };
    let message = Source::open(dir.path()).unwrap().plan(&folds, 42).unwrap_err().to_string();
    assert!(message.contains("class `single`") && message.contains("ratios instead"), "{message}");
}

#[test]
fn a_split_that_would_be_empty_is_refused() {
    let dir = raw(&[("cat", 1), ("dog", 1)]);
    let message =
        Source::open(dir.path()).unwrap().plan(&ratio(&[0.6, 0.2, 0.2]), 42).unwrap_err().to_string();
    assert!(message.contains("2 images are too few") && message.contains("val"), "{message}");
}

#[test]
fn existing_splits_are_replaced_only_by_force_and_other_files_never() {
    let dir = indexed();
    let plan = || Source::open(dir.path()).unwrap().plan(&ratio(&[0.8, 0.2]), 42).unwrap();
    let before = fs::read(manifest(&dir)).unwrap();
    let message = plan().write_index(None, false).unwrap_err().to_string();
    assert!(message.contains("--force"), "{message}");
    assert_eq!(fs::read(manifest(&dir)).unwrap(), before);
    assert!(!plan().write_index(None, true).unwrap().unchanged);
    assert!(plan().write_index(None, false).unwrap().unchanged);
    // The old test split is gone as well.
    assert!(!dir.path().join("splits/test.txt").exists());
    assert!(Dataset::open(dir.path(), &OpenOptions::default()).unwrap().test.is_none());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left over: {names:?}");

    fs::write(dir.path().join("splits/mine.doc"), "").unwrap();
    let message = plan().write_index(None, true).unwrap_err().to_string();
    assert!(message.contains("mine.doc"), "{message}");
    assert!(dir.path().join("splits/mine.doc").exists());
}

#[test]
fn another_output_is_a_data_folder_of_its_own() {
    let dir = raw(&[("cat", 9), ("dog", 9)]);
    let out = TempDir::new().unwrap();
    let output = out.path().join("new/place");
    let plan = Source::open(dir.path()).unwrap().plan(&ratio(&[0.6, 0.2, 0.2]), 42).unwrap();
    let written = plan.write_index(Some(&output), false).unwrap();
    assert_eq!((written.data_dir.as_path(), written.path), (output.as_path(), output.join("splits")));
    assert!(!dir.path().join("splits").exists());
    let data = Dataset::open(&output, &OpenOptions::default()).unwrap();
    assert!(data.train.samples.iter().all(|sample| data.train.root.join(&sample.path).is_file()));

    let gone = dir.path().to_owned();
    drop(dir);
    let message = refusal(&output);
    assert!(
        message.contains("root: there is no folder") && message.contains(gone.to_str().unwrap()),
        "{message}"
    );
}

#[test]
fn an_output_among_the_images_is_refused() {
    let dir = folder(&["cat/1.png", "cat/2.png", "cat/3.png"]);
    let plan = Source::open(dir.path()).unwrap().plan(&ratio(&[0.4, 0.3, 0.3]), 42).unwrap();
    for output in ["new", "cat", "cat/new/below"] {
        let output = dir.path().join(output);
        for error in [
            plan.write_index(Some(&output), true).unwrap_err(),
            plan.write_folders(Some(&output), Link::Copy, true, || false).unwrap_err(),
        ] {
            assert!(error.is_usage() && error.to_string().contains("outside of it"), "{error}");
        }
    }
    // The folder itself is the default.
    assert_eq!(plan.write_index(Some(dir.path()), false).unwrap().path, dir.path().join("splits"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[cfg(unix)]
#[test]
fn trees_of_links_hold_each_image_under_its_name() {
    use std::os::unix::fs::{MetadataExt, symlink};
    for link in [Link::Hard, Link::Symbolic, Link::Copy] {
        let dir = raw(&[("cat", 9), ("dog", 9)]);
        add(dir.path(), &["raw/cat/below/deep.png"]);
        // An image that is itself a relative link.
        symlink("000.png", dir.path().join("raw/dog/link.png")).unwrap();
        let out = TempDir::new_in(dir.path()).unwrap();
        let tree = out.path().join("tree");
        let plan = Source::open(&dir.path().join("raw")).unwrap().plan(&ratio(&[0.6, 0.2, 0.2]), 42).unwrap();
        let written = plan.write_folders(Some(&tree), link, false, || false).unwrap();
        assert_eq!(written.data_dir, tree);
        plan.write_index(None, false).unwrap();
        let (by_tree, by_index) = (
            Dataset::open(&tree, &OpenOptions::default()).unwrap(),
            Dataset::open(dir.path(), &OpenOptions::default()).unwrap(),
        );
        for split in Split::ALL {
            let (a, b) = (by_tree.index(split).unwrap(), by_index.index(split).unwrap());
            let tail = |path: &str| path.split_once('/').unwrap().1.to_owned();
            let tails = |index: &Index| paths(index).into_iter().map(tail).collect::<Vec<_>>();
            assert_eq!(tails(a), tails(b));
            for (mine, original) in a.samples.iter().zip(&b.samples) {
                assert_eq!(mine.class, original.class);
                let (mine, original) = (a.root.join(&mine.path), b.root.join(&original.path));
                assert_eq!(fs::read(&mine).unwrap(), fs::read(&original).unwrap());
                let same_file = fs::metadata(&mine).unwrap().ino() == fs::metadata(&original).unwrap().ino();
                assert_eq!(same_file, link != Link::Copy);
                assert_eq!(mine.is_symlink(), link == Link::Symbolic);
            }
        }
        let message = plan.write_folders(Some(&tree), link, false, || false).unwrap_err().to_string();
        assert!(message.contains("--force"), "{message}");
        plan.write_folders(Some(&tree), link, true, || false).unwrap();
        add(&tree, &["mine/1.png"]);
        assert!(
            plan.write_folders(Some(&tree), link, true, || false)
                .unwrap_err()
                .to_string()
                .contains("holds `mine`")
        );
    }
}

#[test]
fn an_interrupted_tree_leaves_nothing_and_what_was_there() {
    let dir = raw(&[("cat", 9), ("dog", 9)]);
    let out = TempDir::new().unwrap();
    let plan = Source::open(dir.path()).unwrap().plan(&ratio(&[0.6, 0.2, 0.2]), 42).unwrap();
    let interrupted = |place: &str, force: bool| {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let fifth = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 5;
        let error = plan.write_folders(Some(&out.path().join(place)), Link::Copy, force, fifth).unwrap_err();
        assert!(matches!(error, SplitError::Interrupted), "{error}");
    };
    interrupted("new/tree", false);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    plan.write_folders(Some(&out.path().join("tree")), Link::Copy, false, || false).unwrap();
    interrupted("tree", true);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    assert_eq!(
        Dataset::open(&out.path().join("tree"), &OpenOptions::default()).unwrap().train.samples.len(),
        11
    );
}

#[test]
fn a_folder_of_others_is_never_replaced_by_a_tree() {
    let dir = raw(&[("cat", 9)]);
    let other = folder(&["train/cat/mine.png"]);
    let plan = Source::open(dir.path()).unwrap().plan(&ratio(&[0.6, 0.2, 0.2]), 42).unwrap();
    let error = plan.write_folders(Some(other.path()), Link::Copy, true, || false).unwrap_err();
    assert!(error.to_string().contains("did not write"), "{error}");
    assert!(other.path().join("train/cat/mine.png").exists());
    let empty = TempDir::new().unwrap();
    plan.write_folders(Some(empty.path()), Link::Copy, false, || false).unwrap();
    assert!(Dataset::open(empty.path(), &OpenOptions::default()).is_ok());
}

#[test]
fn folds_have_no_tree() {
    let dir = raw(&[("cat", 9)]);
    let plan =
        Source::open(dir.path()).unwrap().plan(&Division::Folds { folds: 3, test_ratio: 0.1 }, 0).unwrap();
    let error = plan.write_folders(None, Link::Copy, false, || false).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("folds have no folder layout"), "{error}");
}

#[test]
fn loose_and_empty_images_are_warned_about() {
    let dir = folder(&["raw/cat/1.png", "raw/cat/2.png", "raw/cat/3.png", "raw/loose.png", "raw/cat/a.avif"]);
    fs::write(dir.path().join("raw/cat/2.png"), "").unwrap();
    let source = Source::open(dir.path()).unwrap();
    assert_eq!(source.left_out().by_suffix[".avif"], 1);
    let warnings = source.plan(&ratio(&[0.4, 0.3, 0.3]), 42).unwrap().warnings().join("\n");
    assert!(warnings.contains("1 images lie right in"), "{warnings}");
    assert!(warnings.contains("0 bytes") && warnings.contains("2.png"), "{warnings}");
    assert!(warnings.contains("only one class"), "{warnings}");
}

#[test]
fn shell_quoting_is_used_where_it_is_needed() {
    assert_eq!(shell_quoted(Path::new("data/flowers-2.raw")), "data/flowers-2.raw");
    assert_eq!(shell_quoted(Path::new("my data")), "'my data'");
    assert_eq!(shell_quoted(Path::new("it's")), r"'it'\''s'");
}
