//! Embeddings of training images → how unlike them an image is.
//!
//! The score is the Mahalanobis distance of the embedding to the nearest class: Lee et al., "A simple
//! unified framework for detecting out-of-distribution samples and adversarial attacks" (2018), with
//! the mean of each class and one covariance about them, shrunk as Ledoit and Wolf, "A
//! well-conditioned estimator for large-dimensional covariance matrices" (2004). It is divided by the
//! distance that nearly all validation images keep within, so that more than 1 is unlike anything seen
//! in training. Kept with the model.

use tch::{Device, Kind, Tensor};
use torch_file::Value;

use super::{Embeddings, Evaluation};
use crate::metrics::intervals::quantile;
use crate::torch_error::{TorchError, catch_torch_panic};

/// Fraction of validation images whose score is at most 1.
pub const ACCEPTED: f64 = 0.99;

/// Scores embeddings.
#[derive(Debug)]
pub struct OutOfDistribution {
    /// `[D]` f32: the mean of all embeddings.
    center: Tensor,
    /// `[D, D]` f32: takes centred embeddings to where the covariance is the identity.
    whitening: Tensor,
    /// `[C, D]` f32: the classes' means there.
    class_means: Tensor,
    /// The distance that becomes a score of 1.
    threshold: f64,
    /// Training images that it was estimated from.
    samples: u64,
}

/// Why embeddings cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum OutOfDistributionError {
    /// There is nothing to estimate a covariance from.
    #[error("{0} training images are too few")]
    TooFew(i64),
    /// An embedding contains NaN or Inf.
    #[error("an embedding of a training image contains NaN or Inf")]
    NotFinite,
    /// All embeddings of a class are equal.
    #[error("the embeddings of the training images do not vary within their classes")]
    Singular,
    /// No memory.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<torch_ext::Error> for OutOfDistributionError {
    fn from(error: torch_ext::Error) -> OutOfDistributionError {
        TorchError::from(error).into()
    }
}

impl OutOfDistribution {
    /// Of the embeddings of training images and their classes `[N]`, each in `0..num_classes`. Classes
    /// without images are no candidates. Scores are distances until [`OutOfDistribution::calibrate`].
    ///
    /// It takes `N · D²` multiplications and memory for a few matrices `[N, D]` and `[D, D]` of f64.
    ///
    /// # Errors
    /// See [`OutOfDistributionError`].
    pub fn fit(
        embeddings: &Embeddings,
        targets: &[i64],
        num_classes: i64,
    ) -> Result<OutOfDistribution, OutOfDistributionError> {
        let (samples, dim) = (targets.len() as i64, embeddings.dim as i64);
        if samples < 2 || dim == 0 {
            return Err(OutOfDistributionError::TooFew(samples));
        }
        catch_torch_panic(|| {
            let rows = Tensor::from_slice(&embeddings.values).view([samples, dim]);
            tch::no_grad(|| fit(&rows, &Tensor::from_slice(targets), num_classes))
        })?
    }

