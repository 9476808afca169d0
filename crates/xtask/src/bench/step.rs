//! Training steps and inference passes of networks, and the memory they take; the median step of
//! each process.

use anyhow::{Context, Result};

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};
use crate::text::last_json;

/// Network, images a batch, and steps counted: a few seconds for each process on two cores.
const NETWORKS: [(&str, &str, &str); 5] = [
    ("resnet50", "8", "5"),
    ("vit_b_16", "4", "5"),
    ("convnext_tiny", "8", "5"),
    ("mobilenet_v3_large", "16", "8"),
    ("swin_t", "8", "5"),
];

/// ResNet-18 with a batch of 32, 224 px, in single precision.
pub fn one(bench: &Bench) -> Result<Vec<Comparison>> {
    Ok(compare(bench, ("resnet18", "32", "8"), &[], 1.05)?.into_iter().take(1).collect())
}

/// Networks of five families at 224 px.
pub fn networks(bench: &Bench) -> Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for network in NETWORKS {
        for flags in [&[][..], &["--inference"]] {
            comparisons.extend(compare(bench, network, flags, 1.0)?);
        }
    }
    comparisons.extend(compare(bench, NETWORKS[0], &["--bf16", "--channels_last"], 1.0)?);
    Ok(comparisons)
}

/// Time and memory of one network.
fn compare(
    bench: &Bench,
    (network, batch, steps): (&str, &str, &str),
    flags: &[&str],
    at_most: f64,
) -> Result<Vec<Comparison>> {
    let args: Vec<&str> = [network, batch, "224", steps].into_iter().chain(flags.iter().copied()).collect();
    let ours = || {
        let mut command = bench.shell.command(bench.programs.join("examples/bench_step"));
        figures(&measure::timed(command.args(&args))?.stdout)
    };
    let theirs = || {
        let mut command = bench.shell.command(&bench.python);
        figures(&measure::timed(command.arg("benches/python/step.py").args(&args))?.stdout)
    };
    let what = format!(
        "{network}, batch {batch}, 224 px{}",
        flags.iter().map(|flag| flag.replace("--", ", ")).collect::<String>()
    );
    let (ours, theirs) = in_turn(bench.rounds, &what, ours, theirs)?;
    let comparison = |what: String, unit, at_most, side: fn(&(f64, f64)) -> f64| Comparison {
        what: what.into(),
        peer: "torchvision",
        unit,
        ours: ours.iter().map(side).collect(),
        theirs: theirs.iter().map(side).collect(),
        target: Some(Target::AtMost(at_most)),
        below: None,
    };
    Ok(vec![
        comparison(format!("step of {what}"), "ms", at_most, |figures| figures.0),
        comparison(format!("peak memory of {what}"), "MB", 1.0, |figures| figures.1),
    ])
}

/// Milliseconds of a step, and peak memory in MB.
pub(super) fn figures(stdout: &str) -> Result<(f64, f64)> {
    let printed = last_json(stdout)?;
    let figure = |key: &str| printed[key].as_f64().with_context(|| format!("the program printed no {key}"));
    Ok((figure("ms_median")?, figure("peak_mb")?))
}
