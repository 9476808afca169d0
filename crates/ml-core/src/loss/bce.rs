//! Binary cross entropy of each class's logit, as timm's `BinaryCrossEntropy` (for classification
//! with one label per image: Wightman et al. 2021, "ResNet strikes back"):
//! `−w_k t_k log σ(x_k) − (1 − t_k) log(1 − σ(x_k))` of the logit `x_k`, the target `t_k` in 0 to 1
//! and the weight `w_k` of positives.
//!
//! The mean is over the N images; over the K classes it is the mean too, or the sum.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::{Device, Reduction, Tensor};

use super::{LossError, LossFunction, LossSettings, LossValue, Targets};

/// The settings of binary cross entropy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BceConfig {
    /// In 0 to 1, s: an image with one label has the target 1 − s + s / K for its class and s / K
    /// for each other of the K classes, and mixup and cutmix mix such targets. Those of several
    /// labels are not smoothed.
    pub label_smoothing: f64,
    /// Null, or at least 0 and below 1: targets above it become 1, all others 0.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub target_threshold: Option<f64>,
    /// Whether the terms of an image's classes are summed, instead of their mean taken.
    pub sum_classes: bool,
    /// Factor of the positive terms: a number, one number a class in the order of the classes, or
    /// `balanced` (images of other classes / images of the class in the training split; 0 for a
    /// class without images).
    pub pos_weight: PosWeight,
}

/// Factor of the positive terms of binary cross entropy.
#[derive(Clone, Debug, PartialEq)]
pub enum PosWeight {
    /// The same for all classes.
    Same(f64),
    /// Negatives / positives of each class in the training split.
    Balanced,
    /// Of each class.
    Given(Vec<f64>),
}

impl Default for PosWeight {
    fn default() -> PosWeight {
        PosWeight::Same(1.0)
    }
}

impl PosWeight {
    /// One factor, or one a class; `None` where they are 1. `class_counts`: training samples of
    /// each class.
    fn resolve(&self, class_counts: &[usize]) -> Option<Vec<f64>> {
        match self {
            PosWeight::Same(weight) => (*weight != 1.0).then(|| vec![*weight]),
            PosWeight::Balanced => {
                let total: usize = class_counts.iter().sum();
                let ratio = |&count: &usize| match count {
                    0 => 0.0,
                    _ => (total - count) as f64 / count as f64,
                };
                Some(class_counts.iter().map(ratio).collect())
            }
            PosWeight::Given(weights) => Some(weights.clone()),
        }
    }

    fn problem(&self) -> Option<String> {
        let weights: &[f64] = match self {
            PosWeight::Same(weight) => std::slice::from_ref(weight),
            PosWeight::Balanced => return None,
            PosWeight::Given(weights) => weights,
        };
        let bad = weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0)?;
        Some(format!("must be finite and not negative, got {bad}"))
    }
}

