//! A folder of 1,000 photographs to a CSV of predictions, against a torchvision script.

use anyhow::Result;

use super::report::{Comparison, Target};
use super::{Bench, in_turn, measure};

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let photos = bench.scratch.join("photos");
    super::loader::images(bench, &photos, &["--count", "1000"])?;
    let mut found = Vec::new();
    for network in ["resnet18", "mobilenet_v3_small"] {
        let run = trained(bench, network)?;
        let ours = || -> Result<f64> {
            let mut command = bench.shell.command(bench.programs.join("ml-inference"));
            command.args(["--device", "cpu", "-q", "--format", "csv", "--checkpoint"]).arg(&run);
            command.arg(&photos).arg("--output").arg(bench.scratch.join("ours.csv"));
            Ok(measure::timed(&mut command)?.seconds)
        };
        for (peer, flags, target) in [
            ("torchvision by default", &[][..], 4.0),
            ("torchvision at its best", &["--workers", "2", "--bf16", "--channels_last"], 1.3),
        ] {
            let theirs = || -> Result<f64> {
                let mut command = bench.shell.command(&bench.python);
                command.arg("benches/python/photos.py").arg(network).arg(&photos);
                command.arg(bench.scratch.join("theirs.csv")).args(flags);
                Ok(measure::timed(&mut command)?.seconds)
            };
            let what = format!("1,000 photos to CSV, {network}");
            let (ours, theirs) = in_turn(bench.rounds, &format!("{what}, {peer}"), ours, theirs)?;
            found.push(Comparison {
                what: what.into(),
                peer,
                unit: "s",
                ours,
                theirs,
                target: Some(Target::AtLeast(target)),
                below: None,
            });
        }
    }
    Ok(found)
}

/// A run folder of the network, trained for as little as can be, in the precision that is measured.
fn trained(bench: &Bench, network: &str) -> Result<std::path::PathBuf> {
    let data = super::digits(bench)?;
    let runs = bench.scratch.join("runs");
    let train = |precision: &[String]| {
        let mut command = bench.shell.command(bench.programs.join("ml-train"));
        command
            .args(["--device", "cpu", "-q", "--num_epochs", "1", "--run_name", network, "--batch_size", "32"])
            .args(["--architecture", network, "--set", "data.sampling={name: shuffle, repeats: 1}"])
            .args(["--set", "optimizer.lr=0.0001", "--data_dir"])
            .arg(&data)
            .arg("--runs_dir")
            .arg(&runs)
            .args(precision);
        measure::timed(&mut command)
    };
    // Of a processor without bf16 of its own, too: it is what this measures.
    train(&["--precision=bf16".to_owned(), "--set=training.channels_last=true".to_owned()])?;
    Ok(runs.join(network))
}
