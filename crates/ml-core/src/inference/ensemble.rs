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
    /// What makes images that were normalised for the first network those of this one; none where it
    /// is the same.
    normalization: Option<Renormalize>,
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
            let renormalized = normalization.as_ref().map(|normalization| normalization.apply(images));
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
            let normalization = Renormalize::between(&first.pipeline, &other.pipeline, first.compute.device);
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
