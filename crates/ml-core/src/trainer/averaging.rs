//! The average of the last epochs (`training.swa`): added to at their ends; after the last, its
//! batch norms are computed anew and it is validated.

use std::ops::ControlFlow;
use std::sync::Arc;

use ml_data::rng::{Purpose, derived_seed};
use ml_data::transform::{Pipeline, TransformConfig};

use super::checkpoints::CheckpointManager;
use super::validated::Validated;
use super::{Phase, Reporter, Stop, TrainError, Trainer, evaluation_options};
use crate::distributed::Place;
use crate::evaluation::{BatchNormRefresh, EvaluationError};
use crate::features::Batches;
use crate::loader::{Loader, LoaderOptions};
use crate::network::Network;
use crate::optimizer::OptimizerError;
use crate::run::SwaSummary;

impl Trainer {
    /// Takes the weights at the end of an epoch into the average, if they belong there.
    pub(super) fn average_epoch(&mut self) -> Result<(), TrainError> {
        let (Some(config), Some(swa)) = (&self.config.training.swa, &mut self.swa) else { return Ok(()) };
        let (epoch, num_epochs) = (self.state.epoch, self.config.training.num_epochs);
        if epoch <= config.start_after(num_epochs) {
            // A run that is continued for longer begins anew.
            swa.set_num_averaged(0);
        } else if config.is_due_after(epoch, num_epochs) {
            swa.update(&self.network)?;
        }
        Ok(())
    }

    /// Whether there is an average that is not yet validated.
    pub(super) fn is_average_pending(&self) -> bool {
        self.swa.as_ref().is_some_and(|swa| swa.num_averaged() > 0) && self.state.swa.is_none()
    }

    /// Computes the batch norms of the average, validates and saves it; breaks if told to stop, and
    /// begins anew the next time.
    pub(super) fn finish_average(
        &mut self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
        checkpoints: &mut CheckpointManager<'_>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let Some(swa) = &self.swa else { return Ok(ControlFlow::Continue(())) };
        let (network, n_averaged) = (swa.network(), swa.num_averaged());
        if let Some(base) = self.config.model.base() {
            network.freeze(base.freeze_after(self.state.epoch.saturating_sub(1)))?;
        }
        if self.refresh_batch_norms(network, reporter, stop)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let Some(found) = self.validate_average(network, reporter, stop)? else {
            return Ok(ControlFlow::Break(()));
        };
        let sums = &found.sums;
        if !sums.loss().is_finite() && sums.count > 0 {
            tracing::warn!(
                "training.swa: the validation loss of the average of {n_averaged} epochs is {}; it is not saved",
                sums.loss()
            );
            if let Some(swa) = &mut self.swa {
                swa.set_num_averaged(0);
            }
            return Ok(ControlFlow::Continue(()));
        }
        self.state.swa = Some(self.judge_average(&found, n_averaged));
        self.state.swa_thresholds = found.thresholds;
        checkpoints.save_average(self)?;
        checkpoints.save_with_average(self)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Compares the average with the best epoch by the monitored metric.
    fn judge_average(&self, found: &Validated, n_averaged: u64) -> SwaSummary {
        let monitor = self.config.training.monitor();
        let (sums, value) = (&found.sums, found.value(monitor.metric));
        let best = self.state.best();
        let is_best = best.is_none_or(|best| monitor.is_better(value, best.value, 0.0));
        let chosen = match best {
            Some(best) if !is_best => {
                format!("best.pt stays that of epoch {}, with {}", best.epoch, best.value)
            }
            Some(best) => format!(
                "best.pt is the average, better than epoch {} with {}, which is best_epoch.pt",
                best.epoch, best.value
            ),
            None => "best.pt is the average".to_owned(),
        };
        tracing::info!(
            "training.swa: the average of {n_averaged} epochs (swa.pt): val loss {:.4} accuracy {:.4}; by {} {chosen}",
            sums.loss(),
            sums.accuracy(),
            monitor.metric.name(),
        );
        SwaSummary {
            n_averaged,
            val_loss: sums.loss(),
            val_accuracy: sums.accuracy(),
            val_top5_accuracy: sums.top5_accuracy(),
            val_map: found.labels.map(|labels| labels.map),
            is_best,
        }
    }

    /// A pass over the training split in the index's order, of which each process takes its part.
    fn refresh_batch_norms(
        &self,
        network: &Network,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<ControlFlow<()>, TrainError> {
        let mut refresh = BatchNormRefresh::new(network);
        if refresh.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let loader = self.refresh_loader()?;
        self.ranks.world().at(Place::Evaluating);
        let pass = self.pass(Phase::BatchNorm, &loader);
        let done = pass.run(reporter, stop, |on_batch| -> Result<(), TrainError> {
            for batch in Batches::from(loader.epoch(self.state.epoch, 0)) {
                let batch = batch?;
                if let Some(&first) = batch.batch.indices.first() {
                    // Dropout is the same however many processes there are.
                    let seed = derived_seed(self.config.seed, Purpose::Step, self.state.step, first as u64);
                    torch_ext::manual_seed(seed).map_err(OptimizerError::from)?;
                    refresh.add(network, batch.input(), &self.compute)?;
                }
                if on_batch().is_break() {
                    return Err(EvaluationError::Interrupted.into());
                }
            }
            Ok(())
        })?;
        if done.is_none() {
            return Ok(ControlFlow::Break(()));
        }
        refresh.finish(self.ranks.world())?;
        Ok(ControlFlow::Continue(()))
    }

    /// Training images, augmented but not mixed, each once.
    fn refresh_loader(&self) -> Result<Loader, TrainError> {
        let transform = TransformConfig { mixup: None, cutmix: None, ..self.config.transforms.train.clone() };
        let options = LoaderOptions {
            drop_last: self.config.data.drop_last,
            num_classes: self.classes.len(),
            views: self.config.training.views(),
            ..evaluation_options(self.ranks.world(), &self.config, self.compute.device)
        };
        let pipeline = Arc::new(Pipeline::new(&transform)?);
        Ok(Loader::new(Arc::clone(&self.train_index), pipeline, options).without_remarks())
    }

    /// Sums over the validation split, or none if told to stop.
    fn validate_average(
        &self,
        network: &Network,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<Validated>, TrainError> {
        // Not features that are kept: they may be those of other weights.
        let batches = self.val_loader.epoch(0, 0).into();
        if self.has_label_sets() {
            let found = self.validate_labels(Phase::Evaluate, &[network], batches, reporter, stop)?;
            return Ok(found.and_then(|found| found.into_iter().next()));
        }
        let sums = self.validation_sums(Phase::Evaluate, &[network], batches, reporter, stop)?;
        let Some(sums) = sums else { return Ok(None) };
        let Some((own, _)) = sums.into_iter().next() else { return Ok(None) };
        Ok(Some(self.ranks.sums(own)?.into()))
    }
}
