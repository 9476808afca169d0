//! Network, loss, optimizer and data → epochs, checkpoints, metrics.
//!
//! The loop is plain: train an epoch, validate, record, save, stop when told to. All randomness is
//! derived from (seed, epoch, step), so the state that a resumed run needs is weights, optimizer,
//! and where it stood ([`TrainState`]); nothing depends on the number of workers or on how often it
//! was interrupted.

mod averaging;
mod build;
mod checkpoints;
mod divergence;
mod epoch_time;
mod error;
mod features;
mod guard;
mod labels;
mod limits;
mod loaders;
mod lr_finder;
mod measure;
mod progressive;
mod ranks;
mod reporter;
mod restore;
mod rounds;
mod sam;
mod script;
mod state;
mod statistics;
mod step;
mod teacher;
#[cfg(test)]
mod tests;
mod throughput;
mod validated;

use crate::features::Batches;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ml_data::dataset::{Dataset, Index};

pub use epoch_time::check_max_time;
pub use error::TrainError;
pub use loaders::evaluation_options;
pub use lr_finder::{LrPoint, LrSweep};
pub use measure::{StepTimes, measure_steps};
pub use reporter::{
    Embedded, EpochReport, Evaluated, EvaluatedLabels, NoReporter, Phase, ReportError, Reporter, RunStart,
    StepReport,
};
pub use restore::{ExternalCheckpoint, ResumeMode};
pub(crate) use rounds::Pass;
pub use script::resolve_script;
pub use state::{EmaMetrics, EpochMetrics, TrainState};
pub use statistics::resolve_statistics;
pub use teacher::{Teacher, resolve_teacher};
pub use throughput::{
    BatchSizes, BatchTrial, NetworkSpeed, find_batch_size, measure_network, training_speed,
};
pub use validated::LabelFigures;

use crate::checkpoint::{Checkpoint, WriteStats};
use crate::config::Config;
use crate::device::Compute;
use crate::distributed::{Place, World};
use crate::evaluation::Evaluator;
use crate::loader::{Caches, Loader};
use crate::loss::Loss;
use crate::metrics::{ConfusionMatrix, MetricAccumulator, MetricSums};
use crate::network::{Freeze, Network, ScriptFile};
use crate::optimizer::schedule::{EpochSteps, Schedule};
use crate::optimizer::{Ema, GradScaler, Optimizer, Swa};
use crate::policy::{Ranked, Ranking};
use crate::run::{Run, RunError, TimeSummary};
use crate::torch_error::catch_torch_panic;
use crate::weights::{self, Loaded, Part};
use checkpoints::CheckpointManager;
use features::FeatureCache;
use limits::Pace;
use progressive::Stage;
use ranks::{Ranks, Wish};
use step::Stepped;
use torch_file::Value;
use validated::Validated;

/// Between two readings of the running sums for display: a reading waits for the device.
const DISPLAY_INTERVAL: Duration = Duration::from_millis(100);

/// What a process takes for its signal that stops because another got one.
const SIGTERM: usize = 15;

/// Raised by a signal handler: 0 continues, anything else (the signal's number) stops after the
/// current step.
pub type Stop = AtomicUsize;

