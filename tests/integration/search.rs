//! ml-search with the real ml-train: a search, its report, kills and resumptions, wrong input.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{fails, ok, program, read, small_digits, start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ml-search");

/// Three digits, split, and `base.yaml` for quick runs of them.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    small_digits(&place.path().join("data/raw"), &[40, 40, 40]);
    ok(program(env!("CARGO_BIN_EXE_ml-split"), place.path(), &["data"]));
    let base = "{data: {data_dir: data}, model: {architecture: tiny_net}, optimizer: {name: adamw, lr: 0.01}, \
                training: {num_epochs: 2, device: cpu, threads: 1}, \
                transforms: {train: {resize: [18, 18], random_crop: 16}, val: {resize: [16, 16]}}}";
    fs::write(place.path().join("base.yaml"), base).unwrap();
    let search = "config: base.yaml\n\
                  space:\n\
                  \x20 optimizer.lr: {log_uniform: [0.0001, 0.1]}\n\
                  \x20 training.batch_size: {choice: [8, 16]}\n\
                  budget: {trials: 4}\n\
                  seed: 3\n";
    fs::write(place.path().join("search.yaml"), search).unwrap();
    place
}

fn search(place: &Path, args: &[&str]) -> Command {
    program(PROGRAM, place, args)
}

/// The rows of `trials.csv` without the seconds.
fn rows(folder: &Path) -> Vec<Vec<String>> {
    let text = read(folder.join("trials.csv"));
    let cells = |line: &str| {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        cells.remove(4);
        cells
    };
    text.lines().map(cells).collect()
}

#[test]
fn a_search_trains_its_trials_and_names_the_best() {
    let place = place();
    let output = ok(search(place.path(), &["search.yaml", "--json"]));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["trials"], &result["completed"]), (&4.into(), &4.into()));
    let folder = place.path().join("searches/search");
    let table = rows(&folder);
    let header =
        ["trial", "status", "val_accuracy", "epochs", "optimizer.lr", "training.batch_size", "error"];
    assert_eq!(table[0], header);
    assert_eq!(table.len(), 5);
    assert!(table[1..].iter().all(|row| row[1] == "completed" && row[3] == "2"), "{table:?}");
    let best = table[1..].iter().map(|row| row[2].parse::<f64>().unwrap()).fold(0.0, f64::max);
    assert_eq!(result["best"]["value"], best);

    let page = read(folder.join("report.html"));
    for part in ["Best trial", "Course of the search", "optimizer.lr", "trials/0000/report/report.html"] {
        assert!(page.contains(part), "{part} is not in the report");
    }
    // The best configuration is one for ml-train, with the values of the best trial.
    let mut train = start(env!("CARGO_BIN_EXE_ml-train"));
    train.current_dir(place.path()).args(["--config", "searches/search/best.yaml", "--dry_run"]);
    ok(train);
    let lr = result["best"]["parameters"]["optimizer.lr"].as_f64().unwrap();
    let config: serde_yaml::Value = serde_yaml::from_str(&read(folder.join("best.yaml"))).unwrap();
    assert_eq!(config["optimizer"]["lr"].as_f64(), Some(lr));

    // A search is not overwritten; a finished one has nothing left, until it gets more trials.
    fails(
        search(place.path(), &["search.yaml"]),
        2,
        &["exists already", "ml-search --resume searches/search"],
    );
    ok(search(place.path(), &["--resume", "searches/search"]));
    assert_eq!(rows(&folder), table);
    ok(search(place.path(), &["--resume", "searches/search", "--trials", "5"]));
    let longer = rows(&folder);
    assert_eq!((longer.len(), &longer[..5]), (6, &table[..]));
}

