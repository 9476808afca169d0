//! Network, loss, optimizer and data → epochs, checkpoints, metrics.
//!
//! The loop is plain: train an epoch, validate, record, save, stop when told to. All randomness is derived
//! from (seed, epoch, step), so the state that a resumed run needs is weights, optimizer, and where it stood
//! ([`TrainState`]); nothing depends on the number of workers or on how often it was interrupted.

mod build;
mod error;
mod reporter;
mod state;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ml_data::dataset::{Dataset, Index};
use ml_data::rng::{Purpose, derived_seed};
use tch::{Device, Tensor};

pub use build::start_weights;
pub use error::TrainError;
pub use reporter::{EpochReport, NoReporter, Phase, ReportError, Reporter};
pub use state::{Best, EpochMetrics, TrainState};

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::loader::{Batch, Loader};
use crate::loss::Loss;
use crate::metrics::{Running, Totals};
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::optimizer::schedule::Schedule;
use crate::run::Run;

/// Between two readings of the running sums for display: a reading waits for the device.
const DISPLAY_INTERVAL: Duration = Duration::from_millis(100);

/// Raised by a signal handler: 0 goes on, anything else (the signal's number) stops after the current step.
pub type Stop = AtomicUsize;

/// How [`Trainer::fit`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Completed,
    /// Told to stop; the state is in `last.pt`.
    Interrupted,
}

/// Everything that a run trains with.
pub struct Trainer {
    config: Config,
    classes: Vec<String>,
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
    schedule: Schedule,
    train_loader: Loader,
    val_loader: Loader,
    train_index: std::sync::Arc<Index>,
    device: Device,
    state: TrainState,
    /// When the first step of this process was done.
    first_step: Option<Instant>,
}

impl Trainer {
    /// Builds everything that `config` describes. Initial weights are a function of the seed.
    ///
    /// # Errors
    /// The data set does not fit the configuration.
    pub fn new(config: &Config, dataset: &Dataset, device: Device) -> Result<Trainer, TrainError> {
        build::trainer(config, dataset, device)
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

    /// Optimizer steps an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.train_loader.num_batches()
    }

    /// Trains from where the state stands to the configured number of epochs.
    ///
    /// # Errors
    /// A picture cannot be read, the loss is not finite, or a file of the run cannot be written.
    pub fn fit(
        &mut self,
        run: &Run,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Outcome, TrainError> {
        let num_epochs = self.config.training.num_epochs as u64;
        while self.state.epoch < num_epochs {
            let started = Instant::now();
            let waited = match self.train_epoch(reporter, stop)? {
                Some(waited) => waited,
                None => return self.interrupted(run),
            };
            let Some(val) = self.validate(reporter, stop)? else {
                return self.interrupted(run);
            };
            let improved = self.state.finish_epoch(val, self.schedule.lr(self.state.step.saturating_sub(1)));
            self.save(run, improved)?;
            state::write_metrics(run, &self.state.history)?;
            let report = EpochReport { num_epochs, improved, elapsed: started.elapsed(), waited };
            reporter.epoch_finished(&self.state.history, &report)?;
        }
        Ok(Outcome::Completed)
    }

    /// How long the training thread waited for data, or `None` if it was told to stop.
    fn train_epoch(
        &mut self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<Duration>, TrainError> {
        let first = self.state.batch_in_epoch as usize;
        let mut running = Running::from_totals(self.state.running, self.device);
        let mut batches = self.train_loader.epoch(self.state.epoch, first);
        let mut shown = Instant::now();
        reporter.phase_started(Phase::Train, self.state.epoch, self.train_loader.num_batches(), first);
        while let Some(batch) = batches.next() {
            if stop.load(Ordering::Relaxed) != 0 {
                self.state.running = running.totals();
                return Ok(None);
            }
            self.train_step(&batch?, &mut running)?;
            let totals = (shown.elapsed() >= DISPLAY_INTERVAL).then(|| {
                shown = Instant::now();
                running.totals()
            });
            reporter.batch_done(totals.as_ref());
        }
        self.state.running = running.totals();
        reporter.phase_finished();
        Ok(Some(batches.waited()))
    }

    fn train_step(&mut self, batch: &Batch, running: &mut Running) -> Result<(), TrainError> {
        let step = self.state.step;
        tch::manual_seed(derived_seed(self.config.seed, Purpose::Step, step, 0) as i64);
        let (images, targets) = self.to_device(batch);
        let logits = self.network.forward_t(&images, true); // [N, K]
        let loss = self.loss.forward(&logits, &targets); // scalar, mean over N
        self.check_finite(&loss, batch)?;
        self.optimizer.zero_grad()?;
        loss.backward();
        self.optimizer.step(self.schedule.lr(step))?;
        running.add(&loss.detach(), &logits.detach(), &targets);
        self.first_step.get_or_insert_with(Instant::now);
        self.state.step += 1;
        self.state.batch_in_epoch += 1;
        Ok(())
    }

    /// Sums over the validation split, or `None` if told to stop.
    fn validate(&self, reporter: &mut dyn Reporter, stop: &Stop) -> Result<Option<Totals>, TrainError> {
        reporter.phase_started(Phase::Validate, self.state.epoch, self.val_loader.num_batches(), 0);
        let mut running = Running::new(self.device);
        let _no_grad = tch::no_grad_guard();
        for batch in self.val_loader.epoch(0, 0) {
            if stop.load(Ordering::Relaxed) != 0 {
                return Ok(None);
            }
            let batch = batch?;
            let (images, targets) = self.to_device(&batch);
            let logits = self.network.forward_t(&images, false);
            running.add(&self.loss.forward(&logits, &targets), &logits, &targets);
            reporter.batch_done(None);
        }
        reporter.phase_finished();
        Ok(Some(running.totals()))
    }

    fn to_device(&self, batch: &Batch) -> (Tensor, Tensor) {
        (batch.images.to_device(self.device), batch.targets.to_device(self.device))
    }

    fn check_finite(&self, loss: &Tensor, batch: &Batch) -> Result<(), TrainError> {
        let value = loss.double_value(&[]);
        if value.is_finite() {
            return Ok(());
        }
        let pictures = batch
            .indices
            .iter()
            .filter_map(|&index| self.train_index.samples.get(index))
            .map(|sample| sample.path.display().to_string())
            .collect();
        Err(TrainError::NotFinite {
            loss: value,
            epoch: self.state.epoch + 1,
            step: self.state.step,
            lr: self.schedule.lr(self.state.step),
            pictures,
        })
    }

    fn interrupted(&mut self, run: &Run) -> Result<Outcome, TrainError> {
        self.save(run, false)?;
        Ok(Outcome::Interrupted)
    }

    /// Writes `best.pt` first: killed between the two, a resumed run repeats the epoch and writes the same.
    fn save(&self, run: &Run, improved: bool) -> Result<(), TrainError> {
        if improved {
            self.snapshot()?.save(&run.best_path())?;
        }
        Ok(self.snapshot()?.save(&run.last_path())?)
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
    /// The checkpoint is of another network, class list, optimizer, seed or data set size.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        build::restore(self, checkpoint)
    }
}
