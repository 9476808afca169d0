//! Image files → the most probable classes of each, in order; an image that cannot be read does not
//! stop the others, nor cost the work on those that are decoded ahead of the network.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{InferenceError, LoadedModel};
use crate::dataset::{Index, Sample, Split};
use crate::distributed::DistributedError;
use crate::evaluation::{Answer, ClassProbability};
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

/// What a process has found in a round, for the others; floats by their bits.
#[derive(Serialize, Deserialize)]
struct Sent {
    /// It has stopped, and has found nothing.
    stop: bool,
    outcomes: Vec<SentOutcome>,
}

#[derive(Serialize, Deserialize)]
struct SentOutcome {
    place: usize,
    /// What is wrong with the image.
    error: Option<String>,
    top_k: Vec<(usize, u32)>,
    ood_score: Option<u32>,
}

impl From<(usize, Outcome)> for SentOutcome {
    fn from((place, outcome): (usize, Outcome)) -> SentOutcome {
        match outcome {
            Outcome::Unreadable(error) => {
                SentOutcome { place, error: Some(error.to_string()), top_k: Vec::new(), ood_score: None }
            }
            Outcome::Predicted(Answer { top_k, ood_score }) => SentOutcome {
                place,
                error: None,
                top_k: top_k.into_iter().map(|one| (one.class, one.probability.to_bits())).collect(),
                ood_score: ood_score.map(f32::to_bits),
            },
        }
    }
}

impl SentOutcome {
    /// None without a class, which none is sent without.
    fn received(self) -> Option<(usize, Outcome)> {
        let SentOutcome { place, error, top_k, ood_score } = self;
        if let Some(error) = error {
            return Some((place, Outcome::Unreadable(LoaderError::Elsewhere(error))));
        }
        let of = |(class, bits)| ClassProbability { class, probability: f32::from_bits(bits) };
        let top_k: Vec<ClassProbability> = top_k.into_iter().map(of).collect();
        let ood_score = ood_score.map(f32::from_bits);
        (!top_k.is_empty()).then_some((place, Outcome::Predicted(Answer { top_k, ood_score })))
    }
}

fn torch(error: &serde_json::Error) -> DistributedError {
    DistributedError::Torch(error.to_string())
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
        if !self.world.is_alone() {
            return self.predict_among(paths, options, tell);
        }
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

    /// As [`LoadedModel::predict`], with other processes: in each round every one takes a batch, and
    /// rank 0 gets what all have found.
    fn predict_among(
        &self,
        paths: &[PathBuf],
        options: PredictOptions,
        mut tell: impl FnMut(usize, Outcome) -> ControlFlow<()>,
    ) -> Result<(), InferenceError> {
        let loader = catch_torch_panic(|| self.loader(paths, options))?;
        let mut batches = loader.epoch(0, 0).on_device();
        let rounds = loader.num_batches().div_ceil(self.world.size());
        let mut stop = false;
        for _ in 0..rounds {
            // One that is to stop says so instead, so that all do.
            let batch = if stop { None } else { batches.next() };
            let outcomes = match batch {
                None => Vec::new(),
                Some(batch) => self.outcomes(batch?, options.top_k)?,
            };
            let own = Sent { stop, outcomes: outcomes.into_iter().map(SentOutcome::from).collect() };
            let own = serde_json::to_vec(&own).map_err(|error| torch(&error))?;
            for bytes in self.world.gather(&own)? {
                let theirs: Sent = serde_json::from_slice(&bytes).map_err(|error| torch(&error))?;
                if theirs.stop {
                    return Ok(());
                }
                for (place, outcome) in theirs.outcomes.into_iter().filter_map(SentOutcome::received) {
                    if !stop && self.world.is_first() {
                        stop = tell(place, outcome).is_break();
                    }
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
        let index = Index { root: PathBuf::new(), split: Split::Test, samples, label_sets: None };
        let options = LoaderOptions {
            unreadable: Unreadable::Tell,
            share: self.world.share_of_steps(1),
            ..LoaderOptions::sequential(options.batch_size, options.num_workers, self.device())
        };
        Loader::new(Arc::new(index), Arc::clone(self.pipeline()), options)
    }
}
