//! What trainings reach: one recipe on CIFAR-10 here and in PyTorch, and `--preset auto` beside
//! configurations made by hand.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::report::Comparison;
use super::{Bench, digits, measure};
use crate::text::last_json;

/// Of each side.
const SEEDS: [&str; 3] = ["1", "2", "3"];
/// Epochs and images a step: three seeds of both sides take 20 minutes to an hour on two cores.
const EPOCHS: &str = "3";
const BATCH: &str = "128";
/// Training images of each class.
const IMAGES: usize = 600;
/// And of a data set such as someone has photographed.
const FEW_IMAGES: usize = 60;

/// As benches/python/accuracy.py has it; the epoch with the least training loss is the last.
const RECIPE: &str = "{model: {architecture: resnet9}, data: {cache: ram, val_fraction: 0.002}, \
     optimizer: {name: sgd, lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.0005}, \
     scheduler: {name: one_cycle, pct_start: 0.2, anneal_strategy: linear}, \
     training: {checkpoint: {monitor: train_loss}}, \
     transforms: {train: {random_crop: {size: 32, padding: 4}, random_horizontal_flip: true, NORMALIZE}, \
     val: {resize: [32, 32], NORMALIZE}}}";
const NORMALIZE: &str = "normalize: {mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616]}";

/// Configurations that someone would try: network, optimizer, learning rate, batch size.
const BY_HAND: [[&str; 4]; 5] = [
    ["tiny_net", "adamw", "0.005", "64"],
    ["simple_cnn", "adamw", "0.002", "64"],
    ["simple_cnn", "sgd", "0.05", "64"],
    ["resnet9", "sgd", "0.1", "128"],
    ["resnet18_cifar", "sgd", "0.05", "128"],
];
/// Of each training on the digits, on CIFAR-10, and on a few images of it.
const LIMITS: [&str; 3] = ["20s", "90s", "45s"];

/// # Errors
/// There is no archive, or a training fails.
pub fn accuracy(bench: &Bench) -> Result<Vec<Comparison>> {
    let Some(archive) = &bench.cifar10 else {
        eprintln!("accuracy: left out; --cifar10 FILE names a tar of CIFAR-10 as class folders");
        return Ok(Vec::new());
    };
    let data = cifar10(bench, archive, IMAGES)?;
    let config = bench.scratch.join("recipe.yaml");
    std::fs::write(&config, RECIPE.replace("NORMALIZE", NORMALIZE)).context("cannot write the recipe")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for seed in SEEDS {
        let mut train = ml_train(bench, &data);
        train.arg("--config").arg(&config).args([
            "--num_epochs",
            EPOCHS,
            "--batch_size",
            BATCH,
            "--seed",
            seed,
        ]);
        ours.push(percent(&mut train)?);
        let mut python = bench.shell.command(&bench.python);
        python.arg("benches/python/accuracy.py").arg(&data).args([EPOCHS, BATCH, seed]);
        theirs.push(percent(&mut python)?);
        eprintln!("seed {seed}: {:.2} % here, {:.2} % in PyTorch", last(&ours), last(&theirs));
    }
    println!("test accuracy of resnet9 on CIFAR-10: {} here, {} in PyTorch", spread(&ours), spread(&theirs));
    let what = format!(
        "test accuracy after {EPOCHS} epochs of resnet9 on {IMAGES} images of each class of CIFAR-10"
    );
    Ok(vec![Comparison {
        what: what.into(),
        peer: "PyTorch",
        unit: "%",
        ours,
        theirs,
        target: Some(super::report::Target::RateAtLeast(0.98)),
        below: None,
    }])
}

