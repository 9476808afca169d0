//! Trains a small network, kills the training again and again, resumes it, and compares what is
//! left in the end with a run that was left alone: weights, optimizer, averages, figures,
//! TensorBoard, to the last bit. Configurations are drawn at random: each precision and memory format
//! of the CPU, two processes of which either is killed, and each optimizer come in turn, and with them
//! schedules, losses, tasks, a teacher, averages and whatever else goes together.

mod draw;
mod kill;
mod random;
mod report;
mod several;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::setup::{self, Options, Purpose};
use crate::shell::{self, BUILD, Shell};
use crate::text::last_json;
use draw::Draw;
use kill::{Ended, Killer, Moment};
use random::SplitMix;
use report::Tally;

/// The name of every run here.
const RUN: &str = "run";
/// Images by class.
const DIGITS: &str = "tests/data/digits/raw";
/// A run is left alone after so many kills, or it might never end.
const KILLS_A_RUN: u32 = 15;
/// Runs that share the kills.
const RUNS: u32 = 5;
/// When one of two processes has ended, the other ends within this.
const SOON: Duration = Duration::from_mins(1);

/// How often to kill, and with which random numbers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kills in all
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Of the random numbers that choose configurations, signals and instants
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first run, counted from 1: what failed as run 7 of a seed is repeated with 7
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    first: u64,
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
    let result = lab.experiment(args);
    if result.is_ok() {
        std::fs::remove_dir_all(&scratch).with_context(|| format!("cannot delete {}", scratch.display()))?;
    } else {
        eprintln!("the runs are kept in {}", scratch.display());
    }
    result
}

/// What is trained, once alone and once killed.
struct Job<'a> {
    draw: &'a Draw,
    /// For `--set`.
    sets: Vec<String>,
}

struct Lab {
    shell: Shell,
    programs: PathBuf,
    /// Data and runs.
    scratch: PathBuf,
}

impl Lab {
    fn experiment(&self, args: &Args) -> Result<()> {
        let mut split = self.shell.command(self.programs.join("ml-split"));
        split.arg(DIGITS).args(["--layout", "folders", "--link", "hardlink", "--seed", "42", "-q"]);
        shell::check(split.arg("--output").arg(self.scratch.join("digits")), "ml-split")?;
        let teacher = self.scratch.join("teacher").join(RUN).join("best.pt");
        let teacher = teacher.to_str().context("the target folder's path is not UTF-8")?;

        let (mut tally, mut drawn) = (Tally::default(), Vec::new());
        for number in args.first.. {
            if tally.kills() >= args.kills {
                break;
            }
            let draw = Draw::of(args.seed, number);
            self.prepare(&draw)?;
            eprintln!("chaos: run {number} of seed {}: {draw}", args.seed);
            self.kill_and_compare(&draw, teacher, number, args, &mut tally).with_context(|| {
                format!("run {number} of seed {0} (--seed {0} --first {number}): {draw}", args.seed)
            })?;
            eprintln!(
                "chaos: run {number} ended as the one that was left alone; {} kills so far",
                tally.kills()
            );
            drawn.push(format!("{number}. {draw}"));
        }
        println!("{}\n\nRuns of seed {}:\n\n{}", tally.table(), args.seed, drawn.join("\n"));
        Ok(())
    }

    /// A run that is left alone, and the same with kills, must end alike.
    fn kill_and_compare(
        &self,
        draw: &Draw,
        teacher: &str,
        number: u64,
        args: &Args,
        tally: &mut Tally,
    ) -> Result<()> {
        let job = Job { draw, sets: draw.sets(teacher) };
        let random = &mut SplitMix::of(args.seed, u64::MAX - number);
        let quiet = self.scratch.join(format!("quiet_{number}"));
        self.kill_until_done(&quiet, &job, 0, tally, random)?;
        // The last kills fall where they fall.
        let share = args.kills.div_ceil(RUNS).min(args.kills - tally.kills()) + tally.kills();
        let killed = self.scratch.join(format!("killed_{number}"));
        self.kill_until_done(&killed, &job, share, tally, random)?;
        self.compare(&quiet.join(RUN), &killed.join(RUN))?;
        tally.runs += 1;
        for runs in [quiet, killed] {
            std::fs::remove_dir_all(&runs).with_context(|| format!("cannot delete {}", runs.display()))?;
        }
        Ok(())
    }

