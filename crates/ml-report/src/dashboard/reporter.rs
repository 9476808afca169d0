//! What a training run is told to report → its dashboard.

use std::ops::ControlFlow;
use std::time::Instant;

use ml_core::metrics::MetricSums;
use ml_core::policy::Monitor;
use ml_core::run::peak_memory;
use ml_core::trainer::{EpochMetrics, EpochReport, Phase, ReportError, Reporter, RunStart, StepReport};
use ml_core::weights::Event;

use super::{Dashboard, Epoch, EpochTime, RunInfo, SharedDashboard};
use crate::download::megabytes;

/// Keeps a dashboard up to date.
#[derive(Debug)]
pub struct DashboardReporter {
    dashboard: SharedDashboard,
    info: RunInfo,
}

impl DashboardReporter {
    /// `info` is what is known of the run before it starts; its name and images follow.
    pub fn new(dashboard: SharedDashboard, info: RunInfo) -> DashboardReporter {
        DashboardReporter { dashboard, info }
    }
}

impl Reporter for DashboardReporter {
    fn fetching(&mut self, name: &str, event: Event<'_>) {
        let Event::Progress { done, total } = event else { return };
        let total = total.map_or_else(String::new, |total| format!(" of {}", megabytes(total)));
        let status = format!("downloading {name}: {}{total}", megabytes(done));
        self.dashboard.update(|dashboard| dashboard.set_status(&status));
    }

    fn run_started(&mut self, start: &RunStart<'_>) -> Result<(), ReportError> {
        let folder = start.run.folder();
        let mut info = self.info.clone();
        info.name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        info.train_images = start.train.samples.len();
        info.val_images = start.val.samples.len();
        info.batch_schedule.clone_from(&start.config.training.batch_schedule);
        let history = history(start.history, start.config.training.monitor());
        self.dashboard.update(|dashboard| dashboard.run_started(info, history));
        Ok(())
    }

    fn phase_started(&mut self, phase: Phase, epoch: u64, num_batches: usize, first: usize) {
        let now = Instant::now();
        self.dashboard.update(|dashboard| dashboard.phase_started(phase, epoch, num_batches, first, now));
    }

    fn batches_done(&mut self, count: usize, sums: Option<&MetricSums>) -> Result<(), ReportError> {
        let metrics = sums.map(|sums| (sums.loss(), sums.accuracy()));
        self.dashboard.update(|dashboard| dashboard.batches_done(count, metrics, Instant::now()));
        Ok(())
    }

    fn stepped(&mut self, step: &StepReport<'_>) -> Result<(), ReportError> {
        let (memory, waited) = (peak_memory(), step.waited);
        self.dashboard.update(|dashboard| {
            dashboard.set_waited(waited, Instant::now());
            if let Some(bytes) = memory {
                dashboard.set_peak_memory(bytes);
            }
        });
        Ok(())
    }

    fn phase_finished(&mut self) {
        self.dashboard.update(Dashboard::phase_finished);
    }

    fn epoch_finished(
        &mut self,
        history: &[EpochMetrics],
        report: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        if let Some(last) = history.last() {
            let done = completed(last, report);
            let memory = peak_memory();
            self.dashboard.update(|dashboard| {
                dashboard.info.num_epochs = report.num_epochs;
                dashboard.epoch_finished(done);
                if let Some(bytes) = memory {
                    dashboard.set_peak_memory(bytes);
                }
            });
        }
        Ok(ControlFlow::Continue(()))
    }

    fn rolled_back(&mut self, history: &[EpochMetrics]) -> Result<(), ReportError> {
        self.dashboard.update(|dashboard| dashboard.rolled_back(history.len()));
        Ok(())
    }
}

/// An epoch of this process.
pub(crate) fn completed(metrics: &EpochMetrics, report: &EpochReport) -> Epoch {
    let time = EpochTime { elapsed: report.elapsed, waited: report.waited };
    Epoch { time: Some(time), ..epoch(metrics, report.improved) }
}

fn epoch(metrics: &EpochMetrics, improved: bool) -> Epoch {
    let EpochMetrics { epoch, train_loss, train_accuracy, val_loss, val_accuracy, lr, .. } = *metrics;
    Epoch { epoch, train_loss, train_accuracy, val_loss, val_accuracy, lr, improved, time: None }
}

/// The epochs of earlier processes, and which of them were the best when they ended.
pub(crate) fn history(history: &[EpochMetrics], monitor: Monitor) -> Vec<Epoch> {
    let mut best: Option<f64> = None;
    let mut done = Vec::with_capacity(history.len());
    for metrics in history {
        let value = metrics.value(monitor.metric).filter(|value| !value.is_nan());
        let improved = value.is_some_and(|value| best.is_none_or(|best| monitor.is_better(value, best, 0.0)));
        if improved {
            best = value;
        }
        done.push(epoch(metrics, improved));
    }
    done
}
