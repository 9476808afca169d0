//! The best weights on the test split, after training.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ml_core::checkpoint::Checkpoint;
use ml_core::dataset::{Dataset, Index, Split};
use ml_core::evaluation::{EvaluateOptions, evaluate};
use ml_core::loader::Loader;
use ml_core::run::{Run, unix_seconds};
use ml_core::trainer::Trainer;
use ml_core::transform::Pipeline;
use ml_report::board::BoardReporter;
use ml_report::classification::EvaluationReport;
use tch::Device;

use crate::session::Session;

/// Classes of each image kept in the table of predictions.
const TOP_K: usize = 5;

/// What came of it.
pub enum Tested {
    /// There is no test split.
    NoTestSplit,
    /// A signal asked to stop.
    Interrupted,
    /// The accuracy, a fraction.
    Accuracy(f64),
}

/// Evaluates `best.pt` and writes the report. The trainer's network holds the best weights
/// afterwards.
///
/// # Errors
/// The checkpoint or an image cannot be read, or the report cannot be written.
pub fn best_on_test(
    session: &Session<'_>,
    run: &Run,
    trainer: &Trainer,
    dataset: &Dataset,
    device: Device,
    board: &mut BoardReporter,
) -> anyhow::Result<Tested> {
    let Some(index) = dataset.index(Split::Test) else { return Ok(Tested::NoTestSplit) };
    let best = Checkpoint::load(&run.best_path())?;
    trainer.network().load_state_dict(best.weights(best.selects_by_ema()))?;
    let options = EvaluateOptions { device, num_classes: dataset.classes.len(), top_k: TOP_K };
    let evaluation = evaluate(
        |images| trainer.network().try_forward_t(images, false),
        |logits, targets| trainer.loss().forward(logits, targets),
        &loader(session, index, device)?,
        options,
        |_| {
            if session.stop.load(Ordering::Relaxed) == 0 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        },
    );
    if session.stop.load(Ordering::Relaxed) != 0 {
        return Ok(Tested::Interrupted);
    }
    let evaluation = evaluation?;
    let report = EvaluationReport {
        split: Split::Test.name(),
        classes: &dataset.classes,
        index,
        evaluation: &evaluation,
    };
    report.write(&run.report_dir())?;
    board.evaluation(&report, best.epoch, unix_seconds())?;
    Ok(Tested::Accuracy(evaluation.totals.accuracy()))
}

fn loader(session: &Session<'_>, index: &Index, device: Device) -> anyhow::Result<Loader> {
    let config = &session.config;
    let pipeline = Pipeline::new(&config.transforms.test)?;
    Ok(Loader::new(Arc::new(index.clone()), Arc::new(pipeline), config.evaluation_options(device)))
}
