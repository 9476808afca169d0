//! The runs of a group → one model: the mean of their probabilities, each at its own temperature.
//! Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep
//! ensembles" (2017).

use std::path::{Path, PathBuf};
use std::rc::Rc;

use tch::{Kind, Tensor};

use super::{InferenceError, LoadedModel};
use crate::device::Compute;
use crate::distributed::World;
use crate::loader::Renormalize;
use crate::metrics::multilabel::{ClassThresholds, ThresholdError};
use crate::network::{Classifier, Embedded, ForwardError, Input, Tapped};
use crate::run::RunGroup;
use crate::transform::{Pipeline, TransformConfig};

/// Several networks on the same images.
struct Ensemble {
    members: Vec<Member>,
    /// Makes the logits of all from each one's, divided by its temperature.
    combine: fn(&[Tensor]) -> Tensor,
}

/// A network of an [`Ensemble`].
struct Member {
    network: Box<dyn Classifier>,
    /// What its logits are divided by.
    temperature: f64,
    /// What makes images that were normalised for the first network those of this one; none where it
    /// is the same.
    normalization: Option<Renormalize>,
}

impl Ensemble {
    /// Logits whose probabilities are the mean of the members', each of the member's logits as
    /// `of` gives them for images as it takes them.
    fn mean(
        &self,
        images: &Tensor,
        mut of: impl FnMut(&dyn Classifier, &Tensor) -> Result<Tensor, ForwardError>,
    ) -> Result<Tensor, ForwardError> {
        let each = self.members.iter().map(|Member { network, temperature, normalization }| {
            let renormalized = normalization.as_ref().map(|normalization| normalization.apply(images));
            Ok(of(network.as_ref(), renormalized.as_ref().unwrap_or(images))? / *temperature)
        });
        Ok((self.combine)(&each.collect::<Result<Vec<Tensor>, ForwardError>>()?))
    }
}

/// Logits whose softmax is the mean of those of `logits`.
fn mean_of_classes(logits: &[Tensor]) -> Tensor {
    let probabilities: Vec<Tensor> = logits.iter().map(|logits| logits.softmax(-1, Kind::Float)).collect();
    Tensor::stack(&probabilities, 0).mean_dim([0].as_slice(), false, Kind::Float).log()
}

/// Logits whose sigmoid is the mean of those of `logits`: `log p̄ - log(1 - p̄)`, from the
/// logarithms of each `p` and `1 - p`, so that no probability rounds to 0 or 1.
fn mean_of_labels(logits: &[Tensor]) -> Tensor {
    let all = Tensor::stack(logits, 0).to_kind(Kind::Double);
    let log_mean = |logits: &Tensor| logits.log_sigmoid().logsumexp([0].as_slice(), false);
    (log_mean(&all) - log_mean(&all.neg())).to_kind(Kind::Float)
}

impl Classifier for Ensemble {
    fn logits(&self, input: Input<'_>, compute: &Compute) -> Result<Tensor, ForwardError> {
        let Input::Images(images) = input else { return Err(ForwardError::Several) };
        tch::no_grad(|| self.mean(images, |network, images| network.logits(Input::Images(images), compute)))
    }

    /// The members' embeddings, side by side.
    fn embed(&self, images: &Tensor, compute: &Compute) -> Result<Embedded, ForwardError> {
        tch::no_grad(|| {
            let mut embeddings = Vec::with_capacity(self.members.len());
            let logits = self.mean(images, |network, images| {
                let embedded = network.embed(images, compute)?;
                embeddings.push(embedded.embeddings);
                Ok(embedded.logits)
            })?;
            Ok(Embedded { embeddings: Tensor::cat(&embeddings, 1), logits })
        })
    }

    fn tapped(&self, _: &Tensor, _: &Compute) -> Result<Tapped, ForwardError> {
        Err(ForwardError::Several)
    }
}

