use std::os::unix::fs::symlink;

use super::*;
use crate::dataset::{Checks, Dataset, Division, Labelled, OpenOptions, Plan, Ratio, SplitError, Task};

const OPTIONS: OpenOptions = OpenOptions { fold: None, val_fraction: 0.15, seed: 42, multi_label: true };

/// 60 images `i/00.png` and so on with a CSV of their labels: `even`, `third`, and `fifth`.
fn numbers() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("i")).unwrap();
    let mut text = "path,labels\n".to_owned();
    for number in 0..60 {
        fs::write(data.path().join(format!("i/{number:02}.png")), format!("image {number}")).unwrap();
        let labels = [(2, "even"), (3, "third"), (5, "fifth")];
        let labels = labels.into_iter().filter(|(n, _)| number % n == 0).map(|(_, label)| label);
        text += &format!("i/{number:02}.png,{}\n", labels.collect::<Vec<_>>().join("|"));
    }
    fs::write(data.path().join("tags.csv"), text).unwrap();
    data
}

fn opened(data: &Path) -> Source {
    Source::open_csv_multi_label(&data.join("tags.csv"), &CsvOptions::default()).unwrap()
}

fn planned(source: Source) -> Plan {
    source.plan(&Division::Ratio(Ratio::new(&[0.6, 0.2, 0.2]).unwrap()), 42).unwrap()
}

/// The number of an image of [`numbers`].
fn number(index: &crate::dataset::Index, sample: usize) -> usize {
    index.samples[sample].path.to_str().unwrap()[2..4].parse().unwrap()
}

#[test]
fn label_sets_are_written_and_read_back() {
    let data = numbers();
    let plan = planned(opened(data.path()));
    let manifest = plan.manifest();
    assert_eq!((manifest.task, manifest.format_version), (Task::MultiLabel, 5));
    assert_eq!(manifest.classes, ["even", "fifth", "third"]);
    plan.write_index(None, false).unwrap();
    let dataset = Dataset::open(data.path(), &OPTIONS).unwrap();
    assert_eq!(dataset.task(), Task::MultiLabel);
    let mut total = [0; 3];
    for split in Split::ALL {
        let index = dataset.index(split).unwrap();
        let sets = index.label_sets.as_ref().unwrap();
        assert_eq!(sets.len(), index.samples.len());
        for sample in 0..sets.len() {
            let number = number(index, sample);
            let divisors = [(0, 2), (1, 5), (2, 3)];
            let expected =
                divisors.iter().filter(|(_, n)| number.is_multiple_of(*n)).map(|(class, _)| *class);
            assert_eq!(index.labels(sample), expected.collect::<Vec<u32>>(), "image {number}");
        }
        let counts = dataset.class_counts(split);
        (0..3).for_each(|class| total[class] += counts[class]);
    }
    assert_eq!(total, [30, 12, 20]);
    let train = dataset.class_counts(Split::Train);
    assert!((17..=19).contains(&train[0]) && (6..=8).contains(&train[1]), "{train:?}");
    // The same again is left alone, and whoever takes one label an image is refused.
    assert!(planned(opened(data.path())).write_index(None, false).unwrap().unchanged);
    let error = Dataset::open(data.path(), &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, DatasetError::MultiLabel { .. }), "{error}");
}

