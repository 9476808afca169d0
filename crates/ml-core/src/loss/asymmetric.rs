//! The asymmetric loss (Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification"), a
//! focal loss whose exponent differs between positives and negatives.
//!
//! Several labels per image, by the sigmoid `p_k` of each logit, as timm's
//! `AsymmetricLossMultiLabel`: `−(1 − p_k)^γ₊ log p_k` of a positive class and
//! `−q_k^γ₋ log(1 − q_k)` of a negative one, with `q_k = max(p_k − clip, 0)`;
//! summed over the classes, the mean over the N images (timm's reduction `batchmean`; the paper's
//! code sums over the images too). timm has no gradient where a probability is below 1e-8; here
//! logarithms are exact.
//!
//! One label per image, by the softmax `p_k`, as timm's `AsymmetricLossSingleLabel`:
//! `−Σ_k s_k w_k log p_k` with the smoothed target `s_k`, and the factor `w_k`, `(1 − p_k)^γ₊` for
//! the true class and `p_k^γ₋` for others; the mean over the N images. Of class probabilities it is
//! the mean of the losses of the classes, weighted with their probabilities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::{LossError, LossFunction, LossSettings, LossValue, Targets};

/// The asymmetric loss's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AsymmetricConfig {
    /// 0 or more: the larger, the less positives count that are classified well.
    #[schemars(extend("minimum" = 0))]
    pub gamma_pos: f64,
    /// 0 or more: the larger, the less negatives count that are classified well. With one label per
    /// image, negatives are part of the loss only if `label_smoothing` is above 0.
    #[schemars(extend("minimum" = 0))]
    pub gamma_neg: f64,
    /// At least 0 and below 1: subtracted from the probability of negatives, so that those below it
    /// do not count. With several labels per image only.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub clip: f64,
    /// In 0 to 1: this share of the target is spread evenly over all classes. With one label per
    /// image only.
    pub label_smoothing: f64,
}

impl Default for AsymmetricConfig {
    fn default() -> AsymmetricConfig {
        AsymmetricConfig { gamma_pos: 1.0, gamma_neg: 4.0, clip: 0.05, label_smoothing: 0.1 }
    }
}

impl LossSettings for AsymmetricConfig {
    fn problems(&self) -> Vec<(String, String)> {
        let AsymmetricConfig { gamma_pos, gamma_neg, clip, label_smoothing } = *self;
        let mut found = Vec::new();
        for (key, gamma) in [("gamma_pos", gamma_pos), ("gamma_neg", gamma_neg)] {
            if !(gamma.is_finite() && gamma >= 0.0) {
                found.push((key.to_owned(), format!("must be 0 or more, got {gamma}")));
            }
        }
        if !(0.0..1.0).contains(&clip) {
            found.push(("clip".to_owned(), format!("must be at least 0 and below 1, got {clip}")));
        }
        if !(0.0..=1.0).contains(&label_smoothing) {
            let message = format!("must be in 0 to 1, got {label_smoothing}");
            found.push(("label_smoothing".to_owned(), message));
        }
        found
    }

    fn num_class_weights(&self) -> Option<(&'static str, usize)> {
        None
    }

    fn build(&self, _: &[usize], _: Device) -> Box<dyn LossFunction> {
        Box::new(Asymmetric(self.clone()))
    }
}

#[derive(Debug)]
struct Asymmetric(AsymmetricConfig);

impl Asymmetric {
    /// Of several labels per image: `logits` and `targets` `[N, K]` → terms `[N, K]`.
    fn of_labels(&self, logits: &Tensor, targets: &Tensor) -> Tensor {
        let AsymmetricConfig { gamma_pos, gamma_neg, clip, .. } = self.0;
        let positive = power(&(-logits).sigmoid(), gamma_pos) * logits.log_sigmoid();
        let shifted = (logits.sigmoid() - clip).clamp_min(0.0);
        // With clip the argument is at least clip; without, 1 − p rounds to 0.
        let log_rest = if clip > 0.0 { (-&shifted).log1p() } else { (-logits).log_sigmoid() };
        let negative = power(&shifted, gamma_neg) * log_rest;
        -(targets * positive + targets.rsub_scalar(1.0) * negative)
    }

