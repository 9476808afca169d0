//! The consistency loss of AugMix (Hendrycks et al. 2020, arXiv:1912.02781, equation 2), as timm's
//! `JsdCrossEntropy` computes it: of V views of each image, the first of them clean,
//! `CE(clean) + α · JS(p_1, …, p_V)` with `p_v = softmax(x_v)`,
//! `JS = 1/V Σ_v KL(p_v ‖ M)` and `M = clamp(1/V Σ_v p_v, 1e-7, 1)`, mean over the images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{Loss, LossError, LossValue, Targets};
use crate::network::TrainOutputs;

/// Bounds of the mean of the probabilities, whose logarithm is taken.
const MIXTURE: [f64; 2] = [1e-7, 1.0];
/// More views of an image are a slip of the fingers.
const MAX_SPLITS: usize = 8;

/// How much the predictions for several views of an image are to agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JensenShannonConfig {
    /// Above 0: weight of the divergence beside the cross entropy of the clean views.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub alpha: f64,
    /// Views of each image, the clean one included: 2 to 8.
    #[schemars(range(min = 2, max = 8))]
    pub splits: usize,
}

impl Default for JensenShannonConfig {
    fn default() -> JensenShannonConfig {
        JensenShannonConfig { alpha: 12.0, splits: 3 }
    }
}