/// `--preset auto` and the best of five configurations, of the same time.
///
/// # Errors
/// A training fails.
pub fn presets(bench: &Bench) -> Result<Vec<Comparison>> {
    let mut sets = vec![("the digits", digits(bench)?, "16", LIMITS[0])];
    if let Some(archive) = &bench.cifar10 {
        sets.push(("CIFAR-10", cifar10(bench, archive, IMAGES)?, "32", LIMITS[1]));
        sets.push(("a few images of CIFAR-10", cifar10(bench, archive, FEW_IMAGES)?, "32", LIMITS[2]));
    }
    let mut rows = Vec::new();
    for (name, data, side, limit) in sets {
        let mut by_hand = Vec::new();
        for [network, optimizer, lr, batch] in BY_HAND {
            let mut train = ml_train(bench, &data);
            train.args(["--preset", "none", "--time_limit", limit, "--architecture", network, "--lr", lr]);
            train.args(["--batch_size", batch, "--set", &format!("optimizer.name={optimizer}")]);
            train.args(["--set", "scheduler={name: cosine, interval: step}"]);
            train.args(["--set", &format!("transforms.train.resize=[{side}, {side}]")]);
            train.args(["--set", &format!("transforms.val.resize=[{side}, {side}]")]);
            train.args(["--set", &format!("transforms.test.resize=[{side}, {side}]")]);
            train.args(["--set", &format!("transforms.train.random_crop={{size: {side}, padding: 2}}")]);
            train.args(["--set", &format!("transforms.train.random_horizontal_flip={}", side == "32")]);
            // Where not one epoch fits into the time, a training is refused.
            match percent(&mut train) {
                Ok(found) => {
                    eprintln!("{name}: {network}, {optimizer}: {found:.2} %");
                    by_hand.push(found);
                }
                Err(error) => eprintln!("{name}: {network}, {optimizer}: left out: {error:#}"),
            }
        }
        let mut train = ml_train(bench, &data);
        let auto = percent(train.args(["--preset", "auto", "--time_limit", limit]))?;
        let best = by_hand.iter().copied().fold(0.0, f64::max);
        eprintln!("{name}: --preset auto: {auto:.2} %");
        rows.push(Comparison {
            what: format!("test accuracy of --preset auto on {name} in {limit}").into(),
            peer: "the best of five made by hand",
            unit: "%",
            ours: vec![auto],
            theirs: vec![best],
            target: Some(super::report::Target::RateAtLeast((best - 1.0) / best)),
            below: None,
        });
    }
    Ok(rows)
}

fn ml_train(bench: &Bench, data: &Path) -> std::process::Command {
    let mut command = bench.shell.command(bench.programs.join("ml-train"));
    command.arg("--runs_dir").arg(bench.scratch.join("runs")).arg("--data_dir").arg(data);
    command.args(["--json", "-q", "--set", "data.on_leak=ignore"]);
    command
}

/// The test accuracy that a training prints.
fn percent(command: &mut std::process::Command) -> Result<f64> {
    let printed = last_json(&measure::timed(command)?.stdout)?;
    let accuracy = printed["test_accuracy"].as_f64().context("the program printed no test_accuracy")?;
    Ok(accuracy * 100.0)
}

/// Class folders in `train`, of which each has `num_images`, and `test`; unpacked at the first call.
fn cifar10(bench: &Bench, archive: &Path, num_images: usize) -> Result<PathBuf> {
    let data = bench.scratch.join(format!("cifar10_{num_images}"));
    if data.exists() {
        return Ok(data);
    }
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let archive = archive.canonicalize().with_context(|| format!("there is no {}", archive.display()))?;
    measure::timed(bench.shell.command("tar").arg("-xf").arg(&archive).arg("-C").arg(&data))?;
    let classes = std::fs::read_dir(data.join("train"))
        .with_context(|| format!("{} has no train/", archive.display()))?;
    for class in classes {
        let class = class?.path();
        let mut images: Vec<PathBuf> =
            std::fs::read_dir(&class)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        images.sort();
        if images.len() < num_images {
            bail!("{}: fewer than {num_images} images", class.display());
        }
        for image in &images[num_images..] {
            std::fs::remove_file(image).with_context(|| format!("cannot delete {}", image.display()))?;
        }
    }
    Ok(data)
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

/// `83.10 % ± 0.25`: mean and standard deviation.
fn spread(values: &[f64]) -> String {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    format!("{mean:.2} % ± {:.2}", (squares / (values.len() as f64 - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_mean_and_deviation_of_the_sample() {
        assert_eq!(spread(&[80.0, 82.0, 84.0]), "82.00 % ± 2.00");
    }
}
