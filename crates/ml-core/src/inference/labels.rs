//! Models that give an image several labels: from which probabilities on, and how well.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{InferenceError, LoadedModel};
use crate::dataset::Index;
use crate::evaluation::{ClassProbability, LabelEvaluation};
use crate::metrics::multilabel::ClassThresholds;

impl LoadedModel {
    /// The same with one threshold for all classes, from which probability on each is predicted.
    ///
    /// # Errors
    /// An image has one label, or the threshold is not in `0..=1`.
    pub fn with_threshold(self, threshold: f32) -> Result<LoadedModel, InferenceError> {
        if self.thresholds.is_none() {
            return Err(InferenceError::Usage(
                "--threshold: this model gives an image one label, its most probable class; --max_error answers \
                 `uncertain` where it is not sure enough"
                    .to_owned(),
            ));
        }
        let thresholds = ClassThresholds::new(vec![threshold; self.classes.len()])
            .map_err(|error| InferenceError::Usage(format!("--threshold: {error}")))?;
        Ok(LoadedModel { thresholds: Some(thresholds), ..self })
    }

    /// From which probability on a class is predicted, in the order of the classes, where an image
    /// may have several labels (`data.task: multi_label`); none where it has one.
    pub fn thresholds(&self) -> Option<&ClassThresholds> {
        self.thresholds.as_ref()
    }

    /// Of classes and their probabilities, those from their threshold on, in the same order: the
    /// labels of an image. All of them where an image has one label.
    pub fn labels<'a>(&'a self, classes: &'a [ClassProbability]) -> impl Iterator<Item = ClassProbability> {
        let thresholds = self.thresholds.as_ref().map(ClassThresholds::values);
        let is_label = move |one: &ClassProbability| {
            thresholds
                .is_none_or(|values| values.get(one.class).is_some_and(|least| one.probability >= *least))
        };
        classes.iter().copied().filter(is_label)
    }

    /// As [`LoadedModel::evaluate`], of a model that gives an image several labels, on images that
    /// have several. The loss is the plain binary cross entropy. `on_batch` is called after each
    /// batch and may stop it.
    ///
    /// # Errors
    /// The images have one label each, an image cannot be read, or `on_batch` stopped it.
    pub fn evaluate_labels(
        &self,
        index: Arc<Index>,
        batch_size: usize,
        num_workers: usize,
        on_batch: impl FnMut() -> ControlFlow<()>,
    ) -> Result<LabelEvaluation, InferenceError> {
        let loader = self.loader_of(index, batch_size, num_workers)?;
        let own = self.evaluator().evaluate_labels(self.network.as_ref(), &loader, on_batch)?;
        Ok(own.gathered(&self.world, loader.index())?)
    }
}
