//! What a training run reports → what its dashboard shows, as plain data.
//!
//! In: calls as the run goes on, with the time they are made at. Out: the fields that
//! `draw.rs` puts on the screen, and the estimates of `eta.rs`.

use std::time::{Duration, Instant};

use ml_core::policy::BatchScheduleConfig;

use super::log::LogLines;
use super::phase::{Phase, PhaseProgress};

/// What is known of a run when it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunInfo {
    /// Name of the run.
    pub name: String,
    /// Name of the network.
    pub network: String,
    /// Where it trains, such as `cuda:0`.
    pub device: String,
    /// Images in the training split.
    pub train_images: usize,
    /// Images in the validation split.
    pub val_images: usize,
    /// Images in a batch.
    pub batch_size: usize,
    /// Of training batches, where it changes from epoch to epoch.
    pub batch_schedule: Option<BatchScheduleConfig>,
    /// Epochs of the whole run.
    pub num_epochs: u64,
    /// Learning rate at the start.
    pub lr: f64,
}

/// A completed epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: u64,
    /// Mean loss over the training split, while it was being trained on.
    pub train_loss: f64,
    /// A fraction, likewise.
    pub train_accuracy: f64,
    /// Mean loss over the validation split.
    pub val_loss: f64,
    /// A fraction, over the validation split.
    pub val_accuracy: f64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Whether it was the best so far when it ended.
    pub improved: bool,
    /// None for an epoch of an earlier process.
    pub time: Option<EpochTime>,
}

/// How long an epoch took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochTime {
    /// Wall-clock time, validation included.
    pub elapsed: Duration,
    /// How long of it training waited for data.
    pub waited: Duration,
}

impl EpochTime {
    /// Share of the epoch spent waiting for data, in `0..=1`; none for an epoch without length.
    pub fn waiting_share(self) -> Option<f64> {
        let elapsed = self.elapsed.as_secs_f64();
        (elapsed > 0.0).then(|| (self.waited.as_secs_f64() / elapsed).min(1.0))
    }
}

/// A run as its dashboard shows it.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// The run; empty until it starts.
    pub info: RunInfo,
    /// The current phase, or the latest; none before the first.
    pub phase: Option<PhaseProgress>,
    /// Completed epochs, in order.
    pub epochs: Vec<Epoch>,
    /// What goes on before the first phase and between two, such as a download.
    pub status: String,
    /// Most memory that the process has used so far, in bytes.
    pub peak_memory: Option<u64>,
    /// The latest lines of the log.
    pub log: LogLines,
    started: Instant,
    /// When training of the current epoch began; none between epochs.
    pub(super) epoch_started: Option<Instant>,
    /// Of the current epoch so far, once it was reported.
    current: Option<EpochTime>,
}

impl Dashboard {
    /// Of a run about which nothing is known yet. Times count from `now`.
    pub fn new(now: Instant) -> Dashboard {
        Dashboard {
            info: RunInfo::default(),
            phase: None,
            epochs: Vec::new(),
            status: "starting".to_owned(),
            peak_memory: None,
            log: LogLines::default(),
            started: now,
            epoch_started: None,
            current: None,
        }
    }

    /// The run is about to train; `history` holds the epochs of a resumed one.
    pub fn run_started(&mut self, info: RunInfo, history: Vec<Epoch>) {
        self.info = info;
        self.epochs = history;
    }

    /// Images a second in the current phase; none before its first batch.
    pub fn images_per_second(&self) -> Option<f64> {
        let phase = self.phase.as_ref()?;
        let schedule = self.info.batch_schedule.as_ref().filter(|_| phase.phase == Phase::Train);
        let first = self.info.batch_size;
        phase.images_per_second(schedule.map_or(first, |schedule| schedule.batch_size(first, phase.epoch)))
    }

    /// Something other than a phase goes on, such as a download.
    pub fn set_status(&mut self, status: &str) {
        status.clone_into(&mut self.status);
    }

    /// `num_batches` will follow, of which `first` are done already; `epoch` counts from 0.
    pub fn phase_started(
        &mut self,
        phase: Phase,
        epoch: u64,
        num_batches: usize,
        first: usize,
        now: Instant,
    ) {
        self.phase = Some(PhaseProgress::new(phase, epoch, num_batches, first, now));
        self.status.clear();
        if phase == Phase::Train {
            self.epoch_started = Some(now);
            self.current = None;
        }
    }

    /// `count` batches more are done; `metrics` are the running loss and accuracy, now and then.
    pub fn batches_done(&mut self, count: usize, metrics: Option<(f64, f64)>, now: Instant) {
        if let Some(phase) = &mut self.phase {
            phase.add(count, metrics, now);
        }
    }

