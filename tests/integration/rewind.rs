//! Older states of a run: a new run continues them, or the run itself once it is told to rewind.
//! Either way nothing that came after them is lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{fails, ok, read, train};
use crate::train::digits;

/// The content of every file of a run that training writes, by its path in the run's folder.
fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in ["", "checkpoints", "report", "tensorboard"] {
        let Ok(entries) = std::fs::read_dir(run.join(part)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let is_hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if path.is_file() && !is_hidden {
                let name = path.strip_prefix(run).unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A run of eight epochs that keeps its three best, and the oldest of them.
fn eight_epochs(place: &Path) -> (PathBuf, u64) {
    let data = digits(place, 3, 30);
    let more = ["--set", "training.checkpoint.keep_top_k=3", "--batch_size", "16"];
    let args = ["--data_dir", data.to_str().unwrap(), "--run_name", "top", "--num_epochs", "8"];
    ok(train(place, &[&args[..], &more[..]].concat()));
    let run = place.join("runs/top");
    let kept = std::fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name["epoch_".len()..name.len() - ".pt".len()].parse::<u64>().unwrap()
    });
    let oldest = kept.min().unwrap();
    assert!(oldest < 8);
    (run, oldest)
}

fn summary(run: &Path) -> serde_yaml::Value {
    serde_yaml::from_str(&read(run.join("summary.yaml"))).unwrap()
}

/// Resuming from a kept epoch once overwrote `best.pt`, deleted better checkpoints of later epochs
/// and cut `metrics.csv`.
#[test]
fn an_older_state_is_continued_by_a_new_run_and_the_old_one_stays_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let (run, oldest) = eight_epochs(place.path());
    let before = files(&run);
    let state = run.join(format!("checkpoints/epoch_{oldest}.pt"));
    let state = state.to_str().unwrap();
    ok(train(place.path(), &["--resume", state, "--set", "training.early_stopping={patience: 1}"]));
    assert_eq!(files(&run), before, "not a byte of the run has changed");

    let new = place.path().join("runs/top_2");
    let found = summary(&new);
    assert_eq!(found["resumed_from"].as_str(), Some(state));
    assert!(new.join("best.pt").exists());
    let rows = read(new.join("metrics.csv"));
    assert!(rows.lines().nth(oldest as usize).unwrap().starts_with(&format!("{oldest},")), "{rows}");
    // A run that is resumed keeps saying where it came from.
    let further = ["--resume", "runs/top_2", "--num_epochs", "12", "--set", "training.early_stopping=null"];
    ok(train(place.path(), &further));
    assert_eq!(summary(&new)["resumed_from"].as_str(), Some(state));
    // With a name of its own.
    ok(train(place.path(), &["--resume", state, "--run_name", "named"]));
    assert_eq!(summary(&place.path().join("runs/named"))["resumed_from"].as_str(), Some(state));
}

#[test]
fn a_rewound_run_continues_in_its_folder_and_keeps_what_it_replaces() {
    let place = tempfile::tempdir().unwrap();
    let (run, oldest) = eight_epochs(place.path());
    let before = files(&run);
    let state = run.join(format!("checkpoints/epoch_{oldest}.pt"));
    let state = state.to_str().unwrap();
    fails(train(place.path(), &["--resume", state, "--rewind", "--run_name", "x"]), 2, &["--run_name"]);
    assert_eq!(files(&run), before);
    ok(train(place.path(), &["--resume", state, "--rewind"]));
    let rewound = run.join("rewound");
    assert_eq!(files(&rewound), before, "what the run held is there, whole");
    // The same steps once more give the same weights, bit for bit.
    let hash = |path: &Path| crate::train::python("state_hash.py", &[path]);
    assert_eq!(hash(&run.join("last.pt")), hash(&rewound.join("last.pt")));
    assert_eq!(hash(&run.join("best.pt")), hash(&rewound.join("best.pt")));
    assert_eq!(read(run.join("metrics.csv")), read(rewound.join("metrics.csv")));
    assert!(!place.path().join("runs/top_2").exists());
    // A second time beside the first.
    ok(train(place.path(), &["--resume", state, "--rewind"]));
    assert!(run.join("rewound_2/last.pt").exists());
}

#[test]
fn the_newest_state_by_any_name_is_resumed_in_place() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let args = ["--data_dir", data.to_str().unwrap(), "--run_name", "a", "--num_epochs", "1"];
    ok(train(place.path(), &args));
    // After one epoch the best state is the newest.
    ok(train(place.path(), &["--resume", "runs/a/best.pt", "--num_epochs", "2"]));
    assert_eq!(read(place.path().join("runs/a/metrics.csv")).lines().count(), 3);
    assert_eq!(std::fs::read_dir(place.path().join("runs")).unwrap().count(), 1);
}

/// `cut` files of a killed process, wherever they lie.
#[test]
fn unfinished_files_of_a_killed_process_are_removed_also_in_the_report() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let args = ["--data_dir", data.to_str().unwrap(), "--run_name", "a", "--num_epochs", "1"];
    ok(train(place.path(), &args));
    let run = place.path().join("runs/a");
    std::fs::create_dir_all(run.join("checkpoints")).unwrap();
    let names = [".last.pt.tmp-1", "report/.predictions_test.csv.tmp-99", "checkpoints/.epoch_1.pt.tmp-7"];
    for name in names {
        std::fs::write(run.join(name), "half").unwrap();
    }
    ok(train(place.path(), &["--resume", "runs/a", "--num_epochs", "2"]));
    for name in names {
        assert!(!run.join(name).exists(), "{name}");
    }
}
