//! Validation of images with several labels.

use super::validated::Validated;
use super::{Phase, Reporter, Stop, TrainError, Trainer};
use crate::features::Batches;
use crate::network::{Classifier, Network};

impl Trainer {
    /// Whether the run is judged by its EMA weights.
    pub(crate) fn monitors_ema(&self) -> bool {
        self.config.training.monitor().metric.is_of_ema()
    }

    /// Whether images have several labels.
    pub(super) fn has_label_sets(&self) -> bool {
        self.train_index.label_sets.is_some()
    }

    /// What validation says of each network over `batches` of the validation split, those of other
    /// processes included; none if told to stop. Images have several labels.
    pub(super) fn validate_labels(
        &self,
        phase: Phase,
        networks: &[&Network],
        batches: Batches,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Option<Vec<Validated>>, TrainError> {
        let index = self.val_loader.index();
        let networks: Vec<&dyn Classifier> = networks.iter().map(|one| *one as &dyn Classifier).collect();
        let found = self.pass(phase, &self.val_loader).run(reporter, stop, |on_batch| {
            self.evaluator().label_batches(&networks, batches, index, on_batch)
        })?;
        let Some(found) = found else { return Ok(None) };
        let mut validated = Vec::with_capacity(found.len());
        for one in found {
            validated.push(Validated::of(&one.gathered(self.ranks.world(), index)?));
        }
        Ok(Some(validated))
    }
}
