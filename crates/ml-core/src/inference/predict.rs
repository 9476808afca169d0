//! Image files → the most probable classes of each, in order; an image that cannot be read does not
//! stop the others.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use super::{InferenceError, LoadedModel};
use crate::dataset::{Index, Sample, Split};
use crate::evaluation::ClassProbability;
use crate::loader::{Batch, Loader, LoaderError, LoaderOptions};

/// How to predict. None of it changes the predictions.
#[derive(Clone, Copy, Debug)]
pub struct PredictOptions {
    /// Images that go through the network together, at least 1.
    pub batch_size: usize,
    /// Threads that decode.
    pub num_workers: usize,
    /// How many of the most probable classes to give, at least 1.
    pub top_k: usize,
}

/// What came of one image.
#[derive(Debug)]
pub enum Outcome {
    /// The most probable classes, best first; never empty.
    Predicted(Vec<ClassProbability>),
    /// It cannot be read; the error names it.
    Unreadable(LoaderError),
}

impl LoadedModel {
    /// Predicts the classes of `paths`; `tell` gets each one's place and outcome, in order, and may
    /// stop.
    ///
    /// # Errors
    /// What concerns no single image: see [`InferenceError`].
    pub fn predict(
        &self,
        paths: &[PathBuf],
        options: PredictOptions,
        mut tell: impl FnMut(usize, Outcome) -> ControlFlow<()>,
    ) -> Result<(), InferenceError> {
        let options = PredictOptions { batch_size: options.batch_size.max(1), ..options };
        let mut done = 0;
        while done < paths.len() {
            // Goes on until an image fails.
            for batch in self.loader(&paths[done..], options).epoch(0, 0) {
                match batch {
                    Ok(batch) => {
                        let count = batch.indices.len();
                        let outcomes = self.classify(batch, options.top_k)?;
                        if tell_all(done, outcomes, &mut tell).is_break() {
                            return Ok(());
                        }
                        done += count;
                    }
                    Err(LoaderError::Decode(_) | LoaderError::Transform { .. }) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            // The batch that failed, image by image; then the rest again in batches.
            let end = paths.len().min(done + options.batch_size);
            if done < end {
                let outcomes = self.one_by_one(&paths[done..end], options.top_k)?;
                if tell_all(done, outcomes, &mut tell).is_break() {
                    return Ok(());
                }
                done = end;
            }
        }
        Ok(())
    }

    fn one_by_one(&self, paths: &[PathBuf], top_k: usize) -> Result<Vec<Outcome>, InferenceError> {
        let options = PredictOptions { batch_size: 1, num_workers: 0, top_k };
        let mut outcomes = Vec::new();
        for path in paths {
            for batch in self.loader(std::slice::from_ref(path), options).epoch(0, 0) {
                match batch {
                    Ok(batch) => outcomes.extend(self.classify(batch, top_k)?),
                    Err(error @ (LoaderError::Decode(_) | LoaderError::Transform { .. })) => {
                        outcomes.push(Outcome::Unreadable(error));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(outcomes)
    }

    fn classify(&self, batch: Batch, top_k: usize) -> Result<Vec<Outcome>, InferenceError> {
        let scored = self.evaluator().predict(self.network(), batch, top_k)?;
        Ok(scored.into_iter().map(Outcome::Predicted).collect())
    }

    fn loader(&self, paths: &[PathBuf], options: PredictOptions) -> Loader {
        // Joined to an empty root, a path stays what it is.
        let samples = paths.iter().map(|path| Sample { path: path.as_path().into(), class: 0 }).collect();
        let index = Index { root: PathBuf::new(), split: Split::Test, samples };
        let options = LoaderOptions::sequential(options.batch_size, options.num_workers, self.device());
        Loader::new(Arc::new(index), Arc::clone(self.pipeline()), options)
    }
}

fn tell_all(
    first: usize,
    outcomes: Vec<Outcome>,
    tell: &mut impl FnMut(usize, Outcome) -> ControlFlow<()>,
) -> ControlFlow<()> {
    outcomes.into_iter().enumerate().try_for_each(|(place, outcome)| tell(first + place, outcome))
}
