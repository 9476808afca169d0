//! Checkpoints of ResNet-50 with SGD's momentum: the share of training time that one every 100
//! steps costs, and saving and loading beside `torch.save` and `torch.load`.
//!
//! The batch is small, so that a round takes seconds; with a larger one the share is smaller. On
//! our side the time of writing in the background counts as if training stood still for it, which
//! it does not.

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};
use crate::text::last_json;

/// Batch, side of the images, rounds in a process.
const ARGS: [&str; 3] = ["8", "224", "4"];
/// Steps from one checkpoint to the next.
const STEPS: f64 = 100.0;

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    in_turn(
        bench.rounds,
        "checkpoint",
        || {
            let mut command = bench.shell.command(bench.programs.join("examples/bench_checkpoint"));
            ours.push(last_json(&measure::timed(command.args(ARGS).arg(&bench.scratch))?.stdout)?);
            Ok(0.0)
        },
        || {
            let mut command = bench.shell.command(&bench.python);
            command.arg("benches/python/checkpoint.py").args(ARGS).arg(&bench.scratch);
            theirs.push(last_json(&measure::timed(&mut command)?.stdout)?);
            Ok(0.0)
        },
    )?;
    // The first round is not counted here either.
    let (ours, theirs) = (&ours[1..], &theirs[1..]);
    let compare = |what: &'static str, unit, target, below, keys: [&[&str]; 2], share: bool| {
        let values = |runs: &[Value], keys: &[&str]| {
            runs.iter()
                .map(|run| {
                    let number = |key: &str| {
                        run[key].as_f64().with_context(|| format!("the program printed no {key}"))
                    };
                    let sum = keys.iter().map(|key| number(key)).sum::<Result<f64>>()?;
                    Ok(if share { 100.0 * sum / (sum + STEPS * number("ms_step")?) } else { sum })
                })
                .collect::<Result<Vec<f64>>>()
        };
        Ok(Comparison {
            what: what.into(),
            peer: "PyTorch",
            unit,
            ours: values(ours, keys[0])?,
            theirs: values(theirs, keys[1])?,
            target,
            below,
        })
    };
    let no_slower = Some(Target::AtMost(1.0));
    [
        compare(
            "share of training time for a checkpoint every 100 steps, ResNet-50 with SGD",
            "%",
            None,
            Some(1.0),
            [&["ms_pause", "ms_writing"], &["ms_save"]],
            true,
        ),
        compare(
            "saving it: copied, written beside, synced, renamed",
            "ms",
            no_slower,
            None,
            [&["ms_pause", "ms_writing"], &["ms_save"]],
            false,
        ),
        compare("loading it", "ms", no_slower, None, [&["ms_load"], &["ms_load"]], false),
        compare(
            "pause in training for saving it",
            "ms",
            no_slower,
            None,
            [&["ms_pause"], &["ms_save"]],
            false,
        ),
    ]
    .into_iter()
    .collect()
}
