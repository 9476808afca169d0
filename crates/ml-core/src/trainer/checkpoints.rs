//! Which files a trainer's checkpoints become, and when.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::state::TrainState;
use super::{Ended, ResumeMode, TrainError, Trainer};
use crate::checkpoint::{AsyncWriter, Checkpoint, CheckpointError, CheckpointPaths, WriteStats};
use crate::config::Config;
use crate::policy::{Action, Cadence, CheckpointConfig, DivergenceState};
use crate::run::{Run, RunError};

/// A pause longer than this is worth a line.
const LONG_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct CheckpointManager<'a> {
    run: &'a Run,
    config: CheckpointConfig,
    /// Whether `rollback.pt` is kept: the newest anchor (see [`DivergenceState::is_anchor`]).
    keeps_anchor: bool,
    cadence: Cadence,
    writer: AsyncWriter,
    /// Where the newest saved state stands.
    saved_at: Option<(u64, u64, u64)>,
}

/// Epochs, steps, and batches of the current epoch.
fn position(state: &TrainState) -> (u64, u64, u64) {
    (state.epoch, state.step, state.batch_in_epoch)
}

impl<'a> CheckpointManager<'a> {
    pub(super) fn start(run: &'a Run, config: &Config) -> Result<CheckpointManager<'a>, TrainError> {
        let checkpoint = config.training.checkpoint.clone();
        Ok(CheckpointManager {
            run,
            keeps_anchor: config.training.divergence.action == Action::Rollback,
            cadence: Cadence::new(&checkpoint, Instant::now()),
            config: checkpoint,
            writer: AsyncWriter::start().map_err(TrainError::Thread)?,
            saved_at: None,
        })
    }

    /// Puts the files in order before the first step. A state that is not yet the run's `last.pt`
    /// becomes it; one that is gets the names that it stands for again, in case the process before
    /// was killed between writing it and naming it. A run that may roll back has something to roll
    /// back to from the start.
    pub(super) fn begin(&mut self, trainer: &mut Trainer) -> Result<(), TrainError> {
        let needs_anchor =
            self.keeps_anchor && (trainer.state.step == 0 || !self.run.rollback_path().exists());
        if trainer.is_unsaved || needs_anchor {
            let names = self.names(trainer)?;
            self.save(trainer, names, true)?;
            trainer.is_unsaved = false;
        } else if trainer.state.step > 0 {
            self.saved_at = Some(position(&trainer.state));
            for path in self.names(trainer)?.into_iter().chain(self.anchor(&trainer.state)) {
                atomic_file::also_name(&self.run.last_path(), &path)
                    .map_err(|source| RunError::Write { path, source })?;
            }
            for path in self.out_of_date(&trainer.state)? {
                std::fs::remove_file(&path).map_err(|source| RunError::Write { path, source })?;
            }
        }
        Ok(())
    }

    /// What a state at the end of an epoch is called if that epoch is among the best.
    fn names(&self, trainer: &Trainer) -> Result<Vec<PathBuf>, RunError> {
        let TrainState { epoch, batch_in_epoch, ranking, .. } = &trainer.state;
        let rank = ranking.epochs.iter().position(|ranked| ranked.epoch == *epoch && *batch_in_epoch == 0);
        let mut names = Vec::new();
        if rank == Some(0) {
            names.push(self.run.best_path());
        }
        if rank.is_some() && self.config.keep_top_k > 1 {
            names.push(self.run.make_kept_path(*epoch)?);
        }
        Ok(names)
    }

    fn anchor(&self, state: &TrainState) -> Option<PathBuf> {
        (self.keeps_anchor && state.divergence.is_anchor).then(|| self.run.rollback_path())
    }

    /// Whether a checkpoint is due after `step`, and if so whether by the step alone.
    pub(super) fn is_due(&self, step: u64) -> Option<bool> {
        if self.cadence.is_due_at(step) {
            return Some(true);
        }
        self.cadence.is_due_by(Instant::now()).then_some(false)
    }

    /// Saves an epoch that is among the best, or after which a checkpoint is due.
    pub(super) fn after_epoch(&mut self, trainer: &mut Trainer) -> Result<(), TrainError> {
        let names = self.names(trainer)?;
        let due = self.config.is_due_after_epoch(trainer.state.epoch) || trainer.outcome().is_some();
        if due || !names.is_empty() { self.save(trainer, names, true) } else { Ok(()) }
    }

    /// Saves where a signal has stopped the run, unless that is saved already.
    pub(super) fn interrupted(&mut self, trainer: &mut Trainer) -> Result<(), TrainError> {
        if self.saved_at == Some(position(&trainer.state)) {
            return Ok(());
        }
        self.save(trainer, Vec::new(), false)
    }

    /// Saves the state as `last.pt` and under `names`, and marks it as an anchor or
    /// not.
    pub(super) fn save(
        &mut self,
        trainer: &mut Trainer,
        names: Vec<PathBuf>,
        is_anchor: bool,
    ) -> Result<(), TrainError> {
        trainer.state.divergence.is_anchor = is_anchor;
        // What the one before wrote may be what this one deletes.
        let waited = Instant::now();
        self.writer.wait()?;
        let waited = waited.elapsed();
        let files = CheckpointPaths {
            previous: self.run.previous_path(),
            last: self.run.last_path(),
            names: names.into_iter().chain(self.anchor(&trainer.state)).collect(),
            delete: self.out_of_date(&trainer.state)?,
        };
        let pause = self.writer.save(trainer.snapshot()?, files)?;
        self.saved_at = Some(position(&trainer.state));
        self.cadence.restart(Instant::now());
        tracing::debug!(
            "checkpoint at step {}: training paused {:.1} ms",
            trainer.state.step,
            (waited + pause).as_secs_f64() * 1e3
        );
        if waited > LONG_PAUSE {
            tracing::warn!(
                "training stood still for {:.1} s while the checkpoint before was being written; a larger \
                 training.checkpoint.every_steps or a faster disk would help",
                waited.as_secs_f64()
            );
        }
        Ok(())
    }

    /// Kept epochs that are no longer among the best.
    fn out_of_date(&self, state: &TrainState) -> Result<Vec<PathBuf>, RunError> {
        let kept: Vec<u64> = state.ranking.epochs.iter().map(|ranked| ranked.epoch).collect();
        let found = self.run.kept_epochs()?;
        Ok(found.into_iter().filter(|(epoch, _)| !kept.contains(epoch)).map(|(_, path)| path).collect())
    }

    /// Whether a checkpoint could not be written meanwhile; does not wait.
    pub(super) fn check(&mut self) -> Result<(), CheckpointError> {
        self.writer.check()
    }

    /// Waits until everything is written.
    pub(super) fn finish(mut self) -> Result<WriteStats, CheckpointError> {
        self.writer.wait()?;
        Ok(self.writer.stats())
    }
}

impl Trainer {
    /// Back to the last anchor, with a lower learning rate.
    pub(super) fn roll_back<T>(
        &mut self,
        checkpoints: &mut CheckpointManager<'_>,
    ) -> Result<Ended<T>, TrainError> {
        checkpoints.writer.wait()?;
        let DivergenceState { times, lr_scale, .. } = self.state.divergence;
        let lr_scale = lr_scale * self.config.training.divergence.lr_factor;
        self.restore(&Checkpoint::load(&checkpoints.run.rollback_path())?, ResumeMode::Exact)?;
        self.state.divergence = DivergenceState { times: times + 1, lr_scale, is_anchor: false };
        tracing::warn!(
            "rolled back to epoch {}, step {}; the learning rate is multiplied by {lr_scale} from here on",
            self.state.epoch + 1,
            self.state.step
        );
        Ok(Ended::RolledBack)
    }
}
