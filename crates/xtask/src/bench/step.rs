//! One training step of ResNet-18: batch of 32, 224 px, single precision; the median step of each process.

use anyhow::{Context, Result};

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};
use crate::text::last_json;

const ARGS: [&str; 4] = ["resnet18", "32", "224", "8"];

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let ours = || {
        let mut command = bench.shell.command(bench.programs.join("examples/bench_step"));
        milliseconds(&measure::timed(command.args(ARGS))?.stdout)
    };
    let theirs = || {
        let mut command = bench.shell.command(&bench.python);
        milliseconds(&measure::timed(command.arg("benches/python/step.py").args(ARGS))?.stdout)
    };
    let (ours, theirs) = in_turn(bench.rounds, "step", ours, theirs)?;
    Ok(vec![Comparison {
        what: "ResNet-18 step, batch 32, 224 px, fp32",
        peer: "torchvision",
        unit: "ms",
        ours,
        theirs,
        target: Some(Target::AtMost(1.05)),
        below: None,
    }])
}

fn milliseconds(stdout: &str) -> Result<f64> {
    last_json(stdout)?["ms_median"].as_f64().context("the program told no ms_median")
}
