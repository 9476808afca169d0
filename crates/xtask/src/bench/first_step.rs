//! From the start of the program to the end of the first optimizer step, and peak memory over one
//! epoch: ResNet-18 on the digits at 32 px, batches of 32, two workers on either side.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};
use crate::text::{last_json, yaml_number};

const PEER: &str = "torchvision";

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let data = super::digits(bench)?;

    let (ours, theirs) = in_turn(
        bench.rounds,
        "first step",
        || our_first_step(bench, &data),
        || their_first_step(bench, &data),
    )?;
    let time = Comparison {
        what: "time to the first optimizer step on the digits".into(),
        peer: PEER,
        unit: "s",
        ours,
        theirs,
        target: Some(Target::AtLeast(6.0)),
        below: None,
    };
    let (ours, theirs) = in_turn(
        bench.rounds,
        "memory",
        || measure::watched(&mut our_command(bench, &data, &new_folder(bench)?)),
        || measure::watched(&mut their_command(bench, &data)),
    )?;
    let memory = Comparison {
        what: "peak memory on the digits, workers included".into(),
        peer: PEER,
        unit: "MB",
        ours,
        theirs,
        target: Some(Target::AtLeast(2.0)),
        below: None,
    };
    Ok(vec![time, memory])
}

fn our_command(bench: &Bench, data: &Path, runs: &Path) -> Command {
    train_on(bench.shell.command(bench.programs.join("ml-train")), data, runs)
}

/// With ml-train's arguments.
pub(super) fn train_on(mut command: Command, data: &Path, runs: &Path) -> Command {
    command.args(["--config", "benches/first_step.yaml", "--data_dir"]).arg(data).arg("--runs_dir").arg(runs);
    command
}

fn their_command(bench: &Bench, data: &Path) -> Command {
    let mut command = bench.shell.command(&bench.python);
    command.arg("benches/python/first_step.py").arg(data);
    command
}

/// A place for one run, so that its summary is easily found.
pub(super) fn new_folder(bench: &Bench) -> Result<PathBuf> {
    let folder = bench.scratch.join("runs");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot delete {}", folder.display()))?;
    }
    Ok(folder)
}

fn our_first_step(bench: &Bench, data: &Path) -> Result<f64> {
    let runs = new_folder(bench)?;
    measure::timed(&mut our_command(bench, data, &runs))?;
    seconds_to_first_step(&runs)
}

/// Of the only run in a folder.
pub(super) fn seconds_to_first_step(runs: &Path) -> Result<f64> {
    let run = std::fs::read_dir(runs).ok().and_then(|mut entries| entries.next()?.ok());
    let summary = run.with_context(|| format!("no run in {}", runs.display()))?.path().join("summary.yaml");
    let text =
        std::fs::read_to_string(&summary).with_context(|| format!("cannot read {}", summary.display()))?;
    // From the start of the process as the kernel tells it: the loading of libtorch counts.
    yaml_number(&text, "seconds_to_first_step")
        .with_context(|| format!("{} has no seconds_to_first_step", summary.display()))
}

fn their_first_step(bench: &Bench, data: &Path) -> Result<f64> {
    let run = measure::timed(&mut their_command(bench, data))?;
    let at = last_json(&run.stdout)?["first_step_at"]
        .as_f64()
        .context("first_step.py printed no first_step_at")?;
    Ok(at - run.started)
}
