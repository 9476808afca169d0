//! All metrics of 50,000 images in 1,000 classes, and the report of a run that has them; compared
//! with scikit-learn, which computes the ones that it has.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::report::{Comparison, Target};
use super::step::figures;
use super::{Bench, in_turn, measure};
use crate::text::last_json;

const IMAGES: &str = "50000";
const CLASSES: &str = "1000";

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let mut ours: Vec<Value> = Vec::new();
    let mut number = 0;
    let (_, theirs) = in_turn(
        bench.rounds,
        "evaluation",
        || {
            number += 1;
            let folder = bench.scratch.join(format!("evaluation-{number}"));
            let mut command = bench.shell.command(bench.programs.join("examples/bench_report"));
            let run = measure::timed(command.args([IMAGES, CLASSES]).arg(&folder))?;
            ours.push(last_json(&run.stdout)?);
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot delete {}", folder.display()))?;
            Ok(0.0)
        },
        || {
            let mut command = bench.shell.command(&bench.python);
            let run = measure::timed(command.arg("benches/python/metrics.py").args([IMAGES, CLASSES]))?;
            last_json(&run.stdout)?["s_metrics"].as_f64().context("the program printed no s_metrics")
        },
    )?;
    // The first round is not counted here either.
    let ours = &ours[1..];
    let of = |what: &'static str, unit, key: &str, below, theirs: Vec<f64>| {
        let values = ours.iter().map(|run| run[key].as_f64().with_context(|| format!("no {key}")));
        Ok::<_, anyhow::Error>(Comparison {
            what: what.into(),
            peer: "scikit-learn",
            unit,
            ours: values.collect::<Result<_>>()?,
            theirs,
            target: None,
            below: Some(below),
        })
    };
    let mut found = vec![
        of("all metrics of 50,000 images, 1,000 classes", "s", "s_metrics", 5.0, theirs)?,
        of("peak memory of these metrics, beside the logits", "MB", "mb_metrics", 1000.0, Vec::new())?,
        of("their report.html", "s", "s_report", 10.0, Vec::new())?,
        of("size of report.html", "MB", "mb_report", 20.0, Vec::new())?,
    ];
    for architecture in ["resnet50", "vit_b_16"] {
        found.push(grad_cam(bench, architecture)?);
    }
    found.push(tensorboard(bench)?);
    Ok(found)
}

/// Grad-CAM against a training step of the same network and images.
fn grad_cam(bench: &Bench, architecture: &str) -> Result<Comparison> {
    let step = |more: &[&str]| {
        let mut command = bench.shell.command(bench.programs.join("examples/bench_step"));
        command.args([architecture, "8", "224", "3"]).args(more);
        Ok(figures(&measure::timed(&mut command)?.stdout)?.0)
    };
    let what = format!("Grad-CAM of {architecture}, batch 8");
    let (ours, theirs) = in_turn(bench.rounds, &what, || step(&["--cam"]), || step(&[]))?;
    Ok(Comparison {
        what: what.into(),
        peer: "a training step",
        unit: "ms",
        ours,
        theirs,
        target: Some(Target::AtMost(3.0)),
        below: None,
    })
}

/// Epochs of the training whose TensorBoard's files are measured: by default the first histograms
/// come when they take 0.4 % of the time, for this network after about 40 s.
const EPOCHS: &str = "30";

/// What TensorBoard's files take of a training, histograms included.
fn tensorboard(bench: &Bench) -> Result<Comparison> {
    let data = super::digits(bench)?;
    let transform = "{resize: [64, 64]}";
    let mut shares = Vec::new();
    for round in 0..bench.rounds {
        let runs = bench.scratch.join(format!("runs-{round}"));
        let mut command = bench.shell.command(bench.programs.join("ml-train"));
        command
            .args(["--device", "cpu", "--num_epochs", EPOCHS, "--architecture", "mobilenet_v3_small"])
            .args(["--precision", "fp32", "--run_name", "run", "--set"])
            .arg(format!("transforms={{train: {transform}, val: {transform}, test: {transform}}}"))
            .arg("--data_dir")
            .arg(&data)
            .arg("--runs_dir")
            .arg(&runs);
        let run = measure::timed(&mut command)?;
        let logs = runs.join("run/logs");
        let mut seconds = 0.0;
        for entry in std::fs::read_dir(&logs).with_context(|| format!("cannot list {}", logs.display()))? {
            let text = std::fs::read_to_string(entry?.path())?;
            let told = text.lines().rev().find_map(|line| line.split_once("TensorBoard's files took "));
            let told = told.and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
            seconds += told.context("the log does not say what TensorBoard's files took")?;
        }
        check_histograms(&runs.join("run/tensorboard/steps"))?;
        shares.push(100.0 * seconds / run.seconds);
    }
    Ok(Comparison {
        what: format!(
            "TensorBoard's files, share of a training (mobilenet_v3_small, 64 px, {EPOCHS} epochs)"
        )
        .into(),
        peer: "none",
        unit: "%",
        ours: shares,
        theirs: Vec::new(),
        target: None,
        below: Some(1.0),
    })
}

/// Fails where the events in `folder` have no histograms: then their time was not measured.
fn check_histograms(folder: &Path) -> Result<()> {
    let mut events = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        events.extend(std::fs::read(entry?.path())?);
    }
    for tag in ["Weights/", "Gradients/"] {
        // Tags stand in the records as they are.
        if !events.windows(tag.len()).any(|bytes| bytes == tag.as_bytes()) {
            bail!("{} has no histograms {tag}: the training was too short to measure them", folder.display());
        }
    }
    Ok(())
}