/// Starts a search into `searches/<name>`.
fn begin(place: &Path, name: &str) -> Child {
    let output = format!("searches/{name}");
    let mut command = search(place, &["search.yaml", "--output", &output]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until a trial of a search has trained an epoch and `completed` others are done.
fn wait_until_trained(folder: &Path, completed: usize) {
    let started = Instant::now();
    let run = folder.join(format!("trials/{completed:04}/metrics.csv"));
    while !run.exists() {
        assert!(started.elapsed() < Duration::from_mins(5), "{} does not come", run.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn an_interrupted_or_killed_search_resumes_to_the_same_trials() {
    let place = place();
    ok(search(place.path(), &["search.yaml", "--output", "searches/whole"]));
    let whole = rows(&place.path().join("searches/whole"));
    for (name, signal, code) in [("stopped", Signal::INT, Some(130)), ("killed", Signal::KILL, None)] {
        let folder = place.path().join("searches").join(name);
        let mut child = begin(place.path(), name);
        wait_until_trained(&folder, 1);
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), code, "{name}");
        if code.is_some() {
            // Its children have ended with their state saved.
            let summary = read(folder.join("trials/0001/summary.yaml"));
            assert!(!summary.contains("status: running"), "{summary}");
        }
        // From another place, too.
        let elsewhere = tempfile::tempdir().unwrap();
        ok(search(elsewhere.path(), &["--resume", folder.to_str().unwrap()]));
        assert_eq!(rows(&folder), whole, "{name}");
    }
}

#[test]
fn successive_halving_pauses_runs_and_trains_the_best_as_if_it_had_never_paused() {
    let place = place();
    let text = "{config: base.yaml, space: {optimizer.lr: {choice: [0.00001, 0.01, 0.0001, 0.03]}, \
                training.num_epochs: {choice: [4]}}, sampler: grid, metric: val_loss, \
                pruner: {name: successive_halving, reduction_factor: 2}}";
    fs::write(place.path().join("halving.yaml"), text).unwrap();
    ok(search(place.path(), &["halving.yaml"]));
    let folder = place.path().join("searches/halving");
    let table = rows(&folder);
    let of = |status: &str| table.iter().filter(|row| row[1] == status).cloned().collect::<Vec<_>>();
    assert!(!of("completed").is_empty() && !of("paused").is_empty(), "{table:?}");
    let best = of("completed").into_iter().next().unwrap();
    assert_eq!(best[3], "4", "{table:?}");

    let config = format!("searches/halving/trials/{}/config.yaml", best[0]);
    let mut train = start(env!("CARGO_BIN_EXE_ml-train"));
    train.current_dir(place.path()).args(["--config", &config, "--run_name", "alone"]);
    ok(train);
    let alone = read(place.path().join("runs/alone/metrics.csv"));
    assert_eq!(read(folder.join(format!("trials/{}/metrics.csv", best[0]))), alone);
}

#[test]
fn what_is_wrong_with_a_search_is_reported_by_key_before_anything_is_trained() {
    let place = place();
    let refused = |text: &str, parts: &[&str]| {
        fs::write(place.path().join("wrong.yaml"), text).unwrap();
        fails(search(place.path(), &["wrong.yaml"]), 2, parts);
        assert!(!place.path().join("searches").exists());
    };
    refused("{config: base.yaml, space: {}}", &["wrong.yaml", "space: must name keys"]);
    refused(
        "{space: {optimizer.lr: {uniform: [1, 1]}}, metric: accuracy, sampler: best, pruners: none}",
        &[
            "space.optimizer.lr",
            "below the second",
            "unknown name `accuracy`",
            "sampler",
            "pruners: unknown key",
        ],
    );
    refused("{space: {optimizer.lr: {uniform: [0, 1]}}, sampler: grid}", &["a grid takes choice and int"]);
    refused(
        "{config: base.yaml, space: {optimizer.learning_rate: {uniform: [0.1, 1]}}}",
        &["space.optimizer.learning_rate", "unknown key", "did you mean `lr`"],
    );
    refused(
        "{config: base.yaml, space: {optimizer.lr: {uniform: [-1, 1]}}}",
        &["space.optimizer.lr", "optimizer.lr"],
    );
    refused(
        "{config: base.yaml, space: {optimizer.name: {choice: [adamw, sgd]}, optimizer.momentum: {uniform: [0, 0.9]}}}",
        &["space.optimizer.momentum", "unknown key"],
    );
    refused(
        "{config: base.yaml, space: {optimizer.lr: {uniform: [0.1, 1]}}, metric: ema_val_loss}",
        &["metric", "training.ema"],
    );
    refused("{config: missing.yaml, space: {optimizer.lr: {uniform: [0.1, 1]}}}", &["config: missing.yaml"]);
    fails(search(place.path(), &["--resume", "data"]), 2, &["not the folder of a search"]);
    fails(search(place.path(), &[]), 2, &["SEARCH_YAML"]);
    let mut ranks = search(place.path(), &["search.yaml"]);
    ranks.envs([("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")]);
    ranks.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500")]);
    fails(ranks, 2, &["ml-search is one process"]);
    ok(search(place.path(), &["search.yaml", "--dry_run"]));
    assert!(!place.path().join("searches").exists());
}
