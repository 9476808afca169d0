//! A checkpoint, a run folder, or a folder of several runs → the model.

use std::path::Path;

use tch::Device;

use super::model::UseEma;
use super::{InferenceError, LoadedModel, ensemble};
use crate::device::PrecisionChoice;
use crate::run::RunGroup;

impl LoadedModel {
    /// Opens a checkpoint file, the `best.pt` of a run folder, or those of all runs of a
    /// [`RunGroup`], whose probabilities are averaged. `auto` computes in the precision that the run
    /// was validated in.
    ///
    /// # Errors
    /// It is missing, cannot be read, its parts do not suit each other, it lacks the average
    /// requested, or the device lacks the precision.
    pub fn open(
        path: &Path,
        device: Device,
        precision: PrecisionChoice,
        averaged: UseEma,
    ) -> Result<LoadedModel, InferenceError> {
        if let Some(group) = RunGroup::open(path)? {
            return ensemble::open(&group, |run| LoadedModel::open_one(run, device, precision, averaged));
        }
        LoadedModel::open_one(path, device, precision, averaged)
    }
}
