//! Network, loss, optimizer and data → epochs, checkpoints, metrics.
//!
//! The loop is plain: train an epoch, validate, record, save, stop when told to. All randomness is
//! derived from (seed, epoch, step), so the state that a resumed run needs is weights, optimizer,
//! and where it stood ([`TrainState`]); nothing depends on the number of workers or on how often it
//! was interrupted.

mod build;
mod checkpoints;
mod error;
mod reporter;
mod restore;
mod script;
mod state;
mod statistics;
mod step;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ml_data::dataset::{Dataset, Index};
use tch::Device;

pub use error::TrainError;
pub use reporter::{EpochReport, NoReporter, Phase, ReportError, Reporter};
pub use restore::{Changes, ExternalCheckpoint};
pub use script::resolve_script;
pub use state::{EmaMetrics, EpochMetrics, TrainState};
pub use statistics::resolve_statistics;

use crate::checkpoint::{Checkpoint, WriteStats};
use crate::config::Config;
use crate::loader::{DeviceBatch, Loader};
use crate::loss::Loss;
use crate::metrics::{MetricAccumulator, MetricSums};
use crate::network::{Freeze, Network, ScriptFile};
use crate::optimizer::schedule::Schedule;
use crate::optimizer::{Ema, Optimizer};
use crate::policy::{Ranked, Ranking};
use crate::run::Run;
use crate::torch_error::catch_torch_panic;
use crate::weights::{self, Loaded, Part};
use checkpoints::CheckpointManager;
use step::Stepped;

/// Between two readings of the running sums for display: a reading waits for the device.
const DISPLAY_INTERVAL: Duration = Duration::from_millis(100);

/// Raised by a signal handler: 0 goes on, anything else (the signal's number) stops after the
/// current step.
pub type Stop = AtomicUsize;

/// How [`Trainer::fit`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Completed,
    /// The monitored figure has not improved for as long as early stopping allows.
    EarlyStopped,
    /// Told to stop; the state is in `last.pt`.
    Interrupted,
}

/// Everything that a run trains with.
pub struct Trainer {
    config: Config,
    classes: Vec<String>,
    /// Tells this data set from others.
    fingerprint: String,
    network: Network,
    ema: Option<Ema>,
    loss: Loss,
    optimizer: Optimizer,
    schedule: Schedule,
    train_loader: Loader,
    val_loader: Loader,
    train_index: std::sync::Arc<Index>,
    device: Device,
    state: TrainState,
    /// The state is not that of the run's `last.pt`.
    is_unsaved: bool,
    /// When the first step of this process was done.
    first_step: Option<Instant>,
}

/// How the training part of an epoch ended.
enum Trained {
    /// All batches are done; how long the training thread waited for data.
    Whole(Duration),
    /// Told to stop.
    Stopped,
    /// A loss was not finite, and the state is that of an earlier checkpoint again.
    RolledBack,
}

impl Trainer {
    /// Builds everything that `config` describes. Initial weights are a function of the seed, or a
    /// TorchScript file's.
    ///
    /// # Errors
    /// The data set does not fit the configuration, or the TorchScript file that it names cannot be
    /// trained.
    pub fn new(config: &Config, dataset: &Dataset, device: Device) -> Result<Trainer, TrainError> {
        match resolve_script(config, None)? {
            Some((config, file)) => Trainer::with_script(&config, dataset, device, &file),
            None => catch_torch_panic(|| build::trainer(config, dataset, device, None))?,
        }
    }

