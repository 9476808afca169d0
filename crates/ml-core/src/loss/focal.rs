//! The focal loss (Lin et al. 2017), which turns away from what is already classified well:
//! `−α_t (1 − p_t)^γ log p_t` with `p_t` the softmax probability of the true class t.
//!
//! The paper and torchvision's `sigmoid_focal_loss` have it for a sigmoid; with two classes, the
//! softmax of logits (0, x) is the sigmoid of x, and both are equal. The mean is over the N images,
//! whatever their `α_t`, as torchvision's. With γ = 0 it is the cross entropy.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::{Device, Kind, Tensor};

use super::class_weights::effective_number_schema;
use super::{ClassWeights, LossError, LossFunction, LossSettings, LossValue, Targets};

/// The name in configurations.
const NAME: &str = "focal";

/// The focal loss's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FocalConfig {
    /// 0 or more: the larger, the less an image counts that is classified well. 0 is the cross
    /// entropy.
    pub gamma: f64,
    /// How much each class counts: `none`, `balanced` (total / (classes × images of the class)),
    /// `{effective_number: β}` as cross entropy's `class_weights`, one number a class, in the order
    /// of the classes; or, of two classes, the weight of the second in 0 to 1, the first having the
    /// rest, as torchvision's `alpha`.
    pub alpha: Alpha,
}

impl Default for FocalConfig {
    fn default() -> FocalConfig {
        FocalConfig { gamma: 2.0, alpha: Alpha::Weights(ClassWeights::None) }
    }
}

/// How much each class counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Alpha {
    /// Of two classes: the weight of the second; the first has 1 − it.
    Second(f64),
    /// Of any number of classes.
    Weights(ClassWeights),
}

