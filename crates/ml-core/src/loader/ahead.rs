//! Batches on their device, each sent while the one before is computed with.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{DeviceBatch, SentBatch};
use super::plan::Plan;
use super::{Batches, LoaderError};

/// The batches of an epoch on the loader's device, made by [`Batches::on_device`]. An error ends
/// it.
pub struct DeviceBatches {
    batches: Batches,
    /// None at the end.
    plan: Option<Arc<Plan>>,
    /// The batch that is to be given next, on its way.
    ahead: Option<Result<SentBatch, LoaderError>>,
}

impl DeviceBatches {
    pub(super) fn new(batches: Batches, plan: Option<Arc<Plan>>) -> DeviceBatches {
        DeviceBatches { batches, plan, ahead: None }
    }

    /// As [`Batches::waited`].
    pub fn waited(&self) -> Duration {
        self.batches.waited()
    }

    /// As [`Batches::targets_of`].
    pub fn targets_of(&self, batches: Range<usize>) -> Vec<Vec<i64>> {
        self.plan.as_ref().map_or_else(Vec::new, |plan| plan.targets_of(batches))
    }

    /// Sends the batch behind the one that is given now, if it is there already.
    fn look_ahead(&mut self) {
        if self.batches.crosses_a_bus() && self.batches.is_ready() {
            self.ahead = self.send_next();
        }
    }

    fn send_next(&mut self) -> Option<Result<SentBatch, LoaderError>> {
        Some(self.batches.next()?.and_then(|batch| Ok(batch.send()?)))
    }
}

impl Iterator for DeviceBatches {
    type Item = Result<DeviceBatch, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let sent = match self.ahead.take() {
            Some(sent) => sent,
            None => self.send_next().or_else(|| {
                self.plan = None;
                None
            })?,
        };
        let batch = sent.and_then(|sent| {
            self.look_ahead();
            Ok(sent.receive()?)
        });
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.batches.size_hint();
        let ahead = usize::from(self.ahead.is_some());
        (least + ahead, most.map(|most| most + ahead))
    }
}
