//! After training: the best weights → evaluations of the validation and the test split, and what the
//! first of them says about the model's answers, which `best.pt` keeps.

use std::path::PathBuf;
use std::sync::Arc;

use ml_data::dataset::{Index, Split, Task};
use ml_data::transform::Pipeline;

use super::{Job, JobError};
use crate::checkpoint::Checkpoint;
use crate::device;
use crate::distributed::Place;
use crate::evaluation::{Calibration, Evaluation, EvaluationError, Evaluator, OutOfDistribution};
use crate::loader::{Loader, LoaderOptions};
use crate::network::ForwardError;
use crate::run::{Run, RunError};
use crate::trainer::{self, Embedded, Evaluated, Pass, Phase, ReportError, Reporter, Stop};

/// Classes of each image kept in the table of predictions.
const TOP_K: usize = 5;

/// Training images at most that say what images of training look like.
const MAX_EMBEDDED: usize = 5000;

/// What the evaluation of `best.pt` says beyond its reports.
#[derive(Default)]
pub(super) struct Judged {
    /// A fraction; none without a test split.
    pub test_accuracy: Option<f64>,
    /// With several labels an image: mean average precision there.
    pub test_map: Option<f64>,
    /// Why probabilities are not calibrated.
    pub not_calibrated: Option<String>,
    /// Why images unlike those of training will not be told.
    pub no_ood_scores: Option<String>,
}

