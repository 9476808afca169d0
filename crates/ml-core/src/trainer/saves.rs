//! Which files a trainer's checkpoints become, and when.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::state::TrainState;
use super::{Changes, TrainError, Trained, Trainer};
use crate::checkpoint::{Checkpoint, CheckpointError, SaveAs, SaveStats, Saver};
use crate::config::Config;
use crate::policy::{Action, Cadence, CheckpointConfig, DivergenceState};
use crate::run::{Run, RunError};

/// A pause longer than this is worth a line.
const LONG_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Saves<'a> {
    run: &'a Run,
    config: CheckpointConfig,
    /// Whether `rollback.pt` is kept: the newest anchor (see [`DivergenceState::is_anchor`]).
    keeps_anchor: bool,
    cadence: Cadence,
    saver: Saver,
}

impl<'a> Saves<'a> {
    pub(super) fn start(run: &'a Run, config: &Config) -> Result<Saves<'a>, TrainError> {
        let checkpoint = config.training.checkpoint.clone();
        Ok(Saves {
            run,
            keeps_anchor: config.training.divergence.action == Action::Rollback,
            cadence: Cadence::new(&checkpoint, Instant::now()),
            config: checkpoint,
            saver: Saver::start().map_err(TrainError::Thread)?,
        })
    }

    /// A run that may roll back has something to roll back to from the start. Killed after `last.pt` was written and
    /// before `rollback.pt` was, or resumed from another file than `last.pt`, it writes both again.
    pub(super) fn begin(&mut self, trainer: &mut Trainer) -> Result<(), TrainError> {
        let is_anchor = trainer.state.step == 0 || trainer.state.divergence.is_anchor;
        if self.keeps_anchor && (is_anchor || !self.run.rollback_path().exists()) {
            self.save(trainer, Vec::new(), true)?;
        }
        Ok(())
    }

    /// Whether a checkpoint is due after `step`, and if so whether by the step alone.
    pub(super) fn is_due(&self, step: u64) -> Option<bool> {
        if self.cadence.is_due_at(step) {
            return Some(true);
        }
        self.cadence.is_due_by(Instant::now()).then_some(false)
    }

    /// `place`: the epoch's place among the best, if it is one of those to keep.
    pub(super) fn after_epoch(
        &mut self,
        trainer: &mut Trainer,
        place: Option<usize>,
    ) -> Result<(), TrainError> {
        let epoch = trainer.state.epoch;
        let mut names = Vec::new();
        if place == Some(0) {
            names.push(self.run.best_path());
        }
        if place.is_some() && self.config.keep_top_k > 1 {
            names.push(self.run.make_kept_path(epoch)?);
        }
        let due = self.config.is_due_after_epoch(epoch) || trainer.outcome().is_some();
        if due || !names.is_empty() { self.save(trainer, names, true) } else { Ok(()) }
    }

    /// Saves the state as `last.pt`, and under the names `before`.
    pub(super) fn save(
        &mut self,
        trainer: &mut Trainer,
        before: Vec<PathBuf>,
        anchor: bool,
    ) -> Result<(), TrainError> {
        trainer.state.divergence.is_anchor = anchor;
        let files = SaveAs {
            before,
            previous: self.run.previous_path(),
            last: self.run.last_path(),
            after: if anchor && self.keeps_anchor { vec![self.run.rollback_path()] } else { Vec::new() },
            delete: self.out_of_date(&trainer.state)?,
        };
        let pause = self.saver.save(trainer.snapshot()?, files)?;
        self.cadence.restart(Instant::now());
        tracing::debug!(
            "checkpoint at step {}: training paused {:.1} ms",
            trainer.state.step,
            pause.as_secs_f64() * 1e3
        );
        if pause > LONG_PAUSE {
            tracing::warn!(
                "training stood still for {:.1} s while the checkpoint before was being written; a larger \
                 training.checkpoint.every_steps or a faster disk would help",
                pause.as_secs_f64()
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
        self.saver.check()
    }

    /// Waits until everything is written.
    pub(super) fn finish(mut self) -> Result<SaveStats, CheckpointError> {
        self.saver.wait()?;
        Ok(self.saver.stats())
    }
}

impl Trainer {
    /// Back to the last anchor, with a lower learning rate.
    pub(super) fn roll_back(&mut self, saves: &mut Saves<'_>) -> Result<Trained, TrainError> {
        saves.saver.wait()?;
        let DivergenceState { times, lr_scale, .. } = self.state.divergence;
        let lr_scale = lr_scale * self.config.training.divergence.lr_factor;
        self.restore(&Checkpoint::load(&saves.run.rollback_path())?, Changes::Refused)?;
        self.state.divergence = DivergenceState { times: times + 1, lr_scale, is_anchor: false };
        tracing::warn!(
            "rolled back to epoch {}, step {}; the learning rate is multiplied by {lr_scale} from here on",
            self.state.epoch + 1,
            self.state.step
        );
        Ok(Trained::RolledBack)
    }
}