    /// As [`Trainer::new`], with the TorchScript file that [`resolve_script`] has found for
    /// `config`.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_script(
        config: &Config,
        dataset: &Dataset,
        device: Device,
        file: &ScriptFile,
    ) -> Result<Trainer, TrainError> {
        catch_torch_panic(|| build::trainer(config, dataset, device, Some(file)))?
    }

    /// The network being trained.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The loss.
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Where the run stands.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// When this process finished its first step.
    pub fn first_step(&self) -> Option<Instant> {
        self.first_step
    }

    /// Optimizer steps an epoch; the last may be of fewer batches than the others.
    pub fn steps_per_epoch(&self) -> usize {
        self.train_loader.num_batches().div_ceil(self.config.training.gradient_accumulation_steps)
    }

    /// Whether there is nothing left to train, and why.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.state.epoch >= self.config.training.num_epochs as u64 {
            return Some(Outcome::Completed);
        }
        let early = self.config.training.early_stopping.as_ref();
        early.is_some_and(|early| early.is_over(&self.state.early_stopping)).then_some(Outcome::EarlyStopped)
    }

    /// Trains from where the state stands to the configured number of epochs. Also tells what
    /// saving cost.
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
        catch_torch_panic(|| self.fit_or_panic(run, reporter, stop))?
    }

    fn fit_or_panic(
        &mut self,
        run: &Run,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<(Outcome, WriteStats), TrainError> {
        let mut saves = CheckpointManager::start(run, &self.config)?;
        // Rows of a future that was lost go.
        state::write_metrics(run, &self.state.history)?;
        saves.begin(self)?;
        let outcome = self.epochs(run, reporter, stop, &mut saves)?;
        Ok((outcome, saves.finish()?))
    }

    fn epochs(
        &mut self,
        run: &Run,
        reporter: &mut dyn Reporter,
        stop: &Stop,
        saves: &mut CheckpointManager<'_>,
    ) -> Result<Outcome, TrainError> {
        let num_epochs = self.config.training.num_epochs as u64;
        loop {
            if let Some(outcome) = self.outcome() {
                return Ok(outcome);
            }
            self.freeze()?;
            let started = Instant::now();
            let waited = match self.train_epoch(reporter, stop, saves)? {
                Trained::Whole(waited) => waited,
                Trained::Stopped => return self.interrupted(saves),
                Trained::RolledBack => {
                    self.tell_rollback(run, reporter)?;
                    continue;
                }
            };
            let Some((val, ema)) = self.validate(reporter, stop)? else {
                return self.interrupted(saves);
            };
            if !self.check_validation_loss(&val)? {
                self.roll_back(saves)?;
                self.tell_rollback(run, reporter)?;
                continue;
            }
            let improved = self.finish_epoch(val, ema, saves)?;
            state::write_metrics(run, &self.state.history)?;
            let report = EpochReport { num_epochs, improved, elapsed: started.elapsed(), waited };
            reporter.epoch_finished(&self.state.history, &report)?;
        }
    }

    /// Lets those parameters be trained that are to be in this epoch, which is a function of its
    /// number alone.
    fn freeze(&self) -> Result<(), TrainError> {
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

    /// What was written of the epochs that are given up goes.
    fn tell_rollback(&self, run: &Run, reporter: &mut dyn Reporter) -> Result<(), TrainError> {
        state::write_metrics(run, &self.state.history)?;
        Ok(reporter.rolled_back(&self.state.history)?)
    }

    fn train_epoch(
        &mut self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
        saves: &mut CheckpointManager<'_>,
    ) -> Result<Trained, TrainError> {
        let first = self.state.batch_in_epoch as usize;
        let mut running = MetricAccumulator::from_sums(self.state.running, self.device);
        let mut batches = self.train_loader.epoch(self.state.epoch, first);
        let mut shown = Instant::now();
        reporter.phase_started(Phase::Train, self.state.epoch, self.train_loader.num_batches(), first);
        loop {
            if stop.load(Ordering::Relaxed) != 0 {
                self.state.running = running.totals();
                // The last update may have been one too many.
                if !self.check_weights_finite()? {
                    return self.roll_back(saves);
                }
                return Ok(Trained::Stopped);
            }
            let num_batches = match self.train_step(&mut batches, &mut running)? {
                None => break,
                Some(Stepped::Done(num_batches)) => num_batches,
                Some(Stepped::Diverged) => return self.roll_back(saves),
            };
            saves.check()?;
            if let Some(anchor) = saves.is_due(self.state.step) {
                self.state.running = running.totals();
                if !self.check_weights_finite()? {
                    return self.roll_back(saves);
                }
                saves.save(self, Vec::new(), anchor)?;
            }
            let totals = (shown.elapsed() >= DISPLAY_INTERVAL).then(|| {
                shown = Instant::now();
                running.totals()
            });
            reporter.batches_done(num_batches, totals.as_ref())?;
        }
        if !self.check_weights_finite()? {
            return self.roll_back(saves);
        }
        self.state.running = running.totals();
        reporter.phase_finished();
        Ok(Trained::Whole(batches.waited()))
    }

    /// Sums over the validation split, of the weights and of their average, or `None` if told to
    /// stop.
    #[allow(clippy::type_complexity)]
    fn validate(
        &self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<(MetricSums, Option<MetricSums>)>, TrainError> {
        reporter.phase_started(Phase::Validate, self.state.epoch, self.val_loader.num_batches(), 0);
        let mut running = MetricAccumulator::new(self.device);
        let mut averaged = self.ema.as_ref().map(|ema| (ema, MetricAccumulator::new(self.device)));
        let _no_grad = tch::no_grad_guard();
        for batch in self.val_loader.epoch(0, 0) {
            if stop.load(Ordering::Relaxed) != 0 {
                return Ok(None);
            }
            let DeviceBatch { images, targets, .. } = batch?.to_device();
            let add = |network: &Network, running: &mut MetricAccumulator| {
                let logits = network.try_forward_t(&images, false).map_err(TrainError::Forward)?;
                running.add(&self.loss.forward(&logits, &targets), &logits, &targets);
                Ok::<_, TrainError>(())
            };
            add(&self.network, &mut running)?;
            if let Some((ema, running)) = &mut averaged {
                add(ema.network(), running)?;
            }
            reporter.batches_done(1, None)?;
        }
        reporter.phase_finished();
        Ok(Some((running.totals(), averaged.map(|(_, running)| running.totals()))))
    }

    /// Records the epoch and saves what is to be saved; whether it is the best so far.
    fn finish_epoch(
        &mut self,
        val: MetricSums,
        ema: Option<MetricSums>,
        saves: &mut CheckpointManager<'_>,
    ) -> Result<bool, TrainError> {
        let lr = self.lr(self.state.step.saturating_sub(1));
        let metrics = self.state.finish_epoch(val, ema, lr);
        let training = &self.config.training;
        let monitor = training.monitor();
        let figure = metrics.figure(monitor.metric).unwrap_or(f64::NAN);
        let ranked = Ranked { epoch: metrics.epoch, figure };
        let place = self.state.ranking.insert(ranked, monitor, training.checkpoint.keep_top_k);
        if let Some(early) = &training.early_stopping {
            early.observe(&mut self.state.early_stopping, monitor, figure);
        }
        saves.after_epoch(self)?;
        Ok(place == Some(0))
    }

    fn interrupted(&mut self, saves: &mut CheckpointManager<'_>) -> Result<Outcome, TrainError> {
        saves.interrupted(self)?;
        Ok(Outcome::Interrupted)
    }

    /// The learning rate of step `step`.
    fn lr(&self, step: u64) -> f64 {
        self.schedule.lr(step) * self.state.divergence.lr_scale
    }
}

impl Trainer {
    /// The whole state, sharing the tensors.
    ///
    /// # Errors
    /// The configuration cannot be stored.
    pub fn snapshot(&self) -> Result<Checkpoint, TrainError> {
        build::snapshot(self)
    }

    /// Goes on from `checkpoint`: weights, optimizer, and where the run stood.
    ///
    /// # Errors
    /// The checkpoint is of another network, class list, optimizer, or has numbers in it that are
    /// not finite; unless `changes` are allowed also another seed, data set or batch size.
    pub fn restore(&mut self, checkpoint: &Checkpoint, changes: Changes) -> Result<(), TrainError> {
        catch_torch_panic(|| restore::restore(self, checkpoint, changes))?
    }

    /// Has the state saved before the first step, since it is not the one in the run's `last.pt`:
    /// it came from another file, or goes on with changes. `anew`: in a new run, whose best epoch
    /// is yet to come.
    pub fn save_at_start(&mut self, anew: bool) {
        self.is_unsaved = true;
        if anew {
            self.state.ranking = Ranking::default();
        }
    }

    /// Begins with the weights of a file, as [`weights::load`] takes them; says what it did beside
    /// copying.
    ///
    /// # Errors
    /// The file cannot be read, or its weights are of another network.
    pub fn start_from(&mut self, path: &Path, part: Part) -> Result<Loaded, TrainError> {
        catch_torch_panic(|| {
            let loaded = weights::load(&self.network, path, part)?;
            if let Some(ema) = &mut self.ema {
                ema.load_state_dict(&self.network.state_dict())?;
            }
            Ok(loaded)
        })?
    }

    /// Goes on from a training state of another program: weights, optimizer and the epochs it has
    /// done.
    ///
    /// # Errors
    /// It is of another network or optimizer, or has numbers in it that are not finite.
    pub fn load_external(&mut self, external: &ExternalCheckpoint) -> Result<(), TrainError> {
        catch_torch_panic(|| restore::load_external(self, external))?
    }
}
