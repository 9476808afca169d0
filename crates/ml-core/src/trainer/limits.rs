//! Where a training ends that `training.max_steps` or `training.max_time` limits: after a number of
//! optimizer steps that schedules span.
//!
//! With a time limit that number is estimated from the time that steps have taken, again and again.
//! The clock of rank 0 decides for all processes. What was decided is in [`TrainState`], so that the
//! learning rate is a function of the state alone.

use std::time::{Duration, Instant};

use torch_file::{Field, Value, ValueError};

use super::{TrainError, TrainState, Trainer};
use crate::checkpoint::Checkpoint;
use crate::policy::{TimeBudget, TimeLimit};

/// The first steps of a process, which are slower than others, do not count.
const WARM_UP: u64 = 3;
/// Steps that make an estimate.
const MEASURED: u64 = 10;
/// Share of the limit after which it is estimated anew.
const INTERVAL: f64 = 0.005;
/// Share of the limit after which the first estimate is made of fewer steps.
const FIRST: f64 = 0.05;
/// A forward pass takes this share of a training step.
pub(super) const FORWARD: f64 = 1.0 / 3.0;
/// The key of a [`TimeBudget`] in checkpoints.
const TIME: &str = "time_budget";
/// The key of the steps that cut epochs lack.
const MISSING: &str = "missing_steps";

/// The clock of this process, and the steps that it measures.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Since when time passes that the state does not have yet; none while nothing is trained.
    running: Option<Instant>,
    /// Since when steps are being measured; none between the training of two epochs.
    began: Option<Instant>,
    /// Seconds of the steps that are measured, those since `began` left out.
    seconds: f64,
    /// How many they are.
    steps: u64,
    /// Steps of this process.
    done: u64,
    /// How long the last checkpoint after an epoch kept the training.
    saving: Duration,
}

impl Pace {
    /// Measures anew from here on.
    fn restart(&mut self) {
        self.began = self.began.map(|_| Instant::now());
        self.seconds = 0.0;
        self.steps = 0;
    }

    pub(super) fn step_done(&mut self) {
        self.done += 1;
        self.steps += 1;
        if self.done == WARM_UP {
            self.restart();
        }
    }

    /// How long the steps took so far, and what each of them took.
    fn measured(&self) -> Option<(f64, f64)> {
        let seconds = self.seconds + self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        (self.steps > 0).then_some((seconds, seconds / self.steps as f64))
    }
}

impl Trainer {
    /// Optimizer steps of the whole training where a limit says so: as many as never come where an
    /// estimate is not made yet.
    pub(super) fn step_limit(&self) -> Option<u64> {
        let of_time = self.state.time.map(|time| time.total_steps.unwrap_or(u64::MAX));
        self.config.training.max_steps.into_iter().chain(of_time).min()
    }

    /// Whether the epoch is to be cut here.
    pub(super) fn is_at_limit(&self) -> bool {
        self.step_limit().is_some_and(|limit| self.state.step >= limit)
    }

    /// Steps done of the current epoch.
    pub fn steps_in_epoch(&self) -> u64 {
        let accumulated = self.config.training.gradient_accumulation_steps * self.ranks.world().size();
        self.state.batch_in_epoch.div_ceil(accumulated as u64)
    }

    /// Epochs of the whole training, a cut one included; 0 where that is not known yet.
    pub fn num_epochs(&self) -> u64 {
        match self.step_limit() {
            None => self.config.training.num_epochs as u64,
            Some(u64::MAX) => 0,
            Some(limit) => {
                let left = limit.saturating_sub(self.state.step) + self.steps_in_epoch();
                self.state.epoch + self.steps.since(self.state.epoch).begun_epochs(left)
            }
        }
    }

    /// Batches of the current epoch that are to be trained on, as far as is known.
    pub(super) fn batches_of_epoch(&self) -> usize {
        let all = self.batches_in(self.state.epoch);
        let accumulated = self.config.training.gradient_accumulation_steps * self.ranks.world().size();
        let left = self.step_limit().map(|limit| limit.saturating_sub(self.state.step));
        let until = left.map(|left| {
            let batches = left.saturating_mul(accumulated as u64).saturating_add(self.state.batch_in_epoch);
            usize::try_from(batches).unwrap_or(usize::MAX)
        });
        until.map_or(all, |until| until.min(all))
    }

    /// Has schedules span what the state says.
    pub(super) fn follow_limit(&mut self) {
        let of_epochs = self.steps.before(self.config.training.num_epochs as u64);
        self.schedule.set_total_steps(self.step_limit().unwrap_or(of_epochs));
    }

    /// Time counts from here on.
    pub(super) fn start_clock(&mut self) {
        self.pace = Pace { running: Some(Instant::now()), ..Pace::default() };
    }

