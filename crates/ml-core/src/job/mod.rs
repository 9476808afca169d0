//! A training run as a library call: configuration → run folder.
//!
//! [`Job::prepare`] does everything that can fail before anything is written: it opens the data
//! set and audits it, chooses the device, computes what `normalize: auto` stands for, builds the
//! trainer and gives it its weights or its state. [`Job::run`] claims the run folder, trains, and
//! evaluates the best weights on the test split. A [`Reporter`] is told what happens and may stop
//! it; nothing is printed.

mod audit;
mod compute;
mod error;
mod evaluate;
mod evaluate_labels;
mod exactness;
mod measure;
mod preset;
mod resume;
mod statistics;
mod summary;
mod weights;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use ml_data::dataset::{Dataset, shell_quoted};

pub use error::JobError;
pub use measure::{
    BENCHMARKED, BenchmarkRow, architectures_named, benchmark, benchmarked, find_batch_size, find_lr,
};
pub use preset::choose_preset;
pub use resume::{Resolve, ResumeOptions, Resumed, resume};

use crate::checkpoint::Checkpoint;
use crate::config::{BaseModel, Config};
use crate::device::{self, Neighbours, ResolvedDevice};
use crate::distributed::{DistributedError, Place, World};
use crate::evaluation::EvaluationError;
use crate::network::ScriptFile;
use crate::run::{Note, Run, RunLock, Status, Summary};
use crate::trainer::{
    self, ExternalCheckpoint, NoReporter, Reporter, ResumeMode, RunStart, Stop, TrainError, Trainer,
    resolve_script, resolve_teacher,
};
use crate::weights::Choice;
use exactness::{Circumstances, differences};
use summary::{Facts, SummaryWriter, sizes};

/// What a run begins with.
#[derive(Debug)]
pub enum Start {
    /// Initial weights, a function of the seed.
    Fresh,
    /// Weights from a file, or published ones.
    Weights(Choice),
    /// The state of an earlier run.
    Resume(Box<Resume>),
    /// A training state of another program, and its file.
    External(ExternalCheckpoint, PathBuf),
}

impl Start {
    /// What `config` itself says: `model.weights`, or nothing.
    ///
    /// # Errors
    /// `model.weights` is neither a known name nor a file.
    pub fn of(config: &Config) -> Result<Start, JobError> {
        let choice = config.model.base().map(BaseModel::choice).transpose();
        let choice = choice.map_err(|error| JobError::Usage(error.to_string()))?;
        Ok(choice.flatten().map_or(Start::Fresh, Start::Weights))
    }
}

/// The state of an earlier run.
#[derive(Debug)]
pub struct Resume {
    /// The state.
    pub checkpoint: Checkpoint,
    /// The run folder or the file that it is from; a TorchScript file may lie beside it.
    pub from: PathBuf,
    /// Whether the state is that of the run's `last.pt`, and the configuration the same.
    pub is_saved: bool,
    /// What may differ.
    pub mode: ResumeMode,
}

/// Where a run is.
#[derive(Debug)]
pub enum Placement {
    /// In a folder to be made when training begins.
    New {
        /// The folder of run folders.
        runs_dir: PathBuf,
        /// The run folder's name.
        name: String,
        /// What if there is such a folder.
        taken: Taken,
    },
    /// In the folder of a run that is continued.
    Existing(ExistingRun),
    /// Where rank 0 has it: this is another process of the same training, which writes nothing.
    Elsewhere,
}

/// A run that is continued in its own folder.
#[derive(Debug)]
pub struct ExistingRun {
    /// Its folder.
    pub run: Run,
    /// Held while it trains; none in a dry run.
    pub lock: Option<RunLock>,
    /// Whether what it holds of later epochs is first put aside.
    pub rewinds: bool,
}

/// What if a run folder of the wanted name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The first free of `name_2`, `name_3`, … is taken.
    Number,
    /// That is an error.
    Refuse,
    /// That is an error, unless a process left it that was killed before it wrote its
    /// configuration.
    TakeOver,
}

/// How a job is done.
#[derive(Debug)]
pub struct JobOptions {
    /// Where the run is.
    pub placement: Placement,
    /// Whether everything but training is done; nothing is written then.
    pub dry_run: bool,
    /// From when seconds are counted.
    pub started: Instant,
    /// The command line that asks for it, for the run's summary.
    pub command: Option<String>,
    /// Why settings are what they are, for the run's `config.yaml`.
    pub notes: Vec<Note>,
}

impl JobOptions {
    fn existing(&self) -> Option<&ExistingRun> {
        match &self.placement {
            Placement::Existing(existing) => Some(existing),
            Placement::New { .. } | Placement::Elsewhere => None,
        }
    }
}