    /// The terms of each class, of an image of that class and of one of another: `[N, K]` → twice
    /// `[N, K]`.
    fn terms(&self, logits: &Tensor) -> (Tensor, Tensor) {
        let AsymmetricConfig { gamma_pos, gamma_neg, label_smoothing, .. } = self.0;
        let off = label_smoothing / logits.size()[1] as f64;
        let on = 1.0 - label_smoothing + off;
        let log_p = logits.log_softmax(1, logits.kind());
        // 1 − p, exact also for p near 1.
        let rest = -log_p.expm1();
        let positive = power(&rest, gamma_pos) * &log_p * -on;
        let negative = power(&log_p.exp(), gamma_neg) * &log_p * -off;
        (positive, negative)
    }

    /// Of one label per image: `logits` and `targets` `[N, K]`, rows of which sum to 1 → terms
    /// `[N, K]`.
    fn of_probabilities(&self, logits: &Tensor, targets: &Tensor) -> Tensor {
        let (positive, negative) = self.terms(logits);
        targets * positive + targets.rsub_scalar(1.0) * negative
    }
}

/// `base` to the power of `exponent`, the base being at least 0; not quite 0, where the derivative
/// of a root is infinite.
fn power(base: &Tensor, exponent: f64) -> Tensor {
    base.clamp_min(f64::from(f32::MIN_POSITIVE)).pow_tensor_scalar(exponent)
}

impl LossFunction for Asymmetric {
    fn forward(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        let kind = logits.kind();
        let terms = match targets {
            Targets::Classes(classes) => {
                let one_hot = logits.detach().zeros_like().scatter_value(1, &classes.unsqueeze(1), 1.0);
                self.of_probabilities(logits, &one_hot)
            }
            Targets::Probabilities(targets) => self.of_probabilities(logits, &targets.to_kind(kind)),
            Targets::MultiHot(targets) => self.of_labels(logits, &targets.to_kind(kind)),
        };
        let mean = terms.sum(kind) / logits.size()[0] as f64;
        Ok(LossValue::over_samples(mean, logits))
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::loss::{Loss, LossConfig, tests::compare};

    fn config(yaml: &str) -> LossConfig {
        serde_yaml::from_str(yaml).unwrap()
    }

    // The program: tests/reference/asymmetric.py.
    #[test]
    fn the_asymmetric_loss_and_its_gradient_equal_the_formula_in_float64() {
        let stored =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/asymmetric.json"));
        // A few roundings of each.
        compare(stored, &[(Kind::Double, 1e-12), (Kind::Float, 3e-6)]);
    }

    #[test]
    fn certain_predictions_have_finite_losses_and_gradients() {
        for settings in ["gamma_pos: 0, gamma_neg: 0, clip: 0", "gamma_pos: 0.5, gamma_neg: 0.5", "clip: 0.2"]
        {
            let loss = Loss::new(&config(&format!("{{name: asymmetric, {settings}}}")), &[], Device::Cpu);
            for targets in [
                Targets::Classes(Tensor::from_slice(&[0i64, 1])),
                Targets::MultiHot(Tensor::from_slice2(&[[1.0f32, 0.0], [0.0, 1.0]])),
            ] {
                let logits = Tensor::from_slice2(&[[200.0f32, -200.0], [200.0, -200.0]]);
                let logits = logits.set_requires_grad(true);
                let value = loss.forward(&logits, &targets).unwrap();
                assert!(value.mean.double_value(&[]).is_finite(), "{settings}, {targets:?}");
                value.mean.backward();
                assert_eq!(logits.grad().isfinite().all().int64_value(&[]), 1, "{settings}, {targets:?}");
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let default = config("{name: asymmetric}");
        assert!(default.problems().is_empty());
        let again = serde_yaml::to_string(&default).unwrap();
        assert_eq!(serde_yaml::from_str::<LossConfig>(&again).unwrap(), default, "{again}");
        let bad = "{name: asymmetric, gamma_pos: -1, gamma_neg: .inf, clip: 1, label_smoothing: 1.5}";
        let keys: Vec<String> = config(bad).problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["gamma_pos", "gamma_neg", "clip", "label_smoothing"]);
    }
}
