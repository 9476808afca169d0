//! What `ml-search` adds to its trials: a search of three against the same three trainings, one
//! after the other.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::report::{Comparison, Target};
use super::{Bench, first_step, in_turn, measure};

const LEARNING_RATES: [&str; 3] = ["0.003", "0.01", "0.03"];
/// Of each trial: some twenty seconds on two cores.
const EPOCHS: &str = "3";

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let data = super::digits(bench)?;
    let config = bench.scratch.join("search.yaml");
    write_search(bench, &data, &config)?;
    let mut number = 0;
    let searches = bench.scratch.join("searches");
    let (ours, theirs) = in_turn(
        bench.rounds,
        "ml-search",
        || {
            number += 1;
            let mut command = bench.shell.command(bench.programs.join("ml-search"));
            command.arg(&config).arg("--output").arg(searches.join(number.to_string()));
            Ok(measure::timed(&mut command)?.seconds)
        },
        || {
            let mut seconds = 0.0;
            for lr in LEARNING_RATES {
                let runs = first_step::new_folder(bench)?;
                let command = bench.shell.command(bench.programs.join("ml-train"));
                let mut command = first_step::train_on(command, &data, &runs);
                seconds += measure::timed(command.args(["--num_epochs", EPOCHS, "--lr", lr]))?.seconds;
            }
            Ok(seconds)
        },
    )?;
    Ok(vec![Comparison {
        what: "a search of three trials".into(),
        peer: "ml-train",
        unit: "s",
        ours,
        theirs,
        target: Some(Target::AtMost(1.01)),
        below: None,
    }])
}

/// A grid of the learning rates, of the trainings of `benches/first_step.yaml`.
fn write_search(bench: &Bench, data: &Path, to: &Path) -> Result<()> {
    let base =
        fs::read_to_string("benches/first_step.yaml").context("cannot read benches/first_step.yaml")?;
    let data = serde_json::to_string(data).context("cannot write the data folder")?;
    let base = base
        .replace("data: {", &format!("data: {{data_dir: {data}, "))
        .replace("num_epochs: 1", &format!("num_epochs: {EPOCHS}"));
    let base_path = bench.scratch.join("base.yaml");
    let config = serde_json::to_string(&base_path).context("cannot write a path")?;
    let rates = LEARNING_RATES.join(", ");
    let search = format!(
        "config: {config}\nspace:\n  optimizer.lr: {{choice: [{rates}]}}\nsampler: grid\nbudget: {{trials: 3}}\n"
    );
    fs::write(&base_path, base).and_then(|()| fs::write(to, search)).context("cannot write the search")
}
