//! Speed and memory against PyTorch: whole processes on both sides, run in turn, medians compared.
//! The peers' programs are in `benches/python`; they do the same work with torchvision and
//! scikit-learn.

mod accuracy;
mod checkpoint;
mod defaults;
mod distributed;
mod evaluation;
mod features;
mod first_step;
mod loader;
mod measure;
mod neighbours;
mod optimizers;
mod photos;
mod report;
mod search;
mod split;
mod step;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::setup::{self, Options, Purpose};
use crate::shell::{BUILD, Shell};

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    names: Vec<Name>,
    /// How often each side runs; the medians are compared
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Fail if a target is missed (on a machine that does nothing else)
    #[arg(long)]
    strict: bool,
    /// A tar of CIFAR-10 as class folders in train/ and test/, for accuracy and presets
    #[arg(long, value_name = "FILE")]
    cifar10: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// From start to the first optimizer step, and peak memory, on the digits
    FirstStep,
    /// ml-split on 60,000 files, and its --help
    Split,
    /// A ResNet-18 training step at 224 px
    Step,
    /// Training steps and inference passes of networks of five families, and their memory
    Networks,
    /// Training steps in the precision that ml-train takes by itself, against PyTorch as it comes and
    /// at its best
    Defaults,
    /// Two trainings at once, and one alone
    Neighbours,
    /// A later epoch with a frozen backbone, with and without the feature cache
    Features,
    /// A folder of photographs to a CSV
    Photos,
    /// The loader on JPEGs and small PNGs, its caches and memory, and an index of a million samples
    Loader,
    /// Saving and loading ResNet-50 with its optimizer
    Checkpoint,
    /// All metrics of 50,000 images in 1,000 classes, and their report
    Evaluation,
    /// Two processes against Python's `DistributedDataParallel`, and what overlap gains
    Distributed,
    /// Muon's step against `AdamW`'s, and its update against timm's
    Optimizers,
    /// What ml-search adds to the time of its trials
    Search,
    /// The test accuracy of one recipe on CIFAR-10 here and in PyTorch, three seeds (with --cifar10)
    Accuracy,
    /// The test accuracy of --preset auto beside five configurations made by hand
    Presets,
}

/// What a benchmark works with.
struct Bench {
    shell: Shell,
    /// Where the programs lie.
    programs: PathBuf,
    python: PathBuf,
    /// Its own folder, empty at first, deleted at the end.
    scratch: PathBuf,
    rounds: u32,
    /// See [`Args::cifar10`].
    cifar10: Option<PathBuf>,
}

/// # Errors
/// Set-up, the build or a program fails; or, with `--strict`, a target is missed.
pub fn run(shell: &Shell, args: &Args) -> Result<()> {
    let shell = setup::run(shell, Purpose::Test, &args.options)?;
    shell.run("cargo", &[&BUILD[..], &["--release"]].concat())?;
    let target = shell.target_dir()?;
    let python = setup::venv_python(&shell);
    let names = if args.names.is_empty() { Name::value_variants() } else { &args.names };
    let mut missed = Vec::new();
    for name in names {
        let scratch = target.join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        let bench = Bench {
            shell: shell.clone(),
            programs: target.join("release"),
            python: python.clone(),
            scratch: scratch.clone(),
            rounds: args.rounds,
            cifar10: args.cifar10.clone(),
        };
        let result = match name {
            Name::FirstStep => first_step::run(&bench),
            Name::Split => split::run(&bench),
            Name::Step => step::one(&bench),
            Name::Networks => step::networks(&bench),
            Name::Defaults => defaults::run(&bench),
            Name::Neighbours => neighbours::run(&bench),
            Name::Features => features::run(&bench),
            Name::Photos => photos::run(&bench),
            Name::Loader => loader::run(&bench),
            Name::Checkpoint => checkpoint::run(&bench),
            Name::Evaluation => evaluation::run(&bench),
            Name::Distributed => distributed::run(&bench),
            Name::Optimizers => optimizers::run(&bench),
            Name::Search => search::run(&bench),
            Name::Accuracy => accuracy::accuracy(&bench),
            Name::Presets => accuracy::presets(&bench),
        };
        std::fs::remove_dir_all(&scratch).with_context(|| format!("cannot delete {}", scratch.display()))?;
        for comparison in result? {
            println!("{}", comparison.text());
            if !comparison.is_met() {
                missed.push(comparison.what);
            }
        }
    }
    if args.strict && !missed.is_empty() {
        bail!("targets missed: {}", missed.join(", "));
    }
    Ok(())
}

/// The digits as class folders; made at the first call.
fn digits(bench: &Bench) -> Result<PathBuf> {
    let data = bench.scratch.join("digits");
    if !data.exists() {
        let mut split = bench.shell.command(bench.programs.join("ml-split"));
        split
            .arg("tests/data/digits/raw")
            .args(["--layout", "folders", "--link", "copy", "--seed", "42", "--output"]);
        measure::timed(split.arg(&data))?;
    }
    Ok(data)
}

/// Runs both sides in turn, ours first, after one round that is not counted (it warms the disk's
/// cache).
fn in_turn<T>(
    rounds: u32,
    what: &str,
    mut ours: impl FnMut() -> Result<T>,
    mut theirs: impl FnMut() -> Result<T>,
) -> Result<(Vec<T>, Vec<T>)> {
    let (mut our_figures, mut their_figures) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        eprintln!("{what}: round {round} of {rounds}{}", if round == 0 { " (not counted)" } else { "" });
        let (our_figure, their_figure) = (ours()?, theirs()?);
        if round > 0 {
            our_figures.push(our_figure);
            their_figures.push(their_figure);
        }
    }
    Ok((our_figures, their_figures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_alternate_and_the_first_round_is_not_counted() {
        let order = std::cell::RefCell::new(Vec::new());
        let side = |name: &'static str| {
            order.borrow_mut().push(name);
            Ok(order.borrow().len() as f64)
        };
        let (ours, theirs) = in_turn(2, "test", || side("ours"), || side("theirs")).unwrap();
        assert_eq!(*order.borrow(), ["ours", "theirs", "ours", "theirs", "ours", "theirs"]);
        assert_eq!((ours, theirs), (vec![3.0, 5.0], vec![4.0, 6.0]));
    }
}