    /// Brings the time of training in the state up to date.
    pub(super) fn settle_clock(&mut self) {
        let used = self.seconds_used();
        if let Some(time) = &mut self.state.time {
            time.used_seconds = used;
        }
        if self.pace.running.is_some() {
            self.pace.running = Some(Instant::now());
        }
    }

    /// Time no longer counts.
    pub(super) fn stop_clock(&mut self) {
        self.settle_clock();
        self.pace.running = None;
    }

    /// Seconds of training so far.
    fn seconds_used(&self) -> f64 {
        let running = self.pace.running.map_or(0.0, |since| since.elapsed().as_secs_f64());
        self.state.time.map_or(0.0, |time| time.used_seconds) + running
    }

    /// Steps are measured from here on.
    pub(super) fn begin_pace(&mut self) {
        let was_broken_off = self.pace.began.replace(Instant::now()).is_some();
        if was_broken_off {
            self.pace.restart();
        }
    }

    /// Validation and checkpoint, which follow, are not among the steps.
    pub(super) fn end_pace(&mut self) {
        if let Some(began) = self.pace.began.take() {
            self.pace.seconds += began.elapsed().as_secs_f64();
        }
    }

    /// The steps of the whole training as they are estimated now, where that is due: of rank 0.
    pub(super) fn estimate(&mut self) -> Option<u64> {
        let limit = self.config.training.max_time?.seconds();
        if !self.ranks.world().is_first() {
            return None;
        }
        let time = self.state.time?;
        let used = self.seconds_used();
        if used >= limit {
            return Some(self.state.step);
        }
        let (seconds, each) = self.pace.measured()?;
        let is_due = match time.total_steps {
            None => (self.pace.steps >= MEASURED && self.pace.done > WARM_UP) || used >= FIRST * limit,
            Some(_) => self.pace.steps >= MEASURED && seconds >= INTERVAL * limit,
        };
        if !is_due {
            return None;
        }
        self.pace.restart();
        self.state.time.as_mut()?.measured(each);
        self.steps_that_fit(limit, used)
    }

    /// The steps of the whole training, by what was measured.
    fn steps_that_fit(&self, limit: f64, used: f64) -> Option<u64> {
        let time = self.state.time.filter(|time| time.step_seconds > 0.0)?;
        let per_epoch = self.steps_per_epoch() as u64;
        let end = self.epoch_end_seconds(&time);
        let left = time.steps_in(limit - used, end, self.steps_in_epoch(), per_epoch);
        Some(self.state.step.saturating_add(left))
    }

    /// Seconds of what follows an epoch; before the first has ended, by what a step takes.
    fn epoch_end_seconds(&self, time: &TimeBudget) -> f64 {
        if time.epoch_end_seconds > 0.0 {
            return time.epoch_end_seconds;
        }
        let batch = time.step_seconds / self.config.training.gradient_accumulation_steps as f64;
        let batches = self.val_loader.num_batches().div_ceil(self.ranks.world().size());
        let networks = if self.ema.is_some() { 2.0 } else { 1.0 };
        batches as f64 * batch * FORWARD * networks
    }

    /// Has the training end after `total` steps, as all processes have decided.
    ///
    /// # Errors
    /// An epoch does not fit into the time.
    pub(super) fn set_total_steps(&mut self, total: u64) -> Result<(), TrainError> {
        let (Some(limit), Some(mut time)) = (self.config.training.max_time, self.state.time) else {
            return Ok(());
        };
        let total = total.max(self.state.step);
        let (per_epoch, step) = (self.steps_per_epoch() as u64, self.state.step);
        let is_first = time.total_steps.is_none();
        if is_first && self.state.epoch == 0 && total < per_epoch {
            let used = self.seconds_used();
            let each = if time.step_seconds > 0.0 { time.step_seconds } else { used / step.max(1) as f64 };
            let needed =
                per_epoch as f64 * each + self.epoch_end_seconds(&TimeBudget { step_seconds: each, ..time });
            return Err(TrainError::TimeLimit { limit, steps: step, seconds: used, per_epoch, needed });
        }
        time.total_steps = Some(total);
        time.limit_seconds = limit.seconds();
        self.state.time = Some(time);
        self.follow_limit();
        if is_first {
            tracing::info!(
                "training.max_time: about {total} steps ({:.1} epochs) fit into {}",
                total as f64 / per_epoch as f64,
                limit.words()
            );
        } else {
            tracing::debug!("training.max_time: {total} steps after step {step}");
        }
        Ok(())
    }

