//! A model and labelled images → their embeddings, for NumPy and TensorBoard's projector.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use ml_cli::exit::{UsageError, print, usage};
use ml_cli::interrupt::Interrupt;
use ml_core::dataset::{CsvOptions, Labelled, Split};
use ml_core::inference::{InferenceError, run_folder};
use ml_report::embeddings::{self, EmbeddingFiles};

use crate::args::EmbedArgs;
use crate::model;

/// Threads that decode.
const WORKERS: usize = 4;

/// Writes the embeddings and prints where they are.
///
/// # Errors
/// The model or the images cannot be read, the network has no embeddings, or a file cannot be
/// written.
pub fn run(args: &EmbedArgs) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot catch signals")?;
    let model = model::open(&args.run, args.device)?;
    let Some(data_dir) = args.data_dir.clone().or_else(|| model.data_dir()) else {
        return usage("nothing says where the images lie; use --data_dir");
    };
    let split = args.split.map(Split::from);
    let labelled = model.open_labelled(&data_dir, split, None, &CsvOptions::default());
    let Labelled { index, name, .. } = labelled.map_err(|error| UsageError(error.into()))?;
    let [folder, board]: [PathBuf; 2] = match (&args.output, run_folder(model.path())) {
        (Some(folder), _) => [folder.clone(), folder.clone()],
        (None, Some(run)) => ["report", "tensorboard"].map(|name| run.join(name)),
        (None, None) => {
            return usage("this checkpoint lies in no run folder; say where to write with --output");
        }
    };
    let embedded = model.embeddings(Arc::clone(&index), args.batch_size.get(), WORKERS, || interrupt.flow());
    let embedded = match (embedded, interrupt.exit_code()) {
        (Err(InferenceError::Evaluation(_)), Some(code)) => return Ok(code),
        (embedded, _) => embedded?,
    };
    let files = EmbeddingFiles::write(&folder, name, &embedded, &index, model.classes())?;
    let points = args.points.get();
    let projector = embeddings::project(&board, name, &embedded, &index, model.classes(), points)?;
    let written = files.paths().chain(projector.as_deref());
    print(&written.map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n"))
}
