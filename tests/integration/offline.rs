//! Without a network every program does what it does with one: nothing is fetched unless weights are
//! requested by name.

use std::path::Path;
use std::process::Command;

use crate::support::{ok, read, small_digits, start, train};

/// Whether this user may make a network namespace, which has no interface that is up.
fn namespaces_are_allowed() -> bool {
    let allowed = Command::new("unshare").args(["-rn", "true"]).output();
    let allowed = allowed.is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("skipped: `unshare -rn` is not allowed here");
    }
    allowed
}

/// The same command in a network namespace of its own.
fn offline(command: &Command) -> Command {
    let mut offline = start("unshare");
    offline.arg("-rn").arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        offline.current_dir(folder);
    }
    offline
}

/// All four programs, from images to predictions; what they print, and the metrics of the run.
fn work(place: &Path, prepared: impl Fn(Command) -> Command) -> Vec<String> {
    small_digits(&place.join("data/raw"), &[12, 12]);
    let program = |path: &str, args: &[&str]| {
        let mut command = start(path);
        command.current_dir(place).args(args);
        command
    };
    let run = ["--data_dir", "data", "--run_name", "r", "--num_epochs", "1"];
    let commands = [
        program(env!("CARGO_BIN_EXE_ml-split"), &["check", "data", "--json", "--no_report"]),
        program(env!("CARGO_BIN_EXE_ml-split"), &["data"]),
        train(place, &run),
        train(place, &["--resume", "runs/r", "--num_epochs", "2"]),
        program(env!("CARGO_BIN_EXE_ml-inference"), &["--checkpoint", "runs/r", "--device", "cpu"]),
        program(
            env!("CARGO_BIN_EXE_ml-inference"),
            &["--checkpoint", "runs/r", "--device", "cpu", "--format", "jsonl", "data/raw/0"],
        ),
        program(env!("CARGO_BIN_EXE_ml-visualise"), &["--print_command", "runs", "--port", "0"]),
    ];
    let mut said: Vec<String> = commands
        .into_iter()
        .map(|command| String::from_utf8(ok(prepared(command)).stdout).unwrap())
        .collect();
    said.push(read(place.join("runs/r/metrics.csv")));
    // The port is chosen anew, and times are measured.
    said.retain(|text| !text.contains("--logdir") && !text.contains("\"seconds\""));
    said
}

#[test]
fn without_a_network_every_program_gives_the_same_results() {
    if !namespaces_are_allowed() {
        return;
    }
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let with_network = work(with.path(), |command| command);
    let without_network = work(without.path(), |command| offline(&command));
    assert!(with_network.len() >= 5);
    assert_eq!(with_network, without_network);
}
