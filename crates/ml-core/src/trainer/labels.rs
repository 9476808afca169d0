//! Validation of images with several labels.

use super::validated::Validated;
use super::{Phase, Reporter, Rounds, Stop, TrainError, Trainer, flow};
use crate::evaluation::EvaluationError;
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
        let num_batches = self.val_loader.num_batches();
        reporter.phase_started(phase, self.state.epoch, num_batches, 0);
        let world = self.ranks.world();
        let mut rounds = Rounds::new(world, num_batches);
        let mut ended = Ok(());
        let index = self.val_loader.index();
        let networks: Vec<&dyn Classifier> = networks.iter().map(|one| *one as &dyn Classifier).collect();
        let found = self.evaluator().label_batches(&networks, batches, index, || {
            let reported = reporter.batches_done(world.size(), None);
            let (flow, agreed) = rounds.next(flow(reported.is_err(), stop));
            ended = reported.map_err(TrainError::from).and(agreed);
            flow
        });
        ended?;
        let found = match found {
            Err(EvaluationError::Interrupted) => return Ok(None),
            found => found?,
        };
        if rounds.finish(stop)?.is_break() {
            return Ok(None);
        }
        let mut validated = Vec::with_capacity(found.len());
        for one in found {
            validated.push(Validated::of(&one.gathered(world, index)?));
        }
        reporter.phase_finished();
        Ok(Some(validated))
    }
}
