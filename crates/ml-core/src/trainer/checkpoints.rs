//! Which files a trainer's checkpoints become, and when.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::state::TrainState;
use super::{Ended, ResumeMode, TrainError, Trainer, build};
use crate::checkpoint::{AsyncWriter, Checkpoint, CheckpointError, CheckpointPaths, WriteStats};
use crate::config::Config;
use crate::distributed::Place;
use crate::policy::{Action, Cadence, CheckpointConfig, DivergenceState};
use crate::run::{Run, RunError};

/// A pause longer than this is worth a line.
const LONG_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct CheckpointManager<'a> {
    /// None in a process that writes nothing.
    files: Option<Files<'a>>,
    config: CheckpointConfig,
    /// Whether `rollback.pt` is kept: the newest anchor (see [`DivergenceState::is_anchor`]).
    keeps_anchor: bool,
    cadence: Cadence,
    /// Where the newest saved state stands.
    saved_at: Option<(u64, u64, u64)>,
}

/// Where checkpoints are written.
struct Files<'a> {
    run: &'a Run,
    writer: AsyncWriter,
}

/// Epochs, steps, and batches of the current epoch.
fn position(state: &TrainState) -> (u64, u64, u64) {
    (state.epoch, state.step, state.batch_in_epoch)
}

impl<'a> CheckpointManager<'a> {
    /// Without a run, another process writes.
    pub(super) fn start(run: Option<&'a Run>, config: &Config) -> Result<CheckpointManager<'a>, TrainError> {
        let checkpoint = config.training.checkpoint.clone();
        let files = |run| AsyncWriter::start().map(|writer| Files { run, writer });
        Ok(CheckpointManager {
            files: run.map(files).transpose().map_err(TrainError::Thread)?,
            keeps_anchor: config.training.divergence.action == Action::Rollback,
            cadence: Cadence::new(&checkpoint, Instant::now()),
            config: checkpoint,
            saved_at: None,
        })
    }

    /// Puts the files in order before the first step. A state that is not yet the run's `last.pt`
    /// becomes it; one that is gets the names that it stands for again, in case the process before
    /// was killed between writing it and naming it. A run that may roll back has something to roll
    /// back to from the start.
    pub(super) fn begin(&mut self, trainer: &mut Trainer) -> Result<(), TrainError> {
        if let Some(Files { run, .. }) = &self.files {
            match trainer.state.swa {
                Some(swa) if swa.is_best && run.swa_path().exists() => run.take_average()?,
                Some(_) => {}
                // The average was that of a shorter run, or its end is not in the state.
                None => run.take_best_epoch()?,
            }
        }
        let has_no_anchor = self.files.as_ref().is_some_and(|files| !files.run.rollback_path().exists());
        let needs_anchor = self.keeps_anchor && (trainer.state.step == 0 || has_no_anchor);
        if trainer.world().any(trainer.is_unsaved || needs_anchor)? {
            self.save(trainer, true)?;
            trainer.is_unsaved = false;
        } else if trainer.state.step > 0 {
            self.saved_at = Some(position(&trainer.state));
            let Some(Files { run, .. }) = &self.files else { return Ok(()) };
            for path in self.names(run, trainer)?.into_iter().chain(self.anchor(run, &trainer.state)) {
                atomic_file::also_name(&run.last_path(), &path)
                    .map_err(|source| RunError::Write { path, source })?;
            }
            for path in out_of_date(run, &trainer.state)? {
                std::fs::remove_file(&path).map_err(|source| RunError::Write { path, source })?;
            }
        }
        Ok(())
    }

    /// What a state at the end of an epoch is called if that epoch is among the best.
    fn names(&self, run: &Run, trainer: &Trainer) -> Result<Vec<PathBuf>, RunError> {
        let rank = rank_of(&trainer.state);
        let mut names = Vec::new();
        if rank == Some(0) && !trainer.state.swa.is_some_and(|swa| swa.is_best) {
            names.push(run.best_path());
        }
        if rank.is_some() && self.config.keep_top_k > 1 {
            names.push(run.make_kept_path(trainer.state.epoch)?);
        }
        Ok(names)
    }

    fn anchor(&self, run: &Run, state: &TrainState) -> Option<PathBuf> {
        (self.keeps_anchor && state.divergence.is_anchor).then(|| run.rollback_path())
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
        let due = self.config.is_due_after_epoch(trainer.state.epoch) || trainer.ended().is_some();
        if due || rank_of(&trainer.state).is_some() { self.save(trainer, true) } else { Ok(()) }
    }

    /// Saves where a signal has stopped the run, unless that is saved already.
    pub(super) fn interrupted(&mut self, trainer: &mut Trainer) -> Result<(), TrainError> {
        if self.saved_at == Some(position(&trainer.state)) {
            return Ok(());
        }
        self.save(trainer, false)
    }

    /// Saves the state as `last.pt` and under what it is called besides, and marks it as an anchor or
    /// not. All processes call it, and one writes.
    pub(super) fn save(&mut self, trainer: &mut Trainer, is_anchor: bool) -> Result<(), TrainError> {
        trainer.state.divergence.is_anchor = is_anchor;
        trainer.settle_clock();
        trainer.world().at(Place::Saving);
        let running = trainer.ranks.all_sums(trainer.state.running)?;
        let Some(run) = self.files.as_ref().map(|files| files.run) else {
            self.saved(&trainer.state);
            return Ok(());
        };
        let mut names = self.names(run, trainer)?;
        names.extend(self.anchor(run, &trainer.state));
        let Some(Files { writer, .. }) = &mut self.files else { return Ok(()) };
        // What the one before wrote may be what this one deletes.
        let waited = Instant::now();
        writer.wait()?;
        let waited = waited.elapsed();
        let files = CheckpointPaths {
            previous: run.previous_path(),
            last: run.last_path(),
            names,
            delete: out_of_date(run, &trainer.state)?,
        };
        let pause = writer.save(build::snapshot(trainer, &running)?, files)?;
        self.saved(&trainer.state);
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

    /// Saves the average of the last epochs as `swa.pt`, where this process writes.
    pub(super) fn save_average(&self, trainer: &Trainer) -> Result<(), TrainError> {
        if let (Some(Files { run, .. }), Some(swa)) = (&self.files, &trainer.swa) {
            build::averaged(trainer, swa)?.save(&run.swa_path())?;
        }
        Ok(())
    }

    /// Saves the state at the very end, and gives the average its name where it is the best.
    pub(super) fn save_with_average(&mut self, trainer: &mut Trainer) -> Result<(), TrainError> {
        self.save(trainer, true)?;
        let Some(Files { run, writer }) = &mut self.files else { return Ok(()) };
        writer.wait()?;
        if trainer.state.swa.is_some_and(|swa| swa.is_best) {
            run.take_average()?;
        }
        Ok(())
    }

    fn saved(&mut self, state: &TrainState) {
        self.saved_at = Some(position(state));
        self.cadence.restart(Instant::now());
    }

    /// Whether a checkpoint could not be written meanwhile; does not wait.
    pub(super) fn check(&mut self) -> Result<(), CheckpointError> {
        self.files.as_mut().map_or(Ok(()), |files| files.writer.check())
    }

    /// Waits until everything is written.
    pub(super) fn finish(self) -> Result<WriteStats, CheckpointError> {
        let Some(Files { mut writer, .. }) = self.files else { return Ok(WriteStats::default()) };
        writer.wait()?;
        Ok(writer.stats())
    }
}

/// Which of the best epochs the state stands at the end of, if it is one.
fn rank_of(state: &TrainState) -> Option<usize> {
    let TrainState { epoch, batch_in_epoch, ranking, .. } = state;
    ranking.epochs.iter().position(|ranked| ranked.epoch == *epoch && *batch_in_epoch == 0)
}

/// Kept epochs that are no longer among the best.
fn out_of_date(run: &Run, state: &TrainState) -> Result<Vec<PathBuf>, RunError> {
    let kept: Vec<u64> = state.ranking.epochs.iter().map(|ranked| ranked.epoch).collect();
    let found = run.kept_epochs()?;
    Ok(found.into_iter().filter(|(epoch, _)| !kept.contains(epoch)).map(|(_, path)| path).collect())
}

impl Trainer {
    /// Back to the last anchor, with a lower learning rate.
    pub(super) fn roll_back<T>(
        &mut self,
        checkpoints: &mut CheckpointManager<'_>,
    ) -> Result<Ended<T>, TrainError> {
        let DivergenceState { times, lr_scale, .. } = self.state.divergence;
        let lr_scale = lr_scale * self.config.training.divergence.lr_factor;
        // The time of the steps that are given up has passed.
        self.settle_clock();
        let time = self.state.time;
        if let Some(Files { run, writer }) = &mut checkpoints.files {
            writer.wait()?;
            self.restore(&Checkpoint::load(&run.rollback_path())?, ResumeMode::Exact)?;
            self.state.time = time;
            self.follow_limit();
        }
        self.synchronise()?;
        self.state.divergence = DivergenceState { times: times + 1, lr_scale, is_anchor: false };
        tracing::warn!(
            "rolled back to epoch {}, step {}; the learning rate is multiplied by {lr_scale} from here on",
            self.state.epoch + 1,
            self.state.step
        );
        Ok(Ended::RolledBack)
    }
}
