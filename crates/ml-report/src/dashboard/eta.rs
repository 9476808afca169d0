//! Completed epochs and the current phase → how long the epoch and the whole run will take.
//!
//! In: a [`Dashboard`] and the time. Out: seconds, none where there is nothing to go by.

use std::time::Instant;

use super::phase::{Phase, PhaseProgress};
use super::state::Dashboard;

impl Dashboard {
    /// Mean seconds of the epochs that were completed in this process.
    pub fn mean_epoch_seconds(&self) -> Option<f64> {
        let seconds = self.epochs.iter().filter_map(|epoch| Some(epoch.time?.elapsed.as_secs_f64()));
        let (sum, count) = seconds.fold((0.0, 0_u32), |(sum, count), seconds| (sum + seconds, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Epochs that are completed, those of earlier processes included.
    pub fn epochs_completed(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// Seconds until the current epoch ends: the mean of completed epochs less what has passed, and
    /// no less than what its phase will take; before the first epoch ends, what its phase will
    /// take. None between epochs, and before the first batch of the first epoch.
    pub fn epoch_seconds_left(&self, now: Instant) -> Option<f64> {
        let phase = self.phase_of_epoch()?;
        let phase_left = phase.seconds_left(now);
        match self.mean_epoch_seconds() {
            // What an earlier process did of this epoch is not in what has passed.
            Some(mean) if !phase.is_resumed() => {
                Some((mean - self.seconds_of_epoch(now)).max(phase_left.unwrap_or(0.0)))
            }
            Some(_) | None => phase_left,
        }
    }

    /// Seconds until the whole run ends, evaluation after training left out: the current epoch's,
    /// and for each epoch after it the mean of those completed; before the first epoch ends, what
    /// this one will take by its batches. After training, until the evaluation ends.
    pub fn run_seconds_left(&self, now: Instant) -> Option<f64> {
        if let Some(phase) = self.phase.as_ref().filter(|phase| phase.phase == Phase::Evaluate) {
            return phase.seconds_left(now);
        }
        // A training that a limit ends has a number of epochs once one is done.
        if self.info.num_epochs == 0 {
            return None;
        }
        let left = self.info.num_epochs.saturating_sub(self.epochs_completed()) as f64;
        let Some(phase) = self.phase_of_epoch() else { return Some(self.mean_epoch_seconds()? * left) };
        let this_epoch = self.epoch_seconds_left(now)?;
        let each = match (self.mean_epoch_seconds(), phase.phase) {
            (Some(mean), _) => mean,
            (None, Phase::Train) => phase.seconds_in_all()?,
            (None, _) => self.seconds_of_epoch(now) + this_epoch,
        };
        Some(this_epoch + each * (left - 1.0).max(0.0))
    }

    /// Share of the run's epochs that is done, in `0..=1`; training counts, validation does not.
    pub fn run_fraction(&self) -> f64 {
        if self.info.num_epochs == 0 {
            return 0.0;
        }
        let current = self.phase_of_epoch().map_or(0.0, |phase| match phase.phase {
            Phase::Train => phase.fraction(),
            _ => 1.0,
        });
        ((self.epochs_completed() as f64 + current) / self.info.num_epochs as f64).min(1.0)
    }

    /// The current phase, if an epoch is under way.
    fn phase_of_epoch(&self) -> Option<&PhaseProgress> {
        self.epoch_started?;
        self.phase.as_ref().filter(|phase| matches!(phase.phase, Phase::Train | Phase::Validate))
    }

    fn seconds_of_epoch(&self, now: Instant) -> f64 {
        let started = self.epoch_started;
        started.map_or(0.0, |started| now.saturating_duration_since(started).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dashboard::state::{Epoch, EpochTime, RunInfo};

    struct Clock(Instant);

    impl Clock {
        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    fn epoch(number: u64, seconds: Option<u64>) -> Epoch {
        let time = |seconds| EpochTime { elapsed: Duration::from_secs(seconds), waited: Duration::ZERO };
        Epoch {
            epoch: number,
            train_loss: 1.0,
            train_accuracy: 0.5,
            val_loss: 1.0,
            val_accuracy: 0.5,
            lr: 0.1,
            improved: false,
            time: seconds.map(time),
        }
    }

    fn run(num_epochs: u64, history: Vec<Epoch>) -> (Dashboard, Clock) {
        let clock = Clock(Instant::now());
        let mut dashboard = Dashboard::new(clock.at(0));
        dashboard.run_started(RunInfo { num_epochs, ..RunInfo::default() }, history);
        (dashboard, clock)
    }

    #[test]
    fn the_first_epoch_is_estimated_by_its_batches() {
        let (mut dashboard, clock) = run(4, Vec::new());
        assert_eq!(dashboard.run_seconds_left(clock.at(1)), None);
        dashboard.phase_started(Phase::Train, 0, 100, 0, clock.at(10));
        assert_eq!(dashboard.epoch_seconds_left(clock.at(11)), None);
        dashboard.batches_done(25, None, clock.at(35));
        // 1 s a batch: 75 s of this epoch, and 100 s for each of three.
        assert_eq!(dashboard.epoch_seconds_left(clock.at(40)), Some(70.0));
        assert_eq!(dashboard.run_seconds_left(clock.at(40)), Some(370.0));
        assert_eq!(dashboard.run_fraction(), 0.0625);
        dashboard.batches_done(75, None, clock.at(110));
        dashboard.phase_finished();
        dashboard.phase_started(Phase::Validate, 0, 20, 0, clock.at(110));
        dashboard.batches_done(10, None, clock.at(115));
        // 105 s of the epoch have passed and 5 s are left.
        assert_eq!(dashboard.epoch_seconds_left(clock.at(115)), Some(5.0));
        assert_eq!(dashboard.run_seconds_left(clock.at(115)), Some(5.0 + 3.0 * 110.0));
        assert_eq!(dashboard.run_fraction(), 0.25);
    }

    #[test]
    fn later_epochs_are_estimated_by_the_mean_of_those_completed() {
        let (mut dashboard, clock) = run(5, Vec::new());
        dashboard.epoch_finished(epoch(1, Some(100)));
        dashboard.epoch_finished(epoch(2, Some(60)));
        assert_eq!(dashboard.run_seconds_left(clock.at(0)), Some(3.0 * 80.0));
        assert_eq!(dashboard.epoch_seconds_left(clock.at(0)), None);
        dashboard.phase_started(Phase::Train, 2, 10, 0, clock.at(0));
        assert_eq!(dashboard.epoch_seconds_left(clock.at(30)), Some(50.0));
        assert_eq!(dashboard.run_seconds_left(clock.at(30)), Some(50.0 + 2.0 * 80.0));
        // A slower epoch takes at least what is left of its batches.
        dashboard.batches_done(1, None, clock.at(30));
        assert_eq!(dashboard.epoch_seconds_left(clock.at(30)), Some(270.0));
        dashboard.epoch_finished(epoch(5, Some(80)));
        assert_eq!(dashboard.run_seconds_left(clock.at(400)), Some(0.0));
        dashboard.phase_started(Phase::Evaluate, 4, 10, 0, clock.at(400));
        dashboard.batches_done(5, None, clock.at(405));
        assert_eq!(dashboard.run_seconds_left(clock.at(405)), Some(5.0));
        assert_eq!(dashboard.run_fraction(), 1.0);
    }

    #[test]
    fn a_resumed_run_has_epochs_without_times_and_a_part_of_one() {
        let (mut dashboard, clock) = run(4, vec![epoch(1, None)]);
        assert_eq!(dashboard.run_seconds_left(clock.at(0)), None);
        dashboard.phase_started(Phase::Train, 1, 100, 50, clock.at(0));
        dashboard.batches_done(10, None, clock.at(20));
        assert_eq!(dashboard.epoch_seconds_left(clock.at(20)), Some(80.0));
        assert_eq!(dashboard.run_seconds_left(clock.at(20)), Some(80.0 + 2.0 * 200.0));
        assert_eq!(dashboard.run_fraction(), 0.4);
    }
}
