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
        let ours = || {
            let mut command = bench.shell.command(bench.programs.join("ml-inference"));
            command.args(["--device", "cpu", "-q", "--format", "csv", "--checkpoint"]).arg(&run);
            command.arg(&photos).arg("--output").arg(bench.scratch.join("ours.csv"));
            command
        };
        for (peer, flags, target) in [
            ("torchvision by default", &[][..], 4.0),
            ("torchvision at its best", &["--workers", "2", "--bf16", "--channels_last"], 1.3),
        ] {
            let theirs = || {
                let mut command = bench.shell.command(&bench.python);
                command.arg("benches/python/photos.py").arg(network).arg(&photos);
                command.arg(bench.scratch.join("theirs.csv")).args(flags);
                command
            };
            let what = format!("1,000 photos to CSV, {network}");
            let label = format!("{what}, {peer}");
            let seconds = |mut command| Ok(measure::timed(&mut command)?.seconds);
            let (ours_s, theirs_s) = in_turn(bench.rounds, &label, || seconds(ours()), || seconds(theirs()))?;
            let ours_mb = vec![measure::watched(&mut ours())?];
            let theirs_mb = vec![measure::watched(&mut theirs())?];
            let of = |what: String, unit, ours, theirs, target| {
                let (what, target) = (what.into(), Some(target));
                Comparison { what, peer, unit, ours, theirs, target, below: None }
            };
            let memory = format!("peak memory of {what}");
            found.push(of(what, "s", ours_s, theirs_s, Target::AtLeast(target)));
            found.push(of(memory, "MB", ours_mb, theirs_mb, Target::AtMost(1.0)));
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
