//! One run, from an accepted configuration to its summary.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, anyhow};
use ml_cli::console::Log;
use ml_cli::exit;
use ml_core::checkpoint::Checkpoint;
use ml_core::config::{Config, Override};
use ml_core::dataset::{Dataset, shell_quoted};
use ml_core::device::{self, ResolvedDevice};
use ml_core::evaluation::EvaluationError;
use ml_core::loader::LoaderError;
use ml_core::run::{CheckpointSummary, DatasetSizes, Run, RunLock, Status, Summary, run_name, unix_seconds};
use ml_core::trainer::{ExternalCheckpoint, Outcome, Reporter, TrainError, Trainer, resolve_script};
use ml_core::transform::Pipeline;
use ml_core::transform::statistics::StatisticsError;
use ml_report::board::BoardReporter;
use ml_report::progress::{Console, Progress};

use crate::args::Args;
use crate::audit;
use crate::evaluate::{Tested, best_on_test};
use crate::resume::{Beginning, State, nothing_left};
use crate::{statistics, weights};

/// What a run is made of.
pub struct Session<'a> {
    pub args: &'a Args,
    pub console: Console,
    pub log: Log,
    pub overrides: &'a [Override],
    pub config: Config,
    /// The number of the signal that asked to stop; 0 goes on.
    pub stop: Arc<AtomicUsize>,
    /// When the process started.
    pub started: Instant,
}

