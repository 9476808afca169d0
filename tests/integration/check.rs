//! `ml-split check` and `--check` on folders in which everything is wrong.

mod divided;
mod outputs;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{ok, read, small_digits, start, workspace};

const HOSTILE: &str = "<img src=x onerror=alert(1)>.jpg";

fn check(dir: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-split"));
    command.arg("check").arg(dir.as_ref()).args(args);
    command
}

fn image(name: &str) -> PathBuf {
    workspace().join("tests/data/images").join(name)
}

fn put(from: &str, to: impl AsRef<Path>) {
    fs::copy(image(from), to).unwrap();
}

/// Runs the check and reads its JSON; the exit code must be 1 if there are errors, else 0.
fn report(mut command: Command) -> Value {
    let output = command.arg("--json").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    let expected = i32::from(json["counts"]["error"].as_u64().unwrap() > 0);
    assert_eq!(output.status.code(), Some(expected), "{told}");
    json
}

/// `kind path` of each finding; of duplicates, `kind path = path …`.
fn findings(report: &Value) -> BTreeSet<String> {
    let line = |finding: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let paths: Vec<String> =
            finding["paths"].as_array().map_or_else(Vec::new, |paths| paths.iter().map(text).collect());
        let path = if paths.is_empty() {
            finding["path"].as_str().unwrap_or("-").to_owned()
        } else {
            paths.join(" = ")
        };
        format!("{} {path}", text(&finding["kind"]))
    };
    report["findings"].as_array().unwrap().iter().map(line).collect()
}

/// What one finding says.
fn message<'a>(report: &'a Value, kind: &str, path: &str) -> &'a str {
    let all = report["findings"].as_array().unwrap();
    let found = all.iter().find(|finding| finding["kind"] == kind && finding["path"] == path);
    found.unwrap_or_else(|| panic!("{kind} {path} in {all:#?}"))["message"].as_str().unwrap()
}

fn save(path: impl AsRef<Path>, width: u32, height: u32, pixel: impl Fn(u32, u32) -> u8) {
    let header = format!("P5 {width} {height} 255\n").into_bytes();
    let pixels = (0..width * height).map(|i| pixel(i % width, i / width));
    fs::write(path, header.into_iter().chain(pixels).collect::<Vec<u8>>()).unwrap();
}

/// A PNG whose header announces 60,000 x 60,000 pixels, in about 1 kB.
pub fn bomb() -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
        })
    };
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(&body);
        png.extend(crc(&body).to_be_bytes());
    };
    let side = 60_000_u32.to_be_bytes();
    chunk(b"IHDR", &[&side[..], &side, &[8, 2, 0, 0, 0]].concat());
    chunk(b"tEXt", &[b"Comment\0".as_slice(), &[b'x'; 900]].concat());
    chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0, 0, 0, 1, 0, 1]);
    chunk(b"IEND", &[]);
    png
}

