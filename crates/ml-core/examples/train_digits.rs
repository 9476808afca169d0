//! Trains a classifier of handwritten digits: `train_digits DATA_DIR RUNS_DIR`.

use std::path::PathBuf;
use std::time::Instant;

use ml_core::config::{self, Source};
use ml_core::job::{Job, JobOptions, Placement, Start, Taken};
use ml_core::trainer::{NoReporter, Stop};
use ml_core::weights::Origin;

const CONFIG: &str = "
model: {architecture: tiny_net}
optimizer: {name: adamw, lr: 0.005}
scheduler: {name: cosine, interval: step}
training: {batch_size: 32, num_epochs: 15}
transforms: {train: {resize: [16, 16]}, val: {resize: [16, 16]}, test: {resize: [16, 16]}}
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let data_dir = args.next().ok_or("usage: train_digits DATA_DIR RUNS_DIR")?;
    let runs_dir = PathBuf::from(args.next().unwrap_or_else(|| "runs".to_owned()));

    let data_dir = config::parse_set(&format!("data.data_dir={data_dir}"))?;
    let config = config::resolve(Some((CONFIG, Source::Run)), &[data_dir], &Origin::read)?.config;
    let start = Start::of(&config)?;
    let placement = Placement::New { runs_dir, name: "digits".to_owned(), taken: Taken::Number };
    let (started, notes) = (Instant::now(), Vec::new());
    let options = JobOptions { placement, dry_run: false, started, command: None, notes };

    let stop = Stop::new(0);
    let job = Job::prepare(config, start, options, &mut NoReporter, &stop)?;
    let outcome = job.run(&mut NoReporter, &stop)?;
    println!("{}: test accuracy {:?}", outcome.run.folder().display(), outcome.summary.test_accuracy);
    Ok(())
}