    /// Sets the threshold by an evaluation of validation images that has distances for scores, which
    /// become scores. Images that are not finite do not count.
    pub fn calibrate(&mut self, evaluation: &mut Evaluation) {
        let Some(scores) = &mut evaluation.ood_scores else { return };
        let mut sorted: Vec<f64> =
            scores.iter().copied().map(f64::from).filter(|score| score.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        if sorted.is_empty() {
            return;
        }
        let distance = quantile(&sorted, ACCEPTED);
        // Embeddings that all are their class's mean are at distance 0.
        self.threshold = if distance > 0.0 { distance } else { f64::MIN_POSITIVE.sqrt() };
        scores.iter_mut().for_each(|score| *score = (f64::from(*score) / self.threshold) as f32);
    }

    /// The scores `[N]` f32, at least 0, of embeddings `[N, D]` f32 on their device. Inf for an
    /// embedding with NaN or Inf.
    pub fn scores(&self, embeddings: &Tensor) -> Tensor {
        let white = (embeddings - &self.center).matmul(&self.whitening);
        // Without matrix products, whose differences of large squares would lose digits.
        let distances = Tensor::cdist(&white, &self.class_means, 2.0, 2);
        let scores = distances.amin([1], false) / self.threshold;
        scores.nan_to_num(f64::INFINITY, f64::INFINITY, 0.0)
    }

    /// The mean `[N]` f32 of the scores of several scorers, at least one, each of its own columns of
    /// `embeddings` `[N, ΣD]` f32, from left to right.
    pub fn mean_scores(scorers: &[OutOfDistribution], embeddings: &Tensor) -> Tensor {
        let widths: Vec<i64> = scorers.iter().map(OutOfDistribution::dim).collect();
        let columns = embeddings.split_with_sizes(widths, 1);
        let scores: Vec<Tensor> =
            scorers.iter().zip(&columns).map(|(scorer, columns)| scorer.scores(columns)).collect();
        Tensor::stack(&scores, 0).mean_dim([0].as_slice(), false, Kind::Float)
    }

    /// D, the width of the embeddings.
    pub fn dim(&self) -> i64 {
        self.whitening.size()[0]
    }

    /// The distance that is a score of 1.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The same on `device`.
    #[must_use]
    pub fn to_device(self, device: Device) -> OutOfDistribution {
        OutOfDistribution {
            center: self.center.to_device(device),
            whitening: self.whitening.to_device(device),
            class_means: self.class_means.to_device(device),
            ..self
        }
    }

    /// What a checkpoint keeps.
    ///
    /// # Errors
    /// The device does not answer.
    pub fn to_value(&self) -> Result<Value, torch_ext::Error> {
        let tensor = |of: &Tensor| Ok::<_, torch_ext::Error>(Value::Tensor(torch_ext::to_host(of)?));
        Ok(Value::dict([
            ("center", tensor(&self.center)?),
            ("whitening", tensor(&self.whitening)?),
            ("class_means", tensor(&self.class_means)?),
            ("threshold", Value::Float(self.threshold)),
            ("samples", Value::Int(self.samples as i64)),
        ]))
    }

    /// What [`OutOfDistribution::to_value`] gave, in host memory.
    ///
    /// # Errors
    /// It is something else; a sentence without a subject.
    pub fn from_value(value: &Value) -> Result<OutOfDistribution, String> {
        let text = |error: torch_file::ValueError| format!("cannot be used: {error}");
        let tensor = |key: &str| value.get(key).and_then(|field| field.as_tensor().map(Tensor::detach));
        let center = tensor("center").map_err(text)?;
        let whitening = tensor("whitening").map_err(text)?;
        let class_means = tensor("class_means").map_err(text)?;
        let threshold = value.get("threshold").and_then(|field| field.as_f64()).map_err(text)?;
        let samples = value.get("samples").and_then(|field| field.as_u64()).map_err(text)?;
        let is_matrix = match (&center.size()[..], &whitening.size()[..], &class_means.size()[..]) {
            (&[d], &[rows, columns], &[classes, width]) => {
                d > 0 && classes > 0 && [rows, columns, width] == [d; 3]
            }
            _ => false,
        };
        let all = [&center, &whitening, &class_means];
        if !is_matrix || all.iter().any(|tensor| tensor.kind() != Kind::Float) {
            return Err("has tensors of other shapes or dtypes than belong together".to_owned());
        }
        if !(threshold.is_finite() && threshold > 0.0) || all.iter().any(|tensor| !is_finite(tensor)) {
            return Err("has values that are not finite".to_owned());
        }
        Ok(OutOfDistribution { center, whitening, class_means, threshold, samples })
    }
}

fn is_finite(tensor: &Tensor) -> bool {
    torch_ext::scalar(&tensor.isfinite().all()).is_ok_and(|all| all == 1.0)
}

/// Of embeddings `[N, D]` f32 and targets `[N]` i64.
fn fit(
    embeddings: &Tensor,
    targets: &Tensor,
    num_classes: i64,
) -> Result<OutOfDistribution, OutOfDistributionError> {
    let (samples, dim) = embeddings.size2().map_err(torch_ext::Error::from)?;
    if !is_finite(embeddings) {
        return Err(OutOfDistributionError::NotFinite);
    }
    let embeddings = embeddings.to_kind(Kind::Double);
    let counts = targets.bincount(None::<&Tensor>, num_classes);
    let sums = Tensor::zeros([num_classes, dim], (Kind::Double, Device::Cpu));
    let means = sums.index_add(0, targets, &embeddings) / counts.clamp_min(1).unsqueeze(1);
    let residuals = &embeddings - means.index_select(0, targets);
    let covariance = residuals.tr().matmul(&residuals) / samples as f64;
    let variance = torch_ext::scalar(&covariance.trace())? / dim as f64;
    if variance <= 0.0 {
        return Err(OutOfDistributionError::Singular);
    }
    let shrinkage = ledoit_wolf(&covariance, &residuals, variance)?;
    let identity = Tensor::eye(dim, (Kind::Double, Device::Cpu));
    let covariance = covariance * (1.0 - shrinkage) + &identity * (shrinkage * variance);
    let (factor, failed) = covariance.linalg_cholesky_ex(false, false);
    if torch_ext::scalar(&failed)? != 0.0 {
        return Err(OutOfDistributionError::Singular);
    }
    // The covariance is L Lᵀ: x L⁻ᵀ has the identity for its own.
    let whitening = factor.linalg_solve_triangular(&identity, false, true, false).tr();
    let center = embeddings.mean_dim([0].as_slice(), false, Kind::Double);
    let present = counts.nonzero().squeeze_dim(1);
    let class_means = (means.index_select(0, &present) - &center).matmul(&whitening);
    Ok(OutOfDistribution {
        center: center.to_kind(Kind::Float),
        whitening: whitening.to_kind(Kind::Float).contiguous(),
        class_means: class_means.to_kind(Kind::Float),
        threshold: 1.0,
        samples: samples as u64,
    })
}

/// The shrinkage of Ledoit and Wolf, lemma 3.2 to theorem 3.2, in `0..=1`: `b² / d²`, with `d²` the
/// squared distance of the covariance from `variance` times the identity, and `b²` an estimate of the
/// covariance's squared error; 0 where it is that multiple already.
fn ledoit_wolf(covariance: &Tensor, residuals: &Tensor, variance: f64) -> Result<f64, torch_ext::Error> {
    let (samples, dim) = (residuals.size()[0] as f64, residuals.size()[1] as f64);
    let squared = torch_ext::scalar(&covariance.square().sum(Kind::Double))?;
    let distance = squared - variance * variance * dim;
    // Σ ‖x xᵀ‖² = Σ ‖x‖⁴
    let rows = residuals.square().sum_dim_intlist([1].as_slice(), false, Kind::Double);
    let fourth = torch_ext::scalar(&rows.square().sum(Kind::Double))?;
    let error = ((fourth / samples - squared) / samples).max(0.0);
    Ok(if distance <= 0.0 { 0.0 } else { (error / distance).min(1.0) })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        dim: i64,
        num_classes: i64,
        embeddings: Vec<f32>,
        targets: Vec<i64>,
        queries: Vec<f32>,
        /// Squared distances.
        scores: Vec<f64>,
    }