/// How a run ended, and what it left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run folder.
    pub run: Run,
    /// What its `summary.yaml` says; [`Status::Interrupted`] can be resumed.
    pub summary: Summary,
}

/// A run that is ready to train.
pub struct Job {
    world: Rc<World>,
    config: Config,
    options: JobOptions,
    dataset: Dataset,
    device: ResolvedDevice,
    trainer: Trainer,
    script: Option<ScriptFile>,
    resumed_from: Option<String>,
}

impl Job {
    /// Everything before the first step. Nothing is written but what `.ml-cache` in the data folder
    /// remembers, and weights that have to be fetched.
    ///
    /// # Errors
    /// What keeps the run from beginning; [`JobError::Interrupted`] if `stop` was raised.
    pub fn prepare(
        config: Config,
        start: Start,
        options: JobOptions,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Job, JobError> {
        Job::prepare_among(Rc::new(World::alone()), config, start, options, reporter, stop)
    }

    /// As [`Job::prepare`], to train with the other processes of `world`. Rank 0 has the run, decides
    /// what the configuration leaves open, and gives all its state; the others have the same
    /// configuration, [`Start::Fresh`] and [`Placement::Elsewhere`], and end with [`Job::run`] too.
    ///
    /// # Errors
    /// As there; and what keeps the processes from working together.
    pub fn prepare_among(
        world: Rc<World>,
        config: Config,
        start: Start,
        options: JobOptions,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Job, JobError> {
        world.at(Place::Preparing);
        // Before CUDA is loaded: it looks at the settings once.
        crate::set_deterministic(config.deterministic)?;
        let dry_run = options.dry_run;
        let dataset = config.data.open(config.seed);
        let dataset = dataset.map_err(JobError::Data)?;
        world.check(&[(
            "data set (images and labels below data.data_dir)",
            dataset.fingerprint().to_owned(),
        )])?;
        if world.is_first() {
            audit::refuse_or_warn(&config.data, &dataset, dry_run, stop)?;
        }
        // What is refused in no time comes before the statistics, for which every image may be
        // read.
        let neighbours = Neighbours { place: world.local_rank(), count: world.local_size() };
        let (choice, threads) = (config.training.device, config.training.threads.given());
        let device = device::resolve_among(choice, threads, neighbours)?;
        let kind = if device.device.is_cuda() { "CUDA" } else { "CPU" };
        world.check(&[("kind of device", kind.to_owned())])?;
        if let Some(warning) = &device.warning {
            tracing::warn!("{warning}");
        }
        if device.device.is_cuda() {
            // Measures cuDNN's algorithms for each shape once, and may take another each time.
            tch::Cuda::cudnn_set_benchmark(!config.deterministic);
        }
        if let Start::Weights(choice) = &start {
            weights::check(choice)?;
        }
        let config = if world.is_first() {
            statistics::resolve(config, &dataset, dry_run, stop)?
        } else {
            // As rank 0 has decided it.
            told_config(&world)?
        };
        let state = start.place().or_else(|| options.existing().map(|existing| existing.run.folder()));
        let (config, script) = match resolve_script(&config, state)? {
            Some((config, file)) => (config, Some(file)),
            None => (config, None),
        };
        let run = options.existing().map(|existing| existing.run.folder());
        let config = resolve_teacher(&config, run)?.unwrap_or(config);
        let resumes = matches!(start, Start::Resume(_));
        let (config, compute) =
            compute::resolve(config, &dataset, device.device, script.as_ref(), resumes, stop)?;
        if world.is_first() {
            let is_new = matches!(start, Start::Fresh | Start::Weights(_));
            if is_new && matches!(options.placement, Placement::New { .. }) {
                trainer::check_max_time(&config, &dataset, compute, script.as_ref(), world.size(), stop)?;
            }
            tell_config(&world, &config)?;
        }
        world.connect(device.device, &config.training.distributed)?;
        let mut trainer = Trainer::among(&world, &config, &dataset, compute, script.as_ref())?;
        let is_new = options.existing().is_none();
        let resumed_from = start.place().filter(|_| is_new).map(|place| place.display().to_string());
        match start {
            Start::Fresh => {}
            Start::Weights(choice) => weights::start(&choice, &mut trainer, dry_run, reporter, stop)?,
            Start::External(external, path) => load_external(&mut trainer, &external, &path)?,
            Start::Resume(resume) => restore(&mut trainer, &resume, &options, &device, &config)?,
        }
        if let Some(outcome) = trainer.outcome().filter(|_| is_new) {
            return Err(JobError::Usage(format!("--resume: {}", nothing_left(&trainer, &config, outcome))));
        }
        trainer.synchronise()?;
        let job = Job { world, config, options, dataset, device, trainer, script, resumed_from };
        job.describe();
        Ok(job)
    }

    /// The configuration, complete.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Where it trains.
    pub fn device(&self) -> tch::Device {
        self.device.device
    }

    /// What trains.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    fn describe(&self) {
        let sizes = sizes(&self.dataset);
        tracing::info!(
            "data: {} ({} classes; train {}, val {}, test {})",
            self.dataset.root.display(),
            self.dataset.classes.len(),
            sizes.train,
            sizes.val,
            sizes.test
        );
        for note in &self.dataset.notes {
            tracing::info!("data: {note}");
        }
        if !self.dataset.left_out.is_empty() {
            tracing::info!("data: left out: {}", self.dataset.left_out);
        }
        let name = self.config.model.name();
        tracing::info!("network: {name}, {} parameters", self.trainer.network().num_parameters());
        if let Some(teacher) = self.trainer.teacher() {
            tracing::info!("teacher: {}", teacher.description());
        }
        tracing::info!("device: {}", self.device.description);
        if !self.world.is_alone() {
            let training = &self.config.training;
            let images = training.batch_size_in(self.trainer.state().epoch)
                * training.gradient_accumulation_steps
                * self.world.size();
            tracing::info!(
                "processes: {}, {} of them on this machine; {images} images a step together",
                self.world.size(),
                self.world.local_size()
            );
        }
    }

    /// Trains to the end, or until `stop` is raised or `reporter` breaks off; then the state is
    /// saved. After the last epoch the best weights are evaluated on the validation split, which
    /// calibrates their probabilities, and on the test split, if there is one.
    ///
    /// # Errors
    /// Anything that keeps the run from completing; its summary says `failed` then.
    pub fn run(mut self, reporter: &mut dyn Reporter, stop: &Stop) -> Result<Outcome, JobError> {
        // The lock is held to the end.
        let (run, _lock) = self.claim()?;
        if self.options.existing().is_some_and(|existing| existing.rewinds) {
            let kept = self.trainer.rewind(&run)?;
            tracing::info!("--rewind: what the run held is kept in {}", kept.display());
        }
        if let Some(file) = self.script.take() {
            run.write_script(&file)?;
        }
        let earlier = run.read_summary().ok();
        let mut summary = SummaryWriter::new(
            &run,
            Facts {
                config: &self.config,
                dataset: &self.dataset,
                device: &self.device,
                trainer: &self.trainer,
                earlier: earlier.as_ref(),
                resumed_from: self.resumed_from.clone(),
                started: self.options.started,
                command: self.options.command.take(),
            },
        );
        match self.train(&run, &mut summary, reporter, stop) {
            Ok(()) => Ok(Outcome { run, summary: summary.summary }),
            Err(error) => {
                summary.summary.error = Some(error.to_string());
                // The error that ended the run is the one to show, also where the summary cannot
                // be written.
                let _ = summary.write(Status::Failed, &self.trainer);
                let _ = reporter.run_ended(Status::Failed);
                Err(error)
            }
        }
    }

    /// Trains and evaluates with rank 0, whose run it is, to the end.
    ///
    /// # Errors
    /// As [`Job::run`].
    pub fn take_part(mut self, stop: &Stop) -> Result<trainer::Outcome, JobError> {
        let outcome = self.trainer.fit_for_another(stop);
        let outcome = outcome.map_err(|error| JobError::from(error).explained(&self.world))?;
        if outcome == trainer::Outcome::Interrupted {
            return Ok(outcome);
        }
        match self.evaluate_best(None, &mut NoReporter, stop) {
            Err(JobError::Evaluation(EvaluationError::Interrupted)) => Ok(trainer::Outcome::Interrupted),
            evaluated => evaluated.map(|_| outcome),
        }
    }

    fn claim(&mut self) -> Result<(Run, Option<RunLock>), JobError> {
        let (runs_dir, name, taken) = match &mut self.options.placement {
            Placement::Existing(existing) => return Ok((existing.run.clone(), existing.lock.take())),
            Placement::New { runs_dir, name, taken } => (runs_dir, name, taken),
            Placement::Elsewhere => {
                return Err(JobError::Usage("another process has the run".to_owned()));
            }
        };
        let run = match taken {
            Taken::Number => Run::claim(runs_dir, name)?,
            Taken::Refuse => Run::claim_exactly(runs_dir, name)?,
            Taken::TakeOver => Run::claim_or_take_over(runs_dir, name)?,
        };
        let lock = RunLock::take(run.folder())?;
        run.remove_leftovers()?;
        Ok((run, Some(lock)))
    }

    fn train(
        &mut self,
        run: &Run,
        summary: &mut SummaryWriter,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<(), JobError> {
        // First, since it makes the folder a run that can be resumed.
        run.write_config_with(&self.config, &self.options.notes)?;
        let (history, step) = (&self.trainer.state().history, self.trainer.state().step);
        let (train, val) = (&self.dataset.train, &self.dataset.val);
        reporter.run_started(&RunStart { run, config: &self.config, train, val, history, step })?;
        summary.write(Status::Running, &self.trainer)?;
        tracing::info!("run: {}", run.folder().display());
        let state = self.trainer.state();
        if state.step > 0 {
            tracing::info!(
                "resuming from epoch {}, step {} ({} steps into the next)",
                state.epoch,
                state.step,
                self.trainer.steps_in_epoch()
            );
        }
        let fitted = self.trainer.fit(run, reporter, stop);
        let (outcome, stats) = fitted.map_err(|error| JobError::from(error).explained(&self.world))?;
        summary.saved(stats);
        let status = match outcome {
            trainer::Outcome::Interrupted => return summary.write(Status::Interrupted, &self.trainer),
            trainer::Outcome::Completed => Status::Completed,
            trainer::Outcome::EarlyStopped => {
                tracing::info!("stopped early after epoch {}: no improvement", self.trainer.state().epoch);
                Status::EarlyStopped
            }
        };
        let started = Instant::now();
        match self.evaluate_best(Some(run), reporter, stop) {
            Err(JobError::Evaluation(EvaluationError::Interrupted)) => {
                return summary.write(Status::Interrupted, &self.trainer);
            }
            judged => summary.judged(judged?, started.elapsed()),
        }
        reporter.run_ended(status)?;
        summary.write(status, &self.trainer)
    }
}

/// Gives the other processes the configuration of rank 0, which calls this.
///
/// # Errors
/// They cannot be told.
pub fn tell_config(world: &World, config: &Config) -> Result<(), JobError> {
    if world.is_alone() {
        return Ok(());
    }
    let text = serde_yaml::to_string(config)
        .map_err(|error| DistributedError::Torch(format!("the configuration cannot be sent: {error}")))?;
    world.told(Some(text.into_bytes()))?;
    Ok(())
}

/// The configuration that [`tell_config`] gives, on another process than rank 0.
///
/// # Errors
/// Rank 0 has failed, or sends none.
pub fn told_config(world: &World) -> Result<Config, JobError> {
    let text = world.told(None)?;
    let read = serde_yaml::from_slice(&text);
    Ok(read.map_err(|error| DistributedError::Torch(format!("rank 0 has sent no configuration: {error}")))?)
}

impl Start {
    /// The run folder or the file that the state is from.
    fn place(&self) -> Option<&Path> {
        match self {
            Start::Resume(resume) => Some(&resume.from),
            Start::External(_, path) => Some(path),
            Start::Fresh | Start::Weights(_) => None,
        }
    }
}

fn restore(
    trainer: &mut Trainer,
    resume: &Resume,
    options: &JobOptions,
    device: &ResolvedDevice,
    config: &Config,
) -> Result<(), JobError> {
    trainer.restore(&resume.checkpoint, resume.mode)?;
    let earlier = options.existing().and_then(|existing| existing.run.read_summary().ok());
    let before = Circumstances {
        device: earlier.as_ref().map(|earlier| earlier.device.as_str()),
        versions: &resume.checkpoint.versions,
    };
    let versions = device::versions(device.device).into();
    let now = Circumstances { device: Some(&device.description), versions: &versions };
    let other = differences(before, now, config.deterministic);
    if !other.is_empty() {
        tracing::warn!("resuming with {}: the last bits of the result may differ", other.join(", "));
    }
    if options.existing().is_none() {
        trainer.forget_other_epochs();
    }
    if !resume.is_saved {
        trainer.save_at_start();
    }
    Ok(())
}

fn load_external(trainer: &mut Trainer, external: &ExternalCheckpoint, path: &Path) -> Result<(), JobError> {
    trainer.load_external(external).map_err(|error| match error {
        error @ TrainError::Torch(_) => JobError::Train(error),
        unsuitable => JobError::Usage(format!(
            "--resume {}: {unsuitable}\nTo begin with its weights alone, as far as they suit: --weights {}",
            path.display(),
            shell_quoted(path)
        )),
    })?;
    trainer.save_at_start();
    let optimizer = if external.optimizer_state_dict.is_some() { "and optimizer " } else { "" };
    tracing::info!(
        "{}: weights {optimizer}of another program, after {} epochs",
        path.display(),
        external.epochs_done
    );
    Ok(())
}

/// Why a run whose state is complete does not resume.
fn nothing_left(trainer: &Trainer, config: &Config, outcome: trainer::Outcome) -> String {
    let early = config.training.early_stopping.as_ref();
    let early = early.filter(|_| outcome == trainer::Outcome::EarlyStopped);
    let state = trainer.state();
    resume::nothing_left(state.epoch, state.step, &config.training, early)
}
