//! Cross entropy of the softmax of the logits, PyTorch's `CrossEntropyLoss`; in training, of logits
//! adjusted by the prior of the classes where requested (Menon et al. 2021, equation 10):
//! `x_k + τ log π_k` with `π_k` the share of class k in the training split.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor};

use super::{ClassWeights, LossError, LossFunction, LossSettings, LossValue, Targets};

/// The name in configurations.
const NAME: &str = "cross_entropy";

/// Cross entropy's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropyConfig {
    /// In 0 to 1: this share of the target is spread evenly over all classes (Szegedy et al. 2016).
    pub label_smoothing: f64,
    /// `none`, `balanced` (total / (classes × images of the class), as in scikit-learn),
    /// `{effective_number: β}` ((1 − β) / (1 − β^images of the class), scaled to sum to the number
    /// of classes; Cui et al. 2019), or one number a class, in the order of the classes.
    pub class_weights: ClassWeights,
    /// 0 or more, τ: training adds τ × log(share of the class in the training split) to each logit;
    /// validation and predictions use the logits as they are. A class without training images is
    /// taken to have one. 0 is none; the paper's value is 1.
    #[schemars(extend("minimum" = 0))]
    pub logit_adjustment: f64,
}

impl LossSettings for CrossEntropyConfig {
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let smoothing = self.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            found.push(("label_smoothing".to_owned(), format!("must be in 0 to 1, got {smoothing}")));
        }
        found.extend(self.class_weights.problem().map(|problem| ("class_weights".to_owned(), problem)));
        let tau = self.logit_adjustment;
        if !(tau.is_finite() && tau >= 0.0) {
            found.push(("logit_adjustment".to_owned(), format!("must be 0 or more, got {tau}")));
        }
        found
    }

    fn num_class_weights(&self) -> Option<(&'static str, usize)> {
        self.class_weights.num_given().map(|given| ("loss.class_weights", given))
    }

    fn build(&self, class_counts: &[usize], device: Device) -> Box<dyn LossFunction> {
        let weights = self.class_weights.resolve(class_counts);
        let class_weights = weights
            .as_ref()
            .map(|weights| Tensor::from_slice(weights).to_kind(Kind::Float).to_device(device));
        let adjustment = adjustment(self.logit_adjustment, class_counts)
            .map(|adjustment| Tensor::from_slice(&adjustment).to_device(device));
        Box::new(CrossEntropy { label_smoothing: self.label_smoothing, class_weights, weights, adjustment })
    }
}

/// `τ log π_k` of each class k, if τ is not 0. A class without images is taken to have one.
fn adjustment(tau: f64, class_counts: &[usize]) -> Option<Vec<f64>> {
    let total: usize = class_counts.iter().sum();
    let of_class = |&count: &usize| tau * (count.max(1) as f64 / total.max(1) as f64).ln();
    (tau != 0.0).then(|| class_counts.iter().map(of_class).collect())
}

#[derive(Debug)]
struct CrossEntropy {
    label_smoothing: f64,
    /// `[K]`, f32.
    class_weights: Option<Tensor>,
    /// The same numbers, where they can be read without waiting for the device.
    weights: Option<Vec<f64>>,
    /// `[K]`, f64: what training adds to the logits.
    adjustment: Option<Tensor>,
}

impl CrossEntropy {
    fn reduced(&self, logits: &Tensor, targets: &Tensor, reduction: Reduction) -> Tensor {
        logits.cross_entropy_loss(targets, self.class_weights.as_ref(), reduction, -100, self.label_smoothing)
    }

    /// `targets` `[N]` i64 in `0..K`. Without any weight in the batch its mean is 0, where PyTorch
    /// divides by zero.
    fn of_classes(&self, logits: &Tensor, targets: &Tensor) -> LossValue {
        let Some(class_weights) = &self.class_weights else {
            let mean = self.reduced(logits, targets, Reduction::Mean);
            return LossValue::over_samples(mean, logits);
        };
        let weights = class_weights.index_select(0, targets);
        let mean = if self.has_zero_weight() {
            let divisor = weights.sum(Kind::Float);
            let is_none = divisor.eq(0.0);
            let sum = self.reduced(logits, targets, Reduction::Sum);
            (sum / (divisor + is_none.to_kind(Kind::Float))).masked_fill(&is_none, 0.0)
        } else {
            self.reduced(logits, targets, Reduction::Mean)
        };
        LossValue { mean, divisor: weights.sum(Kind::Double) }
    }

