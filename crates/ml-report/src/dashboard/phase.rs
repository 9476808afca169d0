//! Batches that are done → how far a phase is, how fast, and how long it will take.
//!
//! In: counts of batches with the time they were reported at. Out: fractions, rates, seconds.

use std::time::{Duration, Instant};

pub use ml_core::trainer::Phase;

/// One phase, from its first batch to its last.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseProgress {
    /// Which.
    pub phase: Phase,
    /// The epoch that it belongs to, counted from 0.
    pub epoch: u64,
    /// Batches in all.
    pub num_batches: usize,
    /// Batches that are done.
    pub done: usize,
    /// Running mean of the loss, once it was reported.
    pub loss: Option<f64>,
    /// Running accuracy, a fraction, once it was reported.
    pub accuracy: Option<f64>,
    /// Of them, batches that an earlier process did.
    first: usize,
    started: Instant,
    /// When the latest batches were reported.
    latest: Instant,
    finished: bool,
}

impl PhaseProgress {
    /// A phase of `num_batches` batches, of which `first` are done already.
    pub fn new(phase: Phase, epoch: u64, num_batches: usize, first: usize, now: Instant) -> PhaseProgress {
        let first = first.min(num_batches);
        PhaseProgress {
            phase,
            epoch,
            num_batches,
            done: first,
            loss: None,
            accuracy: None,
            first,
            started: now,
            latest: now,
            finished: false,
        }
    }

    pub(super) fn add(&mut self, count: usize, metrics: Option<(f64, f64)>, now: Instant) {
        self.done = self.done.saturating_add(count).min(self.num_batches);
        self.latest = now;
        if let Some((loss, accuracy)) = metrics {
            self.loss = Some(loss);
            self.accuracy = Some(accuracy);
        }
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether an earlier process did its first batches.
    pub(super) fn is_resumed(&self) -> bool {
        self.first > 0
    }

    /// Whether all of it is done.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Mean seconds from batch to batch since the phase started; none before its first batch.
    pub fn seconds_per_batch(&self) -> Option<f64> {
        let seconds = self.latest.saturating_duration_since(self.started).as_secs_f64();
        let batches = self.done - self.first;
        (batches > 0 && seconds > 0.0).then(|| seconds / batches as f64)
    }

    /// Images a second, if each batch holds `batch_size`.
    pub fn images_per_second(&self, batch_size: usize) -> Option<f64> {
        self.seconds_per_batch().map(|seconds| batch_size as f64 / seconds)
    }

    /// Share of the batches that is done, in `0..=1`.
    pub fn fraction(&self) -> f64 {
        if self.finished || self.num_batches == 0 {
            return if self.finished { 1.0 } else { 0.0 };
        }
        self.done as f64 / self.num_batches as f64
    }

    /// Seconds until the last batch, at the mean rate so far; none before the first batch.
    pub fn seconds_left(&self, now: Instant) -> Option<f64> {
        if self.finished {
            return Some(0.0);
        }
        let left = self.seconds_per_batch()? * (self.num_batches - self.done) as f64;
        let since: Duration = now.saturating_duration_since(self.latest);
        Some((left - since.as_secs_f64()).max(0.0))
    }

    /// Seconds for all its batches, those of an earlier process included, at the mean rate so far.
    pub(super) fn seconds_in_all(&self) -> Option<f64> {
        self.seconds_per_batch().map(|seconds| seconds * self.num_batches as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_only_batches_of_this_process() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut phase = PhaseProgress::new(Phase::Train, 0, 100, 40, start);
        assert_eq!(
            (phase.fraction(), phase.seconds_per_batch(), phase.seconds_left(at(5))),
            (0.4, None, None)
        );
        phase.add(10, Some((0.5, 0.75)), at(20));
        phase.add(10, None, at(40));
        assert_eq!((phase.fraction(), phase.loss, phase.accuracy), (0.6, Some(0.5), Some(0.75)));
        assert_eq!(phase.seconds_per_batch(), Some(2.0));
        assert_eq!(phase.images_per_second(32), Some(16.0));
        assert_eq!(phase.seconds_in_all(), Some(200.0));
        // The estimate counts down between batches, and ends at zero.
        assert_eq!(phase.seconds_left(at(40)), Some(80.0));
        assert_eq!(phase.seconds_left(at(50)), Some(70.0));
        assert_eq!(phase.seconds_left(at(500)), Some(0.0));
        phase.add(usize::MAX, None, at(60));
        assert_eq!((phase.done, phase.fraction()), (100, 1.0));
    }

    #[test]
    fn a_phase_without_batches_is_no_division_by_zero() {
        let now = Instant::now();
        let mut phase = PhaseProgress::new(Phase::Validate, 0, 0, 7, now);
        phase.add(3, None, now);
        assert_eq!((phase.done, phase.fraction(), phase.seconds_left(now)), (0, 0.0, None));
        phase.finish();
        assert_eq!((phase.fraction(), phase.seconds_left(now)), (1.0, Some(0.0)));
    }
}