/// Opens each run of `group` by `open_run`.
///
/// # Errors
/// As of each; a run has no completed epoch, or they are of other classes, images or precisions.
pub fn open(
    group: &RunGroup,
    open_run: impl Fn(&Path) -> Result<LoadedModel, InferenceError>,
) -> Result<LoadedModel, InferenceError> {
    let path = group.folder();
    let unsuitable = |problem: String| InferenceError::Ensemble { path: path.to_owned(), problem };
    let folders = group.run_folders();
    let has_none = |folder: &&PathBuf| !folder.join("best.pt").is_file();
    if let Some(folder) = folders.iter().find(has_none) {
        return Err(unsuitable(format!(
            "{} has no best.pt yet; continue with `ml-train --resume {}`, or give one of the runs",
            folder.display(),
            path.display()
        )));
    }
    let mut models =
        folders.iter().map(|folder| open_run(folder)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let Some(mut first) = models.next() else { return Err(unsuitable("has no runs".to_owned())) };
    let mut scorers = vec![std::mem::take(&mut first.out_of_distribution)];
    let mut thresholds: Vec<ClassThresholds> = first.thresholds.take().into_iter().collect();
    let mut members =
        vec![Member { temperature: first.temperature(), network: first.network, normalization: None }];
    for mut other in models {
        let what = if other.thresholds.is_some() == thresholds.is_empty() {
            "numbers of labels an image (data.task)"
        } else if other.classes != first.classes {
            "class names"
        } else if without_statistics(&other.pipeline) != without_statistics(&first.pipeline) {
            "evaluation transforms"
        } else if other.compute != first.compute {
            "precisions (give one with --precision)"
        } else {
            let normalization = Renormalize::between(&first.pipeline, &other.pipeline, first.compute.device);
            scorers.push(std::mem::take(&mut other.out_of_distribution));
            thresholds.extend(other.thresholds.take());
            members.push(Member { temperature: other.temperature(), network: other.network, normalization });
            continue;
        };
        return Err(unsuitable(format!(
            "{} and {} have different {what}, so their probabilities cannot be averaged",
            first.path.display(),
            other.path.display()
        )));
    }
    // A mean over some of the runs would not be one of all.
    let all_score = scorers.iter().all(|scorers| !scorers.is_empty());
    let out_of_distribution = if all_score { scorers.into_iter().flatten().collect() } else { Vec::new() };
    let note = format!("the mean of the probabilities of {} runs", members.len());
    let thresholds = mean_thresholds(&thresholds).map_err(|error| unsuitable(error.to_string()))?;
    let combine = if thresholds.is_some() { mean_of_labels } else { mean_of_classes };
    Ok(LoadedModel {
        world: Rc::new(World::alone()),
        path: path.to_owned(),
        name: format!("{} x {}", members.len(), first.name),
        network: Box::new(Ensemble { members, combine }),
        thresholds,
        notes: first.notes.into_iter().chain([note]).collect(),
        // The runs' temperatures are in their probabilities; no image is left to choose a threshold.
        calibration: None,
        out_of_distribution,
        ..first
    })
}

/// The mean of each class's thresholds; none without any.
fn mean_thresholds(all: &[ClassThresholds]) -> Result<Option<ClassThresholds>, ThresholdError> {
    let Some(first) = all.first() else { return Ok(None) };
    let mean = |class: usize| {
        let sum: f64 = all.iter().map(|one| f64::from(one.values()[class])).sum();
        (sum / all.len() as f64) as f32
    };
    ClassThresholds::new((0..first.values().len()).map(mean).collect()).map(Some)
}

/// A transform but for what may differ by the training images of each run.
fn without_statistics(pipeline: &Pipeline) -> TransformConfig {
    TransformConfig { normalize: None, ..pipeline.config().clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [[f32; 5]; 3] =
        [[0.0, 3.0, -2.0, 40.0, -95.0], [0.5, -1.0, -4.0, 35.0, -90.0], [-2.0, 6.0, 1.0, 38.0, -120.0]];

    #[test]
    fn the_sigmoid_of_the_mean_is_the_mean_of_the_sigmoids() {
        let members: Vec<Tensor> = LOGITS.iter().map(|one| Tensor::from_slice(one).view([1, 5])).collect();
        let found = Vec::<f32>::try_from(mean_of_labels(&members).flatten(0, -1)).unwrap();
        for (class, found) in found.into_iter().enumerate() {
            let mean = |sign: f64| -> f64 {
                let of = |one: &[f32; 5]| 1.0 / (1.0 + (-sign * f64::from(one[class])).exp());
                LOGITS.iter().map(of).sum::<f64>() / 3.0
            };
            // Each from the side on which it does not round to 1.
            let expected = (mean(1.0) / mean(-1.0)).ln();
            let apart = (f64::from(found) - expected).abs();
            assert!(apart <= 1e-6 * expected.abs().max(1.0), "{class}: {found} {expected}");
        }
    }

    #[test]
    fn one_member_is_itself_and_infinite_logits_stay() {
        let values = [f32::INFINITY, f32::NEG_INFINITY, 0.25, -60.0, f32::NAN];
        let found = mean_of_labels(&[Tensor::from_slice(&values).view([1, 5])]);
        let found = Vec::<f32>::try_from(found.flatten(0, -1)).unwrap();
        assert_eq!(found[..4], values[..4]);
        assert!(found[4].is_nan());
    }

    #[test]
    fn thresholds_are_the_mean_of_the_members() {
        let of = |values: &[f32]| ClassThresholds::new(values.to_vec()).unwrap();
        let mean = mean_thresholds(&[of(&[0.25, 1.0]), of(&[0.75, 0.5])]).unwrap();
        assert_eq!(mean, Some(of(&[0.5, 0.75])));
        assert_eq!(mean_thresholds(&[]).unwrap(), None);
    }
}