    fn has_zero_weight(&self) -> bool {
        self.weights.as_ref().is_some_and(|weights| weights.contains(&0.0))
    }
}

impl LossFunction for CrossEntropy {
    fn forward(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        match targets {
            Targets::Classes(targets) => Ok(self.of_classes(logits, targets)),
            // Each term is weighted, and the sum divided by N.
            Targets::Probabilities(targets) => {
                let mean = self.reduced(logits, targets, Reduction::Mean);
                Ok(LossValue::over_samples(mean, logits))
            }
            Targets::MultiHot(_) => Err(LossError::MultiHot { loss: NAME }),
        }
    }

    fn forward_train(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        match &self.adjustment {
            Some(adjustment) => self.forward(&(logits + adjustment.to_kind(logits.kind())), targets),
            None => self.forward(logits, targets),
        }
    }

    fn divisor(&self, targets: &[i64]) -> f64 {
        match &self.weights {
            None => targets.len() as f64,
            Some(weights) => targets.iter().map(|&class| weights[class as usize]).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::tests::compare;
    use crate::loss::{Loss, LossConfig};
    use crate::network::TrainOutputs;

    fn ready(config: CrossEntropyConfig) -> Loss {
        Loss::new(&LossConfig::CrossEntropy(config), &[6, 3, 1], Device::Cpu)
    }

    fn classes(targets: &[i64]) -> Targets {
        Targets::Classes(Tensor::from_slice(targets))
    }

    /// `[2, 3]`
    fn logits() -> Tensor {
        Tensor::from_slice(&[2.0f32, -1.0, 0.5, 0.0, 3.0, -2.0]).view([2, 3])
    }

    // The program: tests/reference/loss.py.
    #[test]
    fn cross_entropy_equals_pytorchs() {
        let reference: serde_json::Value = serde_json::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/reference/loss.json"
        )))
        .unwrap();
        let plain = CrossEntropyConfig::default();
        let smooth = CrossEntropyConfig { label_smoothing: 0.1, ..plain.clone() };
        let balanced = CrossEntropyConfig { class_weights: ClassWeights::Balanced, ..smooth.clone() };
        let given =
            CrossEntropyConfig { class_weights: ClassWeights::Given(vec![0.5, 1.0, 2.0]), ..plain.clone() };
        for (name, config) in [("plain", plain), ("smooth", smooth), ("balanced", balanced), ("given", given)]
        {
            let expected = reference[name].as_f64().unwrap();
            let value = ready(config).forward(&logits(), &classes(&[0, 2])).unwrap();
            let got = value.mean.double_value(&[]);
            // The same kernel in the same library: float32's last bit.
            assert!((got - expected).abs() < 1e-6, "{name}: {got} and {expected}");
        }
    }

    #[test]
    fn batch_means_weighted_by_their_divisors_make_the_mean_over_all() {
        let loss = ready(CrossEntropyConfig {
            label_smoothing: 0.1,
            class_weights: ClassWeights::Given(vec![0.5, 1.0, 2.0]),
            ..CrossEntropyConfig::default()
        });
        let logits = Tensor::from_slice(&[2.0f32, -1.0, 0.5, 0.0, 3.0, -2.0, 1.0, 0.2, 0.1]).view([3, 3]);
        let all = [0i64, 2, 1];
        let of = |first: usize, count: usize| {
            let targets = &all[first..first + count];
            let value =
                loss.forward(&logits.narrow(0, first as i64, count as i64), &classes(targets)).unwrap();
            let divisor = value.divisor.double_value(&[]);
            assert_eq!(divisor, loss.divisor(targets), "on the device as on the host");
            (value.mean.double_value(&[]), divisor)
        };
        let parts = [of(0, 1), of(1, 2)];
        let total: f64 = parts.iter().map(|(_, divisor)| divisor).sum();
        let together: f64 = parts.iter().map(|(mean, divisor)| mean * divisor / total).sum();
        assert!((together - of(0, 3).0).abs() < 1e-6, "{together}");
    }

    #[test]
    fn classes_of_weight_zero_do_not_count_and_a_batch_of_them_has_loss_zero() {
        let weights = |zero: f64| {
            ready(CrossEntropyConfig {
                label_smoothing: 0.1,
                class_weights: ClassWeights::Given(vec![0.5, zero, 2.0]),
                ..CrossEntropyConfig::default()
            })
        };
        let logits = logits().set_requires_grad(true);
        let value = |loss: &Loss, targets: [i64; 2]| loss.forward(&logits, &classes(&targets)).unwrap();
        let tiny = weights(1e-30);
        for targets in [[0, 1], [0, 2]] {
            let (zero, tiny) = (value(&weights(0.0), targets).mean, value(&tiny, targets).mean);
            assert!((zero.double_value(&[]) - tiny.double_value(&[])).abs() < 1e-6, "{targets:?}");
        }
        let none = value(&weights(0.0), [1, 1]);
        assert_eq!((none.mean.double_value(&[]), none.divisor.double_value(&[])), (0.0, 0.0));
        none.mean.backward();
        assert_eq!(logits.grad().abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn probabilities_are_divided_by_their_number_and_several_labels_are_refused() {
        let loss = ready(CrossEntropyConfig {
            class_weights: ClassWeights::Given(vec![0.5, 1.0, 2.0]),
            ..CrossEntropyConfig::default()
        });
        let one_hot = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 0.0, 0.0, 1.0]).view([2, 3]);
        let value = loss.forward(&logits(), &Targets::Probabilities(one_hot.shallow_clone())).unwrap();
        let labels = loss.forward(&logits(), &classes(&[0, 2])).unwrap();
        assert_eq!((value.divisor.double_value(&[]), labels.divisor.double_value(&[])), (2.0, 2.5));
        let sum = |value: &LossValue| value.mean.double_value(&[]) * value.divisor.double_value(&[]);
        assert!((sum(&value) - sum(&labels)).abs() < 1e-6);
        let error = loss.forward(&logits(), &Targets::MultiHot(one_hot)).unwrap_err();
        assert!(error.to_string().contains("cross_entropy"), "{error}");
    }

    #[test]
    fn weights_and_smoothing_out_of_range_are_named() {
        let bad = LossConfig::CrossEntropy(CrossEntropyConfig {
            label_smoothing: f64::NAN,
            class_weights: ClassWeights::Given(vec![1.0, -1.0]),
            logit_adjustment: -1.0,
        });
        let keys: Vec<String> = bad.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["label_smoothing", "class_weights", "logit_adjustment"]);
    }

    // The program: tests/reference/logit_adjusted.py.
    #[test]
    fn logits_are_adjusted_in_training_and_plain_in_validation() {
        let stored =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/logit_adjusted.json"));
        // Class weights are float32.
        compare(stored, &[(Kind::Float, 3e-6)]);
    }

    #[test]
    fn auxiliary_heads_are_adjusted_too_and_a_class_without_images_counts_as_one_image() {
        let config = CrossEntropyConfig { logit_adjustment: 1.0, ..CrossEntropyConfig::default() };
        let loss = Loss::new(&LossConfig::CrossEntropy(config), &[3, 0, 1], Device::Cpu);
        let targets = classes(&[0, 2]);
        let of = |logits: &Tensor| {
            let prior = Tensor::from_slice(&[0.75f32, 0.25, 0.25]).log();
            let loss = ready(CrossEntropyConfig::default());
            loss.forward(&(logits + prior), &targets).unwrap().mean.double_value(&[])
        };
        let outputs =
            TrainOutputs { logits: logits(), embedding: None, auxiliary: vec![(0.5, logits() * 2.0)] };
        let got = loss.of_outputs(&outputs, &targets).unwrap().mean.double_value(&[]);
        let expected = of(&logits()) + 0.5 * of(&(logits() * 2.0));
        assert!((got - expected).abs() < 1e-6, "{got}, {expected}");
    }
}
