//! Muon in the training step of ResNet-50: against `AdamW` in the same step, and its update alone
//! against timm's, where that is installed.

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};
use crate::text::last_json;

const STEP: [&str; 4] = ["resnet50", "32", "224", "3"];
/// Images so small that nearly all of a step is the optimizer's.
const UPDATE: [&str; 4] = ["resnet50", "2", "64", "5"];

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let ours = |args: [&str; 4], optimizer: &str| {
        let mut command = bench.shell.command(bench.programs.join("examples/bench_step"));
        last_json(&measure::timed(command.args(args).arg(optimizer))?.stdout)
    };
    let (muon, adamw) = in_turn(
        bench.rounds,
        "step of resnet50 with Muon",
        || ours(STEP, "--optimizer=muon"),
        || ours(STEP, "--optimizer=adamw"),
    )?;
    let mut rows = vec![Comparison {
        what: "step of resnet50 with Muon, batch 32, 224 px".into(),
        peer: "AdamW",
        unit: "ms",
        ours: numbers(&muon, "ms_median")?,
        theirs: numbers(&adamw, "ms_median")?,
        target: Some(Target::AtMost(1.5)),
        below: None,
    }];
    if !has_timm(bench) {
        eprintln!("Muon against timm's: not measured: timm is not in the Python of the set-up or PYTHONPATH");
        return Ok(rows);
    }
    let (muon, timm) = in_turn(
        bench.rounds,
        "update of resnet50 by Muon",
        || ours(UPDATE, "--optimizer=muon"),
        || {
            let mut command = bench.shell.command(&bench.python);
            let command = command.arg("benches/python/step.py").args(UPDATE).arg("--optimizer=muon");
            last_json(&measure::timed(command)?.stdout)
        },
    )?;
    rows.push(Comparison {
        what: "update of resnet50 by Muon".into(),
        peer: "timm",
        unit: "ms",
        ours: numbers(&muon, "ms_optimizer")?,
        theirs: numbers(&timm, "ms_optimizer")?,
        target: Some(Target::AtMost(1.0)),
        below: None,
    });
    Ok(rows)
}

fn has_timm(bench: &Bench) -> bool {
    let mut command = bench.shell.command(&bench.python);
    measure::timed(command.args(["-c", "import timm.optim"])).is_ok()
}

fn numbers(runs: &[Value], key: &str) -> Result<Vec<f64>> {
    let number = |run: &Value| run[key].as_f64().with_context(|| format!("the program printed no {key}"));
    runs.iter().map(number).collect()
}