/// Breaks where a report could not be written or `stop` was raised.
pub(crate) fn flow(has_failed: bool, stop: &Stop) -> ControlFlow<()> {
    if has_failed || stop.load(Ordering::Relaxed) != 0 {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// How [`Trainer::fit`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done, or as many steps as a limit allows.
    Completed,
    /// The monitored metric has not improved for as long as early stopping allows.
    EarlyStopped,
    /// Stopped by a signal or by the reporter; the state is in `last.pt`.
    Interrupted,
}

/// Everything that a run trains with.
pub struct Trainer {
    config: Config,
    classes: Vec<String>,
    /// Tells this data set from others.
    fingerprint: String,
    compute: Compute,
    network: Network,
    ema: Option<Ema>,
    swa: Option<Swa>,
    loss: Loss,
    /// Of distillation.
    teacher: Option<Teacher>,
    optimizer: Optimizer,
    /// In fp16 alone.
    scaler: Option<GradScaler>,
    schedule: Schedule,
    /// Instead of what the schedule says: while a learning rate is looked for.
    swept_lr: Option<f64>,
    /// Of the current epoch, once it has begun.
    train_loader: Loader,
    /// What `train_loader` gives.
    stage: Stage,
    caches: Caches,
    /// Steps of each epoch.
    steps: EpochSteps,
    val_loader: Loader,
    train_index: Arc<Index>,
    state: TrainState,
    features: FeatureCache,
    ranks: Ranks,
    /// The sums over the current epoch that the checkpoint had of each process, until all have theirs.
    restored_running: Option<Value>,
    /// The state is not that of the run's `last.pt`.
    is_unsaved: bool,
    /// When the first step of this process was done.
    first_step: Option<Instant>,
    /// Of this process.
    time: TimeSummary,
    pace: Pace,
}

/// How a part of an epoch ended.
enum Ended<T> {
    /// It is done.
    Whole(T),
    /// A signal asked to stop.
    Stopped,
    /// A loss was not finite, and the state is that of an earlier checkpoint again.
    RolledBack,
}

/// What a network's outputs add up to; with few classes also how often each was taken for which.
type NetworkSums = (MetricSums, Option<ConfusionMatrix>);

impl Trainer {
    /// Builds everything that `config` describes, to compute as `compute` says. Initial weights are
    /// a function of the seed, or those of `script`, the TorchScript file that [`resolve_script`]
    /// has found for `config`.
    ///
    /// # Errors
    /// The data set does not fit the configuration, or the TorchScript file cannot be trained.
    pub fn new(
        config: &Config,
        dataset: &Dataset,
        compute: Compute,
        script: Option<&ScriptFile>,
    ) -> Result<Trainer, TrainError> {
        Trainer::among(&Rc::new(World::alone()), config, dataset, compute, script)
    }

    /// As [`Trainer::new`], to train with the other processes of `world`, all of which make the same
    /// calls. They begin alike after [`Trainer::synchronise`].
    ///
    /// # Errors
    /// As there, or an epoch has fewer batches than there are processes.
    pub fn among(
        world: &Rc<World>,
        config: &Config,
        dataset: &Dataset,
        compute: Compute,
        script: Option<&ScriptFile>,
    ) -> Result<Trainer, TrainError> {
        catch_torch_panic(|| build::trainer(world, config, dataset, compute, script))?
    }

    /// Gives all processes the state of rank 0: weights, optimizer, where the run stands. Afterwards
    /// their weights are compared.
    ///
    /// # Errors
    /// Another process has ended, or its weights are not those of rank 0.
    pub fn synchronise(&mut self) -> Result<(), TrainError> {
        if self.ranks.world().is_alone() {
            return Ok(());
        }
        self.features.forget();
        catch_torch_panic(|| restore::synchronise(self))?
    }

    /// The network being trained.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The fingerprint of the data set.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Where the run stands.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// When this process finished its first step.
    pub fn first_step(&self) -> Option<Instant> {
        self.first_step
    }

    /// Validation images. One that cannot be read is told once, however often it is met.
    pub fn val_loader(&self) -> &Loader {
        &self.val_loader
    }

    /// Where the time of this process's epochs went.
    pub fn time(&self) -> TimeSummary {
        self.time
    }

    /// Optimizer steps of the current epoch; the last may be of fewer batches than the others.
    pub fn steps_per_epoch(&self) -> usize {
        self.steps.of(self.state.epoch) as usize
    }

    /// Whether there is nothing left to train, and why; what is averaged over epochs included.
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended().filter(|_| !self.is_average_pending())
    }

    /// Whether all epochs are done, and why.
    fn ended(&self) -> Option<Outcome> {
        let is_completed = match self.step_limit() {
            None => self.state.epoch >= self.config.training.num_epochs as u64,
            // A cut epoch is validated first.
            Some(limit) => self.state.step >= limit && self.state.batch_in_epoch == 0,
        };
        if is_completed {
            return Some(Outcome::Completed);
        }
        let early = self.config.training.early_stopping.as_ref();
        early.is_some_and(|early| early.is_over(&self.state.early_stopping)).then_some(Outcome::EarlyStopped)
    }

    /// Trains from where the state stands to the configured number of epochs, or to the limit in its
    /// place. Also returns what saving cost.
    ///
    /// # Errors
    /// An image cannot be read, the loss is not finite, memory is lacking, or a file of the run
    /// cannot be written.
    pub fn fit(
        &mut self,
        run: &Run,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<(Outcome, WriteStats), TrainError> {
        self.fit_into(Some(run), reporter, stop)
    }

    /// As [`Trainer::fit`], of a process that is not the one that writes the run.
    ///
    /// # Errors
    /// As there; or another process has failed.
    pub fn fit_for_another(&mut self, stop: &Stop) -> Result<Outcome, TrainError> {
        Ok(self.fit_into(None, &mut NoReporter, stop)?.0)
    }

    fn fit_into(
        &mut self,
        run: Option<&Run>,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<(Outcome, WriteStats), TrainError> {
        catch_torch_panic(|| {
            let mut checkpoints = CheckpointManager::start(run, &self.config)?;
            // Rows of a future that was lost go.
            self.write_metrics(run)?;
            checkpoints.begin(self)?;
            self.start_clock();
            let outcome = self.epochs(run, reporter, stop, &mut checkpoints)?;
            self.stop_clock();
            if outcome == Outcome::Completed {
                self.tell_limit();
            }
            Ok((outcome, checkpoints.finish()?))
        })?
    }

    fn write_metrics(&self, run: Option<&Run>) -> Result<(), RunError> {
        run.map_or(Ok(()), |run| state::write_metrics(run, &self.state.history))
    }

    fn epochs(
        &mut self,
        run: Option<&Run>,
        reporter: &mut dyn Reporter,
        stop: &Stop,
        checkpoints: &mut CheckpointManager<'_>,
    ) -> Result<Outcome, TrainError> {
        loop {
            if let Some(outcome) = self.outcome() {
                if let Some(average) = &self.state.swa {
                    reporter.averaged(self.state.epoch, average)?;
                }
                return Ok(outcome);
            }
            if self.ended().is_some() {
                if self.finish_average(reporter, stop, checkpoints)?.is_break() {
                    return self.interrupted(checkpoints);
                }
                continue;
            }
            match self.epoch(reporter, stop, checkpoints)? {
                Ended::Stopped => return self.interrupted(checkpoints),
                Ended::RolledBack => {
                    // What was written of the epochs that are given up goes.
                    self.write_metrics(run)?;
                    reporter.rolled_back(&self.state.history)?;
                }
                Ended::Whole(report) => {
                    self.write_metrics(run)?;
                    let flow = reporter.epoch_finished(&self.state.history, &report)?;
                    if self.ranks.world().any(flow.is_break())? && self.outcome().is_none() {
                        return self.interrupted(checkpoints);
                    }
                }
            }
        }
    }

    /// Trains an epoch from where it stands, validates, records and saves it.
    fn epoch(
        &mut self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
        checkpoints: &mut CheckpointManager<'_>,
    ) -> Result<Ended<EpochReport>, TrainError> {
        self.follow_epoch()?;
        self.freeze()?;
        let is_whole = self.state.batch_in_epoch == 0;
        let started = Instant::now();
        let before = self.prepare_features(reporter, stop)?;
        let has_stopped = self.ranks.world().any(before.is_none())?;
        let Some(before) = before.filter(|_| !has_stopped) else { return Ok(Ended::Stopped) };
        let waited = match self.train_epoch(reporter, stop, checkpoints)? {
            Ended::Whole(waited) => before + waited,
            Ended::Stopped => return Ok(Ended::Stopped),
            Ended::RolledBack => return Ok(Ended::RolledBack),
        };
        let trained = started.elapsed();
        let Some((val, ema)) = self.validate(reporter, stop)? else { return Ok(Ended::Stopped) };
        if !self.check_validation_loss(&val.sums)? {
            return self.roll_back(checkpoints);
        }
        let validation = started.elapsed().saturating_sub(trained);
        let improved = self.finish_epoch(&val, ema.as_ref(), validation, checkpoints)?;
        let num_epochs = self.num_epochs();
        // One that was begun by an earlier process says nothing of a whole epoch.
        if is_whole {
            self.time = self.time
                + TimeSummary {
                    epochs: 1,
                    train_seconds: trained.as_secs_f64(),
                    waiting_seconds: waited.as_secs_f64(),
                    validation_seconds: started.elapsed().saturating_sub(trained).as_secs_f64(),
                };
        }
        Ok(Ended::Whole(EpochReport { num_epochs, improved, elapsed: started.elapsed(), waited }))
    }

    /// Lets those parameters be trained that are to be in this epoch, which is a function of its
    /// number alone.
    fn freeze(&mut self) -> Result<(), TrainError> {
        self.freeze_layers()?;
        self.ranks.begin(&self.network)
    }

    fn freeze_layers(&self) -> Result<(), TrainError> {
        let Some(model) = self.config.model.base() else { return Ok(()) };
        let freeze = model.freeze_after(self.state.epoch);
        let frozen = self.network.freeze(freeze)?;
        if *freeze != Freeze::None {
            let all = self.network.num_parameters();
            tracing::info!("model.freeze: {freeze}: {} of {all} parameters are trained", all - frozen);
        } else if model.unfreeze_epoch == Some(self.state.epoch) {
            tracing::info!("model.unfreeze_epoch: all layers are trained from here on");
        }
        Ok(())
    }

    fn train_epoch(
        &mut self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
        checkpoints: &mut CheckpointManager<'_>,
    ) -> Result<Ended<Duration>, TrainError> {
        let first = self.state.batch_in_epoch as usize;
        let mut running = MetricAccumulator::from_sums(self.state.running, self.compute.device);
        let mut batches = self.train_batches(first)?;
        let mut shown = Instant::now();
        reporter.phase_started(Phase::Train, self.state.epoch, self.batches_of_epoch(), first);
        self.begin_pace();
        loop {
            if self.is_to_stop(stop) {
                self.state.running = running.sums()?;
                // The last update may have been one too many.
                if !self.check_weights_finite()? {
                    return self.roll_back(checkpoints);
                }
                return Ok(Ended::Stopped);
            }
            if self.is_at_limit() {
                break;
            }
            let wish = self.wish(stop, checkpoints);
            let num_batches = match self.train_step(&mut batches, &mut running, wish)? {
                None => break,
                Some(Stepped::Done(num_batches)) => num_batches,
                Some(Stepped::Diverged) => return self.roll_back(checkpoints),
            };
            self.after_step(wish)?;
            checkpoints.check()?;
            if let Some(anchor) = self.due_checkpoint(checkpoints) {
                self.state.running = running.sums()?;
                if !self.check_weights_finite()? {
                    return self.roll_back(checkpoints);
                }
                checkpoints.save(self, anchor)?;
            }
            let is_due = shown.elapsed() >= DISPLAY_INTERVAL;
            let sums = is_due.then(|| running.sums()).transpose()?;
            if is_due {
                shown = Instant::now();
            }
            reporter.batches_done(num_batches, sums.as_ref())?;
            if let Some(sums) = &sums {
                let (step, epoch, network) = (self.state.step, self.state.epoch, &self.network);
                let (lrs, waited) = (self.optimizer.lrs(), batches.waited());
                reporter.stepped(&StepReport { step, epoch, sums, lrs: &lrs, network, waited })?;
            }
        }
        if !self.check_weights_finite()? {
            return self.roll_back(checkpoints);
        }
        self.state.running = self.ranks.sums(running.sums()?)?;
        self.end_pace();
        reporter.phase_finished();
        Ok(Ended::Whole(batches.waited()))
    }

    /// What this process would have all of them do after the next step.
    fn wish(&mut self, stop: &Stop, checkpoints: &CheckpointManager<'_>) -> Wish {
        let due = checkpoints.is_due(self.state.step + 1);
        Wish { stop: stop.load(Ordering::Relaxed) != 0, due, total_steps: self.estimate() }
    }

    /// Does what was decided about the length of the training; a process that is alone does as it
    /// wishes.
    fn after_step(&mut self, wish: Wish) -> Result<(), TrainError> {
        self.pace.step_done();
        let is_alone = self.ranks.world().is_alone();
        let total = if is_alone { wish.total_steps } else { self.ranks.decided().total_steps };
        total.map_or(Ok(()), |total| self.set_total_steps(total))
    }

    /// Whether to stop before the next step: as the signal says, or as all processes have decided.
    fn is_to_stop(&self, stop: &Stop) -> bool {
        if self.ranks.world().is_alone() {
            return stop.load(Ordering::Relaxed) != 0;
        }
        let is_decided = self.ranks.decided().stop;
        if is_decided {
            // As if the signal had come here.
            let _ = stop.compare_exchange(0, SIGTERM, Ordering::Relaxed, Ordering::Relaxed);
        }
        is_decided
    }

    /// Whether a checkpoint is due after this step, and if so whether by the step alone; of several
    /// processes, as rank 0 wished before it.
    fn due_checkpoint(&self, checkpoints: &CheckpointManager<'_>) -> Option<bool> {
        if self.ranks.world().is_alone() {
            return checkpoints.is_due(self.state.step);
        }
        self.ranks.decided().due
    }

    /// Sums over the validation split, of the weights and of their average, or `None` if told to
    /// stop.
    #[allow(clippy::type_complexity)]
    fn validate(
        &self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<(Validated, Option<Validated>)>, TrainError> {
        let networks: Vec<&Network> =
            [&self.network].into_iter().chain(self.ema.as_ref().map(Ema::network)).collect();
        self.ranks.world().at(Place::Validating { epoch: self.state.epoch });
        let batches = self.val_batches()?;
        if self.has_label_sets() {
            let found = self.validate_labels(Phase::Validate, &networks, batches, reporter, stop)?;
            let mut found = found.unwrap_or_default().into_iter();
            return Ok(found.next().map(|val| (val, found.next())));
        }
        let sums = self.validation_sums(Phase::Validate, &networks, batches, reporter, stop)?;
        let Some(sums) = sums else { return Ok(None) };
        let mut sums = sums.into_iter();
        let Some((val, pairs)) = sums.next() else { return Ok(None) };
        if let Some(pairs) = pairs {
            let pairs = self.all_pairs(pairs)?;
            reporter.validated(self.state.step, &pairs, &self.classes)?;
        }
        let val = self.ranks.sums(val)?;
        let ema = sums.next().map(|(ema, _)| self.ranks.sums(ema)).transpose()?;
        Ok(Some((val.into(), ema.map(Validated::from))))
    }

    /// This process's sums of each network over `batches` of the validation split, or none if told to
    /// stop.
    fn validation_sums(
        &self,
        phase: Phase,
        networks: &[&Network],
        batches: Batches,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<Vec<NetworkSums>>, TrainError> {
        self.pass(phase, &self.val_loader)
            .run(reporter, stop, |on_batch| self.evaluator().sums(networks, batches, on_batch))
    }

    /// A pass of all processes over what `loader` gives.
    fn pass(&self, phase: Phase, loader: &Loader) -> Pass<'_> {
        let (world, epoch) = (self.ranks.world(), self.state.epoch);
        Pass { world, phase, epoch, num_batches: loader.num_batches() }
    }

    /// The pairs that all processes have counted.
    fn all_pairs(&self, pairs: ConfusionMatrix) -> Result<ConfusionMatrix, TrainError> {
        if self.ranks.world().is_alone() {
            return Ok(pairs);
        }
        let classes = pairs.num_classes();
        let mut counts: Vec<f64> = pairs.rows().flatten().map(|&count| count as f64).collect();
        self.ranks.world().sum(&mut counts)?;
        let mut all = ConfusionMatrix::new(classes);
        for (cell, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            all.add_many(cell / classes, cell % classes, *count as u64);
        }
        Ok(all)
    }

    /// Runs networks on batches as this trainer does.
    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self.compute, &self.loss, self.classes.len())
    }

    /// Records the epoch and saves what is to be saved; whether it is the best so far.
    fn finish_epoch(
        &mut self,
        val: &Validated,
        ema: Option<&Validated>,
        validation: Duration,
        checkpoints: &mut CheckpointManager<'_>,
    ) -> Result<bool, TrainError> {
        let lr = self.lr(self.state.step.saturating_sub(1));
        let is_cut = self.state.batch_in_epoch < self.batches_in(self.state.epoch) as u64;
        let judged = ema.filter(|_| self.monitors_ema()).unwrap_or(val);
        self.state.thresholds.clone_from(&judged.thresholds);
        let metrics = self.state.finish_epoch(val, ema, lr);
        let steps = self.state.steps_of_epochs(&self.steps);
        if is_cut {
            self.state.missing_steps += steps.saturating_sub(self.state.step);
        } else {
            // Where the number of processes has changed within the epoch, it may have had a step less.
            self.state.step = self.state.step.max(steps);
        }
        self.estimate_after_epoch(validation)?;
        let training = &self.config.training;
        let monitor = training.monitor();
        let value = metrics.value(monitor.metric).unwrap_or(f64::NAN);
        let ranked = Ranked { epoch: metrics.epoch, value };
        self.schedule.observe(&mut self.state.plateau, metrics.epoch, value, monitor.higher);
        let rank = self.state.ranking.insert(ranked, monitor, training.checkpoint.keep_top_k);
        if let Some(early) = &training.early_stopping {
            early.observe(&mut self.state.early_stopping, monitor, value);
        }
        self.average_epoch()?;
        let saving = Instant::now();
        checkpoints.after_epoch(self)?;
        self.saved_in(saving.elapsed());
        Ok(rank == Some(0))
    }

    fn interrupted(&mut self, checkpoints: &mut CheckpointManager<'_>) -> Result<Outcome, TrainError> {
        checkpoints.interrupted(self)?;
        Ok(Outcome::Interrupted)
    }

    /// The learning rate of step `step`.
    fn lr(&self, step: u64) -> f64 {
        if let Some(lr) = self.swept_lr {
            return lr;
        }
        let scale = if self.config.training.distributed.scale_lr { self.ranks.world().size() } else { 1 };
        let scale = scale as f64 * self.config.training.lr_factor_in(self.state.epoch);
        self.schedule.lr_after(step, &self.state.plateau) * self.state.divergence.lr_scale * scale
    }
}

impl Trainer {
    /// The whole state, sharing the tensors.
    ///
    /// # Errors
    /// The configuration cannot be stored.
    pub fn snapshot(&self) -> Result<Checkpoint, TrainError> {
        build::snapshot(self, &[self.state.running])
    }

    /// All processes of the training.
    pub fn world(&self) -> &World {
        self.ranks.world()
    }

    /// Resumes from `checkpoint`: weights, optimizer, and where the run stood.
    ///
    /// # Errors
    /// The checkpoint is of another network, class list, optimizer, or contains NaN or Inf; unless
    /// `mode` allows changes also another seed, data set or batch size.
    pub fn restore(&mut self, checkpoint: &Checkpoint, mode: ResumeMode) -> Result<(), TrainError> {
        self.features.forget();
        catch_torch_panic(|| restore::restore(self, checkpoint, mode))?
    }

    /// Has the state saved before the first step, since it is not the one in the run's `last.pt`:
    /// it came from another file, or resumes with changes.
    pub fn save_at_start(&mut self) {
        self.is_unsaved = true;
    }

    /// In a new run the only epoch that may be its best so far is the one that the state stands at:
    /// the others' checkpoints are not there.
    pub fn forget_other_epochs(&mut self) {
        let TrainState { epoch, batch_in_epoch, ranking, .. } = &mut self.state;
        let kept = ranking.epochs.iter().copied().find(|ranked| ranked.epoch == *epoch);
        let kept = kept.filter(|_| *batch_in_epoch == 0);
        *ranking = Ranking { epochs: kept.into_iter().collect() };
    }

    /// Before an older state of `run` is continued in its own folder: gives what it replaces a
    /// second name in a folder, which is returned, and leaves in the ranking the epochs whose
    /// checkpoints are there.
    ///
    /// # Errors
    /// A file cannot be read or named.
    pub fn rewind(&mut self, run: &Run) -> Result<std::path::PathBuf, TrainError> {
        let aside = run.put_aside()?;
        run.take_best_epoch()?;
        let kept = run.kept_epochs()?;
        let best_path = run.best_path();
        let best = Checkpoint::load(&best_path).ok().map(|best| best.epoch);
        let TrainState { epoch, batch_in_epoch, ranking, .. } = &mut self.state;
        let own = (*batch_in_epoch == 0).then_some(*epoch);
        let is_there = |ranked: &Ranked| {
            let number = Some(ranked.epoch);
            number == own || number == best || kept.iter().any(|(epoch, _)| Some(*epoch) == number)
        };
        ranking.epochs.retain(is_there);
        let write = |source| RunError::Write { path: best_path.clone(), source };
        match ranking.best().map(|ranked| ranked.epoch) {
            wanted if wanted.is_some() && (wanted == own || wanted == best) => {}
            Some(wanted) => {
                for (_, path) in kept.iter().filter(|(epoch, _)| *epoch == wanted) {
                    atomic_file::also_name(path, &best_path).map_err(write)?;
                }
            }
            // What the file holds is of an epoch that is yet to come.
            None if best.is_some() => std::fs::remove_file(&best_path).map_err(write)?,
            None => {}
        }
        Ok(aside)
    }

    /// Begins with the weights of a file, as [`weights::load`] takes them; returns what it took
    /// and did.
    ///
    /// # Errors
    /// The file cannot be read, or its weights are of another network.
    pub fn start_from(&mut self, path: &Path, key: Option<&str>, part: Part) -> Result<Loaded, TrainError> {
        self.features.forget();
        catch_torch_panic(|| {
            let loaded = weights::load(&self.network, path, key, part)?;
            if let Some(ema) = &self.ema {
                ema.network().load_state_dict(&self.network.state_dict())?;
            }
            Ok(loaded)
        })?
    }

    /// Continues a training state of another program: weights, optimizer and the epochs it has
    /// done.
    ///
    /// # Errors
    /// It is of another network or optimizer, or contains NaN or Inf.
    pub fn load_external(&mut self, external: &ExternalCheckpoint) -> Result<(), TrainError> {
        self.features.forget();
        catch_torch_panic(|| restore::load_external(self, external))?
    }
}