impl Serialize for PosWeight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            PosWeight::Same(weight) => serializer.serialize_f64(*weight),
            PosWeight::Balanced => serializer.serialize_str("balanced"),
            PosWeight::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for PosWeight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PosWeightVisitor;
        impl<'de> Visitor<'de> for PosWeightVisitor {
            type Value = PosWeight;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`balanced`, a number, or a list of one number a class")
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<PosWeight, E> {
                Ok(PosWeight::Same(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PosWeight, E> {
                Ok(PosWeight::Same(number as f64))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<PosWeight, E> {
                Ok(PosWeight::Same(number as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PosWeight, E> {
                match text {
                    "balanced" => Ok(PosWeight::Balanced),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PosWeight, A::Error> {
                let mut weights = Vec::new();
                while let Some(weight) = items.next_element()? {
                    weights.push(weight);
                }
                Ok(PosWeight::Given(weights))
            }
        }
        deserializer.deserialize_any(PosWeightVisitor)
    }
}

impl JsonSchema for PosWeight {
    fn schema_name() -> Cow<'static, str> {
        "PosWeight".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "enum": ["balanced"] },
            { "type": "number", "minimum": 0 },
            { "type": "array", "items": { "type": "number", "minimum": 0 } },
        ] })
    }
}

impl BceConfig {
    /// The same with `balanced` weights as numbers, where images have several labels: images without
    /// the label / images with it.
    pub(super) fn of_labels(&self, class_counts: &[usize], num_images: usize) -> BceConfig {
        let ratio = |&count: &usize| match count {
            0 => 0.0,
            _ => num_images.saturating_sub(count) as f64 / count as f64,
        };
        let pos_weight = match &self.pos_weight {
            PosWeight::Balanced => PosWeight::Given(class_counts.iter().map(ratio).collect()),
            given => given.clone(),
        };
        BceConfig { pos_weight, ..self.clone() }
    }
}

impl LossSettings for BceConfig {
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let smoothing = self.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            found.push(("label_smoothing".to_owned(), format!("must be in 0 to 1, got {smoothing}")));
        }
        if let Some(threshold) = self.target_threshold {
            if !(0.0..1.0).contains(&threshold) {
                let message = format!("must be null or at least 0 and below 1, got {threshold}");
                found.push(("target_threshold".to_owned(), message));
            }
            if smoothing != 0.0 {
                let message = "must be 0 with target_threshold, which makes every target 0 or 1".to_owned();
                found.push(("label_smoothing".to_owned(), message));
            }
        }
        found.extend(self.pos_weight.problem().map(|problem| ("pos_weight".to_owned(), problem)));
        found
    }

    fn num_class_weights(&self) -> Option<(&'static str, usize)> {
        match &self.pos_weight {
            PosWeight::Given(weights) => Some(("loss.pos_weight", weights.len())),
            PosWeight::Same(_) | PosWeight::Balanced => None,
        }
    }

    fn build(&self, class_counts: &[usize], device: Device) -> Box<dyn LossFunction> {
        let pos_weight = self.pos_weight.resolve(class_counts);
        Box::new(Bce {
            label_smoothing: self.label_smoothing,
            target_threshold: self.target_threshold,
            sum_classes: self.sum_classes,
            pos_weight: pos_weight.map(|weights| Tensor::from_slice(&weights).to_device(device)),
        })
    }
}

#[derive(Debug)]
struct Bce {
    label_smoothing: f64,
    target_threshold: Option<f64>,
    sum_classes: bool,
    /// `[K]` or `[1]`, f64.
    pos_weight: Option<Tensor>,
}

impl Bce {
    /// `[N, K]`, in 0 to 1, of the kind of `logits`.
    fn targets(&self, logits: &Tensor, targets: &Targets) -> Tensor {
        let targets = match targets {
            Targets::Classes(classes) => {
                let off = self.label_smoothing / logits.size()[1] as f64;
                let on = 1.0 - self.label_smoothing + off;
                logits.detach().full_like(off).scatter_value(1, &classes.unsqueeze(1), on)
            }
            Targets::Probabilities(targets) => {
                let off = self.label_smoothing / logits.size()[1] as f64;
                targets.to_kind(logits.kind()) * (1.0 - self.label_smoothing) + off
            }
            Targets::MultiHot(targets) => targets.to_kind(logits.kind()),
        };
        match self.target_threshold {
            Some(threshold) => targets.gt(threshold).to_kind(logits.kind()),
            None => targets,
        }
    }
}

