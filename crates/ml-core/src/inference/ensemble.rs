//! The runs of a group → one model: the mean of their probabilities, each at its own temperature.
//! Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep
//! ensembles" (2017).

use std::path::{Path, PathBuf};
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::{InferenceError, LoadedModel};
use crate::device::Compute;
use crate::distributed::World;
use crate::network::{Classifier, Embedded, ForwardError, Input, Tapped};
use crate::run::RunGroup;
use crate::transform::{Pipeline, TransformConfig};

/// Several networks on the same images.
struct Ensemble {
    members: Vec<Member>,
}

/// A network of an [`Ensemble`].
struct Member {
    network: Box<dyn Classifier>,
    /// What its logits are divided by.
    temperature: f64,
    /// What makes images that were normalised for the first network those of this one, `[C, 1, 1]`
    /// each: a factor and a summand. None where it is the same.
    normalization: Option<[Tensor; 2]>,
}

impl Ensemble {
    /// Logits whose softmax is the mean of the members' probabilities, each of the member's logits as
    /// `of` gives them for images as it takes them.
    fn mean(
        &self,
        images: &Tensor,
        mut of: impl FnMut(&dyn Classifier, &Tensor) -> Result<Tensor, ForwardError>,
    ) -> Result<Tensor, ForwardError> {
        let each = self.members.iter().map(|Member { network, temperature, normalization }| {
            let renormalized = normalization.as_ref().map(|[factor, summand]| images * factor + summand);
            let logits = of(network.as_ref(), renormalized.as_ref().unwrap_or(images))?;
            Ok((logits / *temperature).softmax(-1, Kind::Float))
        });
        let probabilities = each.collect::<Result<Vec<Tensor>, ForwardError>>()?;
        Ok(Tensor::stack(&probabilities, 0).mean_dim([0].as_slice(), false, Kind::Float).log())
    }
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
    let mut members =
        vec![Member { temperature: first.temperature(), network: first.network, normalization: None }];
    for mut other in models {
        let what = if other.classes != first.classes {
            "class names"
        } else if without_statistics(&other.pipeline) != without_statistics(&first.pipeline) {
            "evaluation transforms"
        } else if other.compute != first.compute {
            "precisions (give one with --precision)"
        } else {
            let normalization = renormalization(&first.pipeline, &other.pipeline, first.compute.device);
            scorers.push(std::mem::take(&mut other.out_of_distribution));
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
    Ok(LoadedModel {
        world: Rc::new(World::alone()),
        path: path.to_owned(),
        name: format!("{} x {}", members.len(), first.name),
        network: Box::new(Ensemble { members }),
        notes: first.notes.into_iter().chain([note]).collect(),
        // The runs' temperatures are in their probabilities; no image is left to choose a threshold.
        calibration: None,
        out_of_distribution,
        ..first
    })
}

/// A transform but for what may differ by the training images of each run.
fn without_statistics(pipeline: &Pipeline) -> TransformConfig {
    TransformConfig { normalize: None, ..pipeline.config().clone() }
}

/// See [`Member::normalization`]: of `(x - m₁) / s₁` it makes `(x - m₂) / s₂`.
fn renormalization(first: &Pipeline, other: &Pipeline, device: Device) -> Option<[Tensor; 2]> {
    let ((mean, std), (other_mean, other_std)) = (first.normalization(), other.normalization());
    if (&mean, &std) == (&other_mean, &other_std) {
        return None;
    }
    let channels = |values: Vec<f64>| {
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        Tensor::from_slice(&values).view([-1, 1, 1]).to_device(device)
    };
    let factor = std.iter().zip(&other_std).map(|(one, other)| one / other);
    let moved = mean.iter().zip(&other_mean).zip(&other_std).map(|((one, other), std)| (one - other) / std);
    Some([channels(factor.collect()), channels(moved.collect())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Normalize;
    use ml_data::setting::Auto;

    #[test]
    fn images_of_one_normalization_become_those_of_another() {
        let pipeline = |mean: [f64; 3], std: [f64; 3]| {
            let normalize = Normalize { mean: mean.to_vec(), std: std.to_vec() };
            let config =
                TransformConfig { normalize: Some(Auto::Value(normalize)), ..TransformConfig::default() };
            Pipeline::new(&config).unwrap()
        };
        let one = pipeline([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]);
        let other = pipeline([0.45, 0.41, 0.3], [0.21, 0.2, 0.3]);
        assert!(renormalization(&one, &one, Device::Cpu).is_none());
        let [factor, summand] = renormalization(&one, &other, Device::Cpu).unwrap();
        let channels = |values: &[f64]| Tensor::from_slice(values).view([-1, 1, 1]);
        let raw = Tensor::rand([3, 4, 4], (Kind::Double, Device::Cpu));
        let normalized = |mean: &[f64], std: &[f64]| (&raw - channels(mean)) / channels(std);
        let found = normalized(&[0.5, 0.4, 0.3], &[0.2, 0.25, 0.3]) * factor + summand;
        let wanted = normalized(&[0.45, 0.41, 0.3], &[0.21, 0.2, 0.3]);
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-6);
    }
}