/// Digits in `raw/0`, `raw/1`, `raw/2`, and one of everything that can be wrong in a class folder.
fn messy() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let raw = data.path().join("raw");
    small_digits(&raw, &[24, 24, 3]);
    let at = |name: &str| raw.join(name);
    fs::create_dir_all(at("empty")).unwrap();
    let jpeg = fs::read(image("rgb.jpg")).unwrap();
    fs::write(at("0/cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    fs::write(at("0/zero.jpg"), "").unwrap();
    fs::write(at("0/text.jpg"), "To whom it may concern").unwrap();
    fs::write(at("0/bomb.png"), bomb()).unwrap();
    fs::write(at("0/new.jpg"), b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B").unwrap();
    let mut damaged = fs::read(image("rgb.png")).unwrap();
    damaged[20] ^= 0xFF;
    fs::write(at("0/damaged.png"), damaged).unwrap();
    put("png_inside.jpg", at("1").join(HOSTILE));
    put("rgb.jpg", at("1/photo.jpg_large"));
    put("rgb.jpg", at("loose.jpg"));
    fs::write(at("1/notes.txt"), "notes").unwrap();
    save(at("1/flat.pgm"), 10, 10, |_, _| 7);
    save(at("1/dot.pgm"), 3, 3, |x, y| (x * 80 + y) as u8);
    save(at("1/strip.pgm"), 90, 9, |x, y| (x * 2 + y) as u8);
    save(at("1/huge.pgm"), 300, 300, |x, y| (x * y / 40) as u8);
    put("orientation_6.jpg", at("2/turned.jpg"));
    put("orientation_6.png", at("2/turned.png"));
    put("animated.gif", at("2/moving.gif"));
    // Copies: a file within a class and across classes, pixels across files, looks across files.
    fs::copy(at("0/0000.png"), at("0/again.png")).unwrap();
    put("rgb.png", at("0/same_pixels.png"));
    put("rgb.qoi", at("0/same_pixels.qoi"));
    put("grey.pgm", at("1/label.pgm"));
    put("grey.pgm", at("2/label.pgm"));
    symlink("..", at("2/loop")).unwrap();
    symlink("self.png", at("2/self.png")).unwrap();
    symlink("nowhere.png", at("2/gone.png")).unwrap();
    symlink("../2", at("2/twice")).unwrap();
    put("orientation_1.jpg", at("2/new\nline.jpg"));
    put("lossy.webp", at("2").join(OsStr::from_bytes(b"bad\xff.webp")));
    data
}

#[test]
fn everything_that_is_wrong_is_found_with_its_path() {
    let data = messy();
    let raw = data.path().join("raw");
    // A folder of the same class, reached a second time.
    fs::remove_file(raw.join("2/twice")).unwrap();
    fs::create_dir(raw.join("2/more")).unwrap();
    symlink("more", raw.join("2/twice")).unwrap();
    let report = report(check(&raw, &[]));
    let found = findings(&report);
    for expected in [
        "truncated raw/0/cut.jpg",
        "empty_file raw/0/zero.jpg",
        "not_a_picture raw/0/text.jpg",
        "too_large raw/0/bomb.png",
        "unsupported raw/0/new.jpg",
        "damaged raw/0/damaged.png",
        "dangling_link raw/2/gone.png",
        "link_loop raw/2/loop",
        "link_loop raw/2/self.png",
        "folder_twice raw/2/twice",
        "bad_name raw/2/new\\nline.jpg",
        "bad_name raw/2/bad\\xff.webp",
        "empty_class raw/empty",
        "tiny_class raw/2",
        "no_class raw/loose.jpg",
        "ignored_picture raw/1/photo.jpg_large",
        "ignored_file raw/1/notes.txt",
        "one_color raw/1/flat.pgm",
        "very_small raw/1/dot.pgm",
        "odd_shape raw/1/strip.pgm",
        "odd_size raw/1/huge.pgm",
        "exif_orientation raw/2/turned.jpg",
        "animated raw/2/moving.gif",
        "near_duplicate raw/2/turned.jpg = raw/2/turned.png",
        "duplicate_across_classes raw/1/label.pgm = raw/2/label.pgm",
        &format!("wrong_suffix raw/1/{HOSTILE}"),
    ] {
        assert!(found.contains(expected), "{expected} is not in {found:#?}");
    }
    let some = |kind: &str, paths: &[&str]| {
        let has = |line: &&String| {
            line.split(' ').next() == Some(kind) && paths.iter().all(|path| line.contains(path))
        };
        assert!(found.iter().any(|line| has(&line)), "{kind} {paths:?} is not in {found:#?}");
    };
    assert!(found.contains("duplicate raw/0/0000.png = raw/0/again.png"), "{found:#?}");
    some("near_duplicate_across_classes", &["raw/0/same_pixels.png", "raw/2/new\\nline.jpg"]);
    some("duplicate_across_classes", &["raw/0/same_pixels.png", "raw/0/same_pixels.qoi", HOSTILE]);
    some("color_mix", &["raw/0/same_pixels.png"]);
    assert!(message(&report, "too_large", "raw/0/bomb.png").contains("60000 x 60000"));
    assert!(message(&report, "wrong_suffix", &format!("raw/1/{HOSTILE}")).contains("is a PNG file"));
    assert!(message(&report, "one_color", "raw/1/flat.pgm").contains("#070707"));
    // What is unusable is nothing else besides, and what is sound is not unusable.
    let unusable = report["pictures"].as_u64().unwrap() - report["usable"].as_u64().unwrap();
    assert_eq!(unusable, 6);
    assert_eq!(report["form"], "class_folders");
    let class = |name: &str| {
        report["classes"].as_array().unwrap().iter().find(|class| class["name"] == name).unwrap()
    };
    assert_eq!((&class("0")["pictures"], &class("0")["usable"]), (&33.into(), &27.into()));
}

#[test]
fn a_sound_folder_has_no_findings_and_ends_with_0() {
    let data = tempfile::tempdir().unwrap();
    small_digits(&data.path().join("raw"), &[30, 30, 30]);
    for dir in [data.path().to_owned(), data.path().join("raw"), data.path().join("raw/.")] {
        let report = report(check(&dir, &["--no_report"]));
        assert_eq!(report["pictures"], 90);
        assert_eq!(report["counts"]["error"], 0, "{report:#}");
        assert!(findings(&report).is_empty(), "{report:#}");
    }
    assert!(!data.path().join("dataset_report.json").exists());
    let table = String::from_utf8(ok(check(data.path(), &[])).stdout).unwrap();
    assert!(table.contains("90 images, 90 of them usable, in 3 classes: 0 errors"), "{table}");
}

/// `splits/` of three digits whose images are all distinct.
fn divided(place: &Path, args: &[&str]) {
    small_digits(&place.join("raw"), &[30, 30, 30]);
    let mut command = start(env!("CARGO_BIN_EXE_ml-split"));
    command.arg(place).args(args);
    ok(command);
}

fn lines(place: &Path, name: &str) -> Vec<String> {
    read(place.join("splits").join(name)).lines().map(str::to_owned).collect()
}

#[test]
fn copies_in_several_splits_are_leaks() {
    let data = tempfile::tempdir().unwrap();
    divided(data.path(), &[]);
    let at = |line: &str| data.path().join(line);
    let (train, val, test) =
        (lines(data.path(), "train.txt"), lines(data.path(), "val.txt"), lines(data.path(), "test.txt"));
    // The same content in train and val, and one look in train and test.
    fs::copy(at(&train[0]), at(&val[0])).unwrap();
    put("rgb.png", at(&train[1]));
    put("rgb.jpg", at(&test[0]));
    // One listed twice, one not there, one new.
    fs::write(
        at("splits/val.txt"),
        [val.join("\n"), train[2].clone(), "raw/0/gone.png\n".to_owned()].join("\n"),
    )
    .unwrap();
    put("rgba.png", at("raw/0/new.png"));
    let report = report(check(data.path(), &[]));
    let found = findings(&report);
    let pair = |a: &str, b: &str| if a < b { format!("{a} = {b}") } else { format!("{b} = {a}") };
    assert!(found.contains(&format!("duplicate_across_splits {}", pair(&train[0], &val[0]))), "{found:#?}");
    assert!(found.contains(&format!("listed_twice {}", train[2])), "{found:#?}");
    assert!(found.contains("missing raw/0/gone.png"), "{found:#?}");
    assert!(found.contains("not_in_split raw/0/new.png"), "{found:#?}");
    let near = found.iter().find(|line| line.starts_with("near_duplicate_across_splits")).unwrap();
    assert!(near.contains(&train[1]) && near.contains(&test[0]), "{near}");
    let told = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["kind"] == "duplicate_across_splits")
        .unwrap();
    assert!(told["message"].as_str().unwrap().contains("in the splits train, val"), "{told}");
    assert_eq!(told["severity"], "error");
    assert_eq!(report["form"], "index_files");
    // The same from the folder of images itself.
    assert_eq!(findings(&self::report(check(at("raw"), &[]))), found);
}

#[test]
fn folds_and_broken_split_files_are_understood() {
    let data = tempfile::tempdir().unwrap();
    divided(data.path(), &["--folds", "3"]);
    let at = |line: &str| data.path().join(line);
    let sound = report(check(data.path(), &["--no_report"]));
    assert_eq!(sound["splits"], serde_json::json!(["test", "fold 0", "fold 1", "fold 2"]));
    assert!(findings(&sound).is_empty(), "{sound:#}");
    let (fold_0, test) = (lines(data.path(), "fold_0_val.txt"), lines(data.path(), "test.txt"));
    fs::copy(at(&fold_0[0]), at(&test[0])).unwrap();
    // A training side that holds what it is validated on.
    let trained = read(at("splits/fold_0_train.txt"));
    fs::write(at("splits/fold_0_train.txt"), format!("{trained}{}\n", fold_0[1])).unwrap();
    fs::write(at("splits/manifest.yaml"), "{damaged: [").unwrap();
    let found = findings(&report(check(data.path(), &[])));
    assert!(
        found.iter().any(|line| line.starts_with("duplicate_across_splits ") && line.contains(&test[0])),
        "{found:#?}"
    );
    assert!(found.contains(&format!("listed_twice {}", fold_0[1])), "{found:#?}");
    assert!(found.contains("broken_splits splits/manifest.yaml"), "{found:#?}");
}

#[test]
fn an_image_folder_tree_is_examined_across_its_splits() {
    let data = tempfile::tempdir().unwrap();
    for (split, counts) in [("train", &[20, 240][..]), ("val", &[4, 4]), ("test", &[0, 4])] {
        // Far apart in the list of digits, so that no image is in two splits.
        let from = tempfile::tempdir().unwrap();
        small_digits(from.path(), &[170, 170]);
        for (class, count) in counts.iter().enumerate() {
            let to = data.path().join(split).join(class.to_string());
            fs::create_dir_all(&to).unwrap();
            let mut files: Vec<PathBuf> = fs::read_dir(from.path().join(class.to_string()))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            let skip = match split {
                "train" => 0,
                "val" => 160,
                _ => 165,
            };
            for file in files.iter().skip(skip).take(*count.min(&150)) {
                fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    fs::create_dir(data.path().join("val/2")).unwrap();
    let leak = data.path().join("train/0/leak.png");
    put("rgb.png", &leak);
    fs::copy(&leak, data.path().join("val/1/leak.png")).unwrap();
    fs::remove_file(data.path().join("train/0/0000.png")).unwrap();
    let report = report(check(data.path(), &[]));
    let found = findings(&report);
    for expected in [
        "duplicate_across_splits train/0/leak.png = val/1/leak.png",
        "duplicate_across_classes train/0/leak.png = val/1/leak.png",
        "empty_class val/2",
        "missing_in_split train/0",
    ] {
        assert!(found.contains(expected), "{expected} is not in {found:#?}");
    }
    assert_eq!(report["form"], "image_folder");
    assert_eq!(report["splits"], serde_json::json!(["train", "val", "test"]));
}

#[test]
fn imbalance_a_single_class_no_images_and_strangers_beside_raw_are_findings() {
    let data = tempfile::tempdir().unwrap();
    small_digits(data.path(), &[120, 12]);
    let found = findings(&report(check(data.path(), &["--no_report"])));
    assert!(found.contains("imbalance 1") && found.contains("tiny_class 1"), "{found:#?}");
    let data = tempfile::tempdir().unwrap();
    small_digits(&data.path().join("raw"), &[25]);
    fs::create_dir(data.path().join("old")).unwrap();
    let found = findings(&report(check(data.path(), &["--no_report"])));
    assert_eq!(found, ["beside_raw old", "one_class raw/0"].map(str::to_owned).into());
    let data = tempfile::tempdir().unwrap();
    let found = findings(&report(check(data.path(), &["--no_report"])));
    assert_eq!(found, ["no_pictures ".to_owned()].into());
    fs::create_dir(data.path().join("splits")).unwrap();
    put("rgb.png", data.path().join("a.png"));
    let found = findings(&report(check(data.path(), &["--no_report"])));
    assert_eq!(found, ["no_class a.png", "no_pictures "].map(str::to_owned).into());
}

#[test]
fn what_may_not_be_read_is_a_finding() {
    let data = tempfile::tempdir().unwrap();
    let raw = data.path().join("raw");
    small_digits(&raw, &[22, 22]);
    put("rgb.png", raw.join("0/secret.png"));
    fs::create_dir(raw.join("1/closed")).unwrap();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for closed in ["0/secret.png", "1/closed"] {
        fs::set_permissions(raw.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let mut command = check(data.path(), &["--no_report", "--json"]);
    if fs::read(raw.join("0/secret.png")).is_ok() {
        // Nothing is closed to root: the check runs as nobody, if nobody can reach the program.
        command.uid(65_534);
        if start(env!("CARGO_BIN_EXE_ml-split")).arg("--version").uid(65_534).output().is_err() {
            return;
        }
    }
    let output = command.output().unwrap();
    fs::set_permissions(raw.join("1/closed"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(message(&report, "unreadable", "raw/0/secret.png").contains("permission denied"));
    assert!(
        message(&report, "unreadable_folder", "raw/1/closed").to_lowercase().contains("permission denied")
    );
}
