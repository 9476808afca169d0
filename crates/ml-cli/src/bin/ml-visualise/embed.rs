//! A model and labelled images → their embeddings, for NumPy and TensorBoard's projector. Several
//! processes share the images, and the first of them writes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use ml_cli::console::set_rank;
use ml_cli::exit::{self, UsageError, print, usage};
use ml_cli::flags::command_line;
use ml_cli::interrupt::Interrupt;
use ml_core::dataset::{CsvOptions, Labelled, Split};
use ml_core::device::Neighbours;
use ml_core::distributed::{DistributedConfig, DistributedError, Environment, World};
use ml_core::inference::{InferenceError, run_folder};
use ml_report::embeddings::{self, EmbeddingFiles};

use crate::args::EmbedArgs;
use crate::model;

/// Threads that decode.
const WORKERS: usize = 4;

/// Writes the embeddings and prints where they are.
///
/// # Errors
/// The other processes cannot be reached, the model or the images cannot be read, the network has no
/// embeddings, or a file cannot be written.
pub fn run(args: &EmbedArgs) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process().map_err(classified)?;
    set_rank(environment.as_ref().map_or(0, |environment| environment.rank));
    let interrupt = Interrupt::install().context("cannot catch signals")?;
    let world = Rc::new(World::join_as_launched(environment).map_err(classified)?);
    world.when_others_end(|reason| exit::abort(reason));
    let result = embed(&world, args, &interrupt);
    match &result {
        Err(error) if !world.tell_failure(error) => Ok(exit::code(error)),
        _ => result,
    }
}

fn embed(world: &Rc<World>, args: &EmbedArgs, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    world.check_alike(&[("settings (command line)", command_line())]).map_err(classified)?;
    let neighbours = Neighbours { place: world.local_rank(), count: world.local_size() };
    let model = model::open_among(&args.run, args.device, neighbours)?;
    world.connect(model.device(), &DistributedConfig::default()).map_err(classified)?;
    let model = model.among(Rc::clone(world));
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
    let workers = (WORKERS / world.local_size()).max(1);
    let embedded = model.embeddings(Arc::clone(&index), args.batch_size.get(), workers, || interrupt.flow());
    let embedded = match (embedded, interrupt.exit_code()) {
        (Err(InferenceError::Evaluation(_)), Some(code)) => return Ok(code),
        (embedded, _) => embedded?,
    };
    if !world.is_first() {
        return Ok(ExitCode::SUCCESS);
    }
    let files = EmbeddingFiles::write(&folder, name, &embedded, &index, model.classes())?;
    let points = args.points.get();
    let projector = embeddings::project(&board, name, &embedded, &index, model.classes(), points)?;
    let written = files.paths().chain(projector.as_deref());
    print(&written.map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n"))
}

fn classified(error: DistributedError) -> anyhow::Error {
    if error.is_usage() { UsageError(error.into()).into() } else { error.into() }
}