impl LossFunction for Bce {
    fn forward(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        let targets = self.targets(logits, targets);
        let pos_weight = self.pos_weight.as_ref().map(|weights| weights.to_kind(logits.kind()));
        let mean =
            logits.binary_cross_entropy_with_logits(&targets, None, pos_weight.as_ref(), Reduction::Mean);
        let mean = if self.sum_classes { mean * logits.size()[1] as f64 } else { mean };
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

    // The program: tests/reference/bce.py.
    #[test]
    fn binary_cross_entropy_and_its_gradient_equal_the_formula_in_float64() {
        let stored = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/bce.json"));
        // A few roundings of each.
        compare(stored, &[(Kind::Double, 1e-12), (Kind::Float, 3e-6)]);
    }

    #[test]
    fn the_targets_of_mixup_are_smoothed_as_those_that_it_mixes() {
        let loss = Loss::new(&config("{name: bce, label_smoothing: 0.3}"), &[], Device::Cpu);
        let logits = Tensor::from_slice2(&[[0.5f64, -1.0, 2.0]]);
        let of = |targets| loss.forward(&logits, &targets).unwrap().mean.double_value(&[]);
        let mixed = of(Targets::Probabilities(Tensor::from_slice2(&[[0.25f64, 0.0, 0.75]])));
        let [first, last] = [0i64, 2].map(|class| of(Targets::Classes(Tensor::from_slice(&[class]))));
        // The loss is linear in the targets.
        assert!((mixed - (0.25 * first + 0.75 * last)).abs() < 1e-12, "{mixed} {first} {last}");
    }

    #[test]
    fn large_logits_have_finite_losses_and_gradients() {
        let loss = Loss::new(&config("{name: bce}"), &[], Device::Cpu);
        let logits = Tensor::from_slice2(&[[200.0f32, -200.0], [200.0, -200.0]]).set_requires_grad(true);
        let value = loss.forward(&logits, &Targets::Classes(Tensor::from_slice(&[0i64, 1]))).unwrap();
        assert_eq!(value.mean.double_value(&[]), 100.0, "the mean of 0, 0, 200 and 200");
        value.mean.backward();
        assert_eq!(logits.grad().isfinite().all().int64_value(&[]), 1);
    }

    #[test]
    fn a_class_without_images_has_balanced_weight_zero() {
        assert_eq!(PosWeight::Balanced.resolve(&[6, 0, 2]), Some(vec![2.0 / 6.0, 0.0, 3.0]));
        assert_eq!(PosWeight::Same(1.0).resolve(&[6, 0, 2]), None);
    }

    #[test]
    fn balanced_weights_of_labels_compare_images_with_and_without() {
        let config = BceConfig { pos_weight: PosWeight::Balanced, ..BceConfig::default() };
        let weights = config.of_labels(&[6, 0, 2], 8).pos_weight;
        assert_eq!(weights, PosWeight::Given(vec![2.0 / 6.0, 0.0, 3.0]));
        let plain = BceConfig::default();
        assert_eq!(plain.of_labels(&[6, 0, 2], 8), plain);
    }

    #[test]
    fn pos_weight_is_a_word_a_number_or_a_list_and_ranges_are_checked() {
        for (yaml, given) in [
            ("{name: bce}", None),
            ("{name: bce, pos_weight: balanced}", None),
            ("{name: bce, pos_weight: 3}", None),
            ("{name: bce, pos_weight: [1, 2.5, 0]}", Some(("loss.pos_weight", 3))),
            ("{name: bce, target_threshold: 0}", None),
        ] {
            let config = config(yaml);
            assert_eq!(config.num_class_weights(), given, "{yaml}");
            assert!(config.problems().is_empty(), "{yaml}");
            let again = serde_yaml::to_string(&config).unwrap();
            assert_eq!(serde_yaml::from_str::<LossConfig>(&again).unwrap(), config, "{again}");
        }
        assert!(serde_yaml::from_str::<LossConfig>("{name: bce, pos_weight: even}").is_err());
        for (yaml, expected) in [
            ("label_smoothing: .nan, pos_weight: -1", &["label_smoothing", "pos_weight"][..]),
            ("target_threshold: 1, pos_weight: [1, .inf]", &["target_threshold", "pos_weight"][..]),
            ("target_threshold: 0.2, label_smoothing: 0.1", &["label_smoothing"][..]),
        ] {
            let problems = config(&format!("{{name: bce, {yaml}}}")).problems();
            let keys: Vec<String> = problems.into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected, "{yaml}");
        }
    }
}
