//! After training on images with several labels: the best weights → evaluations of the validation and
//! the test split, with the thresholds that `best.pt` keeps.

use std::sync::Arc;

use ml_data::dataset::{Index, Split};
use ml_data::transform::Pipeline;

use super::evaluate::Judged;
use super::{Job, JobError};
use crate::checkpoint::Checkpoint;
use crate::device;
use crate::evaluation::{EvaluationError, LabelEvaluation};
use crate::loader::Loader;
use crate::metrics::multilabel::ClassThresholds;
use crate::run::Run;
use crate::trainer::{EvaluatedLabels, Phase, ReportError, Reporter, Stop};

/// Why there is no temperature, nor a score of how unlike those of training an image is.
const ONE_LABEL_ONLY: &str = "images have several labels (data.task: multi_label)";

impl Job {
    /// Evaluates `best`, whose weights the trainer's network has.
    pub(super) fn evaluate_best_labels(
        &self,
        run: Option<&Run>,
        best: &Checkpoint,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Judged, JobError> {
        let mut judged = Judged {
            not_calibrated: Some(ONE_LABEL_ONLY.to_owned()),
            no_ood_scores: Some(ONE_LABEL_ONLY.to_owned()),
            ..Judged::default()
        };
        let (val, epoch) = (&self.dataset.val, best.epoch);
        let found = self.labels_of(self.trainer.val_loader(), val, epoch, reporter, stop)?;
        let kept = best.thresholds.clone().map(ClassThresholds::new).transpose();
        let kept = kept.map_err(ReportError::new)?;
        // A state that was saved before the first validation has none.
        let thresholds = kept.filter(|kept| kept.values().len() == self.dataset.classes.len());
        let thresholds = thresholds.unwrap_or_else(|| found.fit_thresholds(device::num_threads()));
        self.report_labels(run, Split::Val, &found, &thresholds, epoch, reporter)?;
        let Some(index) = self.dataset.index(Split::Test) else {
            tracing::info!("there is no test split to evaluate");
            return Ok(judged);
        };
        let pipeline = Arc::new(Pipeline::new(&self.config.transforms.test)?);
        let loader = self.loader(Arc::clone(index), pipeline);
        let found = self.labels_of(&loader, index, epoch, reporter, stop)?;
        judged.test_accuracy = Some(found.sums.accuracy());
        judged.test_map = self.report_labels(run, Split::Test, &found, &thresholds, epoch, reporter)?;
        Ok(judged)
    }

    /// Says how good the labels of a split are; returns the mean average precision, if there is one.
    fn report_labels(
        &self,
        run: Option<&Run>,
        split: Split,
        evaluation: &LabelEvaluation,
        thresholds: &ClassThresholds,
        epoch: u64,
        reporter: &mut dyn Reporter,
    ) -> Result<Option<f64>, JobError> {
        let metrics = evaluation.metrics(thresholds, device::num_threads());
        let map = metrics.mean_average_precision;
        tracing::info!(
            "{}: mAP {:.4}; with thresholds fitted on the validation split micro F1 {:.4}, macro F1 {:.4}, sample F1 \
             {:.4}, hamming loss {:.4}, subset accuracy {:.4}",
            split.name(),
            map.unwrap_or(f64::NAN),
            metrics.micro_average.f1,
            metrics.macro_average.f1,
            metrics.sample_average.f1,
            metrics.hamming_loss,
            metrics.subset_accuracy
        );
        let (Some(run), Some(index)) = (run, self.dataset.index(split)) else { return Ok(map) };
        let classes = &self.dataset.classes;
        reporter.evaluated_labels(&EvaluatedLabels {
            run,
            split,
            classes,
            index,
            evaluation,
            thresholds,
            epoch,
        })?;
        Ok(map)
    }

    /// Evaluates the trainer's network, as after `epoch`, on what `loader` gives of `index`.
    fn labels_of(
        &self,
        loader: &Loader,
        index: &Index,
        epoch: u64,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<LabelEvaluation, JobError> {
        let evaluator = self.trainer.evaluator();
        let found = self.pass(Phase::Evaluate, epoch, loader).run(reporter, stop, |on_batch| {
            evaluator.evaluate_labels(self.trainer.network(), loader, on_batch)
        })?;
        Ok(found.ok_or(EvaluationError::Interrupted)?.gathered(&self.world, index)?)
    }
}