    /// After an epoch is recorded, whose validation took so long: estimates anew, unless this was the
    /// last.
    ///
    /// # Errors
    /// Another process has ended.
    pub(super) fn estimate_after_epoch(&mut self, validation: Duration) -> Result<(), TrainError> {
        let Some(limit) = self.config.training.max_time else { return Ok(()) };
        if self.is_at_limit() {
            return Ok(());
        }
        // 0 where nothing is measured yet.
        let mut total = [0.0];
        if self.ranks.world().is_first() {
            total[0] = self.estimated_after_epoch(limit, validation).unwrap_or(0) as f64;
        }
        self.ranks.world().sum(&mut total)?;
        if total[0] > 0.0 { self.set_total_steps(total[0] as u64) } else { Ok(()) }
    }

    fn estimated_after_epoch(&mut self, limit: TimeLimit, validation: Duration) -> Option<u64> {
        let (used, saving) = (self.seconds_used(), self.pace.saving);
        if used >= limit.seconds() {
            return Some(self.state.step);
        }
        let time = self.state.time.as_mut()?;
        time.epoch_end_seconds = (validation + saving).as_secs_f64();
        // Few steps count only where there is nothing else.
        let is_enough = self.pace.steps >= MEASURED || time.step_seconds <= 0.0;
        if let Some((_, each)) = self.pace.measured().filter(|_| is_enough) {
            time.measured(each);
            self.pace.restart();
        }
        self.steps_that_fit(limit.seconds(), used)
    }

    /// How long the checkpoint after an epoch kept the training.
    pub(super) fn saved_in(&mut self, saving: Duration) {
        self.pace.saving = saving;
    }

    /// Says what has ended a training that is complete.
    pub(super) fn tell_limit(&self) {
        if !self.ranks.world().is_first() || !self.is_at_limit() {
            return;
        }
        let TrainState { step, time, .. } = &self.state;
        match (self.config.training.max_steps, self.config.training.max_time) {
            (Some(most), _) if *step >= most => {
                tracing::info!("ended after {step} steps (training.max_steps)");
            }
            (_, Some(limit)) => {
                let used = time.map_or(0.0, |time| time.used_seconds);
                tracing::info!(
                    "ended after {} (training.max_time): {step} steps in {used:.1} s of training",
                    limit.words()
                );
            }
            _ => {}
        }
    }

    /// Of a checkpoint: what limits need to know.
    pub(super) fn limits_to_entries(&self) -> Vec<(&'static str, Value)> {
        let missing = self.state.missing_steps;
        let missing = (missing > 0).then(|| (MISSING, Value::Int(missing as i64)));
        missing.into_iter().chain(self.state.time.map(|time| (TIME, time_to_value(time)))).collect()
    }

    /// Takes from `checkpoint` what limits need to know, as far as this training has limits.
    pub(super) fn limits_from(
        &self,
        checkpoint: &Checkpoint,
        state: &mut TrainState,
    ) -> Result<(), ValueError> {
        let entry = |name: &'static str| checkpoint.extra.iter().find(|(key, _)| *key == name.into());
        state.missing_steps =
            entry(MISSING).map(|(_, value)| value.field().as_u64()).transpose()?.unwrap_or(0);
        let stored = entry(TIME).map(|(_, value)| time_from(&value.field())).transpose()?;
        state.time = self.config.training.max_time.map(|_| stored.unwrap_or_default());
        Ok(())
    }

    /// Where the limit is another than the one that the restored state was decided for: decides by
    /// what was measured then.
    pub(super) fn decide_for_other_limit(&mut self) {
        let (Some(limit), Some(time)) = (self.config.training.max_time, self.state.time) else { return };
        let limit = limit.seconds();
        if time.total_steps.is_some() && time.limit_seconds != limit {
            let total = self.steps_that_fit(limit, time.used_seconds);
            if let Some(time) = &mut self.state.time {
                time.total_steps = total;
                time.limit_seconds = limit;
            }
        }
    }
}

fn time_to_value(time: TimeBudget) -> Value {
    let TimeBudget { limit_seconds, used_seconds, step_seconds, epoch_end_seconds, total_steps } = time;
    let total = total_steps.map_or(Value::None, |steps| Value::Int(steps as i64));
    Value::dict([
        ("limit_seconds", Value::Float(limit_seconds)),
        ("used_seconds", Value::Float(used_seconds)),
        ("step_seconds", Value::Float(step_seconds)),
        ("epoch_end_seconds", Value::Float(epoch_end_seconds)),
        ("total_steps", total),
    ])
}

fn time_from(field: &Field<'_>) -> Result<TimeBudget, ValueError> {
    Ok(TimeBudget {
        limit_seconds: field.get("limit_seconds")?.as_f64()?,
        used_seconds: field.get("used_seconds")?.as_f64()?,
        step_seconds: field.get("step_seconds")?.as_f64()?,
        epoch_end_seconds: field.get("epoch_end_seconds")?.as_f64()?,
        total_steps: field.optional("total_steps")?.map(|steps| steps.as_u64()).transpose()?,
    })
}
