//! The loader against torchvision's `ImageFolder` and `DataLoader`: images per second from JPEGs of
//! ImageNet's size and from small PNGs, with and without a cache; memory over ten epochs; an index
//! of a million samples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};
use crate::text;

/// JPEGs of 500 x 375 pixels.
const JPEGS: &str = "1000";
/// PNGs of 32 x 32 pixels.
const PNGS: &str = "10000";
/// Lines of an index.
const INDEX_SAMPLES: usize = 1_000_000;

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (jpegs, pngs) = (bench.scratch.join("jpegs"), bench.scratch.join("pngs"));
    images(bench, &jpegs, &["--count", JPEGS])?;
    images(bench, &pngs, &["--count", PNGS, "--height", "32", "--width", "32", "--format", "png"])?;

    let best = best_workers(bench, &jpegs, "224", cores)?;
    let theirs = |folder: PathBuf, size: &'static str| move || torchvision(bench, &folder, size, best);
    let ours = |folder: PathBuf, size: &'static str, cache: &'static str| {
        move || rate(&printed(&mut load(bench, &folder, size, cores, 4, cache))?)
    };
    let higher = |what: &'static str, peer, target, (ours, theirs)| Comparison {
        what: what.into(),
        peer,
        unit: "images/s",
        ours,
        theirs,
        target: Some(target),
        below: None,
    };
    let mut found = Vec::new();
    let rounds = bench.rounds;
    found.push(higher(
        "JPEG to batch of 224 px",
        "torchvision",
        Target::RateAtLeast(2.5),
        in_turn(rounds, "JPEGs", ours(jpegs.clone(), "224", "none"), theirs(jpegs.clone(), "224"))?,
    ));
    found.push(higher(
        "JPEG to batch of 224 px",
        "libjpeg-turbo decoding in full",
        Target::RateAtLeast(0.9),
        in_turn(rounds, "decoding", ours(jpegs.clone(), "224", "none"), || decoded(bench, &jpegs, cores))?,
    ));
    found.push(higher(
        "from the cache in memory",
        "torchvision from JPEG",
        Target::RateAtLeast(8.0),
        in_turn(rounds, "cache", ours(jpegs.clone(), "224", "ram"), theirs(jpegs.clone(), "224"))?,
    ));
    found.push(higher(
        "from the cache on disk",
        "torchvision from JPEG",
        Target::Rate,
        in_turn(rounds, "disk", ours(jpegs.clone(), "224", "disk"), theirs(jpegs.clone(), "224"))?,
    ));
    found.push(higher(
        "PNG to batch of 32 px",
        "torchvision",
        Target::RateAtLeast(10.0),
        in_turn(rounds, "PNGs", ours(pngs.clone(), "32", "none"), theirs(pngs, "32"))?,
    ));
    found.push(memory(bench, &jpegs)?);
    scaling(bench, &jpegs, cores)?;
    flatness(bench, &jpegs, cores)?;
    index(bench)?;
    Ok(found)
}

pub(super) fn images(bench: &Bench, folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = bench.shell.command(&bench.python);
    measure::timed(command.arg("benches/python/images.py").arg(folder).args(arguments))?;
    Ok(())
}

/// The worker count with which torchvision is fastest.
fn best_workers(bench: &Bench, folder: &Path, size: &str, cores: usize) -> Result<usize> {
    let mut best = (0, 0.0);
    for workers in 0..=cores + 1 {
        let rate = torchvision(bench, folder, size, workers)?;
        eprintln!("torchvision with {workers} workers: {rate:.0} images/s");
        if rate > best.1 {
            best = (workers, rate);
        }
    }
    Ok(best.0)
}

fn torchvision(bench: &Bench, folder: &Path, size: &str, workers: usize) -> Result<f64> {
    let mut command = bench.shell.command(&bench.python);
    command.arg("benches/python/loader.py").arg(folder);
    command.args(["--size", size, "--workers", &workers.to_string()]);
    rate(&printed(&mut command)?)
}

/// What a program says.
fn printed(command: &mut Command) -> Result<Value> {
    text::last_json(&measure::timed(command)?.stdout)
}

fn example(bench: &Bench) -> Command {
    bench.shell.command(bench.programs.join("examples").join("bench_loader"))
}