    fn embeddings(values: &[f32], dim: i64) -> Tensor {
        Tensor::from_slice(values).view([-1, dim])
    }

    fn known(values: &[f32], dim: usize) -> Embeddings {
        Embeddings { values: values.to_vec(), dim, samples: (0..values.len() / dim).collect() }
    }

    #[test]
    fn distances_are_those_of_numpy_and_the_shrinkage_scikit_learns() {
        let text = include_str!("../../../../tests/reference/mahalanobis.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let known = known(&case.embeddings, case.dim as usize);
            let fitted = OutOfDistribution::fit(&known, &case.targets, case.num_classes).unwrap();
            let found = fitted.scores(&embeddings(&case.queries, case.dim));
            for (found, squared) in Vec::<f32>::try_from(&found).unwrap().iter().zip(&case.scores) {
                let wanted = squared.sqrt();
                // The whitening is kept in f32.
                assert!((f64::from(*found) - wanted).abs() <= 1e-4 * wanted.max(1.0), "{}", case.name);
            }
            // What a checkpoint keeps scores the same.
            let read = OutOfDistribution::from_value(&fitted.to_value().unwrap()).unwrap();
            assert_eq!(read.scores(&embeddings(&case.queries, case.dim)), found);
        }
    }

    #[test]
    fn embeddings_that_nothing_can_be_estimated_from_are_refused() {
        let refused = |values: &[f32]| {
            let targets = &[0, 0, 1][..values.len() / 2];
            OutOfDistribution::fit(&known(values, 2), targets, 2).unwrap_err().to_string()
        };
        assert!(refused(&[1.0, 2.0]).contains("too few"));
        assert!(refused(&[1.0, f32::NAN, 0.0, 0.0, 1.0, 1.0]).contains("NaN"));
        assert!(refused(&[1.0, 2.0, 1.0, 2.0, 5.0, 5.0]).contains("do not vary"));
    }

    #[test]
    fn an_embedding_that_is_not_finite_is_like_nothing() {
        let known = known(&[0.0, 0.0, 1.0, 0.5, 5.0, 5.0, 6.0, 4.0], 2);
        let fitted = OutOfDistribution::fit(&known, &[0, 0, 1, 1], 2).unwrap();
        let scores = fitted.scores(&embeddings(&[f32::NAN, 0.0, f32::INFINITY, 0.0, 0.5, 0.25], 2));
        let scores = Vec::<f32>::try_from(scores).unwrap();
        assert_eq!(scores[..2], [f32::INFINITY; 2]);
        assert!(scores[2] < 1e-3);
    }

    #[test]
    fn damage_is_found() {
        let known = known(&[0.0, 0.0, 1.0, 0.5, 5.0, 5.0, 6.0, 4.0], 2);
        let fitted = OutOfDistribution::fit(&known, &[0, 0, 1, 1], 2).unwrap();
        let damaged = |damage: fn(&mut OutOfDistribution)| {
            let mut one = OutOfDistribution::from_value(&fitted.to_value().unwrap()).unwrap();
            damage(&mut one);
            OutOfDistribution::from_value(&one.to_value().unwrap()).unwrap_err()
        };
        assert!(damaged(|one| one.threshold = 0.0).contains("not finite"));
        assert!(damaged(|one| one.center = &one.center * f64::NAN).contains("not finite"));
        assert!(damaged(|one| one.center = one.center.narrow(0, 0, 1)).contains("shapes"));
        assert!(damaged(|one| one.whitening = one.whitening.to_kind(Kind::Double)).contains("dtypes"));
    }
}