    /// Makes the images and the teacher that `draw` needs, if they are not there yet.
    fn prepare(&self, draw: &Draw) -> Result<()> {
        if draw.several_labels && !self.data(draw).exists() {
            let list = several::write(&self.shell.path(DIGITS), &self.data(draw))?;
            let mut split = self.shell.command(self.programs.join("ml-split"));
            split.arg(list).args(["--task", "multi_label", "--seed", "42", "-q"]);
            shell::check(&mut split, "ml-split")?;
        }
        let runs = self.scratch.join("teacher");
        if draw.has_teacher() && !runs.exists() {
            let mut train = self.train(&runs, &self.scratch.join("digits"));
            let sets = [
                "seed=7",
                "training.num_epochs=1",
                "training.precision=fp32",
                "training.channels_last=false",
            ];
            train.args(sets.iter().flat_map(|set| ["--set", *set]));
            shell::check(&mut train, "ml-train")?;
        }
        Ok(())
    }

    /// The images of `draw`.
    fn data(&self, draw: &Draw) -> PathBuf {
        self.scratch.join(if draw.several_labels { "several" } else { "digits" })
    }

    /// Starts, kills and resumes until the run is done.
    fn kill_until_done(
        &self,
        runs: &Path,
        job: &Job<'_>,
        kills: u32,
        tally: &mut Tally,
        random: &mut SplitMix,
    ) -> Result<()> {
        for attempt in 0.. {
            let killer = (attempt < KILLS_A_RUN && tally.kills() < kills).then(|| Killer::random(random));
            let log = self.scratch.join("stderr.log");
            let mut children = self.start(runs, job, &log)?;
            let writer = children[0].id();
            let victim = (random.fraction() * children.len() as f64) as usize;
            let ended = kill::watch(&mut children[victim], writer, killer.as_ref(), &runs.join(RUN))?;
            let others = children.iter_mut().enumerate().filter(|(place, _)| *place != victim);
            // One that was killed before it joined the others is waited for until their timeout; a
            // launcher does not leave them to that.
            let is_alone = matches!(ended, Ended::Killed((_, Moment::Starting)));
            let others = others.map(|(_, child)| if is_alone { end(child) } else { wait_briefly(child) });
            let others = others.collect::<Result<Vec<_>>>()?.into_iter();
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
    fn start(&self, runs: &Path, job: &Job<'_>, log: &Path) -> Result<Vec<Child>> {
        let processes = job.draw.processes;
        let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .context("there is no free port")?
            .port();
        let start = |rank: usize| -> Result<Child> {
            let mut command = self.train(runs, &self.data(job.draw));
            for set in &job.sets {
                command.arg("--set").arg(set);
            }
            if processes > 1 {
                command.env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
                for name in ["WORLD_SIZE", "LOCAL_WORLD_SIZE"] {
                    command.env(name, processes.to_string());
                }
                command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
            }
            command.stderr(file.try_clone().context("cannot share the log")?);
            command.spawn().context("cannot start ml-train")
        };
        (0..processes).map(start).collect()
    }

    fn train(&self, runs: &Path, data: &Path) -> Command {
        let mut command = self.shell.command(self.programs.join("ml-train"));
        command.args(["--config", "benches/chaos.yaml", "-q", "--run_name", RUN, "--resume", "auto"]);
        command.arg("--data_dir").arg(data).arg("--runs_dir").arg(runs);
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

/// Ends a process.
fn end(child: &mut Child) -> Result<ExitStatus> {
    // It may have ended.
    let _ = child.kill();
    child.wait().context("cannot wait for ml-train")
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