#[test]
fn the_fingerprint_and_the_audit_know_the_labels() {
    let data = numbers();
    planned(opened(data.path())).write_index(None, false).unwrap();
    let dataset = Dataset::open(data.path(), &OPTIONS).unwrap();
    let checks = Checks { tolerate_missing: false, changes: true, leaks: false, remember: false };
    assert_eq!(dataset.audit(checks, || false).unwrap().changes, None);
    // Image 1 had no label, and image 2 its first of three classes.
    let csv = data.path().join("tags.csv");
    let text = fs::read_to_string(&csv).unwrap();
    fs::write(
        &csv,
        text.replace("i/01.png,\n", "i/01.png,even\n").replace("02.png,even", "02.png,even|third"),
    )
    .unwrap();
    let changes = dataset.audit(checks, || false).unwrap().changes.unwrap();
    assert_eq!(changes.relabelled.0, 2);
    assert!(changes.again.contains("--task multi_label"), "{}", changes.again);
    let before = dataset.fingerprint().to_owned();
    let train = data.path().join("splits/train.txt");
    let lines = fs::read_to_string(&train).unwrap();
    // Of two images with one label each, the labels change places.
    let (even, third) = (".png\teven\n", ".png\tthird\n");
    assert!(lines.contains(even) && lines.contains(third), "{lines}");
    let swapped =
        lines.replacen(even, ".png\tonce\n", 1).replacen(third, even, 1).replacen(".png\tonce\n", third, 1);
    fs::write(&train, swapped).unwrap();
    let manifest = data.path().join("splits/manifest.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    let kept = text.lines().filter(|line| !line.contains("index_sha256"));
    fs::write(&manifest, kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let after = Dataset::open(data.path(), &OPTIONS).unwrap();
    assert_eq!(after.class_counts(Split::Train), dataset.class_counts(Split::Train));
    assert_ne!(after.fingerprint(), before);
}

#[test]
fn images_are_left_out_with_their_labels_and_folds_are_made() {
    let data = numbers();
    let mut source = opened(data.path());
    assert_eq!(source.exclude(&["i/00.png".to_owned(), "i/07.png".to_owned()]).unwrap(), 2);
    assert_eq!((source.len(), source.label_sets().unwrap().len()), (58, 58));
    assert_eq!(source.labels_of(0), [""; 0], "image 1 has no label");
    assert_eq!(source.labels_of(1), ["even"]);
    let error = source.clone().relabel(&[("i/02.png".to_owned(), "third".to_owned())]).unwrap_err();
    assert!(matches!(error, SplitError::RelabelMultiLabel));
    let plan = source.plan(&Division::Folds { folds: 3, test_ratio: 0.1 }, 1).unwrap();
    plan.write_index(None, false).unwrap();
    for fold in 0..3 {
        let dataset = Dataset::open(data.path(), &OpenOptions { fold: Some(fold), ..OPTIONS }).unwrap();
        let counts = dataset.class_counts(Split::Val);
        assert!((7..=10).contains(&counts[0]) && (2..=5).contains(&counts[1]), "{counts:?}");
    }
    let error = plan.check_folders(None, false).unwrap_err();
    assert!(matches!(error, SplitError::FoldsAsFolders | SplitError::MultiLabelAsFolders));
}

#[test]
fn links_to_one_image_are_one_image_with_the_labels_of_their_folders() {
    let data = tempfile::tempdir().unwrap();
    let raw = data.path().join("raw");
    for class in ["cat", "dog", "sofa"] {
        fs::create_dir_all(raw.join(class)).unwrap();
    }
    for number in 0..12 {
        fs::write(raw.join(format!("cat/{number:02}.png")), format!("cat {number}")).unwrap();
        fs::write(raw.join(format!("dog/{number:02}.png")), format!("dog {number}")).unwrap();
    }
    for number in 0..6 {
        symlink(format!("../cat/{number:02}.png"), raw.join(format!("sofa/c{number}.png"))).unwrap();
        fs::hard_link(raw.join(format!("dog/{number:02}.png")), raw.join(format!("sofa/d{number}.png")))
            .unwrap();
    }
    // A copy is an image of its own.
    fs::copy(raw.join("dog/11.png"), raw.join("sofa/copy.png")).unwrap();
    // A link into the same class adds nothing.
    symlink("11.png", raw.join("cat/again.png")).unwrap();
    let mut source = Source::open_multi_label(data.path()).unwrap();
    assert_eq!((source.len(), source.classes().count()), (25, 3));
    assert!(
        source.notes()[0].starts_with("12 of 25 images lie in several class folders"),
        "{:?}",
        source.notes()
    );
    let labels = |path: &str| source.labels_of(source.number(path).unwrap());
    assert_eq!(labels("raw/cat/00.png"), ["cat", "sofa"]);
    assert_eq!(labels("raw/dog/00.png"), ["dog", "sofa"]);
    assert_eq!((labels("raw/cat/11.png"), labels("raw/sofa/copy.png")), (vec!["cat"], vec!["sofa"]));
    assert!(source.number("raw/cat/again.png").is_err());
    source.keep_duplicates_together(|| false).unwrap();
    let plan = planned(source);
    assert!(plan.warnings().iter().any(|warning| warning.contains("different labels and the same content")));
    plan.write_index(None, false).unwrap();
    let dataset = Dataset::open(data.path(), &OPTIONS).unwrap();
    let checks = Checks { tolerate_missing: false, changes: true, leaks: true, remember: false };
    assert_eq!(dataset.audit(checks, || false).unwrap(), crate::dataset::Audit::default());
    // A new link is another label.
    symlink("../dog/09.png", raw.join("cat/new.png")).unwrap();
    let changes = dataset.audit(checks, || false).unwrap().changes.unwrap();
    assert_eq!((changes.relabelled.0, changes.added.0), (1, 0));
}

#[test]
fn a_line_with_an_unknown_class_is_named() {
    let data = numbers();
    planned(opened(data.path())).write_index(None, false).unwrap();
    let val = data.path().join("splits/val.txt");
    let text = fs::read_to_string(&val).unwrap();
    fs::write(&val, text.replacen("\teven", "\todd", 1)).unwrap();
    let message = Dataset::open(data.path(), &OPTIONS).unwrap_err().to_string();
    assert!(message.contains("the class `odd` is not in the manifest's classes"), "{message}");
}

/// The labels of images by their paths, as the classes of a model number them.
fn labelled(path: &Path, classes: &[&str], multi_label: bool) -> Result<Vec<(String, Vec<u32>)>, String> {
    let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
    let options = OpenOptions { multi_label, ..OpenOptions::default() };
    let found = Labelled::open(path, &classes, None, &options, &CsvOptions::default());
    let index = found.map_err(|error| error.to_string())?.index;
    assert_eq!(index.label_sets.as_ref().unwrap().len(), index.samples.len());
    let samples = index.samples.iter().enumerate();
    Ok(samples.map(|(place, of)| (of.path.display().to_string(), index.labels(place).to_vec())).collect())
}

#[test]
fn labelled_images_have_the_numbers_of_the_models_classes() {
    let model = ["other", "third", "even", "fifth"];
    let data = numbers();
    let csv = labelled(&data.path().join("tags.csv"), &model, true).unwrap();
    assert_eq!(csv.len(), 60);
    assert_eq!(csv[0], ("i/00.png".to_owned(), vec![1, 2, 3]));
    assert_eq!(csv[1], ("i/01.png".to_owned(), vec![]));
    assert_eq!(csv[10], ("i/10.png".to_owned(), vec![2, 3]));
    planned(opened(data.path())).write_index(None, false).unwrap();
    let test = labelled(data.path(), &model, true).unwrap();
    assert!(test.len() < 20 && test.iter().all(|one| csv.contains(one)), "{test:?}");
    let unknown = labelled(&data.path().join("tags.csv"), &["even", "third"], true).unwrap_err();
    assert!(unknown.contains("does not know the class `fifth`"), "{unknown}");
    let single = labelled(data.path(), &model, false).unwrap_err();
    assert!(single.contains("have several labels") && single.contains("gives an image one"), "{single}");
}

#[test]
fn labelled_class_folders_need_links_between_them() {
    let data = tempfile::tempdir().unwrap();
    for (class, image) in [("cat", "1.png"), ("dog", "2.png")] {
        fs::create_dir(data.path().join(class)).unwrap();
        fs::write(data.path().join(class).join(image), image).unwrap();
    }
    let model = ["dog", "cat"];
    let refused = labelled(data.path(), &model, true).unwrap_err();
    assert!(refused.contains("one label each"), "{refused}");
    symlink(data.path().join("cat/1.png"), data.path().join("dog/1.png")).unwrap();
    let found = labelled(data.path(), &model, true).unwrap();
    assert_eq!(found, [("cat/1.png".to_owned(), vec![0, 1]), ("dog/2.png".to_owned(), vec![0])]);
}