    /// All batches of the phase are done.
    pub fn phase_finished(&mut self) {
        if let Some(phase) = &mut self.phase {
            phase.finish();
        }
    }

    /// An epoch is complete, validation included.
    pub fn epoch_finished(&mut self, epoch: Epoch) {
        self.epochs.push(epoch);
        self.epoch_started = None;
        self.current = None;
    }

    /// The run has gone back to an earlier checkpoint, with which `completed` epochs are left.
    pub fn rolled_back(&mut self, completed: usize) {
        self.epochs.truncate(completed);
        self.phase = None;
        self.epoch_started = None;
        self.current = None;
        "going back to an earlier checkpoint".clone_into(&mut self.status);
    }

    /// How long of the current epoch training waited for data so far.
    pub fn set_waited(&mut self, waited: Duration, now: Instant) {
        let time = |started| EpochTime { elapsed: now.saturating_duration_since(started), waited };
        self.current = self.epoch_started.map(time);
    }

    /// Most memory that the process has used so far, in bytes.
    pub fn set_peak_memory(&mut self, bytes: u64) {
        self.peak_memory = Some(bytes);
    }

    /// A line of the log, without its line break.
    pub fn log_line(&mut self, line: &str) {
        self.log.push(line);
    }

    /// The best epoch so far.
    pub fn best_epoch(&self) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.improved)
    }

    /// Learning rate of the latest step that was reported.
    pub fn lr(&self) -> f64 {
        self.epochs.last().map_or(self.info.lr, |epoch| epoch.lr)
    }

    /// Share of the current epoch spent waiting for data, or of the latest until that is known, in
    /// `0..=1`.
    pub fn waiting_share(&self) -> Option<f64> {
        let latest = || self.epochs.last()?.time?.waiting_share();
        self.current.and_then(EpochTime::waiting_share).or_else(latest)
    }

    /// Seconds since [`Dashboard::new`].
    pub fn seconds_elapsed(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.started).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64, improved: bool) -> Epoch {
        let time = EpochTime { elapsed: Duration::from_secs(10), waited: Duration::from_secs(number) };
        Epoch {
            epoch: number,
            train_loss: 1.0,
            train_accuracy: 0.5,
            val_loss: 1.0,
            val_accuracy: 0.5,
            lr: 0.1 / number as f64,
            improved,
            time: Some(time),
        }
    }

    #[test]
    fn the_best_epoch_is_that_of_the_epochs_that_are_left() {
        let now = Instant::now();
        let mut dashboard = Dashboard::new(now);
        dashboard.run_started(RunInfo { lr: 0.3, ..RunInfo::default() }, Vec::new());
        assert_eq!((dashboard.best_epoch(), dashboard.lr(), dashboard.waiting_share()), (None, 0.3, None));
        for (number, improved) in [(1, true), (2, false), (3, true), (4, false)] {
            dashboard.epoch_finished(epoch(number, improved));
        }
        assert_eq!(dashboard.best_epoch().map(|best| best.epoch), Some(3));
        assert_eq!((dashboard.lr(), dashboard.waiting_share()), (0.025, Some(0.4)));
        dashboard.phase_started(Phase::Train, 4, 10, 0, now);
        dashboard.rolled_back(2);
        assert_eq!(dashboard.best_epoch().map(|best| best.epoch), Some(1));
        assert!(dashboard.phase.is_none() && dashboard.epochs.len() == 2);
        dashboard.rolled_back(9);
        assert_eq!(dashboard.epochs.len(), 2);
    }

    #[test]
    fn waiting_is_that_of_the_current_epoch_once_it_is_known() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut dashboard = Dashboard::new(start);
        dashboard.set_waited(Duration::from_secs(1), at(1));
        assert_eq!(dashboard.waiting_share(), None, "no epoch is under way");
        dashboard.phase_started(Phase::Train, 0, 10, 0, at(10));
        dashboard.set_waited(Duration::from_secs(2), at(18));
        assert_eq!(dashboard.waiting_share(), Some(0.25));
        dashboard.epoch_finished(epoch(1, true));
        assert_eq!(dashboard.waiting_share(), Some(0.1));
        dashboard.phase_started(Phase::Train, 1, 10, 0, at(30));
        assert_eq!(dashboard.waiting_share(), Some(0.1), "until the next is known");
        dashboard.set_waited(Duration::from_secs(5), at(40));
        assert_eq!(dashboard.waiting_share(), Some(0.5));
    }

    #[test]
    fn an_epoch_without_length_has_no_waiting_share() {
        let time = EpochTime { elapsed: Duration::ZERO, waited: Duration::from_secs(1) };
        assert_eq!(time.waiting_share(), None);
    }
}