impl Job {
    /// Evaluates `best.pt` on the validation split, calibrates its answers by that, and evaluates it
    /// on the test split, if there is one. The trainer's network has the best weights afterwards.
    pub(super) fn evaluate_best(
        &self,
        run: Option<&Run>,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Judged, JobError> {
        self.world.at(Place::Evaluating);
        let mut judged = Judged::default();
        let mut best = self.best(run)?;
        let epoch = best.epoch;
        self.trainer.network().load_state_dict(best.weights(best.selects_by_ema()))?;
        if self.dataset.task() == Task::MultiLabel {
            return self.evaluate_best_labels(run, &best, reporter, stop);
        }
        let mut ood = match self.out_of_distribution(run, epoch, reporter, stop)? {
            Ok(ood) => Some(ood),
            Err(reason) => {
                tracing::info!("images unlike those of training will not be told: {reason}");
                judged.no_ood_scores = Some(reason);
                None
            }
        };
        let evaluator = self.trainer.evaluator();
        let validate = evaluator.with_out_of_distribution(ood.as_slice());
        let mut val = self.evaluate(&validate, epoch, self.trainer.val_loader(), reporter, stop)?;
        if let Some(ood) = &mut ood {
            ood.calibrate(&mut val);
            best.out_of_distribution = Some(ood.to_value()?);
        }
        let (val, calibration) = Calibration::fit(val, device::num_threads());
        match calibration {
            Ok(calibration) => {
                let Calibration { temperature, ece: [before, after], .. } = calibration;
                tracing::info!(
                    "calibration: temperature {temperature:.3}; expected calibration error on the validation split \
                     {before:.4}, with it {after:.4}"
                );
                best.calibration = Some(serde_json::to_value(&calibration).map_err(ReportError::new)?);
            }
            Err(reason) => {
                tracing::info!("probabilities are not calibrated: {reason}");
                judged.not_calibrated = Some(reason.to_string());
            }
        }
        if let Some(run) = run
            && (best.calibration.is_some() || best.out_of_distribution.is_some())
        {
            best.save(&run.best_path())?;
        }
        let classes = &self.dataset.classes;
        let (split, index, evaluation) = (Split::Val, &self.dataset.val, &val);
        let groups = self.dataset.groups(split).map_err(JobError::Data)?;
        let groups = groups.as_deref();
        if let Some(run) = run {
            reporter.evaluated(&Evaluated { run, split, classes, index, evaluation, groups, epoch })?;
        }
        let Some(index) = self.dataset.index(Split::Test) else {
            tracing::info!("there is no test split to evaluate");
            return Ok(judged);
        };
        let pipeline = Pipeline::new(&self.config.transforms.test)?;
        let loader = self.loader(Arc::clone(index), Arc::new(pipeline));
        let test = evaluator.with_out_of_distribution(ood.as_slice());
        let test = self.evaluate(&test, epoch, &loader, reporter, stop)?;
        let (split, evaluation) = (Split::Test, &test.at_temperature(val.temperature));
        let groups = self.dataset.groups(split).map_err(JobError::Data)?;
        let groups = groups.as_deref();
        if let Some(run) = run {
            reporter.evaluated(&Evaluated { run, split, classes, index, evaluation, groups, epoch })?;
        }
        judged.test_accuracy = Some(evaluation.sums.accuracy());
        Ok(judged)
    }

    /// The best weights, which one process reads.
    fn best(&self, run: Option<&Run>) -> Result<Checkpoint, JobError> {
        let Some(run) = run.filter(|_| self.world.is_alone()) else {
            let path = run.map(Run::best_path);
            let read = |path: PathBuf| {
                std::fs::read(&path).map_err(|error| RunError::Read { path, message: error.to_string() })
            };
            let bytes = path.map(read).transpose()?.unwrap_or_default();
            return Ok(Checkpoint::from_bytes(&self.world.broadcast(bytes)?)?);
        };
        Ok(Checkpoint::load(&run.best_path())?)
    }

    pub(super) fn loader(&self, index: Arc<Index>, pipeline: Arc<Pipeline>) -> Loader {
        let options = LoaderOptions {
            num_classes: self.dataset.classes.len(),
            ..trainer::evaluation_options(&self.world, &self.config, self.device.device)
        };
        Loader::new(index, pipeline, options)
    }

    /// Evaluates the trainer's network, as after `epoch`, on what `loader` gives.
    fn evaluate(
        &self,
        evaluator: &Evaluator<'_>,
        epoch: u64,
        loader: &Loader,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Evaluation, JobError> {
        let evaluation = self.pass(Phase::Evaluate, epoch, loader).run(reporter, stop, |on_batch| {
            evaluator.evaluate(self.trainer.network(), loader, TOP_K, |_| on_batch())
        })?;
        Ok(evaluation.ok_or(EvaluationError::Interrupted)?.gathered(&self.world)?)
    }

    /// A pass of all processes over what `loader` gives, as after `epoch`.
    pub(super) fn pass(&self, phase: Phase, epoch: u64, loader: &Loader) -> Pass<'_> {
        Pass { world: &self.world, phase, epoch, num_batches: loader.num_batches() }
    }

    /// What tells images of training from others, by some of the training images as validation would
    /// see them; or why there is nothing that does.
    fn out_of_distribution(
        &self,
        run: Option<&Run>,
        epoch: u64,
        reporter: &mut dyn Reporter,
        stop: &Stop,
    ) -> Result<Result<OutOfDistribution, String>, JobError> {
        let pipeline = Arc::new(Pipeline::new(&self.config.transforms.val)?);
        let index = Arc::new(some_of(&self.dataset.train));
        let loader = self.loader(Arc::clone(&index), pipeline).without_remarks();
        let evaluator = self.trainer.evaluator();
        let embeddings = self.pass(Phase::Embed, epoch, &loader).run(reporter, stop, |on_batch| {
            match evaluator.embeddings(self.trainer.network(), &loader, on_batch) {
                Err(EvaluationError::Forward(ForwardError::Script(reason))) => Ok(Err(reason.to_string())),
                embeddings => embeddings.map(Ok),
            }
        })?;
        let embeddings = match embeddings.ok_or(EvaluationError::Interrupted)? {
            Err(reason) => return Ok(Err(reason)),
            Ok(embeddings) => embeddings.gathered(&self.world)?,
        };
        let classes = &self.dataset.classes;
        if let Some(run) = run {
            reporter.embedded(&Embedded { run, classes, index: &index, embeddings: &embeddings })?;
        }
        let targets: Vec<i64> =
            embeddings.samples.iter().map(|&sample| i64::from(index.samples[sample].class)).collect();
        let fitted = OutOfDistribution::fit(&embeddings, &targets, self.dataset.classes.len() as i64);
        let fitted = fitted.map(|fitted| fitted.to_device(self.device.device));
        Ok(fitted.map_err(|reason| reason.to_string()))
    }
}

/// All samples, or as many as are needed, evenly from the whole split.
fn some_of(index: &Index) -> Index {
    let all = &index.samples;
    let count = all.len().min(MAX_EMBEDDED);
    let places = || (0..count).map(|place| place * all.len() / count);
    let samples = places().map(|place| all[place].clone()).collect();
    let label_sets = index.label_sets.as_ref().map(|sets| std::sync::Arc::new(sets.select(places())));
    Index { root: index.root.clone(), split: index.split, samples, label_sets }
}
