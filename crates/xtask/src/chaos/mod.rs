//! Trains a small network, kills the training again and again, resumes it, and compares what is
//! left in the end with a run that was left alone: weights, optimizer, averages, figures,
//! TensorBoard, to the last bit. In each precision and memory format of the CPU in turn, with each
//! optimizer in turn, with schedules that have a state or change, and as two processes that train
//! together, of which either is killed.

mod kill;
mod random;
mod report;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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
/// How a run trains.
#[derive(Clone, Copy)]
struct Way {
    precision: &'static str,
    channels_last: &'static str,
    processes: usize,
    /// In place of that of the file.
    scheduler: Option<&'static str>,
    /// One of [`OPTIMIZERS`].
    optimizer: &'static str,
}

/// Its state is in the checkpoint; with this threshold it drops within five epochs.
const PLATEAU: &str = "scheduler={name: plateau, patience: 0, threshold: 0.1, interval: epoch}";
/// Changes from one schedule to the next within the run.
const SEQUENCE: &str = "scheduler={name: sequence, schedules: [\
     {schedule: {name: linear, total_iters: 1, interval: step}, epochs: 1}, \
     {schedule: {name: cosine_restarts, t_0: 1, t_mult: 2, interval: step}, epochs: 2}, \
     {schedule: {name: wsd, decay_epochs: 1, interval: step}}]}";

const fn alone(precision: &'static str, channels_last: &'static str) -> Way {
    Way { precision, channels_last, processes: 1, scheduler: None, optimizer: OPTIMIZERS[0] }
}

/// In turn.
const WAYS: [Way; 5] = [
    alone("fp32", "false"),
    Way { scheduler: Some(PLATEAU), ..alone("bf16", "true") },
    Way { processes: 2, scheduler: Some(PLATEAU), ..alone("fp32", "false") },
    Way { scheduler: Some(SEQUENCE), ..alone("fp32", "true") },
    alone("bf16", "false"),
];
/// In turn as well; their number has no divisor in common with that of the ways.
const OPTIMIZERS: [&str; 9] = [
    "{name: adamw, lr: 0.004, weight_decay: 0.01}",
    "{name: muon, lr: 0.01, adamw_lr: 0.004}",
    "{name: nadam, lr: 0.004, weight_decay: 0.01, decoupled_weight_decay: true}",
    "{name: lamb, lr: 0.01}",
    "{name: adan, lr: 0.004, weight_decay: 0.02}",
    "{name: ademamix, lr: 0.002, alpha_warmup: 100, beta3_warmup: 100}",
    "{name: rmsprop_tf, lr: 0.002, momentum: 0.9, eps: 0.001}",
    "{name: lion, lr: 0.0005, weight_decay: 0.1}",
    "{name: sgd, lr: 0.02, momentum: 0.9, nesterov: true}",
];
/// When one of two processes has ended, the other ends within this.
const SOON: Duration = Duration::from_mins(1);

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
            let place = number % OPTIMIZERS.len();
            let way = Way { optimizer: OPTIMIZERS[place], ..WAYS[number % WAYS.len()] };
            let Way { precision, channels_last, processes, optimizer, .. } = way;
            number += 1;
            let name = format!(
                "{precision}, channels_last: {channels_last}, processes: {processes}, optimizer: {optimizer}"
            );
            let quiet = self.scratch.join(format!("quiet_{precision}_{channels_last}_{processes}_{place}"));
            if !quiet.exists() {
                eprintln!("chaos: a run that is left alone ({name})");
                self.kill_until_done(&quiet, way, 0, &mut tally, random)?;
            }
            // The last kills fall where they fall.
            let share = kills.div_ceil(WAYS.len() as u32).min(kills - tally.kills()) + tally.kills();
            let runs = self.scratch.join(format!("killed_{number}"));
            self.kill_until_done(&runs, way, share, &mut tally, random)?;
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
        way: Way,
        kills: u32,
        tally: &mut Tally,
        random: &mut SplitMix,
    ) -> Result<()> {
        for attempt in 0.. {
            let killer = (attempt < KILLS_A_RUN && tally.kills() < kills).then(|| Killer::random(random));
            let log = self.scratch.join("stderr.log");
            let mut children = self.start(runs, way, &log)?;
            let writer = children[0].id();
            let victim = (random.fraction() * children.len() as f64) as usize;
            let ended = kill::watch(&mut children[victim], writer, killer.as_ref(), &runs.join(RUN))?;
            let others = children.iter_mut().enumerate().filter(|(place, _)| *place != victim);
            let others =
                others.map(|(_, child)| wait_briefly(child)).collect::<Result<Vec<_>>>()?.into_iter();
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            match ended {
                Ended::ByItself(status) if status.success() => {
                    if let Some(status) = others.into_iter().find(|status| !status.success()) {
                        bail!("one of the processes ended with {status} in {}: {}", runs.display(), said());
                    }
                    return Ok(());
                }
                Ended::ByItself(status) => {
                    bail!("ml-train ended with {status} in {}: {}", runs.display(), said());
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

    /// All processes, rank 0 first. What they say goes to `log`.
    fn start(&self, runs: &Path, way: Way, log: &Path) -> Result<Vec<Child>> {
        let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .context("there is no free port")?
            .port();
        let start = |rank: usize| -> Result<Child> {
            let mut command = self.train(runs, way);
            if way.processes > 1 {
                command.env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
                for name in ["WORLD_SIZE", "LOCAL_WORLD_SIZE"] {
                    command.env(name, way.processes.to_string());
                }
                command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
            }
            command.stderr(file.try_clone().context("cannot share the log")?);
            command.spawn().context("cannot start ml-train")
        };
        (0..way.processes).map(start).collect()
    }

    fn train(&self, runs: &Path, way: Way) -> Command {
        let Way { precision, channels_last, scheduler, optimizer, .. } = way;
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
        command.arg(format!("training.channels_last={channels_last}"));
        command.arg("--set").arg(format!("optimizer={optimizer}")).arg("--data_dir");
        command.arg(self.scratch.join("digits")).arg("--runs_dir").arg(runs);
        if let Some(scheduler) = scheduler {
            command.arg("--set").arg(scheduler);
        }
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

/// How a process ended of which another has.
fn wait_briefly(child: &mut Child) -> Result<ExitStatus> {
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().context("cannot wait for ml-train")? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    bail!("one of two processes did not end within {} s of the other", SOON.as_secs());
}
