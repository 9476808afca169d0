//! Folders, tables and images as people have them: other names of splits, leftovers of systems,
//! labels of other programs, images that would become enormous.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{fails, ok, read, small_digits, start, train};

fn program(place: &Path, exe: &str, args: &[&str]) -> Command {
    let mut command = start(exe);
    command.current_dir(place).args(args);
    command
}

fn inference(place: &Path, args: &[&str]) -> Command {
    program(place, env!("CARGO_BIN_EXE_ml-inference"), args)
}

fn split(place: &Path, args: &[&str]) -> Command {
    program(place, env!("CARGO_BIN_EXE_ml-split"), args)
}

fn images_of(folder: &Path) -> Vec<PathBuf> {
    let mut images: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    images
}

/// A data set as it comes from a NAS, in a Mac's ZIP: splits by other names, no validation images,
/// and leftovers everywhere.
fn messy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    small_digits(&data.join("Training"), &[10, 10]);
    small_digits(&dir.path().join("more"), &[14, 14]);
    for class in ["0", "1"] {
        let to = data.join("Testing").join(class);
        fs::create_dir_all(&to).unwrap();
        for image in &images_of(&dir.path().join("more").join(class))[10..] {
            fs::copy(image, to.join(image.file_name().unwrap())).unwrap();
        }
        fs::create_dir_all(data.join("Training").join(class).join("@eaDir")).unwrap();
        fs::write(data.join("Training").join(class).join("@eaDir/SYNO.png"), "x").unwrap();
        fs::write(data.join("Training").join(class).join("._a.png"), "x").unwrap();
        fs::write(data.join("Training").join(class).join("Thumbs.db"), "x").unwrap();
    }
    fs::create_dir_all(data.join("__MACOSX/Training/0")).unwrap();
    fs::write(data.join("__MACOSX/Training/0/._a.png"), "x").unwrap();
    fs::write(data.join("Training/0/IMG_1.HEIC"), "x").unwrap();
    dir
}

#[test]
fn a_messy_tree_without_validation_images_is_trained_on_resumed_and_evaluated() {
    let dir = messy();
    let output = ok(train(dir.path(), &["--data_dir", "data", "--run_name", "r"]));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in [
        "train 17, val 3, test 8",
        "`Training` as train, `Testing` as test",
        "3 of the 20 images in Training validate (15 % of each class, from seed 42",
        "left out: 1 .heic",
        "left by systems (._*, @eaDir, Thumbs.db, __MACOSX)",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    ok(train(dir.path(), &["--resume", "runs/r", "--num_epochs", "3"]));
    assert!(read(dir.path().join("runs/r/summary.yaml")).contains("status: completed"));
    let output = ok(inference(dir.path(), &["--checkpoint", "runs/r", "--split", "val", "--json"]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["num_samples"], &report["split"]), (&3.into(), &"val".into()));
    // Another seed validates other images, and so do other shares.
    let output = ok(train(
        dir.path(),
        &["--data_dir", "data", "--set", "data.val_fraction=0.4", "--dry_run", "--seed", "3"],
    ));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("8 of the 20 images") && said.contains("from seed 3"), "{said}");
    fails(
        train(dir.path(), &["--data_dir", "data", "--set", "data.val_fraction=1"]),
        2,
        &["data.val_fraction", "must be above 0 and below 1"],
    );
    fails(split(dir.path(), &["data"]), 2, &["its folders are splits, not classes (Training, Testing)"]);
}

