//! A later epoch of transfer learning with a frozen backbone: with the feature cache against
//! without.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};

/// Images of 500 x 375 pixels; some of them validate.
const PHOTOS: usize = 500;

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let data = bench.scratch.join("frozen");
    super::loader::images(bench, &data.join("train"), &["--count", &PHOTOS.to_string()])?;
    let later_epoch = |cache: &str, epochs: usize| -> Result<f64> {
        let (one, all) = (seconds(bench, &data, cache, 1)?, seconds(bench, &data, cache, 1 + epochs)?);
        Ok((all - one) / epochs as f64)
    };
    let (ours, theirs) =
        in_turn(bench.rounds, "feature cache", || later_epoch("auto", 20), || later_epoch("off", 1))?;
    let what = format!("a later epoch of resnet18 with a frozen backbone, {PHOTOS} photos, 224 px");
    let memory = |cache: &str| measure::watched(&mut training(bench, &data, cache, 2)?);
    let (ours_mb, theirs_mb) = (vec![memory("auto")?], vec![memory("off")?]);
    let of = |what: String, unit, ours, theirs, target| Comparison {
        what: what.into(),
        peer: "without the feature cache",
        unit,
        ours,
        theirs,
        target: Some(target),
        below: None,
    };
    let memory = format!("peak memory of {what}");
    Ok(vec![
        of(what, "s", ours, theirs, Target::AtLeast(50.0)),
        of(memory, "MB", ours_mb, theirs_mb, Target::AtMost(1.0)),
    ])
}

/// Of a whole run.
fn seconds(bench: &Bench, data: &Path, cache: &str, epochs: usize) -> Result<f64> {
    Ok(measure::timed(&mut training(bench, data, cache, epochs)?)?.seconds)
}

/// A run in a folder of its own.
fn training(bench: &Bench, data: &Path, cache: &str, epochs: usize) -> Result<Command> {
    let runs = bench.scratch.join("feature_runs");
    if runs.exists() {
        std::fs::remove_dir_all(&runs)?;
    }
    let mut command = bench.shell.command(bench.programs.join("ml-train"));
    command
        .args(["--device", "cpu", "-q", "--architecture", "resnet18", "--num_epochs", &epochs.to_string()])
        .args(["--set", "model.freeze=backbone", "--set", &format!("training.feature_cache={cache}")])
        .args([
            "--set",
            "transforms.train={resize: [224, 224], random_horizontal_flip: false}",
            "--precision",
            "fp32",
            "--data_dir",
        ])
        .arg(data)
        .arg("--runs_dir")
        .arg(&runs);
    Ok(command)
}
