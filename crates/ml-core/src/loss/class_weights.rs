//! How much each class counts in a loss.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How much each class counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// All the same.
    #[default]
    None,
    /// Inverse to its share of the training split.
    Balanced,
    /// Inverse to the effective number of its images (Cui et al. 2019), by β, at least 0 and below
    /// 1.
    EffectiveNumber(f64),
    /// As given.
    Given(Vec<f64>),
}

/// The spelling of [`ClassWeights::EffectiveNumber`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EffectiveNumber {
    effective_number: f64,
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ClassWeights::None => serializer.serialize_str("none"),
            ClassWeights::Balanced => serializer.serialize_str("balanced"),
            ClassWeights::EffectiveNumber(beta) => {
                EffectiveNumber { effective_number: *beta }.serialize(serializer)
            }
            ClassWeights::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WeightsVisitor;
        impl<'de> Visitor<'de> for WeightsVisitor {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`none`, `balanced`, {effective_number: 0.999}, or a list of one number a class")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ClassWeights, E> {
                match text {
                    "none" => Ok(ClassWeights::None),
                    "balanced" => Ok(ClassWeights::Balanced),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ClassWeights, A::Error> {
                let mut weights = Vec::new();
                while let Some(weight) = items.next_element()? {
                    weights.push(weight);
                }
                Ok(ClassWeights::Given(weights))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClassWeights, A::Error> {
                let EffectiveNumber { effective_number } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ClassWeights::EffectiveNumber(effective_number))
            }
        }
        deserializer.deserialize_any(WeightsVisitor)
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "enum": ["none", "balanced"] },
            { "type": "array", "items": { "type": "number" } },
            effective_number_schema(),
        ] })
    }
}

/// Of the mapping `{effective_number: β}`.
pub(super) fn effective_number_schema() -> Schema {
    let beta = json_schema!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 });
    json_schema!({
        "type": "object",
        "properties": { "effective_number": beta },
        "required": ["effective_number"],
        "additionalProperties": false,
    })
}

impl ClassWeights {
    /// The weight of each class, or `None` where all count the same. `class_counts`: training
    /// samples of each class, for `balanced` and `effective_number`.
    pub(super) fn resolve(&self, class_counts: &[usize]) -> Option<Vec<f64>> {
        match self {
            ClassWeights::None => None,
            ClassWeights::Balanced => Some(balanced(class_counts)),
            ClassWeights::EffectiveNumber(beta) => Some(effective_number(*beta, class_counts)),
            ClassWeights::Given(weights) => Some(weights.clone()),
        }
    }

    /// How many weights are given, if they are.
    pub(super) fn num_given(&self) -> Option<usize> {
        match self {
            ClassWeights::Given(weights) => Some(weights.len()),
            _ => None,
        }
    }

    /// What is wrong with the weights, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        let weights = match self {
            ClassWeights::None | ClassWeights::Balanced => return None,
            ClassWeights::EffectiveNumber(beta) => {
                let is_valid = (0.0..1.0).contains(beta);
                return (!is_valid)
                    .then(|| format!("effective_number must be at least 0 and below 1, got {beta}"));
            }
            ClassWeights::Given(weights) => weights,
        };
        if let Some(bad) = weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
            return Some(format!("must be finite and not negative, got {bad}"));
        }
        let any = weights.iter().any(|weight| *weight > 0.0);
        (!any).then(|| "at least one must be positive".to_owned())
    }
}

/// scikit-learn's: total / (K × count) of each class; 0 for a class without images.
fn balanced(class_counts: &[usize]) -> Vec<f64> {
    let total: usize = class_counts.iter().sum();
    let share = total as f64 / class_counts.len() as f64;
    class_counts.iter().map(|&count| if count == 0 { 0.0 } else { share / count as f64 }).collect()
}

/// `(1 − β) / (1 − β^n)` of a class of n images (Cui et al. 2019, equation 2), scaled to sum to the
/// number of classes; 0 for a class without images.
fn effective_number(beta: f64, class_counts: &[usize]) -> Vec<f64> {
    // 1 − β cancels out; `exp_m1` is exact for β near 1.
    let inverse = |&count: &usize| match count {
        0 => 0.0,
        _ => -1.0 / (count as f64 * beta.ln()).exp_m1(),
    };
    let weights: Vec<f64> = class_counts.iter().map(inverse).collect();
    let total: f64 = weights.iter().sum();
    let scale = if total > 0.0 { class_counts.len() as f64 / total } else { 0.0 };
    weights.into_iter().map(|weight| weight * scale).collect()
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::loss::LossConfig;
    use crate::loss::tests::{CLASS_COUNTS, compare};

    const STORED: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/class_balanced.json"));

    // The program: tests/reference/class_balanced.py.
    #[test]
    fn losses_with_effective_numbers_and_their_gradients_equal_the_formula() {
        // Weights and losses are float32.
        compare(STORED, &[(Kind::Float, 3e-6)]);
    }

    #[test]
    fn effective_numbers_equal_the_formula_and_sum_to_the_number_of_classes() {
        let cases: Vec<serde_json::Value> = serde_json::from_str(STORED).unwrap();
        let weighted = cases.iter().filter(|case| case["config"]["name"] == "cross_entropy");
        for case in weighted {
            let beta = case["config"]["class_weights"]["effective_number"].as_f64().unwrap();
            let expected: Vec<f64> = serde_json::from_value(case["weights"].clone()).unwrap();
            for (got, expected) in effective_number(beta, &CLASS_COUNTS).into_iter().zip(expected) {
                // The program's 1 − β^n has lost digits where β is near 1.
                assert!((got - expected).abs() < 1e-9, "{beta}: {got}, {expected}");
            }
        }
        let with_empty = effective_number(0.99, &[50, 0, 5]);
        assert_eq!(with_empty[1], 0.0);
        assert!((with_empty.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert_eq!(effective_number(0.99, &[0, 0]), [0.0, 0.0]);
    }

    #[test]
    fn the_mapping_survives_yaml_and_is_checked() {
        for yaml in [
            "{name: cross_entropy, class_weights: {effective_number: 0.999}}",
            "{name: focal, alpha: {effective_number: 0}}",
        ] {
            let config: LossConfig = serde_yaml::from_str(yaml).unwrap();
            assert!(config.problems().is_empty() && config.num_class_weights().is_none(), "{yaml}");
            let again = serde_yaml::to_string(&config).unwrap();
            assert_eq!(serde_yaml::from_str::<LossConfig>(&again).unwrap(), config, "{again}");
        }
        for bad in ["{effective: 0.9}", "{}", "{effective_number: 0.9, beta: 1}"] {
            assert!(serde_yaml::from_str::<ClassWeights>(bad).is_err(), "{bad}");
        }
        for bad in [1.0, -0.1, f64::NAN] {
            assert!(ClassWeights::EffectiveNumber(bad).problem().is_some(), "{bad}");
        }
    }
}