#[test]
fn a_trained_model_is_evaluated_on_any_labelled_images() {
    let dir = messy();
    let place = dir.path();
    ok(train(place, &["--data_dir", "data", "--run_name", "r", "--num_epochs", "1"]));
    let evaluate = |args: &[&str]| inference(place, &[&["--checkpoint", "runs/r", "--json"], args].concat());
    let report =
        |args: &[&str]| -> serde_json::Value { serde_json::from_slice(&ok(evaluate(args)).stdout).unwrap() };
    let tested = report(&["--output", "reports"]);
    for (path, split, count) in [("data/Testing", "all", 8), ("data", "test", 8), ("more", "all", 28)] {
        let report = report(&["--data_dir", path]);
        assert_eq!((&report["num_samples"], &report["split"]), (&count.into(), &split.into()));
        if count == 8 {
            assert_eq!(report["confusion_matrix"], tested["confusion_matrix"]);
        }
    }
    // A class alone, and a table.
    fs::create_dir_all(place.join("one/test")).unwrap();
    fs::rename(place.join("more/1"), place.join("one/test/1")).unwrap();
    assert_eq!(report(&["--data_dir", "one"])["confusion_matrix"][0], serde_json::json!([0, 0]));
    let rows: String = images_of(&place.join("more/0"))
        .iter()
        .map(|path| format!("{};0\n", path.file_stem().unwrap().to_str().unwrap()))
        .collect();
    fs::write(place.join("t.csv"), format!("ImageID;truth\n{rows}")).unwrap();
    let table = ["--data_dir", "t.csv", "--image_root", "more/0", "--csv_label_column", "truth"];
    assert_eq!(report(&table)["num_samples"], 14);
    // What cannot be measured is told.
    fails(evaluate(&["--data_dir", "more", "--split", "val"]), 2, &["are not split: leave --split out"]);
    fails(evaluate(&["--data_dir", "more/0"]), 2, &["14 images right in it have no class"]);
    fs::rename(place.join("more/0"), place.join("more/zero")).unwrap();
    fails(evaluate(&["--data_dir", "more"]), 2, &["does not know the class `zero`", "it knows `0`, `1`"]);
}

#[test]
fn an_unlabelled_test_folder_does_not_stop_training() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for split in ["train", "val"] {
        small_digits(&data.join(split), &[4, 4]);
    }
    fs::create_dir(data.join("test")).unwrap();
    let image = &images_of(&data.join("val/0"))[0];
    fs::copy(image, data.join("test/1.png")).unwrap();
    let args = ["--data_dir", "data", "--set", "data.on_leak=ignore", "--run_name", "base"];
    let said = ok(train(dir.path(), &args)).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("`ml-inference --checkpoint RUN data/test`"), "{said}");
    ok(inference(dir.path(), &["--checkpoint", "runs/base", "data/test"]));
}

/// 1 x 60,000 pixels in a few hundred bytes: `resize: 224` would make 3 billion of them.
#[test]
fn a_strip_that_resize_would_make_enormous_costs_an_image_and_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    for split in ["train", "val"] {
        small_digits(&place.join("data").join(split), &[4, 4]);
    }
    let strip = place.join("data/train/0/strip.png");
    image::RgbImage::from_pixel(1, 60_000, image::Rgb([9, 99, 200])).save(&strip).unwrap();
    let limited = |command: Command| {
        let mut limited = start("bash");
        limited.current_dir(place).args(["-c", "ulimit -v 6000000; exec \"$@\"", "bash"]);
        limited.arg(command.get_program()).args(command.get_args());
        limited
    };
    fs::write(
        place.join("large.yaml"),
        "{model: {architecture: tiny_net}, training: {num_epochs: 1, device: cpu}, data: {on_leak: ignore}, \
         transforms: {train: {resize: 224, center_crop: 16}, val: {resize: 224, center_crop: 16}}}",
    )
    .unwrap();
    let trained = |more: &[&str]| {
        let base = ["--config", "large.yaml", "--data_dir", "data"];
        limited(program(place, env!("CARGO_BIN_EXE_ml-train"), &[&base[..], more].concat()))
    };
    for cache in ["none", "ram", "disk"] {
        let _ = fs::remove_dir_all(place.join("skip"));
        let cache = format!("data.cache={cache}");
        fails(
            trained(&["--set", &cache]),
            1,
            &["data/train/0/strip.png", "it has 1 x 60000 pixels, and `resize` would make 224 x 13440000"],
        );
        ok(trained(&["--set", &cache, "--set", "data.on_error=skip", "--run_name", "skip"]));
        fs::rename(place.join("runs/skip"), place.join("skip")).unwrap();
    }
    ok(limited(program(place, env!("CARGO_BIN_EXE_ml-train"), &["--init_config", "data"])));
    let checked = limited(split(place, &["check", "data", "--json", "--no_report"])).output().unwrap();
    assert!(String::from_utf8_lossy(&checked.stdout).contains("strip.png"));
    let mut predicted =
        limited(inference(place, &["--checkpoint", "skip", "data/train/0/strip.png", "data/val/0"]));
    let output = predicted.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`resize` would make") && said.contains("1 of 5 images"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 5);
}

