//! What a user gets without deciding anything: training steps in the precision that `ml-train`
//! takes by itself, against PyTorch as it comes and against PyTorch at its best.

use anyhow::{Context, Result};

use super::report::{Comparison, Target};
use super::step::figures;
use super::{Bench, in_turn, measure};

/// What is compared.
struct Row {
    network: &'static str,
    batch: &'static str,
    size: &'static str,
    /// Of each process.
    steps: &'static str,
    /// Against PyTorch as it comes; none of the small images' row, which has no such target.
    plain: Option<f64>,
    /// Against PyTorch at its best.
    best: f64,
}

const fn at_224(network: &'static str, batch: &'static str, steps: &'static str, plain: f64) -> Row {
    Row { network, batch, size: "224", steps, plain: Some(plain), best: 1.05 }
}

const ROWS: [Row; 7] = [
    at_224("resnet18", "32", "5", 2.7),
    at_224("resnet50", "16", "3", 2.2),
    at_224("vit_b_16", "8", "3", 1.8),
    at_224("convnext_tiny", "8", "4", 1.2),
    at_224("efficientnet_b0", "16", "5", 1.2),
    at_224("mobilenet_v3_large", "16", "6", 1.0),
    Row { network: "resnet18", batch: "64", size: "32", steps: "40", plain: None, best: 1.25 },
];

/// The ways in which PyTorch may be fastest.
const THEIRS: [&[&str]; 4] =
    [&["--bf16", "--channels_last"], &["--bf16", "--channels_last", "--compile"], &[], &["--compile"]];

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let mut found = Vec::new();
    for row in &ROWS {
        let ours = decided(bench, row)?;
        let best = fastest_of_theirs(bench, row)?;
        let what = format!("{}, batch {}, {} px", row.network, row.batch, row.size);
        let against = |theirs: &[&'static str], target: f64, peer: &'static str| {
            let theirs: Vec<String> = theirs.iter().map(|&flag| flag.to_owned()).collect();
            let label = format!("{what}: {} against {}", flags_text(&ours), flags_text(&theirs));
            let (ours, theirs) = in_turn(
                bench.rounds,
                &label,
                || our_step(bench, row, &ours),
                || their_step(bench, row, &theirs),
            )?;
            let of = |side: fn(&(f64, f64)) -> f64, unit, name: &str, target| Comparison {
                what: format!("{name} of {label}").into(),
                peer,
                unit,
                ours: ours.iter().map(side).collect(),
                theirs: theirs.iter().map(side).collect(),
                target: Some(target),
                below: None,
            };
            let found = [
                of(|figures| figures.0, "ms", "step", Target::AtLeast(target)),
                of(|figures| figures.1, "MB", "peak memory", Target::AtMost(1.0)),
            ];
            // All rows take most of an hour.
            found.iter().for_each(|comparison| eprintln!("{}", comparison.text()));
            Ok::<_, anyhow::Error>(found)
        };
        if let Some(target) = row.plain {
            found.extend(against(&[], target, "PyTorch as it comes")?);
        }
        found.extend(against(best, row.best, "PyTorch at its best")?);
    }
    Ok(found)
}

fn flags_text(flags: &[String]) -> String {
    if flags.is_empty() { "fp32".to_owned() } else { flags.join(" ").replace("--", "") }
}

/// The flags of `bench_step` for what `ml-train` takes by itself, as its log says.
fn decided(bench: &Bench, row: &Row) -> Result<Vec<String>> {
    let data = super::digits(bench)?;
    let size = row.size;
    let transform = format!("{{resize: [{size}, {size}]}}");
    let mut command = bench.shell.command(bench.programs.join("ml-train"));
    command
        .args(["--dry_run", "--device", "cpu", "--color", "never", "--num_epochs", "1000000"])
        .args(["--architecture", row.network, "--batch_size", row.batch, "--set"])
        .arg(format!("transforms={{train: {transform}, val: {transform}, test: {transform}}}"))
        .arg("--data_dir")
        .arg(data)
        .env("XDG_CACHE_HOME", bench.scratch.join("cache"));
    let said = measure::timed(&mut command)?.stderr;
    let line = said.lines().rev().find(|line| line.contains("precision: ") && !line.contains("measuring"));
    let line = line.context("ml-train does not say its precision")?;
    eprintln!("{line}");
    let taken = line.split_once("precision: ").map_or("", |(_, rest)| rest);
    let taken = taken.split(" (").next().unwrap_or_default();
    let flags = [("bf16", "--bf16"), ("channels_last", "--channels_last")];
    Ok(flags.into_iter().filter(|(word, _)| taken.contains(word)).map(|(_, flag)| flag.to_owned()).collect())
}

fn fastest_of_theirs(bench: &Bench, row: &Row) -> Result<&'static [&'static str]> {
    let mut best: Option<(f64, &'static [&'static str])> = None;
    for flags in THEIRS {
        let flags_given: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let (milliseconds, _) = their_step(bench, row, &flags_given)?;
        eprintln!("{}: PyTorch {}: {milliseconds:.0} ms", row.network, flags_text(&flags_given));
        if best.is_none_or(|(least, _)| milliseconds < least) {
            best = Some((milliseconds, flags));
        }
    }
    Ok(best.map_or(&[], |(_, flags)| flags))
}

fn args<'a>(row: &'a Row, flags: &'a [String]) -> impl Iterator<Item = &'a str> {
    [row.network, row.batch, row.size, row.steps].into_iter().chain(flags.iter().map(String::as_str))
}

fn our_step(bench: &Bench, row: &Row, flags: &[String]) -> Result<(f64, f64)> {
    let mut command = bench.shell.command(bench.programs.join("examples/bench_step"));
    figures(&measure::timed(command.args(args(row, flags)))?.stdout)
}

fn their_step(bench: &Bench, row: &Row, flags: &[String]) -> Result<(f64, f64)> {
    let mut command = bench.shell.command(&bench.python);
    figures(&measure::timed(command.arg("benches/python/step.py").args(args(row, flags)))?.stdout)
}
