//! Image files → the most probable classes of each, in order; an image that cannot be read does not
//! stop the others, nor cost the work on those that are decoded ahead of the network.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use super::{InferenceError, LoadedModel};
use crate::dataset::{Index, Sample, Split};
use crate::evaluation::Answer;
use crate::loader::{DeviceBatch, Loader, LoaderError, LoaderOptions, Unreadable};
use crate::torch_error::catch_torch_panic;

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
    /// What the network says of it.
    Predicted(Answer),
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
        let loader = catch_torch_panic(|| self.loader(paths, options))?;
        for batch in loader.epoch(0, 0).on_device() {
            for (place, outcome) in self.outcomes(batch?, options.top_k)? {
                if tell(place, outcome).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What came of each image of a batch, by its place and in order.
    fn outcomes(
        &self,
        mut batch: DeviceBatch,
        top_k: usize,
    ) -> Result<Vec<(usize, Outcome)>, InferenceError> {
        let unreadable = std::mem::take(&mut batch.unreadable).into_iter();
        let unreadable = unreadable.map(|(place, error)| (place, Outcome::Unreadable(error)));
        let places = batch.indices.clone();
        let predicted = if places.is_empty() {
            Vec::new()
        } else {
            self.evaluator().predict(self.network.as_ref(), &batch.images, top_k)?
        };
        let predicted = places.into_iter().zip(predicted.into_iter().map(Outcome::Predicted));
        let mut outcomes: Vec<(usize, Outcome)> = predicted.chain(unreadable).collect();
        outcomes.sort_by_key(|(place, _)| *place);
        Ok(outcomes)
    }

    pub(super) fn loader(&self, paths: &[PathBuf], options: PredictOptions) -> Loader {
        // Joined to an empty root, a path stays what it is.
        let samples = paths.iter().map(|path| Sample { path: path.as_path().into(), class: 0 }).collect();
        let index = Index { root: PathBuf::new(), split: Split::Test, samples };
        let options = LoaderOptions {
            unreadable: Unreadable::Tell,
            ..LoaderOptions::sequential(options.batch_size, options.num_workers, self.device())
        };
        Loader::new(Arc::new(index), Arc::clone(self.pipeline()), options)
    }
}
