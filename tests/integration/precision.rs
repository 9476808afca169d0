//! In which precision and memory format a run computes: as requested, or as measured; written into
//! the run's configuration, so that it resumes alike everywhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{fails, ok, read, small_digits, start, train};

/// A run over so many images that measuring pays; with a cache folder of its own.
fn long_run(place: &Path, args: &[&str]) -> Command {
    let mut command = train(place, &["--data_dir", "data", "--num_epochs", "1000000", "--dry_run"]);
    command.args(args).env("XDG_CACHE_HOME", place.join("cache"));
    command
}

fn said(command: Command) -> String {
    String::from_utf8(ok(command).stderr).unwrap()
}

#[test]
fn what_is_faster_is_measured_once_and_kept() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    small_digits(&place.join("data/raw"), &[12, 12]);
    ok({
        let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
        split.current_dir(place).arg("data");
        split
    });
    let first = said(long_run(place, &[]));
    assert!(first.contains("precision: measuring fp32"), "{first}");
    assert!(first.contains("images a step)"), "{first}");
    let kept = place.join("cache/ml-train/steps.json");
    // What was measured while other programs (other tests) had the processors is not kept.
    let was_busy = |said: &str| said.contains("so it is not kept: the next run measures again");
    assert_eq!(kept.exists(), !was_busy(&first), "{first}");
    let again = |before: &str| {
        let next = said(long_run(place, &[]));
        assert_eq!(next.contains("kept in"), !was_busy(before), "{before}{next}");
        assert_eq!(next.contains("measuring"), was_busy(before), "{before}{next}");
        next
    };
    let second = again(&first);
    // Another batch size is another question.
    assert!(said(long_run(place, &["--batch_size", "8"])).contains("measuring"));
    // A damaged file is told and written anew.
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    fs::write(&kept, "{").unwrap();
    let third = said(long_run(place, &[]));
    assert!(third.contains("steps.json: is damaged"), "{second}{third}");
    if !was_busy(&third) {
        assert!(read(&kept).contains("tiny_net"));
        again(&third);
    }
    // So is a folder that cannot be written.
    fs::remove_dir_all(place.join("cache")).unwrap();
    fs::write(place.join("cache"), "").unwrap();
    let last = said(long_run(place, &[]));
    assert!(last.contains("cannot be kept") != was_busy(&last), "{last}");
    // Only what is left open is tried.
    let fixed = said(long_run(place, &["--precision", "fp32", "--set", "training.channels_last=false"]));
    assert!(!fixed.contains("precision: measuring"), "{fixed}");
}

#[test]
fn a_short_run_measures_nothing_and_a_run_writes_down_what_it_computes_with() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    small_digits(&place.join("data/raw"), &[8, 8]);
    let mut split = start(env!("CARGO_BIN_EXE_ml-split"));
    split.current_dir(place).arg("data");
    ok(split);
    let run = |name: &str, epochs: &str, args: &[&str]| {
        let mut command = train(place, &["--data_dir", "data", "--run_name", name, "--num_epochs", epochs]);
        command.args(args);
        said(command)
    };
    assert!(run("short", "2", &[]).contains("precision: fp32 (a short run"));
    let config = read(place.join("runs/short/config.yaml"));
    assert!(config.contains("precision: fp32") && config.contains("channels_last: false"), "{config}");

    run("mixed", "2", &["--precision", "bf16", "--set", "training.channels_last=true"]);
    let config = read(place.join("runs/mixed/config.yaml"));
    assert!(config.contains("precision: bf16") && config.contains("channels_last: true"), "{config}");
    // A resumed run computes as it did, and its figures are those of a run that was not interrupted.
    run("part", "1", &["--precision", "bf16", "--set", "training.channels_last=true"]);
    ok(train(place, &["--resume", "runs/part", "--num_epochs", "2"]));
    let resumed = fs::read_dir(place.join("runs")).unwrap().map(|entry| entry.unwrap().path());
    let figures = |folder: &Path| -> Vec<String> {
        let text = read(folder.join("metrics.csv"));
        text.lines().map(|line| line.rsplit_once(',').map_or(line, |(rest, _)| rest).to_owned()).collect()
    };
    let wanted = figures(&place.join("runs/mixed"));
    let found: Vec<_> = resumed
        .filter(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part")))
        .filter(|folder| read(folder.join("config.yaml")).contains("precision: bf16"))
        .map(|folder| figures(&folder))
        .collect();
    assert!(found.contains(&wanted), "{found:?} {wanted:?}");
}

#[test]
fn precisions_that_a_cpu_does_not_have_are_refused_by_key() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    small_digits(&place.join("data/train"), &[4, 4]);
    for (precision, reason) in [("fp16", "is for CUDA devices"), ("tf32", "a mode of CUDA devices")] {
        fails(
            train(place, &["--data_dir", "data", "--precision", precision]),
            2,
            &["training.precision", reason, "use"],
        );
    }
    fails(train(place, &["--data_dir", "data", "--precision", "half"]), 2, &["precision", "half", "bf16"]);
    fails(
        train(place, &["--data_dir", "data", "--set", "training.channels_last=maybe"]),
        2,
        &["training.channels_last", "maybe"],
    );
}

#[test]
fn bf16_on_a_processor_without_it_is_warned_of_with_what_it_costs() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    small_digits(&place.join("data/train"), &[6, 6]);
    let mut command = train(place, &["--data_dir", "data", "--precision", "bf16", "--num_epochs", "1"]);
    command.env("ONEDNN_MAX_CPU_ISA", "AVX2").env("XDG_CACHE_HOME", place.join("cache"));
    let said = said(command);
    assert!(said.contains("this processor has no bf16 of its own: a step takes"), "{said}");
    let mut auto = long_run(place, &[]);
    auto.env("ONEDNN_MAX_CPU_ISA", "AVX2");
    let said = String::from_utf8(ok(auto).stderr).unwrap();
    assert!(said.contains("this processor has no bf16") && !said.contains("measuring fp32; bf16"), "{said}");
}