impl JensenShannonConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            found.push(("alpha".to_owned(), format!("must be positive, got {}", self.alpha)));
        }
        if !(2..=MAX_SPLITS).contains(&self.splits) {
            found.push(("splits".to_owned(), format!("must be from 2 to {MAX_SPLITS}, got {}", self.splits)));
        }
        found
    }

    /// Of outputs for `V · N` images, the N clean ones first: `loss` of the clean ones, auxiliary heads
    /// included, and what the divergence adds to it, a mean over the N images. `targets` are of the
    /// clean ones.
    ///
    /// # Errors
    /// As [`Loss::of_outputs`].
    pub fn of_outputs(
        &self,
        loss: &Loss,
        outputs: &TrainOutputs,
        targets: &Targets,
    ) -> Result<(LossValue, Tensor), LossError> {
        let auxiliary = outputs.auxiliary.iter().map(|(share, logits)| (*share, self.clean(logits)));
        let (logits, embedding) = (self.clean(&outputs.logits), None);
        let clean = TrainOutputs { logits, embedding, auxiliary: auxiliary.collect() };
        Ok((loss.of_outputs(&clean, targets)?, self.divergence(&outputs.logits) * self.alpha))
    }

    /// The rows of the clean views.
    pub fn clean(&self, rows: &Tensor) -> Tensor {
        rows.narrow(0, 0, rows.size()[0] / self.splits as i64)
    }

    /// The mean over the images, of logits `[V · N, K]`.
    fn divergence(&self, logits: &Tensor) -> Tensor {
        let (size, views) = (logits.size(), self.splits as i64);
        let (rows, classes) = (size[0], size[1]);
        let log_p = logits.view([views, rows / views, classes]).log_softmax(-1, None::<Kind>);
        // By way of logarithms, where a probability of 0 has a gradient.
        let p = log_p.exp();
        let mixture = p.mean_dim([0i64].as_slice(), true, None::<Kind>);
        let log_mixture = mixture.clamp(MIXTURE[0], MIXTURE[1]).log();
        (p * (log_p - log_mixture)).sum(logits.kind()) / rows.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::Device;

    use super::*;
    use crate::loss::tests::CLASS_COUNTS;
    use crate::loss::{CrossEntropyConfig, LossConfig};

    fn tensor(rows: &Value, kind: Kind) -> Tensor {
        let rows: Vec<Vec<f64>> = serde_json::from_value(rows.clone()).unwrap();
        Tensor::from_slice2(&rows).to_kind(kind)
    }

    fn outputs(logits: &Tensor) -> TrainOutputs {
        TrainOutputs { logits: logits.shallow_clone(), embedding: None, auxiliary: Vec::new() }
    }

    // The program: tests/reference/jensen_shannon.py.
    #[test]
    fn value_and_gradient_equal_timms() {
        let stored =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/jensen_shannon.json"));
        let cases: Vec<Value> = serde_json::from_str(stored).unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let config = JensenShannonConfig {
                alpha: case["alpha"].as_f64().unwrap(),
                splits: case["splits"].as_u64().unwrap() as usize,
            };
            let own: CrossEntropyConfig = serde_json::from_value(case["config"].clone()).unwrap();
            let loss = Loss::new(&LossConfig::CrossEntropy(own), &CLASS_COUNTS, Device::Cpu);
            let classes: Vec<i64> = serde_json::from_value(case["classes"].clone()).unwrap();
            let targets = Targets::Classes(Tensor::from_slice(&classes));
            // Class weights are float32. Of that, 24 bits, and the sum is of up to 60 numbers.
            let with_weights = !case["config"]["class_weights"].is_null();
            let kinds = [(Kind::Double, 1e-12), (Kind::Float, 2e-6)];
            for (kind, tolerance) in
                kinds.into_iter().filter(|(kind, _)| !with_weights || *kind == Kind::Float)
            {
                let logits = tensor(&case["logits"], kind).set_requires_grad(true);
                let (clean, divergence) = config.of_outputs(&loss, &outputs(&logits), &targets).unwrap();
                let mean = clean.mean + divergence;
                let (got, expected) = (mean.double_value(&[]), case["mean"].as_f64().unwrap());
                let is_near = (got - expected).abs() < tolerance * expected.abs().max(1.0);
                assert!(is_near, "{config:?} {kind:?}: {got} and {expected}");
                assert_eq!(clean.divisor.double_value(&[]), loss.divisor(&classes), "of clean images");
                mean.backward();
                let expected = tensor(&case["grad"], Kind::Double);
                let apart = (logits.grad().to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
                assert!(apart < tolerance, "gradient of {config:?} {kind:?}: {apart}");
            }
        }
    }

    #[test]
    fn a_probability_of_zero_has_a_finite_gradient_and_views_that_agree_have_none() {
        let config = JensenShannonConfig { splits: 2, ..JensenShannonConfig::default() };
        let gradient = |rows: &[[f32; 2]]| {
            let logits = Tensor::from_slice2(rows).set_requires_grad(true);
            let divergence = config.divergence(&logits);
            divergence.backward();
            (divergence.double_value(&[]), logits.grad())
        };
        let (value, grad) = gradient(&[[0.0, 300.0], [300.0, 0.0]]);
        assert!((value - 2f64.ln()).abs() < 1e-6, "{value}");
        assert!(grad.isfinite().all().int64_value(&[]) == 1, "{grad:?}");
        let (value, grad) = gradient(&[[1.0, 2.0], [1.0, 2.0]]);
        assert!(value.abs() < 1e-6 && grad.abs().max().double_value(&[]) < 1e-6, "{value}");
    }

    #[test]
    fn auxiliary_heads_have_the_loss_of_the_clean_views() {
        let loss = Loss::new(&LossConfig::default(), &CLASS_COUNTS, Device::Cpu);
        let config = JensenShannonConfig { splits: 2, alpha: 1.0 };
        let logits = Tensor::from_slice2(&[[1.0f32, 2.0, 0.5], [3.0, 1.0, 0.0]]);
        let targets = Targets::Classes(Tensor::from_slice(&[1i64]));
        let of = |auxiliary| {
            let outputs = TrainOutputs { logits: logits.shallow_clone(), embedding: None, auxiliary };
            let (clean, divergence) = config.of_outputs(&loss, &outputs, &targets).unwrap();
            (clean.mean.double_value(&[]), divergence.double_value(&[]))
        };
        let (plain, with) = (of(Vec::new()), of(vec![(0.5, logits.shallow_clone())]));
        assert!((with.0 - 1.5 * plain.0).abs() < 1e-6, "{plain:?}, {with:?}");
        assert_eq!(with.1, plain.1);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (splits, alpha, expected) in [
            (1, 0.0, &["alpha", "splits"][..]),
            (9, 12.0, &["splits"]),
            (8, f64::NAN, &["alpha"]),
            (2, 1.0, &[]),
        ] {
            let keys: Vec<String> =
                JensenShannonConfig { alpha, splits }.problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected);
        }
    }
}
