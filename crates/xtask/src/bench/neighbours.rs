//! Programs that share a machine: two trainings at once against one alone, for ours and for
//! PyTorch; one alone with and without what makes that possible; and half a processor.

use anyhow::{Context, Result};

use super::report::{Comparison, Target};
use super::step::figures;
use super::{Bench, in_turn, measure};

/// Network, batch, size: small operations, between which threads wait for each other often.
const STEP: [&str; 3] = ["resnet18", "64", "32"];
/// Of each process: some ten seconds.
const STEPS: &str = "80";
/// libgomp's own number of rounds for which a thread waits; setting it leaves everything to libgomp.
const PLAIN: (&str, &str) = ("GOMP_SPINCOUNT", "300000");

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let compare = |what: &'static str, peer, target, (ours, theirs)| Comparison {
        what: what.into(),
        peer,
        unit: "ms",
        ours,
        theirs,
        target: Some(target),
        below: None,
    };
    let rounds = bench.rounds;
    let (ours, theirs) = (|| ours(bench, &[]), || theirs(bench));
    let pair = |side: &dyn Fn() -> std::process::Command| -> Result<f64> { at_once(side(), side()) };
    let alone = |side: &dyn Fn() -> std::process::Command| -> Result<f64> { milliseconds(&mut side()) };
    Ok(vec![
        compare(
            "step of resnet18, batch 64, 32 px: the slower of two trainings at once",
            "one alone",
            Target::AtMost(2.0),
            in_turn(rounds, "two at once", || pair(&ours), || alone(&ours))?,
        ),
        compare(
            "the same of PyTorch",
            "one alone",
            Target::AtMost(f64::INFINITY),
            in_turn(rounds, "two at once, PyTorch", || pair(&theirs), || alone(&theirs))?,
        ),
        compare(
            "step of resnet18, batch 64, 32 px: one alone",
            "left to libgomp",
            Target::AtMost(1.02),
            in_turn(rounds, "one alone", || alone(&ours), || alone(&|| self::ours(bench, &[PLAIN])))?,
        ),
    ])
}

fn ours(bench: &Bench, variables: &[(&str, &str)]) -> std::process::Command {
    let mut command = bench.shell.command(bench.programs.join("examples/bench_step"));
    command.args(STEP).arg(STEPS).envs(variables.iter().copied());
    command
}

fn theirs(bench: &Bench) -> std::process::Command {
    let mut command = bench.shell.command(&bench.python);
    command.arg("benches/python/step.py").args(STEP).arg(STEPS);
    command
}

fn milliseconds(command: &mut std::process::Command) -> Result<f64> {
    Ok(figures(&measure::timed(command)?.stdout)?.0)
}

/// The slower of two that run at once.
fn at_once(mut one: std::process::Command, mut other: std::process::Command) -> Result<f64> {
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(move || milliseconds(&mut other));
        (milliseconds(&mut one), other.join())
    });
    let other = other.ok().context("the second program was not watched to its end")?;
    Ok(one?.max(other?))
}
