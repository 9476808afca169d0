//! How much each class counts in a loss.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How much each class counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// All the same.
    #[default]
    None,
    /// Inverse to its share of the training split.
    Balanced,
    /// As given.
    Given(Vec<f64>),
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ClassWeights::None => serializer.serialize_str("none"),
            ClassWeights::Balanced => serializer.serialize_str("balanced"),
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
                f.write_str("`none`, `balanced`, or a list of one number a class")
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
        ] })
    }
}

impl ClassWeights {
    /// The weight of each class, or `None` where all count the same. `class_counts`: training
    /// samples of each class, for `balanced`.
    pub(super) fn resolve(&self, class_counts: &[usize]) -> Option<Vec<f64>> {
        match self {
            ClassWeights::None => None,
            ClassWeights::Balanced => Some(balanced(class_counts)),
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
        let ClassWeights::Given(weights) = self else { return None };
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
