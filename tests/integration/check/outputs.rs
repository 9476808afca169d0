//! What `ml-split check` writes, where, and how it ends; and `--check` before a division.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{check, divided, messy, report, save};
use crate::support::{fails, ok, read, small_digits, start};

#[test]
fn the_page_holds_no_markup_from_names_and_needs_no_other_file() {
    let data = messy();
    let hostile = "x\"'><script>alert(2)</script>";
    fs::create_dir(data.path().join("raw").join(hostile.replace('/', "_"))).unwrap();
    let output = check(data.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // One row a finding on stdout, whatever the names.
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(!table.contains("new\nline") && table.contains("Truncated images"), "{table}");
    let html = read(data.path().join("dataset_report.html"));
    assert!(!html.contains("<img src=x") && !html.contains("<script"), "names are escaped");
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;.jpg") && html.contains("&lt;script&gt;"));
    assert!(html.contains("new\\nline.jpg") && html.contains("bad\\xff.webp"));
    // No address but that of images within the page.
    for part in html.split("src=\"").skip(1) {
        assert!(part.starts_with("data:image/jpeg;base64,"), "{}", &part[..40]);
    }
    assert!(
        !html.contains("http://")
            && !html.contains("https://")
            && html.contains("prefers-color-scheme: dark")
    );
    assert!(html.matches("<img").count() > 20, "{}", html.matches("<img").count());
    let json: Value = serde_json::from_str(&read(data.path().join("dataset_report.json"))).unwrap();
    assert!(json["created_by"].as_str().unwrap().starts_with("ml-split "));
    // A second run replaces both, and finds the same.
    let again = report(check(data.path(), &[]));
    assert_eq!(again, json);
}

#[test]
fn reports_never_replace_strangers_nor_lie_among_images() {
    let data = tempfile::tempdir().unwrap();
    divided(data.path(), &[]);
    for (name, text) in [("dataset_report.json", "{\"mine\": 1}"), ("dataset_report.html", "<p>mine</p>")] {
        let path = data.path().join(name);
        fs::write(&path, text).unwrap();
        fails(check(data.path(), &[]), 1, &[name, "not replaced", "--output"]);
        assert_eq!(read(&path), text);
        fs::remove_file(&path).unwrap();
    }
    for inside in ["raw/0", "raw/new", "splits", "raw/0/deep/er"] {
        let place = data.path().join(inside);
        fails(
            check(data.path(), &["--output", place.to_str().unwrap()]),
            2,
            &[inside, "among the images", "--output"],
        );
        assert!(!place.join("dataset_report.json").exists());
    }
    assert!(!data.path().join("raw/new").exists());
    let place = data.path().join("reports/today");
    ok(check(data.path(), &["--output", place.to_str().unwrap()]));
    assert!(place.join("dataset_report.html").exists() && place.join("dataset_report.json").exists());
    assert_eq!(fs::read_dir(&place).unwrap().count(), 2, "nothing is left beside");
    fails(check(data.path().join("nowhere"), &[]), 2, &["nowhere", "no such folder"]);
    fails(check(data.path().join("splits/train.txt"), &[]), 2, &["train.txt", "not a folder"]);
    fails(check(data.path(), &["--near_distance", "9"]), 2, &["--near_distance", "0..=7"]);
}

#[test]
fn an_interruption_writes_nothing_and_ends_with_130() {
    let data = tempfile::tempdir().unwrap();
    let raw = data.path().join("raw/a");
    fs::create_dir_all(&raw).unwrap();
    let big = data.path().join("big.pgm");
    save(&big, 4000, 3000, |x, y| (x * 7 + y * 13) as u8);
    for i in 0..600 {
        fs::hard_link(&big, raw.join(format!("{i}.pgm"))).unwrap();
    }
    let child = check(data.path(), &["--num_workers", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let started = Instant::now();
    ok({
        let mut kill = Command::new("kill");
        kill.args(["-INT", &child.id().to_string()]);
        kill
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted; nothing was written") && stdout.is_empty(), "{told}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 2);
}

#[test]
fn a_division_can_be_checked_first_and_is_refused_for_unreadable_images() {
    let data = tempfile::tempdir().unwrap();
    let raw = data.path().join("raw");
    small_digits(&raw, &[30, 30]);
    let split = |args: &[&str]| {
        let mut command = start(env!("CARGO_BIN_EXE_ml-split"));
        command.arg(&raw).args(args);
        command
    };
    let table = ok(split(&["--check"])).stdout;
    assert!(String::from_utf8_lossy(&table).contains("train"));
    assert!(data.path().join("dataset_report.html").exists() && data.path().join("splits").exists());
    fs::remove_dir_all(data.path().join("splits")).unwrap();
    fs::remove_file(data.path().join("dataset_report.html")).unwrap();
    fs::write(raw.join("1/text.jpg"), "just text").unwrap();
    fails(split(&["--check", "--no_report"]), 1, &["1 of 61 images", "raw/1/text.jpg", "--allow_unreadable"]);
    assert!(!data.path().join("splits").exists() && !data.path().join("dataset_report.html").exists());
    let output = ok(split(&["--check", "--allow-unreadable", "--dry_run"]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 images cannot be read"));
    assert!(!data.path().join("splits").exists() && !data.path().join("dataset_report.html").exists());
    ok(split(&["--check", "--allow_unreadable"]));
    assert!(data.path().join("splits/train.txt").exists());
    fails(split(&["--allow_unreadable"]), 2, &["--check"]);
}
