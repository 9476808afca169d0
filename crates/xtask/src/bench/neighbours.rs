//! Programs that share a machine: two trainings at once against one alone, for ours and for
//! PyTorch; one alone with and without what makes that possible; and half a processor.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::report::{Comparison, Target};
use super::step::figures;
use super::{Bench, in_turn, measure};

/// Network, batch, size: small operations, between which threads wait for each other often.
const STEP: [&str; 3] = ["resnet18", "64", "32"];
/// Of each process: some ten seconds.
const STEPS: &str = "80";
/// Network, batch, size and steps with half a processor.
const QUOTA_STEP: [&str; 4] = ["resnet18", "8", "64", "12"];
/// libgomp's own number of rounds for which a thread waits; setting it leaves everything to libgomp.
const PLAIN: (&str, &str) = ("GOMP_SPINCOUNT", "300000");

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let compare = |what: &'static str, peer, target, (ours, theirs)| {
        let unit = if what.starts_with("peak memory") { "MB" } else { "ms" };
        let found = Comparison { what: what.into(), peer, unit, ours, theirs, target, below: None };
        // At once, since the next takes minutes.
        eprintln!("{}", found.text());
        found
    };
    let rounds = bench.rounds;
    let (ours, theirs) = (|| ours(bench, &[]), || theirs(bench));
    let pair = |side: &dyn Fn() -> std::process::Command| -> Result<f64> { at_once(side(), side()) };
    let alone = |side: &dyn Fn() -> std::process::Command| -> Result<f64> { milliseconds(&mut side()) };
    let mut rows = vec![
        compare(
            "step of resnet18, batch 64, 32 px: the slower of two trainings at once",
            "one alone",
            Some(Target::AtMost(2.0)),
            in_turn(rounds, "two at once", || pair(&ours), || alone(&ours))?,
        ),
        compare(
            "the same of PyTorch",
            "one alone",
            None,
            in_turn(rounds, "two at once, PyTorch", || pair(&theirs), || alone(&theirs))?,
        ),
        compare(
            "step of resnet18, batch 64, 32 px: one alone",
            "left to libgomp",
            Some(Target::AtMost(1.02)),
            in_turn(rounds, "one alone", || alone(&ours), || alone(&|| self::ours(bench, &[PLAIN])))?,
        ),
    ];
    let peak = |mut command| Ok::<_, anyhow::Error>(vec![printed(&mut command)?.1]);
    rows.push(compare(
        "peak memory of resnet18, batch 64, 32 px: one alone",
        "PyTorch",
        Some(Target::AtMost(1.0)),
        (peak(ours())?, peak(theirs())?),
    ));
    match Quota::half_a_processor() {
        Ok(quota) => {
            let with = |variables: &[(&str, &str)]| {
                let mut command = quota.within(&bench.programs.join("examples/bench_step"));
                command.args(QUOTA_STEP).envs(variables.iter().copied());
                milliseconds(&mut command)
            };
            rows.push(compare(
                "step of resnet18, batch 8, 64 px, with a quota of half a processor",
                "OMP_NUM_THREADS=1",
                Some(Target::AtMost(1.1)),
                in_turn(rounds, "half a processor", || with(&[]), || with(&[("OMP_NUM_THREADS", "1")]))?,
            ));
        }
        Err(error) => eprintln!("half a processor: not measured: {error:#}"),
    }
    Ok(rows)
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
    Ok(printed(command)?.0)
}

/// Milliseconds of a step, and peak memory in MB.
fn printed(command: &mut std::process::Command) -> Result<(f64, f64)> {
    figures(&measure::timed(command)?.stdout)
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

/// A control group whose processes get half a processor in all.
struct Quota(PathBuf);

impl Quota {
    /// In either hierarchy of control groups; takes the rights to make one.
    fn half_a_processor() -> Result<Quota> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("bench-{}", std::process::id());
        let (folder, limits): (PathBuf, &[(&str, &str)]) = if root.join("cgroup.controllers").exists() {
            (root.join(name), &[("cpu.max", "50000 100000")])
        } else {
            let limits = &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")];
            (root.join("cpu").join(name), limits)
        };
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let quota = Quota(folder);
        for (file, text) in limits {
            let path = quota.0.join(file);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(quota)
    }

    /// `program` in the group, with whatever arguments follow.
    fn within(&self, program: &Path) -> std::process::Command {
        let mut command = std::process::Command::new("sh");
        let enter = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        command.args(["-c", enter]).arg(&self.0).arg(program);
        command
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Its processes have ended; a folder that stays does no harm.
        let _ = std::fs::remove_dir(&self.0);
    }
}
