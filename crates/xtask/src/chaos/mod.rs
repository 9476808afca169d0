//! Trains a small network, kills the training again and again, resumes it, and compares what is
//! left in the end with a run that was left alone: weights, optimizer, averages, figures,
//! TensorBoard, to the last bit. In each precision and memory format of the CPU in turn.

mod kill;
mod random;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::{self, Options, Purpose};
use crate::shell::{self, BUILD, Shell};
use crate::text::last_json;
use kill::{Ended, Killer};
use random::SplitMix;
use report::Tally;

/// The name of every run here.
const RUN: &str = "run";
/// A run is left alone after so many kills, or it might never end.
const KILLS_A_RUN: u32 = 15;
/// Precision and `channels_last`, in turn.
const COMPUTES: [(&str, &str); 4] =
    [("fp32", "false"), ("bf16", "true"), ("fp32", "true"), ("bf16", "false")];

/// How often to kill, and with which random numbers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kills in all
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Of the random numbers that choose signals and instants
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// With the programs of the dev profile, which the tests build anyway
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    options: Options,
}

/// # Errors
/// Set-up, the build or an uninterrupted run fails; or a killed run ended differently.
pub fn run(shell: &Shell, args: &Args) -> Result<()> {
    let shell = setup::run(shell, Purpose::Test, &args.options)?;
    let profile: &[&str] = if args.debug { &[] } else { &["--release"] };
    shell.run("cargo", &[&BUILD[..], profile].concat())?;
    let target = shell.target_dir()?;
    let programs = target.join(if args.debug { "debug" } else { "release" });
    let scratch = target.join(format!("chaos-{}", std::process::id()));
    let lab = Lab { shell, programs, scratch: scratch.clone() };
    let result = lab.experiment(args.kills, &mut SplitMix(args.seed));
    if result.is_ok() {
        std::fs::remove_dir_all(&scratch).with_context(|| format!("cannot delete {}", scratch.display()))?;
    } else {
        eprintln!("the runs are kept in {}", scratch.display());
    }
    result
}

struct Lab {
    shell: Shell,
    programs: PathBuf,
    /// Data and runs.
    scratch: PathBuf,
}

impl Lab {
    fn experiment(&self, kills: u32, random: &mut SplitMix) -> Result<()> {
        let mut split = self.shell.command(self.programs.join("ml-split"));
        split
            .arg("tests/data/digits/raw")
            .args(["--layout", "folders", "--link", "hardlink", "--seed", "42", "-q"]);
        shell::check(split.arg("--output").arg(self.scratch.join("digits")), "ml-split")?;

        let mut tally = Tally::default();
        let mut number = 0;
        while tally.kills() < kills {
            let compute @ (precision, channels_last) = COMPUTES[number % COMPUTES.len()];
            number += 1;
            let name = format!("{precision}, channels_last: {channels_last}");
            let quiet = self.scratch.join(format!("quiet_{precision}_{channels_last}"));
            if !quiet.exists() {
                eprintln!("chaos: a run that is left alone ({name})");
                shell::check(&mut self.train(&quiet, compute), "ml-train")?;
            }
            // The last kills fall where they fall.
            let share = kills.div_ceil(COMPUTES.len() as u32).min(kills - tally.kills()) + tally.kills();
            let runs = self.scratch.join(format!("killed_{number}"));
            self.kill_until_done(&runs, compute, share, &mut tally, random)?;
            self.compare(&quiet.join(RUN), &runs.join(RUN))?;
            tally.runs += 1;
            std::fs::remove_dir_all(&runs).with_context(|| format!("cannot delete {}", runs.display()))?;
            eprintln!(
                "chaos: run {number} ended as the one that was left alone ({name}); {} kills so far",
                tally.kills()
            );
        }
        println!("{}", tally.table());
        Ok(())
    }

    /// Starts, kills and resumes until the run is done.
    fn kill_until_done(
        &self,
        runs: &Path,
        compute: (&str, &str),
        kills: u32,
        tally: &mut Tally,
        random: &mut SplitMix,
    ) -> Result<()> {
        for attempt in 0.. {
            let killer = (attempt < KILLS_A_RUN && tally.kills() < kills).then(|| Killer::random(random));
            let log = self.scratch.join("stderr.log");
            let mut command = self.train(runs, compute);
            let file =
                std::fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
            let child = command.stderr(file).spawn().context("cannot start ml-train")?;
            match kill::watch(child, killer.as_ref(), &runs.join(RUN))? {
                Ended::ByItself(status) if status.success() => return Ok(()),
                Ended::ByItself(status) => {
                    let said = std::fs::read_to_string(&log).unwrap_or_default();
                    bail!("ml-train ended with {status} in {}: {said}", runs.display());
                }
                Ended::Killed(how) => tally.add(how),
            }
            // The signal may have come between the last line of the summary and the end of the
            // process.
            let summary = std::fs::read_to_string(runs.join(RUN).join("summary.yaml")).unwrap_or_default();
            if summary.starts_with("status: completed") {
                return Ok(());
            }
        }
        Ok(())
    }

    fn train(&self, runs: &Path, (precision, channels_last): (&str, &str)) -> Command {
        let mut command = self.shell.command(self.programs.join("ml-train"));
        command.args([
            "--config",
            "benches/chaos.yaml",
            "-q",
            "--run_name",
            RUN,
            "--resume",
            "auto",
            "--precision",
            precision,
            "--set",
        ]);
        command.arg(format!("training.channels_last={channels_last}")).arg("--data_dir");
        command.arg(self.scratch.join("digits")).arg("--runs_dir").arg(runs);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn compare(&self, one: &Path, other: &Path) -> Result<()> {
        let mut command = self.shell.command(setup::venv_python(&self.shell));
        let said = shell::output(command.arg("tests/reference/compare_runs.py").arg(one).arg(other))?;
        let found = last_json(&said)?;
        let differences =
            found["differences"].as_array().context("compare_runs.py printed no differences")?;
        if !differences.is_empty() {
            bail!("{} differs from {}: {}", other.display(), one.display(), found["differences"]);
        }
        Ok(())
    }
}