/// The loader with `threads` threads over `epochs` epochs, with a cache of this kind.
fn load(bench: &Bench, folder: &Path, size: &str, threads: usize, epochs: usize, cache: &str) -> Command {
    let mut command = example(bench);
    command.arg("load").arg(folder).args([size, &threads.to_string(), &epochs.to_string(), cache]);
    command
}

fn decoded(bench: &Bench, folder: &Path, threads: usize) -> Result<f64> {
    let mut command = example(bench);
    command.arg("decode").arg(folder).arg(threads.to_string());
    rate(&printed(&mut command)?)
}

fn rate(outcome: &Value) -> Result<f64> {
    outcome["images_per_s"].as_f64().context("no images_per_s was printed")
}

/// Both with two workers.
fn memory(bench: &Bench, folder: &Path) -> Result<Comparison> {
    let ours = || measure::watched(&mut load(bench, folder, "224", 2, 2, "none"));
    let theirs = || {
        let mut command = bench.shell.command(&bench.python);
        command.arg("benches/python/loader.py").arg(folder);
        measure::watched(command.args(["--size", "224", "--workers", "2", "--epochs", "2"]))
    };
    let (ours, theirs) = in_turn(bench.rounds.min(3), "memory", ours, theirs)?;
    Ok(Comparison {
        what: "memory with 2 workers".into(),
        peer: "torchvision",
        unit: "MB",
        ours,
        theirs,
        target: Some(Target::AtLeast(4.0)),
        below: None,
    })
}

fn scaling(bench: &Bench, folder: &Path, cores: usize) -> Result<()> {
    for threads in (0..=cores).chain([2 * cores]) {
        let rate = rate(&printed(&mut load(bench, folder, "224", threads, 3, "none"))?)?;
        println!("loader with {threads} threads on {cores} cores: {rate:.0} images/s");
    }
    Ok(())
}

/// Resident memory after each of ten epochs.
fn flatness(bench: &Bench, folder: &Path, cores: usize) -> Result<()> {
    let outcome = printed(&mut load(bench, folder, "224", cores, 10, "none"))?;
    let memory: Vec<f64> =
        outcome["resident_mb"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let (first, last) = (memory.first().context("no memory was printed")?, memory[memory.len() - 1]);
    let change = 100.0 * (last / first - 1.0);
    println!(
        "memory over 10 epochs: {first:.1} MB after the first, {last:.1} MB after the last ({change:+.1} %)"
    );
    Ok(())
}

/// A data folder of a million lines, whose images nobody reads.
fn index(bench: &Bench) -> Result<()> {
    let folder = bench.scratch.join("index");
    let splits = folder.join("splits");
    fs::create_dir_all(&splits).with_context(|| format!("cannot make {}", splits.display()))?;
    fs::create_dir_all(folder.join("raw")).with_context(|| format!("cannot make {}", folder.display()))?;
    let classes: Vec<String> = (0..1000).map(|class| format!("class_{class:04}")).collect();
    let mut manifest = String::from(
        "format_version: 1\ncreated_by: bench\nlayout: index\nseed: 42\nmethod: {name: ratio, train: 0.9, val: 0.1, test: 0.0}\n\
         images: raw\nclasses:\n",
    );
    classes.iter().for_each(|class| manifest += &format!("- {class}\n"));
    manifest += &format!("total: {INDEX_SAMPLES}\nsplits:\n");
    for (name, share) in [("train", 9), ("val", 1)] {
        let each = INDEX_SAMPLES / 10_000 * share;
        let mut lines = String::new();
        manifest += &format!("- name: {name}\n  total: {}\n  counts:\n", each * classes.len());
        for class in &classes {
            manifest += &format!("    {class}: {each}\n");
            (0..each).for_each(|i| lines += &format!("raw/{class}/{name}_{i:08}.jpg\n"));
        }
        let path = splits.join(format!("{name}.txt"));
        fs::write(&path, lines).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let path = splits.join("manifest.yaml");
    fs::write(&path, manifest).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = example(bench);
    let outcome = printed(command.arg("index").arg(&folder))?;
    println!(
        "index of {} samples: opened in {:.2} s (below 2.00), {:.0} MB for it at most (below 150)",
        outcome["samples"],
        outcome["seconds"].as_f64().context("no seconds were printed")?,
        outcome["peak_mb"].as_f64().context("no memory was printed")?
    );
    Ok(())
}