impl Session<'_> {
    /// Trains, or goes on training.
    ///
    /// # Errors
    /// Anything that keeps the run from completing; its summary says `failed` then.
    pub fn run(mut self, beginning: Beginning) -> anyhow::Result<ExitCode> {
        let Beginning { run, state, is_unsaved, changes, place, .. } = beginning;
        // Before CUDA is loaded: it looks at the settings once.
        ml_core::set_deterministic(self.config.deterministic)?;
        let Config { data, .. } = &self.config;
        let dataset = Dataset::open(&data.data_dir, data.fold).context("--data_dir (data.data_dir)")?;
        if audit::refuse_or_warn(data, &dataset, self.args.dry_run, &self.stop)?.is_break() {
            return Ok(self.interrupted_early());
        }
        // What is refused in no time comes before the statistics, for which every image may be
        // read.
        let device = device::resolve(self.config.training.device).map_err(crate::usage)?;
        if state.is_none() {
            weights::check(&self.config)?;
        }
        match statistics::resolve(&self.config, &dataset, self.args.dry_run, &self.stop).map_err(advised)? {
            ControlFlow::Continue(resolved) => self.config = resolved,
            ControlFlow::Break(()) => return Ok(self.interrupted_early()),
        }
        let script = resolve_script(&self.config, place.as_deref())?.map(|(config, file)| {
            self.config = config;
            file
        });
        let config = &self.config;
        let mut trainer = match &script {
            Some(file) => Trainer::with_script(config, &dataset, device.device, file)?,
            None => Trainer::new(config, &dataset, device.device)?,
        };
        let earlier = run.as_ref().and_then(|(run, _)| run.read_summary().ok());
        match &state {
            Some(State::Own(checkpoint)) => {
                trainer.restore(checkpoint, changes)?;
                warn_if_inexact(checkpoint, earlier.as_ref(), &device);
            }
            Some(State::ExternalCheckpoint(external, path)) => load_external(&mut trainer, external, path)?,
            None => {
                if weights::start(&self, &mut trainer)?.is_break() {
                    return Ok(self.interrupted_early());
                }
            }
        }
        if state.is_some() && is_unsaved {
            trainer.save_at_start(run.is_none());
        }
        if let Some(outcome) = trainer.outcome().filter(|_| run.is_none()) {
            let early =
                self.config.training.early_stopping.as_ref().filter(|_| outcome == Outcome::EarlyStopped);
            let over = nothing_left(trainer.state().epoch, early);
            return exit::usage(format!("--resume: {over}"));
        }
        drop(state);
        self.describe(&dataset, &device, &trainer);
        if self.args.dry_run {
            tracing::info!("--dry_run: everything is in order; nothing was written");
            return Ok(ExitCode::SUCCESS);
        }
        // The lock is held to the end.
        let (run, _lock) = match run {
            Some(run) => run,
            None => self.claim().map(|(run, lock)| (run, Some(lock)))?,
        };
        if let Some(file) = &script {
            run.write_script(file)?;
        }
        drop(script);
        let mut book = Book::open(&run, earlier, &self, &dataset, &device, &trainer);
        let ended = self.train(&run, &mut book, &mut trainer, &dataset, &device);
        match ended {
            Ok(code) => Ok(code),
            Err(error) => {
                let error = advised(error);
                book.summary.error = Some(format!("{error:#}"));
                // The error that ended the run is the one to show, also where the summary cannot be
                // written.
                let _ = book.write(Status::Failed, &trainer);
                Err(error)
            }
        }
    }

    /// Nothing has been written yet.
    fn interrupted_early(&self) -> ExitCode {
        tracing::warn!("interrupted before the first step");
        ExitCode::from(128 + self.stop.load(Ordering::Relaxed) as u8)
    }

    fn claim(&self) -> anyhow::Result<(Run, RunLock)> {
        let Args { runs_dir, run_name: name, .. } = self.args;
        let run = match name {
            Some(name) if self.args.resume.is_some() => Run::claim_or_take_over(runs_dir, name)?,
            Some(name) => Run::claim_exactly(runs_dir, name)?,
            None => Run::claim(runs_dir, &run_name(self.overrides))?,
        };
        let lock = RunLock::take(run.folder())?;
        run.remove_leftovers()?;
        Ok((run, lock))
    }

    fn describe(&self, dataset: &Dataset, device: &ResolvedDevice, trainer: &Trainer) {
        let sizes = sizes(dataset);
        tracing::info!(
            "data: {} ({} classes; train {}, val {}, test {})",
            dataset.root.display(),
            dataset.classes.len(),
            sizes.train,
            sizes.val,
            sizes.test
        );
        let name = self.config.model.name();
        tracing::info!("network: {name}, {} parameters", trainer.network().num_parameters());
        tracing::info!("device: {}", device.description);
    }

    fn train(
        &self,
        run: &Run,
        book: &mut Book<'_>,
        trainer: &mut Trainer,
        dataset: &Dataset,
        device: &ResolvedDevice,
    ) -> anyhow::Result<ExitCode> {
        // First, since it makes the folder a run that can be resumed.
        run.write_config(&self.config)?;
        self.log.also_to_file(&run.logs_dir())?;
        book.write(Status::Running, trainer)?;
        tracing::info!("run: {}", run.folder().display());
        if trainer.state().step > 0 {
            let state = trainer.state();
            tracing::info!(
                "going on after epoch {}, step {} ({} steps into the next)",
                state.epoch,
                state.step,
                state.step - state.epoch * trainer.steps_per_epoch() as u64
            );
        }
        let training = &self.config.training;
        let mut progress = Progress::new(self.console.clone(), training.batch_size, training.num_epochs);
        let mut board =
            BoardReporter::start(&run.tensorboard_dir(), &trainer.state().history, unix_seconds())?;
        let pipeline = Pipeline::new(&self.config.transforms.train)?;
        board.show_samples(&dataset.train, &pipeline, self.config.seed);
        let mut reporters: Vec<&mut dyn Reporter> = vec![&mut progress, &mut board];
        let (outcome, saving) = trainer.fit(run, &mut reporters, &self.stop)?;
        book.summary.checkpoints = Some(CheckpointSummary {
            count: saving.count,
            paused_seconds: saving.paused.as_secs_f64(),
            longest_pause_seconds: saving.longest_pause.as_secs_f64(),
            writing_seconds: saving.writing.as_secs_f64(),
        });
        let status = match outcome {
            Outcome::Interrupted => return self.interrupted(run, book, trainer),
            Outcome::Completed => Status::Completed,
            Outcome::EarlyStopped => {
                tracing::info!("stopped early after epoch {}: no improvement", trainer.state().epoch);
                Status::EarlyStopped
            }
        };
        match best_on_test(self, run, trainer, dataset, device.device, &mut board)? {
            Tested::NoTestSplit => tracing::info!("there is no test split to evaluate"),
            Tested::Interrupted => return self.interrupted(run, book, trainer),
            Tested::Accuracy(accuracy) => book.summary.test_accuracy = Some(accuracy),
        }
        book.write(status, trainer)?;
        self.conclude(run, book)
    }

    fn interrupted(&self, run: &Run, book: &mut Book<'_>, trainer: &Trainer) -> anyhow::Result<ExitCode> {
        book.write(Status::Interrupted, trainer)?;
        tracing::warn!(
            "interrupted; the state is saved. Go on with: ml-train --resume {}",
            run.folder().display()
        );
        Ok(ExitCode::from(128 + self.stop.load(Ordering::Relaxed) as u8))
    }

    fn conclude(&self, run: &Run, book: &Book<'_>) -> anyhow::Result<ExitCode> {
        let Summary { best_epoch, best_val_accuracy, test_accuracy, .. } = &book.summary;
        if let (Some(epoch), Some(accuracy)) = (best_epoch, best_val_accuracy) {
            tracing::info!("best validation accuracy {accuracy:.4} at epoch {epoch}");
        }
        if let Some(accuracy) = test_accuracy {
            tracing::info!("test accuracy {accuracy:.4}");
        }
        tracing::info!("results: {}", run.folder().display());
        if self.args.json {
            let mut json = serde_json::to_value(&book.summary)?;
            json["run"] = serde_json::Value::String(run.folder().display().to_string());
            return exit::print(&json.to_string());
        }
        exit::print(&run.folder().display().to_string())
    }
}

