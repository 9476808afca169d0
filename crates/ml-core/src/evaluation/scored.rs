//! What was computed of a batch on the device → plain numbers on the host.

use tch::Tensor;
use torch_ext::Fetch;

use super::ClassProbability;
use crate::torch_error::TorchError;

/// The most probable classes of a batch, on their way to the host.
pub(super) struct Scored {
    pub samples: Vec<usize>,
    /// Classes `[N, k]` i64, probabilities `[N, k]` f32, logits `[N, K]` f32, and perhaps scores `[N]`
    /// f32 of how unlike those of training the images are.
    pub fetch: Fetch,
}

impl Scored {
    /// Each sample's place in the index and its classes; logits and scores are put behind those of
    /// the batches before.
    pub fn samples(
        self,
        all_logits: &mut Vec<f32>,
        all_scores: Option<&mut Vec<f32>>,
    ) -> Result<impl Iterator<Item = (usize, Vec<ClassProbability>)>, TorchError> {
        let fetched = self.fetch.wait()?;
        let ranked = match &fetched[..] {
            [classes, probabilities, logits, scores @ ..] => {
                all_logits.extend(values::<f32>(logits)?);
                if let (Some(scores), Some(all)) = (scores.first(), all_scores) {
                    all.extend(values::<f32>(scores)?);
                }
                ranked(classes, probabilities)?
            }
            _ => Vec::new(),
        };
        Ok(self.samples.into_iter().zip(ranked))
    }
}

/// Classes `[N, k]` i64 and their probabilities `[N, k]` f32 in host memory, row by row.
pub(super) fn ranked(
    classes: &Tensor,
    probabilities: &Tensor,
) -> Result<Vec<Vec<ClassProbability>>, TorchError> {
    let width = classes.size()[1] as usize;
    let scored: Vec<ClassProbability> = values::<i64>(classes)?
        .into_iter()
        .zip(values::<f32>(probabilities)?)
        .map(|(class, probability)| ClassProbability { class: class as usize, probability })
        .collect();
    Ok(scored.chunks(width.max(1)).map(<[ClassProbability]>::to_vec).collect())
}

/// All elements of a tensor in host memory.
pub(super) fn values<T>(tensor: &Tensor) -> Result<Vec<T>, TorchError>
where
    Vec<T>: TryFrom<Tensor, Error = tch::TchError>,
{
    Ok(Vec::try_from(tensor.flatten(0, -1)).map_err(torch_ext::Error::from)?)
}