impl Serialize for Alpha {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Alpha::Second(weight) => serializer.serialize_f64(*weight),
            Alpha::Weights(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Alpha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AlphaVisitor;
        impl<'de> Visitor<'de> for AlphaVisitor {
            type Value = Alpha;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(
                    "`none`, `balanced`, {effective_number: 0.999}, a number, or a list of one a class",
                )
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Alpha, E> {
                Ok(Alpha::Second(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Alpha, E> {
                Ok(Alpha::Second(number as f64))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Alpha, E> {
                Ok(Alpha::Second(number as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Alpha, E> {
                match ClassWeights::deserialize(StrDeserializer::<E>::new(text)) {
                    Ok(weights) => Ok(Alpha::Weights(weights)),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Alpha, A::Error> {
                ClassWeights::deserialize(SeqAccessDeserializer::new(items)).map(Alpha::Weights)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Alpha, A::Error> {
                ClassWeights::deserialize(MapAccessDeserializer::new(map)).map(Alpha::Weights)
            }
        }
        deserializer.deserialize_any(AlphaVisitor)
    }
}

impl JsonSchema for Alpha {
    fn schema_name() -> Cow<'static, str> {
        "Alpha".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "enum": ["none", "balanced"] },
            { "type": "number" },
            { "type": "array", "items": { "type": "number" } },
            effective_number_schema(),
        ] })
    }
}

impl LossSettings for FocalConfig {
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let gamma = self.gamma;
        if !(gamma.is_finite() && gamma >= 0.0) {
            found.push(("gamma".to_owned(), format!("must be 0 or more, got {gamma}")));
        }
        let problem = match &self.alpha {
            Alpha::Second(weight) if (0.0..=1.0).contains(weight) => None,
            Alpha::Second(weight) => Some(format!("must be in 0 to 1, got {weight}")),
            Alpha::Weights(weights) => weights.problem(),
        };
        found.extend(problem.map(|problem| ("alpha".to_owned(), problem)));
        found
    }

    fn num_class_weights(&self) -> Option<(&'static str, usize)> {
        let count = match &self.alpha {
            Alpha::Second(_) => 2,
            Alpha::Weights(weights) => weights.num_given()?,
        };
        Some(("loss.alpha", count))
    }

    fn build(&self, class_counts: &[usize], device: Device) -> Box<dyn LossFunction> {
        let weights = match &self.alpha {
            Alpha::Second(weight) => Some(vec![1.0 - weight, *weight]),
            Alpha::Weights(weights) => weights.resolve(class_counts),
        };
        let alpha = weights.map(|weights| Tensor::from_slice(&weights).to_device(device));
        Box::new(Focal { gamma: self.gamma, alpha })
    }
}

#[derive(Debug)]
struct Focal {
    gamma: f64,
    /// `[K]`, f64.
    alpha: Option<Tensor>,
}

impl Focal {
    /// `−α_k (1 − p_k)^γ log p_k` of every class k: `[N, K]` → `[N, K]`, in f32, or f64 if the
    /// logits are.
    fn terms(&self, logits: &Tensor) -> Tensor {
        let kind = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let log_p = logits.log_softmax(1, kind);
        // 1 − p, exact also for p near 1; not quite 0, where the derivative of a root is infinite.
        let rest = (-log_p.expm1()).clamp_min(f64::from(f32::MIN_POSITIVE));
        let terms = -(rest.pow_tensor_scalar(self.gamma) * log_p);
        match &self.alpha {
            Some(alpha) => terms * alpha.to_kind(kind),
            None => terms,
        }
    }
}

impl LossFunction for Focal {
    fn forward(&self, logits: &Tensor, targets: &Targets) -> Result<LossValue, LossError> {
        let sums = match targets {
            Targets::Classes(classes) => self.terms(logits).gather(1, &classes.unsqueeze(1), false),
            Targets::Probabilities(probabilities) => self.terms(logits) * probabilities,
            Targets::MultiHot(_) => return Err(LossError::MultiHot { loss: NAME }),
        };
        let mean = sums.sum(sums.kind()) / logits.size()[0] as f64;
        Ok(LossValue::over_samples(mean, logits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Loss, LossConfig};

    fn config(yaml: &str) -> LossConfig {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn tensor(value: &serde_json::Value) -> Tensor {
        let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
        Tensor::from_slice2(&rows)
    }

    // The program: tests/reference/focal.py.
    #[test]
    fn the_focal_loss_and_its_gradient_equal_the_formula_in_float64() {
        let cases: Vec<serde_json::Value> = serde_json::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/reference/focal.json"
        )))
        .unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let config: LossConfig = serde_json::from_value(case["config"].clone()).unwrap();
            let loss = Loss::new(&config, &[6, 3, 1], Device::Cpu);
            let targets = match case["classes"].as_array() {
                Some(classes) => {
                    let classes: Vec<i64> = classes.iter().map(|class| class.as_i64().unwrap()).collect();
                    Targets::Classes(Tensor::from_slice(&classes))
                }
                None => Targets::Probabilities(tensor(&case["probabilities"])),
            };
            // A few roundings of float64; then of float32, whose ulp is 6e-8 of losses up to 10.
            for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 3e-6)] {
                let logits = tensor(&case["logits"]).to_kind(kind).set_requires_grad(true);
                let value = loss.forward(&logits, &targets).unwrap();
                let (got, expected) = (value.mean.double_value(&[]), case["mean"].as_f64().unwrap());
                assert!((got - expected).abs() < tolerance, "{}: {got}, {expected}", case["config"]);
                assert_eq!(value.divisor.double_value(&[]), logits.size()[0] as f64);
                value.mean.backward();
                let difference = (logits.grad().to_kind(Kind::Double) - tensor(&case["grad"])).abs().max();
                assert!(difference.double_value(&[]) < tolerance, "{}", case["config"]);
            }
        }
    }

    #[test]
    fn certain_predictions_have_finite_gradients() {
        for gamma in ["0", "0.5", "1", "2"] {
            let loss = Loss::new(&config(&format!("{{name: focal, gamma: {gamma}}}")), &[], Device::Cpu);
            let logits = Tensor::from_slice2(&[[200.0f32, 0.0], [200.0, 0.0]]).set_requires_grad(true);
            let targets = Targets::Classes(Tensor::from_slice(&[0i64, 1]));
            let value = loss.forward(&logits, &targets).unwrap();
            assert_eq!(value.mean.double_value(&[]), 100.0, "the mean of 0 and 200");
            value.mean.backward();
            assert!(logits.grad().isfinite().all().int64_value(&[]) == 1, "gamma {gamma}");
        }
    }

    #[test]
    fn alpha_is_a_word_a_number_or_a_list_and_ranges_are_checked() {
        for (yaml, given) in [
            ("{name: focal}", None),
            ("{name: focal, alpha: balanced}", None),
            ("{name: focal, alpha: 0.25}", Some(("loss.alpha", 2))),
            ("{name: focal, alpha: 1}", Some(("loss.alpha", 2))),
            ("{name: focal, alpha: [1, 2.5, 0]}", Some(("loss.alpha", 3))),
        ] {
            let config = config(yaml);
            assert_eq!(config.num_class_weights(), given, "{yaml}");
            assert!(config.problems().is_empty(), "{yaml}");
            let again = serde_yaml::to_string(&config).unwrap();
            assert_eq!(serde_yaml::from_str::<LossConfig>(&again).unwrap(), config, "{again}");
        }
        assert!(serde_yaml::from_str::<LossConfig>("{name: focal, alpha: even}").is_err());
        assert!(serde_yaml::from_str::<LossConfig>("{name: focal, label_smoothing: 0.1}").is_err());
        let problems = config("{name: focal, gamma: -1, alpha: 1.5}").problems();
        let keys: Vec<String> = problems.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["gamma", "alpha"]);
        let loss = Loss::new(&config("{name: focal}"), &[], Device::Cpu);
        let logits = Tensor::zeros([1, 2], (Kind::Float, Device::Cpu));
        assert!(loss.forward(&logits, &Targets::MultiHot(logits.ones_like())).is_err());
    }
}