/// An image that cannot be read may also be left out.
fn advised(error: anyhow::Error) -> anyhow::Error {
    let in_training = matches!(
        error.downcast_ref(),
        Some(TrainError::Loader(LoaderError::Decode(_)) | TrainError::Images(StatisticsError::Image(_)))
    );
    let in_test = matches!(error.downcast_ref(), Some(EvaluationError::Loader(LoaderError::Decode(_))));
    if in_training || in_test {
        return anyhow!(
            "{error}, or leave such images out with --set data.on_error=skip (`ml-split check` finds all of them)"
        );
    }
    error
}

fn load_external(trainer: &mut Trainer, external: &ExternalCheckpoint, path: &Path) -> anyhow::Result<()> {
    trainer.load_external(external).map_err(|error| match error {
        TrainError::Torch(_) => error.into(),
        unsuitable => crate::usage(anyhow!(
            "--resume {}: {unsuitable}\nTo begin with its weights alone, as far as they suit: --weights {}",
            path.display(),
            shell_quoted(path)
        )),
    })?;
    let optimizer = if external.optimizer_state_dict.is_some() { "and optimizer " } else { "" };
    tracing::info!(
        "{}: weights {optimizer}of another program, after {} epochs",
        path.display(),
        external.epochs_done
    );
    Ok(())
}

/// Says what keeps a resumed run from giving the bytes of an uninterrupted one.
fn warn_if_inexact(checkpoint: &Checkpoint, earlier: Option<&Summary>, device: &ResolvedDevice) {
    let is_cuda = |description: &str| description.starts_with("cuda");
    let mut other = Vec::new();
    if earlier.is_some_and(|earlier| is_cuda(&earlier.device) != is_cuda(&device.description)) {
        other.push("another kind of device".to_owned());
    }
    let threads = checkpoint.versions["num_threads"].as_i64();
    let here = i64::from(tch::get_num_threads());
    if let Some(threads) = threads.filter(|threads| *threads != here && !is_cuda(&device.description)) {
        other.push(format!("{here} threads instead of {threads}"));
    }
    let libtorch = checkpoint.versions["libtorch"].as_str();
    if let Some(libtorch) = libtorch.filter(|version| *version != *ml_core::LIBTORCH_VERSION) {
        other.push(format!("libtorch {} instead of {libtorch}", *ml_core::LIBTORCH_VERSION));
    }
    if !other.is_empty() {
        tracing::warn!("going on with {}: the last bits of the result may differ", other.join(", "));
    }
}

fn sizes(dataset: &Dataset) -> DatasetSizes {
    DatasetSizes {
        train: dataset.train.samples.len(),
        val: dataset.val.samples.len(),
        test: dataset.test.as_ref().map_or(0, |test| test.samples.len()),
    }
}

/// Keeps `summary.yaml`.
struct Book<'a> {
    run: &'a Run,
    summary: Summary,
    seconds_before: f64,
    started: Instant,
}

impl<'a> Book<'a> {
    fn open(
        run: &'a Run,
        earlier: Option<Summary>,
        session: &Session<'_>,
        dataset: &Dataset,
        device: &ResolvedDevice,
        trainer: &Trainer,
    ) -> Book<'a> {
        let summary = Summary {
            status: Status::Running,
            error: None,
            epochs: 0,
            steps: 0,
            best_epoch: None,
            monitor: session.config.training.monitor().metric.name().to_owned(),
            best_figure: None,
            best_val_accuracy: None,
            test_accuracy: None,
            started: earlier.as_ref().map_or_else(now, |earlier| earlier.started.clone()),
            updated: now(),
            seconds: 0.0,
            seconds_to_first_step: None,
            checkpoints: None,
            device: device.description.clone(),
            parameters: trainer.network().num_parameters() as u64,
            architecture: session.config.model.name().into_owned(),
            data_dir: session.config.data.data_dir.display().to_string(),
            dataset_fingerprint: dataset.fingerprint(),
            dataset: sizes(dataset),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: ml_core::LIBTORCH_VERSION.to_owned(),
        };
        let seconds_before = earlier.map_or(0.0, |earlier| earlier.seconds);
        Book { run, summary, seconds_before, started: session.started }
    }

    fn write(&mut self, status: Status, trainer: &Trainer) -> anyhow::Result<()> {
        let state = trainer.state();
        self.summary.status = status;
        self.summary.epochs = state.epoch;
        self.summary.steps = state.step;
        let best = state.best();
        self.summary.best_epoch = best.map(|best| best.epoch);
        self.summary.best_figure = best.map(|best| best.figure);
        self.summary.best_val_accuracy = best
            .and_then(|best| state.history.iter().find(|m| m.epoch == best.epoch))
            .map(|m| m.val_accuracy);
        self.summary.updated = now();
        self.summary.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        self.summary.seconds_to_first_step =
            trainer.first_step().map(|first| (first - self.started).as_secs_f64());
        Ok(self.run.write_summary(&self.summary)?)
    }
}

fn now() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