#[test]
fn a_table_of_another_program_is_split_trained_on_and_checked_for_changes() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    small_digits(&place.join("images"), &[8, 8]);
    let table = |label: fn(&str) -> &str| {
        let rows: Vec<String> = ["0", "1"]
            .iter()
            .flat_map(|class| {
                let images = images_of(&place.join("images").join(class));
                images.into_iter().map(move |path| {
                    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                    format!("{class}\\{name};\"{}\";x", label(class))
                })
            })
            .collect();
        format!("\u{feff}image_id;dx;note\r\n{}\r\n", rows.join("\r\n"))
    };
    fs::write(place.join("t.csv"), table(|class| class)).unwrap();
    let output = ok(split(place, &["t.csv", "--image_root", "images", "--suffix", "png"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("path = `image_id`, label = `dx`"), "{said}");
    let said = ok(train(place, &["--data_dir", ".", "--num_epochs", "1"])).stderr;
    assert!(!String::from_utf8_lossy(&said).contains("WARN"), "{}", String::from_utf8_lossy(&said));
    // The labels are read again in the same way when the table changes.
    fs::write(place.join("t.csv"), table(|_| "1")).unwrap();
    let said = ok(train(place, &["--data_dir", ".", "--num_epochs", "1"])).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("8 image(s) have another label"), "{said}");
    fails(split(place, &["t.csv"]), 1, &["does not exist", "give --image_root"]);
    fails(split(place, &["images", "--suffix", "png"]), 2, &["--suffix goes with a CSV"]);
}

#[test]
fn images_that_come_out_black_are_explained_by_the_check_and_warned_of_by_training() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    for split in ["train", "val"] {
        small_digits(&place.join("data").join(split), &[4, 4]);
    }
    let value = |x: u32, y: u32| (x * 200 + y) as u16;
    for name in ["12a.png", "12b.png"] {
        let bits = image::ImageBuffer::from_fn(18, 18, |x, y| image::Luma([value(x, y)]));
        bits.save(place.join("data/train/0").join(name)).unwrap();
    }
    let alpha = image::RgbaImage::from_fn(18, 18, |x, y| image::Rgba([0, 0, 0, (x * 9 + y) as u8]));
    alpha.save(place.join("data/train/1/alpha.png")).unwrap();
    let args = ["--data_dir", "data", "--set", "data.on_leak=ignore"];
    let said = ok(train(place, &args)).stderr;
    let said = String::from_utf8_lossy(&said);
    let warned =
        |part: &str| said.lines().filter(|line| line.contains("WARN") && line.contains(part)).count();
    assert_eq!((warned("only 12 of 16 bits are used"), warned("in the alpha channel")), (1, 1), "{said}");
    let checked = split(place, &["check", "data", "--json", "--no_report"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let count = |kind: &str| findings.iter().filter(|finding| finding["kind"] == kind).count();
    assert_eq!((count("narrow_range"), count("only_alpha"), count("one_color")), (2, 1, 0));
}

#[test]
fn classes_that_only_look_the_same_are_found_by_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    small_digits(place, &[4, 4, 4]);
    for (from, to) in [("0", "cat"), ("1", "\u{441}\u{430}t"), ("2", "dog")] {
        fs::rename(place.join(from), place.join(to)).unwrap();
    }
    let checked = split(place, &["check", ".", "--json", "--no_report"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found: Vec<_> = findings.iter().filter(|finding| finding["kind"] == "same_looks").collect();
    assert_eq!(found.len(), 1);
    assert!(found[0]["message"].as_str().unwrap().contains("\\u{441}"), "{found:?}");
}
