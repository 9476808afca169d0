//! Two processes with a thread each, started by torchrun on either side: their training steps and
//! memory against PyTorch's `DistributedDataParallel`, what is gained by reducing gradients while
//! backward goes on, what crosses the network, and the time to the first step.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::{Comparison, Target};
use super::{Bench, first_step, in_turn, measure};
use crate::text::last_json;

const PEER: &str = "DistributedDataParallel";
/// Network, images a batch of each process, their size, and steps counted: some ten seconds a run.
const SMALL: [&str; 4] = ["resnet18", "32", "32", "40"];
const LARGE: [&str; 4] = ["resnet18", "8", "224", "8"];
/// As memory is counted.
const MB: f64 = 1024.0 * 1024.0;

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let mut rows = Vec::new();
    for (args, at_most) in [(SMALL, 0.95), (LARGE, 1.0)] {
        rows.extend(against_ddp(bench, args, at_most)?);
        rows.push(overlap(bench, args)?);
    }
    rows.push(own_buffers(bench)?);
    for flags in [&[][..], &["--bf16_gradients"]] {
        rows.extend(wire(bench, flags)?);
    }
    rows.push(start(bench)?);
    Ok(rows)
}

/// Says it at once, since the next takes minutes.
fn found(row: Comparison) -> Comparison {
    eprintln!("{}", row.text());
    row
}

/// Time and memory of a step.
fn against_ddp(bench: &Bench, args: [&str; 4], at_most: f64) -> Result<Vec<Comparison>> {
    let what = described(args);
    let (ours, theirs) =
        in_turn(bench.rounds, &what, || our_step(bench, args, &[]), || their_step(bench, args, &[]))?;
    let compare = |what: String, unit, at_most, key| -> Result<Comparison> {
        Ok(found(Comparison {
            what: what.into(),
            peer: PEER,
            unit,
            ours: numbers(&ours, key)?,
            theirs: numbers(&theirs, key)?,
            target: Some(Target::AtMost(at_most)),
            below: None,
        }))
    };
    Ok(vec![
        compare(format!("step of {what}"), "ms", at_most, "ms_median")?,
        compare(format!("peak memory of one of {what}"), "MB", 1.0, "peak_mb")?,
    ])
}

/// What is gained by reducing gradients while backward goes on.
fn overlap(bench: &Bench, args: [&str; 4]) -> Result<Comparison> {
    let what = format!("{}: gradients reduced during backward", described(args));
    let (during, after) =
        in_turn(bench.rounds, &what, || our_step(bench, args, &[]), || our_step(bench, args, &["--after"]))?;
    Ok(found(Comparison {
        what: format!("step of {what}").into(),
        peer: "all at once after it",
        unit: "ms",
        ours: numbers(&during, "ms_median")?,
        theirs: numbers(&after, "ms_median")?,
        target: None,
        below: None,
    }))
}

/// The small step once more, where `DistributedDataParallel` does not send the statistics of batch
/// norms in each step either.
fn own_buffers(bench: &Bench) -> Result<Comparison> {
    let what = format!("{}: statistics of batch norms not sent", described(SMALL));
    let (ours, theirs) = in_turn(
        bench.rounds,
        &what,
        || our_step(bench, SMALL, &[]),
        || their_step(bench, SMALL, &["--own_buffers"]),
    )?;
    Ok(found(Comparison {
        what: format!("step of {what}").into(),
        peer: PEER,
        unit: "ms",
        ours: numbers(&ours, "ms_median")?,
        theirs: numbers(&theirs, "ms_median")?,
        target: None,
        below: None,
    }))
}

/// What a process sends in a step, beside the gradients' bytes. It hardly varies: one run.
fn wire(bench: &Bench, flags: &[&str]) -> Result<Option<Comparison>> {
    let what = format!(
        "bytes that one of {} sends in a step{}",
        described(SMALL),
        flags.iter().map(|flag| flag.replace("--", ", ")).collect::<String>()
    );
    let run = our_step(bench, SMALL, flags)?;
    let Some(sent) = run["wire_bytes"].as_f64() else {
        eprintln!("{what}: not measured: the kernel does not count what the loopback interface sends");
        return Ok(None);
    };
    let bytes = run["bytes"].as_f64().context("the program printed no bytes")?;
    Ok(Some(found(Comparison {
        what: what.into(),
        peer: "the gradients",
        unit: "MB",
        ours: vec![sent / MB],
        theirs: vec![bytes / MB],
        target: None,
        below: None,
    })))
}

/// From the start of the first process to its first optimizer step, on the digits; torchrun's own
/// start, the same for both sides, is not in it.
fn start(bench: &Bench) -> Result<Comparison> {
    let data = super::digits(bench)?;
    let (ours, theirs) = in_turn(
        bench.rounds,
        "first step of two processes",
        || {
            let runs = first_step::new_folder(bench)?;
            let command = our_command(bench, "ml-train");
            measure::timed(&mut first_step::train_on(command, &data, &runs))?;
            first_step::seconds_to_first_step(&runs)
        },
        || {
            let mut command = their_command(bench, "ddp_first_step.py");
            let printed = last_json(&measure::timed(command.arg(&data))?.stdout)?;
            printed["seconds_to_first_step"]
                .as_f64()
                .context("ddp_first_step.py printed no seconds_to_first_step")
        },
    )?;
    Ok(found(Comparison {
        what: "time to the first optimizer step of two processes on the digits".into(),
        peer: PEER,
        unit: "s",
        ours,
        theirs,
        target: None,
        below: Some(2.0),
    }))
}

fn described([network, batch, size, _]: [&str; 4]) -> String {
    format!("two processes, {network}, batch {batch} each, {size} px")
}

fn our_step(bench: &Bench, args: [&str; 4], flags: &[&str]) -> Result<Value> {
    let mut command = our_command(bench, "examples/bench_ddp");
    last_json(&measure::timed(command.args(args).args(flags))?.stdout)
}

fn their_step(bench: &Bench, args: [&str; 4], flags: &[&str]) -> Result<Value> {
    let mut command = their_command(bench, "ddp_step.py");
    last_json(&measure::timed(command.args(args).args(flags))?.stdout)
}

/// Two processes of one of our programs.
fn our_command(bench: &Bench, program: &str) -> Command {
    let mut command = torchrun(bench);
    command.arg("--no-python").arg(bench.programs.join(program));
    command
}

/// Two processes of a program in Python.
fn their_command(bench: &Bench, program: &str) -> Command {
    let mut command = torchrun(bench);
    command.arg(Path::new("benches/python").join(program));
    command
}

fn torchrun(bench: &Bench) -> Command {
    let mut command = bench.shell.command(&bench.python);
    command
        .args(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])
        .env("OMP_NUM_THREADS", "1");
    command
}

fn numbers(runs: &[Value], key: &str) -> Result<Vec<f64>> {
    let number = |run: &Value| run[key].as_f64().with_context(|| format!("the program printed no {key}"));
    runs.iter().map(number).collect()
}
